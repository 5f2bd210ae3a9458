"""The daemon's own producers: those that watch the daemon itself, and no project."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from pathlib import Path

import msgspec

from rtevents.config.settings import Config, HealthSettings
from rtevents.core.check import Check
from rtevents.core.health import Thresholds
from rtevents.core.logs import MAIN, Routes
from rtevents.core.service import EventService
from rtevents.daemon.projects import Projects
from rtevents.daemon.spool import LocalSpool
from rtevents.errors import LogClosed, Unavailable
from rtevents.producers import OWN, Known, Own, open_own_producer
from rtevents.server.fanout import Fanout

logger = logging.getLogger(__name__)

PAUSE = 10.0
"""Seconds before a producer that failed is started again."""


def thresholds(settings: HealthSettings) -> Thresholds:
    """Return the thresholds that the configuration sets."""
    names = Thresholds.__struct_fields__
    return Thresholds(**{name: getattr(settings, name) for name in names})


def open_own(
    config: Config,
    service: EventService,
    fanout: Fanout,
    *,
    projects: Projects,
    places: Path,
    node: str = "",
) -> Own:
    """
    Return what the producers get to know of the daemon.

    Args:
        places: An existing folder in which they keep their places.
        node: What this daemon is called among those that share its log.
    """
    asked = {
        "connections": fanout.answers,
        "queue": service.queue_answers,
        "memory": service.memory_answers,
        "service": service.answers,
    }
    checks = [
        Check(
            name=name,
            interval=getattr(config.health, f"{name}_interval"),
            timeout=getattr(config.health, f"{name}_timeout"),
            ask=ask,
        )
        for name, ask in asked.items()
    ]
    return Own(
        service=service,
        config=config,
        checks=checks,
        places=places,
        risks=lambda: projects.config.risks,
        projects=projects.known,
        node=node,
    )


async def watch_own(own: Own, spool: LocalSpool) -> None:
    """Publish what every one of these producers yields, until cancelled or the log ends."""
    async with asyncio.TaskGroup() as group:
        for kind in OWN:
            group.create_task(_run(own, kind, spool), name=f"rtevents {kind}")


async def watch_part(own: Own, spool: LocalSpool) -> None:
    """Look for risks in a log that some projects have of their own, until cancelled or it ends."""
    await asyncio.to_thread(own.places.mkdir, mode=0o700, parents=True, exist_ok=True)
    await _run(own, "risk", spool)


def of_log(own: Own, name: str, routes: Routes) -> Own:
    """
    Return what is to be known of one log among several: of its own projects.

    Args:
        name: The log's; what is remembered of it is in a folder of that name.
        routes: Which projects it has.
    """
    every = own.projects

    def held() -> list[Known]:
        return [each for each in every() if routes.log_of(each.id) == name]

    places = own.places if name == MAIN else own.places / "logs" / name
    return msgspec.structs.replace(own, places=places, projects=held)


async def _run(own: Own, kind: str, spool: LocalSpool) -> None:
    while True:
        try:
            async with aclosing(open_own_producer(kind, own).events()) as events:
                async for batch in events:
                    await spool.publish(batch)
            return
        except LogClosed:
            return
        except Exception as error:
            # The daemon outlives its producers; the health tells what is wrong with them.
            # A log that does not answer is no bug: a line is enough.
            is_bug = not isinstance(error, Unavailable)
            logger.error("producer %s failed: %s", kind, error, exc_info=is_bug)
            own.service.warn(kind, f"{type(error).__name__}: {error}" if is_bug else str(error))
        await asyncio.sleep(PAUSE)
        own.service.warn(kind, None)
