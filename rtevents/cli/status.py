"""rtevents status: how the daemon is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtevents.cli import options
from rtevents.cli.output import print_json, safe

if TYPE_CHECKING:
    from rtevents.core.filter import Filter

app = typer.Typer(rich_markup_mode=None, add_completion=False)

_COLOURS = {
    "ok": typer.colors.GREEN,
    "degraded": typer.colors.YELLOW,
    "failed": typer.colors.RED,
}


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    bookmark: Annotated[
        bool, typer.Option("--bookmark", help="Print the place at the end of the log, and no more.")
    ] = False,
    everybody: Annotated[
        bool, typer.Option("--all", help="Tell how all daemons are that share the log.")
    ] = False,
    log: options.Log = None,
) -> None:
    """
    Tell how the daemon is, where it listens, what it watches.

    \b
    rtevents status
    rtevents status --json
    rtevents status --all              every daemon that shares the log, and their sum
    rtevents status --log web          one of several logs, and how it is
    b=$(rtevents status --bookmark)    for: rtevents wait --since "$b"
    """
    if bookmark:
        with options.client() as client:
            # Not the status: whoever may read the stream may know where it ends.
            print(client.history(_within(log), since="new", limit=1).next)
        return
    if everybody:
        if log is not None:
            raise typer.BadParameter("--log: of the other daemons all logs are told together")
        _tell_all(as_json=as_json)
        return
    with options.client() as client:
        found = client.status() | {"spool": _spool()}
    if log is not None:
        found = _one(found, log)
    if as_json:
        print_json(found)
    elif log is not None:
        typer.echo(f"{_verdict(found['health']['status'])}  log {_log_line(found)}")
    else:
        _print(found)
    if found["health"]["status"] == "failed":
        raise typer.Exit(1)


def _within(log: str | None) -> Filter:
    from rtevents.core.filter import Filter

    return Filter() if log is None else Filter(logs=frozenset({log}))


def _one(found: dict[str, Any], name: str) -> dict[str, Any]:
    """
    Return what a status tells of one log; the log `main` has what no other has.

    Raises:
        FilterError: There is no such log, or the grant does not hold it.
    """
    from rtevents.core.logs import named

    alone = {field: found[field] for field in LOG_FIELDS} | {"name": "main", "projects": []}
    logs = found.get("logs") or [alone]
    [name] = named(_within(name), [log["name"] for log in logs])
    return next(dict(log) for log in logs if log["name"] == name)


LOG_FIELDS = ("store", "durability", "epoch", "oldest", "newest", "missing", "health")
"""What a status tells of its main log, besides its name and its projects."""


def _print(found: dict[str, Any]) -> None:
    health = found["health"]
    verdict = _verdict(health["status"])
    uptime = span(time.time() - found["started_at"])
    typer.echo(f"{verdict}  rtevents {found['version']}, pid {found['pid']}, up {uptime}")
    for reason in health["reasons"]:
        print(f"  {safe(reason)}")
    print(f"socket   {safe(found['socket'])}")
    print(f"http     {safe(found['listen'] or found['listen_error'] or 'none')}")
    print(f"store    {found['store']}, durability {found['durability']}")
    main = "main: " if found.get("logs") else ""
    print(f"log      {main}{found['epoch']}, {extent(found)}")
    for log in found.get("logs", []):
        if log["name"] != "main":
            print(f"log      {_log_line(log)}")
    spool = found["spool"]
    if spool["waiting"] or spool["set_aside"]:
        words = f"{spool['waiting']} waiting"
        if spool["set_aside"]:
            words += f", {spool['set_aside']} refused and set aside as .bad"
        print(f"spool    {words}  {safe(spool['path'])}")
    if found["spooled"]:
        print(f"unstored {found['spooled']} of the daemon's own waiting for the store")
    for project in found["projects"]:
        error = f"  {safe(project['error'])}" if project["error"] else ""
        print(f"project  {safe(project['id'])}  {safe(project['path'])}  {project['state']}{error}")
    for sink in found.get("sinks", []):
        print(f"sink     {sink_line(sink)}")


def _log_line(log: dict[str, Any]) -> str:
    """Return a log that some projects have of their own in a line."""
    projects = ", ".join(log["projects"]) or "whatever no other has"
    words = [f"{log['name']}:", safe(projects), f" {safe(log['store'])} "]
    words.append(f"{log['epoch']}, {extent(log)}")
    health = log["health"]
    if health["status"] != "ok":
        words.append(f" {health['status']}: {safe('; '.join(health['reasons']))}")
    return " ".join(words)


def _tell_all(*, as_json: bool) -> None:
    with options.client() as client:
        found = client.nodes()
    if as_json:
        print_json(found)
    else:
        _print_all(found)
    if found["total"]["status"] == "failed":
        raise typer.Exit(1)


def _print_all(found: dict[str, Any]) -> None:
    total, nodes = found["total"], found["nodes"]
    words = [_many(total["nodes"], "node")]
    if total["lost"]:
        words.append(f"{total['lost']} lost")
    if total["unknown"]:
        why = " while the log is away" if found["is_away"] else " yet"
        words.append(f"{total['unknown']} not known{why}")
    words += _figures(total)
    typer.echo(f"{_verdict(total['status'])}  {', '.join(words)}")
    lines = [_cells(node, is_away=found["is_away"]) for node in nodes]
    # A cell that is the last of its line makes no other line wider.
    widths = [
        max([len(cells[at]) for cells in lines if at < len(cells) - 1], default=0)
        for at in range(max(map(len, lines)))
    ]
    for node, cells in zip(nodes, lines, strict=True):
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=False)]
        print(f"node     {'  '.join(padded).rstrip()}")
        for reason in _reasons(node):
            print(f"           {safe(reason)}")


def _cells(node: dict[str, Any], *, is_away: bool) -> list[str]:
    """Return what stands in the columns of a node's line."""
    name, age = safe(node["name"]), span(node["age"])
    if node["is_lost"]:
        return [name, "lost", f"last heard {age} ago"]
    if not node["is_known"]:
        why = "while the log is away" if is_away else "yet"
        return [name, "not known", f"{why}, last heard {age} ago"]
    heard = "this one" if node["is_here"] else f"heard {age} ago"
    up = span(time.time() - node["started_at"])
    return [name, node["status"], heard, f"up {up}", *_figures(node)]


