"""What happens to the daemon itself: its verdict changes, a threshold is crossed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from rtevents.core.check import keep_asking
from rtevents.core.event import Event, EventType
from rtevents.core.filter import Filter
from rtevents.core.health import figures
from rtevents.core.service import SYSTEM_SOURCE
from rtevents.errors import StoreError
from rtevents.producers import Own

TOLD = ("threshold_crossed", "threshold_cleared", "verdict_changed")
"""What an event of this producer tells."""

LOOKED_THROUGH = 100
"""Newest words of the daemon on itself among which the last verdict is looked for."""


class SystemProducer:
    """
    Looks at the health again and again, and tells in the stream when it has changed.

    The health is the one truth: what is told here is what ``/v1/health/ready`` says.

    Args:
        own: The daemon.
    """

    gap: str | None = None

    def __init__(self, own: Own) -> None:
        self.ready = asyncio.Event()
        self._service = own.service
        self._checks = own.checks
        self._node = {"node": own.node} if own.node else {}
        self._interval = own.config.health.interval
        self._status = "ok"
        self._crossed: frozenset[str] = frozenset()

    async def events(self) -> AsyncGenerator[list[Event], None]:
        """Yield a SYSTEM_STATUS when the verdict, or what is crossed, is not as it was."""
        warnings = self._service.warnings
        asking = [asyncio.create_task(keep_asking(check, warnings)) for check in self._checks]
        self.ready.set()
        try:
            await asyncio.sleep(self._interval)
            is_known = False
            while True:
                is_known = is_known or await self._recall()
                if event := self._look():
                    yield [event]
                await asyncio.sleep(self._interval)
        finally:
            for task in asking:
                task.cancel()

    async def _recall(self) -> bool:
        """Take the verdict that the log has; tell whether that is done, or not to be done."""
        if self._service.health().status != "ok":
            return True
        try:
            self._status = await self._last_told()
        except StoreError:
            # The health says so soon, and why; then there is a newer verdict to be told.
            return False
        return True

    async def _last_told(self) -> str:
        """Return the verdict that the log has: it may be that of a daemon before this one."""
        wanted = Filter(
            types=frozenset({EventType.SYSTEM_STATUS.value}), sources=frozenset({SYSTEM_SOURCE})
        )
        for entry in await self._service.log.newest(LOOKED_THROUGH, wanted):
            if entry.event.data.get("event") in TOLD:
                return str(entry.event.data["status"])
        return "ok"

    def _look(self) -> Event | None:
        health = self._service.health()
        crossed = self._service.watch.crossed
        if crossed - self._crossed:
            what = "threshold_crossed"
        elif self._crossed - crossed:
            what = "threshold_cleared"
        elif health.status != self._status:
            what = "verdict_changed"
        else:
            return None
        self._status, self._crossed = health.status, crossed
        metrics = figures(self._service.statistics())
        return Event(
            type=EventType.SYSTEM_STATUS,
            data={
                "status": health.status,
                "event": what,
                "reasons": health.reasons,
                "metrics": metrics,
                **self._node,
            },
            source=SYSTEM_SOURCE,
        )
