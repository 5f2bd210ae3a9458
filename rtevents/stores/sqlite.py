"""SQLiteStore: a log in one SQLite database, written by one thread."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from rtevents.core.clock import Clock
from rtevents.core.event import Entry, Event, Stored
from rtevents.core.filter import Filter
from rtevents.core.names import is_event_id
from rtevents.core.store import PAGE_BYTES, Bounds, Note, Page, aged
from rtevents.errors import EventConflict, StoreDamaged, StoreError
from rtevents.stores import migrate
from rtevents.stores import sqlite_rows as rows
from rtevents.stores.growth import Growth
from rtevents.stores.quarantine import put_aside
from rtevents.stores.remains import check_remains, is_left
from rtevents.stores.sqlite_file import DatabaseFile, new_epoch
from rtevents.stores.sqlite_search import Search
from rtevents.stores.sqlite_writer import Writer

logger = logging.getLogger(__name__)

READERS = 2
"""Threads and connections that read: a long search leaves one for everybody else."""

LOOKS = 16
"""Looks that one `read` takes, oldest first, before it answers how far it came."""

T = TypeVar("T")


class SQLiteStore:
    """
    A log in one SQLite database (WAL), made by ``SQLiteStore.open``.

    With ``durability="full"`` an answered append survives power loss, with ``normal`` it survives
    ``kill -9``: power loss takes at most what came since the last checkpoint, which syncs the WAL
    first (SQLite, PRAGMA synchronous), and there is one at about 1,000 pages. One process at a time
    may have a database open. Every method raises ``StoreError`` when the database refuses or
    breaks, and ``LogClosed`` after ``close``.

    A database that turns out to be damaged is put aside, and a new log begins in its place after
    the last seq of the old: who reads has a gap there, and who has seen all of it misses nothing.
    What was asked of the old one is then asked of the new. An entry that alone is damaged is told
    as ``corrupt``.
    """

    is_shared = False
    anew = 0

    def __init__(
        self,
        file: DatabaseFile,
        opened: _Opened,
        clock: Callable[[], float],
        *,
        is_strict: bool = False,
    ) -> None:
        self.notes = opened.notes
        self.weaknesses: list[str] = []
        self._file = file
        self._clock = clock
        self._is_strict = is_strict
        self._growth = Growth(0)
        self._damaged: set[int] = set()
        # Held while another database takes the place of this one.
        self._replacing = asyncio.Lock()
        self._is_aside = False
        # Counts the databases, for who worked on one to know that it is another.
        self._life = 0
        # What a damaged database is refused with, where no other is to take its place.
        self._refusal: StoreDamaged | None = None
        # As many as threads, so a thread that has work finds one; each opened when it is used.
        self._idle: list[tuple[int, sqlite3.Connection | None]] = [(-1, None)] * READERS
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="rtevents-read")
        self._begin(opened)

    def _begin(self, opened: _Opened) -> None:
        self.epoch = opened.epoch
        self._writer = Writer(
            self._file,
            opened.writer,
            epoch=opened.epoch,
            clock=self._clock,
            grown=self._growth.tell,
        )
        self._growth.tell(self._writer.extent.last)

    @classmethod
    async def open(
        cls,
        url: str = "sqlite",
        *,
        path: Path,
        durability: str = "full",
        busy_timeout: float = 2.0,
        clock: Callable[[], float] | None = None,
        strict: bool = False,
    ) -> SQLiteStore:
        """
        Open the database at `path`, or make it; its folder must be there.

        Args:
            url: As in every backend; nothing in it is looked at.
            durability: ``full`` or ``normal``.
            busy_timeout: Seconds to wait while another process has locked the database.
            clock: Returns unix seconds; what entries age by.
            strict: Refuse a database that is damaged, rather than put it aside.
        Raises:
            StoreError: What is there is of another program, or of a newer rtevents.
            StoreDamaged: It is damaged, and `strict` is set.
        """
        file = DatabaseFile(path, durability=durability, busy_timeout=busy_timeout)
        opened = await asyncio.to_thread(_open, file, is_strict=strict)
        return cls(file, opened, clock or Clock(), is_strict=strict)

    async def append(
        self, batches: Sequence[Sequence[Event]]
    ) -> list[list[Stored] | EventConflict]:
        """
        Store batches, each all or none; the answer comes after the commit. See ``Store.append``.

        Cancelling does not take back what waits to be stored: published again, it is a duplicate.

        Raises:
            StoreError: Nothing of it was stored.
            LogClosed: The store is closed.
            EventRefused: An event is not JSON; nothing is stored.
        """
        self._growth.check()
        for batch in batches:
            for event in batch:
                _ = event.body
        self._check_refusal()
        return await self._surely(lambda: self._writer.append(batches))

    async def read(
        self,
        after: int,
        limit: int,
        wanted: Filter | None = None,
        *,
        until: int | None = None,
        wait: float = 0,
        newest_first: bool = False,
    ) -> Page:
        """
        Return at most `limit` entries with a seq greater than `after`; see ``Store.read``.

        Oldest first, a page also ends when a search that no index answers (a path, or keys that
        match different entries) has gone far: ``looked`` is then where to go on. Newest first,
        nobody could go on, so it ends with `limit` or with the log. Cancelling is safe: a place
        moves only when a page is returned.

        Raises:
            StoreError: It cannot be read.
            LogClosed: The store is closed, or was closed while waiting.
        """
        search = Search(wanted or Filter(), self._found_damaged)

        async def look(after: int) -> Page:
            last = self._writer.extent.last
            last = max(after, last if until is None else min(until, last))
            if newest_first:
                return Page(await self._read_newest(search, after, last, limit), last)
            return await self._read_oldest(search, after, last, limit)

        if limit < 1:
            return Page([], after)
        return await self._growth.read(look, after, until=until, wait=wait)

    async def grown(self, after: int, wait: float) -> int:
        """Return the last seq, when it is greater than `after` or time is over."""
        await self._growth.reached(after, wait)
        return self._writer.extent.last

    async def find(self, event_id: str) -> int | None:
        """Return the seq of the entry with this id; None when none is kept."""
        self._growth.check()
        if not is_event_id(event_id):
            return None
        return await self._read(lambda db: rows.find(db, event_id))

    async def seek(self, timestamp: float) -> int:
        """Return the seq before the first entry stored at or after `timestamp`."""
        extent = self._writer.extent
        return await self._read(lambda db: rows.first_stored(db, extent, timestamp)) - 1

    async def latest(self, wanted: Filter) -> list[Entry]:
        """Return the newest matching entry of each type, oldest first."""
        newest: list[Entry] = []
        last = self._writer.extent.last
        for name in await self._read(rows.types):
            if name not in wanted.not_types and (not wanted.types or name in wanted.types):
                only = msgspec.structs.replace(
                    wanted, types=frozenset({name}), not_types=frozenset()
                )
                search = Search(only, self._found_damaged)
                newest += await self._read_newest(search, 0, last, 1)
        return sorted(newest, key=lambda entry: entry.seq)

    async def bounds(self) -> Bounds:
        """Return the first and the last seq that are kept; from memory."""
        self._growth.check()
        extent = self._writer.extent
        return Bounds(extent.first, extent.last)

    async def retain(self, max_events: int, max_age: float, max_bytes: int) -> Bounds:
        """
        Delete the oldest entries until the rest is within every limit; see ``Store.retain``.

        Deletes a few hundred at a time, so that appends need not wait for long.
        """
        extent, now = self._writer.extent, self._clock()

        def keep(db: sqlite3.Connection) -> int:
            first = extent.first
            if max_events:
                first = max(first, extent.last - max_events + 1)
            if max_age:
                young = rows.first_stored(db, extent, now - max_age)
                first = max(first, aged(Bounds(extent.first, extent.last), young))
            if max_bytes:
                first = max(first, rows.first_byte(db, extent, extent.end - max_bytes))
            return first

        first = await self._read(keep)
        while self._writer.extent.first < first:
            self._growth.check()
            await self._surely(lambda: self._writer.trim(first))
        self._growth.check()
        await self._surely(lambda: self._writer.load_ballast())
        return await self.bounds()

    async def check(self) -> None:
        """Raise ``StoreError`` if appends would be refused; see ``Store.check``."""
        self._growth.check()
        self._check_refusal()
        loop = asyncio.get_running_loop()
        await self._surely(lambda: loop.run_in_executor(self._readers, self._writer.check))

    async def close(self) -> None:
        """
        End: store what waits, checkpoint, and close every thread and connection.

        Readers that wait get ``LogClosed``. Closing twice is allowed.
        """
        self._growth.end()
        async with self._replacing:
            await asyncio.to_thread(self._end)

    def _end(self) -> None:
        self._readers.shutdown()
        for _, db in self._idle:
            if db is not None:
                db.close()
        # The last connection to be closed is the one that writes, for SQLite checkpoints then.
        self._writer.stop()

    async def _read_oldest(self, search: Search, after: int, last: int, limit: int) -> Page:
        entries: list[Entry] = []
        looked, size = after, 0
        for _ in range(LOOKS):
            if looked >= last or len(entries) >= limit or size >= PAGE_BYTES:
                break
            found, looked = await self._look(search, looked, last, limit - len(entries))
            entries += found
            size += sum(len(entry.wire) for entry in found)
        return Page(entries, looked)

    async def _read_newest(self, search: Search, after: int, last: int, limit: int) -> list[Entry]:
        entries: list[Entry] = []
        edge = last
        while edge > max(after, self._writer.extent.first - 1) and len(entries) < limit:
            found, edge = await self._look(
                search, after, edge, limit - len(entries), newest_first=True
            )
            entries += found
        return entries

    async def _look(
        self, search: Search, low: int, high: int, limit: int, *, newest_first: bool = False
    ) -> tuple[list[Entry], int]:
        # What is before the first entry needs no look; a place may lie far back there.
        low = max(low, self._writer.extent.first - 1)
        return await self._read(
            lambda db: search.look(db, low, high, limit, newest_first=newest_first)
        )

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do some reading in a thread for it."""
        self._growth.check()
        loop = asyncio.get_running_loop()
        return await self._surely(
            lambda: loop.run_in_executor(self._readers, self._with_reader, work)
        )

    def _with_reader(self, work: Callable[[sqlite3.Connection], T]) -> T:
        life, db = self._idle.pop()
        try:
            if db is not None and life != self._life:
                db.close()
            if db is None or life != self._life:
                life, db = self._life, self._file.connect_reader()
            return work(db)
        except sqlite3.Error as error:
            raise self._file.explain(error) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StoreDamaged(f"{self._file.path.name}: damaged ({error})") from error
        finally:
            self._idle.append((life, db))

    def _found_damaged(self, seq: int) -> None:
        """Say once that there are damaged entries; called in a thread that reads."""
        if seq in self._damaged:
            return
        self._damaged.add(seq)
        if len(self._damaged) == 1:
            logger.error("%s: entry %d is damaged; others are not told here", self._file.path, seq)
            reason = f"entry {seq} is damaged, and perhaps others: they are told as corrupt"
            self.notes.append(Note("store.corrupt", reason))

    def _check_refusal(self) -> None:
        if self._refusal is not None:
            raise self._refusal

    async def _surely(self, act: Callable[[], Awaitable[T]]) -> T:
        """Do something; once more, where another database takes the place of a damaged one."""
        if self._replacing.locked() or self._is_aside:
            await self._replaced(self._life)
        life = self._life
        try:
            return await act()
        except StoreError as error:
            # Nothing of it was stored: who reads or appends need not know.
            if not await self._replaced(life, error):
                raise
        return await act()

    async def _replaced(self, life: int, error: StoreError | None = None) -> bool:
        """
        Tell whether there is another database than the one of that life.

        Args:
            error: What happened to that one: if it is damaged, another takes its place.
        """
        # A task of its own: who waits for it may be cancelled halfway.
        return await asyncio.shield(asyncio.create_task(self._replace(life, error)))

    async def _replace(self, life: int, error: StoreError | None) -> bool:
        async with self._replacing:
            self._growth.check()
            if not self._is_aside:
                if life != self._life:
                    return True
                if not isinstance(error, StoreDamaged):
                    return False
                if self._is_strict:
                    self._refusal = error
                    return False
                await asyncio.to_thread(self._put_aside, error)
            last = self._writer.extent.last
            self._begin(await asyncio.to_thread(_open_whole, self._file, [], after=last))
            self._life += 1
            self._is_aside = False
            return True

    def _put_aside(self, error: StoreDamaged) -> None:
        self.notes.append(_quarantine(self._file, error))
        self._is_aside = True
        # Where it was, nothing is: what still waits is refused, and stored in the new one.
        self._writer.stop()


