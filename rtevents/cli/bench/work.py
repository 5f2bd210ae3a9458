"""What is asked of the daemon: the options that every measurement has, and what they mean."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
import typer

from rtevents.cli import options
from rtevents.client.calls import LINES_BYTES

MIN_SIZE = 64
"""Fewest bytes of an event's data: it holds a number and what its type demands."""

ROUND_EVENT = 256
"""Bytes of an event besides its data, about."""

LIVE_RATE = "1000/s"
"""How fast the daemon that runs is asked if nothing else is said: older events may have to go."""

_RATE = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(?:/s)?\Z", re.ASCII)

Size = Annotated[
    int, typer.Option(min=MIN_SIZE, max=1_000_000, metavar="BYTES", help="Size of an event's data.")
]
Duration = Annotated[
    str, typer.Option("--duration", metavar="TIME", help="How long to measure, such as 10s.")
]
Rate = Annotated[
    str | None,
    typer.Option(
        "--rate",
        metavar="N/s",
        help=f"Events a second; 0 for as fast as it goes. With --live {LIVE_RATE} by default.",
    ),
]
Live = Annotated[
    bool,
    typer.Option("--live", help="Measure the daemon that runs: its log keeps the events."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")]


class Work(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    What is asked of the daemon.

    Args:
        clients: Publishers, or subscribers.
        batch: Events of one request.
        size: Bytes of an event's data.
        seconds: How long it is asked.
        rate: Events a second; 0 for as fast as it goes.
        over: How subscribers follow: `sse`, `ws` or `ndjson`; empty when there are none.
    """

    clients: int
    batch: int
    size: int
    seconds: float
    rate: float
    over: str = ""

    def seconds_of(self, passed: float) -> float:
        """Return the seconds to count by: those that passed, but at a rate not less than asked."""
        return max(passed, self.seconds if self.rate else 1e-6)


def work(
    *,
    clients: int,
    batch: int,
    size: int,
    duration: str,
    rate: str | None,
    live: bool,
    over: str = "",
) -> Work:
    """
    Return what the options ask for; a batch is no more than a tenth of a second's events.

    Args:
        rate: None for as fast as it goes, but no faster than ``LIVE_RATE`` where a log is kept.

    Raises:
        typer.BadParameter: One of them cannot be read, or a request would be too long.
    """
    seconds = options.seconds(duration, "--duration")
    if not seconds:
        raise typer.BadParameter(f"--duration: expected more than nothing, got {duration!r}")
    if rate is None:
        rate = LIVE_RATE if live else "0"
    if not (match := _RATE.match(rate)):
        raise typer.BadParameter(f"--rate: expected events a second such as 500/s, got {rate!r}")
    request = batch * (size + ROUND_EVENT)
    if batch > 1 and request > LINES_BYTES:
        raise typer.BadParameter(
            f"--batch {batch} of --size {size}: a request of {request} bytes, {LINES_BYTES} at most"
        )
    events = float(match[1])
    return Work(
        clients=clients,
        batch=min(batch, max(1, int(events / 10))) if events else batch,
        size=size,
        seconds=seconds,
        rate=events,
        over=over,
    )
