"""Which events were taken in from a recording: one extension."""

from __future__ import annotations

import msgspec

from rtevents.core.causes import extensions_of
from rtevents.core.event import MAX_EXTENSIONS, Entry, Event

IMPORTED = "imported"
"""The extension of an event that `rtevents import` took in: what it tells is long over."""

_IN_WIRE = f'"{IMPORTED}"'.encode()


def imported(event: Event) -> Event:
    """Return an event with the mark of one that was taken in, if there is room for it."""
    extensions = extensions_of(event)
    if IMPORTED not in extensions and len(extensions) >= MAX_EXTENSIONS:
        return event
    return msgspec.structs.replace(event, extensions={**extensions, IMPORTED: "true"})


def is_imported(entry: Entry) -> bool:
    """Tell whether an entry has that mark; most are told by their bytes alone."""
    return _IN_WIRE in entry.wire and IMPORTED in extensions_of(entry)
