"""What the kernel does to those who watch files: F23 to F27 and F30."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rtevents.core.event import Entry
from rtevents.core.filter import Filter
from tests.conftest import Daemon, wait_for

LIMITS = """
echo {watches} > /proc/sys/user/max_inotify_watches
echo {instances} > /proc/sys/user/max_inotify_instances
exec "$@"
"""
"""Lowers the limits for what follows alone: in a user namespace of its own."""

MOUNTS = pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounts need root")

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with one file in it."""
    root = tmp_path.resolve() / "web"
    root.mkdir()
    (root / "old.txt").write_text("old")
    return root


def kept(daemon: Daemon, kind: str) -> list[Entry]:
    """Return every event of a type, oldest first."""
    found: list[Entry] = []
    with daemon.client() as client:
        after = "0"
        while page := client.history(
            Filter(types=frozenset({kind})), after=after, limit=1000
        ).events:
            found += page
            after = str(page[-1].seq)
    return found


def files(daemon: Daemon) -> dict[str, int]:
    """Return the files that the stream tells of, with their sizes."""
    known: dict[str, int] = {}
    for entry in kept(daemon, "FILE_CHANGE"):
        data = entry.event.data
        known.pop(data.get("old_path") or data["file_path"], None)
        if data["change_type"] != "deleted":
            known[data["file_path"]] = data["size"]
    return known


def said(daemon: Daemon) -> list[dict[str, Any]]:
    """Return what the stream tells of the watch itself."""
    return [entry.event.data for entry in kept(daemon, "SYSTEM_STATUS")]


def rescans(daemon: Daemon) -> list[int]:
    """Return how many files were there whenever all were looked at."""
    return [data["metrics"]["files"] for data in said(daemon) if data["event"] == "fs.rescan"]


def on_disk(root: Path) -> dict[str, int]:
    """Return the files below a folder, with their sizes."""
    return {
        str(file.relative_to(root)): file.lstat().st_size
        for file in root.rglob("*")
        if file.is_file() or file.is_symlink()
    }


