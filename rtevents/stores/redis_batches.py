"""What is to become of batches that are stored in Redis, by the ids that its log has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rtevents.core.event import Event, Stored, decode_entry
from rtevents.errors import BadInput, EventConflict
from rtevents.stores.dedup import Kept, settle
from rtevents.stores.redis_rows import wire_of


class Settled(NamedTuple):
    """
    What is to become of batches.

    Args:
        answers: One each; a new event's seq counts from 1.
        fresh: The events to store, by id, in the order of their seqs.
    """

    answers: list[list[Stored] | EventConflict]
    fresh: dict[str, Event]


def settle_all(batches: Sequence[Sequence[Event]], known: dict[str, Kept]) -> Settled:
    """Decide what becomes of batches, as far as the ids are known."""
    answers: list[list[Stored] | EventConflict] = []
    fresh: dict[str, Event] = {}
    here: dict[str, Kept] = dict(known)
    for batch in batches:
        try:
            stored, new = settle(batch, len(fresh), here.get)
        except EventConflict as conflict:
            answers.append(conflict)
            continue
        answers.append(stored)
        for name, (seq, event) in new.items():
            fresh[name] = event
            here[name] = (seq, event)
    return Settled(answers, fresh)


def placed(settled: Settled, base: int) -> list[list[Stored] | EventConflict]:
    """Return the answers with the seqs that the log has given."""
    fresh = settled.fresh

    def seated(answer: list[Stored] | EventConflict) -> list[Stored] | EventConflict:
        if not isinstance(answer, EventConflict):
            return [
                Stored(one.event_id, base + one.seq, one.duplicate)
                if one.event_id in fresh
                else one
                for one in answer
            ]
        if answer.event_id in fresh and answer.seq:
            return EventConflict(answer.event_id, base + answer.seq, index=answer.index)
        return answer

    return [seated(answer) for answer in settled.answers]


def known_of(said: Sequence[bytes]) -> dict[str, Kept]:
    """Read what a log says of ids that it has."""
    found: dict[str, Kept] = {}
    for name, seq, body in zip(said[::3], said[1::3], said[2::3], strict=True):
        try:
            event = decode_entry(wire_of(int(seq), body)).event
        except BadInput:
            event = None
        found[name.decode()] = (int(seq), event)
    return found
