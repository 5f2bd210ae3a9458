"""What SQLite alone promises: a file that survives, and faults that are told."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from rtevents import __version__
from rtevents.core.event import Stored
from rtevents.core.store import Bounds
from rtevents.errors import EventConflict, LogClosed, StoreError
from rtevents.stores import sqlite_rows as rows
from rtevents.stores import sqlite_writer as writer_module
from rtevents.stores.header import APPLICATION_ID, SCHEMA_VERSION
from rtevents.stores.sqlite import SQLiteStore
from rtevents.stores.sqlite_file import BALLAST_BYTES, DatabaseFile
from rtevents.stores.sqlite_search import Search
from rtevents.stores.sqlite_writer import HERE_EVENTS, HERE_SECONDS
from tests.stores.samples import EVERYTHING, event, events, everything, seqs, wanting


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


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


# The file


async def test_a_log_is_there_again_after_closing(path: Path) -> None:
    first = await SQLiteStore.open(path=path)
    await first.append([[event(event_id="a"), *events(4)]])
    before = await everything(first)
    await first.retain(3, 0, 0)
    await first.close()

    second = await SQLiteStore.open(path=path)

    assert second.epoch == first.epoch
    assert await second.bounds() == Bounds(3, 5)
    assert await everything(second) == before[2:]
    assert await second.append([events(1)]) != []
    assert await second.bounds() == Bounds(3, 6)
    await second.close()


async def test_a_seq_is_not_given_again_after_everything_was_trimmed(path: Path) -> None:
    first = await SQLiteStore.open(path=path)
    await first.append([events(5)])
    await first.retain(0, 0, 1)
    await first.close()

    second = await SQLiteStore.open(path=path)

    assert await second.bounds() == Bounds(6, 5)
    assert await second.append([[event(event_id="a")]]) == [[Stored("a", 6, duplicate=False)]]
    await second.close()


async def test_an_id_is_known_after_a_restart(path: Path) -> None:
    first = await SQLiteStore.open(path=path)
    same = event(event_id="a")
    await first.append([[same]])
    await first.close()

    second = await SQLiteStore.open(path=path)

    assert await second.append([[same]]) == [[Stored("a", 1, duplicate=True)]]
    [conflict] = await second.append([[event(event_id="a", data={})]])
    assert isinstance(conflict, EventConflict)
    await second.close()


async def test_two_logs_have_two_names(tmp_path: Path) -> None:
    stores = [await SQLiteStore.open(path=tmp_path / name) for name in "ab"]

    assert stores[0].epoch != stores[1].epoch
    for store in stores:
        await store.close()


async def test_only_the_owner_can_read_it(store: SQLiteStore, path: Path) -> None:
    await store.append([events(3)])

    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}

    assert {"events.db", "events.db-wal", "events.db-shm", "events.db.ballast"} <= set(modes)
    assert set(modes.values()) == {0o600}


async def test_a_file_that_others_can_read_is_closed_to_them(path: Path) -> None:
    await (await SQLiteStore.open(path=path)).close()
    path.chmod(0o644)

    store = await SQLiteStore.open(path=path)

    await store.append([events(1)])
    for end in ("", "-wal", "-shm"):
        assert stat.S_IMODE(path.with_name(path.name + end).stat().st_mode) == 0o600
    await store.close()


async def test_closing_leaves_no_log_beside_the_database(path: Path) -> None:
    store = await SQLiteStore.open(path=path)
    await store.append([events(3)])

    await store.close()

    names = {file.name for file in path.parent.iterdir()}
    assert names == {"events.db", "events.db.hint", "events.db.ballast"}


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("normal", 1)])
def test_the_writer_has_the_pragmas_that_durability_depends_on(
    path: Path, durability: str, synchronous: int
) -> None:
    file = DatabaseFile(path, durability=durability, busy_timeout=1)
    file.prepare()
    pragmas = {
        "journal_mode": "wal",
        "synchronous": synchronous,
        "wal_autocheckpoint": 1000,
        "journal_size_limit": 64 * 1024**2,
        "foreign_keys": 1,
        "busy_timeout": 0,
        "application_id": APPLICATION_ID,
        "user_version": SCHEMA_VERSION,
    }

    with closing(file.connect_writer()) as db:
        found = {name: db.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas}

    assert found == pragmas


def test_a_reader_cannot_write(path: Path) -> None:
    file = DatabaseFile(path, durability="full", busy_timeout=1)
    file.prepare()

    with closing(file.connect_reader()) as db, pytest.raises(sqlite3.Error) as caught:
        db.execute("DELETE FROM entry")

    told = "events.db: not writable (attempt to write a readonly database)"
    assert str(file.explain(caught.value)) == told


def test_a_file_system_without_a_wal_is_refused(path: Path) -> None:
    """SQLite's own `unix-dotfile` locks as a network drive does: without shared memory."""
    file = DatabaseFile(path, durability="full", busy_timeout=1)
    file.prepare()
    with connect(path) as db:
        db.execute("PRAGMA journal_mode = DELETE")  # what it stayed at when it was made there

    with (
        closing(sqlite3.connect(f"file:{path}?vfs=unix-dotfile", uri=True)) as db,
        pytest.raises(StoreError, match=r"cannot hold a write-ahead log \(journal_mode answered"),
    ):
        file.prepare_writer(db)


