"""Commits and moves of refs of a real daemon: each once, and git is never disturbed: F28."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rtevents.core.filter import Filter
from rtevents.producers.spool import Spool
from tests.conftest import Daemon, wait_for

COMMIT = ("commit", "-q", "--allow-empty", "-m", "Change")

Move = tuple[str, str | None, str | None]


def told(daemon: Daemon, *types: str) -> list[dict[str, Any]]:
    """Return the data of every event of some types, oldest first."""
    found: list[dict[str, Any]] = []
    after = "0"
    with daemon.client() as client:
        while page := client.history(Filter(types=frozenset(types)), after=after).events:
            found += [entry.event.data for entry in page]
            after = str(page[-1].seq)
    return found


def commits(daemon: Daemon) -> list[str]:
    """Return the commits that were told."""
    return [data["commit_hash"] for data in told(daemon, "COMMIT")]


def moves(daemon: Daemon) -> list[Move]:
    """Return the moves of refs that were told: the name, where it was, where it is."""
    return [(data["ref"], data["old"], data["new"]) for data in told(daemon, "REF_UPDATE")]


def refs(daemon: Daemon, root: Path) -> dict[str, str]:
    """Return what each branch and tag names."""
    said = daemon.git("for-each-ref", "--format=%(refname) %(objectname)", cwd=root)
    return dict(line.split() for line in said.splitlines())


def followed(before: Mapping[str, str], done: list[Move]) -> dict[str, str]:
    """Return where moves lead; fail if one does not begin where the last one ended."""
    now = dict(before)
    for ref, old, new in done:
        assert now.pop(ref, None) == old != new
        if new is not None:
            now[ref] = new
    return now


def digests(root: Path) -> dict[str, tuple[int, str]]:
    """Return of every file below a folder when it was changed, and what is in it."""
    return {
        str(file): (file.stat().st_mtime_ns, hashlib.sha256(file.read_bytes()).hexdigest())
        for file in root.rglob("*")
        if file.is_file()
    }


def test_git_never_fails_while_it_is_watched(stopped_daemon: Daemon) -> None:
    daemon = stopped_daemon
    root = daemon.repository()
    daemon.git("branch", "other", cwd=root)
    before, start = refs(daemon, root), time.monotonic()
    daemon.start(str(root))
    made, number = set(), 0
    while time.monotonic() < start + 6:
        number += 1
        for name in range(5):
            (root / f"{name}.txt").write_text(str(number))
        # `daemon.git` fails when git does.
        daemon.git("add", "-A", cwd=root)
        daemon.git(*COMMIT, cwd=root)
        made.add(daemon.git("rev-parse", "HEAD", cwd=root))
        daemon.git("checkout", "-q", "other" if number % 2 else "main", cwd=root)
        daemon.git("tag", f"v{number}", cwd=root)
        if number % 10 == 0:
            daemon.git("pack-refs", "--all", cwd=root)

    wait_for(lambda: made <= set(commits(daemon)), "every commit")
    assert sorted(commits(daemon)) == sorted(made)
    wait_for(lambda: followed(before, moves(daemon)) == refs(daemon, root), "every move")
    assert number > 10


def test_variables_that_a_hook_leaks_lead_to_no_other_repository(stopped_daemon: Daemon) -> None:
    """F32: git hands its hooks the place of its repository, and they may start the daemon."""
    daemon = stopped_daemon
    root, other = daemon.repository("web"), daemon.repository("other")
    daemon.git("worktree", "add", "-q", "../linked", cwd=other)
    # What a look that takes a lock would write anew.
    (other / "README.md").touch()
    before = digests(other / ".git")
    linked = other / ".git" / "worktrees" / "linked"
    leaked = {
        "GIT_DIR": str(linked),
        "GIT_COMMON_DIR": str(other / ".git"),
        "GIT_INDEX_FILE": str(linked / "index"),
        "GIT_WORK_TREE": str(other),
        "GIT_OBJECT_DIRECTORY": str(other / ".git" / "objects"),
        "GIT_PREFIX": "",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.worktree",
        "GIT_CONFIG_VALUE_0": str(other),
    }
    daemon.start(str(root), env=leaked)

    (root / "new.txt").write_text("new\n")
    daemon.git("add", ".", cwd=root)
    daemon.git(*COMMIT, cwd=root)
    daemon.git("checkout", "-q", "-b", "topic", cwd=root)

    made = daemon.git("rev-parse", "HEAD", cwd=root)
    wait_for(lambda: "refs/heads/topic" in [ref for ref, *_ in moves(daemon)], "it is told")
    assert commits(daemon) == [made]
    wait_for(lambda: told(daemon, "FILE_CHANGE"), "the file is told")
    assert {data["file_path"] for data in told(daemon, "FILE_CHANGE")} == {"new.txt"}
    assert digests(other / ".git") == before


def test_a_lock_that_somebody_holds_is_neither_waited_for_nor_taken(daemon: Daemon) -> None:
    root = daemon.repository()
    assert daemon.run("project", "add", str(root)).returncode == 0
    tree = daemon.git("rev-parse", "HEAD^{tree}", cwd=root)
    made = daemon.git("commit-tree", tree, "-p", "HEAD", "-m", "Change", cwd=root)
    (root / "README.md").touch()
    index = (root / ".git" / "index").stat()
    names = ("index.lock", "HEAD.lock", "packed-refs.lock", "config.lock", "refs/heads/main.lock")
    for name in names:
        (root / ".git" / name).touch()
    locks = [(root / ".git" / name).stat() for name in names]

    # As a git does that has these locks.
    (root / ".git" / "refs" / "heads" / "main").write_text(f"{made}\n")

    wait_for(lambda: commits(daemon) == [made], "it is told")
    now = (root / ".git" / "index").stat()
    assert (now.st_ino, now.st_mtime_ns) == (index.st_ino, index.st_mtime_ns)
    for name, lock in zip(names, locks, strict=True):
        assert (root / ".git" / name).stat().st_ino == lock.st_ino


def test_what_happens_while_the_daemon_is_down_is_told_once_after_the_start(
    stopped_daemon: Daemon,
) -> None:
    """F30: fifty commits of ten files each, half of them noted by the hook."""
    daemon = stopped_daemon
    root = daemon.repository()
    daemon.start(str(root))
    assert daemon.run("hook", "install", cwd=root).returncode == 0
    before, begin = refs(daemon, root), daemon.git("rev-parse", "HEAD", cwd=root)
    daemon.stop(signal.SIGKILL)
    for number in range(50):
        for name in range(10):
            (root / f"{number}-{name}.txt").write_text("x\n")
        daemon.git("add", "-A", cwd=root)
        hooks = ("-c", "core.hooksPath=/dev/null") if number % 2 else ()
        daemon.git(*hooks, *COMMIT, cwd=root)
    made = daemon.git("rev-list", "--reverse", f"{begin}..", cwd=root).split()
    daemon.start(str(root))

    wait_for(lambda: len(commits(daemon)) >= 50, "every commit")
    wait_for(lambda: len(told(daemon, "FILE_CHANGE")) >= 500, "every file")
    assert commits(daemon) == made
    assert moves(daemon) == [
        ("refs/heads/main", old, new) for old, new in zip([begin, *made], made, strict=False)
    ]
    assert followed(before, moves(daemon)) == refs(daemon, root)
    everything = told(daemon, "COMMIT", "REF_UPDATE", "FILE_CHANGE")
    assert all(data["reconciled"] for data in everything)
    assert len(everything) == 600
    wait_for(lambda: not Spool(root / ".git").noted(), "the notes are read")


@pytest.mark.parametrize("rounds", [6, pytest.param(30, marks=pytest.mark.slow)])
def test_a_daemon_that_is_killed_tells_each_commit_and_each_move_once(
    stopped_daemon: Daemon, rounds: int
) -> None:
    daemon, dice = stopped_daemon, random.Random(rounds)
    root = daemon.repository()
    before = refs(daemon, root)
    daemon.start(str(root))
    ended = threading.Event()

    def work() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            daemon.git(*COMMIT, cwd=root)
            if number % 3 == 0:
                daemon.git(*COMMIT, "--amend", "-m", f"Amended {number}", cwd=root)
            if number % 5 == 0:
                daemon.git("branch", f"b{number}", cwd=root)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(rounds):
            time.sleep(dice.uniform(0, 0.3))
            daemon.stop(signal.SIGKILL)
            daemon.start(str(root))
    finally:
        ended.set()
        worker.join()

    wait_for(lambda: followed(before, moves(daemon)) == refs(daemon, root), "every move")
    made = set(daemon.git("rev-list", "--reflog", "--branches", cwd=root).split())
    made -= set(daemon.git("rev-list", before["refs/heads/main"], cwd=root).split())
    wait_for(lambda: made <= set(commits(daemon)), "every commit")
    assert sorted(commits(daemon)) == sorted(made)


@pytest.mark.slow
def test_a_commit_of_a_hundred_thousand_files_is_told(daemon: Daemon) -> None:
    root = daemon.repository()
    assert daemon.run("project", "add", str(root), "--no-files").returncode == 0
    blob = subprocess.check_output(
        ["git", "hash-object", "-w", "--stdin"], input=b"x\n", cwd=root, env=daemon.env
    ).decode()
    given = "".join(f"100644 {blob.strip()}\t{n:06}/{'n' * 200}\n" for n in range(100_000))
    subprocess.run(
        ["git", "update-index", "--index-info"],
        input=given.encode(), cwd=root, env=daemon.env, check=True,
    )  # fmt: skip
    begun = time.monotonic()
    daemon.git(*COMMIT, cwd=root)

    wait_for(lambda: commits(daemon), "it is told")

    data = told(daemon, "COMMIT")[0]
    assert (data["files_changed"], data["insertions"]) == (100_000, 100_000)
    assert len(data["files"]) == 200
    assert time.monotonic() - begun < 15
