"""How the daemon is, and whether an event goes all the way."""

from __future__ import annotations

import contextlib
import fcntl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtevents import __version__
from rtevents.cli.doctor.check import Check, ok, problem, warning
from rtevents.config.paths import Paths
from rtevents.errors import NotReachable, RteventsError

if TYPE_CHECKING:
    from rtevents.client.sync import Client

SOURCE = "doctor"
"""The source of the canary, by which it is told from what others publish."""

PATIENCE = 10.0
"""Seconds after which the canary is given up."""

AGAIN = "rtevents stop, then rtevents serve"

FUTURE = 60.0
"""Seconds by which an event may be ahead of the clock."""


def daemon(client: Client, paths: Paths) -> Iterator[Check]:
    """Tell whether it runs, and how it is."""
    try:
        status = client.status()
    except NotReachable:
        yield from _absent(paths)
        return
    except RteventsError as error:
        yield problem(
            "daemon", f"it does not answer: {error}", "rtevents stop, then rtevents serve"
        )
        return
    words = f"pid {status['pid']}, version {status['version']}, {status['socket']}"
    if status["version"] != __version__:
        yield warning("daemon", f"{words}; this is {__version__}", AGAIN)
    else:
        yield ok("daemon", words)
    if status["listen_error"]:
        yield warning("http", status["listen_error"], "set listen: in the configuration")
    health = status["health"]
    if health["status"] == "ok":
        yield ok("health", "ok")
    else:
        make = problem if health["status"] == "failed" else warning
        words = f"{health['status']}: {'; '.join(health['reasons'])}"
        yield make("health", words, "see what is above, and rtevents status")
    yield from _clock(client)


def _absent(paths: Paths) -> Iterator[Check]:
    """Tell what is left of a daemon that does not run, or does not answer."""
    pid, is_held = lock_owner(paths.lock)
    if is_held:
        yield problem("daemon", f"pid {pid} runs and does not answer", f"kill -CONT {pid}; {AGAIN}")
        return
    elsewhere, is_held = lock_owner(paths.state_lock)
    if is_held:
        # Its pid, its socket, and what to set.
        where, _, remedy = elsewhere.rpartition(": ")
        yield problem(
            "daemon", f"it holds the log's lock and listens elsewhere: pid {where}", remedy
        )
        return
    yield warning("daemon", "none runs", "rtevents serve")
    if pid:
        yield ok("lock", f"left by pid {pid}, which is gone: the next daemon takes it")
    if paths.socket.exists():
        yield ok("socket", f"{paths.socket} is stale: the next daemon replaces it")


def lock_owner(file: Path) -> tuple[str, bool]:
    """Return what a lock file says of who holds it, and whether the lock is held."""
    try:
        with file.open() as lock:
            owner = lock.read().strip()
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return owner, True
            return owner, False
    except OSError:
        return "", False


def _clock(client: Client) -> Iterator[Check]:
    """Tell whether the clock is behind what was stored."""
    try:
        newest = client.history(limit=1, order="desc").events
    except RteventsError as error:
        yield problem("history", f"it cannot be read: {error}", "see the daemon's log")
        return
    ahead = newest[0].event.timestamp - time.time() if newest else 0.0
    if ahead > FUTURE:
        yield warning(
            "clock",
            f"the newest event is {ahead:.0f} s ahead of the clock",
            "the clock was set back, or its publisher's is wrong: timedatectl",
        )
    else:
        yield ok("clock", time.strftime("%Y-%m-%d %H:%M:%S %z"))


def canary(client: Client, reader: Client) -> Check:
    """
    Publish an event and wait for it, as any subscriber would.

    Args:
        client: Publishes.
        reader: Reads.
    """
    from rtevents.client.frames import Control
    from rtevents.core.event import Entry, Event
    from rtevents.core.filter import Filter

    event = Event(
        type="SYSTEM_STATUS",
        data={"status": "ok", "event": "doctor.canary"},
        source=SOURCE,
    )
    is_ready, times = threading.Event(), dict[str, float]()

    def read() -> None:
        wanted = Filter(sources=frozenset({SOURCE}))
        # Who is not let in, or loses the connection, has received nothing: that is told below.
        with contextlib.suppress(RteventsError):
            for frame in reader.stream(wanted, since="new", reconnect=False, control=True):
                if isinstance(frame, Control) and frame.name == "hello":
                    is_ready.set()
                elif isinstance(frame, Entry) and frame.event.event_id == event.event_id:
                    times["received"] = time.perf_counter()
                    return

    thread = threading.Thread(target=read, name="rtevents-canary", daemon=True)
    thread.start()
    try:
        if not is_ready.wait(PATIENCE):
            return problem("canary", "a subscriber was not let in", "rtevents status")
        begun = time.perf_counter()
        stored = client.publish(event)
        answered = time.perf_counter()
        thread.join(PATIENCE)
    except RteventsError as error:
        return problem("canary", f"an event cannot be published: {error}", "rtevents status")
    if "received" not in times:
        return problem(
            "canary", f"event {stored.seq} was stored and not delivered", "rtevents status"
        )
    on_disk, arrived = (1000 * (each - begun) for each in (answered, times["received"]))
    return ok("canary", f"on disk after {on_disk:.1f} ms, received after {arrived:.1f} ms")


def told_projects(client: Client) -> list[dict[str, Any]] | None:
    """Return what the daemon watches; None when none runs."""
    try:
        return client.projects()
    except RteventsError:
        return None
