"""
The rows of the log in SQL: put in, searched, taken out.

Python's ``sqlite3`` gives the GIL away at each step of a statement and must win it back from the
event loop, which takes up to 5 ms when that is busy: 500 rows, step by step, took 1.8 s to insert
beside a busy loop and 0.09 s in statements of 50 (0.4 s and 0.02 s to read). So whatever touches
many rows here is one step: many rows an insert, one aggregate a search.
"""

from __future__ import annotations

import re
import sqlite3
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import accumulate, chain, repeat
from operator import attrgetter
from typing import NamedTuple
from zlib import crc32

import msgspec

from rtevents.core.event import Entry, Event, decode_entry, field_bytes
from rtevents.core.filter import Filter
from rtevents.core.store import PAGE_BYTES
from rtevents.errors import BadInput
from rtevents.stores.damage import damaged_entry
from rtevents.stores.sqlite_where import about, narrowing

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

BRANCHES = 64
"""Values of one key whose blocks are merged; with more, each entry is looked at."""

SPAN = 20_000
"""Seqs that one look covers when it has to check blocks or entries one by one: about 20 ms."""

CANDIDATES = 2_000
"""Most entries that one look checks."""


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
    rows = _one(
        db,
        "SELECT CAST(json_group_array(json_array(event_id, seq, length(body))) AS BLOB) FROM entry "
        "WHERE event_id IN (SELECT value FROM json_each(?))",
        (_list(event_ids),),
    )
    return {event_id: (seq, size) for event_id, seq, size in _sizes.decode(rows)}


