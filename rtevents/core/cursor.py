"""Cursor: one reader's place in the log."""

from __future__ import annotations

import asyncio

from rtevents.core.event import Entry, Gap
from rtevents.core.filter import Filter
from rtevents.core.log import PAGE, Log


class Cursor:
    """
    One reader's place in the log.

    Args:
        log: The log to read.
        wanted: What the reader wants.
        after: The seq after which it begins.
        anew: ``Log.anew`` as it was when the reader came there; None for as it is.
    """

    def __init__(self, log: Log, wanted: Filter, after: int, *, anew: int | None = None) -> None:
        self._log = log
        self.wanted = wanted
        self.position = after
        self.anew = log.anew if anew is None else anew

    @property
    def lag(self) -> int:
        """Entries of the log that this cursor has not looked at."""
        return max(0, self._log.last - self.position)

    async def next(self, wait: float, *, limit: int = PAGE) -> list[Entry | Gap]:
        """
        Return the next page of what this reader wants, oldest first.

        Cancelling is safe: no entry is lost, the place moves only when a page is returned.

        Args:
            wait: Seconds to wait for growth when nothing is there; 0 answers at once.
            limit: Most items to return.
        Returns:
            At most `limit` items; empty when nothing came in time (the place may still have moved
            past what the filter hides). A ``Gap`` stands where entries can no longer be read.
        Raises:
            LogClosed: The log ended while waiting.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        while True:
            found = self._lost() or await self._log.read(self.position, self.wanted, limit=limit)
            if isinstance(found, Gap):
                self.position = found.before - 1
                return [found]
            self.position = max(self.position, found.looked)
            if found.entries:
                return list(found.entries)
            left = deadline - loop.time()
            if self._log.last > self.position:
                continue
            if left <= 0 or not await self._log.grown(self.position, left):
                return []

    def _lost(self) -> Gap | None:
        """Return what is missing since others have begun the log anew; None where nothing is."""
        before, self.anew = self.anew, self._log.anew
        if before == self.anew or self.position >= self.anew:
            return None
        return Gap(self.position, self.anew + 1, "other-epoch")
