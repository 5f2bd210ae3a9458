"""What becomes of a database that is not what was written: told, put aside, never taken as good."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from rtevents.core.event import Stored
from rtevents.core.store import Bounds, Note
from rtevents.errors import LogClosed, StoreDamaged, StoreError
from rtevents.stores import sqlite_file
from rtevents.stores import sqlite_rows as rows
from rtevents.stores.header import APPLICATION_ID, SCHEMA_VERSION
from rtevents.stores.quarantine import all_aside
from rtevents.stores.rescue import Rescue
from rtevents.stores.sqlite import SQLiteStore
from tests.stores.samples import event, events, everything, seqs, wanting


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteStore]:
    opened = await SQLiteStore.open(path=path, busy_timeout=0.05)
    yield opened
    await opened.close()


def connect(path: Path) -> closing[sqlite3.Connection]:
    """Open the database as any other program would."""
    return closing(sqlite3.connect(path, isolation_level=None))


def change(path: Path, old: bytes, new: bytes) -> None:
    """Change bytes of a file behind everybody's back."""
    content = path.read_bytes()
    assert old in content
    assert len(old) == len(new)
    path.write_bytes(content.replace(old, new))


async def made(path: Path, *batches: list[object], checkpointed: bool = True) -> str:
    """Make a log with these entries, closed; return its name."""
    store = await SQLiteStore.open(path=path)
    for batch in batches:
        await store.append([batch])  # type: ignore[list-item]
    await store.close()
    return store.epoch


# One entry


async def test_one_damaged_entry_is_told_as_corrupt_and_the_others_are_good(path: Path) -> None:
    await made(path, [event(event_id=f"e{n}", data={"n": f"<{n}>"}) for n in range(1, 10)])
    change(path, b'{"n":"<5>"}', b'{"n":"<7>"}')

    store = await SQLiteStore.open(path=path)
    entries = await everything(store)

    assert [entry.is_corrupt for entry in entries] == [n == 5 for n in range(1, 10)]
    wire = msgspec.json.decode(entries[4].wire)
    assert wire == {
        "seq": 5,
        "event_id": "e5",
        "type": "COMMIT",
        "data": {},
        "timestamp": wire["timestamp"],
        "source": "",
        "project_id": None,
        "corrupt": True,
    }
    [note] = store.notes
    assert note.event == "store.corrupt"
    assert note.reason.startswith("entry 5 is damaged")
    await everything(store)
    assert len(store.notes) == 1
    await store.close()


async def test_an_entry_in_the_place_of_another_is_damaged(store: SQLiteStore, path: Path) -> None:
    await store.append([[event(event_id="a"), event(event_id="b")]])
    with connect(path) as db:
        db.execute("UPDATE entry SET (body, crc) = (SELECT body, crc FROM entry WHERE seq = 1)")

    entries = await everything(store)

    assert [entry.is_corrupt for entry in entries] == [False, True]
    assert entries[1].event_id == "b"


async def test_an_entry_without_a_body_is_not_left_out(store: SQLiteStore, path: Path) -> None:
    """A damaged record may say so, whatever the table demands."""
    await store.append([[event(event_id="a")]])
    with connect(path) as db:
        db.execute("CREATE TABLE other AS SELECT * FROM entry")
        db.execute("UPDATE other SET body = NULL, crc = NULL")
        db.execute("DROP TABLE entry")
        db.execute("ALTER TABLE other RENAME TO entry")

    assert await everything(store) == []

    assert store.notes[0].event == "store.quarantined"


@pytest.mark.parametrize(
    "update",
    [
        "body = '{nonsense'",
        "body = x''",
        "body = CAST('{\"event_id\":\"e2\"' || char(10) || '}' AS BLOB)",
        "crc = 'nonsense'",
        "crc = x'ff'",
        "crc = crc + 1",
        "body = x'ff' || body",
        "body = CAST(replace(body, 'web', x'ff') AS BLOB)",
    ],
)
async def test_whatever_is_damaged_of_an_entry_its_neighbours_are_read(
    store: SQLiteStore, path: Path, update: str
) -> None:
    await store.append([[event(event_id=f"e{n}", project_id="web") for n in range(1, 4)]])
    with connect(path) as db:
        db.execute(f"UPDATE entry SET {update} WHERE seq = 2")  # noqa: S608 - from above

    entries = await everything(store)

    assert [(e.seq, e.event_id, e.type, e.is_corrupt) for e in entries] == [
        (1, "e1", "COMMIT", False),
        (2, "e2", "COMMIT", True),
        (3, "e3", "COMMIT", False),
    ]


