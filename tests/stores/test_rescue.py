"""What can be read of a damaged log is read; nothing else is taken for it."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from rtevents.core.event import Entry
from rtevents.core.store import Bounds
from rtevents.errors import StoreError
from rtevents.stores import pages as pages_module
from rtevents.stores.pages import Pages
from rtevents.stores.rescue import Rescue
from rtevents.stores.sqlite import SQLiteStore
from rtevents.stores.sqlite_rows import checksum
from tests.stores.samples import event, everything, seqs, wanting
from tests.stores.test_migrate import older


async def made(path: Path, count: int, *, is_crashed: bool = False) -> list[Entry]:
    """Make a log of entries of any size; return them."""
    chance = random.Random(7)
    store = await SQLiteStore.open(path=path)
    for first in range(1, count + 1, 20):
        sizes = [chance.choice([10, 300, 3000, 30_000]) for _ in range(20)]
        batch = [
            event(event_id=f"e{first + n}", data={"text": "x" * size}, project_id="web")
            for n, size in enumerate(sizes)
        ]
        await store.append([batch])
    found = await everything(store)
    if is_crashed:
        for end in ("", "-wal", ".hint"):
            name = f"{path.name}{end}"
            shutil.copy(path.with_name(name), path.with_name(f"crashed{end}"))
    await store.close()
    return found


def read(path: Path) -> tuple[list[Entry], int, int]:
    """Return the entries that can be read, how many there should be, and how many are damaged."""
    with Rescue(path) as rescue:
        found = list(rescue.entries())
        assert rescue.good == len(found)
        return found, rescue.expected, rescue.damaged


async def test_a_log_that_is_whole_is_read_whole(tmp_path: Path) -> None:
    before = await made(tmp_path / "events.db", 200)

    assert read(tmp_path / "events.db") == (before, 200, 0)


async def test_what_is_in_the_wal_alone_is_read_too(tmp_path: Path) -> None:
    before = await made(tmp_path / "events.db", 200, is_crashed=True)
    saved = (tmp_path / "crashed").read_bytes(), (tmp_path / "crashed-wal").read_bytes()

    assert read(tmp_path / "crashed") == (before, 200, 0)
    assert saved == ((tmp_path / "crashed").read_bytes(), (tmp_path / "crashed-wal").read_bytes())


async def test_what_is_not_damaged_is_read_and_the_rest_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    before = {entry.seq: entry for entry in await made(path, 400)}
    content = path.read_bytes()
    chance = random.Random()
    for _ in range(10):
        damaged = bytearray(content)
        for _ in range(5):
            place = chance.randrange(len(content) // 512) * 512
            damaged[place : place + 512] = chance.randbytes(512)
        path.write_bytes(damaged)

        found, expected, _ = read(path)

        assert expected == 400
        assert len(found) > 300
        assert all(before[entry.seq] == entry for entry in found)
        assert [entry.seq for entry in found] == sorted({entry.seq for entry in found})


async def test_a_header_that_is_gone_takes_nothing_along(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    before = await made(path, 100)
    content = path.read_bytes()
    path.write_bytes(bytes(8192) + content[8192:])

    assert read(path) == (before, 100, 0)


async def test_a_file_that_ends_too_early_is_read_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    before = await made(path, 400)
    os.truncate(path, path.stat().st_size // 2)

    found, expected, _ = read(path)

    assert expected == 400
    assert found == before[: len(found)] or set(found) < set(before)
    assert len(found) > 100


async def test_a_changed_payload_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    await made(path, 20)
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"event_id":"e5"', b'"event_id":"e?"'))

    found, expected, damaged = read(path)

    assert [entry.seq for entry in found] == [*range(1, 5), *range(6, 21)]
    assert (expected, damaged) == (20, 1)


async def test_what_nothing_shows_to_be_an_entry_is_none(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    await made(path, 20)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE entry SET crc = 1, event_id = CAST(x'ff' AS TEXT) WHERE seq = 5")

    found, expected, damaged = read(path)

    assert [entry.seq for entry in found] == [*range(1, 5), *range(6, 21)]
    assert (expected, damaged) == (20, 0)


async def test_what_was_trimmed_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    await made(path, 200)
    store = await SQLiteStore.open(path=path)
    await store.retain(50, 0, 0)
    await store.close()

    found, expected, _ = read(path)

    assert [entry.seq for entry in found] == list(range(151, 201))
    assert expected == 50


async def test_the_hint_tells_what_is_missing_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "crashed"
    await made(tmp_path / "events.db", 40, is_crashed=True)
    os.truncate(tmp_path / "crashed-wal", (tmp_path / "crashed-wal").stat().st_size // 2)

    found, expected, _ = read(path)

    assert expected == 40
    assert 0 < len(found) < 40


def test_a_log_of_before_the_checksums_is_read(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    older(path, 2)
    content = path.read_bytes()
    content = content.replace(b'"event_id":"e20"', b'"event_id":"e2?"')
    path.write_bytes(content.replace(b'"event_id":"e22","type"', b'"event_id":"e22";"type"'))

    found, expected, damaged = read(path)

    assert [entry.seq for entry in found] == [n for n in range(7, 42) if n not in (20, 22)]
    assert (expected, damaged) == (35, 2)


async def test_the_newest_of_one_seq_and_of_one_id_counts(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    await made(path, 20)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("CREATE TABLE again (seq INTEGER PRIMARY KEY, a, b, c, d, e)")
        db.execute("INSERT INTO again SELECT * FROM entry WHERE seq = 3")
        db.create_function("checksum", 2, checksum)
        db.execute(
            "INSERT INTO again SELECT 30, event_id, stored_at, bytes_before, body, "
            "checksum(30, body) FROM entry WHERE seq = 4"
        )

    found, expected, _ = read(path)

    assert [entry.seq for entry in found] == [1, 2, 3, *range(5, 21), 30]
    assert expected == 30


async def test_a_new_log_is_made_of_it(tmp_path: Path) -> None:
    path, new = tmp_path / "events.db", tmp_path / "new.db"
    before = await made(path, 400)
    content = bytearray(path.read_bytes())
    for place in range(20 * 8192, 30 * 8192, 512):
        content[place : place + 512] = os.urandom(512)
    path.write_bytes(content)
    with Rescue(path) as rescue:
        good = list(rescue.entries())
        assert 0 < len(good) < 400
        rescue.write(new)

    store = await SQLiteStore.open(path=new)

    assert await everything(store) == good
    assert await seqs(store, wanting(projects="web")) == [entry.seq for entry in good]
    assert await seqs(store, wanting(projects="other")) == []
    last = (await store.bounds()).last
    assert last == good[-1].seq
    assert await store.append([[before[0].event]]) is not None
    await store.close()
    with closing(sqlite3.connect(new)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_new_log_with_a_hole_is_searched_as_any_other(tmp_path: Path) -> None:
    path, new = tmp_path / "events.db", tmp_path / "new.db"
    await made(path, 400)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA secure_delete = ON")
        db.execute("DELETE FROM entry WHERE seq BETWEEN 20 AND 150 OR seq BETWEEN 202 AND 204")

    with Rescue(path) as rescue:
        rescue.write(new)

    store = await SQLiteStore.open(path=new)
    left = [*range(1, 20), *range(151, 202), *range(205, 401)]
    assert await seqs(store) == left
    assert await seqs(store, wanting(types="COMMIT", projects="web")) == left
    await store.close()


async def test_a_new_log_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    await made(tmp_path / "events.db", 20)

    with (
        Rescue(tmp_path / "events.db") as rescue,
        pytest.raises(StoreError, match="new: cannot be written: no such file"),
    ):
        rescue.write(tmp_path / "nowhere" / "new")


@pytest.mark.parametrize("content", [b"", b"x", b"SQLite format 3\0" + bytes(9000)])
def test_where_nothing_is_nothing_is_found(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "events.db"
    path.write_bytes(content)

    with pytest.raises(StoreError, match=r"events\.db: there are no entries in it"):
        Rescue(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"events\.db: cannot be read: no such file"):
        Rescue(tmp_path / "events.db")


async def test_an_empty_log_that_had_entries_is_told_by_its_hint(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    await made(path, 20)
    path.write_bytes(random.randbytes(20_000))

    assert read(path) == ([], 20, 0)
    with Rescue(path) as rescue:
        rescue.write(tmp_path / "new.db")
    store = await SQLiteStore.open(path=tmp_path / "new.db")
    assert await everything(store) == []
    await store.close()


def test_noise_is_neither_read_nor_ever_an_error() -> None:
    """Pages that say they are leaves, and nothing else that is true."""
    for seed in range(300):
        chance = random.Random(seed)
        page = bytearray(chance.randbytes(chance.choice([40, 512, 4096]) * 4))
        for place in range(0, len(page), 512):
            page[place] = chance.choice([pages_module.TABLE_LEAF, pages_module.INDEX_LEAF])
        head = b"SQLite format 3\0\x02\x00" + bytes(82)
        wal = bytes(10) + b"\x02\x00" + chance.randbytes(20) + bytes(page)

        list(Pages(head + bytes(page), wal).records())


async def test_the_bounds_of_a_rescued_log_are_those_of_its_entries(tmp_path: Path) -> None:
    path, new = tmp_path / "events.db", tmp_path / "new.db"
    await made(path, 60)
    store = await SQLiteStore.open(path=path)
    await store.retain(45, 0, 0)
    await store.close()

    with Rescue(path) as rescue:
        rescue.write(new)

    store = await SQLiteStore.open(path=new)
    assert await store.bounds() == Bounds(16, 60)
    await store.close()
