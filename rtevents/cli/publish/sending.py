"""What every kind of `rtevents publish` shares: its options, and the way to the daemon."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtevents.cli import options, suggest
from rtevents.cli.output import is_terminal, notice, print_json, safe
from rtevents.errors import ConnectionLost, EventRefused, NotAllowed, NotReachable, Unavailable

if TYPE_CHECKING:
    from rtevents.client.sync import Client
    from rtevents.core.event import Event, Stored

Project = Annotated[
    str | None,
    typer.Option(
        "--project",
        metavar="ID",
        help="The project it belongs to.",
        autocompletion=suggest.projects,
    ),
]
Source = Annotated[str, typer.Option("--source", metavar="NAME", help="Who says so.")]
Id = Annotated[
    str | None,
    typer.Option("--id", metavar="ID", help="The event's id: published again, it is stored once."),
]
Time = Annotated[
    str | None, typer.Option("--time", metavar="WHEN", help="When it happened; now by default.")
]
Spool = Annotated[
    bool,
    typer.Option("--spool", help="Keep it on disk when the daemon is away; it is delivered later."),
]
Cause = Annotated[
    str | None,
    typer.Option("--caused-by", metavar="ID", help="The id of the event that caused it."),
]
Data = Annotated[
    str | None,
    typer.Option("--data", metavar="JSON", help="More fields: JSON, @FILE, or - for stdin."),
]


def publish(
    kind: str,
    fields: dict[str, Any],
    project: str | None,
    source: str,
    event_id: str | None,
    when: str | None,
    data: str | None,
    spool: bool,
    cause: str | None,
) -> None:
    """Make an event of what the command line says, publish it, and tell its place."""
    from rtevents.core.event import Event
    from rtevents.core.names import type_name

    common: dict[str, Any] = {"project_id": project, "source": source}
    if event_id is not None:
        common["event_id"] = event_id
    if when is not None:
        from rtevents.core.since import parse_time

        common["timestamp"] = parse_time(when)
    given = {name: value for name, value in fields.items() if value is not None} | _more(data)
    _refuse_bytes(common | {"data": given})
    extensions = trace()
    with options.client() as client:
        if cause is not None:
            extensions |= _caused_by(client, cause, spool=spool)
        if extensions:
            common["extensions"] = extensions
        _send(client, Event(type=type_name(kind), data=given, **common), spool=spool)


def trace() -> dict[str, str]:
    """Return the trace of which this process is, as OpenTelemetry hands it on; none is empty."""
    parent = os.environ.get("TRACEPARENT")
    if parent is None:
        return {}
    from rtevents.server.trace import trace_of  # here: hardly anybody has one

    return trace_of({"traceparent": parent, "tracestate": os.environ.get("TRACESTATE", "")})


def _caused_by(client: Client, cause: str, *, spool: bool) -> dict[str, str]:
    """Return the extensions that name a cause; of which story it is says the cause itself."""
    from rtevents.core.causes import caused_by

    try:
        return caused_by(client.find(cause))
    except NotAllowed:  # who may publish may not read
        return caused_by(cause)
    except (NotReachable, ConnectionLost, Unavailable):
        if not spool:
            raise
        return caused_by(cause)


def _send(client: Client, event: Event, *, spool: bool) -> None:
    from rtevents.core.draft import check_event

    check_event(event)
    stored = _spooled(client, event) if spool else client.publish(event)
    if stored is None:
        return
    tell(stored.event_id, stored.seq, duplicate=stored.duplicate)


def _spooled(client: Client, event: Event) -> Stored | None:
    """Publish what waits, then `event`; keep it when that cannot be, and return None then."""
    from rtevents.client.spool import deliver, keep
    from rtevents.config.paths import find_paths

    folder = find_paths().spool
    try:
        if (wait := deliver(client, folder).get(event.project_id)) is not None:
            raise wait
        return client.publish(event)
    except (NotReachable, ConnectionLost, Unavailable) as failure:
        keep(folder, event)
        notice(f"kept until it can be stored: {failure}")
        return None


def _refuse_bytes(value: object, place: str = "") -> None:
    """Refuse what the shell gave as bytes that are no UTF-8, by its place: JSON cannot carry it."""
    from rtevents.core.names import is_text

    match value:
        case str() if not is_text(value):
            raise EventRefused(f"{place}: not UTF-8 text: {value[:60]!r}", field=place)
        case dict():
            for name, each in value.items():
                _refuse_bytes(name, place or "name")
                _refuse_bytes(each, f"{place}.{name}".lstrip("."))
        case list():
            for index, each in enumerate(value):
                _refuse_bytes(each, f"{place}[{index}]")


def tell(event_id: str, seq: int, *, duplicate: bool) -> None:
    """Print the place of a stored event: a line for a person, else JSON."""
    if is_terminal():
        print(f"{seq}  {safe(event_id)}" + ("  (stored before)" if duplicate else ""))
    else:
        print_json({"event_id": event_id, "seq": seq, "duplicate": duplicate})


def _more(data: str | None) -> dict[str, Any]:
    if data is None:
        return {}
    import json  # here: most events have no more than their options say

    try:
        if data == "-":
            text = sys.stdin.buffer.read().decode()
        elif data.startswith("@"):
            text = Path(data[1:]).read_text(encoding="utf-8")
        else:
            text = data
        value = json.loads(text, parse_constant=no_constant)
    except OSError as failure:
        raise typer.BadParameter(f"--data: {data[1:]}: {failure.strerror}") from failure
    except (ValueError, RecursionError) as failure:
        raise typer.BadParameter(f"--data: not JSON: {failure}") from failure
    if not isinstance(value, dict):
        raise typer.BadParameter("--data: expected a JSON object")
    return value


def no_constant(name: str) -> None:
    """Refuse NaN and the infinities, which Python reads and JSON does not have."""
    raise ValueError(f"{name} is not JSON")