async def test_a_body_with_its_checksum_that_is_no_event_is_damaged(
    store: SQLiteStore, path: Path
) -> None:
    await store.append([events(1)])
    with connect(path) as db:
        db.create_function("checksum", 2, rows.checksum)
        db.execute("UPDATE entry SET body = x'7b7b', crc = checksum(1, x'7b7b')")

    assert [entry.is_corrupt for entry in await everything(store)] == [True]


async def test_what_is_told_of_a_damaged_entry_is_what_is_sure(
    store: SQLiteStore, path: Path
) -> None:
    """A project says who may see it, so none is guessed; of one type alone a block is sure."""
    batch = [
        event("COMMIT", event_id="a", project_id="web", source="ci"),
        event("COMMIT", event_id="b", project_id="api", source='é\\"'),
        event("DEPLOY", event_id="c", project_id=None),
        event("DEPLOY", event_id="d", project_id="web", source="ci", extensions={"k": "v"}),
        event("DEPLOY", event_id="e", project_id="web"),
    ]
    await store.append([batch])
    with connect(path) as db:
        for old, new in ((b'"hello"', b'"hullo"'), (b'"project_id":"api"', b'"project_id":"apj"')):
            for seq, body in db.execute("SELECT seq, body FROM entry").fetchall():
                db.execute("UPDATE entry SET body = ? WHERE seq = ?", (body.replace(old, new), seq))
        db.execute("UPDATE entry SET body = CAST(replace(body, 'DEPLOY', 'DEPLOX') AS BLOB), "
                   "event_id = CAST(x'ff' AS TEXT) WHERE seq = 5")  # fmt: skip

    told = [(e.event_id, e.type, e.project_id, e.source) for e in await everything(store)]

    assert told == [
        ("a", "COMMIT", "web", "ci"),
        ("b", "COMMIT", None, 'é\\"'),
        ("c", "DEPLOY", None, ""),
        ("d", "DEPLOY", "web", "ci"),
        ("e", "", "web", ""),
    ]
    assert await seqs(store, wanting(projects="web")) == [1, 4, 5]
    assert await seqs(store, wanting(types="DEPLOY")) == [3, 4]


async def test_nothing_is_left_of_an_entry_but_its_place(store: SQLiteStore, path: Path) -> None:
    await store.append([[event(event_id="a")]])
    with connect(path) as db:
        db.execute("UPDATE entry SET body = 'x', event_id = x'ff', stored_at = 'x'")
        db.execute("DELETE FROM holding")

    [entry] = await everything(store)

    assert (entry.seq, entry.event_id, entry.type, entry.timestamp) == (1, "", "", 0.0)
    assert entry.is_corrupt


async def test_a_damaged_entry_published_again_is_a_duplicate(
    store: SQLiteStore, path: Path
) -> None:
    """Whether it is the same nobody can tell; what a publisher sends again mostly is."""
    await store.append([[event(event_id="a")]])
    with connect(path) as db:
        db.execute("UPDATE entry SET crc = 0")

    answers = await store.append([[event(event_id="a"), event(event_id="b")]])

    assert answers == [[Stored("a", 1, duplicate=True), Stored("b", 2, duplicate=False)]]


# The whole, when it is opened


