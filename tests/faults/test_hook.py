"""The hook of a commit, however the daemon is: it runs, hangs, is down, forgot the project."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rtevents.core.filter import Filter
from rtevents.producers.spool import Spool
from tests.conftest import Daemon, wait_for

COMMIT = ("commit", "-q", "--allow-empty", "-m", "Change")

COMMITS = Filter(types=frozenset({"COMMIT"}))

PAIRS = 9


@contextmanager
def being(daemon: Daemon, root: Path, state: str) -> Iterator[None]:
    """Bring a daemon that watches `root` into a state, and back."""
    process = daemon.process
    assert process is not None
    match state:
        case "stopped":
            process.send_signal(signal.SIGSTOP)
        case "down":
            daemon.stop()
        case "killed":
            daemon.stop(signal.SIGKILL)
    yield
    match state:
        case "stopped":
            process.send_signal(signal.SIGCONT)
        case "down" | "killed":
            daemon.start(str(root))


def told(daemon: Daemon) -> list[str]:
    """Return the commits that are in the log."""
    with daemon.client() as client:
        return [e.event.data["commit_hash"] for e in client.history(COMMITS, limit=1000).events]


def seconds(daemon: Daemon, root: Path, *options: str) -> float:
    """Return how long a commit takes."""
    begun = time.perf_counter()
    daemon.git(*options, *COMMIT, cwd=root)
    return time.perf_counter() - begun


@pytest.mark.parametrize("state", ["up", "stopped", "down", "killed"])
def test_a_commit_neither_waits_nor_is_lost_however_the_daemon_is(
    stopped_daemon: Daemon, state: str
) -> None:
    """F31, F30: the limit is 50 ms; `python -m tests.benchmarks hook` has the figure."""
    daemon = stopped_daemon
    root = daemon.repository()
    begin = daemon.git("rev-parse", "HEAD", cwd=root)
    daemon.start(str(root))
    assert daemon.run("hook", "install", "--way", "file", cwd=root).returncode == 0

    shas = []
    with being(daemon, root, state):
        costs = []
        for _ in range(PAIRS):
            plain = seconds(daemon, root, "-c", "core.hooksPath=/dev/null")
            costs.append(seconds(daemon, root) - plain)
        shas = daemon.git("rev-list", f"{begin}..HEAD", cwd=root).split()
        # In no branch and, as far as git wrote it down, in no reflog: there is the note alone.
        daemon.git("-c", "core.logAllRefUpdates=false", *COMMIT, cwd=root)
        shas.append(daemon.git("rev-parse", "HEAD", cwd=root))
        daemon.git("reset", "-q", "--hard", begin, cwd=root)
        daemon.git("reflog", "expire", "--expire=now", "--all", cwd=root)

    assert sorted(costs)[PAIRS // 2] < 0.05
    wait_for(
        lambda: set(shas) & set(noted_by_hook(shas)) <= set(told(daemon)), "every noted commit"
    )
    assert len(told(daemon)) == len(set(told(daemon)))
    wait_for(lambda: not Spool(root / ".git").noted(), "the notes are read")


def noted_by_hook(shas: list[str]) -> list[str]:
    """Return those of the commits that were made with the hook: every other one, and the last."""
    made = shas[:-1][::-1]
    return [*made[1::2], shas[-1]]


def test_a_project_that_is_removed_leaves_nothing_in_its_repository(daemon: Daemon) -> None:
    root = daemon.repository()
    assert daemon.run("project", "add", str(root)).returncode == 0
    wait_for(lambda: Spool(root / ".git").is_watched, "it is marked")

    assert daemon.run("project", "remove", "web").returncode == 0

    wait_for(lambda: not (root / ".git" / "rtevents").exists(), "nothing is left")


def test_the_mark_of_a_daemon_that_forgot_the_project_does_not_hold_back_for_long(
    daemon: Daemon,
) -> None:
    root = daemon.repository()
    assert daemon.run("hook", "install", "--way", "file", cwd=root).returncode == 0
    Spool(root / ".git").mark()  # as one leaves it that is killed

    shas = [""]
    while not shas[-1].endswith("0"):
        daemon.git(*COMMIT, cwd=root)
        shas.append(daemon.git("rev-parse", "HEAD", cwd=root))

    wait_for(lambda: set(told(daemon)) == set(shas[1:]), "one in sixteen sees to all of them")
    assert not Spool(root / ".git").is_watched
    wait_for(lambda: not Spool(root / ".git").noted(), "the notes are forgotten")
    daemon.git(*COMMIT, cwd=root)
    wait_for(lambda: len(told(daemon)) == len(shas), "and every one after it is told")


def test_a_rebase_where_nobody_watches_starts_few_programs_and_all_is_told(daemon: Daemon) -> None:
    root = daemon.repository()
    daemon.git("switch", "-qc", "topic", cwd=root)
    for _ in range(30):
        daemon.git(*COMMIT, cwd=root)
    daemon.git("switch", "-q", "main", cwd=root)
    # Another message: the same one in the same second would be the same commit.
    daemon.git("commit", "-q", "--allow-empty", "-m", "Other", cwd=root)
    counted = daemon.home / "counted"
    assert daemon.run("hook", "install", "--way", "file", cwd=root).returncode == 0
    file = root / ".git" / "hooks" / "post-commit"
    program = daemon.home / "rtevents"
    program.write_text(f'#!/bin/sh\necho >> {counted}\nexec {sys.executable} -m rtevents "$@"\n')
    program.chmod(0o755)
    file.write_text(re.sub("(?m)^    rte=.*$", f"    rte={program}", file.read_text()))

    daemon.git("rebase", "-q", "--empty=keep", "main", "topic", cwd=root)

    shas = daemon.git("rev-list", "main..topic", cwd=root).split()
    assert len(shas) == 30
    wait_for(lambda: set(told(daemon)) == set(shas), "every commit is told")
    assert len(counted.read_text()) < 15


def test_what_is_noted_while_no_daemon_runs_is_told_when_one_does(stopped_daemon: Daemon) -> None:
    daemon, root = stopped_daemon, stopped_daemon.repository()
    sha = daemon.git("rev-parse", "HEAD", cwd=root)
    (root / ".git" / "rtevents").mkdir()
    # As the hook leaves them: a commit that is not there any more among them.
    (root / ".git" / "rtevents" / "spool").write_text(f"{'1' * 40}\n{sha}\n")
    assert daemon.run("hook", "tell", cwd=root).returncode == 3
    assert Spool(root / ".git").noted() == ["1" * 40, sha]
    daemon.start()

    assert daemon.run("hook", "tell", cwd=root).returncode == 0

    assert told(daemon) == [sha]
    assert Spool(root / ".git").noted() == []
