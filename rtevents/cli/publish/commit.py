"""rtevents publish commit: a commit, which the daemon reads from the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rtevents.cli import options
from rtevents.cli.publish import sending
from rtevents.errors import RteventsError, outcome

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def commit(
    revision: Annotated[
        str, typer.Argument(metavar="REVISION", help="A commit, as git names it.")
    ] = "HEAD",
    repository: Annotated[
        Path, typer.Option("--repository", "-C", metavar="PATH", help="A folder of the repository.")
    ] = Path(),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing.")] = False,
) -> None:
    """
    Publish a commit; the daemon reads it from the repository.

    \b
    rtevents publish commit
    rtevents publish commit v1.2 -C ~/src/web
    """
    try:
        with options.client() as client:
            stored = client.commit(repository.resolve(), revision)
    except RteventsError as failure:
        if quiet:
            raise typer.Exit(outcome(failure)[1]) from None
        raise
    if not quiet:
        sending.tell(stored.event_id, stored.seq, duplicate=stored.duplicate)