GARBAGE = {
    "one byte": b"x",
    "text": b"not a database" * 1000,
    "half a header": b"SQLite format 3\0" + bytes(40),
}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_is_put_aside_and_a_new_log_begins(path: Path, content: bytes) -> None:
    epoch = await made(path, events(5))  # type: ignore[arg-type]
    path.write_bytes(content)
    path.chmod(0o644)

    store = await SQLiteStore.open(path=path)

    assert store.epoch != epoch
    [aside] = all_aside(path)
    assert aside.read_bytes() == content
    assert await store.bounds() == Bounds(6, 5)
    assert await store.append([[event(event_id="a")]]) == [[Stored("a", 6, duplicate=False)]]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    [note] = store.notes
    assert note.event == "store.quarantined"
    assert note.reason == (
        f"events.db: not a database; it is {aside.name} now: see rtevents doctor"
    )
    await store.close()


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
async def test_strict_refuses_garbage_untouched(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    with pytest.raises(StoreDamaged) as caught:
        await SQLiteStore.open(path=path, strict=True)

    assert str(caught.value) == (
        f"{path}: not a database; start it without --strict to put it aside and begin a new log"
    )
    assert [file.name for file in path.parent.iterdir()] == ["events.db"]
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("DROP TABLE holding", "not all of its tables are there"),
        ("DELETE FROM meta", "the log's name or place is not there"),
        ("UPDATE meta SET value = 'x' WHERE name = 'epoch'", "the log's name or place"),
        ("UPDATE meta SET value = '-' WHERE name = 'trimmed'", "the log's name or place"),
    ],
)
async def test_a_database_that_lacks_what_it_must_have_is_put_aside(
    path: Path, sql: str, reason: str
) -> None:
    await made(path, events(5))  # type: ignore[arg-type]
    with connect(path) as db:
        db.execute(sql)

    with pytest.raises(StoreDamaged, match=reason):
        await SQLiteStore.open(path=path, strict=True)
    store = await SQLiteStore.open(path=path)

    assert reason in store.notes[0].reason
    assert await store.bounds() == Bounds(6, 5)
    await store.close()


async def test_a_database_without_its_tables_and_hint_begins_anew(path: Path) -> None:
    with connect(path) as db:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    store = await SQLiteStore.open(path=path)

    assert await store.bounds() == Bounds(1, 0)
    await store.close()