def _reasons(node: dict[str, Any]) -> list[str]:
    """Return what is amiss with a node, as far as that is known."""
    if node["is_lost"] or not node["is_known"]:
        return []
    other = ["its `logs` are others than here: give all nodes the same, and restart them"]
    return [*node["reasons"], *(other if node["has_other_logs"] else [])]


def _figures(figures: dict[str, Any]) -> list[str]:
    words = [_many(figures["connections"], "connection"), f"{figures['rate']:.1f} events/s"]
    return words + ([f"{figures['spooled']} spooled"] if figures["spooled"] else [])


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _verdict(status: str) -> str:
    return typer.style(status, fg=_COLOURS[status], bold=True)


def sink_line(sink: dict[str, Any]) -> str:
    """Return a sink in a line."""
    words = [f"lag {sink['lag']}", f"{sink['delivered']} done"]
    if sink["failures"]:
        words.append(f"{sink['failures']} failures")
    if sink["dead"]:
        words.append(f"{sink['dead']} dead")
    if sink["dropped"]:
        words.append(f"{sink['dropped']} dropped")
    wrong = [text for text in (sink["gap"], sink["last_error"]) if text]
    told = f"  {safe('; '.join(wrong))}" if wrong else ""
    return f"{safe(sink['name'])}  {sink['kind']}  {sink['state']}, {', '.join(words)}{told}"


def _spool() -> dict[str, Any]:
    """Return what waits on this machine's disk to be delivered, and what never will be."""
    from rtevents.client.spool import count
    from rtevents.config.paths import find_paths

    folder = find_paths().spool
    waiting, set_aside = count(folder)
    return {"path": str(folder), "waiting": waiting, "set_aside": set_aside}


def extent(log: Mapping[str, Any]) -> str:
    """Return what a log holds, in words."""
    oldest, newest, missing = log["oldest"], log["newest"], log.get("missing", 0)
    if oldest <= newest:
        many = f"{newest - oldest + 1 - missing} entries," if missing else "entries"
        return f"{many} {oldest} to {newest}"
    return f"no entries kept; the last was {newest}" if newest else "no entries yet"


def span(seconds: float) -> str:
    """Return a time span in words, to two units: `3h 12m`."""
    units = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
    words = []
    left = int(seconds)
    for name, size in units:
        if left >= size:
            words.append(f"{left // size}{name}")
            left %= size
    return " ".join(words[:2]) or "0s"
