"""rtevents publish task: a task has a new status."""

from __future__ import annotations

from typing import Annotated

import typer

from rtevents.cli.publish import sending

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def task(
    task_id: Annotated[str, typer.Argument(metavar="TASK", help="The task.")],
    status: Annotated[
        str, typer.Option(metavar="STATE", help="Its state: open, running, done, failed, …")
    ],
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="The task in words.")] = None,
    project: sending.Project = None,
    source: sending.Source = "cli",
    event_id: sending.Id = None,
    when: sending.Time = None,
    data: sending.Data = None,
    cause: sending.Cause = None,
    spool: sending.Spool = False,
) -> None:
    """
    Publish that a task has a new status.

    \b
    rtevents publish task T-12 --status done --title "Write the guide"
    """
    fields = {"task_id": task_id, "status": status, "title": title}
    sending.publish("TASK_UPDATE", fields, project, source, event_id, when, data, spool, cause)