class _Opened(NamedTuple):
    """What there is when a database is open."""

    writer: sqlite3.Connection
    epoch: str
    notes: list[Note]


def _open(file: DatabaseFile, *, is_strict: bool) -> _Opened:
    """Open a database, or a new one where it is damaged or gone."""
    try:
        check_remains(file.named)
        return _open_whole(file, [])
    except StoreDamaged as error:
        if is_strict:
            aside = "put it aside and " if is_left(file.path) else ""
            raise StoreDamaged(
                f"{error}; start it without --strict to {aside}begin a new log"
            ) from error
        hint = file.hint.read()
        notes = [_quarantine(file, error) if is_left(file.path) else _lost(file, error)]
        return _open_whole(file, notes, after=hint.seq if hint else 0)


def _lost(file: DatabaseFile, error: StoreDamaged) -> Note:
    """Return what is to be told of a database of which nothing is left."""
    logger.error("%s; a new log begins; if there is a backup, put it there", error)
    return Note("store.lost", f"{_without_folders(file, error)}; a new log begins")


def _without_folders(file: DatabaseFile, error: StoreDamaged) -> str:
    """Return what happened for the stream: whoever may see that need not know the folders."""
    text = str(error).replace(str(file.named), file.named.name)
    return text.replace(str(file.path), file.path.name)


