"""rtevents bench publish: how many events a second the daemon stores."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from typing import Annotated

import msgspec
import typer

from rtevents.cli.bench import report
from rtevents.cli.bench.daemon import About, Server, measured
from rtevents.cli.bench.exchange import Answer, Events, Exchange
from rtevents.cli.bench.figures import Clock, Latencies, Quantiles
from rtevents.cli.bench.load import Load, Pace
from rtevents.cli.bench.work import AsJson, Duration, Live, Rate, Size, Work, work

app = typer.Typer(rich_markup_mode=None, add_completion=False)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was found.

    Args:
        seconds: From the first request to the last answer.
        events: Events that were stored.
        refused: Events that were refused with 503.
        latency_ms: From a request to its answer; None when none was stored.
        daemon_us_per_event: The daemon's processor time; None when it cannot be seen.
        client_busy: Which part of the time this process was busy.
    """

    bench: str = "publish"
    daemon: About
    work: Work
    seconds: float
    events: int
    events_per_second: float
    requests: int
    refused: int
    latency_ms: Quantiles | None
    daemon_us_per_event: float | None
    client_busy: float


@app.command()
def publish(
    clients: Annotated[
        int, typer.Option(min=1, max=1000, metavar="N", help="Publishers that work in parallel.")
    ] = 8,
    batch: Annotated[
        int,
        typer.Option(
            min=1, max=10_000, metavar="N", help="Events of a request; NDJSON if more than 1."
        ),
    ] = 100,
    size: Size = 100,
    duration: Duration = "5s",
    rate: Rate = None,
    live: Live = False,
    as_json: AsJson = False,
) -> None:
    """
    Measure how many events a second are stored, and how soon that is answered.

    A private daemon with your settings is measured; it is removed at the end.

    \b
    rtevents bench publish
    rtevents bench publish --clients 1 --batch 1      one event after the other
    rtevents bench publish --rate 2000/s --json | jq .latency_ms
    """
    asked = work(clients=clients, batch=batch, size=size, duration=duration, rate=rate, live=live)
    with measured(live=live) as server:
        found = asyncio.run(_measure(server, asked))
    report.show(found, _rows(found), as_json=as_json)


class _Tally:
    """Counts the answers."""

    def __init__(self) -> None:
        self.requests = self.events = self.refused = 0
        self.last = 0.0
        self.latencies = Latencies()

    def take(self, answer: Answer, asked: float, count: int) -> None:
        """Count the answer to a request of `count` events."""
        self.last = time.perf_counter()
        refused = answer.refused(count)
        self.requests += 1
        self.refused += refused
        self.events += count - refused
        if not refused:
            self.latencies.add(self.last - asked)


async def _measure(server: Server, asked: Work) -> Found:
    events, tally = Events(asked.size), _Tally()
    async with Load(server, asked.seconds) as load:
        exchanges = await load.exchanges(asked.clients)
        clock = Clock(server.about.pid)
        pace = Pace(asked.rate / asked.batch, asked.seconds)
        firsts = itertools.count(0, asked.batch)
        async with report.progress(asked.seconds, lambda: tally.events, unit="events"):
            await load.run(
                *(_publish(each, events, firsts, pace, tally, asked.batch) for each in exchanges)
            )
        return _found(server, asked, tally, clock)


async def _publish(
    exchange: Exchange,
    events: Events,
    firsts: Iterator[int],
    pace: Pace,
    tally: _Tally,
    batch: int,
) -> None:
    """Publish one batch after the other; one that is refused is counted, and not sent again."""
    while True:
        lines = events.lines(next(firsts), batch)
        asked = await pace.next()
        if asked is None:
            return
        answer = await exchange.post(lines, batch)
        tally.take(answer, asked, batch)
        await asyncio.sleep(answer.retry_after)


def _found(server: Server, asked: Work, tally: _Tally, clock: Clock) -> Found:
    seconds = asked.seconds_of(tally.last - clock.begin)
    return Found(
        daemon=server.about,
        work=asked,
        seconds=round(seconds, 3),
        events=tally.events,
        events_per_second=round(tally.events / seconds, 1),
        requests=tally.requests,
        refused=tally.refused,
        latency_ms=tally.latencies.quantiles(),
        daemon_us_per_event=clock.us_per(tally.events),
        client_busy=clock.share_of_client(),
    )


def _rows(found: Found) -> list[tuple[str, str]]:
    asked = found.work
    return [
        ("stored", f"{found.events_per_second:,.0f} events/s: {found.events:,} "
                   f"in {found.seconds:.1f} s"),
        ("answered", str(found.latency_ms or "nothing was stored")),
        ("refused", f"{found.refused:,}"),
        *report.cpu_rows(found.daemon_us_per_event, "event", found.client_busy),
        ("asked", f"{asked.clients} publishers, batches of {asked.batch}, "
                  f"{asked.size} bytes of data, {report.rate_words(asked.rate)}"),
        ("of", str(found.daemon)),
    ]  # fmt: skip
