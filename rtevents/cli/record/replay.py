"""rtevents replay: a recording, or what is kept, at its own pace or faster."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rtevents.cli import options
from rtevents.cli.known import tell_projects
from rtevents.cli.output import ascii_line, is_terminal, notice, pretty_line
from rtevents.cli.since import place
from rtevents.errors import EventRefused

if TYPE_CHECKING:
    from rtevents.client.sync import Client
    from rtevents.core.event import Event
    from rtevents.core.filter import Filter

    Placed = tuple[str, Event]
    """An event, and where it is from: `line 3`, `seq 42`."""

TOLD = 50
"""Events that are refused of which each is told."""

LONGEST_PAUSE = "1m"
"""Longest wait between two events, where nobody says another."""

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def replay(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A recording, - for stdin; else the log.")
    ] = None,
    types: options.Types = [],
    not_types: options.NotTypes = [],
    projects: options.Projects = [],
    sources: options.Sources = [],
    paths: options.PathGlobs = [],
    wheres: options.Wheres = [],
    logs: options.Logs = [],
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Where to begin in the log: as in tail.")
    ] = None,
    until: options.Until = None,
    speed: Annotated[
        str, typer.Option(metavar="FACTOR", help="How fast: 10x, 0.5x, or max for no waits.")
    ] = "1x",
    pause: Annotated[
        str, typer.Option("--max-pause", metavar="TIME", help="Wait no longer between two events.")
    ] = LONGEST_PAUSE,
    publish: Annotated[
        bool, typer.Option("--publish", help="Publish them anew, as if they happened now.")
    ] = False,
    as_project: Annotated[
        str | None,
        typer.Option("--as-project", metavar="ID", help="Publish them for this project."),
    ] = None,
    output: Annotated[
        Literal["pretty", "ndjson"] | None,
        typer.Option("--output", "-o", help="pretty on a terminal, else ndjson."),
    ] = None,
) -> None:
    """
    Let a recording happen again: on the terminal, or with --publish in the stream.

    \b
    rtevents replay demo.ndjson --speed 10x
    rtevents replay --since 1h --speed max -o ndjson | jq .type
    rtevents replay demo.ndjson --speed 2x --publish --as-project demo
    rtevents replay demo.ndjson --publish                 in the projects that they are of

    Published events have ids and times of their own; `replayed_from` in their extensions is the id
    of the one that was recorded, and sources of the daemon's own producers begin with `replayed/`.
    RISK_ALERTs are published with --as-project only: they would open and close risks that are real.
    An event that is refused is told with its line; the exit code is 5 then.
    """
    from rtevents.cli.record.recording import is_readable

    factor, longest = _factor(speed), options.seconds(pause, "--max-pause") or 0.0
    wanted = options.wanted(types, not_types, projects, sources, paths, wheres, logs)
    since, until = place(since), place(until)
    if file is not None and (since or until or logs):
        raise typer.BadParameter("--since, --until and --log are of what is kept, not a recording")
    if file is not None and not is_readable(file):
        raise typer.BadParameter(f"no file {str(file)!r}")
    if as_project is not None and not publish:
        raise typer.BadParameter("--as-project is the project of what --publish publishes")
    options.refuse_empty("--as-project", [] if as_project is None else [as_project])
    pretty = is_terminal() if output is None else output == "pretty"
    with options.client() as client:
        if file is None:
            tell_projects(client, wanted, since)
        events = _recorded(file, wanted) if file else _kept(client, wanted, since, until)
        stage = _Stage(client, as_project)
        try:
            for where, event in _paced(events, factor, longest):
                if publish:
                    stage.publish(where, event)
                else:
                    _show(event, pretty=pretty)
        finally:
            if publish:
                stage.tell()
    if stage.refused:
        raise EventRefused(f"{stage.refused} events are not in the log")


def _factor(text: str) -> float:
    """Return how many times as fast; infinity for ``max``."""
    if text == "max":
        return float("inf")
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?)x?", text)
    if match is None or not float(match[1]):
        raise typer.BadParameter(f"--speed: expected 10x, 0.5x or max, got {text!r}")
    return float(match[1])


def _recorded(file: Path, wanted: Filter) -> Iterator[Placed]:
    from rtevents.cli.record.recording import read
    from rtevents.core.event import Entry

    for line in read(file):
        if wanted.is_everything or wanted.matches(Entry.of(line.event, line.number)):
            yield f"line {line.number}", line.event


def _kept(client: Client, wanted: Filter, since: str | None, until: str | None) -> Iterator[Placed]:
    """Yield what is kept, up to what is newest now: what is published meanwhile is not."""
    page = client.history(wanted, since=since, until=until, limit=1000)
    end = page.of_one_log().newest
    while page.events:
        for entry in page.events:
            if entry.seq <= end:
                yield f"seq {entry.seq}", entry.event
        if page.next.seq >= end:
            return
        page = client.history(wanted, after=str(page.next), until=until, limit=1000)


def _paced(events: Iterator[Placed], factor: float, longest: float) -> Iterator[Placed]:
    """Yield events at the pace of their timestamps; who comes late is not waited for again."""
    due = time.monotonic()
    before: float | None = None
    for where, event in events:
        if before is not None:
            due += min(max(0.0, event.timestamp - before) / factor, longest)
            if (left := due - time.monotonic()) > 0:
                time.sleep(left)
        before = event.timestamp
        yield where, event


class _Stage:
    """
    Publishes events anew, and counts what became of them.

    Args:
        project: The project that they shall belong to; None for that they are of.
    """

    def __init__(self, client: Client, project: str | None) -> None:
        self.count = self.left_out = self.refused = 0
        self._client = client
        self._project = project

    def publish(self, where: str, event: Event) -> None:
        """Publish an event; tell where it is from when it is refused."""
        if self._project is None and event.type == "RISK_ALERT":
            self.left_out += 1
            return
        try:
            self._client.publish(_anew(event, self._project))
        except EventRefused as error:
            self.refused += 1
            if self.refused <= TOLD:
                notice(f"{where}: {error}")
            elif self.refused == TOLD + 1:
                notice("and so on: the rest is counted")
        else:
            self.count += 1

    def tell(self) -> None:
        """Tell what became of them."""
        refused = f", {self.refused} refused" if self.refused else ""
        notice(f"{self.count} events published{refused}")
        if self.left_out:
            notice(
                f"{self.left_out} RISK_ALERTs left out: "
                "--as-project ID publishes them for a project"
            )


def _anew(event: Event, project: str | None) -> Event:
    """Return an event as it happens now."""
    import msgspec

    from rtevents.cli.record.recording import outside
    from rtevents.core.names import new_event_id

    told = {} if event.extensions is msgspec.UNSET else event.extensions
    changed: dict[str, object] = {} if project is None else {"project_id": project}
    if event.type == "RISK_ALERT" and (mark := event.data.get("fingerprint")):
        # Else its end would be the end of the one that was recorded.
        changed["data"] = {**event.data, "fingerprint": f"{project}:{mark}"}
    return outside(
        event,
        "replayed",
        event_id=new_event_id(),
        timestamp=time.time(),
        extensions={**told, "replayed_from": event.event_id},
        **changed,
    )


def _show(event: Event, *, pretty: bool) -> None:
    from rtevents.core.event import Entry

    if pretty:
        typer.echo(pretty_line(Entry.of(event, 0)))
    else:
        print(ascii_line(event.body), flush=True)