def _quarantine(file: DatabaseFile, error: StoreDamaged) -> Note:
    """Put a damaged database aside, and return what is to be told of it."""
    aside = put_aside(file.path)
    logger.error(
        "%s; it is %s now, and a new log begins; what can be read of it: "
        "rtevents doctor --recover %s",
        error, aside.name, aside,
    )  # fmt: skip
    why = _without_folders(file, error)
    return Note("store.quarantined", f"{why}; it is {aside.name} now: see rtevents doctor")


def _open_whole(file: DatabaseFile, notes: list[Note], *, after: int = 0) -> _Opened:
    file.prepare(after=after)
    file.load_ballast()
    with ExitStack() as stack:
        try:
            writer = stack.enter_context(closing(file.connect_writer()))
            migrate.upgrade(writer, file.path)
            epoch = _epoch(file, writer, notes)
        except sqlite3.Error as error:
            raise file.explain(error) from error
        stack.pop_all()  # all is well: it stays open
    return _Opened(writer, epoch, notes)


def _epoch(file: DatabaseFile, db: sqlite3.Connection, notes: list[Note]) -> str:
    """Return the log's epoch: another one if entries are lost that the last hint tells of."""
    epoch: str
    (epoch,) = db.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
    last, hint = rows.load_extent(db).last, file.hint.read()
    if hint and hint.epoch == epoch and hint.seq > last:
        epoch = new_epoch()
        db.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (epoch,))
        lost = f"entries {last + 1} to {hint.seq} are lost; the log is {epoch} from here on"
        logger.error("%s: %s", file.path, lost)
        notes.append(Note("store.lost", lost))
    return epoch