def limited(watches: int, instances: int = 1000) -> list[str]:
    """Return the command that runs another with so few watches."""
    script = LIMITS.format(watches=watches, instances=instances)
    command = ["unshare", "-Ur", "sh", "-ec", script, "sh"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("user namespaces are not allowed here")
    return command


def without_old(root: Path) -> dict[str, int]:
    """Return what is on disk and was not there at the start."""
    return {path: size for path, size in on_disk(root).items() if path != "old.txt"}


@pytest.fixture
def watching(stopped_daemon: Daemon, project: Path) -> Daemon:
    """Return a daemon that watches the project."""
    stopped_daemon.start(str(project))
    return stopped_daemon


@LINUX
@pytest.mark.parametrize("count", [30_000])
def test_a_burst_that_overflows_the_kernels_queue_ends_equal_to_the_disk(
    watching: Daemon, project: Path, count: int
) -> None:
    for number in range(100):
        (project / f"d{number}").mkdir()
        (project / f"d{number}" / "first").write_text("x")
    wait_for(lambda: files(watching) == without_old(project), "every folder is watched")
    assert watching.process is not None
    watching.process.send_signal(signal.SIGSTOP)
    for number in range(count):
        (project / f"d{number % 100}" / f"f{number}").write_text("x" * (number % 7))
    for number in range(0, count, 3):
        (project / f"d{number % 100}" / f"f{number}").unlink()
    watching.process.send_signal(signal.SIGCONT)

    wait_for(lambda: files(watching) == without_old(project), "all of it is told", 60)
    wait_for(lambda: rescans(watching) == [len(on_disk(project))], "why is told, once")
    (project / "after.txt").write_text("x")
    wait_for(lambda: "after.txt" in files(watching), "what comes after is told")


@LINUX
def test_too_few_watches_at_the_start_are_told_with_the_remedy_and_files_are_looked_at(
    stopped_daemon: Daemon, project: Path
) -> None:
    for number in range(50):
        (project / f"d{number}").mkdir()
    stopped_daemon.start(str(project), through=limited(40))
    begun = time.monotonic()
    for number in range(50):
        (project / f"d{number}" / "new.txt").write_text("x")

    wait_for(lambda: files(stopped_daemon) == without_old(project), "every change is found", 8)
    assert time.monotonic() - begun < 8
    [limit] = [data for data in said(stopped_daemon) if data["event"] == "watch.limited"]
    assert limit["status"] == "degraded"
    assert "fs.inotify.max_user_watches" in limit["reasons"][0]
    with stopped_daemon.client() as client:
        health = client.status()["health"]
        [web] = client.status()["projects"]
    assert health["status"] == "degraded"
    assert "fs.inotify.max_user_watches" in health["reasons"][0]
    assert (web["state"], "max_user_watches" in web["error"]) == ("watching", True)


@LINUX
def test_watches_that_run_out_later_are_noticed_and_files_are_looked_at(
    stopped_daemon: Daemon, project: Path
) -> None:
    stopped_daemon.start(str(project), through=limited(40))
    assert said(stopped_daemon) == []
    for number in range(60):
        (project / f"d{number}").mkdir()
    wait_for(lambda: [data["event"] for data in said(stopped_daemon)] == ["watch.limited"], "told")
    begun = time.monotonic()
    for number in range(60):
        (project / f"d{number}" / "new.txt").write_text("x")

    wait_for(lambda: files(stopped_daemon) == without_old(project), "every change is found", 8)
    assert time.monotonic() - begun < 8


@LINUX
def test_no_watch_at_all_is_told_with_the_remedy_and_files_are_looked_at(
    stopped_daemon: Daemon, project: Path
) -> None:
    stopped_daemon.start(str(project), through=limited(1000, 0))
    (project / "new.txt").write_text("x")

    wait_for(lambda: "new.txt" in files(stopped_daemon), "it is found", 8)
    [limit] = [data for data in said(stopped_daemon) if data["event"] == "watch.limited"]
    assert "fs.inotify.max_user_instances" in limit["reasons"][0]


def test_a_thousand_files_in_nested_folders_that_appear_at_once_are_all_told(
    watching: Daemon, project: Path
) -> None:
    for number in range(200):
        folder = project / f"n{number}" / "a" / "b" / "c"
        folder.mkdir(parents=True)
        for part in (folder, *folder.parents[:3]):
            (part / "f.txt").write_text("x")

    wait_for(lambda: files(watching) == without_old(project), "all 800 are told")


NAMES = [
    b"\xff\xfe", b"bad\xff\nname", b"100%\xff%41", b"100%41", b"new\nline", b"x" * 255, b"--flag",
    b" leading", b"trailing ", "😀".encode(), "é".encode(), "e\u0301".encode(), b"a\\b", b"q\"uote",
    b"\x1b[31mred", b"tab\t", "\u202egpj.exe".encode(), b"\xed\xa0\x80",
]  # fmt: skip


def test_every_name_is_told_once_and_comes_back_to_the_byte(
    watching: Daemon, project: Path
) -> None:
    from urllib.parse import unquote_to_bytes

    def told() -> list[bytes]:
        found = []
        for entry in kept(watching, "FILE_CHANGE"):
            data = entry.event.data
            path = data["file_path"]
            found.append(unquote_to_bytes(path) if data.get("is_coded") else path.encode())
        return found

    for name in NAMES:
        Path(os.fsdecode(os.fsencode(project) + b"/" + name)).write_text("x")

    wait_for(lambda: set(told()) == set(NAMES), "each is told")
    time.sleep(0)
    assert sorted(told()) == sorted(NAMES), "once"
    shown = watching.run("history", "-t", "FILE_CHANGE", "-o", "pretty").stdout
    assert "\x1b[31m" not in shown
    assert "\u202e" not in shown


def test_changes_made_while_the_daemon_is_down_are_told_once_after_the_start(
    watching: Daemon, project: Path
) -> None:
    for number in range(300):
        (project / f"a{number}").write_text("x")
    wait_for(lambda: files(watching) == without_old(project), "they are told")
    watching.stop(signal.SIGKILL)
    for number in range(500):
        (project / f"b{number}").write_text("yy")
    for number in range(0, 300, 2):
        (project / f"a{number}").unlink()
    (project / "old.txt").write_text("changed")
    (project / "b0").rename(project / "c0")
    watching.start(str(project))

    wait_for(lambda: "c0" in files(watching), "they are found")
    assert files(watching) == on_disk(project)
    found = [entry.event.data for entry in kept(watching, "FILE_CHANGE")[300:]]
    assert len(found) == 500 + 150 + 1
    assert all(data["reconciled"] for data in found)
    watching.stop()
    watching.start(str(project))
    assert len(kept(watching, "FILE_CHANGE")) == 300 + 651


@MOUNTS
def test_what_is_mounted_below_the_root_and_what_is_uncovered_is_watched(
    watching: Daemon, project: Path
) -> None:
    """The kernel goes on telling of the folder that was watched, beneath what is mounted there."""
    folder = project / "a b"
    folder.mkdir()
    (folder / "under").write_text("x")
    wait_for(lambda: files(watching) == without_old(project), "it is told")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        (folder / "on").write_text("x")
        wait_for(lambda: files(watching) == without_old(project), "what is on the mount is told")
        (folder / "more").write_text("x")
        wait_for(lambda: files(watching) == without_old(project), "it is watched")
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)
    assert on_disk(folder) == {"under": 1}
    wait_for(lambda: files(watching) == without_old(project), "what is uncovered is told")
    (folder / "after").write_text("x")
    wait_for(lambda: files(watching) == without_old(project), "it is watched again")
    assert any("was mounted or unmounted" in data["reasons"][0] for data in said(watching))


@MOUNTS
def test_a_root_that_is_unmounted_loses_no_file(stopped_daemon: Daemon, project: Path) -> None:
    (project / "old.txt").unlink()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(project)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        (project / "kept.txt").write_text("x")
        stopped_daemon.start(str(project))
        (project / "new.txt").write_text("x")
        wait_for(lambda: "new.txt" in files(stopped_daemon), "it is told")
        subprocess.run(["umount", "-l", str(project)], check=True)

        wait_for(lambda: said(stopped_daemon), "it is said")
        assert said(stopped_daemon)[-1]["event"] == "root.lost"
        stopped_daemon.stop()
        stopped_daemon.start(str(project))
        wait_for(lambda: len(said(stopped_daemon)) == 2, "it is said again")
        assert "not mounted" in said(stopped_daemon)[-1]["reasons"][0]
        assert files(stopped_daemon) == {"new.txt": 1}
    finally:
        subprocess.run(["umount", "-l", str(project)], capture_output=True, check=False)
        shutil.rmtree(project, ignore_errors=True)
