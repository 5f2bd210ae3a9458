"""Log: the store as this process sees it."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from itertools import compress
from operator import attrgetter

import msgspec

from rtevents.core.event import Bookmark, Entry, Event, Gap, Stored
from rtevents.core.filter import Filter
from rtevents.core.newest import newest_of
from rtevents.core.since import Since
from rtevents.core.store import PAGE_BYTES, Bounds, Page, Store
from rtevents.errors import EventConflict, LogClosed, Unavailable

PAGE = 500
"""Most entries of one page: enough to share the cost of a write, few enough to be fair."""

_ALL = Filter()

FOLLOW_SECONDS = 30.0
"""Seconds for which a shared store is asked to wait for growth, at once."""

CATCH_UP_SECONDS = 5.0
"""Seconds to wait for what others have appended, before a reader's bookmark is said to be ahead."""

SCAN = 5000
"""Most entries of the window that one look goes through: about a millisecond."""


class Start(msgspec.Struct, frozen=True):
    """
    Where a reader begins.

    Args:
        after: The seq after which it reads on.
        verdict: ``new`` for no position given, ``complete`` when nothing is missing, else why
            something may be: ``truncated``, ``unknown-id`` or ``other-epoch``.
        gap: What is missing; None when nothing is.
        snapshot: Entries to give first: the newest of each type, for ``last-per-type``.
    """

    after: int
    verdict: str
    gap: Gap | None = None
    snapshot: list[Entry] = []


