"""MemoryStore: a log that ends with the process."""

from __future__ import annotations

import asyncio
import secrets
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rtevents.core.clock import Clock
from rtevents.core.event import Entry, Event, Stored
from rtevents.core.filter import Filter
from rtevents.core.store import PAGE_BYTES, Bounds, Note, Page, aged
from rtevents.errors import EventConflict
from rtevents.stores.dedup import Kept, settle
from rtevents.stores.growth import Growth

CHUNK = 2_000
"""Entries looked at, or trimmed, before other tasks have their turn: about 2 ms of work."""


class _Row(NamedTuple):
    """
    An entry as it is kept.

    Args:
        stored_at: Unix seconds; never less than the row's before.
        end: Sum of the wire bytes up to and including this entry's.
    """

    entry: Entry
    stored_at: float
    end: int


class MemoryStore:
    """
    A log in this process's memory, and gone with it.

    Made for tests and for embedding. After ``close`` every method raises ``LogClosed``.

    Args:
        clock: Returns unix seconds; what entries age by.
    """

    is_shared = False
    anew = 0

    def __init__(self, *, clock: Callable[[], float] | None = None) -> None:
        self.epoch = secrets.token_hex(4)
        self.notes: list[Note] = []
        self.weaknesses: list[str] = []
        self._clock = clock or Clock()
        self._rows: list[_Row] = []
        self._seqs: dict[str, int] = {}
        self._bounds = Bounds(first=1, last=0)
        self._end = 0
        self._stored_at = 0.0
        self._growth = Growth(0)

    @classmethod
    async def open(
        cls, url: str = "memory", *, path: Path, durability: str, strict: bool = False
    ) -> MemoryStore:
        """Return an empty log; the arguments are those of every backend and mean nothing here."""
        return cls()

    async def append(
        self, batches: Sequence[Sequence[Event]]
    ) -> list[list[Stored] | EventConflict]:
        """
        Store batches, each all or none.

        Raises:
            LogClosed: The store is closed.
            EventRefused: An event is not JSON; nothing is stored.
        """
        self._growth.check()
        for batch in batches:
            for event in batch:
                _ = event.body
        self._stored_at = max(self._stored_at, self._clock())
        before = self._bounds.last
        answers = [self._append(batch) for batch in batches]
        if self._bounds.last > before:
            self._growth.tell(self._bounds.last)
        return answers

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

        Cancelling is safe: a place moves only when a page is returned.

        Raises:
            LogClosed: The store is closed, or was closed while waiting.
        """

        async def look(after: int) -> Page:
            last = self._bounds.last if until is None else min(until, self._bounds.last)
            read = self._read_newest if newest_first else self._read_oldest
            return await read(after, max(after, last), limit, wanted or Filter())

        if limit < 1:
            return Page([], after)
        return await self._growth.read(look, after, until=until, wait=wait)

    async def grown(self, after: int, wait: float) -> int:
        """Return the last seq, when it is greater than `after` or time is over."""
        await self._growth.reached(after, wait)
        return self._bounds.last

    async def find(self, event_id: str) -> int | None:
        """
        Return the seq of the entry with this id; None when none is kept.

        Raises:
            LogClosed: The store is closed.
        """
        self._growth.check()
        return self._seqs.get(event_id)

    async def seek(self, timestamp: float) -> int:
        """
        Return the seq before the first entry stored at or after `timestamp`.

        Raises:
            LogClosed: The store is closed.
        """
        self._growth.check()
        return self._first(timestamp, lambda row: row.stored_at) - 1

    async def latest(self, wanted: Filter) -> list[Entry]:
        """
        Return the newest matching entry of each type, oldest first.

        Raises:
            LogClosed: The store is closed.
        """
        self._growth.check()
        newest: dict[str, Entry] = {}
        for entries in self._chunks(0, self._bounds.last, newest_first=True):
            for entry in entries:
                if entry.type not in newest and wanted.matches(entry):
                    newest[entry.type] = entry
            await self._pause()
        return sorted(newest.values(), key=lambda entry: entry.seq)

    async def bounds(self) -> Bounds:
        """
        Return the first and the last seq that are kept.

        Raises:
            LogClosed: The store is closed.
        """
        self._growth.check()
        return self._bounds

    async def retain(self, max_events: int, max_age: float, max_bytes: int) -> Bounds:
        """
        Delete the oldest entries until the rest is within every limit; see ``Store.retain``.

        Raises:
            LogClosed: The store is closed.
        """
        self._growth.check()
        keep = self._bounds.first
        if max_events:
            keep = max(keep, self._bounds.last - max_events + 1)
        if max_age:
            oldest = self._clock() - max_age
            first = self._first(oldest, lambda row: row.stored_at)
            keep = max(keep, aged(self._bounds, first))
        if max_bytes:
            start = self._end - max_bytes
            keep = max(keep, self._first(start, lambda row: row.end - len(row.entry.wire)))
        while self._bounds.first < keep:
            self._trim(min(keep, self._bounds.first + CHUNK))
            await self._pause()
        return self._bounds

    async def check(self) -> None:
        """Return at once: there is always room."""
        self._growth.check()

    async def close(self) -> None:
        """End: readers that wait get ``LogClosed``. Closing twice is allowed."""
        self._growth.end()

    def _append(self, batch: Sequence[Event]) -> list[Stored] | EventConflict:
        try:
            answers, fresh = settle(batch, self._bounds.last, self._find)
        except EventConflict as conflict:
            return conflict
        for seq, event in fresh.values():
            entry = Entry.of(event, seq)
            self._end += len(entry.wire)
            self._rows.append(_Row(entry, self._stored_at, self._end))
            self._seqs[event.event_id] = seq
            self._bounds = Bounds(self._bounds.first, seq)
        return answers

    def _find(self, event_id: str) -> Kept | None:
        if (seq := self._seqs.get(event_id)) is None:
            return None
        return seq, self._rows[seq - self._bounds.first].entry.event

    async def _read_oldest(self, after: int, last: int, limit: int, wanted: Filter) -> Page:
        found: list[Entry] = []
        size = 0
        for entries in self._chunks(after, last):
            for entry in entries:
                if not wanted.matches(entry):
                    continue
                found.append(entry)
                size += len(entry.wire)
                if len(found) >= limit or size >= PAGE_BYTES:
                    return Page(found, entry.seq)
            await self._pause()
        return Page(found, last)

    async def _read_newest(self, after: int, last: int, limit: int, wanted: Filter) -> Page:
        found: list[Entry] = []
        for entries in self._chunks(after, last, newest_first=True):
            found += [entry for entry in entries if wanted.matches(entry)]
            if len(found) >= limit:
                break
            await self._pause()
        return Page(found[:limit], last)

    def _chunks(
        self, after: int, last: int, *, newest_first: bool = False
    ) -> Iterator[list[Entry]]:
        """Yield what is kept between two seqs, a chunk at a time, as it is when it is asked for."""
        while (low := max(after, self._bounds.first - 1)) < last:
            edge = max(low, last - CHUNK) if newest_first else min(low + CHUNK, last)
            start, end = (edge, last) if newest_first else (low, edge)
            first = self._bounds.first - 1
            entries = [row.entry for row in self._rows[start - first : end - first]]
            yield entries[::-1] if newest_first else entries
            after, last = (after, edge) if newest_first else (edge, last)

    async def _pause(self) -> None:
        """Let other tasks have their turn."""
        await asyncio.sleep(0)
        self._growth.check()

    def _first(self, value: float, key: Callable[[_Row], float]) -> int:
        """Return the first seq of which something that never falls has reached a value."""
        return self._bounds.first + bisect_left(self._rows, value, key=key)

    def _trim(self, keep: int) -> None:
        """Delete what is before the seq `keep`."""
        count = keep - self._bounds.first
        for row in self._rows[:count]:
            del self._seqs[row.entry.event_id]
        del self._rows[:count]
        self._bounds = Bounds(keep, self._bounds.last)
