"""A log that is looked at from outside: what is wrong is told, and nothing is changed."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from rtevents import __version__
from rtevents.errors import StoreDamaged, StoreError
from rtevents.stores.backup import backup
from rtevents.stores.quick_check import VERSION, is_new_enough, quick_check
from rtevents.stores.remains import check_remains
from rtevents.stores.rescue import Rescue
from rtevents.stores.sqlite import SQLiteStore
from tests.stores.samples import event


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """Return a log as a crash leaves it: its fifty entries are in the WAL alone."""
    (tmp_path / "open").mkdir()
    (tmp_path / "left").mkdir()
    store = await SQLiteStore.open(path=tmp_path / "open" / "events.db")
    for number in range(50):
        await store.append([[event(event_id=f"e{number}")]])
    for end in ("", "-wal", ".hint"):
        shutil.copy(tmp_path / "open" / f"events.db{end}", tmp_path / "left")
    await store.close()
    return tmp_path / "left" / "events.db"


@pytest.fixture
async def closed(file: Path) -> Path:
    """Return the same log after a daemon that ended well: it has no WAL."""
    await (await SQLiteStore.open(path=file)).close()
    return file


def content(file: Path) -> dict[str, bytes]:
    """Return what a log consists of, but for the index of the WAL, which is shared memory."""
    found = {each.name: each.read_bytes() for each in file.parent.iterdir()}
    return {name: data for name, data in found.items() if data and not name.endswith("-shm")}


def test_a_whole_log_has_nothing_wrong(file: Path) -> None:
    quick_check(file)


@pytest.mark.parametrize("state", ["file", "closed"])
def test_no_look_changes_a_log(request: pytest.FixtureRequest, tmp_path: Path, state: str) -> None:
    """P1: what a daemon that is down left in its WAL is there for the next."""
    file = request.getfixturevalue(state)
    before = content(file)

    quick_check(file)
    assert backup(file, tmp_path / "copy").entries == 50
    with Rescue(file) as rescue:
        assert rescue.good == 50

    assert content(file) == before


def test_no_look_changes_what_is_left_of_a_log(file: Path, tmp_path: Path) -> None:
    """P1: one page of the database, and a WAL with the rest of it."""
    os.truncate(file, 8192)
    before = content(file)

    with pytest.raises(StoreDamaged, match="Page 2"):
        quick_check(file)
    with pytest.raises(StoreDamaged):
        backup(file, tmp_path / "copy")

    assert content(file) == before


@pytest.mark.parametrize("size", [0, 1, 99, 100, 1000, 8191])
async def test_less_than_a_page_is_not_opened_for_its_wal_would_be_lost(
    file: Path, tmp_path: Path, size: int
) -> None:
    """P1: SQLite deletes the WAL of an empty database, and takes less than a page for one."""
    os.truncate(file, size)
    before = content(file)

    with pytest.raises(StoreDamaged):
        quick_check(file)
    with pytest.raises(StoreDamaged, match=f"rtevents doctor --recover {file}$"):
        backup(file, tmp_path / "copy")

    assert content(file) == before
    store = await SQLiteStore.open(path=file)
    assert store.notes[0].event == "store.quarantined"
    [aside] = file.parent.glob("*.corrupt-*Z")
    assert aside.with_name(f"{aside.name}-wal").read_bytes() == before["events.db-wal"]
    with Rescue(aside) as rescue:
        assert rescue.good == 50
    await store.close()


def test_what_an_empty_database_has_beside_it_is_told(file: Path) -> None:
    wal = file.with_name("events.db-wal").stat().st_size
    os.truncate(file, 0)

    with pytest.raises(StoreDamaged) as empty:
        check_remains(file)
    file.unlink()
    with pytest.raises(StoreDamaged) as gone:
        check_remains(file)

    assert str(empty.value) == f"{file}: empty, but its write-ahead log holds {wal} bytes"
    assert str(gone.value) == f"{file}: not there, but its write-ahead log holds {wal} bytes"


def test_where_nobody_can_look_that_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").touch()

    with pytest.raises(StoreError, match=r"events\.db: not a directory$"):
        check_remains(tmp_path / "state" / "events.db")


def test_what_is_wrong_is_told_in_one_line(closed: Path) -> None:
    with closed.open("r+b") as opened:
        opened.seek(8192 * 2)
        opened.write(b"\xff" * 8192 * 2)

    with pytest.raises(StoreDamaged) as caught:
        quick_check(closed)

    assert str(caught.value).startswith(f"{closed}: damaged (")
    assert "\n" not in str(caught.value)


def test_what_is_no_database_or_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database" * 1000)

    with pytest.raises(StoreDamaged, match=r"text: not a database$"):
        quick_check(tmp_path / "text")
    with pytest.raises(StoreError, match=r"gone: no such file or directory$"):
        quick_check(tmp_path / "gone")
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("place", ["database", "WAL"])
def test_a_log_of_a_newer_release_is_told_as_that(closed: Path, tmp_path: Path, place: str) -> None:
    """F8: as the daemon tells it, wherever the version stands."""
    with closing(sqlite3.connect(closed)) as db:
        db.execute("UPDATE meta SET value = '7.3.1' WHERE name = 'version'")
        db.execute("PRAGMA user_version = 9")
        db.commit()
        if place == "database":
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        said = rf"made by rtevents 7\.3\.1 \(schema 9\); this is {__version__}"

        with pytest.raises(StoreError, match=said):
            quick_check(closed)
        with pytest.raises(StoreError, match=said):
            backup(closed, tmp_path / "copy")


def test_the_library_is_new_enough() -> None:
    assert is_new_enough()
    assert sqlite3.sqlite_version == VERSION
