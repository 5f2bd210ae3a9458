"""rtevents publish event: an event of any type."""

from __future__ import annotations

from typing import Annotated

import typer

from rtevents.cli import suggest
from rtevents.cli.publish import sending
from rtevents.errors import EventRefused

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
    cause: sending.Cause = None,
    spool: sending.Spool = False,
) -> None:
    """
    Publish an event of any type.

    \b
    rtevents publish event DEPLOY --data '{"version": "1.2"}'
    rtevents publish event TASK_UPDATE --data @task.json
    """
    try:
        sending.publish(kind, {}, project, source, event_id, when, data, spool, cause)
    except EventRefused as refusal:
        if not str(refusal).startswith("unknown event type"):
            raise
        from rtevents.core.names import type_name

        words = f"{refusal}; add it with: rtevents types add {type_name(kind)}"
        raise EventRefused(words, field=refusal.field) from refusal
