"""rtevents publish progress: how far something has come."""

from __future__ import annotations

import math
from typing import Annotated, Any

import typer

from rtevents.cli.publish import sending

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def progress(
    done: Annotated[float, typer.Option(metavar="NUMBER", help="Units that are done.")],
    total: Annotated[float, typer.Option(metavar="NUMBER", help="Units that there are.")],
    label: Annotated[str | None, typer.Option(metavar="TEXT", help="What progresses.")] = None,
    unit: Annotated[str | None, typer.Option(metavar="TEXT", help="What is counted.")] = None,
    project: sending.Project = None,
    source: sending.Source = "cli",
    event_id: sending.Id = None,
    when: sending.Time = None,
    data: sending.Data = None,
    cause: sending.Cause = None,
    spool: sending.Spool = False,
) -> None:
    """
    Publish how far something has come.

    \b
    rtevents publish progress --done 7 --total 10 --label import --unit files
    """
    for option, number in (("--done", done), ("--total", total)):
        if not math.isfinite(number):
            raise typer.BadParameter(f"{option}: expected a finite number, got {number}")
    fields: dict[str, Any] = {"done": _whole(done), "total": _whole(total)}
    if total > 0:
        fields["percent"] = round(min(100.0, 100 * done / total), 2)
    fields |= {"label": label, "unit": unit}
    sending.publish("PROGRESS_UPDATE", fields, project, source, event_id, when, data, spool, cause)


def _whole(number: float) -> float | int:
    return int(number) if number.is_integer() else number