async def test_an_empty_file_becomes_a_log(path: Path) -> None:
    path.touch()

    store = await SQLiteStore.open(path=path)

    assert await store.append([events(1)]) != []
    await store.close()


async def test_what_a_lost_database_left_is_not_taken_for_the_new_ones(path: Path) -> None:
    first = await SQLiteStore.open(path=path)
    await first.append([events(5)])
    kept = path.with_name("kept")
    shutil.copy(path.with_name("events.db-wal"), kept)
    await first.close()
    path.unlink()
    kept.rename(path.with_name("events.db-wal"))

    second = await SQLiteStore.open(path=path)

    assert second.epoch != first.epoch
    assert await second.bounds() == Bounds(6, 5)
    [aside] = path.parent.glob("events.db.corrupt-*-wal")
    assert aside.stat().st_size
    await second.close()


# What is not ours


def digests(path: Path) -> dict[str, str]:
    """Return a digest of the database and of its WAL."""
    files = [path, path.with_name(path.name + "-wal")]
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.exists()
    }


async def refusal(path: Path) -> str:
    """Return why the database is not opened; nothing of it may change."""
    before = digests(path)
    with pytest.raises(StoreError) as caught:
        await SQLiteStore.open(path=path, busy_timeout=0.05, strict=True)
    assert digests(path) == before
    return str(caught.value)


async def test_a_newer_schema_is_refused_untouched(path: Path) -> None:
    await (await SQLiteStore.open(path=path)).close()
    with connect(path) as db:
        db.execute("PRAGMA user_version = 7")
        db.execute("UPDATE meta SET value = '9.1' WHERE name = 'version'")
    names = {file.name for file in path.parent.iterdir()}

    assert await refusal(path) == (
        f"{path}: made by rtevents 9.1 (schema 7); this is {__version__}, which knows schema "
        f"{SCHEMA_VERSION}: upgrade rtevents, or move the file away"
    )
    assert {file.name for file in path.parent.iterdir()} == names


async def test_a_schema_of_before_the_first_release_is_refused_untouched(path: Path) -> None:
    await (await SQLiteStore.open(path=path)).close()
    with connect(path) as db:
        db.execute("PRAGMA user_version = 1")

    told = f"{path}: made before the first release (schema 1); move it away to begin a new log"
    assert await refusal(path) == told


async def test_a_newer_schema_that_is_still_in_the_wal_is_refused_untouched(
    path: Path, tmp_path: Path
) -> None:
    await (await SQLiteStore.open(path=path)).close()
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    with connect(path) as db:
        db.execute("PRAGMA user_version = 7")
        for end in ("", "-wal"):
            shutil.copy(path.with_name(path.name + end), crashed)
    assert (crashed / "events.db-wal").stat().st_size

    assert f"made by rtevents {__version__} (schema 7)" in await refusal(crashed / "events.db")


async def test_a_newer_schema_without_our_tables_is_refused_untouched(path: Path) -> None:
    await (await SQLiteStore.open(path=path)).close()
    with connect(path) as db:
        db.execute("PRAGMA user_version = 7")
        db.execute("DROP TABLE meta")

    assert "made by rtevents of another version (schema 7)" in await refusal(path)


async def test_a_database_of_another_program_is_refused_untouched(path: Path) -> None:
    with connect(path) as db:
        db.execute("CREATE TABLE bookmarks (url TEXT)")

    told = f"{path}: a database, but not of rtevents; move it away to begin a new log"
    assert await refusal(path) == told


