"""The spool: events that wait on disk for the daemon to be back."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from rtevents.core.draft import check_event, decode_event
from rtevents.core.event import Event, EventType, Undated
from rtevents.core.keep import write_whole
from rtevents.core.payloads import PAYLOADS, EventTypes
from rtevents.errors import BadInput, EventRefused, NotAllowed, Throttled, Unavailable

if TYPE_CHECKING:
    from rtevents.client.sync import Client


UNDATED = ".undated"
"""Ends the name, before the suffix, of an event whose time is that of its making: nobody gave it,
so that it is no part of what makes it the same event (promise P3)."""


def keep(folder: Path, event: Event) -> None:
    """
    Keep an event on disk until it is delivered; it survives power loss.

    Raises:
        EventRefused: No daemon would ever store it.
    """
    _check(event)
    # mkdir gives the mode to the last folder alone, and a daemon wants its state folder closed.
    for each in (folder.parent, folder):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    # In the order of their making; the id may hold what a file name should not.
    name = f"{time.time_ns():020d}-{event.event_id.replace(':', '_')[:80]}"
    write_whole(folder / f"{name}{'' if event.is_dated else UNDATED}.json", event.body)


def keep_line(folder: Path, line: bytes) -> None:
    """
    Keep an event that was given as a line of JSON.

    Raises:
        BadInput, EventRefused: It is no event, or none that a daemon would ever store.
    """
    keep(folder, decode_event(line))


def read(file: Path) -> Event:
    """
    Return an event that was kept.

    Raises:
        BadInput, EventRefused: It is none.
        FileNotFoundError: Somebody has delivered it.
    """
    event = decode_event(file.read_bytes())
    if file.stem.endswith(UNDATED):
        return Undated(**msgspec.structs.asdict(event))
    return event


def count(folder: Path) -> tuple[int, int]:
    """Return how many events wait, and how many were refused and set aside."""
    return len(list(folder.glob("*.json"))), len(list(folder.glob("*.bad")))


def deliver(client: Client, folder: Path) -> dict[str | None, Unavailable]:
    """
    Publish what waits, in order; what the daemon refuses is set aside as ``.bad``.

    Returns:
        The projects whose events go on waiting, for their log takes none now, and why: what such a
        project tells next is to wait behind them.
    Raises:
        NotReachable, ConnectionLost, Throttled: Nobody's can be published now.
    """
    waiting: dict[str | None, Unavailable] = {}
    for file in sorted(folder.glob("*.json")):
        # The daemon looks here too, and may be quicker. What cannot be read keeps nothing back.
        with contextlib.suppress(OSError):
            _deliver_one(client, file, waiting)
    return waiting


def _deliver_one(client: Client, file: Path, waiting: dict[str | None, Unavailable]) -> None:
    project_id = None
    try:
        event = read(file)
        project_id = event.project_id
        if project_id in waiting:
            return
        # Once: what waits here is tried again by the daemon, and whoever asks has news to tell.
        client.publish(event, retry=False)
    except (BadInput, EventRefused):
        file.replace(file.with_suffix(".bad"))
    except NotAllowed:
        return  # somebody else's, kept under another grant
    except Throttled:
        raise
    except Unavailable as error:
        waiting[project_id] = error
    else:
        file.unlink()


def _check(event: Event) -> None:
    """Refuse what no daemon would store; of a type of the user's own, the daemon alone knows."""
    if event.type == EventType.HEALTH_CHECK:
        raise EventRefused("HEALTH_CHECK is the daemon's own heartbeat", field="type")
    if event.source.startswith("rtevents/"):
        raise EventRefused(
            "source: names that begin with rtevents/ are the daemon's own", field="source"
        )
    if event.event_id.startswith("git:"):
        raise EventRefused(
            "event_id: names that begin with git: are for the commits that the daemon finds itself",
            field="event_id",
        )
    if event.type in PAYLOADS:
        EventTypes().check(event)
    else:
        check_event(event)
