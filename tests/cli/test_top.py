"""The live table of who is connected, and its keys."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from typing import Any

import pyte
import pytest
from rich.console import Console

from rtevents.cli.top import CHROME, DOWN, UP, Screen
from rtevents.errors import NotFound, NotReachable
from tests.conftest import PATIENCE, Daemon, wait_for


def connection(name: str, **fields: Any) -> dict[str, Any]:
    """Return a connection as the daemon tells it."""
    return {
        "connection_id": name, "kind": "sse", "principal": "owner", "pid": 1, "lag": 0,
        "connected_at": 100.0, "filter": {}, "delivered": 0, "bytes": 0,
    } | fields  # fmt: skip


class Daemons:
    """Stands for the client; what it is asked to end, it ends."""

    def __init__(self, *connections: dict[str, Any]) -> None:
        self.open = list(connections)
        self.failure: Exception | None = None

    def connections(self) -> list[dict[str, Any]]:
        """Return who is connected."""
        if self.failure:
            raise self.failure
        return [dict(each) for each in self.open]

    def close_connection(self, connection_id: str) -> None:
        """End one."""
        if not any(each["connection_id"] == connection_id for each in self.open):
            raise NotFound(f"no connection {connection_id!r}")
        self.open = [each for each in self.open if each["connection_id"] != connection_id]


def shown(screen: Screen, width: int = 120, height: int = 24) -> str:
    """Return what a terminal shows."""
    out = io.StringIO()
    Console(file=out, width=width).print(screen.render(width, height))
    return out.getvalue()


@pytest.fixture
def three() -> tuple[Screen, Daemons]:
    """Return a screen with three connections."""
    daemon = Daemons(
        connection("aaa", lag=5, bytes=10, pid=3, connected_at=3.0),
        connection("bbb", lag=9, bytes=30, pid=2, connected_at=2.0),
        connection("ccc", lag=1, bytes=20, pid=1, connected_at=1.0),
    )
    screen = Screen("lag")
    screen.look(daemon.connections(), 10.0)
    return screen, daemon


@pytest.mark.parametrize(
    ("key", "order"),
    [("l", "bac"), ("b", "bca"), ("p", "cba"), ("a", "cba")],
)
def test_a_key_sorts(three: tuple[Screen, Daemons], key: str, order: str) -> None:
    screen, daemon = three
    screen.press(daemon, key)

    assert [each["connection_id"][0] for each in screen.sorted()] == list(order)


def test_a_rate_is_known_from_the_second_look_on(three: tuple[Screen, Daemons]) -> None:
    screen, _ = three
    assert "/s" not in shown(screen)
    screen.look([connection("aaa", delivered=30), connection("ddd", delivered=99)], 14.0)

    assert [each["rate"] for each in screen.sorted()] == [7.5, None]
    assert "7.5/s" in shown(screen)


def test_the_chosen_one_is_ended_after_a_yes_and_no_other(three: tuple[Screen, Daemons]) -> None:
    screen, daemon = three
    screen.press(daemon, "k")
    assert screen.asked is None, "none is chosen"
    for key in (DOWN, DOWN, DOWN, DOWN, UP):
        screen.press(daemon, key)
    assert screen.chosen == "aaa"
    screen.press(daemon, "k")
    screen.press(daemon, "")
    assert "end aaa? y or n" in shown(screen)
    screen.press(daemon, "n")
    assert len(daemon.open) == 3
    screen.press(daemon, "k")
    screen.press(daemon, "y")

    assert [each["connection_id"] for each in daemon.open] == ["bbb", "ccc"]
    assert "ended aaa" in shown(screen)


def test_what_goes_wrong_is_said_and_it_goes_on(three: tuple[Screen, Daemons]) -> None:
    screen, daemon = three
    screen.press(daemon, DOWN)
    daemon.open = []
    screen.press(daemon, "k")
    screen.press(daemon, "y")
    assert "no connection 'bbb'" in shown(screen)
    daemon.failure = NotReachable("no daemon\x1b answers")
    screen.press(daemon, "")
    assert "no daemon\\x1b answers (waiting)" in shown(screen)
    daemon.failure = None
    screen.press(daemon, "")

    assert "nobody is connected" in shown(screen)
    screen.press(daemon, DOWN)
    assert screen.chosen is None
    screen.press(daemon, "q")
    assert screen.is_over


def test_the_chosen_one_is_on_the_screen_however_many_there_are() -> None:
    daemon = Daemons(*(connection(f"c{number:03}", pid=number + 1) for number in range(100)))
    screen = Screen("pid")
    screen.look(daemon.connections(), 10.0)
    for _ in range(50):
        screen.press(daemon, DOWN)

    lines = shown(screen, height=24).splitlines()
    assert len(lines) <= 24
    assert any("c049" in line for line in lines)
    assert f"100 connected, by pid, {100 - (24 - CHROME)} more" in lines[0]


def test_a_long_filter_leaves_room_for_the_question() -> None:
    wanted = {"type": ["COMMIT"], "project": ["p" * 48], "path": ["src/**"]}
    daemon = Daemons(*(connection(f"c{number:021}", filter=wanted) for number in range(100)))
    screen = Screen("lag")
    screen.look(daemon.connections(), 10.0)
    for _ in range(50):
        screen.press(daemon, DOWN)
    screen.press(daemon, "k")

    lines = shown(screen, width=80, height=24).splitlines()
    assert len(lines) <= 24
    assert lines[-1] == f"end {screen.chosen}? y or n"
    assert any(str(screen.chosen) in line for line in lines[:-1])
    assert "type=COMMIT" in lines[3]


class Terminal:
    """`rtevents` in a terminal of its own."""

    def __init__(self, daemon: Daemon, *words: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rtevents", *words],
            env=daemon.env | {"TERM": "xterm", "COLUMNS": "120", "LINES": "24"},
            stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True,
        )  # fmt: skip
        os.close(theirs)
        self.screen = pyte.Screen(120, 24)
        self._stream = pyte.ByteStream(self.screen)

    def press(self, key: str) -> None:
        """Press a key."""
        os.write(self._ours, key.encode())

    def until(self, condition: Callable[[str], object], what: str) -> str:
        """Return what is shown when a condition is true of it."""
        deadline = time.monotonic() + PATIENCE
        while not condition(text := "\n".join(self.screen.display)):
            assert time.monotonic() < deadline, f"{what}:\n{text}"
            if select.select([self._ours], [], [], 0.05)[0]:
                self._stream.feed(os.read(self._ours, 65536))
        return text

    def end(self) -> None:
        """Close it."""
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@pytest.fixture
def tail(stopped_daemon: Daemon) -> Iterator[subprocess.Popen[str]]:
    """Return somebody that follows a daemon."""
    stopped_daemon.start("--no-project", "--quiet")
    tail = stopped_daemon.popen("tail", "-t", "RISK_ALERT", "-o", "ndjson")
    with stopped_daemon.client() as client:
        wait_for(client.connections, "it follows")
    yield tail
    tail.kill()
    tail.communicate()


def test_who_is_connected_is_shown_live_and_can_be_ended(
    stopped_daemon: Daemon, tail: subprocess.Popen[str]
) -> None:
    terminal = Terminal(stopped_daemon, "top", "--interval", "0.1")
    try:
        terminal.until(lambda text: f" {tail.pid} " in text, "its pid is shown")
        terminal.until(lambda text: "type=RISK_ALERT" in text, "its filter is shown")
        stopped_daemon.run("publish", "risk", "full")
        terminal.until(lambda text: " 0.0/s" in text, "its rate is shown")
        terminal.press(DOWN)
        terminal.press("k")
        terminal.until(lambda text: "? y or n" in text, "it is asked")
        terminal.press("y")
        terminal.until(lambda text: "nobody is connected" in text, "it has gone")
        tail.communicate(timeout=PATIENCE)
        terminal.press("q")
        terminal.process.wait(PATIENCE)
    finally:
        terminal.end()

    assert tail.returncode == 7
    assert terminal.process.returncode == 0


def test_where_no_terminal_reads_it_prints_once(
    stopped_daemon: Daemon, tail: subprocess.Popen[str]
) -> None:
    done = stopped_daemon.run("top", "--sort", "sent")

    assert done.returncode == 0, done.stderr
    head, row = done.stdout.splitlines()
    assert head.split() == [
        "connection", "kind", "who", "pid", "since", "filter", "lag", "rate", "delivered", "sent",
    ]  # fmt: skip
    assert str(tail.pid) in row.split()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sort", "size"], "--sort: expected one of lag, rate, sent"),
        (["--interval", "nan"], "--interval: expected 0.1 to 86400 seconds, got nan"),
    ],
)
def test_what_cannot_be_is_refused(daemon: Daemon, words: list[str], said: str) -> None:
    done = daemon.run("top", *words)

    assert done.returncode == 2
    assert said in done.stderr
