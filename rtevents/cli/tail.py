"""rtevents tail: follow the stream."""

from __future__ import annotations

import os
import select
import signal
import stat
import sys
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rtevents.cli import options
from rtevents.cli.known import tell_projects
from rtevents.cli.output import ascii_line, is_terminal, notice, pretty_line, tell_gap
from rtevents.cli.since import place
from rtevents.errors import BadInput, TimedOut

if TYPE_CHECKING:
    from rtevents.client.frames import Frame
    from rtevents.client.sync import Client
    from rtevents.core.event import Bookmark, Entry
    from rtevents.core.filter import Filter

PAGE = 1000
"""Events of one request to the history."""

LONGEST = 1e9
"""Longest time, in seconds, for which a timer can be set: thirty years."""

ASIDES = frozenset({"HEALTH_CHECK", "DASHBOARD_UPDATE"})
"""The types of what the daemon tells each connection for itself, without a place in the log."""

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def tail(
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
            metavar="WHEN",
            help="Where to begin: 10m, RFC 3339, unix time, a bookmark, an event id (id:NAME for "
            "one that is no UUID and has none of : _ .), all, new, last, last-per-type.",
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
    fail_on_gap: options.FailOnGap = False,
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
    rtevents tail --where 'data.severity >= "high"'    see rtevents docs where
    rtevents tail --since all -T -o ndjson | jq .data  all that is kept, and end
    rtevents tail -t COMMIT --count 1 --timeout 30s    wait for a commit
    """
    if since is not None and last is not None:
        raise typer.BadParameter("--since and --last exclude each other")
    since, until = place(since), place(until)
    wanted = options.wanted(types, not_types, projects, sources, paths, wheres, logs)
    ahead = _seconds_ahead(until)
    _end_with_reader()
    _end_after(options.seconds(timeout, "--timeout"), ahead)
    printer = _Printer(
        pretty=is_terminal() if output is None else output == "pretty",
        count=count,
        fail_on_gap=fail_on_gap,
        # What is of the connection, and not of the stream, is shown to who asks for it.
        asides=wanted.types & ASIDES,
    )
    with options.client() as client:
        tell_projects(client, wanted, since or ("all" if last or until else "new"))
        if until is not None and ahead is None:
            printer.end = client.history(wanted, until=until, limit=1, order="desc").until
            if "," in str(printer.end):
                raise BadInput(
                    "--until: these events are in several logs: name one (--log), or read them "
                    "with rtevents history",
                    field="until",
                )
        if last is not None:
            since = printer.print_last(client, wanted, last)
            if printer.is_done or printer.end is not None:
                return
        first = "new" if until is None else "all"
        frames = client.stream(
            wanted, since=since or first, reconnect=not no_reconnect, control=True
        )
        for frame in frames:
            if printer.take(frame, terminate=terminate or printer.end is not None):
                return


class _Printer:
    """
    Prints frames until enough are printed.

    Attributes:
        end: The place after which nothing is printed; None for no end.
    """

    def __init__(
        self, *, pretty: bool, count: int | None, fail_on_gap: bool, asides: frozenset[str]
    ) -> None:
        self._pretty = pretty
        self._left = count
        self._fail_on_gap = fail_on_gap
        self._asides = asides
        self._is_lost = False
        self._is_failed = False
        self.end: Bookmark | None = None

    @property
    def is_done(self) -> bool:
        """Whether enough is printed."""
        return self._left == 0

    def take(self, frame: Frame, *, terminate: bool) -> bool:
        """Print a frame; return whether that was the end."""
        from rtevents.core.event import Entry, Gap

        if isinstance(frame, Entry):
            if self.end is not None and frame.seq > self.end.seq:
                return True
            if frame.seq or frame.type in self._asides:
                self._print(frame)
            elif frame.type == "HEALTH_CHECK":
                self._tell_health(frame)
            return self.is_done
        if isinstance(frame, Gap):
            if self.end is None or frame.after < self.end.seq:
                tell_gap(frame, fail=self._fail_on_gap)
            return False
        if frame.name == "lost" and not self._is_lost:
            notice(f"connection lost ({frame.fields['reason']}); reconnecting")
        if frame.name in ("lost", "hello"):
            self._is_lost = frame.name == "lost"
        return frame.name == "live" and terminate

    def _tell_health(self, beat: Entry) -> None:
        """Tell once that nothing comes because nothing can be stored, and when that is over."""
        data = beat.event.data
        reasons = data.get("reasons") if data.get("status") == "failed" else None
        if bool(reasons) != self._is_failed:
            self._is_failed = bool(reasons)
            notice(
                "; ".join(map(str, reasons)) if reasons else "events can be stored and read again"
            )

    def print_last(self, client: Client, wanted: Filter, last: int) -> str:
        """Print the last events; return the bookmark after them."""
        until = str(self.end) if self.end else None
        limit = max(1, min(last, PAGE))
        page = client.history(wanted, order="desc", limit=limit, until=until)
        end = page.until
        entries = list(page.events)
        while page.events and len(entries) < last:
            limit = min(last - len(entries), PAGE)
            page = client.history(wanted, order="desc", limit=limit, until=str(page.next))
            entries += page.events
        for entry in reversed(entries[:last]):
            self._print(entry)
            if self.is_done:
                break
        return str(end)

    def _print(self, entry: Entry) -> None:
        line = pretty_line(entry) if self._pretty else ascii_line(entry.wire)
        # echo takes the colours away where there is no terminal.
        typer.echo(line)
        sys.stdout.flush()
        if self._left is not None:
            self._left -= 1


def _end_with_reader() -> None:
    """End when whoever reads the pipe has gone: `tail | head -1` would wait for another event."""
    if not stat.S_ISFIFO(os.fstat(1).st_mode):
        return

    def end(number: int, frame: FrameType | None) -> None:
        # Not BrokenPipeError: the client would take it for a lost connection.
        raise typer.Exit

    def watch() -> None:
        gone = select.poll()
        gone.register(1, 0)  # errors are told whether asked for or not
        gone.poll()
        os.kill(os.getpid(), signal.SIGPIPE)

    signal.signal(signal.SIGPIPE, end)
    threading.Thread(target=watch, daemon=True).start()


def _seconds_ahead(until: str | None) -> float | None:
    """Return the seconds from now to an end that is still to come; None for any other."""
    from rtevents.core.since import parse_since

    if until is None or (timestamp := parse_since(until).timestamp) is None:
        return None
    ahead = timestamp - time.time()
    return ahead if ahead > 0 else None


def _end_after(timeout: float | None, ahead: float | None) -> None:
    """End the command after so many seconds: `timeout` is a failure, `ahead` is the wanted end."""
    if timeout is None and ahead is None:
        return
    is_late = ahead is None or (timeout is not None and timeout < ahead)

    def end(number: int, frame: FrameType | None) -> None:
        if is_late:
            raise TimedOut(f"nothing more within {timeout:g} s")
        raise typer.Exit

    seconds = min(each for each in (timeout, ahead, LONGEST) if each is not None)
    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
