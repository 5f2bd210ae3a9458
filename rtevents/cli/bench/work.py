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

_RATE = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(?:/s)?\Z", re.ASCII)

Size = Annotated[
    int, typer.Option(min=MIN_SIZE, max=1_000_000, metavar="BYTES", help="Size of an event's data.")
]
Duration = Annotated[
    str, typer.Option("--duration", metavar="TIME", help="How long to measure, such as 10s.")
]
Rate = Annotated[
    str,
    typer.Option("--rate", metavar="N/s", help="Events a second; 0 for as fast as it goes."),
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


def work(*, clients: int, batch: int, size: int, duration: str, rate: str, over: str = "") -> Work:
    """
    Return what the options ask for.

    Raises:
        typer.BadParameter: One of them cannot be read, or a request would be too long.
    """
    seconds = options.seconds(duration, "--duration")
    if not seconds:
        raise typer.BadParameter(f"--duration: expected more than nothing, got {duration!r}")
    if not (match := _RATE.match(rate)):
        raise typer.BadParameter(f"--rate: expected events a second such as 500/s, got {rate!r}")
    request = batch * (size + ROUND_EVENT)
    if batch > 1 and request > LINES_BYTES:
        raise typer.BadParameter(
            f"--batch {batch} of --size {size}: a request of {request} bytes, {LINES_BYTES} at most"
        )
    return Work(
        clients=clients, batch=batch, size=size, seconds=seconds, rate=float(match[1]), over=over
    )
