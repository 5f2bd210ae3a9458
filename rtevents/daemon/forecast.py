"""The forecast of the daemon: it learns from the log, and marks what the producers tell."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rtevents.core.event import Event
from rtevents.core.filter import Filter
from rtevents.core.forecast import LEARNED, Forecast
from rtevents.core.service import EventService
from rtevents.errors import Unavailable

WARM = 2000
"""Entries that are learned from at the start: less than half a second of work."""

SLICE = 50
"""Entries that are learned from at a stretch."""

BURST = 50
"""Events of a batch beyond which they are no news each for itself: a checkout, a build."""


async def learn(service: EventService, forecast: Forecast) -> None:
    """Learn from the newest of what is kept, and from all that comes."""
    wanted = Filter(types=LEARNED)
    end = service.log.last
    service.on(forecast.learn, wanted)
    try:
        entries = await service.log.newest(WARM, wanted, until=end)
    except Unavailable:  # it is learned from what comes, then
        return
    for at, entry in enumerate(reversed(entries)):
        forecast.learn(entry)
        if at % SLICE == SLICE - 1:
            await asyncio.sleep(0)


def marked(forecast: Forecast, batch: Sequence[Event]) -> list[Event]:
    """Return a producer's batch, each event with its surprise where that can be told."""
    if len(batch) > BURST:
        return list(batch)
    return [forecast.marked(event) for event in batch]
