"""SQLiteStore: a log in one SQLite database, written by one thread."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from rtevents.core.clock import Clock
from rtevents.core.event import Entry, Event, Stored, is_event_id
from rtevents.core.filter import Filter
from rtevents.core.store import PAGE_BYTES, Bounds, Page, aged
from rtevents.errors import EventConflict
from rtevents.stores import sqlite_rows as rows
from rtevents.stores.growth import Growth
from rtevents.stores.sqlite_file import DatabaseFile, new_epoch
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
    ``kill -9``. One process at a time may have a database open. Every method raises
    ``StoreError`` when the database refuses or breaks, and ``LogClosed`` after ``close``.
    """

    def __init__(self, file: DatabaseFile, opened: _Opened, clock: Callable[[], float]) -> None:
        self.epoch = opened.epoch
        self._file = file
        self._clock = clock
        self._growth = Growth(0)
        self._writer = Writer(
            file, opened.writer, epoch=opened.epoch, clock=clock, grown=self._growth.tell
        )
        self._growth.tell(self._writer.extent.last)
        # As many connections as threads, so a thread that has work finds one.
        self._idle = opened.readers
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="rtevents-read")

    @classmethod
    async def open(
        cls,
        url: str = "sqlite",
        *,
        path: Path,
        durability: str = "full",
        busy_timeout: float = 2.0,
        clock: Callable[[], float] | None = None,
    ) -> SQLiteStore:
        """
        Open the database at `path`, or make it; its folder must be there.

        Args:
            url: As in every backend; nothing in it is looked at.
            durability: ``full`` or ``normal``.
            busy_timeout: Seconds to wait while another process has locked the database.
            clock: Returns unix seconds; what entries age by.
        Raises:
            StoreError: What is there is of another program, of a newer rtevents, or damaged.
        """
        file = DatabaseFile(path, durability=durability, busy_timeout=busy_timeout)
        return cls(file, await asyncio.to_thread(_open, file), clock or Clock())

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
        return await self._writer.append(batches)

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
        search = rows.Search(wanted or Filter())

        async def look(after: int) -> Page:
            last = self._writer.extent.last
            last = max(after, last if until is None else min(until, last))
            if newest_first:
                return Page(await self._read_newest(search, after, last, limit), last)
            return await self._read_oldest(search, after, last, limit)

        if limit < 1:
            return Page([], after)
        return await self._growth.read(look, after, until=until, wait=wait)

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
                newest += await self._read_newest(rows.Search(only), 0, last, 1)
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
            await self._writer.trim(first)
        self._growth.check()
        await self._writer.load_ballast()
        return await self.bounds()

    async def check(self) -> None:
        """Raise ``StoreError`` if appends would be refused; see ``Store.check``."""
        self._growth.check()
        await asyncio.get_running_loop().run_in_executor(self._readers, self._writer.check)

    async def close(self) -> None:
        """
        End: store what waits, checkpoint, and close every thread and connection.

        Readers that wait get ``LogClosed``. Closing twice is allowed.
        """
        self._growth.end()
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        self._readers.shutdown()
        for db in self._idle:
            db.close()
        # The last connection to be closed is the one that writes, for SQLite checkpoints then.
        self._writer.stop()

    async def _read_oldest(self, search: rows.Search, after: int, last: int, limit: int) -> Page:
        entries: list[Entry] = []
        looked, size = after, 0
        for _ in range(LOOKS):
            if looked >= last or len(entries) >= limit or size >= PAGE_BYTES:
                break
            found, looked = await self._look(search, looked, last, limit - len(entries))
            entries += found
            size += sum(len(entry.wire) for entry in found)
        return Page(entries, looked)

    async def _read_newest(
        self, search: rows.Search, after: int, last: int, limit: int
    ) -> list[Entry]:
        entries: list[Entry] = []
        edge = last
        while edge > max(after, self._writer.extent.first - 1) and len(entries) < limit:
            found, edge = await self._look(
                search, after, edge, limit - len(entries), newest_first=True
            )
            entries += found
        return entries

    async def _look(
        self, search: rows.Search, low: int, high: int, limit: int, *, newest_first: bool = False
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
        return await loop.run_in_executor(self._readers, self._with_reader, work)

    def _with_reader(self, work: Callable[[sqlite3.Connection], T]) -> T:
        db = self._idle.pop()
        try:
            return work(db)
        except sqlite3.Error as error:
            raise self._file.explain(error) from error
        finally:
            self._idle.append(db)


class _Opened(NamedTuple):
    """What there is when a database is open."""

    writer: sqlite3.Connection
    readers: list[sqlite3.Connection]
    epoch: str


def _open(file: DatabaseFile) -> _Opened:
    file.prepare()
    file.load_ballast()
    with ExitStack() as stack:
        try:
            writer = stack.enter_context(closing(file.connect_writer()))
            epoch = _epoch(file, writer)
            readers = [stack.enter_context(closing(file.connect_reader())) for _ in range(READERS)]
        except sqlite3.Error as error:
            raise file.explain(error) from error
        stack.pop_all()  # all is well: they stay open
    return _Opened(writer, readers, epoch)


def _epoch(file: DatabaseFile, db: sqlite3.Connection) -> str:
    """Return the log's epoch: another one if entries are lost that the last hint tells of."""
    epoch: str
    (epoch,) = db.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
    last, hint = rows.load_extent(db).last, file.read_hint()
    if hint and hint.epoch == epoch and hint.seq > last:
        epoch = new_epoch()
        db.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (epoch,))
        logger.warning(
            "%s: entries %d to %d are lost; the log is %s from here on",
            file.path, last + 1, hint.seq, epoch,
        )  # fmt: skip
    return epoch
