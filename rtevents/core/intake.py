"""Intake: the bounded queue in front of the log, and the one writer that empties it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence

import msgspec

from rtevents.core.event import Event, Stored
from rtevents.core.log import Log
from rtevents.core.stats import Counters
from rtevents.errors import EventConflict, LogClosed, QueueFull, StoreError, Unavailable

logger = logging.getLogger(__name__)

COMMIT_EVENTS = 2000
"""Most events of one transaction: beyond it, waiting costs more than another fsync saves."""

PACE_SHARE = 0.2
"""How much the newest transaction counts in the pace of the store."""

SLOW_SECONDS = 1.0
"""Seconds after which a store that refuses keeps publishers waiting for that."""

MAX_RETRY_AFTER = 30.0
"""Longest time, in seconds, that a refused publisher is asked to stay away."""


class _Batch(msgspec.Struct):
    """Events that wait to be stored, all or none."""

    events: Sequence[Event]
    size_bytes: int
    answer: asyncio.Future[list[Stored]]
    begun: float


class Intake:
    """
    What waits to be stored.

    One writer stores all that waits as one transaction; what comes meanwhile gathers for the next.

    Args:
        log: Where batches go.
        counters: Where they are counted.
        max_events: Events that wait, at most.
        max_bytes: Bytes that wait, at most.
        timeout: Seconds a publisher waits for room before it is refused.
    """

    def __init__(
        self, log: Log, counters: Counters, *, max_events: int, max_bytes: int, timeout: float
    ) -> None:
        self._log = log
        self._counters = counters
        self.max_events = max_events
        self.max_bytes = max_bytes
        self._timeout = timeout
        self._queue: deque[_Batch] = deque()
        self.events = 0
        """Events that wait."""
        self.size_bytes = 0
        """Bytes that wait."""
        self.trouble: str | None = None
        """Why the last transaction failed; None when it did not."""
        self.is_slow = False
        """Whether it took long to find that out."""
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._turn = asyncio.Lock()
        # Publishers that wait for room. Not to be asked of the lock, which is free for a moment
        # between two of them.
        self._waiting = 0
        self._is_closed = False
        # Seconds that the store takes for an event, the newest transactions counting most.
        self._pace = 0.0

    def as_dict(self) -> dict[str, int]:
        """Return what waits, as ``Snapshot.queue``."""
        return {
            "size": self.events,
            "max_size": self.max_events,
            "bytes": self.size_bytes,
            "max_bytes": self.max_bytes,
        }

    async def put(self, events: Sequence[Event]) -> list[Stored]:
        """
        Queue checked events and return when they are stored, all or none.

        Publishers that wait for room get it in the order in which they came.

        Raises:
            EventConflict: One of the ids is stored already, with another body.
            QueueFull: There was no room within the timeout.
            Unavailable: The store refused, or the intake is closed.
        """
        begun = time.monotonic()
        answer = self.offer(events)
        if answer is None:
            size = sum([len(event.body) for event in events])
            await self._wait_for_room(len(events), size)
            answer = self._queue_up(events, size, begun)
        return await answer

    def offer(self, events: Sequence[Event]) -> asyncio.Future[list[Stored]] | None:
        """
        Queue checked events if there is room at once.

        Returns:
            What ``put`` would return, to come; None when there is no room.
        Raises:
            LogClosed: The intake is closed.
            StoreError: The store is known not to answer in time.
        """
        size = sum([len(event.body) for event in events])
        if self._waiting or not self._has_room(len(events), size):
            return None
        return self._queue_up(events, size, time.monotonic())

    def _queue_up(
        self, events: Sequence[Event], size: int, begun: float
    ) -> asyncio.Future[list[Stored]]:
        if self._is_closed:
            raise LogClosed("the daemon is stopping")
        if self.trouble is not None and self.is_slow:
            # Each would wait for as long; when it is over, `EventService` sees it within a second.
            self._counters.refused += len(events)
            raise StoreError(self.trouble)
        answer: asyncio.Future[list[Stored]] = asyncio.get_running_loop().create_future()
        self._queue.append(_Batch(events, size, answer, begun))
        self.events += len(events)
        self.size_bytes += size
        self._filled.set()
        return answer

    def _has_room(self, count: int, size: int) -> bool:
        # An empty queue takes any batch: one larger than the queue could never be stored else.
        return not self._queue or (
            self.events + count <= self.max_events and self.size_bytes + size <= self.max_bytes
        )

    async def _wait_for_room(self, count: int, size: int) -> None:
        before = self.events
        self._waiting += 1
        try:
            async with asyncio.timeout(self._timeout), self._turn:
                while not self._has_room(count, size):
                    self._drained.clear()
                    await self._drained.wait()
        except TimeoutError:
            self._counters.refused += count
            raise QueueFull(
                f"the queue is full: {before} events waited to be stored, and there was no room "
                f"for {count} more within {self._timeout:g} s",
                retry_after=self._retry_after(),
            ) from None
        finally:
            self._waiting -= 1

    def _retry_after(self) -> float:
        """Return the seconds in which the queue drains at its present pace."""
        return min(MAX_RETRY_AFTER, max(1.0, self.events * self._pace))

    async def close(self) -> None:
        """Refuse what comes from now on, and return when all that waits is stored."""
        self._is_closed = True
        while self._queue:
            self._drained.clear()
            await self._drained.wait()

    async def settled(self) -> None:
        """Return when all that waits now is stored, or refused."""
        if self._queue:
            await asyncio.wait([self._queue[-1].answer])

    async def run(self) -> None:
        """Store what waits, one transaction after the other, until cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._queue:
                await self._commit(self._next())

    def _next(self) -> list[_Batch]:
        """Return the oldest batches that fit one transaction. They count until they are stored."""
        taken: list[_Batch] = []
        count = 0
        for batch in self._queue:
            count += len(batch.events)
            if taken and count > COMMIT_EVENTS:
                break
            taken.append(batch)
        return taken

    async def _commit(self, batches: list[_Batch]) -> None:
        begun = time.monotonic()
        try:
            answers = await self._log.append([batch.events for batch in batches])
        except Exception as error:  # noqa: BLE001 - who waits is answered, and the writer goes on
            refusal = _refusal(error)
            self.note_trouble(refusal, time.monotonic() - begun)
            for batch in batches:
                self._counters.refused += len(batch.events)
                _settle(batch.answer, refusal)
        else:
            self.trouble = None
            now = time.monotonic()
            self._counters.appends.add(now - begun)
            self._counters.delays.came(self._log.last, batches[0].begun)
            for batch, answer in zip(batches, answers, strict=True):
                if isinstance(answer, EventConflict):
                    self._counters.refused += 1
                else:
                    self._counters.note_stored(batch.events, answer)
                    self._counters.latency.add(now - batch.begun, len(answer))
                _settle(batch.answer, answer)
        count = 0
        for batch in batches:
            self._queue.popleft()
            count += len(batch.events)
            self.size_bytes -= batch.size_bytes
        self.events -= count
        self._pace += PACE_SHARE * ((time.monotonic() - begun) / max(1, count) - self._pace)
        self._drained.set()

    def note_trouble(self, error: Unavailable, took: float | None = None) -> None:
        """
        Count a failure of the store; the same one is logged once.

        As long as it lasts it is one: how many come meanwhile and are refused is counted as that.

        Args:
            took: Seconds until it was told; None where that says nothing.
        """
        if took is not None:
            self.is_slow = took > SLOW_SECONDS
        if self.trouble is None:
            self._counters.errors.add(1)
        if self.trouble != str(error):
            logger.error("events cannot be stored: %s", error)
        self.trouble = str(error)


def _refusal(error: Exception) -> Unavailable:
    """Return what publishers are told of a failed transaction."""
    if isinstance(error, Unavailable):
        return error
    logger.error("a bug in storing events", exc_info=error)
    return StoreError(f"a bug: {type(error).__name__}: {error}")


def _settle(answer: asyncio.Future[list[Stored]], outcome: list[Stored] | Exception) -> None:
    """Give a publisher its answer, unless it has gone away."""
    if answer.done():
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
