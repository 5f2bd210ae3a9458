"""rtevents import: a recording into the log."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtevents.cli import options
from rtevents.cli.output import notice
from rtevents.errors import EventRefused, Unavailable

if TYPE_CHECKING:
    from rtevents.cli.record.recording import Line
    from rtevents.client.sync import Client

CHUNK = 500
"""Events of a request: as many as the daemon stores together."""

CHUNK_BYTES = 4 * 1024**2
"""Bytes of lines after which that is enough: each is held several times until it is stored."""

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The recording; - for stdin.")],
    project: Annotated[
        str | None,
        typer.Option("--project", metavar="ID", help="The project they shall belong to."),
    ] = None,
) -> None:
    """
    Publish the events of a recording, with their ids and times.

    \b
    rtevents import week.ndjson
    gunzip < events.gz | rtevents import -

    A line is an event in the wire form or a CloudEvent. What is there already is not stored again:
    what was interrupted is begun anew. What the daemon's own producers told has `imported` in its
    source: nobody else may speak for them.
    """
    from rtevents.cli.record.progress import shown
    from rtevents.cli.record.recording import read, size

    options.refuse_empty("--project", [] if project is None else [project])
    if str(file) != "-" and not file.is_file():
        raise typer.BadParameter(f"no file {str(file)!r}")
    with options.client() as client, shown("import", size(file)) as advance:
        intake = _Intake(client, project)
        for some in _chunks(read(file)):
            intake.take(some)
            advance(some[-1].end)
    words = f"{intake.stored} stored, {intake.known} there before, {intake.refused} refused"
    notice(words)
    if intake.refused:
        raise EventRefused(f"{intake.refused} of the events were refused")


def _chunks(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Yield lines, as many together as are stored together."""
    some: list[Line] = []
    begun = 0
    for line in lines:
        some.append(line)
        if len(some) == CHUNK or line.end - begun >= CHUNK_BYTES:
            yield some
            some, begun = [], line.end
    if some:
        yield some


class _Intake:
    """Publishes lines, and counts what became of them."""

    def __init__(self, client: Client, project: str | None) -> None:
        self.stored = self.known = self.refused = 0
        self._client = client
        self._changed = {} if project is None else {"project_id": project}

    def take(self, lines: Sequence[Line]) -> None:
        """Publish some lines; wait while the daemon has no room."""
        from rtevents.cli.record.recording import outside

        left = [
            (line.number, outside(line.event, "imported", **self._changed).body) for line in lines
        ]
        while left:
            answered = 0
            try:
                for answer in self._client.publish_lines([body for _, body in left]):
                    number, _ = left[answered]
                    answered += 1
                    if answer.stored is None:
                        self.refused += 1
                        notice(f"line {number}: {answer.error}")
                    elif answer.stored.duplicate:
                        self.known += 1
                    else:
                        self.stored += 1
            except Unavailable as error:
                time.sleep(error.retry_after)
            del left[:answered]
