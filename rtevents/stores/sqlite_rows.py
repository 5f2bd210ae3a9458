"""The rows of the log in SQL: put in, found by number, time, size or id, taken out."""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import accumulate, chain, repeat
from operator import attrgetter
from typing import NamedTuple
from zlib import crc32

import msgspec

from rtevents.core.event import Event
from rtevents.stores.sqlite_json import as_list, one_value

ROWS = 512
"""
Rows a statement inserts at most: before each the thread waits for the interpreter, which the event
loop holds. Six values a row stay below the 32,766 that SQLite takes by default.
"""

BLOCK = 32
"""
Consecutive seqs of which it is known together what they hold. A search looks at all of a block that
holds one entry it wants: 32 take about 30 us.
"""

KEYS = ("source", "type", "project_id")
"""What is known of a block; a search is led by the first of these that it asks for."""


class Extent(NamedTuple):
    """
    What is stored, as far as the next transaction has to know.

    Args:
        first: The first seq that is kept.
        last: The newest seq ever given.
        end: Sum of the wire bytes up to and including `last`.
        stored_at: When `last` was stored, in unix seconds.
        held: What the block of `last` holds, as key and value.
    """

    first: int
    last: int
    end: int
    stored_at: float
    held: frozenset[tuple[str, str]] = frozenset()


