"""EventService: intake queue, publish, connections, handlers, heartbeat, cleanup."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Self

import msgspec

from rtevents.core.connection import Connection
from rtevents.core.cursor import Cursor
from rtevents.core.event import Entry, Event, EventType, Gap, Stored, Undated
from rtevents.core.filter import Filter
from rtevents.core.handlers import Handler, Handlers
from rtevents.core.health import Health, Thresholds, Watch, heartbeat, verdict
from rtevents.core.intake import SLOW_SECONDS, Intake
from rtevents.core.lag import Lag
from rtevents.core.log import Log, Start
from rtevents.core.names import new_event_id
from rtevents.core.payloads import EventTypes
from rtevents.core.since import Since, parse_since
from rtevents.core.stats import MARK_SECONDS, Counters, Snapshot, resident_bytes
from rtevents.core.store import Retention, Store
from rtevents.core.system import System
from rtevents.errors import (
    EventRefused,
    LogClosed,
    RteventsError,
    Unavailable,
)

CHECK_SECONDS = 1.0
"""Seconds between two looks whether events can be stored: trouble is seen before it hurts."""


class EventService:
    """
    The core's face: publish, connect, subscribe, statistics, start, stop.

    Used as ``async with EventService(store) as service``.

    Args:
        store: Where events are kept; the service closes it when it stops.
        max_queue_size: Events that wait to be stored, at most.
        event_retention: Newest entries held in memory.
        cleanup_timeout: Seconds without a byte after which a connection is closed.
        heartbeat_interval: Seconds between two heartbeats to a connection.
        queue_timeout: Seconds a publisher waits for room in the queue before it is refused.
        max_queue_bytes: Bytes that wait to be stored, at most.
        window_bytes: Bytes of the newest entries held in memory, at most.
        retention: How much the store keeps.
        types: The event types that are accepted.
        thresholds: The figures beyond which the service calls itself degraded.
    """

    def __init__(
        self,
        store: Store,
        *,
        max_queue_size: int = 1000,
        event_retention: int = 100,
        cleanup_timeout: float = 300.0,
        heartbeat_interval: float = 30.0,
        queue_timeout: float = 1.0,
        max_queue_bytes: int = 64 * 1024**2,
        window_bytes: int = 64 * 1024**2,
        retention: Retention | None = None,
        types: EventTypes | None = None,
        thresholds: Thresholds | None = None,
    ) -> None:
        self.types = types or EventTypes()
        self.log = Log(store, window_events=event_retention, window_bytes=window_bytes)
        self.connections: dict[str, Connection] = {}
        self.counters = Counters()
        self.heartbeat_interval = heartbeat_interval
        self.warnings: dict[str, str] = {}
        """What is amiss by the name of what it concerns; ``health`` tells it."""
        self.elsewhere: dict[str, str] = {}
        """What is amiss with other logs of the daemon, as ``warnings``."""
        self._store = store
        self._system = System(store, self.log, self.warnings, self._tell)
        self._intake = Intake(
            self.log,
            self.counters,
            max_events=max_queue_size,
            max_bytes=max_queue_bytes,
            timeout=queue_timeout,
        )
        self._cleanup_timeout = cleanup_timeout
        self.retention = retention or Retention()
        """How much the store keeps; it may be changed."""
        self.watch = Watch(thresholds or Thresholds())
        """Judges the figures; ``health`` has it look."""
        self._tasks: list[asyncio.Task[None]] = []
        self._handlers = Handlers(self.log, self.counters)
        self._lag = Lag()
        self._is_stopping = False

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def warn(self, name: str, text: str | None) -> None:
        """Have ``health`` tell what is amiss with what has that name; None when that is over."""
        if text is None:
            self.warnings.pop(name, None)
        else:
            self.warnings[name] = text

    async def start(self) -> None:
        """Read the newest entries and begin to accept events."""
        await self.log.open()
        self._system.tell_weaknesses()
        self._tasks = [
            _begin("writer", self._intake.run()),
            _begin("lag", self._lag.run()),
            _begin("check", _every(lambda: CHECK_SECONDS, self._check_store)),
            _begin("clock", _every(lambda: CHECK_SECONDS, self._system.tell_clock)),
            _begin("latency", _every(lambda: MARK_SECONDS, self._mark)),
            _begin("retention", _every(lambda: self.retention.interval, self._trim)),
            _begin("cleanup", _every(lambda: min(10.0, self._cleanup_timeout / 4), self._clean_up)),
        ]
        if self._store.is_shared:
            self._tasks.append(_begin("follower", self.log.follow()))

    async def drain(self) -> None:
        """Refuse new events and streams from now on, and return when those that wait are stored."""
        self._is_stopping = True
        await self._intake.close()

    async def stop(self) -> None:
        """Drain, end every stream, close the store."""
        await self.drain()
        self.log.close()
        for connection in list(self.connections.values()):
            connection.close("shutdown")
        await self._handlers.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._store.close()

    async def publish(self, event: Event) -> Stored:
        """
        Store one event; see ``publish_many``.

        Raises:
            EventRefused, EventTooLarge, EventConflict, Unavailable: As there.
        """
        return (await self.publish_many([event]))[0]

    async def publish_many(self, events: Sequence[Event]) -> list[Stored]:
        """
        Store events, all or none, and return when they are safe (promise P1).

        Cancelling leaves it open whether they are stored; publishing the same events again is safe.

        Raises:
            EventRefused: One of them is not what its type demands; ``index`` says which.
            EventTooLarge: One of them is beyond ``MAX_EVENT_BYTES``.
            EventConflict: One of the ids is stored already, with another body.
            QueueFull: There was no room within ``queue_timeout``.
            Unavailable: The store refused, or the service is stopping.
        """
        if not events:
            return []
        self._check(events)
        return await self._intake.put(events)

    def offer(self, events: Sequence[Event]) -> asyncio.Future[list[Stored]] | None:
        """
        Publish events as ``publish_many`` does, if there is room in the queue at once.

        Returns:
            What ``publish_many`` would return, to come; None when there is no room.
        Raises:
            RteventsError: As there.
        """
        self._check(events)
        return self._intake.offer(events)

    def _check(self, events: Sequence[Event]) -> None:
        try:
            self._check_each(events)
        except EventRefused:
            self.counters.refused += 1
            raise

    def _check_each(self, events: Sequence[Event]) -> None:
        for index, event in enumerate(events):
            if event.type == _HEARTBEAT:
                place = index if len(events) > 1 else None
                text = "HEALTH_CHECK is the daemon's own heartbeat"
                raise EventRefused(text, field="type", index=place)
        self.types.check_all(events)

    async def _trim(self) -> None:
        limits = self.retention
        try:
            await self.log.retain(limits.max_events, limits.max_age, limits.max_bytes)
        except Unavailable as error:
            self._intake.note_trouble(error)

    async def _mark(self) -> None:
        self.counters.latency.mark()

    @property
    def trouble(self) -> str | None:
        """Why no event can be stored now; None when they can."""
        return self._intake.trouble

    async def queue_answers(self) -> None:
        """Return when all that waits now is stored, or refused."""
        await self._intake.settled()

    async def memory_answers(self) -> None:
        """Return when the memory was read, by a thread as all that reads files."""
        await asyncio.to_thread(resident_bytes)

    async def answers(self) -> None:
        """
        Return when the store has said that it takes events.

        Raises:
            StoreError: It does not.
            RteventsError: A task of this service has ended.
        """
        for task in self._tasks:
            if task.done():
                raise RteventsError(f"{task.get_name()} has ended")
        await self._store.check()

    async def _check_store(self) -> None:
        begun = time.monotonic()
        try:
            await self._store.check()
        except Unavailable as error:
            took = time.monotonic() - begun
            if self._intake.trouble is None:
                self._intake.note_trouble(error, took)
            self._intake.is_slow = took > SLOW_SECONDS
        else:
            self._intake.trouble = None
        self._system.tell_weaknesses()
        # What cannot be told now is told when there is a store to tell it in.
        with suppress(Unavailable):
            await self._system.tell_notes()

    async def _tell(self, data: dict[str, Any], event_id: str) -> None:
        # Undated: what several daemons tell by one id is one event, whoever comes first.
        name, kind = event_id or new_event_id(), EventType.SYSTEM_STATUS
        await self.publish(Undated(event_id=name, type=kind, data=data, source=SYSTEM_SOURCE))

    async def connect(
        self,
        wanted: Filter = Filter(),  # noqa: B008 - frozen
        *,
        since: str | Since = "new",
        kind: str = "memory",
        principal: str = "",
        pid: int | None = None,
        within: Filter = Filter(),  # noqa: B008 - frozen
    ) -> tuple[Connection, Start]:
        """
        Register a subscriber.

        Args:
            wanted: What it wants, within its grant.
            since: Where it begins; see ``parse_since``.
            within: All that its grant holds.
        Returns:
            The connection, to be given to ``disconnect`` at its end, and where it begins.
        Raises:
            BookmarkError: `since` cannot be read.
            Unavailable: The service is stopping, or the store cannot be read.
        """
        if self._is_stopping:
            raise LogClosed("the daemon is stopping")
        place = parse_since(since) if isinstance(since, str) else since
        start = await self.log.start(place, wanted, within)
        connection = Connection(
            wanted,
            start.after,
            epoch=self.log.epoch,
            anew=self.log.anew,
            kind=kind,
            principal=principal,
            pid=pid,
        )
        self.connections[connection.connection_id] = connection
        self.counters.connections_total += 1
        return connection, start

    def disconnect(self, connection: Connection, reason: str = "closed") -> None:
        """Forget a subscriber; doing it twice is allowed."""
        connection.close(reason)
        if self.connections.pop(connection.connection_id, None):
            self.counters.closed[connection.close_reason or reason] += 1

    async def follow(
        self,
        wanted: Filter = Filter(),  # noqa: B008 - frozen
        *,
        since: str = "new",
    ) -> AsyncGenerator[Entry | Gap | Event, None]:
        """
        Yield what a subscriber inside this process wants, and a HEALTH_CHECK as the heartbeat.

        Raises:
            BookmarkError: `since` cannot be read.
        """
        connection, start = await self.connect(wanted, since=since)
        try:
            for first in [start.gap] if start.gap else start.snapshot:
                yield first
            async for item in self._walk(connection):
                yield item
        finally:
            self.disconnect(connection)

    async def _walk(self, connection: Connection) -> AsyncGenerator[Entry | Gap | Event, None]:
        cursor = Cursor(self.log, connection.wanted, connection.position)
        while not connection.is_closed:
            try:
                items = await cursor.next(self.heartbeat_interval)
            except LogClosed:
                return
            connection.touch()
            served: Sequence[Entry | Gap | Event] = items or [self.heartbeat()]
            for item in served:
                yield item
                connection.touch()
            connection.position = cursor.position
            connection.delivered += len(items)
            self.counters.delivered += len(items)

    def heartbeat(self, unread: Unavailable | None = None) -> Event:
        """
        Return a HEALTH_CHECK of this moment, with the reason when it is bad; never stored.

        Args:
            unread: Why what comes next to who is told cannot be read; None when it can.
        """
        if unread is not None:
            return heartbeat("failed", [f"what comes next cannot be read: {unread}"])
        health = self.health()
        # What else is amiss may be of a project that not everybody may see.
        return heartbeat(health.status, health.reasons[:1] if health.status == "failed" else [])

    async def _clean_up(self) -> None:
        for connection in list(self.connections.values()):
            if connection.idle > self._cleanup_timeout:
                self.counters.cleaned_up += 1
                self.disconnect(connection, "inactive")

    def on(
        self,
        handler: Handler,
        wanted: Filter = Filter(),  # noqa: B008 - frozen
    ) -> Callable[[], None]:
        """
        Call `handler` with every matching entry from now on, one after the other, in order.

        A handler that raises is logged and counted; it gets the next entry all the same.

        Returns:
            A function that ends it.
        """
        return self._handlers.add(handler, wanted)

    def statistics(self) -> Snapshot:
        """Return the statistics of this moment."""
        counters = self.counters
        window_events, window_bytes = self.log.window_size
        return Snapshot(
            uptime=time.monotonic() - counters.started,
            events=counters.of_events(),
            queue=self._intake.as_dict(),
            log={
                "epoch": self.log.epoch,
                "oldest": self.log.first,
                "newest": self.log.last,
                "missing": self.log.missing,
                "window_events": window_events,
                "window_bytes": window_bytes,
            },
            connections={
                "current": len(self.connections),
                "total": counters.connections_total,
                "cleaned_up": counters.cleaned_up,
            },
            latency=counters.latency.as_dict(),
            handlers={
                "registered": len(self._handlers),
                "failures": counters.handler_failures,
            },
            errors_1m=counters.errors.per_minute(),
            loop_lag_ms=self._lag.milliseconds(),
            memory_bytes=resident_bytes(),
        )

    def health(self, *, alone: bool = False) -> Health:
        """
        Return the verdict of this moment.

        Args:
            alone: Leave out what is amiss with other logs.
        """
        failures = []
        if self._is_stopping:
            failures.append("the daemon is stopping")
        elif self._intake.trouble:
            failures.append(f"events cannot be stored: {self._intake.trouble}")
        amiss = self.warnings if alone else self.warnings | self.elsewhere
        warnings = [f"{name}: {text}" for name, text in amiss.items()]
        return verdict(failures, warnings + self.watch.judge(self.statistics()))

    def dashboard_update(self) -> Event:
        """Return a DASHBOARD_UPDATE with the figures of this moment. It is never stored."""
        health = self.health()
        metrics = msgspec.to_builtins(self.statistics()) | {"health": msgspec.to_builtins(health)}
        return Event(
            type=EventType.DASHBOARD_UPDATE, data={"metrics": metrics}, source=SYSTEM_SOURCE
        )


SYSTEM_SOURCE = "rtevents/system"
"""Source of what the daemon tells of itself."""

_HEARTBEAT = EventType.HEALTH_CHECK.value


def _begin(name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.create_task(work, name=f"rtevents {name}")


async def _every(seconds: Callable[[], float], act: Callable[[], Awaitable[None]]) -> None:
    while True:
        await act()
        await asyncio.sleep(seconds())
