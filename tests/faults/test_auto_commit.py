"""Automatic commits of a real daemon that is killed, while somebody edits: F33."""

from __future__ import annotations

import random
import signal
import subprocess
from pathlib import Path

import pytest

from rtevents.core.event import Entry
from rtevents.core.filter import Filter
from tests.conftest import Daemon, wait_for

ENDS = ("AUTO_COMMIT_RESULT", "AUTO_COMMIT_ERROR")


def git(daemon: Daemon, root: Path, *arguments: str) -> str:
    """Run git; return what it said."""
    return subprocess.run(
        ["git", *arguments], cwd=root, env=daemon.env, check=True, capture_output=True, text=True
    ).stdout


def told(daemon: Daemon, *types: str) -> list[Entry]:
    """Return every event of some types, oldest first."""
    found: list[Entry] = []
    with daemon.client() as client:
        after = "0"
        while page := client.history(
            Filter(types=frozenset(types)), after=after, limit=1000
        ).events:
            found += page
            after = str(page[-1].seq)
    return found


@pytest.fixture
def project(stopped_daemon: Daemon) -> Path:
    """Return a repository that a daemon is to commit a moment after each change."""
    root = stopped_daemon.home / "web"
    root.mkdir()
    git(stopped_daemon, root, "init", "-q")
    git(stopped_daemon, root, "commit", "-q", "--allow-empty", "-m", "Begin")
    folder = stopped_daemon.home / "config" / "rtevents"
    folder.mkdir()
    (folder / "config.yaml").write_text(
        "auto_commit: {quiet: 0.1, max_wait: 1}\n"
        f"projects: [{{path: {root}, id: web, auto_commit: true}}]\n"
    )
    return root


def test_each_begin_has_one_end_through_kill_9(stopped_daemon: Daemon, project: Path) -> None:
    dice = random.Random(7)
    for number in range(12):
        stopped_daemon.start()
        for _ in range(dice.randrange(1, 4)):
            starts = len(told(stopped_daemon, "AUTO_COMMIT_START"))
            (project / f"f{dice.randrange(5)}").write_text(f"{number} {dice.random()}")
            wait_for(
                lambda n=starts: len(told(stopped_daemon, "AUTO_COMMIT_START")) > n,  # type: ignore[misc]
                "a commit begins",
            )
        stopped_daemon.stop(signal.SIGKILL)
    stopped_daemon.start()
    wait_for(lambda: git(stopped_daemon, project, "status", "--porcelain") == "", "all is saved")
    wait_for(
        lambda: len(told(stopped_daemon, *ENDS)) == len(told(stopped_daemon, "AUTO_COMMIT_START")),
        "each begin has an end",
    )

    ends = [entry.event for entry in told(stopped_daemon, *ENDS)]
    assert len({str(event.extensions) for event in ends}) == len(ends)
    saved = [event.data["commit_hash"] for event in ends if event.data.get("success")]
    made = git(stopped_daemon, project, "rev-list", "--reverse", "HEAD").split()[1:]
    assert saved == made
    wait_for(lambda: len(told(stopped_daemon, "COMMIT")) == len(made), "each commit is told")
    assert not (project / ".git" / "index.lock").exists()
    assert git(stopped_daemon, project, "fsck", "--no-dangling") == ""


def test_a_user_who_works_with_git_at_the_same_time_is_never_disturbed(
    stopped_daemon: Daemon, project: Path
) -> None:
    stopped_daemon.start()
    for number in range(40):
        (project / f"f{number % 7}").write_text(f"{number}")
        git(stopped_daemon, project, "add", "-A")
        git(stopped_daemon, project, "commit", "-q", "--allow-empty", "-m", f"Mine {number}")
        (project / "draft").write_text(f"{number}")

    wait_for(lambda: git(stopped_daemon, project, "status", "--porcelain") == "", "all is saved")
    subjects = git(stopped_daemon, project, "log", "--format=%s").splitlines()
    assert [each for each in subjects if each.startswith("Mine")] == [
        f"Mine {number}" for number in reversed(range(40))
    ]
    assert (project / "draft").read_text() == "39"
    assert git(stopped_daemon, project, "show", "HEAD:draft") == "39"
