"""rtevents bench latency: the time from a publisher to a subscriber."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
import typer

from rtevents.cli.bench import report
from rtevents.cli.bench.daemon import About, Server, measured
from rtevents.cli.bench.exchange import Events, Exchange
from rtevents.cli.bench.figures import Clock, Latencies, Quantiles
from rtevents.cli.bench.load import Load, Pace
from rtevents.cli.bench.subscriber import READ, Subscriber
from rtevents.cli.bench.work import AsJson, Duration, Live, Rate, Size, Work, work
from rtevents.errors import RteventsError

IN_FLIGHT = 16
"""Events that may wait for their answers: one that is slow must not hold the next ones back."""

QUIET = 5.0
"""Seconds without a receipt after which what is missing is taken for lost."""

app = typer.Typer(rich_markup_mode=None, add_completion=False)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was found; that it was found at all says that each event came exactly once.

    Args:
        seconds: From the first request to the last receipt.
        events: Events that were received.
        refused: Events that were refused with 503.
        latency_ms: From before the publish to the receipt; None when nothing was received.
        daemon_us_per_event: The daemon's processor time; None when it cannot be seen.
        client_busy: Which part of the time this process was busy.
    """

    bench: str = "latency"
    daemon: About
    work: Work
    seconds: float
    events: int
    events_per_second: float
    refused: int
    latency_ms: Quantiles | None
    daemon_us_per_event: float | None
    client_busy: float
    verified: bool = True


@app.command()
def latency(
    over: Annotated[
        Literal["sse", "ws", "ndjson"], typer.Option(help="How the subscriber follows.")
    ] = "sse",
    size: Size = 100,
    duration: Duration = "5s",
    rate: Rate = "500/s",
    live: Live = False,
    as_json: AsJson = False,
) -> None:
    """
    Measure how long an event takes from before its publish to one subscriber, storing included.

    Each event is sent when it is due, whether or not those before are answered: a daemon that
    stands still for a moment cannot hide it.

    \b
    rtevents bench latency
    rtevents bench latency --rate 50/s --over ws
    rtevents bench latency --json | jq .latency_ms.p99
    """
    asked = work(clients=1, batch=1, size=size, duration=duration, rate=rate, live=live, over=over)
    if not asked.rate:
        raise typer.BadParameter(f"--rate: expected more than nothing, got {rate!r}")
    with measured(live=live) as server:
        found = asyncio.run(_measure(server, asked))
    report.show(found, _rows(found), as_json=as_json)


class Arrivals:
    """
    Checks and times what the one subscriber gets.

    The events are sent over several connections: their order is the log's to say, and seq is it.

    Attributes:
        moved: Set when something is received.
    """

    def __init__(self) -> None:
        self.latencies = Latencies()
        self.received = self.refused = 0
        self.last = 0.0
        self.moved = asyncio.Event()
        self._waiting: dict[int, float] = {}
        self._seq = 0

    @property
    def missing(self) -> int:
        """How many events are sent, not refused, and not received."""
        return len(self._waiting)

    def send(self, number: int, sent: float) -> None:
        """Take down when an event is sent."""
        self._waiting[number] = sent

    def refuse(self, number: int) -> None:
        """Take down that an event is not stored."""
        self.refused += 1
        self._waiting.pop(number, None)

    def take(self, subscriber: Subscriber, data: bytes, at: int) -> int:
        """
        Take what the subscriber has received; see ``Load.subscribe``.

        Raises:
            RteventsError: It is not what must come.
        """
        now = time.perf_counter()
        end = subscriber.whole(data, at)
        entries = READ.findall(data, at, end)
        if end > at and not entries:
            subscriber.control(data[at:end])
        for seq, number in entries:
            self.receive(int(seq), int(number), now)
        return end

    def receive(self, seq: int, number: int, now: float) -> None:
        """
        Take down that an event is received.

        Raises:
            RteventsError: It came twice, or not in the order of the log.
        """
        sent = self._waiting.pop(number, None)
        if sent is None:
            raise RteventsError(f"the subscriber got event {number} twice, now as seq {seq}")
        if seq <= self._seq:
            raise RteventsError(f"the subscriber got seq {seq} after seq {self._seq}")
        self._seq = seq
        self.received += 1
        self.last = now
        self.latencies.add(now - sent)
        self.moved.set()


async def _measure(server: Server, asked: Work) -> Found:
    events, arrivals = Events(asked.size), Arrivals()
    async with Load(server, asked.seconds) as load:
        await load.subscribe(1, asked.over, events.source, arrivals.take)
        exchanges = await load.exchanges(IN_FLIGHT)
        clock = Clock(server.about.pid)
        pace = Pace(asked.rate, asked.seconds)
        numbers = itertools.count()
        async with report.progress(asked.seconds, lambda: arrivals.received, unit="events"):
            await load.run(*(_publish(each, events, numbers, pace, arrivals) for each in exchanges))
            await load.run(_receive(arrivals))
        return _found(server, asked, arrivals, clock)


async def _publish(
    exchange: Exchange, events: Events, numbers: Iterator[int], pace: Pace, arrivals: Arrivals
) -> None:
    """Publish one event after the other, each when it is due."""
    while (sent := await pace.next()) is not None:
        number = next(numbers)
        arrivals.send(number, sent)
        answer = await exchange.post(events.lines(number, 1), 1)
        if answer.refused(1):
            arrivals.refuse(number)
            await asyncio.sleep(answer.retry_after)


async def _receive(arrivals: Arrivals) -> None:
    """
    Wait for what is under way.

    Raises:
        RteventsError: It does not come.
    """
    while arrivals.missing:
        arrivals.moved.clear()
        try:
            async with asyncio.timeout(QUIET):
                await arrivals.moved.wait()
        except TimeoutError:
            sent = arrivals.received + arrivals.missing
            text = f"the subscriber got {arrivals.received} of {sent} events"
            raise RteventsError(text) from None


def _found(server: Server, asked: Work, arrivals: Arrivals, clock: Clock) -> Found:
    seconds = max(arrivals.last - clock.begin, 1e-6)
    return Found(
        daemon=server.about,
        work=asked,
        seconds=round(seconds, 3),
        events=arrivals.received,
        events_per_second=round(arrivals.received / seconds, 1),
        refused=arrivals.refused,
        latency_ms=arrivals.latencies.quantiles(),
        daemon_us_per_event=clock.us_per(arrivals.received),
        client_busy=clock.share_of_client(),
    )


def _rows(found: Found) -> list[tuple[str, str]]:
    asked = found.work
    return [
        ("end to end", str(found.latency_ms or "nothing was received")),
        ("events", f"{found.events:,} in {found.seconds:.1f} s: "
                   f"{found.events_per_second:,.0f}/s of {report.rate_words(asked.rate)}"),
        ("refused", f"{found.refused:,}"),
        *report.cpu_rows(found.daemon_us_per_event, "event", found.client_busy),
        ("asked", f"{asked.over}, one event a request, {asked.size} bytes of data"),
        ("of", str(found.daemon)),
    ]  # fmt: skip
