"""A place in the log of a daemon elsewhere, read on from at one's own pace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rtevents.client.asyncio import Client
from rtevents.client.calls import History
from rtevents.client.frames import Place
from rtevents.core.event import Bookmark, Entry, Gap
from rtevents.core.filter import Filter
from rtevents.errors import ConnectionLost, NotReachable, Unavailable

PAGE = 100
"""Entries that are asked for at once, and held at most."""

POLL_SECONDS = 5.0
"""Seconds for which one question waits for an answer: so late it knows what the filter hides."""


class HistoryReader:
    """
    Reads pages of the history, and nothing while nobody asks: what is not read is in the log.

    It comes back by itself when the connection is lost.

    Args:
        client: The daemon's.
        wanted: What is read.
        since: Where it begins without a bookmark.
        tell: Told in a line that the connection is lost.
    """

    def __init__(
        self,
        client: Client,
        wanted: Filter,
        since: str = "new",
        *,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._client = client
        self._wanted = wanted
        self._since = since
        self._tell = tell
        self._held: list[Entry | Gap] = []
        self._next = Bookmark("00000000", 0)
        self._newest = 0
        # How it comes back, while nobody answers.
        self._lost: Place | None = None

    async def open(self, bookmark: Bookmark | None) -> Bookmark:
        """
        Begin after `bookmark`, or where it was told to begin; return that place.

        A log that cannot be read is waited for.

        Raises:
            NotReachable: There is no daemon.
            BookmarkError: There is no such place.
        """
        since = str(bookmark or self._since)
        while True:
            try:
                page = await self._client.history(self._wanted, since=since, limit=PAGE)
            except Unavailable as error:
                await asyncio.sleep(self._pause(f"{error}; waiting for it", error))
            else:
                break
        self._lost = None
        self._take(page)
        return self.bookmark

    async def next(self, wait: float, *, limit: int) -> list[Entry | Gap]:
        """Return what comes next; empty when nothing came in time. Cancelling is safe."""
        if not self._held:
            page = await self._ask(min(wait, POLL_SECONDS))
            if page is None:
                return []
            self._take(page)
        found = self._held[:limit]
        if found and isinstance(found[0], Gap):
            found = found[:1]
        del self._held[: len(found)]
        return found

    @property
    def bookmark(self) -> Bookmark:
        """The place up to which all has been returned, or is not wanted."""
        for item in self._held:
            after = item.after if isinstance(item, Gap) else item.seq - 1
            return Bookmark(self._next.epoch, after)
        return self._next

    @property
    def lag(self) -> int:
        """Entries of the log that it has not looked at, when it last asked."""
        return max(0, self._newest - self.bookmark.seq)

    def _take(self, page: History) -> None:
        page.of_one_log()
        self._held = [*([page.gap] if page.gap else []), *page.events]
        self._next, self._newest = page.next, page.newest

    async def _ask(self, wait: float) -> History | None:
        """Return the next page; None when nobody answered in time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        left = wait
        while True:
            try:
                page = await self._client.history(
                    self._wanted, since=str(self._next), limit=PAGE, wait=max(0.0, left)
                )
            except (NotReachable, ConnectionLost, Unavailable) as error:
                pause = self._pause(f"connection lost ({error}); reconnecting", error)
            else:
                self._lost = None
                return page
            if (left := deadline - loop.time()) <= 0:
                return None
            await asyncio.sleep(min(pause, left))
            left = deadline - loop.time()

    def _pause(self, words: str, error: Exception) -> float:
        """Return the seconds until it is tried again; tell it, the first time."""
        if self._lost is None:
            self._tell(words)
            self._lost = Place("")
        return self._lost.lost(str(error), reconnect=True)
