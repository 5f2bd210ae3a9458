"""rtevents stop: end the daemon."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from pathlib import Path

import typer

from rtevents.errors import NotReachable, RteventsError

app = typer.Typer(rich_markup_mode=None, add_completion=False)

STOP_SECONDS = 15.0
"""How long a daemon may take to end, in seconds."""


@app.command()
def stop() -> None:
    """
    End the daemon; what it has accepted is stored before.

    \b
    rtevents stop
    """
    from rtevents.config.paths import find_paths

    lock = find_paths().lock
    pid = _holder(lock)
    if pid is None:
        raise NotReachable("no daemon runs")
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _holder(lock) == pid:
        if time.monotonic() > deadline:
            raise RteventsError(f"pid {pid} has not ended within {STOP_SECONDS:g} s")
        time.sleep(0.02)
    print(f"the daemon has ended, pid {pid}")


def _holder(lock: Path) -> int | None:
    """Return the pid of who holds the lock; None when nobody does: a pid alone proves nothing."""
    try:
        with lock.open() as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = opened.read().strip()
                return int(text) if text.isdigit() else None
    except FileNotFoundError:
        pass
    return None
