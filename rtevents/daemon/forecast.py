"""The forecast of the daemon: it learns from the log, and marks what the producers tell."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from rtevents.core.event import Entry, Event
from rtevents.core.filter import Filter
from rtevents.core.forecast import LEARNED, Forecast
from rtevents.core.log import Cursor
from rtevents.core.service import EventService
from rtevents.errors import LogClosed, Unavailable

WARM = 2000
"""Entries that are learned from at the start: less than half a second of work."""

SLICE = 50
"""Entries that are learned from at a stretch."""

PAUSE = 0.25
"""Seconds between two stretches: of a flood most is left out, it would cost more than it says."""

MOST_BEHIND = 1000
"""Entries from which on those that wait to be learned from are left out but for the newest."""

BURST = 50
"""Events of a batch beyond which they are no news each for itself: a checkout, a build."""


async def learn(service: EventService, forecast: Forecast) -> None:
    """Learn from the newest of what is kept, and from what comes, until the log ends."""
    wanted, log = Filter(types=LEARNED), service.log
    cursor = Cursor(log, wanted, log.last)
    try:
        entries = await log.newest(WARM, wanted, until=cursor.position)
        for at, entry in enumerate(reversed(entries)):
            forecast.learn(entry)
            if at % SLICE == SLICE - 1:
                await asyncio.sleep(0)
    except Unavailable:  # it is learned from what comes, then
        pass
    while True:
        try:
            found = await cursor.next(math.inf, limit=SLICE)
        except LogClosed:
            return
        except Unavailable as error:
            await asyncio.sleep(error.retry_after)
            continue
        for item in found:
            if isinstance(item, Entry):
                forecast.learn(item)
        await asyncio.sleep(PAUSE)
        if log.last - cursor.position > MOST_BEHIND:
            cursor = Cursor(log, wanted, log.last - SLICE)


def marked(forecast: Forecast, batch: Sequence[Event]) -> list[Event]:
    """Return a producer's batch, each event with its surprise where that can be told."""
    if len(batch) > BURST:
        return list(batch)
    return [forecast.marked(event) for event in batch]
