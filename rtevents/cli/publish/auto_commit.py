"""rtevents publish auto-commit: what an automatic commit does."""

from __future__ import annotations

from typing import Annotated

import typer

from rtevents.cli.publish import sending

HELP = """
Publish what an automatic commit does.

\b
rtevents publish auto-commit start --changes 3
rtevents publish auto-commit result "Save work" --changes 3 --commit 0a1b2c3d
rtevents publish auto-commit error "no identity"
"""

app = typer.Typer(rich_markup_mode=None, add_completion=False, help=HELP)


@app.command()
def start(
    changes: Annotated[int, typer.Option(min=0, metavar="N", help="Files it is about to commit.")],
    project: sending.Project = None,
    source: sending.Source = "cli",
    event_id: sending.Id = None,
    when: sending.Time = None,
    data: sending.Data = None,
    cause: sending.Cause = None,
    spool: sending.Spool = False,
) -> None:
    """
    Publish that an automatic commit begins.

    \b
    rtevents publish auto-commit start --changes 3
    """
    fields = {"changes_count": changes}
    sending.publish(
        "AUTO_COMMIT_START", fields, project, source, event_id, when, data, spool, cause
    )


@app.command()
def result(
    message: Annotated[
        str, typer.Argument(metavar="MESSAGE", help="The commit's message, or why there is none.")
    ],
    changes: Annotated[int, typer.Option(min=0, metavar="N", help="Files it committed.")],
    failed: Annotated[bool, typer.Option("--failed", help="There is no commit.")] = False,
    commit_hash: Annotated[
        str | None, typer.Option("--commit", metavar="SHA", help="The commit.")
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
    Publish how an automatic commit ended.

    \b
    rtevents publish auto-commit result "Save work" --changes 3 --commit 0a1b2c3d
    """
    fields = {
        "success": not failed,
        "changes_count": changes,
        "message": message,
        "commit_hash": commit_hash,
    }
    sending.publish(
        "AUTO_COMMIT_RESULT", fields, project, source, event_id, when, data, spool, cause
    )


@app.command()
def error(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What went wrong, in one line.")],
    details: Annotated[str | None, typer.Option(metavar="TEXT", help="More of it.")] = None,
    project: sending.Project = None,
    source: sending.Source = "cli",
    event_id: sending.Id = None,
    when: sending.Time = None,
    data: sending.Data = None,
    cause: sending.Cause = None,
    spool: sending.Spool = False,
) -> None:
    """
    Publish that an automatic commit failed.

    \b
    rtevents publish auto-commit error "no identity"
    """
    fields = {"error": text, "details": details}
    sending.publish(
        "AUTO_COMMIT_ERROR", fields, project, source, event_id, when, data, spool, cause
    )
