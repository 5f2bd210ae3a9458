"""
A process with a log, a sink and a reaction, that is killed at a chosen point.

    python -m tests.sinks.crash FOLDER KIND SETTINGS POINT

It publishes an event if the log has none, and runs the sink until its place is at the end. POINT
is `before` or `after` the reaction, or `never`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from rtevents.config.sinks import SinkSettings
from rtevents.core.event import Event
from rtevents.core.filter import Filter
from rtevents.core.service import EventService
from rtevents.sinks import Batch, Reaction, Terms, open_reaction
from rtevents.sinks.engine import Sink
from rtevents.sinks.place import DeadLetters, Place
from rtevents.sinks.reader import LogReader
from rtevents.stores import open_store


class Killed:
    """
    A reaction at whose side the process is killed.

    Args:
        inner: The real one.
        point: When.
    """

    def __init__(self, inner: Reaction, point: str) -> None:
        self.at_once, self.every = inner.at_once, inner.every
        self._inner = inner
        self._point = point

    async def act(self, batch: Batch) -> None:
        """React, and be killed before or after."""
        if self._point == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        await self._inner.act(batch)
        if self._point == "after":
            os.kill(os.getpid(), signal.SIGKILL)

    async def close(self) -> None:
        """Let go."""
        await self._inner.close()


async def main(folder: Path, kind: str, settings: dict[str, Any], point: str) -> None:
    """Run until all is done, or until killed."""
    given = msgspec.convert({"name": "s", kind: settings}, SinkSettings)
    store = await open_store("sqlite", path=folder / "events.db", durability="normal")
    async with EventService(store) as service:
        reaction: Any = Killed(open_reaction(given), point)
        sink = Sink(
            "s",
            LogReader(service.log, Filter(types=frozenset({"RISK_ALERT"}))),
            reaction,
            place=Place(folder / "sink"),
            dead=DeadLetters(folder / "sink"),
            terms=Terms(retry_pause=0.01),
        )
        running = asyncio.create_task(sink.run())
        while not sink.place.kept.bookmark:
            await asyncio.sleep(0.01)
        if not service.log.last:
            data = {"severity": "high", "message": "disk nearly full"}
            await service.publish(Event(type="RISK_ALERT", data=data))
        while sink.place.kept.bookmark != str(service.log.bookmark()):
            await asyncio.sleep(0.01)
        sink.end()
        await asyncio.gather(running, return_exceptions=True)
        await reaction.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]), sys.argv[4]))
