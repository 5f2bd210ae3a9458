"""What a person sees of a measurement: a bar while it runs, a table at its end."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec

from rtevents.cli.output import print_json, safe
from rtevents.cli.stats import wide_console

REDRAW_SECONDS = 0.1
"""How often the bar moves, in seconds."""

AT_LIMIT = 0.9
"""Part of the time from which on a client that is busy is what was measured."""


def show(result: msgspec.Struct, rows: Sequence[tuple[str, str]], *, as_json: bool) -> None:
    """Print what was found: one JSON object, or a table."""
    if as_json:
        print_json(result)
        return
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    for name, value in rows:
        grid.add_row(name, Text(safe(value)))
    wide_console().print(grid)


def cpu_rows(daemon_us: float | None, unit: str, client_busy: float) -> list[tuple[str, str]]:
    """Return what the daemon took, where that can be seen, and how busy this process was."""
    rows = []
    if daemon_us is not None:
        rows.append(("daemon", f"{daemon_us:.3g} µs of processor time per {unit}"))
    limit = "; it was at its limit: the daemon may do more" if client_busy >= AT_LIMIT else ""
    rows.append(("this client", f"busy {100 * client_busy:.0f} % of the time{limit}"))
    return rows


def rate_words(rate: float) -> str:
    """Return what was to be published, in words."""
    return f"{rate:,.10g}/s" if rate else "as fast as it goes"


@asynccontextmanager
async def progress(seconds: float, count: Callable[[], int], *, unit: str) -> AsyncIterator[None]:
    """Show a bar on the terminal's stderr; it goes at the end."""
    if not sys.stderr.isatty():
        yield
        return
    task = asyncio.create_task(_draw(seconds, count, unit))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _draw(seconds: float, count: Callable[[], int], unit: str) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    begin = time.perf_counter()
    columns = (BarColumn(), TextColumn("{task.description}"))
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as bar:
        shown = bar.add_task("", total=seconds)
        while True:
            bar.update(
                shown,
                completed=time.perf_counter() - begin,
                description=f"{count():,} {unit}",
                refresh=True,
            )
            await asyncio.sleep(REDRAW_SECONDS)
