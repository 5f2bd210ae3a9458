"""rtevents doctor: each thing that is wrong is told, with what to do about it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rtevents.cli.doctor import daemon as doctor
from rtevents.cli.doctor import machine, projects
from rtevents.client.calls import History
from rtevents.client.sync import Client
from rtevents.config.paths import Paths
from rtevents.core.event import Event
from rtevents.core.filter import Filter
from rtevents.errors import Unavailable
from tests.conftest import Daemon


def examined(daemon: Daemon) -> dict[str, tuple[str, str, str | None]]:
    """Return the verdict, the text and the remedy of each check, by its name."""
    said = daemon.run("doctor", "--json")
    checks = json.loads(said.stdout)
    assert said.returncode == any(each["verdict"] == "problem" for each in checks)
    assert all(each["remedy"] for each in checks if each["verdict"] == "problem")
    return {each["name"]: (each["verdict"], each["text"], each["remedy"]) for each in checks}


def test_a_daemon_that_is_well_has_no_problem(stopped_daemon: Daemon) -> None:
    root = stopped_daemon.repository()
    stopped_daemon.start(str(root))
    stopped_daemon.run("hook", "install", "-C", str(root))

    said = stopped_daemon.run("doctor")

    assert said.returncode == 0
    assert said.stdout.splitlines()[-1].startswith("problems: 0, warnings: ")
    assert re.search(r"^ok +project web +\S+, watched$", said.stdout, re.MULTILINE)
    assert re.search(r"^ok +hook of web +installed: ", said.stdout, re.MULTILINE)
    assert re.search(
        r"^ok +canary +on disk after [\d.]+ ms, received after [\d.]+ ms$",
        said.stdout,
        re.MULTILINE,
    )


def test_the_canary_is_told_from_what_others_publish(daemon: Daemon) -> None:
    assert examined(daemon)["canary"][0] == "ok"
    with daemon.client() as client:
        (entry,) = client.history(Filter(sources=frozenset({"doctor"}))).events

    assert entry.event.data == {"status": "ok", "event": "doctor.canary"}
    assert entry.event.project_id is None


def test_it_works_without_a_daemon(stopped_daemon: Daemon) -> None:
    found = examined(stopped_daemon)

    assert found["daemon"] == ("warning", "none runs", "rtevents serve")
    assert found["log"][1] == "there is none yet: the daemon will make it"
    assert "canary" not in found
    assert not (stopped_daemon.home / "state" / "rtevents").exists()


def test_what_a_killed_daemon_left_is_told(stopped_daemon: Daemon) -> None:
    stopped_daemon.start()
    assert stopped_daemon.process is not None
    pid = stopped_daemon.process.pid
    stopped_daemon.stop(signal.SIGKILL)

    found = examined(stopped_daemon)

    assert found["lock"] == (
        "ok",
        f"left by pid {pid}, which is gone: the next daemon takes it",
        None,
    )
    assert "is stale" in found["socket"][1]


def test_a_daemon_that_does_not_answer_is_told(stopped_daemon: Daemon) -> None:
    stopped_daemon.start()
    assert stopped_daemon.process is not None
    stopped_daemon.process.send_signal(signal.SIGSTOP)
    try:
        verdict, text, _ = examined(stopped_daemon)["daemon"]
    finally:
        stopped_daemon.process.send_signal(signal.SIGCONT)

    assert verdict == "problem"
    assert text == f"pid {stopped_daemon.process.pid} runs and does not answer"


def test_a_daemon_that_listens_elsewhere_is_told(daemon: Daemon) -> None:
    """A shell without its XDG_RUNTIME_DIR (cron, su) does not see it, but its database."""
    assert daemon.process is not None
    socket, pid = daemon.socket, daemon.process.pid
    daemon.env["XDG_RUNTIME_DIR"] = str(daemon.home / "another")

    assert examined(daemon)["daemon"] == (
        "problem",
        f"it holds the log's lock and listens elsewhere: pid {pid} on {socket}",
        "set XDG_RUNTIME_DIR as it has it",
    )


def test_a_log_that_was_removed_from_a_running_daemon_is_told(daemon: Daemon) -> None:
    """It is not said to be none yet, whatever it held."""
    file = daemon.home / "state" / "rtevents" / "events.db"
    file.unlink()

    verdict, text, remedy = examined(daemon)["log"]

    assert verdict == "problem"
    assert text == f"{file}: not there any more"
    assert remedy


def test_folders_that_others_can_enter_are_told(stopped_daemon: Daemon) -> None:
    folder = stopped_daemon.home / "state" / "rtevents"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)

    assert examined(stopped_daemon)["state folder"] == (
        "problem",
        f"others can enter {folder}",
        f"chmod 700 {folder}",
    )


def test_a_damaged_log_is_told(stopped_daemon: Daemon) -> None:
    stopped_daemon.start()
    with stopped_daemon.client() as client:
        for number in range(300):
            client.publish(
                Event(type="TASK_UPDATE", data={"task_id": f"T-{number}", "status": "x" * 500})
            )
    stopped_daemon.stop()
    database = stopped_daemon.home / "state" / "rtevents" / "events.db"
    content = bytearray(database.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 9000] = b"\xff" * 9000
    database.write_bytes(content)

    verdict, text, remedy = examined(stopped_daemon)["log"]

    assert verdict == "problem"
    assert text.startswith(f"{database}: ")
    assert remedy


def test_a_log_of_a_newer_release_is_told_as_the_daemon_tells_it(stopped_daemon: Daemon) -> None:
    stopped_daemon.start()
    stopped_daemon.stop()
    database = stopped_daemon.home / "state" / "rtevents" / "events.db"
    with closing(sqlite3.connect(database)) as db:
        db.execute("PRAGMA user_version = 9")
        db.execute("UPDATE meta SET value = '7.3.1' WHERE name = 'version'")
        db.commit()

    refused = stopped_daemon.run("serve", "--no-project").stderr.strip()
    verdict, text, remedy = examined(stopped_daemon)["log"]
    copied = stopped_daemon.run("backup", str(stopped_daemon.home / "copy"))

    assert "made by rtevents 7.3.1 (schema 9)" in text
    assert f"rtevents: {text}" == refused == copied.stderr.strip()
    assert (verdict, remedy) == ("problem", "rtevents serve refuses it, and changes nothing of it")
    assert copied.returncode == 1


def test_a_configuration_that_cannot_be_used_is_told_alone(stopped_daemon: Daemon) -> None:
    folder = stopped_daemon.home / "config" / "rtevents"
    folder.mkdir()
    (folder / "config.yaml").write_text("max_queue_size: many\n")

    found = examined(stopped_daemon)

    assert list(found) == ["configuration"]
    assert f"{folder / 'config.yaml'}:1: max_queue_size" in found["configuration"][1]


def test_a_project_that_is_gone_is_told(stopped_daemon: Daemon) -> None:
    root = stopped_daemon.repository()
    stopped_daemon.start()
    stopped_daemon.run("project", "add", str(root))
    stopped_daemon.stop()
    shutil.rmtree(root)

    assert examined(stopped_daemon)["project web"] == (
        "problem",
        f"{root} is not there",
        "mount it, or: rtevents project remove web",
    )


def test_a_lock_of_git_that_was_left_is_told(stopped_daemon: Daemon) -> None:
    root = stopped_daemon.repository()
    stopped_daemon.start()
    stopped_daemon.run("project", "add", str(root))
    lock = root / ".git" / "index.lock"
    lock.touch()
    assert "git in web" not in examined(stopped_daemon)
    an_hour_ago = time.time() - 3600
    os.utime(lock, (an_hour_ago, an_hour_ago))

    verdict, text, remedy = examined(stopped_daemon)["git in web"]

    assert verdict == "warning"
    assert text.startswith(f"{lock} is 1h")
    assert remedy == f"if no git runs there: rm {lock}"


def test_how_the_daemon_gets_on_with_a_project_is_told_in_words() -> None:
    root = Path("/")

    def told(state: str, error: str | None) -> tuple[str, str]:
        check = projects._state("project web", root, {"state": state, "error": error})
        return check.verdict, check.text

    assert told("watching", None) == ("ok", "/, watched")
    assert told("starting", None) == ("warning", "/ is not watched yet")
    assert told("watching", "no more") == (
        "warning",
        "/ is watched, but some is seen late: no more",
    )
    assert told("failed", "git: no") == ("problem", "/ is not watched: git: no")


def test_a_hook_that_does_not_run_is_told(stopped_daemon: Daemon) -> None:
    root = stopped_daemon.repository()
    stopped_daemon.start(str(root))
    stopped_daemon.run("hook", "install", "-C", str(root), "--way", "file")
    file = root / ".git" / "hooks" / "post-commit"
    file.chmod(stat.S_IRUSR | stat.S_IWUSR)

    assert examined(stopped_daemon)["hook of web"] == (
        "warning",
        "it is not executable, so git does not run it",
        f"chmod +x {file}",
    )


def test_a_clock_that_was_set_back_is_told(stopped_daemon: Daemon) -> None:
    stopped_daemon.start()
    with stopped_daemon.client() as client:
        client.publish(
            Event(type="TASK_UPDATE", data={"task_id": "1", "status": "x"}, timestamp=4e9)
        )

    assert examined(stopped_daemon)["clock"][0] == "warning"


@pytest.mark.parametrize(("count", "verdict"), [(10, "ok"), (900, "warning"), (2000, "problem")])
def test_the_limits_of_the_kernel_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, verdict: str
) -> None:
    (tmp_path / "max_user_watches").write_text("1000\n")
    (tmp_path / "max_user_instances").write_text("128\n")
    monkeypatch.setattr(machine, "INOTIFY", tmp_path)

    (check,) = machine.watch_limits(count)

    assert check.verdict == verdict
    assert check.remedy == (
        None if verdict == "ok" else "sudo sysctl fs.inotify.max_user_watches=524288"
    )


def test_the_smaller_limit_of_a_user_namespace_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "max_user_watches").write_text("524288\n")
    (tmp_path / "max_user_instances").write_text("1024\n")
    (tmp_path / "max_inotify_watches").write_text("100\n")
    (tmp_path / "max_inotify_instances").write_text("1024\n")
    monkeypatch.setattr(machine, "INOTIFY", tmp_path)
    monkeypatch.setattr(machine, "NAMESPACE", tmp_path)

    (check,) = machine.watch_limits(200)

    assert check.verdict == "problem"
    assert check.text == "200 folders to watch, 100 watches and 1024 instances allowed"
    assert check.remedy == "sudo sysctl user.max_inotify_watches=524288"


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "drvfs"])
def test_a_network_file_system_is_known_by_its_type(kind: str) -> None:
    assert machine.REMOTE.match(kind)
    assert not machine.REMOTE.match("ext4")
    assert not machine.REMOTE.match("overlay")


def test_every_place_is_on_a_file_system(tmp_path: Path) -> None:
    assert machine.file_system(Path("/proc/self")) == "proc"
    assert machine.file_system(tmp_path) not in ("unknown", "proc")


def test_foreign_text_is_made_safe(stopped_daemon: Daemon) -> None:
    root = stopped_daemon.repository("a\x1b[2Jb")
    stopped_daemon.start(str(root))

    assert "\x1b[2J" not in stopped_daemon.run("doctor").stdout


def test_the_reader_of_the_canary_leaves_nothing_open(daemon: Daemon) -> None:
    examined(daemon)
    with Client(daemon.socket) as client:
        assert len(client.connections()) <= 1


class Refused(Client):
    """A client that the daemon lets ask for its status, and for nothing else."""

    def stream(self, *_: object, **__: object) -> Iterator[Any]:
        """Refuse."""
        raise Unavailable("too many connections")

    def history(self, *_: object, **__: object) -> History:
        """Refuse."""
        raise Unavailable("the disk failed")


def test_what_the_daemon_refuses_is_told_as_a_problem(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rtevents.cli.doctor.daemon.PATIENCE", 0.1)
    paths = Paths(daemon.home, daemon.home, daemon.home)
    with Refused(daemon.socket) as client:
        found = [*doctor.daemon(client, paths), doctor.canary(client, client)]

    told = {each.name: each.text for each in found if each.verdict == "problem"}
    assert told["history"] == "it cannot be read: the disk failed"
    assert told["canary"] == "a subscriber was not let in"
    assert capfd.readouterr().err == ""
