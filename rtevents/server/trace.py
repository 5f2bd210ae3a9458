"""Trace context: what a publisher is at, carried along by its events (W3C Trace Context)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from rtevents.core.event import MAX_EXTENSIONS, Event

TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
"""Version, trace, parent and flags; neither id may be zero (section 3.2.2)."""

MAX_TRACESTATE = 512
"""Longest `tracestate` that is carried along, in characters: what the standard asks for at least
(section 3.3.1.5)."""


def trace_of(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the trace context of a request; one that is none is left out, as the standard asks."""
    parent = headers.get("traceparent", "")
    if not TRACEPARENT.fullmatch(parent):
        return {}
    state = headers.get("tracestate", "")
    if 0 < len(state) <= MAX_TRACESTATE and state.isascii() and state.isprintable():
        return {"traceparent": parent, "tracestate": state}
    return {"traceparent": parent}


def traced(events: Sequence[Event], trace: Mapping[str, str]) -> Sequence[Event]:
    """Return the events, those that are of no trace as of this one."""
    return [_traced(event, trace) for event in events] if trace else events


def _traced(event: Event, trace: Mapping[str, str]) -> Event:
    own = {} if event.extensions is msgspec.UNSET else event.extensions
    if "traceparent" in own or len(own) + len(trace) > MAX_EXTENSIONS:
        return event
    return msgspec.structs.replace(event, extensions=own | {**trace})