def types(db: sqlite3.Connection) -> list[str]:
    """Return the types that blocks hold; as many steps in the index as there are."""
    return msgspec.json.decode(
        _one(
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


def fetch(
    db: sqlite3.Connection, seqs: Iterable[int], found_damaged: Callable[[int], None] | None = None
) -> list[Entry]:
    """
    Return the entries with these seqs, oldest first; those that were trimmed since are left out.

    Args:
        found_damaged: Called with the seq of each that is damaged: it is told as ``corrupt``.
    """
    wanted = _list(seqs)
    numbers, sums, bodies = db.execute(_FETCH, (wanted,)).fetchone()
    if numbers == "[]":
        return []
    lines = (bodies or b"").split(b"\n")
    try:
        there = _numbers.decode(numbers)
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


def wire(seq: int, body: bytes) -> bytes:
    """Return the wire form of an entry with this body."""
    return b'{"seq":%d,%b' % (seq, body[1:])


def _checksums(listed: bytes | None) -> list[int]:
    return _numbers.decode(b"[%b]" % (listed or b""))


class Search:
    """
    What a filter means in SQL: which blocks can hold what it wants.

    One key of the filter leads: its blocks are gone through in order, those of several values
    merged; the other keys say which of them need no look. Of what is left, those entries whose
    bodies have the text of what is wanted are shown to the filter.

    Args:
        found_damaged: Called with the seq of each entry that is damaged.
    """

    def __init__(self, wanted: Filter, found_damaged: Callable[[int], None] | None = None) -> None:
        self._wanted = wanted
        self._found_damaged = found_damaged
        self._bound: dict[str, object] = {"size": BLOCK}
        asked = zip(KEYS, (wanted.sources, wanted.types, wanted.projects), strict=True)
        given = {key: self._bind(key, values) for key, values in asked}
        names = {key: some for key, some in given.items() if 1 <= len(some) <= BRANCHES}
        self._condition = ""
        for condition, bound in (about(wanted.paths), narrowing(wanted.wheres)):
            self._bound |= bound
            self._condition += f" AND {condition}" if condition else ""
        self._entries = "".join(f" AND {_written(some)}" for some in names.values())
        self._lead = next(iter(names), None)
        leading = names.pop(self._lead) if self._lead else []
        self._is_bounded = not names
        """Whether a search for blocks looks at none in vain."""
        self._is_checked = bool(wanted.not_types or wanted.paths or wanted.wheres) or not self._lead
        """Whether most of what is listed may be nothing that is wanted."""
        checks = ["block >= (:low + 1) / :size", "block <= :high / :size"]
        checks += [_held_too(key, some) for key, some in names.items()]
        self._branches = [
            f"SELECT block FROM holding WHERE key = '{self._lead}' AND value = :{name} "  # noqa: S608
            f"AND {' AND '.join(checks)}"
            for name in leading
        ]

    def _bind(self, key: str, values: Iterable[str]) -> list[str]:
        """Return the parameters that stand for these values, and remember what they hold."""
        # A lone surrogate is in no entry, and cannot be bound.
        values = [value for value in values if not _SURROGATE.search(value)]
        bound = {f"{key}_{at}": value for at, value in enumerate(values)}
        self._bound |= bound
        self._bound |= {f"{name}_json": field_bytes(key, value) for name, value in bound.items()}
        return list(bound)

    def look(
        self, db: sqlite3.Connection, low: int, high: int, limit: int, *, newest_first: bool
    ) -> tuple[list[Entry], int]:
        """
        Look once, with bounded work, for entries after `low` and up to `high`.

        Args:
            limit: Entries to return, at least 1.
        Returns:
            Entries in the order asked for, and the seq up to which (newest first: down to which,
            itself not looked at) the look went.
        """

        def end_at(seq: int) -> tuple[int, int]:
            """Return the bounds of a look that goes no further than this seq."""
            return (max(low, seq - 1), high) if newest_first else (low, min(high, seq))

        if self._lead:
            if not self._is_bounded:
                low, high = end_at(high - SPAN + 1 if newest_first else low + SPAN)
            count = min(limit, CANDIDATES // BLOCK, limit // BLOCK + 16)
            blocks = self._blocks(db, low, high, count, newest_first=newest_first)
            if len(blocks) == count:
                low, high = end_at(blocks[-1] * BLOCK + (0 if newest_first else BLOCK - 1))
            listed = self._list_in(db, blocks, low, high, newest_first=newest_first)
        else:
            most = limit if self._wanted.is_everything else CANDIDATES
            if self._condition:
                low, high = end_at(high - SPAN + 1 if newest_first else low + SPAN)
            listed = self._list(db, low, high, most, newest_first=newest_first)
            if len(listed) == most:
                low, high = end_at(listed[-1][0])
        # Where the text is, what is wanted nearly always is.
        seqs = _fitting(listed if self._is_checked else listed[:limit])
        if len(seqs) < len(listed):
            low, high = end_at(seqs[-1])
        entries = fetch(db, seqs, self._found_damaged)[:: -1 if newest_first else 1]
        if not self._wanted.is_everything:
            entries = list(filter(self._wanted.matches, entries))
        if len(entries) >= limit:
            del entries[limit:]
            low, high = end_at(entries[-1].seq)
        return entries, low if newest_first else high

    def _blocks(
        self, db: sqlite3.Connection, low: int, high: int, count: int, *, newest_first: bool
    ) -> list[int]:
        """Return the first blocks that can hold something."""
        order = "DESC" if newest_first else "ASC"
        rows = f"{' UNION '.join(self._branches)} ORDER BY block {order} LIMIT :limit"
        # All SQL is written in this class: what a filter holds is bound.
        sql = f"SELECT json_group_array(block) FROM ({rows})"  # noqa: S608
        found = _one(db, sql, {**self._bound, "low": low, "high": high, "limit": count})
        return sorted(_numbers.decode(found), reverse=newest_first)

    def _list_in(
        self,
        db: sqlite3.Connection,
        blocks: Sequence[int],
        low: int,
        high: int,
        *,
        newest_first: bool,
    ) -> list[tuple[int, int]]:
        """Return seq and length of what these blocks may have after `low` and up to `high`."""
        rows = (
            "SELECT seq, length(body) AS size FROM json_each(:blocks) CROSS JOIN entry "  # noqa: S608
            "WHERE seq >= max(value * :size, :low + 1) "
            f"AND seq <= min(value * :size + :size - 1, :high){self._entries}{self._condition}"
        )
        bounds = {"blocks": _list(blocks), "low": low, "high": high}
        return _listed(db, rows, {**self._bound, **bounds}, newest_first=newest_first)

    def _list(
        self, db: sqlite3.Connection, low: int, high: int, count: int, *, newest_first: bool
    ) -> list[tuple[int, int]]:
        """Return seq and length of the first entries after `low` and up to `high`."""
        rows = (
            "SELECT seq, length(body) AS size FROM entry WHERE seq > :low AND seq <= :high"  # noqa: S608
            f"{self._condition} ORDER BY seq {'DESC' if newest_first else 'ASC'} LIMIT :limit"
        )
        bounds = {"low": low, "high": high, "limit": count}
        return _listed(db, rows, {**self._bound, **bounds}, newest_first=newest_first)


def _written(names: Sequence[str]) -> str:
    """Return the condition that a body has the text of one of these fields, be it not as such."""
    return f"({' OR '.join(f'instr(body, :{name}_json)' for name in names)})"


def _held_too(key: str, names: Sequence[str]) -> str:
    """Return the condition that a block holds one of these values as well."""
    return (
        "EXISTS (SELECT 1 FROM holding AS other WHERE "  # noqa: S608 - names of parameters
        f"other.key = '{key}' AND other.value IN ({', '.join(f':{name}' for name in names)}) "
        "AND other.block = holding.block)"
    )


def _listed(
    db: sqlite3.Connection, rows: str, parameters: Mapping[str, object], *, newest_first: bool
) -> list[tuple[int, int]]:
    sql = f"SELECT json_group_array(json_array(seq, size)) FROM ({rows})"  # noqa: S608 - from above
    # The order in which an aggregate sees its rows is not promised.
    return sorted(_pairs.decode(_one(db, sql, parameters)), reverse=newest_first)


def _fitting(listed: Iterable[tuple[int, int]]) -> list[int]:
    """Return the first seqs whose bodies make a page."""
    seqs: list[int] = []
    room = PAGE_BYTES
    for seq, size in listed:
        if room <= 0:
            break
        seqs.append(seq)
        room -= size
    return seqs


def _one(
    db: sqlite3.Connection, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
) -> bytes:
    """Return the only value of the only row."""
    (value,) = db.execute(sql, parameters).fetchone()
    return value  # type: ignore[no-any-return]  # sqlite3 types a row as Any


def _list(values: Iterable[object]) -> str:
    return msgspec.json.encode(list(values)).decode()


_names = attrgetter("source", "type", "project_id")
"""The values of an event for each of ``KEYS``."""

_seq = attrgetter("seq")

_SURROGATE = re.compile("[\ud800-\udfff]")

_sizes = msgspec.json.Decoder(list[tuple[str, int, int]])
_pairs = msgspec.json.Decoder(list[tuple[int, int]])
_numbers = msgspec.json.Decoder(list[int])
