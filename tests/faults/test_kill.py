"""What a crash takes: F1 and F2."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import time
from contextlib import closing

import pytest

from tests.conftest import PATIENCE, Daemon
from tests.faults.checker import History

CALLS = ("pwrite64", "fdatasync")

BANDS = (
    (1, 2), (3, 5), (6, 8), (9, 15), (16, 25), (26, 40), (41, 60), (61, 90), (91, 130), (131, 200),
)  # fmt: skip
"""Where to be killed in every run, once in each: while it starts, publishes and checkpoints."""

STRACE = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


def integrity(daemon: Daemon) -> str:
    """Return what SQLite says of the database; nobody has it open."""
    with closing(sqlite3.connect(daemon.home / "state" / "rtevents" / "events.db")) as db:
        (said,) = db.execute("PRAGMA integrity_check").fetchone()
    return str(said)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_hundred_times_killed_and_nothing_acknowledged_is_lost(stopped_daemon: Daemon) -> None:
    """F1: kill -9 at random times, eight publishers; it is back within two seconds."""
    daemon = stopped_daemon
    daemon.start()
    chance = random.Random()
    took = []
    with History(daemon) as history:
        for _ in range(200):
            time.sleep(chance.uniform(0.02, 0.3))
            assert daemon.process is not None
            daemon.process.kill()
            daemon.process.wait()
            begun = time.monotonic()
            daemon.start()
            took.append(time.monotonic() - begun)

    history.check()
    assert len(history.acknowledged) > 1000
    assert sorted(took)[len(took) // 2] < 2


def survive(daemon: Daemon, points: list[tuple[str, int]]) -> None:
    """Be killed in the n-th system call of some kind, point after point; come back whole."""
    daemon.start()
    with History(daemon, publishers=3) as history:
        daemon.stop()
        for call, number in points:
            inject = f"inject={call}:signal=SIGKILL:when={number}"
            quiet = ["strace", "-qq", "-f", "-o", os.devnull]
            daemon.spawn(through=[*quiet, "-e", f"trace={call}", "-e", inject])
            assert daemon.process is not None
            assert daemon.process.wait(PATIENCE) == -signal.SIGKILL, (call, number)
            assert integrity(daemon) == "ok", (call, number)
        daemon.start()

    history.check()


@STRACE
@pytest.mark.parametrize("call", CALLS)
def test_killed_in_any_write_or_sync_it_comes_back_whole(stopped_daemon: Daemon, call: str) -> None:
    """F2: twenty points of those where it writes and syncs, early and late."""
    chance = random.Random()
    points = [(call, chance.randint(*band)) for band in BANDS]
    chance.shuffle(points)
    print(points)  # noqa: T201 - to repeat a failure

    survive(stopped_daemon, points)


@STRACE
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("call", CALLS)
def test_killed_in_each_write_and_sync_it_comes_back_whole(
    stopped_daemon: Daemon, call: str
) -> None:
    """F2: every point up to the two hundredth."""
    survive(stopped_daemon, [(call, number) for number in range(1, 201)])
