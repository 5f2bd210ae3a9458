"""The configuration read again while the daemon runs: F20 and F38."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from rtevents.core.event import Entry, Event
from rtevents.core.filter import Filter
from tests.conftest import Daemon, wait_for
from tests.faults.checker import risk
from tests.security.attacker import Caller

WANTED = Filter(not_types=frozenset({"SYSTEM_STATUS", "FILE_CHANGE"}))
COMMITS = Filter(types=frozenset({"COMMIT"}), projects=frozenset({"web"}))


@pytest.fixture
def config(stopped_daemon: Daemon) -> Path:
    """Return the file of the configuration of a daemon that runs."""
    file = stopped_daemon.home / "config" / "rtevents" / "config.yaml"
    file.parent.mkdir(mode=0o700)
    file.write_text(naming(stopped_daemon.repository("web")))
    stopped_daemon.start("--no-project", "--quiet")
    return file


def naming(*roots: Path) -> str:
    """Return the setting that names projects."""
    return json.dumps({"projects": [{"path": str(root)} for root in roots]})


def states(daemon: Daemon) -> dict[str, str]:
    """Return the state of each project that is watched."""
    with daemon.client() as client:
        return {project["id"]: project["state"] for project in client.projects()}


def told(daemon: Daemon) -> list[tuple[str, Sequence[str]]]:
    """Return what the stream told of the configuration."""
    with daemon.client() as client:
        entries = client.history(Filter(types=frozenset({"SYSTEM_STATUS"}))).events
    data = [json.loads(entry.wire)["data"] for entry in entries if isinstance(entry, Entry)]
    return [(each["event"], each["reasons"]) for each in data if "config" in each["event"]]


def hang_up(daemon: Daemon) -> None:
    """Send SIGHUP; return when the stream has told what came of it."""
    before = len(told(daemon))
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(told(daemon)) > before, "it is told what came of it")


def test_sighup_takes_on_what_changed_and_streams_go_on(
    stopped_daemon: Daemon, config: Path
) -> None:
    """F20: projects, types and the level of the log change while a stream is open."""
    daemon = stopped_daemon
    api = daemon.repository("api")
    with daemon.client() as reader, daemon.client() as client:
        client.publish(risk("before"))
        stream = reader.stream(WANTED, since="all", reconnect=False)
        next(stream)

        config.write_text(f"event_types: [DEPLOY]\nlog_level: error\nprojects: [{{path: {api}}}]\n")
        hang_up(daemon)

        assert states(daemon) == {"api": "watching"}
        client.publish(Event(type="DEPLOY", data={"version": "1"}))
        item = next(stream)
        assert isinstance(item, Entry)
        assert item.type == "DEPLOY"
    changed = ["log_level changed", "event_types changed", "projects changed"]
    assert told(daemon) == [("config.reloaded", changed)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("projects: {}\n", "config.yaml:1: projects: expected a list"),
        ("log_level: loud\n", "config.yaml:1: log_level: expected debug, error, info or warning"),
        ("event_types: [commit]\n", "config.yaml:1: event_types[0]: COMMIT is a built-in type"),
        ("log_level: error\nstore: memory\n", "config.yaml:2: store: can only change when"),
        ("hosts: [a:1]\nstore: memory\ndurability: normal\n", "store, durability: can only change"),
        ("event_types: [NEW]\norigins: [http://a]\nstore: memory\n", "store: can only change when"),
        ("lokation: x\n", "config.yaml:1: lokation: unknown setting"),
        (None, "config.yaml: no such file"),
        ("a: b: c\n", "config.yaml:1: mapping values are not allowed here"),
    ],
)
def test_what_cannot_be_taken_on_is_refused_whole(
    stopped_daemon: Daemon, config: Path, text: str | None, reason: str
) -> None:
    """F38: a mistake, or a setting that is fixed: the place is told, and nothing changes."""
    daemon = stopped_daemon
    if text is None:
        config.rename(config.with_suffix(".away"))
    else:
        config.write_text(text)

    done = daemon.run("reload")
    hang_up(daemon)

    assert done.returncode == 2
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1
    assert [what for what, _ in told(daemon)] == ["config.refused"] * 2
    assert reason in told(daemon)[1][1][0]
    assert states(daemon) == {"web": "watching"}
    with daemon.client() as client:
        assert client.status()["store"] == "sqlite"
        assert "NEW" not in [each["name"] for each in client.types()]
        client.publish(risk("it goes on"))
        health = client.status()["health"]
    assert health["status"] == "degraded"
    assert reason in health["reasons"][0]
    headers = {"Host": "a:1"}, {"Origin": "http://a"}
    assert [Caller(daemon).get("/v1/health/live", **each).status for each in headers] == [421, 403]

    config.write_text(naming(daemon.home / "web"))
    assert daemon.run("reload").returncode == 0
    with daemon.client() as client:
        assert client.status()["health"] == {"status": "ok", "reasons": []}


def test_a_project_that_cannot_be_taken_on_is_told(stopped_daemon: Daemon, config: Path) -> None:
    """F38: its id is another's by now; whoever asked for the reload hears that."""
    daemon = stopped_daemon
    daemon.run("project", "add", str(daemon.repository("api")))
    other = daemon.home / "other"
    other.mkdir()
    config.write_text(json.dumps({"projects": [{"path": str(other), "id": "api"}]}))

    done = daemon.run("reload")

    assert done.returncode == 0
    assert "project id 'api' is taken by" in done.stderr
    assert "project id 'api' is taken by" in daemon.run("status").stdout


