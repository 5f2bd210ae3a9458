"""A log of an older release, opened by this one: F42."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from rtevents.stores.header import OLDEST_VERSION, SCHEMA_VERSION
from tests.conftest import PATIENCE, Daemon
from tests.faults.checker import everything
from tests.faults.test_damage import told
from tests.faults.test_disk import database, health, publish
from tests.stores.test_migrate import older

KEEP = {"RTEVENTS_RETENTION__MAX_AGE": "0"}
"""The logs are of another year."""

MANY = 60_000
"""Entries that take some thousand writes to upgrade."""


def old_log(daemon: Daemon, version: int) -> Path:
    """Put a log of an older release in the daemon's place."""
    file = database(daemon)
    file.parent.mkdir(mode=0o700)
    older(file, version)
    return file


@pytest.mark.parametrize("version", range(OLDEST_VERSION, SCHEMA_VERSION))
def test_a_log_of_an_older_release_goes_on_where_it_was(
    stopped_daemon: Daemon, version: int
) -> None:
    """F42: with its name, its seqs and its entries; a bookmark of then is good."""
    daemon = stopped_daemon
    old_log(daemon, version)

    daemon.start("--no-project", env=KEEP)

    with daemon.client() as client:
        assert str(client.status()["bookmark"]) == "2b1ec0de-41"
        assert [entry.seq for entry in everything(client)] == list(range(7, 42))
        [entry] = client.history(after="2b1ec0de-40").events
    assert entry.event_id == "e41"
    assert health(daemon) == ("ok", "")
    assert publish(daemon, "goes on") == 42


def grow(file: Path) -> None:
    """Add many entries to a log of schema 2."""
    with closing(sqlite3.connect(file)) as db:
        db.execute(
            "WITH RECURSIVE n (seq) AS (SELECT 42 UNION ALL SELECT seq + 1 FROM n WHERE seq < ?) "
            "INSERT INTO entry SELECT n.seq, 'm' || n.seq, 1763863201.0, n.seq * 1000, "
            "CAST(replace(body, 'e40', 'm' || n.seq) AS BLOB) FROM n, entry WHERE entry.seq = 40",
            (MANY,),
        )
        db.execute(
            "WITH RECURSIVE n (block) AS (SELECT 1 UNION ALL SELECT block + 1 FROM n "
            "WHERE block < ?) INSERT OR IGNORE INTO holding "
            "SELECT key, value, n.block FROM n, (SELECT key, value FROM holding WHERE block = 1)",
            (MANY // 32,),
        )
        db.commit()


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_killed_in_an_upgrade_it_is_made_at_the_next_start(stopped_daemon: Daemon) -> None:
    """F42: in the midst of its writes, and in the sync that would have made it true."""
    daemon = stopped_daemon
    file = old_log(daemon, 2)
    grow(file)
    for point in ("pwrite64:signal=SIGKILL:when=200", "pwrite64:signal=SIGKILL:when=1500"):
        quiet = ["strace", "-qq", "-f", "-o", os.devnull, "-e", "trace=pwrite64"]
        daemon.spawn("--no-project", through=[*quiet, "-e", f"inject={point}"])
        assert daemon.process is not None
        assert daemon.process.wait(PATIENCE) == -signal.SIGKILL, point
        with closing(sqlite3.connect(file)) as db:
            assert db.execute("PRAGMA user_version").fetchone() == (2,), point
            assert db.execute("SELECT count(*) FROM entry").fetchone() == (MANY - 6,), point

    daemon.start("--no-project", env=KEEP)

    with daemon.client() as client:
        assert str(client.status()["bookmark"]) == f"2b1ec0de-{MANY}"
        page = client.history(after=f"2b1ec0de-{MANY - 500}", limit=1000)
    assert [entry.seq for entry in page.events] == list(range(MANY - 499, MANY + 1))
    assert not any(entry.is_corrupt for entry in page.events)
    assert told(daemon, "store.corrupt") == []
    assert publish(daemon, "goes on") == MANY + 1
    daemon.stop()
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
