"""Growth: how a reader waits for a log to grow."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from rtevents.core.store import Page
from rtevents.errors import LogClosed


class Growth:
    """
    Wakes the readers of one log when it grows and when it ends.

    Args:
        last: The newest seq of the log.
    """

    def __init__(self, last: int) -> None:
        self._last = last
        self._told = asyncio.Event()
        self._is_ended = False

    def tell(self, last: int) -> None:
        """Wake every reader if the log, which reaches up to `last`, has grown."""
        if last > self._last:
            self._last = last
            self._wake()

    def end(self) -> None:
        """Wake every reader: there will be no more."""
        self._is_ended = True
        self._wake()

    def check(self) -> None:
        """
        Pass while the log is open.

        Raises:
            LogClosed: It has ended.
        """
        if self._is_ended:
            raise LogClosed("the log is closed")

    async def read(
        self, look: Callable[[int], Awaitable[Page]], after: int, *, until: int | None, wait: float
    ) -> Page:
        """
        Look, and look again each time the log has grown, until there is something or time is over.

        Cancelling is safe: a place moves only when a page is returned.

        Args:
            look: Returns the page after a seq.
            until: The seq up to which `look` looks; None for the end. Beyond it nothing is awaited.
            wait: Seconds; 0 looks once.
        Raises:
            LogClosed: The log ended.
        """
        now = asyncio.get_running_loop().time
        deadline = now() + wait
        while True:
            self.check()
            page = await look(after)
            after = page.looked
            if page.entries or now() >= deadline or (until is not None and after >= until):
                return page
            if after < self._last:
                continue
            # Nothing is awaited between that comparison and this line, so no growth is missed.
            told = self._told
            try:
                async with asyncio.timeout_at(deadline):
                    await told.wait()
            except TimeoutError:
                return page

    async def reached(self, after: int, wait: float) -> bool:
        """
        Wait until the log reaches beyond a seq; return whether it does.

        Raises:
            LogClosed: The log ended.
        """
        self.check()
        if self._last > after:
            return True
        told = self._told
        try:
            async with asyncio.timeout(wait):
                await told.wait()
        except TimeoutError:
            return False
        self.check()
        return self._last > after

    def _wake(self) -> None:
        self._told.set()
        self._told = asyncio.Event()
