"""
The load of a measurement: its connections, and the pace of its publishers.

The connections are raw protocols: a client library would be a part of what is measured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from rtevents.cli.bench.daemon import Server
from rtevents.cli.bench.exchange import Exchange
from rtevents.cli.bench.subscriber import Subscriber, stream_request
from rtevents.client import calls
from rtevents.client.http import PORT
from rtevents.errors import NotReachable, RteventsError

PATIENCE = 30.0
"""Seconds that the daemon may be silent before it is given up."""

OPENING = 64
"""Connections that are opened at once: more than a daemon accepts in time would be refused."""

P = TypeVar("P", bound=asyncio.BaseProtocol)


class Pace:
    """
    Tells the publishers, all together, when the next request is due.

    Args:
        rate: Requests a second; 0 for as fast as it goes.
        seconds: How long.
    """

    def __init__(self, rate: float, seconds: float) -> None:
        self._rate = rate
        self._number = 0
        self._begin = self._woke = time.perf_counter()
        self._end = self._begin + seconds

    @property
    def is_over(self) -> bool:
        """Whether nothing is due any more."""
        return time.perf_counter() >= self._end

    async def next(self) -> float | None:
        """
        Wait until a request is due.

        Returns:
            The moment from which its latency counts: if all publishers were waiting for answers
            when it was due, that moment, and not the later one at which it is sent. None when the
            time is over.
        """
        now = time.perf_counter()
        if not self._rate:
            return now if now < self._end else None
        due = self._begin + self._number / self._rate
        self._number += 1
        if due >= self._end or now >= self._end:
            return None
        if due > now:
            await asyncio.sleep(due - now)
            self._woke = time.perf_counter()
        # That a timer is a millisecond late is no fault of the daemon's.
        return max(due, self._woke)


class Load:
    """
    The connections of one measurement; leaving it cuts them all.

    Args:
        server: The daemon.
        seconds: How long the measurement is to take.
    """

    def __init__(self, server: Server, seconds: float) -> None:
        self.server = server
        self._deadline = time.perf_counter() + seconds + PATIENCE
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transports: list[asyncio.Transport] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.fail(RteventsError("it is over"))
        self._broken.exception()  # whoever was to hear of it has heard
        for transport in self._transports:
            transport.abort()
        await asyncio.sleep(0)

    def fail(self, error: RteventsError) -> None:
        """Have ``run`` raise this, unless something failed before."""
        if not self._broken.done():
            self._broken.set_exception(error)

    async def run(self, *works: Coroutine[Any, Any, object]) -> None:
        """
        Do works at the same time, until all of them are done.

        Raises:
            RteventsError: One of them, or a subscriber, failed.
            NotReachable: They take longer than the measurement and the daemon's patience.
        """
        tasks = [asyncio.ensure_future(work) for work in works]
        done: asyncio.Future[Any] = asyncio.gather(*tasks)
        try:
            async with asyncio.timeout(self._deadline - time.perf_counter()):
                await asyncio.wait({done, self._broken}, return_when=asyncio.FIRST_COMPLETED)
            for each in (self._broken, done):
                if each.done():
                    each.result()
        except TimeoutError as error:
            raise NotReachable(calls.no_answer(self.server.address, PATIENCE)) from error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(done, *tasks, return_exceptions=True)

    async def exchanges(self, count: int) -> list[Exchange]:
        """Open connections for requests."""
        return [await self._connect(lambda: Exchange(self.server)) for _ in range(count)]

    async def subscribe(
        self, count: int, over: str, source: str, take: Callable[[Subscriber, bytes, int], int]
    ) -> list[Subscriber]:
        """
        Open streams of the events of one source; return when all of them are live.

        Args:
            over: `sse`, `ws` or `ndjson`.
            take: Takes what a subscriber has received, and the place in it from which on it is not
                taken yet; returns the place up to which it is now.
        """
        request = stream_request(self.server, over, source)
        gate = asyncio.Semaphore(OPENING)
        subscribers = [
            Subscriber(number, over, request, take=take, fail=self.fail) for number in range(count)
        ]

        async def follow(subscriber: Subscriber) -> None:
            async with gate:
                await self._connect(lambda: subscriber)
                await subscriber.live.wait()

        await self.run(*map(follow, subscribers))
        return subscribers

    async def _connect(self, make: Callable[[], P]) -> P:
        loop = asyncio.get_running_loop()
        address = self.server.address
        try:
            if "://" in address:
                parts = urlsplit(address)
                transport, protocol = await loop.create_connection(
                    make, parts.hostname or "", parts.port or PORT
                )
            else:
                transport, protocol = await loop.create_unix_connection(make, address)
        except OSError as error:
            raise NotReachable(calls.no_daemon(address)) from error
        self._transports.append(transport)
        return protocol
