"""What the producers of projects yield, stored; and those that fail, started again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from contextlib import aclosing

from rtevents.core.event import Event, EventType
from rtevents.core.forecast import Forecast
from rtevents.core.service import SYSTEM_SOURCE, EventService
from rtevents.daemon.forecast import marked
from rtevents.daemon.project import Project
from rtevents.daemon.spool import Spools
from rtevents.errors import LogClosed, RteventsError, Unavailable
from rtevents.producers import Producer

logger = logging.getLogger(__name__)

BACKOFF_MAX = 60.0
"""Longest pause, in seconds, before a producer that failed is started again."""

STORE_SECONDS = 2.0
"""Longest time, in seconds, that a producer's end waits for the batch that is being stored."""


class Producing:
    """
    The producers of every project, a task each.

    Args:
        service: Where what is amiss is told.
        forecast: Tells how surprising it is what they tell.
        spools: Where that waits while a shared log does not answer.
    """

    def __init__(self, service: EventService, forecast: Forecast, spools: Spools) -> None:
        self._service = service
        self._forecast = forecast
        self._spools = spools

    def start(self, project: Project, kind: str, producer: Producer) -> None:
        """Have a producer of a project's publish what it yields."""
        name = f"{kind} of {project.settings.id}"
        project.producers[kind] = producer
        project.tasks.append(
            asyncio.create_task(self._run(project, kind, producer), name=f"rtevents {name}")
        )

    async def _run(self, project: Project, kind: str, producer: Producer) -> None:
        """Publish what a producer yields; start it again when it fails."""
        pause = 1.0
        while True:
            producer.ready.clear()
            recovering = asyncio.create_task(self._note_recovery(project, kind, producer))
            try:
                # The iterator is told to end when this task is: it may hold a watch.
                async with aclosing(producer.events()) as events:
                    async for batch in events:
                        self._note_gap(project, kind, producer.gap)
                        self._note_loss(project, project.lost)
                        project.note()
                        await self._publish(project, batch)
                        if kind == "files" and project.saver is not None:
                            project.saver.hint(_last_change(batch))
                        pause = 1.0
                return
            except LogClosed:
                return
            except Exception as error:
                # The daemon outlives its producers; it tells what is wrong and tries again.
                is_bug = not isinstance(error, Unavailable)
                logger.error(
                    "producer %s of %s failed: %s",
                    kind,
                    project.settings.id,
                    error,
                    exc_info=is_bug,
                )
                recovering.cancel()
                self._note_loss(project, project.lost)
                await self._note(project, kind, _words(error))
            finally:
                recovering.cancel()
            await asyncio.sleep(pause)
            pause = min(BACKOFF_MAX, pause * 2)

    async def end(self, project: Project) -> None:
        """End a project's producers: none between what is stored and what it notes as told."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STORE_SECONDS):
                await project.storing.acquire()
        for task in project.tasks:
            task.cancel()
        await asyncio.gather(*project.tasks, return_exceptions=True)

    async def drop(self, project: Project) -> None:
        """End a project's producers, and warn of nothing that concerns them any more."""
        # First, for they may still warn of something meanwhile.
        await self.end(project)
        for kind in project.producers:
            self._service.warn(f"{kind} of {project.settings.id}", None)
            self._note_gap(project, kind, None)
        self._note_loss(project, None)

    def _note_gap(self, project: Project, kind: str, gap: str | None) -> None:
        """Have the health tell why some of what happens is seen late."""
        self._service.warn(f"{kind} of {project.settings.id}, seen late", gap)

    def _note_loss(self, project: Project, lost: str | None) -> None:
        """Have the health tell why a project's folder cannot be watched."""
        self._service.warn(f"project {project.settings.id}, root lost", lost)

    async def _note_recovery(self, project: Project, kind: str, producer: Producer) -> None:
        await producer.ready.wait()
        project.note()
        await self._note(project, kind, None)

    async def _note(self, project: Project, kind: str, error: str | None) -> None:
        """Keep how a producer is, and tell it in the stream when that changes."""
        before = project.errors.get(kind)
        if before == error:
            return
        name = f"{kind} of {project.settings.id}"
        if error is None:
            del project.errors[kind]
        else:
            project.errors[kind] = error
            project.note()
        self._service.warn(name, error)
        status = Event(
            type=EventType.SYSTEM_STATUS,
            data={
                "status": "ok" if error is None else "degraded",
                "event": "producer_recovered" if error is None else "producer_failed",
                "reasons": [] if error is None else [f"{name}: {error}"],
            },
            source=SYSTEM_SOURCE,
            project_id=project.settings.id,
        )
        await self._publish(project, [status])

    async def _publish(self, project: Project, batch: list[Event]) -> None:
        """Store a batch, however long that takes: a producer has nowhere else to go with it."""
        async with project.storing:
            spool = self._spools.of(project.settings.id)
            await spool.publish(marked(self._forecast, batch))


def _last_change(batch: Sequence[Event]) -> str | None:
    """Return the id of the event of the last file that changed; None where none did."""
    changes = (event for event in reversed(batch) if event.type == EventType.FILE_CHANGE)
    return next((event.event_id for event in changes), None)


def _words(error: Exception) -> str:
    """Return what went wrong for a user: our own words, the system's, or what a bug raised."""
    if isinstance(error, RteventsError):
        return str(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    return f"a bug: {type(error).__name__}: {error}"
