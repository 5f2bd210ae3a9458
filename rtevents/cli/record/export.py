"""rtevents export: what is kept, as a recording."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal

import typer

from rtevents.cli import options
from rtevents.cli.known import tell_projects
from rtevents.cli.output import notice, tell_gap
from rtevents.cli.since import place

if TYPE_CHECKING:
    from rtevents.client.calls import History
    from rtevents.client.sync import Client
    from rtevents.core.filter import Filter

PAGE = 1000
"""Events of a page."""

STANDARD_OUTPUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
"""What names it, whatever that is just now."""

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The recording; - for stdout.")],
    types: options.Types = [],
    not_types: options.NotTypes = [],
    projects: options.Projects = [],
    sources: options.Sources = [],
    paths: options.PathGlobs = [],
    wheres: options.Wheres = [],
    logs: options.Logs = [],
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Where to begin: as in tail; all by default.")
    ] = None,
    until: options.Until = None,
    form: Annotated[
        Literal["ndjson", "cloudevents"] | None,
        typer.Option("--format", help="What a line is: ndjson, or as the recording has it."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on behind the last event of the recording.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    fail_on_gap: options.FailOnGap = False,
) -> None:
    """
    Write what is kept into a recording: an event a line, oldest first.

    \b
    rtevents export week.ndjson --since 7d
    rtevents export risks.ndjson -t RISK_ALERT --where 'data.severity >= "high"'
    rtevents export events.ndjson --resume             what came since, behind it
    rtevents export - --format cloudevents | gzip > events.gz
    rtevents export >(ssh backup 'cat > events.ndjson')

    It ends with what is newest when it begins. What is interrupted goes on with --resume.
    """
    from rtevents.cli.record.recording import last

    since, until = place(since), place(until)
    wanted = options.wanted(types, not_types, projects, sources, paths, wheres, logs)
    with options.client() as client:
        tell_projects(client, wanted, since)
        exporting = _Export(client, wanted, form or "ndjson", fail_on_gap)
        if str(file) in STANDARD_OUTPUT or is_stream(file):
            if resume:
                raise typer.BadParameter(f"--resume: {file} is no file that has a last event")
            exporting.begin(since, until)
            _write_stream(exporting, file)
            return
        begun = since
        if resume and file.exists():
            event, exporting.form = last(file, form)
            begun = since if event is None else event.event_id
        elif file.exists() and not force:
            raise typer.BadParameter(
                f"{file} is there already: --resume goes on, --force overwrites"
            )
        # Nothing is made, or overwritten, before there is something to write.
        exporting.begin(begun, until)
        # Risks and commits of private projects: for you alone, as the log is.
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if resume else os.O_TRUNC)
        with os.fdopen(os.open(file, flags, 0o600), "wb") as output:
            count = exporting.write(output)
            output.flush()
            os.fsync(output.fileno())
    notice(f"{count} events written to {file}")


def is_stream(file: Path) -> bool:
    """Tell whether what is written there goes on: a pipe or a device, and no file to overwrite."""
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def _write_stream(exporting: _Export, file: Path) -> None:
    if str(file) in STANDARD_OUTPUT:
        # Not opened: a file that the shell appends to would be written anew, from its beginning.
        exporting.write(sys.stdout.buffer)
        return
    # Waits for who reads.
    with file.open("wb") as output:
        count = exporting.write(output)
    notice(f"{count} events written to {file}")


class _Export:
    """Writes pages of the history, in the form `form`."""

    def __init__(self, client: Client, wanted: Filter, form: str, fail_on_gap: bool) -> None:
        self.form = form
        self._client = client
        self._wanted = wanted
        self._fail_on_gap = fail_on_gap

    def begin(self, since: str | None, until: str | None) -> None:
        """Read the first page from one place to another, and tell what is missing before it."""
        self._since, self._until = since, until
        self._first = self._page(since=since, until=until)
        self._tell(self._first)

    def write(self, output: BinaryIO) -> int:
        """Write everything from there on; return how many events that were."""
        from rtevents.cli.record.progress import shown
        from rtevents.cli.record.recording import encode

        page = self._first
        end, start = page.newest, page.oldest
        count = 0
        with shown("export", end - start + 1) as advance:
            while True:
                # Not beyond what was newest: on a busy log it would never end.
                some = [entry for entry in page.events if entry.seq <= end]
                output.writelines(encode(entry, self.form) for entry in some)
                output.flush()
                count += len(some)
                advance(page.next.seq - start + 1)
                if not page.events or page.next.seq >= end:
                    return count
                page = self._page(after=str(page.next), until=self._until)
                self._tell(page)

    def _page(self, **places: str | None) -> History:
        page = self._client.history(self._wanted, limit=PAGE, **places)  # type: ignore[arg-type]
        return page.of_one_log()

    def _tell(self, page: History) -> None:
        if (gap := page.gap) is None:
            return
        # Everything that is kept comes then: behind a recording that would be there twice.
        if gap.reason in ("unknown-id", "other-epoch") and self._since is not None:
            raise typer.BadParameter(
                f"the log does not know {self._since}: it was trimmed, or is another"
            )
        tell_gap(gap, fail=self._fail_on_gap)