async def test_a_folder_that_is_not_there_is_named(path: Path) -> None:
    missing = path.parent / "missing" / "events.db"

    assert await refusal(missing) == f"{missing}: no such file or directory"


async def test_a_connection_that_cannot_be_set_up_is_closed(path: Path) -> None:
    file = DatabaseFile(path, durability="full", busy_timeout=0.05)
    path.write_bytes(b"not a database" * 1000)

    with pytest.raises(sqlite3.DatabaseError):
        file.connect_writer()


# Crashes


APPENDER = """
import asyncio, sys
from pathlib import Path
from rtevents.core.event import Event
from rtevents.stores import open_store

async def publish(store, name):
    number = 0
    while True:
        number += 1
        ids = [f"{name}-{number}-{at}" for at in range(3)]
        batch = [Event(event_id=each, type="COMMIT", data={}, timestamp=1.0) for each in ids]
        [answer] = await store.append([batch])
        sys.stdout.write("".join(f"{one.seq} {one.event_id}\\n" for one in answer))
        sys.stdout.flush()

async def main():
    store = await open_store("sqlite", path=Path(sys.argv[1]), durability=sys.argv[2])
    print(store.epoch, flush=True)
    await asyncio.gather(*(publish(store, name) for name in range(8)))

asyncio.run(main())
"""


