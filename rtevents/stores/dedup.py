"""What becomes of a batch when some of its ids are known (promise P3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rtevents.core.event import Entry, Event, Stored, is_same_body
from rtevents.errors import EventConflict

Fresh = tuple[int, Event]
"""The seq that an event is to get, and the event."""

Kept = tuple[int, Event | None]
"""
The seq of an event that is stored, and the event as its wire form has it; None where that is
damaged, and nobody can tell any more whether another is the same.
"""


def settle(
    batch: Sequence[Event], last: int, find: Callable[[str], Kept | None]
) -> tuple[list[Stored], dict[str, Fresh]]:
    """
    Decide what becomes of one batch; store nothing yet.

    Args:
        last: The newest seq given so far.
        find: Returns what is stored under an ``event_id``; None when nothing is.
    Returns:
        The answer to each event, and those to store by their id, in the order of their seqs.
    Raises:
        EventConflict: An id stands for another body; its ``seq`` is 0 when that one is in the
            same batch, for then neither is stored.
    """
    answers: list[Stored] = []
    fresh: dict[str, Fresh] = {}
    for index, event in enumerate(batch):
        kept = fresh.get(event.event_id) or find(event.event_id)
        if kept is None:
            seq = last + len(fresh) + 1
            fresh[event.event_id] = (seq, event)
            answers.append(Stored(event.event_id, seq, duplicate=False))
        elif kept[1] is None or is_same_body(event, as_stored(kept[1])):
            answers.append(Stored(event.event_id, kept[0], duplicate=True))
        else:
            seq = 0 if event.event_id in fresh else kept[0]
            raise EventConflict(event.event_id, seq, index=index)
    return answers, fresh


def as_stored(event: Event) -> Event:
    """Return an event as its wire form gives it back: a tuple comes back as a list."""
    return Entry.of(event, 0).event
