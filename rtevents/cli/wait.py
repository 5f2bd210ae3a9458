"""rtevents wait: until something happens."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rtevents.cli import options
from rtevents.cli.known import tell_unknown
from rtevents.cli.output import ascii_line, is_terminal, notice, pretty_line, tell_gap
from rtevents.cli.since import place
from rtevents.errors import ConnectionLost, NotReachable, TimedOut, Unavailable

if TYPE_CHECKING:
    from rtevents.client.calls import History
    from rtevents.client.sync import Client
    from rtevents.core.filter import Filter

POLL_SECONDS = 30.0
"""Seconds for which one question waits for an answer."""

PAUSE = 0.25
"""Seconds between two attempts to reach a daemon that has gone."""

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def wait(
    types: options.Types = [],
    not_types: options.NotTypes = [],
    projects: options.Projects = [],
    sources: options.Sources = [],
    paths: options.PathGlobs = [],
    wheres: options.Wheres = [],
    logs: options.Logs = [],
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help="Count what happened since then; from now on by default."
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, metavar="N", help="Wait for N events.")] = 1,
    timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="Give up after this time: exit code 124.")
    ] = None,
    output: Annotated[
        Literal["pretty", "ndjson"] | None,
        typer.Option("--output", "-o", help="pretty on a terminal, else ndjson."),
    ] = None,
    fail_on_gap: options.FailOnGap = False,
) -> None:
    """
    Wait until something happens, and print it: 0 when it did, 124 when it did not in time.

    To miss nothing that happens before it waits, take the place first:

    \b
    b=$(rtevents status --bookmark)
    git push
    rtevents wait --type REF_UPDATE --since "$b" --timeout 30s

    \b
    rtevents wait -t TASK_UPDATE --where 'data.task_id == "T-12" and data.status == "done"'
    rtevents wait -t RISK_ALERT --timeout 1h && notify-send 'look at this'
    """
    wanted = options.wanted(types, not_types, projects, sources, paths, wheres, logs)
    begin = place(since) or "new"
    if begin == "last-per-type":
        raise typer.BadParameter("--since: last-per-type is no place to go on from")
    seconds = options.seconds(timeout, "--timeout")
    deadline = None if seconds is None else time.monotonic() + seconds
    pretty = is_terminal() if output is None else output == "pretty"
    with options.client() as client:
        # The first question does not wait: from its answer on the place is known.
        page = client.history(wanted, since=begin, limit=min(count, MOST))
        if not page.events:
            tell_unknown(client, projects)
        while True:
            for gap in page.gaps:
                tell_gap(gap, fail=fail_on_gap)
            for entry in page.events:
                typer.echo(pretty_line(entry) if pretty else ascii_line(entry.wire))
            sys.stdout.flush()
            count -= len(page.events)
            if count <= 0:
                return
            page = _next(client, wanted, str(page.next), min(count, MOST), deadline)


MOST = 1000
"""Events of one answer."""


def _next(
    client: Client, wanted: Filter, since: str, limit: int, deadline: float | None
) -> History:
    """Return the next page that tells something; a daemon that has gone is waited for."""
    is_told = False
    while True:
        left = POLL_SECONDS if deadline is None else deadline - time.monotonic()
        if left <= 0:
            raise TimedOut("it did not happen in time")
        try:
            page = client.history(wanted, since=since, limit=limit, wait=min(left, POLL_SECONDS))
        except (NotReachable, ConnectionLost, Unavailable) as error:
            if not is_told:
                notice(f"connection lost ({error}); reconnecting")
            is_told = True
            time.sleep(PAUSE if deadline is None else min(PAUSE, max(0.0, left)))
            continue
        if page.events or page.gap:
            return page
        since = str(page.next)
