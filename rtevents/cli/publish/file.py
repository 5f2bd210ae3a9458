"""rtevents publish file: a file changed."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from rtevents.cli.publish import sending

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def file(
    path: Annotated[str, typer.Argument(metavar="PATH", help="The file, relative to its project.")],
    change: Annotated[
        Literal["created", "modified", "deleted", "renamed"], typer.Option(help="What happened.")
    ] = "modified",
    old_path: Annotated[
        str | None, typer.Option(metavar="PATH", help="Where it was, when renamed.")
    ] = None,
    project: sending.Project = None,
    source: sending.Source = "cli",
    event_id: sending.Id = None,
    when: sending.Time = None,
    data: sending.Data = None,
    cause: sending.Cause = None,
    spool: sending.Spool = False,
) -> None:
    """
    Publish that a file changed.

    \b
    rtevents publish file src/a.py --change modified --project web
    """
    fields = {"file_path": path, "change_type": change, "old_path": old_path}
    sending.publish("FILE_CHANGE", fields, project, source, event_id, when, data, spool, cause)
