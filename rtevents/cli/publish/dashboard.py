"""rtevents publish dashboard: figures for those who watch."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from rtevents.cli.publish import sending

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def dashboard(
    metrics: Annotated[list[str], typer.Argument(metavar="NAME=VALUE...", help="Figures.")],
    project: sending.Project = None,
    source: sending.Source = "cli",
    event_id: sending.Id = None,
    when: sending.Time = None,
    data: sending.Data = None,
    cause: sending.Cause = None,
    spool: sending.Spool = False,
) -> None:
    """
    Publish figures for those who watch.

    \b
    rtevents publish dashboard users=12 load=0.7 branch=main
    """
    fields = {"metrics": dict(_metric(text) for text in metrics)}
    sending.publish("DASHBOARD_UPDATE", fields, project, source, event_id, when, data, spool, cause)


def _metric(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"expected NAME=VALUE, got {text!r}")
    try:
        return name, json.loads(value, parse_constant=sending.no_constant)
    except ValueError:
        return name, value
