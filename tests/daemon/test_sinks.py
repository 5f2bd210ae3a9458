"""Sinks of the configuration and of trusted projects, run by a real daemon."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rtevents.config.load import read
from rtevents.config.paths import Paths
from rtevents.config.project_file import ProjectFile
from rtevents.config.settings import Config
from rtevents.config.sinks import FileSinkSettings, SinkSettings, WebhookSettings
from rtevents.core.event import Event
from rtevents.core.service import EventService
from rtevents.daemon import running_sink
from rtevents.daemon import sinks as sinks_of_daemon
from rtevents.daemon.check import check
from rtevents.daemon.running_sink import Running
from rtevents.daemon.sinks import Sinks
from rtevents.errors import ConfigError
from rtevents.sinks.command import GRACE_SECONDS
from rtevents.stores.memory import MemoryStore
from tests.conftest import Daemon, wait_for


def configure(daemon: Daemon, text: str) -> None:
    """Write the configuration."""
    folder = daemon.home / "config" / "rtevents"
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(text)


def command(name: str, text: str, **settings: Any) -> str:
    """Return a sink that runs a text in a shell in the home folder, for each RISK_ALERT."""
    sink = {"name": name, "type": "RISK_ALERT", "command": {"run": ["sh", "-c", text]}, **settings}
    return f"  - {json.dumps(sink)}\n"


def publish(daemon: Daemon, *messages: str, project: str | None = None) -> None:
    """Publish a RISK_ALERT for each message."""
    with daemon.client() as client:
        client.publish_many(
            [
                Event(
                    type="RISK_ALERT",
                    data={"severity": "low", "message": message},
                    project_id=project,
                )
                for message in messages
            ]
        )


def lines(file: Path) -> list[str]:
    """Return the lines of a file; none when it is not there."""
    return file.read_text().splitlines() if file.exists() else []


def sink(daemon: Daemon, name: str) -> dict[str, Any]:
    """Return how a sink is."""
    with daemon.client() as client:
        return next((each for each in client.sinks() if each["name"] == name), {})


def has_place(daemon: Daemon, name: str) -> bool:
    """Tell whether a sink knows where it is."""
    return bool(sink(daemon, name).get("bookmark"))


def reasons(daemon: Daemon) -> str:
    """Return what the health says is amiss."""
    with daemon.client() as client:
        return "\n".join(client.status()["health"]["reasons"])


@pytest.mark.parametrize("point", ["before", "after"])
def test_kill_9_of_the_daemon_loses_no_reaction(stopped_daemon: Daemon, point: str) -> None:
    """The command kills the daemon itself: before it does its work, or after that."""
    daemon = stopped_daemon
    work, kill = "echo $RTEVENTS_SEQ >> out", "test -e once || { touch once; kill -9 $PPID; exit; }"
    text = "; ".join([kill, work] if point == "before" else [work, kill])
    configure(daemon, "sinks:\n" + command("s", text))
    daemon.start("--no-project")
    wait_for(lambda: sink(daemon, "s")["bookmark"], "it has its place")
    publish(daemon, "one", "two")
    assert daemon.process is not None
    assert daemon.process.wait(30) == -signal.SIGKILL

    daemon.start("--no-project")

    again = ["1", "2"] if point == "before" else ["1", "1", "2"]
    wait_for(lambda: lines(daemon.home / "out") == again, "at least once, in order")
    wait_for(lambda: sink(daemon, "s")["bookmark"].endswith("-2"), "its place is exact")


def test_a_sink_that_fails_is_told_and_what_it_gave_up_is_replayed(stopped_daemon: Daemon) -> None:
    daemon = stopped_daemon
    text = "test -e ok || { echo 'no \x1b[31mroom'; exit 3; }; echo $RTEVENTS_SEQ >> out"
    terms = {"retries": 0, "breaker": 2, "breaker_pause": 3600}
    configure(
        daemon,
        "sinks:\n" + command("s", text, **terms)
        + f"  - {{name: journal, file: {{path: {daemon.home}/journal}}}}\n",
    )  # fmt: skip
    daemon.start("--no-project")
    wait_for(lambda: sink(daemon, "s")["bookmark"], "it has its place")
    publish(daemon, "one", "two", "three")
    wait_for(lambda: sink(daemon, "s")["state"] == "resting", "it rests")
    wait_for(lambda: sink(daemon, "s")["dead"] == 2, "two are given up")

    assert sink(daemon, "s")["lag"] >= 1
    assert "sink s: rests after 2 failures, the last: sh failed, exit 3" in reasons(daemon)
    told = daemon.run("status").stdout
    assert "degraded" in told
    assert "sink     s  command  resting, lag" in told
    assert "no \\x1b[31mroom" in told
    assert "\x1b" not in told + daemon.run("sinks", "dead").stdout
    assert len(lines(daemon.home / "journal")) >= 3
    assert json.loads(lines(daemon.home / "journal")[0])["data"]["message"] == "one"

    letters = json.loads(daemon.run("sinks", "dead", "s", "--json").stdout)
    assert [letter["event"]["seq"] for letter in letters] == [1, 2]
    assert letters[0]["reason"] == "sh failed, exit 3: no \x1b[31mroom"
    (daemon.home / "ok").touch()
    assert daemon.run("sinks", "replay", "s", letters[1]["id"]).stdout.startswith("replaying 1")
    wait_for(lambda: sink(daemon, "s")["dead"] == 1, "one is done")
    wait_for(lambda: lines(daemon.home / "out") == ["2", "3"], "and it goes on")
    assert daemon.run("sinks", "discard", "s").stdout == "discarded 1\n"
    assert sink(daemon, "s")["dead"] == 0
    assert reasons(daemon) == ""
    assert daemon.run("sinks", "replay", "nonesuch").returncode == 1
    assert daemon.run("sinks", "resume", "s").stdout == "resumed s\n"


def test_a_reload_takes_sinks_on_and_leaves_the_others_alone(stopped_daemon: Daemon) -> None:
    daemon = stopped_daemon
    one = command("one", "echo one $RTEVENTS_SEQ >> out")
    configure(daemon, "sinks:\n" + one + command("two", "echo two >> out"))
    daemon.start("--no-project")
    for name in ("one", "two"):
        wait_for(partial(has_place, daemon, name), "it has its place")
    publish(daemon, "first")
    wait_for(lambda: sorted(lines(daemon.home / "out")) == ["one 1", "two"], "both run")

    configure(daemon, "sinks:\n" + one + command("three", "echo three $RTEVENTS_SEQ >> out"))
    assert daemon.run("reload").stdout == "changed: sinks\n"
    assert sink(daemon, "one")["delivered"] == 1
    assert sink(daemon, "two") == {}
    wait_for(lambda: sink(daemon, "three")["bookmark"], "it has its place")
    publish(daemon, "second")
    wait_for(lambda: len(lines(daemon.home / "out")) == 4, "both run")
    (seq,) = {line.split()[1] for line in lines(daemon.home / "out")[2:]}
    assert sorted(lines(daemon.home / "out")[2:]) == [f"one {seq}", f"three {seq}"]

    configure(daemon, "sinks:\n" + one + command("three", "true", type="DEPLOYY"))
    done = daemon.run("reload")
    assert "sink three: it does not run: unknown event type 'DEPLOYY'" in done.stderr
    assert sink(daemon, "three")["state"] == "failed"
    configure(daemon, "sinks:\n" + one + one)
    done = daemon.run("reload")
    assert done.returncode == 2
    assert "sinks[1].name: 'one' is there twice" in done.stderr
    assert sink(daemon, "one")["state"] == "running"


def test_what_a_sink_gave_up_is_there_while_it_does_not_run(stopped_daemon: Daemon) -> None:
    daemon = stopped_daemon
    bad = command("bad", "exit 1", retries=0)
    configure(daemon, "sinks:\n" + bad + command("good", "exit 1", retries=0))
    daemon.start("--no-project")
    for name in ("bad", "good"):
        wait_for(partial(has_place, daemon, name), "it has its place")
    publish(daemon, "one")
    for name in ("bad", "good"):
        wait_for(lambda name=name: sink(daemon, name)["dead"], "it gave up")  # type: ignore[misc]

    never = command("never", "true", type="DEPLOYY")
    configure(
        daemon,
        "sinks:\n"
        + never
        + bad.replace("RISK_ALERT", "DEPLOYY")
        + command("good", "exit 1", retries=0),
    )
    assert "sink bad: it does not run" in daemon.run("reload").stderr
    assert [sink(daemon, name)["dead"] for name in ("bad", "good", "never")] == [1, 1, 0]
    done = daemon.run("sinks", "dead", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(each["sink"] for each in json.loads(done.stdout)) == ["bad", "good"]
    done = daemon.run("sinks", "replay", "bad")
    assert done.returncode == 1
    assert "sink 'bad' does not run" in done.stderr
    assert daemon.run("sinks", "discard", "bad").stdout == "discarded 1\n"
    assert daemon.run("sinks", "dead", "bad", "--json").stdout == "[]\n"


def test_a_projects_own_commands_run_only_while_its_file_is_trusted(
    stopped_daemon: Daemon,
) -> None:
    daemon = stopped_daemon
    root = daemon.repository()
    asked = 'on:\n  - {name: t, type: RISK_ALERT, command: {run: [sh, -c, "pwd >> ../own"]}}\n'
    (root / ".rtevents.yaml").write_text(asked)
    daemon.start(str(root))
    wait_for(lambda: "is not trusted; read it, then: rtevents trust" in reasons(daemon), "told")
    publish(daemon, "one", project="web")
    assert sink(daemon, "web:t") == {}

    shown = "  t: type=RISK_ALERT -> sh -c 'pwd >> ../own'"
    for words, state, code in (("--show", "not trusted", 0), ("--yes", "trusted", 0)):
        told = daemon.run("trust", words, cwd=root)
        assert told.stdout.splitlines()[1] == shown
        assert told.returncode == code
        assert state in daemon.run("trust", "--list").stdout or words == "--show"
    assert sink(daemon, "web:t")["state"] == "running"
    wait_for(lambda: sink(daemon, "web:t").get("bookmark"), "it runs")
    publish(daemon, "of no project")
    publish(daemon, "two", project="web")
    wait_for(lambda: lines(daemon.home / "own") == [str(root)], "it ran for its own")
    assert sink(daemon, "web:t")["project"] == "web"
    assert reasons(daemon) == ""

    (root / ".rtevents.yaml").write_text(asked + "# another\n")
    wait_for(lambda: "has changed since it was trusted" in reasons(daemon), "it says so")
    assert sink(daemon, "web:t") == {}
    publish(daemon, "three", project="web")
    assert "changed since: nothing of it runs" in daemon.run("trust", "--list").stdout
    assert lines(daemon.home / "own") == [str(root)]

    # Nobody is there to be asked: it is not for a script to say yes by saying nothing.
    refused = daemon.run("trust", str(root))
    assert (refused.returncode, "there is no terminal" in refused.stderr) == (2, True)
    assert shown in refused.stdout
    assert daemon.run("trust", "--yes", str(root)).returncode == 0
    wait_for(lambda: len(lines(daemon.home / "own")) == 2, "what it missed is done")
    assert daemon.run("trust", "--revoke", str(root)).returncode == 0
    assert "rtevents trust --refuse" in reasons(daemon), "it asks again at once"
    assert sink(daemon, "web:t") == {}
    assert daemon.run("trust", "--revoke", str(root)).returncode == 1

    assert daemon.run("trust", "--refuse", str(root)).returncode == 0
    assert reasons(daemon) == "", "nothing is amiss, at once"
    (root / ".rtevents.yaml").write_text(asked + "# yet another\n")
    publish(daemon, "four", project="web")
    assert "refused: nothing of it runs" in daemon.run("trust", "--list").stdout
    assert daemon.run("trust", "--show", "--list").returncode == 2
    assert daemon.run("trust", "--yes", str(root)).returncode == 0
    wait_for(lambda: sink(daemon, "web:t").get("bookmark"), "it may change its mind")


@pytest.mark.parametrize(
    ("typed", "code", "is_trusted"), [("y\n", 0, True), ("n\n", 1, False), ("\n", 1, False)]
)
def test_who_is_at_a_terminal_is_asked_after_it_was_shown(
    stopped_daemon: Daemon, typed: str, code: int, is_trusted: bool
) -> None:
    root = stopped_daemon.repository()
    (root / ".rtevents.yaml").write_text(
        'on: [{name: "t", command: {run: [echo, "\\e[31mred"]}}]\n'
    )
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "rtevents", "trust"],
        cwd=root, env=stopped_daemon.env, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    said = b""
    try:
        while b"[y/N]" not in said:
            said += os.read(ours, 4096)
        os.write(ours, typed.encode())
        with contextlib.suppress(OSError):  # its end, as Linux has it
            while more := os.read(ours, 4096):
                said += more
    finally:
        os.close(ours)

    assert process.wait(30) == code
    assert b"t: everything -> echo '\\x1b[31mred'" in said
    assert b"\x1b[31m" not in said
    assert ("trusted" in stopped_daemon.run("trust", "--list").stdout) == is_trusted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("on: [{name: t, webhook: {url: 'http://x/'}}]", ":1: on[0]: expected command"),
        ("on: [{name: t}]", ":1: on[0]: expected command"),
        ("on:\n - {name: t, project: x, command: {run: [a]}}", ":2: on[0].project: it is about"),
        ("on: [{name: a/b, command: {run: [a]}}]", "on[0].name: expected 1 to 64"),
        ("on: [{name: a, where: '((', command: {run: [a]}}]", "on[0].where: "),
        ("on: [{name: a, command: {run: []}}]", ":1: on[0].command.run: "),
        ("on: &a [*a]", "aliases are not allowed here"),
        ("x" * 70_000, "more than 65536 bytes"),
        ("on: !!bool x", ": a value is not what its tag says: 'x'"),
        ("on: !!timestamp x", ": a value is not what its tag says: "),
        ("on: !!int ''", ": a value is not what its tag says: "),
        (r'on: "\Uffffffff"', ": a value is not what its tag says: "),
        (r'on: "\ud800"', ":1: half of a character is in no setting"),
        (r'"\ud800": 1', ":1: half of a character is in no setting"),
        (r'"\0": 1', ":1: a null character is in no setting"),
    ],
)
def test_a_projects_file_that_cannot_be_read_is_told(home: Path, text: str, said: str) -> None:
    from rtevents.config.project_file import read_project_file
    from rtevents.daemon.check_sinks import check_sink

    (home / ".rtevents.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:  # noqa: PT012 - each of them may refuse it
        found = read_project_file(home)
        assert found is not None
        for index, each in enumerate(found.reactions()):
            try:
                check_sink(each)
            except ConfigError as error:
                raise ConfigError(f"on[{index}].{error}") from error

    assert said in str(caught.value)


async def test_a_projects_file_that_cannot_be_read_is_parsed_once(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 KiB of YAML take most of a second, and it is looked at each second."""
    (home / ".rtevents.yaml").write_text("on: [{name: t}]")
    service, sinks = looking(home)
    parsed = 0
    parse = ProjectFile.reactions

    def counted(file: ProjectFile) -> list[SinkSettings]:
        nonlocal parsed
        parsed += 1
        return parse(file)

    monkeypatch.setattr(ProjectFile, "reactions", counted)
    await sinks.look()
    await sinks.look()

    assert parsed == 1
    assert "on[0]: expected command" in service.warnings["reactions of web"]
    (home / ".rtevents.yaml").write_text("on: []")
    await sinks.look()
    assert "reactions of web" not in service.warnings


