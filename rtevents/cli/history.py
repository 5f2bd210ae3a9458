"""rtevents history: what is kept, a page at a time."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from rtevents.cli import options
from rtevents.cli.known import tell_projects
from rtevents.cli.output import ascii_line, is_terminal, notice, pretty_line, tell_gap
from rtevents.cli.since import place

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def history(
    types: options.Types = [],
    not_types: options.NotTypes = [],
    projects: options.Projects = [],
    sources: options.Sources = [],
    paths: options.PathGlobs = [],
    wheres: options.Wheres = [],
    logs: options.Logs = [],
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Where to begin: as in tail; all by default.")
    ] = None,
    until: options.Until = None,
    after: Annotated[
        str | None, typer.Option(metavar="BOOKMARK", help="Go on after this bookmark.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=1000, metavar="N", help="Events at most.")
    ] = 100,
    order: Annotated[Literal["asc", "desc"], typer.Option(help="Oldest or newest first.")] = "asc",
    output: Annotated[
        Literal["pretty", "ndjson"] | None,
        typer.Option("--output", "-o", help="pretty on a terminal, else ndjson."),
    ] = None,
    fail_on_gap: options.FailOnGap = False,
) -> None:
    """
    Show a page of what is kept, and end.

    \b
    rtevents history --since 1h
    rtevents history -t COMMIT --order desc --limit 5
    rtevents history --limit 1000 -o ndjson > events.ndjson
    """
    since, until = place(since), place(until)
    options.refuse_empty("--after", [] if after is None else [after])
    wanted = options.wanted(types, not_types, projects, sources, paths, wheres, logs)
    pretty = is_terminal() if output is None else output == "pretty"
    left = limit
    with options.client() as client:
        tell_projects(client, wanted, since if after is None else "new")
        while True:
            page = client.history(
                wanted, since=since, until=until, after=after, limit=left, order=order
            )
            for gap in page.gaps:
                tell_gap(gap, fail=fail_on_gap)
            for entry in page.events:
                typer.echo(pretty_line(entry) if pretty else ascii_line(entry.wire))
            left -= len(page.events)
            # A page of large events ends early.
            if order == "desc" or not left or not page.events:
                break
            since, after = None, str(page.next)
    if order == "asc" and not left and page.next.seq < page.newest:
        notice(f"there may be more: --after {page.next}")
    elif order == "desc" and not left and page.next.seq >= page.oldest:
        notice(f"there may be more: --order desc --until {page.next}")
