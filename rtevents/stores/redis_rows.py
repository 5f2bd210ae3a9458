"""The rows of a log in Redis: as they come, and as entries."""

from __future__ import annotations

from rtevents.core.event import Entry, decode_entry
from rtevents.errors import BadInput
from rtevents.stores.damage import damaged_entry

Row = tuple[bytes, dict[bytes, bytes]]
"""An entry as Redis has it: its id, and its fields."""


def seq_of(row: Row) -> int:
    """Return the seq of a row."""
    return int(row[0].partition(b"-")[0])


def holes_of(text: bytes | None, first: int) -> tuple[tuple[int, int], ...]:
    """Read where seqs are missing; before the first that is kept nobody needs to know."""
    pairs = (pair.split(b"-") for pair in (text or b"").split())
    holes = [(int(after), int(before)) for after, before in pairs]
    return tuple(hole for hole in holes if hole[1] >= first)


def wire_of(seq: int, body: bytes) -> bytes:
    """Return the bytes of an entry in a stream."""
    return b'{"seq":%d,%b' % (seq, body[1:])


def entry_of(row: Row) -> Entry:
    """Return the entry that a row is; one that cannot be read is told as damaged."""
    seq, fields = seq_of(row), row[1]
    try:
        return decode_entry(wire_of(seq, fields[b"b"]))
    except (BadInput, KeyError):
        return damaged_entry(seq, None, None, fields.get(b"b"), ())
