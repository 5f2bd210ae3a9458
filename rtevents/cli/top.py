"""rtevents top: who is connected, live; sort, and end a connection."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtevents.cli import options
from rtevents.cli.output import is_terminal, safe
from rtevents.cli.stats import (
    LONGEST,
    ORDERS,
    SHORTEST,
    connected,
    connections_table,
    wide_console,
)
from rtevents.errors import ConnectionLost, NotFound, NotReachable, Unavailable

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(rich_markup_mode=None, add_completion=False)

SORT_KEYS = {"l": "lag", "r": "rate", "b": "sent", "d": "delivered", "p": "pid", "a": "since"}
"""The column by which each key sorts."""

UP, DOWN = "\x1b[A", "\x1b[B"
"""What the arrow keys of a terminal send (ECMA-48, CUU and CUD)."""

KEY = re.compile(r"\x1b\[[A-D]|.", re.DOTALL)
"""A key: an arrow, or a character."""

CHROME = 6
"""Lines of the screen that are not connections."""


@app.command()
def top(
    sort: Annotated[
        str,
        typer.Option(
            metavar="COLUMN",
            help="Sort by lag, rate, sent, delivered, pid or since.",
            autocompletion=lambda: list(ORDERS),
        ),
    ] = "lag",
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", help="Seconds between two looks; 0.1 to 86400.")
    ] = 2.0,
    log: options.Log = None,
) -> None:
    """
    Show who is connected, live: pid, filter, lag, rate, bytes.

    \b
    rtevents top
    rtevents top --sort rate | head -20       prints once where no terminal reads
    rtevents top --log web                    who reads this one of several logs

    Keys: l lag, r rate, b bytes, d delivered, p pid, a age; arrows choose a connection, k ends it
    after a question, q quits.
    """  # fmt: skip
    if sort not in ORDERS:
        raise typer.BadParameter(f"--sort: expected one of {', '.join(ORDERS)}, got {sort!r}")
    if not SHORTEST <= interval <= LONGEST:  # not by typer: it lets nan pass
        said = f"expected {SHORTEST:g} to {LONGEST:g} seconds, got {interval:g}"
        raise typer.BadParameter(f"--interval: {said}")
    with options.client() as client:
        screen = Screen(sort, log)
        screen.look(connected(client, log), time.monotonic())
        console = wide_console()
        if not is_terminal():
            console.print(connections_table(screen.sorted(), console.width))
            return
        from rich.live import Live

        with _keys(), Live(console=console, auto_refresh=False, screen=True) as live:
            while not screen.is_over:
                live.update(screen.render(console.width, console.height), refresh=True)
                for key in _pressed(interval) or [""]:
                    screen.press(client, key)


class Screen:
    """
    What is shown, and what the keys do to it.

    Args:
        order: The column by which it is sorted.
        log: Of which log the readers are shown; None for all.
    """

    def __init__(self, order: str, log: str | None = None) -> None:
        self.order = order
        self._log = log
        self.chosen: str | None = None
        """The id of the connection that is marked."""
        self.asked: str | None = None
        """The id of the one that is ended if the answer is yes."""
        self.said = ""
        self.is_over = False
        self._connections: list[dict[str, Any]] = []
        self._before: dict[str, int] = {}
        self._at = 0.0

    def look(self, connections: list[dict[str, Any]], now: float) -> None:
        """Take what the daemon tells; `now` is in seconds, of a clock that never goes back."""
        span = now - self._at
        for each in connections:
            before = self._before.get(each["connection_id"])
            each["rate"] = None if before is None else (each["delivered"] - before) / span
        self._before = {each["connection_id"]: each["delivered"] for each in connections}
        self._at = now
        self._connections = connections
        if self.chosen not in self._before:
            self.chosen = None
        self.said = ""

    def sorted(self) -> list[dict[str, Any]]:
        """Return the connections in their order."""
        return sorted(self._connections, key=ORDERS[self.order])

    def press(self, client: Any, key: str) -> None:
        """Do what a key asks for; the empty string is none, and time for another look."""
        if self.asked is not None:
            self._answer(client, key)
        elif key == "q":
            self.is_over = True
        elif key in SORT_KEYS:
            self.order = SORT_KEYS[key]
        elif key in (UP, DOWN):
            self._move(-1 if key == UP else 1)
        elif key == "k":
            self.asked = self.chosen
        elif not key:
            self._look(client)

    def _look(self, client: Any) -> None:
        try:
            self.look(connected(client, self._log), time.monotonic())
        except (NotReachable, ConnectionLost, Unavailable) as error:
            self.said = f"{error} (waiting)"

    def _answer(self, client: Any, key: str) -> None:
        if not key:
            return  # the question stands
        asked, self.asked = self.asked or "", None
        if key != "y":
            return
        try:
            client.close_connection(asked)
        except (NotFound, NotReachable, ConnectionLost, Unavailable) as error:
            self.said = str(error)
        else:
            self._look(client)
            self.said = f"ended {asked}"

    def _move(self, step: int) -> None:
        names = [each["connection_id"] for each in self.sorted()]
        if not names:
            return
        at = names.index(self.chosen) + step if self.chosen in names else 0
        self.chosen = names[max(0, min(at, len(names) - 1))]

    def render(self, width: int, height: int) -> RenderableType:
        """Return the screen."""
        from rich.console import Group
        from rich.text import Text

        shown = self.sorted()
        room = max(1, height - CHROME)
        at = next((n for n, c in enumerate(shown) if c["connection_id"] == self.chosen), 0)
        first = max(0, at - room + 1)
        page = shown[first : first + room]
        more = len(shown) - len(page)
        head = f"{len(shown)} connected, by {self.order}{f', {more} more' if more else ''}"
        keys = "l lag  r rate  b bytes  d delivered  p pid  a age  ↑↓ choose  k end  q quit"
        foot = f"end {self.asked}? y or n" if self.asked else safe(self.said) or keys
        return Group(
            Text(head, style="bold"),
            Text(),
            connections_table(page, width, chosen=self.chosen, is_folded=False),
            Text(),
            Text(foot, style="reverse" if self.asked else "dim"),
        )


@contextmanager
def _keys() -> Iterator[None]:
    """Have the terminal give each key at once, and show none."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _pressed(seconds: float) -> list[str]:
    """Return the keys that are pressed within so many seconds."""
    if not sys.stdin.isatty():
        time.sleep(seconds)
        return []
    if not select.select([sys.stdin], [], [], seconds)[0]:
        return []
    # Past Python's own buffer, of which select knows nothing. Nothing at all: the terminal is gone.
    return KEY.findall(os.read(sys.stdin.fileno(), 64).decode(errors="replace")) or ["q"]
