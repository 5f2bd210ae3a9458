"""Handlers: functions of this process that are called with each entry."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable

from rtevents.core.cursor import Cursor
from rtevents.core.event import Entry
from rtevents.core.filter import Filter
from rtevents.core.log import Log
from rtevents.core.stats import Counters
from rtevents.errors import LogClosed, Unavailable

logger = logging.getLogger(__name__)

Handler = Callable[[Entry], Awaitable[None] | None]
"""Called with each entry; a coroutine function is awaited."""


class Handlers:
    """
    The handlers of a service, each with a cursor of its own.

    Args:
        log: Where the entries come from.
        counters: Where failures are counted.
    """

    def __init__(self, log: Log, counters: Counters) -> None:
        self._log = log
        self._counters = counters
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def add(self, handler: Handler, wanted: Filter) -> Callable[[], None]:
        """Call a handler from now on; see ``EventService.on``."""
        cursor = Cursor(self._log, wanted, self._log.last)
        task = asyncio.create_task(self._run(handler, cursor), name="rtevents handler")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return lambda: _cancel(task)

    async def stop(self) -> None:
        """End them all."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, handler: Handler, cursor: Cursor) -> None:
        while True:
            try:
                items = await cursor.next(math.inf)
            except LogClosed:
                return
            except Unavailable as error:
                # The store cannot be read for now: it goes on from its place.
                await asyncio.sleep(error.retry_after)
                continue
            for item in items:
                if isinstance(item, Entry):
                    await self._call(handler, item)

    async def _call(self, handler: Handler, entry: Entry) -> None:
        try:
            result = handler(entry)
            if result is not None:
                await result
        except Exception:
            # Whatever a user's handler raises must not end the others.
            self._counters.handler_failures += 1
            self._counters.errors.add(1)
            if self._counters.handler_failures == 1:
                logger.exception("a handler failed; further failures are only counted")


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
