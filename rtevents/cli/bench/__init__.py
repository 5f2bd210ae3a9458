"""rtevents bench: how fast the daemon is on this machine; one file per question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import typer

from rtevents.cli import Commands


class Benches(Commands):
    """What can be measured."""

    table: ClassVar[Mapping[str, tuple[str, str]]] = {
        "publish": (
            "rtevents.cli.bench.publish:app",
            "Measure how many events a second are stored.",
        ),
        "fanout": (
            "rtevents.cli.bench.fanout:app",
            "Measure deliveries a second, and check every one of them.",
        ),
        "latency": (
            "rtevents.cli.bench.latency:app",
            "Measure the time from a publisher to a subscriber.",
        ),
    }


app = typer.Typer(cls=Benches, rich_markup_mode=None, add_completion=False)


@app.callback()
def bench() -> None:
    """
    Measure how fast the daemon is on this machine: a private one, or with --live the one that runs.

    \b
    rtevents bench publish
    rtevents bench fanout --clients 1000 --over ws
    rtevents bench latency --rate 500 --json
    """
