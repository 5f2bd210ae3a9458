"""rtevents stats: a live table of rates, queue, connections and lag."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtevents.cli import options
from rtevents.cli.output import is_terminal, print_json, safe, size
from rtevents.cli.status import extent, span
from rtevents.errors import ConnectionLost, NotReachable, Unavailable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

app = typer.Typer(rich_markup_mode=None, add_completion=False)

SHORTEST = 0.1
"""Least seconds between two looks: a table that changes faster cannot be read."""

LONGEST = 86_400.0
"""Most seconds between two looks: a day."""

GUTTER = 2
"""Columns between two columns of a table."""

FILTER_WIDTH = 20
"""Columns below which a filter cannot be read."""

EXPENDABLE = ("delivered", "sent", "since", "who", "kind", "rate", "pid", "filter")
"""Columns of the connections that a narrow terminal does without, the first one first."""

ORDERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "lag": lambda each: -int(each["lag"]),
    "rate": lambda each: -(each.get("rate") or 0.0),
    "sent": lambda each: -int(each["bytes"]),
    "delivered": lambda each: -int(each["delivered"]),
    "pid": lambda each: each["pid"] or 0,
    "since": lambda each: each["connected_at"],
}
"""What connections are sorted by, by column: the one that matters most first."""

PIPE_WIDTH = 250
"""Columns of a table that no terminal shows."""


@app.command()
def stats(
    once: Annotated[bool, typer.Option("--once", help="Print once, and end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: with --once one object, else one a line.")
    ] = False,
    interval: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="Seconds between two looks; 0.1 to 86400."),
    ] = 1.0,
) -> None:
    """
    Show how busy the daemon is: rates, queue, connections, lag.

    \b
    rtevents stats
    rtevents stats --once --json | jq .events
    """
    if not SHORTEST <= interval <= LONGEST:  # not by typer: it lets nan pass
        said = f"expected {SHORTEST:g} to {LONGEST:g} seconds, got {interval:g}"
        raise typer.BadParameter(f"--interval: {said}")
    with options.client() as client:
        if as_json:
            print_json(client.stats())
            while not once:
                time.sleep(interval)
                print_json(client.stats())
            return
        from rich.live import Live

        console = wide_console()
        first = _table(client.stats(), _by_lag(client), console.width)
        if once or not is_terminal():
            console.print(first)
            return
        with Live(first, console=console, auto_refresh=False, screen=False) as live:
            while True:
                time.sleep(interval)
                live.update(_look(client, console.width), refresh=True)


def _look(client: Any, width: int) -> RenderableType:
    try:
        return _table(client.stats(), _by_lag(client), width)
    except (NotReachable, ConnectionLost, Unavailable) as error:
        from rich.text import Text

        return Text(safe(f"{error} (waiting)"))


def _by_lag(client: Any) -> list[dict[str, Any]]:
    """Return who is connected, the one that lags most first."""
    return sorted(client.connections(), key=ORDERS["lag"])


def _table(stats: dict[str, Any], connections: list[dict[str, Any]], width: int) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    for name, value in _rows(stats).items():
        grid.add_row(name, Text(value))
    return Group(grid, connections_table(connections, width))


def _rows(stats: dict[str, Any]) -> dict[str, str]:
    """Return what is shown; a token that is limited to projects or types is told less."""
    events, log = stats["events"], stats["log"]
    types = "  ".join(f"{safe(name)} {count}" for name, count in events["by_type"].items())
    rows = {"up": span(stats["uptime"])}
    if "queue" not in stats:
        return rows | {
            "events": f"{events['published']} stored",
            "delivered": str(events["delivered"]),
            "types": types,
        }
    queue, latency, memory = stats["queue"], stats["latency"], stats["memory_bytes"]
    return rows | {
        "events": f"{events['published']} stored, {events['rate_1m']:.1f}/s over the last minute, "
                  f"{events['duplicates']} duplicates, {events['refused']} refused",
        "delivered": str(events["delivered"]),
        "queue": f"{queue['size']} of {queue['max_size']}, {size(queue['bytes'])}",
        "log": f"{extent(log['oldest'], log['newest'])}, "
               f"{log['window_events']} ({size(log['window_bytes'])}) in memory",
        "to store": f"p50 {latency['p50']:.1f} ms, p95 {latency['p95']:.1f}, "
                    f"p99 {latency['p99']:.1f}",
        "lag": f"{stats['loop_lag_ms']:.0f} ms at most in the last minute",
        "memory": size(memory) if memory else "unknown",
        "types": types,
    }  # fmt: skip


def wide_console() -> Console:
    """Return a console that shortens nothing for a pipe."""
    from rich.console import Console

    return Console() if is_terminal() else Console(width=PIPE_WIDTH)


def connections_table(
    connections: list[dict[str, Any]],
    width: int,
    *,
    chosen: str | None = None,
    is_folded: bool = True,
) -> RenderableType:
    """
    Return who is connected, in this order.

    Args:
        width: Columns there are; what does not fit is left out, the least wanted first, and said.
        chosen: The id of the connection that is marked.
        is_folded: Whether a long filter takes several lines; else it ends where its column does.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    if not connections:
        return Text("nobody is connected", style="dim")
    rows = [_cells(each) for each in connections]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    # A filter is folded, but not into a column of single words.
    least = widths | {"filter": min(widths["filter"], FILTER_WIDTH)}
    shown, left_out = list(widths), []
    for name in (each for each in EXPENDABLE if each in widths):
        if sum(least[each] + GUTTER for each in shown) <= width:
            break
        shown.remove(name)
        left_out.append(name)
    table = Table(box=None, padding=(0, GUTTER, 0, 0), header_style="bold")
    for name in shown:
        is_number = name in ("lag", "rate", "delivered", "sent")
        table.add_column(
            name,
            min_width=least[name],
            justify="right" if is_number else "left",
            overflow="fold" if is_folded else "ellipsis",
        )
    for row in rows:
        style = "reverse" if row["connection"] == chosen else None
        cells = (Text(row[name], no_wrap=not is_folded) for name in shown)
        table.add_row(*cells, style=style)
    if not left_out:
        return table
    note = f"no room for {', '.join(left_out)}: rtevents connections --json has all"
    return Group(table, Text(note, style="dim"))


def _cells(connection: dict[str, Any]) -> dict[str, str]:
    """Return what a row shows, by column."""
    wanted = " ".join(f"{key}={','.join(v)}" for key, v in connection["filter"].items())
    cells = {
        # What `connections close` takes: whole, however narrow the terminal.
        "connection": connection["connection_id"],
        "kind": connection["kind"],
        "who": connection["principal"],
        "pid": str(connection["pid"] or "-"),
        "since": span(time.time() - connection["connected_at"]),
        "filter": wanted or "everything",
        "lag": str(connection["lag"]),
        **_rate(connection),
        "delivered": str(connection["delivered"]),
        "sent": size(connection["bytes"]),
    }
    return {name: safe(cell) for name, cell in cells.items()}


def _rate(connection: dict[str, Any]) -> dict[str, str]:
    """Return the cell of a rate, where one was worked out; nothing is known at the first look."""
    if "rate" not in connection:
        return {}
    rate = connection["rate"]
    return {"rate": "-" if rate is None else f"{rate:.1f}/s"}
