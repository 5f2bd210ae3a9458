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
    fingerprint: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="The same for the same risk, however often it is told."),
    ] = None,
    state: Annotated[
        Literal["open", "updated", "closed"] | None,
        typer.Option(help="Whether it is open, told again, or over."),
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
    rtevents publish risk "disk nearly full" --fingerprint disk --state open
    rtevents publish risk "disk nearly full" --fingerprint disk --state closed
    """
    fields = {"severity": severity, "message": message, "rule": rule}
    fields |= {"fingerprint": fingerprint, "state": state}
    sending.publish("RISK_ALERT", fields, project, source, event_id, when, data, spool, cause)