@pytest.mark.parametrize("fault", ["truncated", "page"])
async def test_a_broken_tree_is_found_when_it_is_opened(path: Path, fault: str) -> None:
    epoch = await made(path, events(2000))  # type: ignore[arg-type]
    size = path.stat().st_size
    if fault == "truncated":
        os.truncate(path, size // 2)
    else:
        with path.open("r+b") as file:
            file.seek(8192 * (size // 8192 // 2))
            file.write(os.urandom(8192))

    store = await SQLiteStore.open(path=path)

    assert store.epoch != epoch
    assert await store.bounds() == Bounds(2001, 2000)
    assert store.notes[0].event == "store.quarantined"
    await store.close()


async def test_a_broken_tree_of_a_log_too_big_to_be_looked_at_is_found_when_it_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(path, events(2000))  # type: ignore[arg-type]
    with path.open("r+b") as file:
        file.seek(8192 * 10)
        file.write(os.urandom(8192 * 10))
    monkeypatch.setattr(sqlite_file, "CHECKED_BYTES", 0)

    store = await SQLiteStore.open(path=path)
    assert store.notes == []
    assert await everything(store) == []

    assert store.notes[0].event == "store.quarantined"
    assert await store.bounds() == Bounds(2001, 2000)
    await store.close()


async def test_the_wal_goes_with_its_database_and_a_second_one_gets_another_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.strftime", lambda *_: "20261124T000000Z")
    for number in range(3):
        path.write_bytes(b"garbage %d" % number)
        path.with_name("events.db-wal").write_bytes(b"wal %d" % number)
        await (await SQLiteStore.open(path=path)).close()

    names = ["events.db.corrupt-20261124T000000Z" + end for end in ("", "-2", "-3")]
    assert [file.name for file in all_aside(path)] == names
    for number, name in enumerate(names):
        assert path.with_name(name).read_bytes() == b"garbage %d" % number
        assert path.with_name(f"{name}-wal").read_bytes() == b"wal %d" % number


async def test_what_cannot_be_put_aside_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"garbage")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)  # root may rename anything anywhere

    with pytest.raises(StoreError, match="damaged, and cannot be put aside: Permission denied"):
        await SQLiteStore.open(path=path)

    assert path.read_bytes() == b"garbage"


# The whole, when nothing is left of it


@pytest.mark.parametrize("fault", ["not there", "empty"])
async def test_a_database_that_is_gone_is_told_by_its_hint(path: Path, fault: str) -> None:
    epoch = await made(path, events(5))  # type: ignore[arg-type]
    path.unlink()
    if fault == "empty":
        path.touch()

    with pytest.raises(StoreDamaged) as caught:
        await SQLiteStore.open(path=path, strict=True)
    assert path.exists() == (fault == "empty")
    store = await SQLiteStore.open(path=path)

    assert str(caught.value) == (
        f"{path}: {fault}, and its entries up to 5 are lost; "
        "start it without --strict to begin a new log"
    )
    lost = f"events.db: {fault}, and its entries up to 5 are lost; a new log begins"
    assert store.notes == [Note("store.lost", lost)]
    assert store.epoch != epoch
    assert await store.append([[event(event_id="a")]]) == [[Stored("a", 6, duplicate=False)]]
    assert all_aside(path) == []
    epoch = store.epoch
    await store.close()
    again = await SQLiteStore.open(path=path, strict=True)
    assert (again.epoch, again.notes) == (epoch, [])
    await again.close()


async def test_a_log_that_was_empty_is_no_loss(path: Path) -> None:
    await made(path)
    path.unlink()

    store = await SQLiteStore.open(path=path, strict=True)

    assert store.notes == []
    await store.close()


async def test_a_wal_whose_database_is_gone_is_put_aside_and_read(path: Path) -> None:
    store = await SQLiteStore.open(path=path)
    await store.append([events(5)])
    wal = path.with_name("events.db-wal").read_bytes()
    await store.close()
    path.unlink()
    path.with_name("events.db-wal").write_bytes(wal)
    with Rescue(path) as rescue:
        assert rescue.good == 5

    store = await SQLiteStore.open(path=path)

    [aside] = all_aside(path)
    with Rescue(aside) as rescue:
        assert rescue.good == 5
    assert store.notes[0].event == "store.quarantined"
    await store.close()


async def test_a_link_to_nowhere_is_refused_and_stays(path: Path, tmp_path: Path) -> None:
    """The disk that it leads to is not mounted: what is on it is the log, and no other."""
    path.symlink_to(tmp_path / "disk" / "events.db")

    with pytest.raises(StoreError) as caught:
        await SQLiteStore.open(path=path)

    assert not isinstance(caught.value, StoreDamaged)
    assert str(caught.value) == (
        f"{path}: a link to {tmp_path}/disk/events.db, where nothing is: mount the disk that it is "
        "on, or remove the link to begin a new log"
    )
    assert [file.name for file in tmp_path.iterdir()] == ["events.db"]
    assert path.is_symlink()


async def test_the_files_of_a_log_behind_a_link_are_where_it_leads(
    path: Path, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    there = tmp_path / "disk" / "log.db"
    await made(there, events(5))  # type: ignore[arg-type]
    path.symlink_to(there)
    store = await SQLiteStore.open(path=path)
    await store.append([events(1)])
    wal = there.with_name("log.db-wal").read_bytes()
    await store.close()
    os.truncate(there, 0)
    there.with_name("log.db-wal").write_bytes(wal)

    store = await SQLiteStore.open(path=path)

    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["events.db"]
    assert path.is_symlink()
    [aside] = all_aside(there)
    assert aside.with_name(f"{aside.name}-wal").read_bytes() == wal
    assert await store.append([[event(event_id="a")]]) == [[Stored("a", 7, duplicate=False)]]
    await store.check()
    path.unlink()
    path.symlink_to(aside)
    with pytest.raises(StoreError, match="another file is in its place"):
        await store.check()
    await store.close()


# The whole, while it is open


def damage(path: Path) -> None:
    """Write over all pages but the first few, in the WAL's place too."""
    with connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(8192 * 5)
        file.write(b"\xff" * (size - 8192 * 5))


@pytest.mark.parametrize("asked", ["check", "append", "restart"])
@pytest.mark.parametrize("size", [0, 1, 8192, 50_000])
async def test_a_database_that_was_cut_is_put_aside_before_more_is_stored(
    path: Path, asked: str, size: int
) -> None:
    """What is written to it would be in a file that the next start puts aside."""
    store = await SQLiteStore.open(path=path, busy_timeout=0.05)
    await store.append([events(500)])
    if asked == "restart":
        await store.close()
        store = await SQLiteStore.open(path=path, busy_timeout=0.05)
    else:
        with connect(path) as db:
            db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        await store.check()
    epoch, before = store.epoch, path.stat().st_size
    os.truncate(path, size)

    if asked == "check":
        await store.check()
    answers = await store.append([[event(event_id="a")]])

    assert answers == [[Stored("a", 501, duplicate=False)]]
    [note] = store.notes
    assert len(all_aside(path)) == 1
    assert note.event == "store.quarantined"
    assert f"(cut from {before} to {size} bytes)" in note.reason or "malformed" in note.reason
    await store.close()
    again = await SQLiteStore.open(path=path, strict=True)
    assert again.epoch not in ("", epoch)
    assert await seqs(again) == [501]
    await again.close()


async def test_a_database_that_vacuum_made_shorter_is_whole(store: SQLiteStore, path: Path) -> None:
    await store.append([events(2000)])
    await store.retain(10, 0, 0)
    with connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        before = path.stat().st_size
        await store.check()
        db.execute("VACUUM")
        db.execute("PRAGMA wal_checkpoint(PASSIVE)")
    assert path.stat().st_size < before

    await store.check()

    assert await store.append([[event(event_id="a")]]) == [[Stored("a", 2001, duplicate=False)]]
    assert store.notes == []
    assert len(await seqs(store)) == 11


async def test_no_checkpoint_goes_into_a_database_that_was_cut(
    store: SQLiteStore, path: Path
) -> None:
    await store.append([events(500)])
    await store.check()
    os.truncate(path, 0)

    store._writer._transactions.checkpoint()

    assert path.stat().st_size == 0


async def test_a_folder_that_cannot_be_written_refuses_appends_until_it_can(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_, **__: False)  # root may do everything
        for refused in (store.append([events(1)]), store.check()):
            with pytest.raises(StoreError, match=r"^events\.db: its folder cannot be written$"):
                await refused

    await store.check()
    assert await store.append([[event(event_id="a")]]) == [[Stored("a", 1, duplicate=False)]]


async def test_a_reader_that_finds_damage_is_answered_by_the_new_log(
    store: SQLiteStore, path: Path
) -> None:
    await store.append([events(500)])
    epoch = store.epoch
    damage(path)

    found = await everything(store)

    assert found == []
    assert store.epoch != epoch
    assert await store.bounds() == Bounds(501, 500)
    [note] = store.notes
    [aside] = all_aside(path)
    assert note.event == "store.quarantined"
    assert note.reason == (
        "events.db: damaged (database disk image is malformed); "
        f"it is {aside.name} now: see rtevents doctor"
    )
    assert await store.append([[event(event_id="a")]]) == [[Stored("a", 501, duplicate=False)]]
    assert [entry.event_id for entry in await everything(store)] == ["a"]
    await store.check()


async def test_a_publisher_that_finds_damage_is_stored_in_the_new_log(
    store: SQLiteStore, path: Path
) -> None:
    await store.append([[event(event_id=f"e{n}") for n in range(500)]])
    damage(path)
    # Each looks its id up in pages that are no more.
    jobs = [store.append([[event(event_id=f"f{n}", data={"n": n})]]) for n in range(20)]

    answers = await asyncio.gather(*jobs)

    stored = sorted(one.seq for [batch] in answers for one in batch)  # type: ignore[union-attr]
    assert stored == list(range(501, 521))
    assert await seqs(store) == list(range(501, 521))
    assert len(all_aside(path)) == 1


async def test_many_that_find_damage_at_once_make_one_new_log(
    store: SQLiteStore, path: Path
) -> None:
    await store.append([events(500)])
    damage(path)

    reads = [store.read(0, 500) for _ in range(20)]
    appends = [store.append([events(1)]) for _ in range(20)]
    await asyncio.gather(*reads, *appends, store.find("x"), store.retain(10, 0, 0))

    assert len(all_aside(path)) == 1
    assert await seqs(store) == list(range(501, 521))[-len(await seqs(store)) :]
    assert (await store.bounds()).last == 520


async def test_a_cancelled_reader_does_not_stop_the_new_log(store: SQLiteStore, path: Path) -> None:
    await store.append([events(500)])
    damage(path)
    reading = asyncio.ensure_future(store.read(0, 500))
    async with asyncio.timeout(30):
        while not store._replacing.locked():
            await asyncio.sleep(0)
    reading.cancel()

    assert await store.append([[event(event_id="a")]]) == [[Stored("a", 501, duplicate=False)]]


async def test_where_no_new_log_can_be_made_it_is_tried_again(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.append([events(500)])
    damage(path)
    prepare = store._file.prepare

    def fail(**_: object) -> None:
        raise StoreError("events.db: no room left on the disk")

    monkeypatch.setattr(store._file, "prepare", fail)
    for _ in range(2):
        with pytest.raises(StoreError, match="no room left"):
            await store.read(0, 500)
    with pytest.raises(StoreError, match="no room left"):
        await store.append([events(1)])
    monkeypatch.setattr(store._file, "prepare", prepare)

    assert await store.append([[event(event_id="a")]]) == [[Stored("a", 501, duplicate=False)]]
    assert len(all_aside(path)) == 1


async def test_strict_refuses_from_then_on(path: Path) -> None:
    store = await SQLiteStore.open(path=path, strict=True)
    await store.append([events(500)])
    damage(path)

    with pytest.raises(StoreDamaged):
        await everything(store)

    with pytest.raises(StoreDamaged):
        await store.append([events(1)])
    with pytest.raises(StoreDamaged):
        await store.check()
    assert all_aside(path) == []
    await store.close()


async def test_a_damaged_log_that_is_closed_stays_where_it_is(
    store: SQLiteStore, path: Path
) -> None:
    await store.append([events(500)])
    damage(path)
    reading = asyncio.ensure_future(store.read(0, 500))
    await asyncio.sleep(0)
    await store._replacing.acquire()
    closing_ = asyncio.ensure_future(store.close())
    await asyncio.sleep(0)
    store._replacing.release()

    with pytest.raises((LogClosed, StoreDamaged)):
        await reading
    await closing_


async def test_text_of_a_holding_that_is_no_text_is_damage(store: SQLiteStore, path: Path) -> None:
    await store.append([events(1)])
    with connect(path) as db:
        db.execute("UPDATE holding SET value = CAST(x'c3' AS TEXT) WHERE key = 'type'")

    await store.latest(wanting())

    assert store.notes[0].event == "store.quarantined"


# The end of the WAL


async def crash(path: Path, into: Path, *batches: list[object]) -> str:
    """Store each batch, and copy what a crash right after that leaves; return the log's name."""
    store = await SQLiteStore.open(path=path)
    for batch in batches:
        await store.append([batch])  # type: ignore[list-item]
    into.mkdir()
    for end in ("", "-wal", ".hint"):
        shutil.copy(path.with_name(path.name + end), into)
    await store.close()
    return store.epoch


async def test_a_wal_cut_anywhere_right_after_the_answer_is_noticed(
    path: Path, tmp_path: Path
) -> None:
    into = tmp_path / "crashed"
    batches = [[event(event_id=f"e{n}")] for n in range(1, 9)]
    epoch = await crash(path, into, *batches)  # type: ignore[arg-type]
    wal = (into / "events.db-wal").read_bytes()
    again = into / "events.db"
    saved = again.read_bytes(), (into / "events.db.hint").read_bytes()
    for number in range(64):
        cut = len(wal) * number // 64
        again.write_bytes(saved[0])
        (into / "events.db-wal").write_bytes(wal[:cut])
        (into / "events.db-shm").unlink(missing_ok=True)
        (into / "events.db.hint").write_bytes(saved[1])

        store = await SQLiteStore.open(path=again)

        kept = await seqs(store)
        assert kept == list(range(1, len(kept) + 1))
        assert len(kept) < 8
        assert store.epoch != epoch
        assert [note.event for note in store.notes] == ["store.lost"]
        await store.close()


async def test_a_bit_of_the_wal_that_flips_loses_nothing_in_silence(
    path: Path, tmp_path: Path
) -> None:
    into = tmp_path / "crashed"
    batches = [[event(event_id=f"e{n}", data={"n": n})] for n in range(1, 9)]
    epoch = await crash(path, into, *batches)  # type: ignore[arg-type]
    original = {file.name: file.read_bytes() for file in into.iterdir()}
    wal = original["events.db-wal"]
    for number in range(40):
        place = len(wal) * number // 40
        for name, content in original.items():
            (into / name).write_bytes(content)
        (into / "events.db-shm").unlink(missing_ok=True)
        flipped = bytearray(wal)
        flipped[place] ^= 1
        (into / "events.db-wal").write_bytes(flipped)

        store = await SQLiteStore.open(path=into / "events.db")

        kept = await everything(store)
        assert [entry.seq for entry in kept] == list(range(1, len(kept) + 1))
        assert [entry.event.data for entry in kept] == [{"n": n + 1} for n in range(len(kept))]
        assert (len(kept) == 8) == (store.epoch == epoch)
        await store.close()
