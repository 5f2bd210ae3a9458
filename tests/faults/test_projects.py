"""Many projects in one daemon: the trouble of one is its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from rtevents.core.filter import Filter
from tests.conftest import Daemon, wait_for


@pytest.fixture
def projects(stopped_daemon: Daemon, tmp_path: Path) -> dict[str, Path]:
    """Return six repositories and what will befall five of them; a daemon watches all."""
    names = ("deleted", "replaced", "broken", "piped", "flooded", "healthy")
    roots = {name: tmp_path.resolve() / name for name in names}
    for root in roots.values():
        root.mkdir()
        git(stopped_daemon, root, "init", "-q")
        git(stopped_daemon, root, "commit", "-q", "--allow-empty", "-m", "first")
    stopped_daemon.start(*map(str, roots.values()))
    return roots


def git(daemon: Daemon, root: Path, *arguments: str) -> None:
    """Run git in a repository."""
    subprocess.run(["git", *arguments], cwd=root, env=daemon.env, check=True, capture_output=True)


def until_told(daemon: Daemon, project: str, kind: str, count: int) -> None:
    """Return when events of a type were told of so many files, or commits, of a project."""
    flt = Filter(types=frozenset({kind}), projects=frozenset({project}))

    def is_told() -> bool:
        found, after = set[str](), "0"
        with daemon.client() as client:
            while page := client.history(flt, after=after, limit=1000).events:
                # A file may be seen before it is whole, and again after that.
                found |= {entry.path or entry.event.event_id for entry in page}
                after = str(page[-1].seq)
        return len(found) == count

    wait_for(is_told, f"{count} {kind} of {project}")


def error(daemon: Daemon, project: str) -> object:
    """Return what is wrong with a project; None when nothing is."""
    with daemon.client() as client:
        return next(each["error"] for each in client.projects() if each["id"] == project)


def states(daemon: Daemon) -> dict[str, tuple[str, str | None]]:
    """Return the state of each project, and what is wrong with it."""
    with daemon.client() as client:
        return {each["id"]: (each["state"], each["error"]) for each in client.projects()}


def said(daemon: Daemon) -> list[str]:
    """Return what the stream tells of the watches."""
    with daemon.client() as client:
        entries = client.history(Filter(types=frozenset({"SYSTEM_STATUS"}))).events
    return [entry.event.data["event"] for entry in entries]


def test_a_project_that_is_away_at_the_start_is_watched_when_it_is_back(
    stopped_daemon: Daemon, tmp_path: Path
) -> None:
    """As a disk that is mounted later; what changed meanwhile is told, marked."""
    root = tmp_path.resolve() / "usb"
    root.mkdir()
    (root / "old").write_text("x")
    stopped_daemon.start("--no-project")
    stopped_daemon.run("project", "add", str(root))
    stopped_daemon.stop()
    away = root.rename(tmp_path / "away")

    stopped_daemon.start("--no-project")
    assert states(stopped_daemon) == {"usb": ("degraded", f"root lost: {root} is not there")}
    assert stopped_daemon.run("status").stdout.startswith("degraded")
    explained = stopped_daemon.run("watch", "explain", str(root / "old")).stdout
    assert f"the project is degraded: root lost: {root} is not there" in explained
    (away / "new").write_text("x")
    away.rename(root)

    until_told(stopped_daemon, "usb", "FILE_CHANGE", 1)
    wait_for(lambda: states(stopped_daemon) == {"usb": ("watching", None)}, "it is watched")
    assert said(stopped_daemon) == ["root.lost", "root.back"]
    with stopped_daemon.client() as client:
        (entry,) = client.history(Filter(types=frozenset({"FILE_CHANGE"}))).events
    assert (entry.path, entry.event.data["reconciled"]) == ("new", True)
    assert "root lost" not in stopped_daemon.run("status").stdout


def test_a_root_that_is_lost_while_it_is_watched_is_not_well(
    stopped_daemon: Daemon, tmp_path: Path
) -> None:
    root = tmp_path.resolve() / "web"
    root.mkdir()
    stopped_daemon.start(str(root))
    root.rename(tmp_path / "away")

    lost = {"web": ("degraded", f"root lost: {root} is not there")}
    wait_for(lambda: states(stopped_daemon) == lost, "it is lost")
    assert stopped_daemon.run("status").stdout.startswith("degraded")
    (tmp_path / "away").rename(root)
    wait_for(lambda: states(stopped_daemon) == {"web": ("watching", None)}, "it is back")
    assert "root lost" not in stopped_daemon.run("status").stdout


def test_the_trouble_of_five_projects_does_not_stop_the_sixth(
    stopped_daemon: Daemon, projects: dict[str, Path]
) -> None:
    shutil.rmtree(projects["deleted"])
    shutil.rmtree(projects["replaced"])
    projects["replaced"].write_text("a file now")
    (projects["broken"] / ".git" / "HEAD").write_bytes(b"\0" * 1000)
    (projects["broken"] / ".git" / "packed-refs").write_bytes(os.urandom(10_000))
    # Whoever opens a pipe to read it waits for a writer, and there is none.
    os.mkfifo(projects["piped"] / ".gitignore")
    (projects["piped"] / "new.txt").write_text("x")
    for number in range(5000):
        (projects["flooded"] / f"f{number}").write_text("x")

    healthy = projects["healthy"]
    for number in range(1, 4):
        (healthy / f"{number}.txt").write_text("x")
        until_told(stopped_daemon, "healthy", "FILE_CHANGE", number)
        git(stopped_daemon, healthy, "add", "-A")
        git(stopped_daemon, healthy, "commit", "-q", "-m", f"change {number}")
        until_told(stopped_daemon, "healthy", "COMMIT", number)

    until_told(stopped_daemon, "flooded", "FILE_CHANGE", 5000)
    until_told(stopped_daemon, "piped", "FILE_CHANGE", 1)
    wait_for(lambda: "not a git repository" in str(error(stopped_daemon, "broken")), "it is told")
    assert error(stopped_daemon, "healthy") is None
    assert stopped_daemon.stop() == 0
