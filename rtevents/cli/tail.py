"""rtevents tail: follow the stream."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rtevents.cli import options
from rtevents.cli.output import ascii_line, is_terminal, notice, pretty_line
from rtevents.errors import GapFound, TimedOut

if TYPE_CHECKING:
    from rtevents.client.frames import Frame
    from rtevents.client.sync import Client
    from rtevents.core.event import Entry
    from rtevents.core.filter import Filter

PAGE = 1000
"""Events of one request to the history."""

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def tail(
    types: options.Types = [],
    not_types: options.NotTypes = [],
    projects: options.Projects = [],
    sources: options.Sources = [],
    paths: options.PathGlobs = [],
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN",
            help="Where to begin: 10m, RFC 3339, unix time, a bookmark, an event id, all, new, "
            "last, last-per-type.",
        ),
    ] = None,
    until: options.Until = None,
    last: Annotated[
        int | None,
        typer.Option("--last", "-n", min=0, metavar="N", help="Begin with the last N events."),
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="End after N events.")
    ] = None,
    terminate: Annotated[
        bool, typer.Option("--terminate-at-end", "-T", help="End when there is no more.")
    ] = False,
    timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="Give up after this time: exit code 124.")
    ] = None,
    output: Annotated[
        Literal["pretty", "ndjson"] | None,
        typer.Option("--output", "-o", help="pretty on a terminal, else ndjson."),
    ] = None,
    fail_on_gap: Annotated[
        bool, typer.Option("--fail-on-gap", help="End with 6 when entries can no longer be read.")
    ] = False,
    no_reconnect: Annotated[
        bool, typer.Option("--no-reconnect", help="End with 7 when the connection is lost.")
    ] = False,
) -> None:
    """
    Follow the stream. It reconnects by itself, from the last printed event.

    \b
    rtevents tail                                      everything, from now on
    rtevents tail -t RISK_ALERT -t COMMIT --since 1h
    rtevents tail --path 'src/**' --project web -n 20
    rtevents tail --since all -T -o ndjson | jq .data  all that is kept, and end
    rtevents tail -t COMMIT --count 1 --timeout 30s    wait for a commit
    """
    if since is not None and last is not None:
        raise typer.BadParameter("--since and --last exclude each other")
    wanted = options.wanted(types, not_types, projects, sources, paths)
    _give_up_after(options.seconds(timeout, "--timeout"))
    printer = _Printer(
        pretty=is_terminal() if output is None else output == "pretty",
        count=count,
        fail_on_gap=fail_on_gap,
        # The heartbeat is of the connection, not of the stream: shown to who asks for it.
        heartbeats="HEALTH_CHECK" in wanted.types,
    )
    with options.client() as client:
        if last is not None:
            since = printer.print_last(client, wanted, last)
            if printer.is_done:
                return
        if until is not None:
            printer.print_until(client, wanted, since or "all", until)
            return
        frames = client.stream(
            wanted, since=since or "new", reconnect=not no_reconnect, control=True
        )
        for frame in frames:
            if printer.take(frame, terminate=terminate):
                return


class _Printer:
    """Prints frames until enough are printed."""

    def __init__(
        self, *, pretty: bool, count: int | None, fail_on_gap: bool, heartbeats: bool
    ) -> None:
        self._pretty = pretty
        self._left = count
        self._fail_on_gap = fail_on_gap
        self._heartbeats = heartbeats
        self._is_lost = False

    @property
    def is_done(self) -> bool:
        """Whether enough is printed."""
        return self._left == 0

    def take(self, frame: Frame, *, terminate: bool) -> bool:
        """Print a frame; return whether that was the end."""
        from rtevents.core.event import Entry, Gap

        if isinstance(frame, Entry):
            if frame.seq or self._heartbeats:
                self._print(frame)
            return self.is_done
        if isinstance(frame, Gap):
            self._tell_gap(frame.after, frame.before, frame.reason)
            return False
        if frame.name == "lost" and not self._is_lost:
            notice(f"connection lost ({frame.fields['reason']}); reconnecting")
        if frame.name in ("lost", "hello"):
            self._is_lost = frame.name == "lost"
        return frame.name == "live" and terminate

    def print_last(self, client: Client, wanted: Filter, last: int) -> str:
        """Print the last events; return the bookmark after them."""
        page = client.history(wanted, order="desc", limit=max(1, min(last, PAGE)))
        end = page.next
        entries = list(page.events)
        while page.events and len(entries) < last:
            until = f"{end.epoch}-{page.events[-1].seq - 1}"
            limit = min(last - len(entries), PAGE)
            page = client.history(wanted, order="desc", limit=limit, until=until)
            entries += page.events
        for entry in reversed(entries[:last]):
            self._print(entry)
            if self.is_done:
                break
        return str(end)

    def print_until(self, client: Client, wanted: Filter, since: str, until: str) -> None:
        """Print the entries between two places."""
        page = client.history(wanted, since=since, until=until, limit=PAGE)
        while True:
            for entry in page.events:
                self._print(entry)
                if self.is_done:
                    return
            before = page.next
            page = client.history(wanted, after=str(page.next), until=until, limit=PAGE)
            if page.next == before:
                return

    def _print(self, entry: Entry) -> None:
        line = pretty_line(entry) if self._pretty else ascii_line(entry.wire)
        # echo takes the colours away where there is no terminal.
        typer.echo(line)
        sys.stdout.flush()
        if self._left is not None:
            self._left -= 1

    def _tell_gap(self, after: int, before: int, reason: str) -> None:
        text = f"gap: entries {after + 1} to {before - 1} can no longer be read ({reason})"
        if before - after <= 1:
            text = f"gap: it is not known what was missed ({reason}); going on with what is kept"
        if self._fail_on_gap:
            raise GapFound(text)
        notice(text)


def _give_up_after(seconds: float | None) -> None:
    if seconds is None:
        return

    def give_up(number: int, frame: FrameType | None) -> None:
        raise TimedOut(f"nothing more within {seconds:g} s")

    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
