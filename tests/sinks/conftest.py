"""What the tests of the sinks share: a log, a sink on it, reactions with staged failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rtevents.core.event import Event
from rtevents.core.filter import Filter
from rtevents.core.service import EventService
from rtevents.errors import ReactionFailed
from rtevents.sinks import Batch, Reaction, Terms
from rtevents.sinks.engine import Sink
from rtevents.sinks.place import DeadLetters, Place
from rtevents.sinks.reader import LogReader
from rtevents.stores.memory import MemoryStore

PATIENCE = 20.0
"""Seconds after which a condition that has not come true is a failure."""


def risk(number: int = 0, **data: Any) -> Event:
    """Return a RISK_ALERT."""
    given = {"severity": "high", "message": f"risk {number}", **data}
    return Event(type="RISK_ALERT", data=given, source="test")


async def until(condition: Callable[[], object], what: str) -> None:
    """Return when `condition` is true."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)
    assert condition(), what


class Staged:
    """
    A reaction that notes what it is given, and fails as it is told.

    Args:
        failures: What the first attempts end with; None for success.
    """

    at_once: ClassVar[int] = 1
    every: ClassVar[float] = 0.0

    def __init__(self, *failures: Exception | None) -> None:
        self.failures = list(failures)
        self.always: Exception | None = None
        """What every attempt ends with, when there is nothing else."""
        self.tried: list[Batch] = []
        self.done: list[int] = []
        self.ended = 0
        """How many were cancelled."""
        self.gate = asyncio.Event()
        """Unset, an attempt waits."""
        self.gate.set()

    async def act(self, batch: Batch) -> None:
        """Do as told."""
        self.tried.append(batch)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.ended += 1
            raise
        failure = self.failures.pop(0) if self.failures else self.always
        if failure is not None:
            raise failure
        self.done += [entry.seq for entry in batch.entries]

    async def close(self) -> None:
        """Hold nothing open."""


def failed(text: str = "no", **kind: Any) -> ReactionFailed:
    """Return a failure."""
    return ReactionFailed(text, **kind)


class Sinks:
    """
    Sinks on one log.

    Args:
        folder: Where they keep what they remember.
    """

    def __init__(self, service: EventService, folder: Path) -> None:
        self.service = service
        self.folder = folder
        self.told: list[str] = []
        self.warned: str | None = None
        self.tasks: list[asyncio.Task[None]] = []

    def start(
        self, reaction: Reaction, *, wanted: Filter | None = None, since: str = "new", **terms: Any
    ) -> Sink:
        """Start the sink; it goes on where the last one on this folder was."""
        most = terms.pop("max_dead", 1000)
        given = {"retry_pause": 0.01, "retry_max": 0.02, "breaker": 0, "breaker_pause": 0.05}

        def warn(text: str | None) -> None:
            self.warned = text

        sink = Sink(
            "s",
            LogReader(self.service.log, wanted or Filter(), since),
            reaction,
            place=Place(self.folder),
            dead=DeadLetters(self.folder, most),
            terms=Terms(**(given | terms)),
            warn=warn,
            tell=self.told.append,
        )
        self.tasks.append(asyncio.create_task(sink.run()))
        return sink

    async def started(self, reaction: Reaction, **terms: Any) -> Sink:
        """Start the sink, and return when it knows where it is."""
        sink = self.start(reaction, **terms)
        await until(lambda: sink.place.kept.bookmark and self.bookmark, "it knows where it is")
        return sink

    async def stop(self) -> None:
        """End all of them, at once."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()

    async def publish(self, *numbers: int) -> None:
        """Publish an event for each number."""
        await self.service.publish_many([risk(number) for number in numbers])

    @property
    def bookmark(self) -> str:
        """What is kept on the disk."""
        return Place(self.folder).kept.bookmark


@pytest.fixture
async def service() -> AsyncIterator[EventService]:
    """Return an event service on a store in memory."""
    async with EventService(MemoryStore(), event_retention=10) as service:
        yield service


@pytest.fixture
async def sinks(service: EventService, tmp_path: Path) -> AsyncIterator[Sinks]:
    """Return what starts sinks on a log."""
    sinks = Sinks(service, tmp_path / "sink")
    yield sinks
    await sinks.stop()
