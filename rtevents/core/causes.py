"""Which event caused which: two extensions, and the tree that they make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from rtevents.core.event import Entry, Event

CORRELATION = "correlation_id"
"""The extension that all events of one story share: the id of the event that began it."""

CAUSATION = "causation_id"
"""The extension that names the event that caused this one."""


def caused_by(cause: Event | Entry | str) -> dict[str, str]:
    """
    Return the extensions of an event that another one caused.

    Args:
        cause: The other event; its id alone says what caused it, and not of which story it is.
    """
    if isinstance(cause, str):
        return {CAUSATION: cause}
    return {CORRELATION: story_of(cause), CAUSATION: cause.event_id}


def story_of(event: Event | Entry) -> str:
    """Return what the events of an event's story have in common: it may be the first of them."""
    return extensions_of(event).get(CORRELATION) or event.event_id


def extensions_of(event: Event | Entry) -> Mapping[str, str]:
    """Return the extensions of an event; none is no text by name."""
    found = (event.event if isinstance(event, Entry) else event).extensions
    return {} if found is msgspec.UNSET else found


class Node(msgspec.Struct, frozen=True):
    """
    An event in its place in the tree.

    Args:
        entry: The event.
        parent: The seq of the event that caused it; None where none of these did.
        depth: How many events it comes down from.
        seconds: How long after that one it happened; 0 where there is none.
    """

    entry: Entry
    parent: int | None
    depth: int
    seconds: float


def tree(entries: Iterable[Entry]) -> list[Node]:
    """
    Return events in the order of the tree that they make: each behind what caused it.

    What names no cause hangs from the event whose id is its ``correlation_id``. What names itself,
    or what comes down from it, is a beginning: no event is lost in a circle.
    """
    by_id = {entry.event_id: entry for entry in sorted(entries, key=lambda entry: entry.seq)}
    above = {entry.seq: _above(entry, by_id) for entry in by_id.values()}
    _open_circles(above)
    below: dict[int | None, list[Entry]] = {}
    for entry in by_id.values():
        parent = above[entry.seq]
        below.setdefault(parent.seq if parent else None, []).append(entry)
    nodes: list[Node] = []
    waiting = [(entry, 0) for entry in reversed(below.get(None, []))]
    while waiting:
        entry, depth = waiting.pop()
        parent = above[entry.seq]
        seconds = entry.timestamp - parent.timestamp if parent else 0.0
        nodes.append(Node(entry, parent.seq if parent else None, depth, seconds))
        waiting += [(each, depth + 1) for each in reversed(below.get(entry.seq, []))]
    return nodes


def _above(entry: Entry, by_id: Mapping[str, Entry]) -> Entry | None:
    """Return what caused an event, as far as it is among these."""
    extensions = extensions_of(entry)
    for name in (CAUSATION, CORRELATION):
        cause = by_id.get(extensions.get(name, ""))
        if cause is not None and cause.seq != entry.seq:
            return cause
    return None


def _open_circles(above: dict[int, Entry | None]) -> None:
    """Make the oldest event of each circle a beginning."""
    done: set[int] = set()
    for first in above:
        path: dict[int, None] = {}
        seq: int | None = first
        while seq is not None and seq not in done and seq not in path:
            path[seq] = None
            parent = above[seq]
            seq = parent.seq if parent else None
        if seq in path:
            passed = list(path)
            above[min(passed[passed.index(seq) :])] = None
        done |= path.keys()