class Log:
    """
    The store as this process sees it: a window of the newest entries over the store.

    Of a store that others append to as well, it sees what ``follow`` has brought.

    Args:
        store: Where the rows are.
        window_events: Most entries held in memory.
        window_bytes: Most wire bytes held in memory.
    """

    def __init__(self, store: Store, *, window_events: int, window_bytes: int) -> None:
        self._store = store
        self._window_events = window_events
        self._window_bytes = window_bytes
        self._window: list[Entry] = []
        self._held_bytes = 0
        # Every entry with a greater seq is in the window.
        self._floor = 0
        self._bounds = Bounds(1, 0)
        self._epoch = ""
        self.anew = 0
        """As ``Store.anew``, for those who read from here."""
        self._growth = asyncio.Event()
        self._is_closed = False

    async def open(self) -> None:
        """Read the newest entries into the window."""
        self._bounds = await self._store.bounds()
        self._epoch = self._store.epoch
        self._floor = self._bounds.last
        older: list[Entry] = []
        # From the newest back, a page at a time: the store ends a page when it grows too large.
        while len(older) < self._window_events and self._held_bytes < self._window_bytes:
            reach = max(self._bounds.first - 1, self._floor - min(PAGE, self._window_events))
            page = await self._store.read(reach, self._floor - reach)
            chunk = [entry for entry in page.entries if entry.seq <= self._floor]
            if page.looked < self._floor or not chunk:
                break
            older[:0] = chunk
            self._held_bytes += wire_bytes(chunk)
            self._floor = reach
        self._window = older
        # Others may have trimmed what was not read yet: from here on nothing is missing.
        await self.refresh()
        self._floor = max(self._floor, self._bounds.first - 1)
        gone = bisect_right(self._window, self._floor, key=_seq)
        self._held_bytes -= wire_bytes(self._window[:gone])
        del self._window[:gone]
        self._trim()

    @property
    def epoch(self) -> str:
        """The name of this log."""
        return self._epoch

    @property
    def first(self) -> int:
        """The oldest seq that is kept; ``last + 1`` when nothing is."""
        return self._bounds.first

    @property
    def last(self) -> int:
        """The newest seq; 0 when there never was one."""
        return self._bounds.last

    @property
    def missing(self) -> int:
        """How many seqs between the oldest and the newest were never given to an entry."""
        begin, end = self.first - 1, self.last
        return sum(
            max(0, min(before - 1, end) - max(after, begin)) for after, before in self._bounds.holes
        )

    @property
    def window_size(self) -> tuple[int, int]:
        """Entries and wire bytes held in memory."""
        return len(self._window), self._held_bytes

    @property
    def is_closed(self) -> bool:
        """Whether the log has ended."""
        return self._is_closed

    def bookmark(self, seq: int | None = None) -> Bookmark:
        """Return the bookmark after entry `seq`; after the newest one when None."""
        return Bookmark(self.epoch, self.last if seq is None else seq)

    async def append(
        self, batches: Sequence[Sequence[Event]]
    ) -> list[list[Stored] | EventConflict]:
        """
        Store batches, each all or none, and wake who waits for growth.

        Raises:
            StoreError: Nothing is stored.
        """
        answers = await self._store.append(batches)
        if self._store.epoch != self._epoch:
            with suppress(Unavailable):  # it is stored all the same
                await self.refresh()
        events: list[Event] = []
        seqs: list[int] = []
        for batch, answer in zip(batches, answers, strict=True):
            if not isinstance(answer, EventConflict):
                new = [not stored.duplicate for stored in answer]
                events += compress(batch, new)
                seqs += [stored.seq for stored in answer if not stored.duplicate]
        # What others appended before it comes first: then `follow` brings both.
        if events and (seqs[0] == self.last + 1 or not self._store.is_shared):
            several = len(events) > 1
            self._grow(Entry.of_all(events, seqs) if several else [Entry.of(events[0], seqs[0])])
        return answers

    async def follow(self) -> None:
        """
        Bring what others append to a shared store into the window, until the log is closed.

        Who reads is told of growth by this alone. While the store does not answer, it waits.
        """
        while not self._is_closed:
            try:
                reach = await self._store.grown(self.last, FOLLOW_SECONDS)
                while reach > self.last:
                    page = await self._store.read(self.last, PAGE)
                    if self._store.epoch != self._epoch:
                        await self.refresh()
                        continue
                    if not page.entries or page.entries[0].seq > self.last + 1:
                        # Seqs are missing there: that is known before what comes after it.
                        await self.refresh()
                    new = [entry for entry in page.entries if entry.seq > self.last]
                    before = (new[0].seq if new else page.looked + 1) - 1
                    if before > self.last:
                        # Others have trimmed what never was here: that is told to who wants it.
                        self._begin_after(before)
                    if new:
                        self._grow(new)
            except LogClosed:
                return
            except Unavailable as error:
                await asyncio.sleep(error.retry_after)

    def _grow(self, entries: list[Entry]) -> None:
        self._window += entries
        self._held_bytes += wire_bytes(entries)
        self._bounds = Bounds(self._bounds.first, entries[-1].seq, self._bounds.holes)
        self._trim()
        self._wake()

    def _begin_after(self, seq: int) -> None:
        """Hold nothing up to a seq: what is before it is asked of the store."""
        self._window, self._held_bytes = [], 0
        self._floor = seq
        self._bounds = Bounds(self._bounds.first, seq, self._bounds.holes)
        self._wake()

    def _part(self, bounds: Bounds) -> None:
        """Go on in a log of another epoch: whoever has come as far as here is told so."""
        self._epoch = self._store.epoch
        if self._store.anew <= self.anew:
            self._take(bounds)
            return
        # Others have begun it anew: what has the seqs of before is not of before.
        self.anew = self._store.anew
        self._begin_after(max(self.last, self.anew))
        self._take(bounds)

    def _trim(self) -> None:
        surplus = max(0, len(self._window) - self._window_events)
        size = self._held_bytes - wire_bytes(self._window[:surplus])
        while size > self._window_bytes:
            size -= len(self._window[surplus].wire)
            surplus += 1
        if surplus:
            self._floor = self._window[surplus - 1].seq
            self._held_bytes = size
            del self._window[:surplus]

    def _wake(self) -> None:
        # Who waits holds the old event; who comes now waits for the next growth.
        self._growth.set()
        self._growth = asyncio.Event()

    def peek(
        self, after: int, wanted: Filter, *, until: int | None = None, limit: int = PAGE
    ) -> Page | None:
        """
        Return the page after `after` without waiting; None when the window does not reach so far,
        or seqs are missing just there.

        Args:
            until: Look no further than this seq; None for the end.
            limit: Most entries to return.
        """
        if after < self._floor or self._hole(after) is not None:
            return None
        until = self._until_hole(after, until)
        entries: list[Entry] = []
        size = 0
        looked = after
        everything = wanted.is_everything
        at = bisect_right(self._window, after, key=_seq)
        end = len(self._window) if until is None else bisect_right(self._window, until, key=_seq)
        stop = min(end, at + SCAN)
        for entry in self._window[at:stop]:
            if everything or wanted.matches(entry):
                size += len(entry.wire)
                if entries and (len(entries) == limit or size > PAGE_BYTES):
                    return Page(entries, looked)
                entries.append(entry)
            looked = entry.seq
        if stop == end:
            looked = max(looked, self.last if until is None else min(until, self.last))
        return Page(entries, looked)

    async def read(self, after: int, wanted: Filter, *, limit: int = PAGE) -> Page | Gap:
        """
        Return the page after `after`, from the window or else from the store.

        Returns:
            A gap when entries after `after` have been trimmed, or were lost.
        """
        if (page := self.peek(after, wanted, limit=limit)) is not None:
            return page
        if (before := self._hole(after)) is not None:
            return Gap(after, before, "other-epoch")
        until, epoch = self._until_hole(after, None), self._epoch
        page = await self._store.read(after, limit, wanted, until=until)
        # Asked afterwards, so that a trim before or during the read is seen.
        bounds = await self._store.bounds()
        if self._store.epoch != self._epoch:
            self._part(bounds)
        if self._epoch != epoch:
            # Perhaps that was read of another log than it was to be of.
            return Page([], after)
        if bounds.first > after + 1:
            return Gap(after, bounds.first, "trimmed")
        return page

    def _hole(self, after: int) -> int | None:
        """Return the next seq that there is, where those just after `after` are missing."""
        holes = self._bounds.holes
        return next((before for low, before in holes if low <= after < before - 1), None)

    def _until_hole(self, after: int, until: int | None) -> int | None:
        """Return up to where a page may go: not past missing seqs, of which its reader is told."""
        for low, _ in self._bounds.holes:
            if low > after:
                return low if until is None else min(low, until)
        return until

    async def newest(
        self, limit: int, wanted: Filter, *, after: int = 0, until: int | None = None
    ) -> list[Entry]:
        """
        Return the newest matching entries after `after` and up to `until`, the newest first.

        The store is asked only for what the window does not have: while it does not answer, what
        came last can be had all the same.
        """
        low = max(after, self.first - 1)
        high = self.last if until is None else min(until, self.last)
        floor = self._sure_floor()
        begin, end = (bisect_right(self._window, seq, key=_seq) for seq in (max(low, floor), high))
        found = await newest_of(self._window[begin:end], limit, wanted)
        if low < floor and low < high and len(found) < limit:
            page = await self._store.read(
                low, limit - len(found), wanted, until=min(floor, high), newest_first=True
            )
            found += page.entries
        return found

    def _sure_floor(self) -> int:
        """Return the seq above which the window has what the store has: no more, and no less."""
        if self._store.epoch != self._epoch:
            return self.last
        # Of what is before missing seqs, the store may have lost some, or have got back others.
        return max([self._floor, *(before - 1 for _, before in self._bounds.holes)])

    async def find(self, event_id: str, within: Filter = _ALL) -> int | None:
        """
        Return the seq of the entry with this id; None when `within` matches none that is kept.

        What is there and does not match takes the same steps as what is not: ids can be guessed.
        """
        seq = await self._store.find(event_id)
        if within.is_everything:
            return seq
        at = self.last if seq is None else seq
        page = await self._store.read(max(0, at - 1), 1, within, until=at)
        return seq if page.entries else None

    async def grown(self, after: int, wait: float) -> bool:
        """
        Wait for an entry after `after`.

        Args:
            wait: Seconds; infinity for ever.
        Returns:
            Whether there is one.
        Raises:
            LogClosed: The log ended, and there is none.
        """
        if self.last > after:
            return True
        if self._is_closed:
            raise LogClosed("the log has ended: the daemon is stopping")
        growth = self._growth
        try:
            async with asyncio.timeout(None if wait == math.inf else wait):
                await growth.wait()
        except TimeoutError:
            return False
        if self._is_closed and self.last <= after:
            raise LogClosed("the log has ended: the daemon is stopping")
        return self.last > after

    async def start(self, since: Since, wanted: Filter, within: Filter = _ALL) -> Start:
        """
        Find the place that `since` means to a reader who wants `wanted`.

        Args:
            within: What the reader may see: no other event's id means a place to it.
        """
        if since.word is not None:
            return await self._start_at_word(since.word, wanted)
        if since.timestamp is not None:
            before = await self._store.seek(since.timestamp)
            return Start(max(before, self.first - 1), "complete")
        if since.bookmark is not None:
            bookmark = since.bookmark.within(self.epoch)
            if self._store.is_shared:
                await self._catch_up(bookmark)
            return self._start_at_bookmark(bookmark)
        seq = await self.find(since.event_id or "", within)
        return self._start_anew("unknown-id") if seq is None else Start(seq, "complete")

    async def _start_at_word(self, word: str, wanted: Filter) -> Start:
        if word == "all":
            return Start(self.first - 1, "complete")
        if word == "last":
            newest = await self.newest(1, wanted)
            return Start(newest[0].seq - 1 if newest else self.last, "complete")
        if word == "last-per-type":
            # What is stored while the snapshot is read comes after it, once.
            last = self.last
            snapshot = await self._store.latest(wanted)
            return Start(last, "complete", snapshot=[e for e in snapshot if e.seq <= last])
        return Start(self.last, "new")

    async def _catch_up(self, bookmark: Bookmark) -> None:
        """Wait until what others appended before is here, if a reader has seen more than that."""
        if bookmark.epoch == self.epoch and bookmark.seq <= self.last:
            return
        bounds = await self._store.bounds()
        if self._store.epoch != self._epoch:
            self._part(bounds)
        last = bounds.last
        with suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_SECONDS):
                while self.last < last and not self._is_closed:
                    await self.grown(self.last, math.inf)

    def _start_at_bookmark(self, bookmark: Bookmark) -> Start:
        if bookmark.epoch != self.epoch:
            return self._start_anew("other-epoch")
        if bookmark.seq > self.last:
            # Only a log that lost its end, or a forged bookmark, can be behind its reader.
            return Start(self.last, "truncated", Gap(self.last, bookmark.seq + 1, "ahead"))
        if bookmark.seq < self.first - 1:
            gap = Gap(bookmark.seq, self.first, "trimmed")
            return Start(self.first - 1, "truncated", gap)
        return Start(bookmark.seq, "complete")

    def _start_anew(self, verdict: str) -> Start:
        """Begin at the oldest entry: nobody knows what the reader has seen."""
        return Start(self.first - 1, verdict, Gap(0, self.first, verdict))

    async def retain(self, max_events: int, max_age: float, max_bytes: int) -> None:
        """Trim the store; see ``Store.retain``."""
        self._take(await self._store.retain(max_events, max_age, max_bytes))

    async def refresh(self) -> None:
        """Ask the store what it keeps: it may have lost its past, or be another log."""
        bounds = await self._store.bounds()
        if self._store.epoch != self._epoch:
            self._part(bounds)
        else:
            self._take(bounds)

    def _take(self, bounds: Bounds) -> None:
        # Entries may have been appended since: the end is this log's own to know.
        last = self.last if self._store.is_shared else max(self.last, bounds.last)
        # The store forgets a hole when what comes after it is trimmed; the window may reach back.
        seen = [hole for hole in self._bounds.holes if hole[1] > self._floor]
        holes = tuple(sorted({*bounds.holes, *seen}))
        for after, before in holes:
            if after <= last < before - 1:
                last = before - 1
        is_growth = last > self.last
        self._bounds = Bounds(bounds.first, last, holes)
        if is_growth:
            self._wake()

    def close(self) -> None:
        """End the log: who waits for growth gets ``LogClosed``. The store stays open."""
        self._is_closed = True
        self._wake()


def wire_bytes(entries: Sequence[Entry]) -> int:
    """Return the sum of the wire bytes of entries."""
    return sum(map(len, map(_wire, entries)))


_seq = attrgetter("seq")
_wire = attrgetter("wire")
