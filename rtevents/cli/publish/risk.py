"""rtevents publish risk: something that somebody should look at."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from rtevents.cli.publish import sending

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def risk(
    message: Annotated[str, typer.Argument(metavar="MESSAGE", help="What it is, in one line.")],
    severity: Annotated[
        Literal["low", "medium", "high", "critical"], typer.Option(help="How bad it is.")
    ] = "medium",
    rule: Annotated[
        str | None, typer.Option(metavar="NAME", help="The rule that found it.")
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
    Publish something that somebody should look at.

    \b
    rtevents publish risk "disk nearly full" --severity high
    """
    fields = {"severity": severity, "message": message, "rule": rule}
    sending.publish("RISK_ALERT", fields, project, source, event_id, when, data, spool, cause)