async def test_what_goes_wrong_at_one_look_keeps_nobody_from_the_next(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks_of_daemon, "LOOK_SECONDS", 0.001)
    _, sinks = looking(home)
    looks = 0

    async def look() -> None:
        nonlocal looks
        looks += 1
        raise KeyError("x")

    monkeypatch.setattr(sinks, "look", look)
    sinks.start()
    try:
        async with asyncio.timeout(20):
            while looks < 3:
                await asyncio.sleep(0.005)
    finally:
        await sinks.stop()


async def test_a_daemon_that_ends_starts_nothing_for_a_reload(home: Path) -> None:
    _, sinks = looking(home)
    sinks.start()
    await sinks.stop()

    await sinks.reload(Config(sinks=[file_sink("late", home)]))
    assert sinks.all() == []


async def test_what_a_reload_stops_ends_at_the_same_time(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, sinks = looking(home)
    await sinks.reload(Config(sinks=[file_sink("one", home), file_sink("two", home)]))
    both, end = asyncio.Barrier(2), running_sink.end

    async def meet(running: Running) -> None:
        async with asyncio.timeout(20):
            await both.wait()
        await end(running)

    monkeypatch.setattr(sinks_of_daemon, "end", meet)
    await sinks.reload(Config())

    assert sinks.all() == []


async def test_a_reload_reads_a_secret_again_that_was_replaced(home: Path) -> None:
    service, sinks = looking(home)
    secret = home / "secret"
    secret.write_text("whsec_" + "A" * 32)
    hook = WebhookSettings(url="http://127.0.0.1:9/", secret_file=str(secret))
    config = Config(sinks=[SinkSettings(name="chat", webhook=hook), file_sink("one", home)])
    await sinks.reload(config)
    before = dict(sinks._running)
    secret.write_text("none")
    changed, refused = await sinks.reload(config)

    assert changed == ["chat"]
    assert "sink chat: it does not run: webhook.secret_file: expected whsec_" in refused[0]
    assert sinks._running == {"one": before["one"]}
    secret.write_text("whsec_" + "B" * 32)
    assert await sinks.reload(config) == (["chat"], [])
    assert await sinks.reload(config) == ([], [])
    assert service.warnings == {}
    await sinks.stop()


def test_a_daemon_ends_in_less_than_five_seconds() -> None:
    assert running_sink.STOP_SECONDS + GRACE_SECONDS < 5


def file_sink(name: str, folder: Path) -> SinkSettings:
    """Return a sink that writes to a file."""
    return SinkSettings(name=name, file=FileSinkSettings(path=str(folder / name)))


def looking(root: Path) -> tuple[EventService, Sinks]:
    """Return the sinks of a daemon that watches one project."""
    service = EventService(MemoryStore())
    paths = Paths(root / "run", root / "state", root / "config.yaml")
    return service, Sinks(service, Config(), paths, lambda: [{"id": "web", "path": str(root)}])


def test_a_projects_file_is_no_link_and_no_pipe(home: Path) -> None:
    from rtevents.config.project_file import read_project_file

    assert read_project_file(home) is None
    (home / ".rtevents.yaml").symlink_to("/etc/passwd")
    with pytest.raises(ConfigError, match="Too many levels of symbolic links"):
        read_project_file(home)
    (home / ".rtevents.yaml").unlink()
    os.mkfifo(home / ".rtevents.yaml")
    with pytest.raises(ConfigError, match="not a plain file"):
        read_project_file(home)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[{name: a}]", "1: sinks[0]: expected one of command, webhook, file, notify, got none"),
        ("[{name: a, file: {path: /tmp/x}, command: {run: [a]}}]", "got command and file"),
        ("[{name: a b, command: {run: [a]}}]", "sinks[0].name: expected 1 to 64"),
        ("[{name: a, since: '?', command: {run: [a]}}]", "sinks[0].since: not a time"),
        ("[{name: a, where: 'x >', command: {run: [a]}}]", "sinks[0].where: "),
        ("[{name: a, webhook: {url: x}}]", "sinks[0].webhook.url: expected https://host/"),
        ("[{name: a, command: {runs: [a]}}]", "unknown setting, did you mean run?"),
        ("[{name: a, batch: 5000, command: {run: [a]}}]", "sinks[0].batch: expected int <= 1000"),
    ],
)
def test_a_mistake_in_a_sink_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    paths = Paths(tmp_path, tmp_path, tmp_path / "config.yaml")
    paths.config.write_text(f"sinks: {text}\n")
    with pytest.raises(ConfigError) as caught:
        check(read(paths, {}))

    assert said in str(caught.value)


