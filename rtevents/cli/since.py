"""What people write for a place in the log on a command line: a slip is no event's id."""

from __future__ import annotations

import re

FORCED = "id:"
"""Begins what is to be taken for an event's id, whatever it looks like."""

UNITS = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "m": ("m", "min", "mins", "minute", "minutes"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "d": ("d", "day", "days"),
    "w": ("w", "week", "weeks"),
}
"""How people write a unit of a duration, and how it is to be written."""


def place(text: str | None) -> str | None:
    """
    Return a place in the log as the daemon reads it; None for none.

    The daemon takes for an event's id what is nothing else, so that a mistyped time would replay
    everything. Here it is one only if it looks like one: a UUID, or a letter in front and one of
    ``: _ .`` in it. ``id:`` in front of anything else makes it one.

    Raises:
        BookmarkError: It is no place.
    """
    from rtevents.core.since import parse_since
    from rtevents.errors import BookmarkError

    if text is None:
        return None
    name = text.removeprefix(FORCED)
    found = parse_since(name)
    if name != text and found.event_id is None:
        raise BookmarkError(f"not an event id: {name[:80]!r}: it reads as a time or a bookmark")
    if name == text and found.event_id is not None and not _LIKE_AN_ID.match(text):
        said = f"not a time, a bookmark or an event id: {text[:80]!r}"
        raise BookmarkError(f"{said} ({_hint(text)})", field="since")
    return name


def _hint(text: str) -> str:
    """Return what was meant, as it is to be written."""
    if match := _SLIP.match(text.lower()):
        for unit, words in UNITS.items():
            if match[2] in words:
                return f"write {match[1]}{unit}"
    from difflib import get_close_matches

    from rtevents.core.since import WORDS

    if near := get_close_matches(text.lower(), WORDS, n=1):
        return f"did you mean {near[0]}?"
    if text[:1] in "-0123456789":
        return "write 10m, 2026-01-31T12:00:00Z, or id: in front of an event's id"
    return f"write 10m for a time, {FORCED}{text[:40]} for an event's id"


_LIKE_AN_ID = re.compile(
    r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z|(?=[^:_.]*[:_.])[A-Za-z].*\Z"
)
_SLIP = re.compile(r"-?([0-9]+(?:\.[0-9]+)?)-?([a-z]+)\Z")
