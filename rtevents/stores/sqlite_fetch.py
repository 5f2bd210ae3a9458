"""The entries of known seqs, read and checked against their checksums."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from operator import attrgetter
from zlib import crc32

import msgspec

from rtevents.core.event import Entry, decode_entry
from rtevents.errors import BadInput
from rtevents.stores.damage import damaged_entry
from rtevents.stores.sqlite_json import as_list, numbers
from rtevents.stores.sqlite_rows import BLOCK, checksum, wire


def fetch(
    db: sqlite3.Connection, seqs: Iterable[int], found_damaged: Callable[[int], None] | None = None
) -> list[Entry]:
    """
    Return the entries with these seqs, oldest first; those that were trimmed since are left out.

    Args:
        found_damaged: Called with the seq of each that is damaged: it is told as ``corrupt``.
    """
    wanted = as_list(seqs)
    seqs_there, sums, bodies = db.execute(_FETCH, (wanted,)).fetchone()
    if seqs_there == "[]":
        return []
    lines = (bodies or b"").split(b"\n")
    try:
        there = numbers.decode(seqs_there)
        if len(lines) != len(there) or list(map(crc32, lines, there)) != _checksums(sums):
            raise BadInput("not what was written")
        wires = [b'{"seq":%d,%b' % (seq, line[1:]) for seq, line in zip(there, lines, strict=True)]
        entries = list(map(decode_entry, wires))
    except (BadInput, msgspec.DecodeError):
        entries = _fetch_each(db, wanted, found_damaged)
    # The order in which an aggregate sees its rows is not promised.
    return sorted(entries, key=_seq)


_FETCH = (
    # A body is one line of JSON, so a line's end separates them.
    "SELECT json_group_array(seq), CAST(group_concat(crc) AS BLOB), "
    "CAST(group_concat(body, char(10)) AS BLOB) FROM entry "
    " WHERE seq IN (SELECT value FROM json_each(?))"
)


def _fetch_each(
    db: sqlite3.Connection, wanted: str, found_damaged: Callable[[int], None] | None
) -> list[Entry]:
    """Return entries, each looked at for itself: some are damaged."""
    entries = []
    rows = db.execute(
        # Not as text: what is no UTF-8 could not be read at all.
        "SELECT seq, CAST(event_id AS BLOB), stored_at, CAST(body AS BLOB), "
        "CAST(crc AS INTEGER) FROM entry "
        "WHERE seq IN (SELECT value FROM json_each(?))",
        (wanted,),
    )
    for seq, event_id, stored_at, body, crc in rows.fetchall():
        try:
            if not isinstance(body, bytes) or checksum(seq, body) != crc:
                raise BadInput("not what was written")
            entries.append(decode_entry(wire(seq, body)))
        except BadInput:
            held = db.execute("SELECT key, value FROM holding WHERE block = ?", (seq // BLOCK,))
            entries.append(damaged_entry(seq, event_id, stored_at, body, held.fetchall()))
            if found_damaged is not None:
                found_damaged(seq)
    return entries


def _checksums(listed: bytes | None) -> list[int]:
    return numbers.decode(b"[%b]" % (listed or b""))


_seq = attrgetter("seq")
