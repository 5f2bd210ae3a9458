"""Known: what is stored already of that which is published again."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from rtevents.core.event import Entry, Event, Stored
from rtevents.errors import EventConflict
from rtevents.stores import sqlite_rows as rows
from rtevents.stores.dedup import Fresh, Kept, settle
from rtevents.stores.sqlite_fetch import fetch

KNOWN_BYTES = 8 * 1024**2
"""Bodies that are read at once to be compared with what is published again, in bytes."""


class Known:
    """
    What is stored under some ids, while a transaction adds to it.

    Attributes:
        accepted: What the transaction is to store, in the order of the seqs.
    """

    def __init__(self, db: sqlite3.Connection, event_ids: set[str]) -> None:
        self.accepted: dict[str, Fresh] = {}
        self._db = db
        self._seqs = {}
        near = []
        room = KNOWN_BYTES
        for event_id, (seq, size) in rows.find_all(db, event_ids).items():
            self._seqs[event_id] = seq
            room -= size
            if room > 0:
                near.append(seq)
        self._near = {entry.event_id: _kept(entry) for entry in fetch(db, near)}

    def settle(self, batch: Sequence[Event], last: int) -> list[Stored] | EventConflict:
        """Decide what becomes of one batch, `last` being the newest seq before the transaction."""
        try:
            answers, fresh = settle(batch, last + len(self.accepted), self._find)
        except EventConflict as conflict:
            return conflict
        self.accepted |= fresh
        return answers

    def _find(self, event_id: str) -> Kept | None:
        if kept := self.accepted.get(event_id) or self._near.get(event_id):
            return kept
        if event_id not in self._seqs:
            return None
        [entry] = fetch(self._db, [self._seqs[event_id]])
        return _kept(entry)


def _kept(entry: Entry) -> Kept:
    return entry.seq, None if entry.is_corrupt else entry.event
