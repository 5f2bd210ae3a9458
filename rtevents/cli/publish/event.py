"""rtevents publish event: an event of any type."""

from __future__ import annotations

from typing import Annotated

import typer

from rtevents.cli import suggest
from rtevents.cli.publish import sending

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def event(
    kind: Annotated[
        str, typer.Argument(metavar="TYPE", help="The event type.", autocompletion=suggest.types)
    ],
    data: sending.Data = None,
    project: sending.Project = None,
    source: sending.Source = "cli",
    event_id: sending.Id = None,
    when: sending.Time = None,
    spool: sending.Spool = False,
) -> None:
    """
    Publish an event of any type.

    \b
    rtevents publish event DEPLOY --data '{"version": "1.2"}'
    rtevents publish event TASK_UPDATE --data @task.json
    """
    sending.publish(kind, {}, project, source, event_id, when, data, spool)
