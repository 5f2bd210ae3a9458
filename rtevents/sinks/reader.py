"""What a sink reads from: the log of this process."""

from __future__ import annotations

from typing import Protocol

from rtevents.core.cursor import Cursor
from rtevents.core.event import Bookmark, Entry, Gap
from rtevents.core.filter import Filter
from rtevents.core.log import Log
from rtevents.core.since import Since, parse_since


class Reader(Protocol):
    """A place in a log, read on from at one's own pace."""

    async def open(self, bookmark: Bookmark | None) -> Bookmark:
        """
        Begin after `bookmark`, or where it was told to begin; return that place.

        Raises:
            RteventsError: There is no such place, or nobody answers.
        """

    async def next(self, wait: float, *, limit: int) -> list[Entry | Gap]:
        """
        Return what comes next; see ``Cursor.next``.

        Cancelling is safe: nothing is lost.

        Raises:
            LogClosed: There will be no more.
        """

    @property
    def bookmark(self) -> Bookmark:
        """The place up to which all has been returned, or is not wanted."""

    @property
    def lag(self) -> int:
        """Entries of the log that it has not looked at, as far as it is known."""


class LogReader:
    """
    Reads the log of this process.

    Args:
        since: Where it begins without a bookmark.
    """

    def __init__(self, log: Log, wanted: Filter, since: str = "new") -> None:
        self._log = log
        self._since = since
        self._gap: Gap | None = None
        self._cursor = Cursor(log, wanted, log.last)

    async def open(self, bookmark: Bookmark | None) -> Bookmark:
        """Begin there; what can no longer be read comes first, as a gap."""
        since = parse_since(self._since) if bookmark is None else Since(bookmark=bookmark)
        start = await self._log.start(since, self._cursor.wanted)
        self._gap = start.gap
        self._cursor.position = start.after
        return self.bookmark

    async def next(self, wait: float, *, limit: int) -> list[Entry | Gap]:
        """Return what comes next."""
        if self._gap is not None:
            gap, self._gap = self._gap, None
            return [gap]
        return await self._cursor.next(wait, limit=limit)

    @property
    def bookmark(self) -> Bookmark:
        """The place up to which all has been returned, or is not wanted."""
        return self._log.bookmark(self._cursor.position)

    @property
    def lag(self) -> int:
        """Entries of the log that it has not looked at."""
        return self._cursor.lag
