"""rtevents wait: until something happens."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rtevents.cli import options
from rtevents.cli.known import tell_unknown
from rtevents.cli.output import ascii_line, is_terminal, notice, pretty_line, tell_gap
from rtevents.cli.since import place
from rtevents.errors import ConnectionLost, NotReachable, RteventsError, TimedOut, Unavailable

if TYPE_CHECKING:
    from rtevents.client.calls import History
    from rtevents.client.sync import Client
    from rtevents.core.filter import Filter

POLL_SECONDS = 5.0
"""Seconds for which one question waits for an answer: so late it is seen that nothing can come."""

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
        asking = _Asking(client, wanted, deadline)
        page = asking.ask(begin, min(count, MOST), 0)
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
            page = asking.next(str(page.next), min(count, MOST))


MOST = 1000
"""Events of one answer."""


class _Asking:
    """
    Asks for pages until there is something, and tells once why nothing can come.

    Args:
        deadline: When that is given up, by the monotonic clock; None for never.
    """

    def __init__(self, client: Client, wanted: Filter, deadline: float | None) -> None:
        self._client = client
        self._wanted = wanted
        self._deadline = deadline
        self._told = ""

    def next(self, since: str, limit: int) -> History:
        """
        Return the next page that tells something; a daemon that has gone is waited for.

        Raises:
            TimedOut: There was none in time.
        """
        while True:
            page = self.ask(since, limit, min(self._left(), POLL_SECONDS), is_first=False)
            if page.events or page.gap:
                return page
            since = str(page.next)
            self._tell_trouble()

    def ask(self, since: str, limit: int, wait: float, *, is_first: bool = True) -> History:
        """
        Return a page, once there is a daemon that can read its log.

        Args:
            wait: Seconds for which the daemon waits for something to come.
            is_first: Whether it is an error that there is no daemon at all.
        Raises:
            NotReachable: There is none.
            TimedOut: It could not in time.
        """
        while True:
            try:
                return self._client.history(self._wanted, since=since, limit=limit, wait=wait)
            except Unavailable as error:
                self._tell(str(error))
                pause = error.retry_after
            except (NotReachable, ConnectionLost) as error:
                if is_first:
                    raise
                self._tell(f"connection lost ({error}); reconnecting")
                pause = PAUSE
            time.sleep(min(pause, self._left()))
            wait = min(wait, self._left())

    def _left(self) -> float:
        """Return the seconds that are left; raises ``TimedOut`` when none are."""
        left = math.inf if self._deadline is None else self._deadline - time.monotonic()
        if left > 0:
            return left
        raise TimedOut("it did not happen in time")

    def _tell_trouble(self) -> None:
        """Tell that nothing can be stored, and when that is over: what is asked for cannot come."""
        try:
            status = self._client.status()
        except RteventsError:
            return  # the next question meets the same
        logs = [each for each in status.get("logs", [status]) if self._is_read(each)]
        failed = [each["health"] for each in logs if each["health"]["status"] == "failed"]
        # To a token that is limited no reasons are told.
        reasons = [each["reasons"] or ["events cannot be stored now"] for each in failed]
        self._tell("; ".join(str(reason) for each in reasons for reason in each))

    def _is_read(self, log: dict[str, Any]) -> bool:
        return not self._wanted.logs or log.get("name", "main") in self._wanted.logs

    def _tell(self, words: str) -> None:
        if words and not self._told:
            notice(words)
        elif self._told and not words:
            notice("events can be stored and read again")
        self._told = words
