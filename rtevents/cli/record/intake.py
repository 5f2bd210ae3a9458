"""rtevents import: a recording into the log."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtevents.cli import options
from rtevents.cli.output import notice
from rtevents.errors import BadInput, EventRefused, Unavailable

if TYPE_CHECKING:
    from rtevents.cli.record.recording import Line
    from rtevents.client.sync import Client

CHUNK = 500
"""Events of a request: as many as the daemon stores together."""

CHUNK_BYTES = 4 * 1024**2
"""Bytes of lines after which that is enough: each is held several times until it is stored."""

TOLD = 50
"""Lines that are not stored of which each is told."""

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The recording; - for stdin.")],
    project: Annotated[
        str | None,
        typer.Option("--project", metavar="ID", help="The project they shall belong to."),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out lines that are no event, and go on.")
    ] = False,
) -> None:
    """
    Publish the events of a recording, with their ids and times.

    \b
    rtevents import week.ndjson
    gunzip < events.gz | rtevents import -
    rtevents import <(gunzip < events.gz)
    rtevents import damaged.ndjson --skip-bad

    A line is an event in the wire form or a CloudEvent. What is there already is not stored again:
    what was interrupted is begun anew. A line that is no event ends it, with its number, unless
    --skip-bad leaves such lines out; the exit code is 5 where anything was left out. What the
    daemon's own producers told has `imported` in its source: nobody else may speak for them. Each
    has the extension `imported`: the daemon's risk rules leave it out, as what is long over.
    """
    from rtevents.cli.record.progress import shown
    from rtevents.cli.record.recording import is_readable, read, size

    options.refuse_empty("--project", [] if project is None else [project])
    if not is_readable(file):
        raise typer.BadParameter(f"no file {str(file)!r}")
    with options.client() as client, shown("import", size(file)) as advance:
        intake = _Intake(client, project)
        try:
            for some in _chunks(read(file, intake.skip if skip_bad else None)):
                intake.take(some)
                advance(some[-1].end)
        except BadInput as error:
            notice(intake.words)
            raise BadInput(f"{error}: {_GO_ON}") from error
    notice(intake.words)
    if intake.refused or intake.skipped:
        raise EventRefused(f"{intake.refused + intake.skipped} lines are not in the log")


_GO_ON = (
    "mend it and import again, nothing is stored twice; or leave out such lines with --skip-bad"
)


def _chunks(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Yield lines, as many together as are stored together."""
    some: list[Line] = []
    begun = 0
    try:
        for line in lines:
            some.append(line)
            if len(some) == CHUNK or line.end - begun >= CHUNK_BYTES:
                yield some
                some, begun = [], line.end
    except BadInput:
        # What is before the bad line is as good as what is before the chunk.
        if some:
            yield some
        raise
    if some:
        yield some


class _Intake:
    """Publishes lines, and counts what became of them."""

    def __init__(self, client: Client, project: str | None) -> None:
        self.stored = self.known = self.refused = self.skipped = 0
        self._client = client
        self._changed = {} if project is None else {"project_id": project}

    @property
    def words(self) -> str:
        """What became of the lines."""
        skipped = f", {self.skipped} no events" if self.skipped else ""
        return f"{self.stored} stored, {self.known} there before, {self.refused} refused{skipped}"

    def skip(self, error: BadInput) -> None:
        """Count a line that is no event."""
        self.skipped += 1
        self._tell(str(error))

    def _tell(self, text: str) -> None:
        """Tell what is not stored; of a file that is something else, not every line."""
        left = self.refused + self.skipped - TOLD
        if left <= 0:
            notice(text)
        elif left == 1:
            notice("and so on: the rest is counted")

    def take(self, lines: Sequence[Line]) -> None:
        """Publish some lines; wait while the daemon has no room."""
        from rtevents.cli.record.recording import outside
        from rtevents.core.imported import IMPORTED, imported

        left = [
            (line.number, imported(outside(line.event, IMPORTED, **self._changed)).body)
            for line in lines
        ]
        while left:
            answered = 0
            try:
                for answer in self._client.publish_lines([body for _, body in left]):
                    number, _ = left[answered]
                    answered += 1
                    if answer.stored is None:
                        self.refused += 1
                        self._tell(f"line {number}: {answer.error}")
                    elif answer.stored.duplicate:
                        self.known += 1
                    else:
                        self.stored += 1
            except Unavailable as error:
                time.sleep(error.retry_after)
            del left[:answered]
