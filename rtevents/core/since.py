"""Since: what people write for a place in the log, and what it means."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime

import msgspec

from rtevents.core.event import Bookmark
from rtevents.core.names import is_event_id
from rtevents.errors import BookmarkError, FilterError

WORDS = ("all", "new", "last", "last-per-type")
"""The places that have a name (DESIGN section 6)."""

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
"""Seconds in each unit of a duration."""


class Since(msgspec.Struct, frozen=True):
    """
    A place in the log as somebody wrote it; exactly one of the fields is set.

    Args:
        word: One of ``WORDS``.
        timestamp: Unix seconds: the first entry at or after it.
        bookmark: The entry after it.
        event_id: The entry after that event.
    """

    word: str | None = None
    timestamp: float | None = None
    bookmark: Bookmark | None = None
    event_id: str | None = None


def parse_since(text: str, *, now: Callable[[], float] = time.time) -> Since:
    """
    Read a word, a bookmark, a duration, unix seconds, RFC 3339, or an event id: in this order.

    A duration is a number with a unit, as in ``10m`` or ``1h30m``, and counts back from now. A time
    without an offset is local.

    Raises:
        BookmarkError: It is none of them.
    """
    if text in WORDS:
        return Since(word=text)
    try:
        return Since(bookmark=Bookmark.parse(text))
    except BookmarkError:
        pass
    if (timestamp := _timestamp(text, now)) is not None:
        return Since(timestamp=timestamp)
    if is_event_id(text):
        return Since(event_id=text)
    raise BookmarkError(f"not a time, a bookmark or an event id: {text[:80]!r}", field="since")


def parse_time(text: str, *, now: Callable[[], float] = time.time) -> float:
    """
    Read a duration back from now, unix seconds, or RFC 3339.

    Returns:
        Unix seconds.
    Raises:
        FilterError: It is none of them.
    """
    if (timestamp := _timestamp(text, now)) is None:
        raise FilterError(f"not a time: {text[:80]!r}; write 10m, 1763863200 or RFC 3339")
    return timestamp


def parse_duration(text: str) -> float | None:
    """Return the seconds of a duration such as ``10m`` or ``1h30m``; None when it is none."""
    if not _DURATION.match(text):
        return None
    return sum(float(number) * UNITS[unit] for number, unit in _STEP.findall(text))


_STEP = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d|w)")
_DURATION = re.compile(rf"(?:{_STEP.pattern})+\Z")
_NUMBER = re.compile(r"[0-9]{1,11}(?:\.[0-9]{1,9})?\Z")


def _timestamp(text: str, now: Callable[[], float]) -> float | None:
    if (seconds := parse_duration(text)) is not None:
        return now() - seconds
    if _NUMBER.match(text):
        return float(text)
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None
