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
    log: options.Log = None,
) -> None:
    """
    Show how busy the daemon is: rates, queue, connections, lag.

    \b
    rtevents stats
    rtevents stats --once --json | jq .events
    rtevents stats --log web           one of several logs; all of them and their sum by default
    """
    if not SHORTEST <= interval <= LONGEST:  # not by typer: it lets nan pass
        said = f"expected {SHORTEST:g} to {LONGEST:g} seconds, got {interval:g}"
        raise typer.BadParameter(f"--interval: {said}")
    with options.client() as client:
        if as_json:
            print_json(_ask(client, log))
            while not once:
                time.sleep(interval)
                print_json(_ask(client, log))
            return
        from rich.live import Live

        console = wide_console()
        first = _picture(client, log, console.width)
        if once or not is_terminal():
            console.print(first)
            return
        with Live(first, console=console, auto_refresh=False, screen=False) as live:
            while True:
                time.sleep(interval)
                live.update(_look(client, log, console.width), refresh=True)


def _look(client: Any, log: str | None, width: int) -> RenderableType:
    try:
        return _picture(client, log, width)
    except (NotReachable, ConnectionLost, Unavailable) as error:
        from rich.text import Text

        return Text(safe(f"{error} (waiting)"))


def _ask(client: Any, log: str | None) -> dict[str, Any]:
    """Return the statistics of one log; without a name of all, with those of each as ``logs``."""
    if log is not None:
        found: dict[str, Any] = client.stats(log)
        return found
    names = client.check_token()["logs"]
    each = {name: client.stats(name) for name in names}
    return each[names[0]] if len(names) == 1 else _sum(each) | {"logs": each}


def _sum(each: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """
    Return the statistics of several logs as one.

    What is of one log is left out: where it ends, and the percentiles of its latency.
    """
    parts = list(each.values())
    total: dict[str, Any] = {"uptime": max(part["uptime"] for part in parts)}
    for name in ("events", "queue", "connections", "handlers"):
        if name in parts[0]:
            total[name] = _added([part[name] for part in parts])
    if "errors_1m" in parts[0]:
        total["errors_1m"] = sum(part["errors_1m"] for part in parts)
    # The process is one.
    shared = ("loop_lag_ms", "memory_bytes")
    return total | {name: parts[0][name] for name in shared if name in parts[0]}


def _added(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mappings of numbers, and of such mappings, as their sum."""
    total: dict[str, Any] = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        values = [part[name] for part in parts if name in part]
        total[name] = _added(values) if isinstance(values[0], dict) else sum(values)
    return total


def connected(client: Any, log: str | None) -> list[dict[str, Any]]:
    """
    Return who is connected.

    Args:
        log: Only who reads this log, alone or among others; None for everybody.
    """
    found: list[dict[str, Any]] = client.connections()
    if log is None:
        return found
    epoch = client.stats(log)["log"]["epoch"]

    def reads(connection: dict[str, Any]) -> bool:
        marks = connection["last_event_id"].split(",")
        return epoch in (mark.partition("-")[0] for mark in marks)

    return [each for each in found if reads(each)]


def _picture(client: Any, log: str | None, width: int) -> RenderableType:
    # Who lags most comes first.
    by_lag = sorted(connected(client, log), key=ORDERS["lag"])
    return _table(_ask(client, log), by_lag, width)


def _table(stats: dict[str, Any], connections: list[dict[str, Any]], width: int) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    for name, value in _rows(stats).items():
        grid.add_row(name, Text(value))
    logs = [_logs_table(stats["logs"])] if "logs" in stats else []
    return Group(grid, *logs, connections_table(connections, width))


def _logs_table(logs: dict[str, dict[str, Any]]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, GUTTER, 0, 0), header_style="bold")
    rows = [{"log": name} | _log_cells(stats) for name, stats in logs.items()]
    for name in rows[0]:
        table.add_column(name, justify="left" if name in ("log", "entries") else "right")
    for row in rows:
        table.add_row(*(Text(safe(cell)) for cell in row.values()))
    return table


def _log_cells(stats: dict[str, Any]) -> dict[str, str]:
    """Return what a row shows of one of several logs, by column."""
    events, log = stats["events"], stats["log"]
    cells = {"entries": extent(log), "stored": str(events["published"])}
    if "queue" not in stats:
        return cells
    return cells | {
        "rate": f"{events['rate_1m']:.1f}/s",
        "refused": str(events["refused"]),
        "queue": str(stats["queue"]["size"]),
        "p99": f"{stats['latency']['p99']:.1f} ms",
        "in memory": size(log["window_bytes"]),
    }


def _rows(stats: dict[str, Any]) -> dict[str, str]:
    """Return what is shown; a token that is limited to projects or types is told less."""
    events = stats["events"]
    types = "  ".join(f"{safe(name)} {count}" for name, count in events["by_type"].items())
    rows = {"up": span(stats["uptime"])}
    if "queue" not in stats:
        return rows | {
            "events": f"{events['published']} stored",
            "delivered": str(events["delivered"]),
            "types": types,
        }
    queue, memory = stats["queue"], stats["memory_bytes"]
    return rows | {
        "events": f"{events['published']} stored, {events['rate_1m']:.1f}/s over the last minute, "
                  f"{events['duplicates']} duplicates, {events['refused']} refused",
        "delivered": str(events["delivered"]),
        "queue": f"{queue['size']} of {queue['max_size']}, {size(queue['bytes'])}",
        **({} if "logs" in stats else _log_rows(stats["log"], stats["latency"])),
        "lag": f"{stats['loop_lag_ms']:.0f} ms at most in the last minute",
        "memory": size(memory) if memory else "unknown",
        "types": types,
    }  # fmt: skip


def _log_rows(log: dict[str, Any], latency: dict[str, float]) -> dict[str, str]:
    """Return what is shown of one log alone."""
    return {
        "log": f"{extent(log)}, "
               f"{log['window_events']} ({size(log['window_bytes'])}) in memory",
        "to store": f"p50 {latency['p50']:.1f} ms, p95 {latency['p95']:.1f}, "
                    f"p99 {latency['p99']:.1f}",
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
