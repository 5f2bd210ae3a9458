"""Polls: requests that wait for something to happen, and can be told to wait no longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Polls:
    """The requests that wait."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def waiting(self, seconds: float) -> AsyncIterator[None]:
        """Cancel what is awaited within after so many seconds, or at ``end``; that is no error."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds) as limit:
                self._waiting.add(limit)
                try:
                    yield
                finally:
                    self._waiting.discard(limit)

    def end(self) -> None:
        """Let nobody wait any longer."""
        waiting, self._waiting = self._waiting, set()
        for limit in waiting:
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())