def load_extent(db: sqlite3.Connection) -> Extent:
    """Return what is stored, from the database."""
    (last,) = db.execute("SELECT value FROM meta WHERE name = 'trimmed'").fetchone() or (0,)
    last = int(last)
    newest = db.execute(
        "SELECT seq, bytes_before, length(body), stored_at FROM entry ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    if newest:
        last = newest[0]
    rows = db.execute("SELECT key, value FROM holding WHERE block = ?", (last // BLOCK,))
    held = frozenset(rows.fetchall())
    if not newest:
        return Extent(last + 1, last, 0, 0.0, held)
    (first,) = db.execute("SELECT min(seq) FROM entry").fetchone()
    _, before, size, stored_at = newest
    return Extent(first, last, before + wire_bytes(last, size), stored_at, held)


def wire_bytes(seq: int, body_bytes: int) -> int:
    """Return the length of an entry's wire form: its body and ``"seq":<seq>,``."""
    return body_bytes + 7 + len(str(seq))


def insert(db: sqlite3.Connection, events: Sequence[Event], extent: Extent, now: float) -> Extent:
    """
    Insert events behind `extent`, and return it with them.

    Raises:
        sqlite3.IntegrityError: An ``event_id`` is there already.
    """
    first, last, end, stored_at, held = extent
    stored_at = max(stored_at, now)
    bodies = [event.body for event in events]
    seqs = range(last + 1, last + 1 + len(events))
    ends = list(accumulate(map(wire_bytes, seqs, map(len, bodies)), initial=end))
    ids = [event.event_id for event in events]
    times = repeat(stored_at, len(events))
    sums = map(crc32, bodies, seqs)
    _insert(db, "entry", list(zip(seqs, ids, times, ends, bodies, sums)))  # noqa: B905 - one end more
    held, fresh = _holdings(events, last + 1, held)
    _insert(db, "holding", fresh)
    return Extent(first, last + len(events), ends[-1], stored_at, held)


def _holdings(
    events: Sequence[Event], first: int, held: frozenset[tuple[str, str]]
) -> tuple[frozenset[tuple[str, str]], list[tuple[str, str, int]]]:
    """
    Tell what the blocks of events with the seqs from `first` on hold.

    Args:
        held: What the block of the seq before `first` holds already.
    Returns:
        What the last block holds, and what is new: key, value and block.
    """
    names = list(map(_names, events))
    fresh: list[tuple[str, str, int]] = []
    at = 0
    while at < len(names):
        block, offset = divmod(first + at, BLOCK)
        if not offset:
            held = frozenset()
        end = at + BLOCK - offset
        for some in set(names[at:end]):
            pairs = {pair for pair in zip(KEYS, some, strict=True) if pair[1] is not None} - held
            if pairs:
                fresh += [(key, value, block) for key, value in pairs]
                held |= pairs
        at = end
    return held, fresh


def _insert(db: sqlite3.Connection, table: str, values: Sequence[Sequence[object]]) -> None:
    start = 0
    while start < len(values):
        # Powers of two: few statements for any number of rows, so that all stay prepared.
        count = min(ROWS, 1 << (len(values) - start).bit_length() - 1)
        sql = _insert_sql(table, len(values[0]), count)
        db.execute(sql, list(chain.from_iterable(values[start : start + count])))
        start += count


@cache
def _insert_sql(table: str, columns: int, count: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"INSERT INTO {table} VALUES {', '.join([row] * count)}"  # noqa: S608 - placeholders


def delete(db: sqlite3.Connection, keep: int) -> None:
    """Delete what is before the seq `keep`; no seq is ever given twice, be the newest among it."""
    db.execute("DELETE FROM entry WHERE seq < ?", (keep,))
    db.execute("DELETE FROM holding WHERE block < ?", (keep // BLOCK,))
    db.execute("REPLACE INTO meta VALUES ('trimmed', ?)", (str(keep - 1),))


def first_stored(db: sqlite3.Connection, extent: Extent, stored_at: float) -> int:
    """Return the first seq stored at or after a time; what follows the last when none was."""
    return _first(db, _STORED_AT, extent, stored_at)


def first_byte(db: sqlite3.Connection, extent: Extent, place: int) -> int:
    """Return the first seq with at least `place` bytes before it, counted as ``Extent.end`` is."""
    return _first(db, _BYTES_BEFORE, extent, place)


def after_bytes(db: sqlite3.Connection, extent: Extent, size_bytes: int) -> int:
    """Return the first seq with at least `size_bytes` of kept entries before it."""
    start = _value(db, _BYTES_BEFORE, extent.first)
    return _first(db, _BYTES_BEFORE, extent, start + size_bytes)


_STORED_AT = "SELECT stored_at FROM entry WHERE seq >= ? ORDER BY seq LIMIT 1"
_BYTES_BEFORE = "SELECT bytes_before FROM entry WHERE seq >= ? ORDER BY seq LIMIT 1"


def _first(db: sqlite3.Connection, sql: str, extent: Extent, wanted: float) -> int:
    """Search by halves: what `sql` selects never falls along seq."""
    seqs = range(extent.first, extent.last + 1)
    return extent.first + bisect_left(seqs, wanted, key=lambda seq: _value(db, sql, seq))


def _value(db: sqlite3.Connection, sql: str, seq: int) -> float:
    """Return the value of the first entry from `seq` on; infinity when there is none."""
    row = db.execute(sql, (seq,)).fetchone()
    return float("inf") if row is None else row[0]


def find(db: sqlite3.Connection, event_id: str) -> int | None:
    """Return the seq of the entry with this id; None when none is kept."""
    row = db.execute("SELECT seq FROM entry WHERE event_id = ?", (event_id,)).fetchone()
    return None if row is None else row[0]


def find_all(db: sqlite3.Connection, event_ids: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Return the seq and the length of the body of those ids that are kept."""
    rows = one_value(
        db,
        "SELECT CAST(json_group_array(json_array(event_id, seq, length(body))) AS BLOB) FROM entry "
        "WHERE event_id IN (SELECT value FROM json_each(?))",
        (as_list(event_ids),),
    )
    return {event_id: (seq, size) for event_id, seq, size in _sizes.decode(rows)}


def types(db: sqlite3.Connection) -> list[str]:
    """Return the types that blocks hold; as many steps in the index as there are."""
    return msgspec.json.decode(
        one_value(
            db,
            "WITH RECURSIVE kept (type) AS ("
            "SELECT min(value) FROM holding WHERE key = 'type' UNION ALL "
            "SELECT (SELECT min(value) FROM holding WHERE key = 'type' AND value > kept.type) "
            "FROM kept WHERE type IS NOT NULL) "
            "SELECT CAST(json_group_array(type) AS BLOB) FROM kept WHERE type IS NOT NULL",
        ),
        type=list[str],
    )


def checksum(seq: int, body: bytes) -> int:
    """Return the CRC-32 of a body, begun with its seq, so that it is right in its place alone."""
    return crc32(body, seq)


def wire(seq: int, body: bytes) -> bytes:
    """Return the wire form of an entry with this body."""
    return b'{"seq":%d,%b' % (seq, body[1:])


_names = attrgetter("source", "type", "project_id")
"""The values of an event for each of ``KEYS``."""

_sizes = msgspec.json.Decoder(list[tuple[str, int, int]])
