"""The spool: events that wait on disk for the daemon to be back."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rtevents.core.draft import decode_event
from rtevents.core.event import Event
from rtevents.core.keep import write_whole
from rtevents.errors import BadInput, EventRefused, NotAllowed

if TYPE_CHECKING:
    from rtevents.client.sync import Client


def keep(folder: Path, event: Event) -> None:
    """Keep an event on disk until it is delivered; it survives power loss."""
    # mkdir gives the mode to the last folder alone, and a daemon wants its state folder closed.
    for each in (folder.parent, folder):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    # In the order of their making; the id may hold what a file name should not.
    name = f"{time.time_ns():020d}-{event.event_id.replace(':', '_')[:80]}"
    write_whole(folder / f"{name}.json", event.body)


def keep_line(folder: Path, line: bytes) -> None:
    """
    Keep an event that was given as a line of JSON.

    Raises:
        BadInput, EventRefused: It is no event.
    """
    keep(folder, decode_event(line))


def deliver(client: Client, folder: Path) -> None:
    """Publish what waits, in order; what the daemon refuses is set aside as ``.bad``."""
    for file in sorted(folder.glob("*.json")):
        # The daemon looks here too, and may be quicker.
        with contextlib.suppress(FileNotFoundError):
            try:
                client.publish(decode_event(file.read_bytes()))
            except (BadInput, EventRefused):
                file.replace(file.with_suffix(".bad"))
            except NotAllowed:
                continue  # somebody else's, kept under another grant
            else:
                file.unlink()