def test_a_type_that_nobody_knows_is_a_warning(tmp_path: Path) -> None:
    paths = Paths(tmp_path, tmp_path, tmp_path / "config.yaml")
    paths.config.write_text("sinks:\n  - {name: a, type: COMIT, command: {run: [a]}}\n")

    (warning,) = check(read(paths, {}))
    assert (
        "config.yaml:2: sinks[0].type: unknown event type 'COMIT', did you mean COMMIT?" in warning
    )
    paths.config.write_text(
        "sinks:\n  - {name: a, where: 'type == \"COMIT\"', command: {run: [a]}}\n"
    )
    (warning,) = check(read(paths, {}))
    assert "config.yaml:2: sinks[0].where: column 9: unknown event type 'COMIT'" in warning


def test_a_type_that_was_added_while_the_daemon_ran_is_known(stopped_daemon: Daemon) -> None:
    daemon = stopped_daemon
    text = "sinks:\n" + command("s", "true", type="PING") + command("t", "true", type="PONG")
    configure(daemon, text)
    daemon.start("--no-project")
    assert daemon.run("types", "add", "PING").returncode == 0

    told = daemon.run("config", "check").stderr
    assert "sinks[1].type: unknown event type 'PONG'" in told
    assert "PING" not in told.splitlines()[0].partition("did you mean")[0]
    assert len(told.splitlines()) == 1
