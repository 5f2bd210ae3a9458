"""rtevents publish system: how a system is."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from rtevents.cli.publish import sending

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def system(
    status: Annotated[
        Literal["ok", "degraded", "failed"], typer.Argument(help="How the system is.")
    ],
    reason: Annotated[
        list[str], typer.Option(metavar="TEXT", help="Why; may be given several times.")
    ] = [],
    event: Annotated[str | None, typer.Option(metavar="TEXT", help="What made it change.")] = None,
    project: sending.Project = None,
    source: sending.Source = "cli",
    event_id: sending.Id = None,
    when: sending.Time = None,
    data: sending.Data = None,
    cause: sending.Cause = None,
    spool: sending.Spool = False,
) -> None:
    """
    Publish how a system is.

    \b
    rtevents publish system degraded --reason "queue 90 % full"
    """
    fields = {"status": status, "event": event, "reasons": reason or None}
    sending.publish("SYSTEM_STATUS", fields, project, source, event_id, when, data, spool, cause)