def test_a_folder_is_one_project(stopped_daemon: Daemon, config: Path) -> None:
    """F38: each commit would be told twice."""
    web = str(stopped_daemon.home / "web")
    config.write_text(json.dumps({"projects": [{"path": web}, {"path": f"{web}/.", "id": "b"}]}))

    done = stopped_daemon.run("reload")

    assert done.returncode == 2
    assert "projects[1].path: " in done.stderr
    assert "is projects[0] already" in done.stderr


def test_a_reload_that_comes_too_early_ends_nobody(stopped_daemon: Daemon) -> None:
    """F20: a service manager may send SIGHUP as soon as there is a process."""
    stopped_daemon.spawn("--no-project", "--quiet")
    assert stopped_daemon.process is not None
    # From its first line on: before, Python itself is being loaded.
    wait_for(lambda: ignores_hangup(stopped_daemon.process), "it has begun")
    stopped_daemon.process.send_signal(signal.SIGHUP)

    wait_for(stopped_daemon.answers, "up")


def ignores_hangup(process: subprocess.Popen[bytes] | None) -> bool:
    """Tell whether SIGHUP ends a process no more, be it ignored or caught (`man 5 proc`)."""
    assert process is not None
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    masks = [int(line.split()[1], 16) for line in lines if line.startswith(("SigIgn", "SigCgt"))]
    return any(mask & 1 for mask in masks)


def test_reload_tells_what_changed_and_what_is_not_watched(
    stopped_daemon: Daemon, config: Path
) -> None:
    """F38: a project that is not there is a warning, also in the health; the rest is taken on."""
    daemon = stopped_daemon
    assert daemon.run("reload").stdout == "nothing changed\n"
    config.write_text(naming(daemon.home / "web", daemon.home / "gone"))

    done = daemon.run("reload")

    assert (done.returncode, done.stdout) == (0, "changed: projects\n")
    assert "not there, watched as soon as it is" in done.stderr
    assert states(daemon) == {"web": "watching", "gone": "degraded"}
    assert "gone" in daemon.run("status").stdout

    secret = daemon.home / "secret"
    secret.write_text("whsec_" + "A" * 32)
    hook = {"url": "http://127.0.0.1:9/", "secret_file": str(secret)}
    settings = json.loads(naming(daemon.home / "web"))
    config.write_text(json.dumps({**settings, "sinks": [{"name": "chat", "webhook": hook}]}))
    assert daemon.run("reload").stdout == "changed: projects, sinks\n"
    assert "gone" not in daemon.run("status").stdout
    secret.write_text("whsec_" + "B" * 32)
    assert daemon.run("reload").stdout == "changed: secrets of sink chat\n"
    assert daemon.run("reload").stdout == "nothing changed\n"


def test_a_project_of_which_the_same_is_said_goes_on(stopped_daemon: Daemon, config: Path) -> None:
    """F20: a project is not looked at anew when another one comes; one that was added stays."""
    daemon = stopped_daemon
    added = daemon.repository("added")
    daemon.run("project", "add", str(added))
    with daemon.client() as client:
        watching = {each["id"]: each for each in client.projects()}
        config.write_text(naming(daemon.home / "web", daemon.repository("api")))
        daemon.run("reload")
        assert set(states(daemon)) == {"web", "api", "added"}
        assert [each for each in client.projects() if each["id"] != "api"] == list(
            watching.values()
        )
    # Of what happens meanwhile nothing is lost, and nothing is told twice.
    config.write_text(naming())
    daemon.run("reload")
    daemon.git("commit", "--allow-empty", "-qm", "Meanwhile", cwd=daemon.home / "web")
    config.write_text(naming(daemon.home / "web"))
    daemon.run("reload")

    def messages() -> list[str]:
        with daemon.client() as client:
            entries = client.history(COMMITS).events
        return [json.loads(entry.wire)["data"]["message"].strip() for entry in entries]

    wait_for(lambda: "Meanwhile" in messages(), "the commit is told")
    assert messages() == ["Meanwhile"]


def test_the_end_of_its_terminal_is_the_end_of_a_daemon_in_the_foreground(
    stopped_daemon: Daemon,
) -> None:
    """F20: SIGHUP reads the configuration, unless it means that the terminal was closed."""
    daemon = stopped_daemon
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "rtevents", "serve", "--no-project"],
        env=daemon.env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    with process:
        os.close(theirs)
        daemon.process = process
        wait_for(daemon.answers, "up")
        hang_up(daemon)
        assert process.poll() is None

        os.close(ours)
        process.send_signal(signal.SIGHUP)
        assert process.wait(30) == 0
    daemon.process = None
