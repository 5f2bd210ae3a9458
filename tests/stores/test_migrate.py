"""A database of each older schema is opened by this release, whole and once."""

from __future__ import annotations

import logging
import shutil
import sqlite3
from collections import namedtuple
from contextlib import closing
from pathlib import Path

import pytest

from rtevents import __version__
from rtevents.core.event import Entry
from rtevents.core.store import Bounds
from rtevents.errors import StoreError
from rtevents.stores import migrate
from rtevents.stores.header import OLDEST_VERSION, SCHEMA_VERSION
from rtevents.stores.sqlite import SQLiteStore
from rtevents.stores.sqlite_file import create
from rtevents.stores.sqlite_rows import checksum
from tests.stores.samples import event, everything, seqs, wanting

SCHEMAS = Path(__file__).parent / "schemas"


def older(path: Path, version: int) -> None:
    """Make a database as an older release left it."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript((SCHEMAS / f"schema_{version}.sql").read_text())
        db.execute("PRAGMA journal_mode = WAL")


def rows_of(path: Path) -> list[tuple[int, str, float, int, bytes]]:
    """Return what is stored, the checksums left out."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(
            "SELECT seq, event_id, stored_at, bytes_before, body FROM entry"
        ).fetchall()


def columns(path: Path, table: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(f"PRAGMA table_info({table})").fetchall()


def test_each_schema_that_was_released_is_tried() -> None:
    names = {file.name for file in SCHEMAS.iterdir()}

    assert names == {f"schema_{n}.sql" for n in range(OLDEST_VERSION, SCHEMA_VERSION)}


@pytest.mark.parametrize("version", range(OLDEST_VERSION, SCHEMA_VERSION))
async def test_a_log_of_an_older_release_goes_on(tmp_path: Path, version: int) -> None:
    path = tmp_path / "events.db"
    older(path, version)
    before = rows_of(path)

    store = await SQLiteStore.open(path=path)

    assert store.epoch == "2b1ec0de"
    assert store.notes == []
    assert await store.bounds() == Bounds(7, 41)
    found: list[Entry] = await everything(store)
    assert [entry.seq for entry in found] == list(range(7, 42))
    assert not any(entry.is_corrupt for entry in found)
    assert len(await seqs(store, wanting(types="COMMIT", projects="web"))) == 0
    assert len(await seqs(store, wanting(types="COMMIT"))) == 11
    assert (await store.append([[event(event_id="e41")]]))[0] is not None
    [[stored]] = await store.append([[event(event_id="new")]])  # type: ignore[misc]
    assert stored.seq == 42
    await store.close()
    assert rows_of(path)[:-1] == before
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        sums = db.execute("SELECT seq, body, crc FROM entry").fetchall()
        maker = db.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()
    assert all(checksum(seq, body) == crc for seq, body, crc in sums)
    assert maker == (__version__,)


@pytest.mark.parametrize("version", range(OLDEST_VERSION, SCHEMA_VERSION))
async def test_an_upgraded_database_is_as_one_made_today(tmp_path: Path, version: int) -> None:
    path, new = tmp_path / "events.db", tmp_path / "new"
    older(path, version)
    create(new)

    await (await SQLiteStore.open(path=path)).close()

    for table in ("meta", "entry", "holding"):
        assert columns(path, table) == columns(new, table)


async def test_a_failure_on_the_way_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.db"
    older(path, 2)
    before = rows_of(path)
    monkeypatch.setattr(migrate, "checksum", lambda *_: 1 / 0)

    with pytest.raises(StoreError, match="user-defined function raised exception"):
        await SQLiteStore.open(path=path)

    assert rows_of(path) == before
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
    monkeypatch.undo()
    store = await SQLiteStore.open(path=path)
    assert len(await seqs(store)) == 35
    await store.close()


async def test_where_there_is_no_room_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.db"
    older(path, 2)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 1024**2))

    with pytest.raises(StoreError, match=r"takes 2 MiB of free disk, of which there are 1: make"):
        await SQLiteStore.open(path=path)


async def test_how_far_it_is_is_told_of_a_big_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "events.db"
    older(path, 2)
    monkeypatch.setattr(migrate, "STEP", 10)
    monkeypatch.setattr(migrate, "TOLD_EVERY", 0.0)

    with caplog.at_level(logging.INFO, "rtevents.stores.migrate"):
        await (await SQLiteStore.open(path=path)).close()

    assert [record.getMessage().removeprefix(f"{path}: ") for record in caplog.records] == [
        f"upgrading it from schema 2 to {SCHEMA_VERSION}",
        "entry 16 of 7 to 41 is done",
        "entry 26 of 7 to 41 is done",
        "entry 36 of 7 to 41 is done",
        "entry 41 of 7 to 41 is done",
        f"it has schema {SCHEMA_VERSION} now",
    ]


async def test_an_empty_log_is_upgraded_too(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    older(path, 2)
    with closing(sqlite3.connect(path)) as db:
        db.execute("DELETE FROM entry")
        db.execute("DELETE FROM holding")
        db.commit()

    store = await SQLiteStore.open(path=path)

    assert await store.bounds() == Bounds(7, 6)
    await store.close()