@pytest.mark.parametrize("durability", ["full", "normal"])
async def test_what_was_answered_survives_kill_9(path: Path, durability: str) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # noqa: T201 - to repeat a failure
    pick = random.Random(seed)
    answered: dict[str, int] = {}
    epochs = set()
    for round_ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", APPENDER, path, durability], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout
        epochs.add(process.stdout.readline().strip())
        lines = [process.stdout.readline() for _ in range(pick.randrange(1, 600))]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        for line in lines:
            seq, event_id = line.split()
            # Each round publishes the same ids again: those are duplicates by now.
            assert answered.setdefault(event_id, int(seq)) == int(seq), round_

    store = await SQLiteStore.open(path=path)
    kept = {entry.event_id: entry.seq for entry in await everything(store)}

    assert epochs == {store.epoch}
    assert answered.items() <= kept.items()
    assert sorted(kept.values()) == list(range(1, len(kept) + 1))
    with connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    await store.close()


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@pytest.mark.parametrize(
    ("when", "refused", "end"),
    [
        ("10", 1, "await store.close()"),
        ("10", 1, "os._exit(0)"),
        ("10..15", 5, "await store.close()"),
        # Nothing more can be synced, and then it crashes.
        ("15+", 8, "os._exit(0)"),
        ("15+", 8, "await store.close()"),
    ],
)
async def test_a_failed_sync_answers_nobody_and_loses_nothing(
    path: Path, when: str, refused: int, end: str
) -> None:
    """The page that a failed fsync was for may be gone: it must be written again (fsyncgate)."""
    await (await SQLiteStore.open(path=path)).close()
    script = """
import asyncio, os, sys
from pathlib import Path
from rtevents.core.event import Event
from rtevents.errors import StoreError
from rtevents.stores import open_store

async def main():
    store = await open_store("sqlite", path=Path(sys.argv[1]), durability="full")
    for number in range(1, 21):
        try:
            await store.append([[Event(event_id=f"{number}", type="COMMIT", data={})]])
            print("stored", number, flush=True)
        except StoreError as error:
            print("failed", number, error, flush=True)
    END

asyncio.run(main())
""".replace("END", end)
    inject = f"inject=fdatasync:error=EIO:when={when}"
    strace = ["strace", "-qq", "-f", "-e", "trace=fdatasync", "-e", inject, "-o", os.devnull]
    done = subprocess.run(
        [*strace, sys.executable, "-c", script, path],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    told = [line.split(maxsplit=2) for line in done.stdout.splitlines()]

    store = await SQLiteStore.open(path=path)

    failed = [rest for [word, *rest] in told if word == "failed"]
    reasons = ["events.db: the disk failed (disk I/O error)"] * refused
    assert [reason for _, reason in failed] == reasons
    kept = [entry.event_id for entry in await everything(store)]
    assert kept == [number for [word, number, *_] in told if word == "stored"]
    await store.close()


# Faults while it runs


LOCKER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let another process hold the database's lock."""
    with subprocess.Popen(
        [sys.executable, "-c", LOCKER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"locked\n"
        yield
        assert process.stdin
        process.stdin.close()


async def test_a_lock_of_another_process_refuses_appends_and_lets_reads_go_on(
    store: SQLiteStore, path: Path
) -> None:
    await store.append([events(2)])

    with locked(path):
        with pytest.raises(StoreError) as caught:
            await store.append([events(1)])
        assert await seqs(store) == [1, 2]

    assert str(caught.value) == "events.db: locked by another process (database is locked)"
    assert await store.append([[event(event_id="a")]]) == [[Stored("a", 3, duplicate=False)]]


async def test_a_store_that_broke_can_be_closed(path: Path) -> None:
    store = await SQLiteStore.open(path=path, busy_timeout=0.05)
    with locked(path), pytest.raises(StoreError):
        await store.append([events(1)])

    await store.close()

    with pytest.raises(LogClosed):
        await store.bounds()


async def test_appends_that_wait_are_stored_together_and_trims_in_their_turn(path: Path) -> None:
    store = await SQLiteStore.open(path=path, busy_timeout=30)
    await store.append([events(10)])
    with locked(path):
        first = asyncio.create_task(store.append([events(1)]))
        await until(lambda: path.with_name("events.db.hint").exists())
        second = asyncio.create_task(store.append([events(2)]))
        third = asyncio.create_task(store.append([events(2)]))
        await asyncio.sleep(0)
        trim = asyncio.create_task(store.retain(4, 0, 0))
        last = asyncio.create_task(store.append([events(1)]))
        await asyncio.wait([trim], timeout=0.05)

    answers = [answer for task in (first, second, third, last) for answer in await task]

    assert [one.seq for answer in answers for one in answer] == list(range(11, 17))  # type: ignore[union-attr]  # none is a conflict
    assert (await trim).first == 7
    await store.close()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_write_that_fails_stores_nothing_and_the_next_one_does(
    store: SQLiteStore, path: Path
) -> None:
    await store.append([events(3)])
    size = path.with_name("events.db-wal").stat().st_size
    lost = events(500, data={"message": "x" * 1000})

    with largest_file(size + 20_000):
        with pytest.raises(StoreError) as caught:
            await store.append([lost])
        assert await seqs(store) == [1, 2, 3]
        assert await store.find(lost[0].event_id) is None

    assert str(caught.value) == "events.db: the disk failed (disk I/O error)"
    [answer] = await store.append([lost])
    assert isinstance(answer, list)
    assert [one.seq for one in answer] == list(range(4, 504))
    assert not any(one.duplicate for one in answer)


async def test_a_database_that_was_removed_refuses_appends(store: SQLiteStore, path: Path) -> None:
    """SQLite itself goes on writing into the file that nobody will ever find again."""
    await store.append([events(1)])
    path.rename(path.with_name("gone"))

    with pytest.raises(StoreError) as caught:
        await store.append([events(1)])

    assert str(caught.value) == "events.db: no such file or directory"
    path.with_name("gone").rename(path)
    assert await store.append([[event(event_id="a")]]) == [[Stored("a", 2, duplicate=False)]]


async def test_a_database_that_was_replaced_refuses_appends(store: SQLiteStore, path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    await store.append([events(1)])
    copy.replace(path)

    with pytest.raises(StoreError) as caught:
        await store.append([events(1)])

    assert str(caught.value) == "events.db: another file is in its place"


async def test_a_look_finds_what_would_refuse_appends(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody need publish for it: a lock, a disk that fails; and it mends what a failure left."""
    with locked(path), pytest.raises(StoreError, match="locked by another process"):
        await store.check()
    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", _fail)
        with pytest.raises(StoreError, match=r"^events\.db: input/output error$"):
            await store.check()
    store._writer._transactions._is_doubtful = True

    await store.check()

    assert not store._writer._transactions._is_doubtful


def _fail(_: object) -> None:
    raise OSError(errno.EIO, "Input/output error")


async def test_an_error_that_is_not_the_databases_reaches_who_asked(store: SQLiteStore) -> None:
    broken = event(source=[])

    with pytest.raises(TypeError):
        await store.append([[broken]])

    assert await store.append([[event(event_id="a")]]) == [[Stored("a", 1, duplicate=False)]]


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a disk of a few megabytes; the function returned sets its size."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(size: str, *options: str) -> Path:
        options = ("-o", ",".join([f"size={size}", *options]))
        done = subprocess.run(
            ["mount", "-t", "tmpfs", *options, "tmpfs", folder], capture_output=True
        )
        if done.returncode:
            pytest.skip(f"a disk cannot be mounted here: {done.stderr.decode().strip()}")
        return folder

    yield mount
    subprocess.run(["umount", "--lazy", folder], capture_output=True)


async def fill(store: SQLiteStore) -> tuple[int, str]:
    """Append until the disk is full; return the last seq answered, and the reason told."""
    last = 0
    while True:
        try:
            [answer] = await store.append([events(200, data={"message": "x" * 500})])
        except StoreError as error:
            return last, str(error)
        assert isinstance(answer, list)
        last = answer[-1].seq


def use_up(folder: Path) -> None:
    """Take what room is left on a disk."""
    with suppress(OSError), (folder / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass


FULL = "events.db: no room left on the disk (less than 1 MiB free)"


async def test_a_full_disk_refuses_appends_and_reads_go_on(
    small_disk: Callable[..., Path],
) -> None:
    store = await SQLiteStore.open(path=small_disk("4m") / "events.db")

    last, reason = await fill(store)

    assert reason == FULL
    assert await store.bounds() == Bounds(1, last)
    assert len(await seqs(store)) == last
    small_disk("30m", "remount")
    assert await store.append([[event(event_id="a")]]) == [[Stored("a", last + 1, duplicate=False)]]
    await store.close()


async def test_the_ballast_makes_room_to_trim_a_full_disk(
    small_disk: Callable[..., Path],
) -> None:
    """Deleting writes to the WAL first, so that a full disk could never be trimmed without it."""
    folder = small_disk("14m")
    store = await SQLiteStore.open(path=folder / "events.db")
    ballast = folder / "events.db.ballast"
    assert ballast.stat().st_size == BALLAST_BYTES
    last, reason = await fill(store)
    use_up(folder)

    bounds = await store.retain(100, 0, 0)

    assert reason == FULL
    assert bounds == Bounds(last - 99, last)
    assert await store.append([events(200)]) != []
    assert not ballast.exists()
    small_disk("30m", "remount")
    await store.retain(100, 0, 0)
    assert ballast.stat().st_size == BALLAST_BYTES
    await store.close()


async def test_a_disk_without_room_for_ballast_cannot_be_trimmed_when_full(
    small_disk: Callable[..., Path],
) -> None:
    folder = small_disk("3m")
    store = await SQLiteStore.open(path=folder / "events.db")
    last, _ = await fill(store)
    use_up(folder)

    with pytest.raises(StoreError, match="no room left"):
        await store.retain(1, 0, 0)

    assert await store.bounds() == Bounds(1, last)
    await store.close()


# What is missing in between


async def test_a_log_with_holes_is_trimmed_where_its_limits_are(path: Path) -> None:
    """A database that `sqlite3 .recover` made again may lack entries anywhere, the last too."""
    first = await SQLiteStore.open(path=path)
    await first.append([events(3000)])
    await first.close()
    with connect(path) as db:
        db.execute("DELETE FROM entry WHERE seq BETWEEN 1000 AND 2000 OR seq > 2900 OR seq < 600")

    second = await SQLiteStore.open(path=path)

    assert second.epoch != first.epoch  # its end is lost
    assert await second.bounds() == Bounds(600, 2900)
    assert await second.retain(0, 3600, 10**9) == Bounds(600, 2900)
    assert await second.retain(2500, 0, 0) == Bounds(600, 2900)
    assert await second.retain(1500, 3600, 0) == Bounds(1401, 2900)
    assert await seqs(second) == list(range(2001, 2901))
    assert await second.append([[event(event_id="a")]]) == [[Stored("a", 2901, duplicate=False)]]
    assert await second.retain(50, 0, 0) == Bounds(2852, 2901)
    assert await second.retain(0, 0, 1) == Bounds(2902, 2901)
    await second.close()


async def test_a_trim_that_another_one_overtook_deletes_nothing(store: SQLiteStore) -> None:
    await store.append([events(10)])
    writer = store._writer

    await asyncio.gather(writer.trim(8), writer.trim(4))

    assert await store.bounds() == Bounds(8, 10)


async def test_a_log_that_lost_its_entries_while_open_can_be_trimmed(
    store: SQLiteStore, path: Path
) -> None:
    await store.append([events(3)])
    with connect(path) as db:
        db.execute("DELETE FROM entry")

    assert await store.retain(1, 0, 0) == Bounds(3, 3)


# The hint


async def test_a_log_that_lost_its_end_gets_another_name(path: Path) -> None:
    """A copy put back, a WAL cut short: numbers would be given again to other events."""
    first = await SQLiteStore.open(path=path)
    await first.append([events(3)])
    await first.close()
    shutil.copy(path, path.with_name("backup"))
    second = await SQLiteStore.open(path=path)
    await second.append([events(2)])
    await second.close()
    path.with_name("backup").replace(path)

    third = await SQLiteStore.open(path=path)

    assert first.epoch == second.epoch != third.epoch
    assert await seqs(third) == [1, 2, 3]
    await third.append([events(1)])
    await third.close()
    fourth = await SQLiteStore.open(path=path)
    assert fourth.epoch == third.epoch
    await fourth.close()


async def test_a_wal_that_was_cut_short_is_noticed(path: Path, tmp_path: Path) -> None:
    store = await SQLiteStore.open(path=path)
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    await store.append([events(1)])
    await store.append([events(1)])
    hint = path.with_name("events.db.hint")
    await until(lambda: hint.exists() and b" 2}" in hint.read_bytes())
    for end in ("", "-wal", ".hint"):
        shutil.copy(path.with_name(path.name + end), crashed)
    await store.close()
    wal = crashed / "events.db-wal"
    os.truncate(wal, wal.stat().st_size - 100)

    again = await SQLiteStore.open(path=crashed / "events.db")

    assert await seqs(again) == [1]
    assert again.epoch != store.epoch
    await again.close()


async def test_a_hint_that_cannot_be_read_or_written_is_no_hint(path: Path) -> None:
    hint = path.with_name("events.db.hint")
    hint.write_bytes(b"\xff{")
    first = await SQLiteStore.open(path=path)
    await first.append([events(1)])
    await first.close()
    hint.unlink()
    hint.mkdir()

    second = await SQLiteStore.open(path=path)

    assert second.epoch == first.epoch
    await second.append([events(1)])
    await second.close()


# Speed by design


def plan(path: Path, look: Callable[[sqlite3.Connection], object]) -> list[str]:
    """Return how SQLite goes about a look."""
    statements: list[str] = []
    with connect(path) as db:
        db.set_trace_callback(statements.append)
        look(db)
        db.set_trace_callback(None)
        return [
            step[3]
            for statement in statements
            for step in db.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]


BLOCKS = "SEARCH holding USING PRIMARY KEY (key=? AND value=? AND block>? AND block<?)"
BLOCKS_TOO = "SEARCH other USING PRIMARY KEY (key=? AND value=? AND block=?)"
SEQS = "SEARCH entry USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"
ONES = "SEARCH entry USING INTEGER PRIMARY KEY (rowid=?)"


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(
    ("keys", "used"),
    [
        ({}, {SEQS, ONES}),
        ({"not_types": "COMMIT"}, {SEQS, ONES}),
        ({"types": "COMMIT"}, {BLOCKS, SEQS, ONES}),
        ({"types": ["COMMIT", "DEPLOY"]}, {BLOCKS, SEQS, ONES}),
        ({"projects": "web"}, {BLOCKS, SEQS, ONES}),
        ({"sources": "ci"}, {BLOCKS, SEQS, ONES}),
        ({"types": "COMMIT", "projects": "web"}, {BLOCKS, BLOCKS_TOO, SEQS, ONES}),
        ({"types": [f"T{at}" for at in range(64)]}, {BLOCKS, SEQS, ONES}),
    ],
)
async def test_a_search_comes_in_order_from_an_index(
    store: SQLiteStore, path: Path, keys: dict[str, object], used: set[str], newest_first: bool
) -> None:
    search = Search(wanting(**keys))

    steps = plan(path, lambda db: search.look(db, 0, 9, 9, newest_first=newest_first))

    found = {step for step in steps if re.search("entry|holding|other", step)}
    assert found == used
    assert not [step for step in steps if "TEMP B-TREE" in step]


@pytest.mark.parametrize(
    ("look", "used"),
    [
        (lambda db: rows.find(db, "a"),
         "SEARCH entry USING COVERING INDEX sqlite_autoindex_entry_1 (event_id=?)"),
        (rows.types, "SEARCH holding USING PRIMARY KEY (key=? AND value>?)"),
        (lambda db: rows.delete(db, 40),
         "SEARCH holding USING COVERING INDEX holding_block (block<?)"),
    ],
)  # fmt: skip
async def test_what_is_found_is_found_in_an_index(
    store: SQLiteStore, path: Path, look: Callable[[sqlite3.Connection], object], used: str
) -> None:
    steps = plan(path, look)

    assert used in steps
    assert not [step for step in steps if step.startswith(("SCAN entry", "SCAN holding"))]


async def test_a_search_does_not_keep_appends_waiting(store: SQLiteStore) -> None:
    """A reader of the whole log works in a thread of its own, on a snapshot of its own."""
    await store.append([events(20_000)])
    search = asyncio.create_task(everything(store, wanting(paths="no/*")))

    while not search.done():
        before = time.perf_counter()
        await store.append([events(1)])
        assert time.perf_counter() - before < 5

    assert await search == []
    assert await store.latest(EVERYTHING) != []


# Without the thread


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let any disk be quick enough, whatever else the machine does."""
    monkeypatch.setattr(writer_module, "HERE_SECONDS", 10.0)


async def test_few_events_are_stored_without_the_thread_while_it_is_idle(
    store: SQLiteStore, quick_disk: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = store._writer
    here: list[int] = []
    store_here = writer._store_here

    def note(batches: Any) -> Any:
        here.append(sum(map(len, batches)))
        return store_here(batches)

    monkeypatch.setattr(writer, "_store_here", note)
    await store.append([[event(event_id="first")]])
    answers = [await store.append([[event(event_id=f"{n}")]]) for n in range(400)]
    await store.append([events(HERE_EVENTS)])
    await store.append([events(HERE_EVENTS + 1)])
    trimming = asyncio.ensure_future(writer.trim(3))
    await asyncio.sleep(0)
    await store.append([[event(event_id="behind the trim")]])
    await trimming

    # Now and then a checkpoint is made, and what comes meanwhile is the thread's.
    assert here.count(1) > 200
    assert here[-1] == HERE_EVENTS
    assert [one.seq for [[one]] in answers] == list(range(2, 402))  # type: ignore[misc]
    assert await store.bounds() == Bounds(3, 402 + 2 * HERE_EVENTS + 1)


async def test_a_slow_disk_leaves_everything_to_the_thread(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store._writer._transactions, "took", 2 * HERE_SECONDS)
    monkeypatch.setattr(store._writer, "_store_here", None)

    assert await store.append([[event(event_id="a")]]) == [[Stored("a", 1, duplicate=False)]]


async def test_known_ids_and_failures_are_the_same_without_the_thread(
    store: SQLiteStore, path: Path, quick_disk: None
) -> None:
    await store.append([[event(event_id="a", timestamp=1.0)]])

    again = [event(event_id="a", timestamp=1.0), event(event_id="b")]
    assert await store.append([again]) == [
        [Stored("a", 1, duplicate=True), Stored("b", 2, duplicate=False)]
    ]
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(StoreError, match=r"events\.db"):
        await store.append([[event(event_id="c")]])
    path.with_name("elsewhere").rename(path)
    with locked(path):
        with pytest.raises(StoreError, match="locked by another process"):
            await store.append([[event(event_id="c")]])
        # There is no connection to do it by.
        await store._writer._call(store._writer._transactions.checkpoint)
    assert await store.append([[event(event_id="c")]]) == [[Stored("c", 3, duplicate=False)]]


async def test_a_write_that_fails_without_the_thread_stores_nothing(
    store: SQLiteStore, path: Path, quick_disk: None
) -> None:
    await store.append([events(3)])
    size = path.with_name("events.db-wal").stat().st_size

    with largest_file(size + 20_000):
        with pytest.raises(StoreError, match="the disk failed"):
            await store.append([[event(event_id="a", data={"message": "x" * 100_000})]])
        assert await seqs(store) == [1, 2, 3]

    assert await store.append([[event(event_id="a")]]) == [[Stored("a", 4, duplicate=False)]]
