"""The forecast of the daemon: it learns from the log, and marks what the producers tell."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence

from rtevents.core.cursor import Cursor
from rtevents.core.event import Entry, Event
from rtevents.core.filter import Filter
from rtevents.core.forecast import LEARNED, Forecast, Past
from rtevents.core.paths import in_project
from rtevents.core.service import EventService
from rtevents.errors import LogClosed, RteventsError, Unavailable
from rtevents.producers import Known
from rtevents.producers.history import history
from rtevents.producers.repository import Repository

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""Seconds between two looks for a project whose history is not learned."""

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


async def learn_history(
    forecast: Forecast, projects: Callable[[], Sequence[Known]], patience: float
) -> None:
    """
    Learn what each project's repository was like before it was watched, for ever.

    Args:
        projects: Returns what is watched now.
        patience: Seconds after which a command of git is given up.
    """
    done = set[Known]()
    while True:
        for project in projects():
            if project.is_repository and project not in done:
                done.add(project)
                await _learn_past(forecast, project, patience)
        await asyncio.sleep(LOOK_SECONDS)


async def _learn_past(forecast: Forecast, project: Known, patience: float) -> None:
    begun = time.monotonic()
    noted = forecast.noted(project.id)

    def study() -> Past:
        repository = Repository(project.root, patience)
        commits, folder = history(repository), repository.folder()
        return Past(
            ((each.sha, [in_project(file, folder) for file in each.files]) for each in commits),
            noted,
        )

    try:
        past = await asyncio.to_thread(study)
    except RteventsError as error:  # it learns from what comes, then
        logger.info("the history of %s cannot be learned from: %s", project.id, error)
        return
    forecast.learn_past(project.id, past)
    took = time.monotonic() - begun
    logger.info(
        "learned from %d commits of %s before it was watched, %.1f s", past.count, project.id, took
    )


def marked(forecast: Forecast, batch: Sequence[Event]) -> list[Event]:
    """Return a producer's batch, each event with its surprise where that can be told."""
    if len(batch) > BURST:
        return list(batch)
    return [forecast.marked(event) for event in batch]
