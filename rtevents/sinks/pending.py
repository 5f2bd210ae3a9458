"""Pending: what a sink has read and not done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from rtevents.core.event import Entry, Gap
from rtevents.sinks import Batch, Terms
from rtevents.sinks.notice import Notice
from rtevents.sinks.reader import Reader

MAX_BATCH_BYTES = 4 * 1024**2
"""Wire bytes after which a batch is full, whatever its number: with what one read adds."""

LOOK_SECONDS = 30.0
"""
Seconds for which one look waits at most; a place past what the filter hides is kept then, or when
the reader looks up before.
"""

PASS = 500
"""Entries that are passed over at once, where only the newest count."""


class Pending:
    """
    What was read for the next batch, and the gap before it; a read that is cancelled loses none.

    Args:
        name: The sink.
        reader: Where entries come from.
        notice: Where a gap is told.
        moved: Told the place, where nothing that is wanted lies before it.
    """

    def __init__(
        self,
        name: str,
        reader: Reader,
        *,
        terms: Terms,
        notice: Notice,
        moved: Callable[[str], Awaitable[None]],
    ) -> None:
        self._name = name
        self._reader = reader
        self._terms = terms
        self._notice = notice
        self._moved = moved
        self.clear()

    def clear(self) -> None:
        """Hold nothing."""
        self.entries: list[Entry] = []
        self.gap: Gap | None = None
        self.in_hand = 0
        """Entries of the batch that is being done."""

    @property
    def lag(self) -> int:
        """Entries of the log that are not done, or not looked at."""
        return self._reader.lag + len(self.entries) + self.in_hand

    async def gather(self) -> Batch:
        """
        Return what is to be done next. Cancelling is safe: what was read is kept.

        Raises:
            LogClosed: There will be no more.
        """
        terms = self._terms
        await self.wait()
        if terms.on_busy != "queue":
            while await self.read(0, PASS):
                del self.entries[: -terms.batch]
            del self.entries[: -terms.batch]
        elif terms.batch_seconds:
            await self._fill()
        entries, self.entries = self.entries, []
        gap, self.gap = self.gap, None
        return Batch(sink=self._name, entries=entries, epoch=self._reader.bookmark.epoch, gap=gap)

    async def wait(self) -> None:
        """Return when there is more to be done. Cancelling is safe."""
        while not self.entries:
            await self.read(LOOK_SECONDS, self._terms.batch)

    async def _fill(self) -> None:
        loop, terms = asyncio.get_running_loop(), self._terms
        deadline = loop.time() + terms.batch_seconds
        while (left := deadline - loop.time()) > 0:
            room = terms.batch - len(self.entries)
            if room <= 0 or sum(len(entry.wire) for entry in self.entries) > MAX_BATCH_BYTES:
                return
            await self.read(min(left, LOOK_SECONDS), room)

    async def read(self, wait: float, limit: int) -> bool:
        """
        Hold what comes next; return whether there was something.

        Args:
            wait: Seconds to wait for it; 0 answers at once.
            limit: Entries to read, at most.
        """
        found = await self._reader.next(wait, limit=limit)
        for item in found:
            if isinstance(item, Gap):
                self._note_gap(item)
            else:
                self.entries.append(item)
        # Not past what is in hand and not done: `restart` looks on meanwhile.
        is_idle = not self.entries and not self.in_hand and self.gap is None
        if not found and wait and is_idle:
            await self._moved(str(self._reader.bookmark))
        return bool(found)

    def _note_gap(self, gap: Gap) -> None:
        if self.gap is not None:
            gap = Gap(self.gap.after, gap.before, gap.reason)
        self.gap = gap
        self._notice.tell(gap.words)
        self._notice.amiss(gap.words)
