"""Follower: what is appended to a log in Redis, as it comes; and how much is fetched at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from rtevents.core.store import PAGE_BYTES
from rtevents.errors import StoreError
from rtevents.stores.redis_rows import Row, seq_of
from rtevents.stores.redis_server import ANSWER_SECONDS, Server

logger = logging.getLogger(__name__)

CHUNK = 500
"""Most entries that are fetched, or trimmed, at once: Redis does nothing else meanwhile."""

BLOCK = 5.0
"""Seconds for which Redis is asked to wait for growth, at once."""

PAUSE = 1.0
"""Seconds after which a server that does not answer is asked again."""


class Portion:
    """How many entries are fetched at once: about a page, by how large the last ones were."""

    def __init__(self) -> None:
        self.count = CHUNK // 8

    def learn(self, rows: Sequence[Row]) -> None:
        """Take what was fetched for what will be."""
        size = sum(len(fields.get(b"b", b"")) for _, fields in rows)
        if size > 2 * PAGE_BYTES:
            self.count = max(1, PAGE_BYTES * len(rows) // size)
        elif len(rows) == self.count and size < PAGE_BYTES:
            self.count = min(CHUNK, 2 * self.count)


class Follower:
    """
    Waits for what other daemons append, and tells of it.

    Args:
        server: Where the log is.
        portion: How much is fetched at once.
        asking: Turns what is wrong with Redis into a ``StoreError``.
        appending: Held while this daemon appends: that is told by the answer to it.
        last: Returns the last seq that is known.
        grown: Told how far the log reaches, and whether seqs are missing before that; tells
            whether it is still the same log.
    """

    def __init__(
        self,
        server: Server,
        portion: Portion,
        *,
        asking: Callable[[], AbstractAsyncContextManager[None]],
        appending: asyncio.Lock,
        last: Callable[[], int],
        grown: Callable[[int, bool], Awaitable[bool]],
    ) -> None:
        self._server = server
        self._portion = portion
        self._asking = asking
        self._appending = appending
        self._last = last
        self._grown = grown
        self._rows: list[Row] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, if it has not."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="rtevents redis")

    async def stop(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def take(self, after: int) -> list[Row]:
        """Return what came just after a seq, if it is what came last; it need not be fetched."""
        return self._rows if self._rows and seq_of(self._rows[0]) == after + 1 else []

    async def _run(self) -> None:
        # Of what this daemon appends it needs no more than to be woken.
        count = 1
        while True:
            try:
                rows = await self._wait(count)
                async with self._appending:
                    known = self._last()
                new = [row for row in rows if seq_of(row) > known]
                count = self._portion.count if new else 1
                if new:
                    self._portion.learn(rows)
                    is_missing = seq_of(new[-1]) > known + len(new)
                    is_same = await self._grown(seq_of(new[-1]), is_missing)
                    self._rows = new if is_same else []
            except StoreError as error:
                logger.debug("redis cannot be followed: %s", error)
                await asyncio.sleep(PAUSE)

    async def _wait(self, count: int) -> list[Row]:
        """Return what comes after the seq that is known; nothing when nothing comes."""
        key = self._server.keys[0]
        waiting: Any = self._server.waiting
        async with self._asking(), asyncio.timeout(BLOCK + ANSWER_SECONDS):
            place = {key: f"{self._last()}-18446744073709551615"}
            found: Any = await waiting.xread(place, count, int(BLOCK * 1000))
        if not found:
            return []
        rows: list[Row] = found[key][0] if isinstance(found, dict) else found[0][1]
        return rows
