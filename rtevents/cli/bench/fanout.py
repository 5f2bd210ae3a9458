"""rtevents bench fanout: deliveries a second, every one of them checked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
import typer

from rtevents.cli.bench import report
from rtevents.cli.bench.check import Checker
from rtevents.cli.bench.daemon import About, Server, measured
from rtevents.cli.bench.exchange import Events, Exchange
from rtevents.cli.bench.figures import Clock, Quantiles
from rtevents.cli.bench.load import Load, Pace
from rtevents.cli.bench.subscriber import Subscriber
from rtevents.cli.bench.work import AsJson, Duration, Live, Rate, Size, Work, work

AHEAD = 500
"""Events by which the publisher may be ahead of the mean subscriber when it has no rate."""

QUIET = 5.0
"""Seconds without a delivery after which what is missing is taken for lost."""

app = typer.Typer(rich_markup_mode=None, add_completion=False)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was found; that it was found at all says that each event came exactly once, in order.

    Args:
        seconds: From the first request to the last delivery.
        events: Events that were published.
        refused: Events that were refused with 503; they were sent again.
        latency_ms: From before the publish to the receipt; None when there was none.
        daemon_us_per_delivery: The daemon's processor time; None when it cannot be seen.
        client_busy: Which part of the time this process was busy.
    """

    bench: str = "fanout"
    daemon: About
    work: Work
    seconds: float
    events: int
    deliveries: int
    deliveries_per_second: float
    refused: int
    latency_ms: Quantiles | None
    daemon_us_per_delivery: float | None
    client_busy: float
    verified: bool = True


@app.command()
def fanout(
    clients: Annotated[
        int, typer.Option(min=1, max=20_000, metavar="N", help="Subscribers.")
    ] = 100,
    over: Annotated[
        Literal["sse", "ws", "ndjson"], typer.Option(help="How the subscribers follow.")
    ] = "sse",
    batch: Annotated[
        int,
        typer.Option(
            min=1, max=500, metavar="N", help="Events of a request; NDJSON if more than 1."
        ),
    ] = 100,
    size: Size = 100,
    duration: Duration = "5s",
    rate: Rate = None,
    live: Live = False,
    as_json: AsJson = False,
) -> None:
    """
    Measure deliveries a second, and check that each subscriber gets each event once, in order.

    Without a rate, one publisher goes as fast as the subscribers follow. What is missing, comes
    twice or in another order ends it with 1, and one line that says what it was.

    \b
    rtevents bench fanout
    rtevents bench fanout --clients 1000 --over ws --duration 10s
    rtevents bench fanout --rate 1000/s --batch 1     as live events come, not in bulk
    rtevents bench fanout --json | jq .deliveries_per_second
    """
    asked = work(
        clients=clients, batch=batch, size=size, duration=duration, rate=rate, live=live, over=over
    )
    with measured(live=live, streams=clients) as server:
        found = asyncio.run(_measure(server, asked))
    report.show(found, _rows(found), as_json=as_json)


class Run:
    """
    One measurement.

    Args:
        asked: What is asked of the daemon.
    Attributes:
        published: Events that are stored.
        refused: Events that were refused, as often as they were.
    """

    def __init__(self, asked: Work) -> None:
        self.asked = asked
        self.events = Events(asked.size)
        self.checker = Checker(asked.batch)
        self.published = self.refused = 0

    async def publish(self, exchange: Exchange) -> None:
        """Publish one batch after the other; one that is refused is sent again."""
        asked, checker = self.asked, self.checker
        pace = Pace(asked.rate / asked.batch, asked.seconds)
        while True:
            lines = self.events.lines(self.published, asked.batch)
            await self._keep_together()
            sent = await pace.next()
            if sent is None:
                return
            checker.sent.append(sent)
            # A batch is stored as a whole or not at all: sent again, it is still in order.
            answer = await exchange.post(lines, asked.batch)
            while refused := answer.refused(asked.batch):
                self.refused += refused
                if pace.is_over:
                    return  # refused means not stored
                await asyncio.sleep(answer.retry_after)
                answer = await exchange.post(lines, asked.batch)
            self.published += asked.batch

    async def _keep_together(self) -> None:
        """Wait for the subscribers, if nothing else sets the pace."""
        checker, clients = self.checker, self.asked.clients
        while not self.asked.rate and checker.deliveries < clients * (self.published - AHEAD):
            checker.moved.clear()
            await checker.moved.wait()

    async def deliver(self, subscribers: Sequence[Subscriber]) -> None:
        """Wait for what is under way, and check that it was everything."""
        checker = self.checker
        while checker.deliveries < self.published * len(subscribers):
            checker.moved.clear()
            try:
                async with asyncio.timeout(QUIET):
                    await checker.moved.wait()
            except TimeoutError:
                break
        checker.finish(subscribers, self.published)


async def _measure(server: Server, asked: Work) -> Found:
    run = Run(asked)
    checker = run.checker
    async with Load(server, asked.seconds) as load:
        subscribers = await load.subscribe(
            asked.clients, asked.over, run.events.source, checker.take
        )
        (exchange,) = await load.exchanges(1)
        clock = Clock(server.about.pid)
        async with report.progress(asked.seconds, lambda: checker.deliveries, unit="deliveries"):
            await load.run(run.publish(exchange))
            await load.run(run.deliver(subscribers))
        return _found(server, run, clock)


def _found(server: Server, run: Run, clock: Clock) -> Found:
    checker = run.checker
    seconds = run.asked.seconds_of(checker.last - clock.begin)
    return Found(
        daemon=server.about,
        work=run.asked,
        seconds=round(seconds, 3),
        events=run.published,
        deliveries=checker.deliveries,
        deliveries_per_second=round(checker.deliveries / seconds, 1),
        refused=run.refused,
        latency_ms=checker.latencies.quantiles(),
        daemon_us_per_delivery=clock.us_per(checker.deliveries),
        client_busy=clock.share_of_client(),
    )


def _rows(found: Found) -> list[tuple[str, str]]:
    asked = found.work
    return [
        ("delivered", f"{found.deliveries_per_second:,.0f} a second: {found.deliveries:,} "
                      f"deliveries in {found.seconds:.1f} s"),
        ("checked", f"each of {asked.clients} subscribers got each of {found.events:,} events "
                    "once, in order"),
        ("end to end", str(found.latency_ms or "nothing was published")),
        ("refused", f"{found.refused:,}, sent again"),
        *report.cpu_rows(found.daemon_us_per_delivery, "delivery", found.client_busy),
        ("asked", f"{asked.over}, batches of {asked.batch}, {asked.size} bytes of data, "
                  f"{report.rate_words(asked.rate)}"),
        ("of", str(found.daemon)),
    ]  # fmt: skip
