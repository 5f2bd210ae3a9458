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
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import accumulate, chain, repeat
from typing import NamedTuple

import msgspec

from rtevents.core.event import Entry, Event, columns, decode_entry
from rtevents.core.filter import Filter
from rtevents.core.store import PAGE_BYTES
from rtevents.errors import BadInput, StoreError

ROWS = 512
"""
Rows a statement inserts at most: before each the thread waits for the interpreter, which the event
loop holds. Ten values a row stay below the 32,766 that SQLite takes by default.
"""

BRANCHES = 64
"""Values of one key that are merged from its index; with more, each entry is looked at."""

SPAN = 20_000
"""Seqs that one look covers when it has to check entries one by one: about 20 ms."""

CANDIDATES = 2_000
"""Entries whose path one look matches in Python, and the most that it returns."""

MAX_PATH = 4096
"""Longest path with a column of its own, in characters: PATH_MAX of Linux."""


class Extent(NamedTuple):
    """
    What is stored, in four numbers.

    Args:
        first: The first seq that is kept.
        last: The newest seq ever given.
        end: Sum of the wire bytes up to and including `last`.
        stored_at: When `last` was stored, in unix seconds.
    """

    first: int
    last: int
    end: int
    stored_at: float


def load_extent(db: sqlite3.Connection) -> Extent:
    """Return what is stored, from the database."""
    (last,) = db.execute("SELECT value FROM meta WHERE name = 'trimmed'").fetchone() or (0,)
    last = int(last)
    newest = db.execute(
        "SELECT seq, bytes_before, length(body), stored_at FROM entry ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    if newest is None:
        return Extent(last + 1, last, 0, 0.0)
    (first,) = db.execute("SELECT min(seq) FROM entry").fetchone()
    seq, before, size, stored_at = newest
    return Extent(first, max(seq, last), before + wire_bytes(seq, size), stored_at)


def wire_bytes(seq: int, body_bytes: int) -> int:
    """Return the length of an entry's wire form: its body and ``"seq":<seq>,``."""
    return body_bytes + 7 + len(str(seq))


def insert(db: sqlite3.Connection, events: Sequence[Event], extent: Extent, now: float) -> Extent:
    """
    Insert events behind `extent`, and return it with them.

    Raises:
        sqlite3.IntegrityError: An ``event_id`` is there already.
    """
    first, last, end, stored_at = extent
    stored_at = max(stored_at, now)
    start = 0
    while start < len(events):
        # Powers of two: few statements for any number of events, so that all stay prepared.
        rows = min(ROWS, 1 << (len(events) - start).bit_length() - 1)
        some = events[start : start + rows]
        seqs = range(last + 1, last + 1 + rows)
        paths = [path if len(path := event.path) <= MAX_PATH else None for event in some]
        bodies = [event.body for event in some]
        sizes = map(wire_bytes, seqs, map(len, bodies))
        ends = list(accumulate(sizes, initial=end))
        values = zip(
            seqs,
            *columns(some),
            paths,
            [float(event.timestamp) for event in some],
            repeat(stored_at, rows),
            ends[:-1],
            bodies,
            strict=True,
        )
        db.execute(_insert_sql(rows), list(chain.from_iterable(values)))
        start += rows
        last, end = seqs[-1], ends[-1]
    return Extent(first, last, end, stored_at)


@cache
def _insert_sql(rows: int) -> str:
    row = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    return f"INSERT INTO entry VALUES {', '.join([row] * rows)}"  # noqa: S608 - only placeholders


def delete(db: sqlite3.Connection, keep: int) -> None:
    """Delete what is before the seq `keep`; no seq is ever given twice, be the newest among it."""
    db.execute("DELETE FROM entry WHERE seq < ?", (keep,))
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
        "SELECT json_group_array(json_array(event_id, seq, length(body))) FROM entry "
        "WHERE event_id IN (SELECT value FROM json_each(?))",
        (_list(event_ids),),
    )
    return {event_id: (seq, size) for event_id, seq, size in _sizes.decode(rows)}


def types(db: sqlite3.Connection) -> list[str]:
    """Return the types of which something is kept; as many steps in the index as there are."""
    return msgspec.json.decode(
        _one(
            db,
            "WITH RECURSIVE kept (type) AS (SELECT min(type) FROM entry UNION ALL "
            "SELECT (SELECT min(type) FROM entry WHERE type > kept.type) FROM kept "
            "WHERE type IS NOT NULL) "
            "SELECT json_group_array(type) FROM kept WHERE type IS NOT NULL",
        ),
        type=list[str],
    )


def fetch(db: sqlite3.Connection, seqs: Iterable[int]) -> list[Entry]:
    """
    Return the entries with these seqs, oldest first; those that were trimmed since are left out.

    Raises:
        StoreError: One of them is damaged.
    """
    lines = _one(
        db,
        # A body is one line of JSON, so a line's end separates them.
        "SELECT CAST(group_concat(wire, char(10)) AS BLOB) FROM ("
        "SELECT '{\"seq\":' || seq || ',' || substr(CAST(body AS TEXT), 2) AS wire FROM entry "
        "WHERE seq IN (SELECT value FROM json_each(?)))",
        (_list(seqs),),
    )
    try:
        entries = [decode_entry(line) for line in lines.split(b"\n")] if lines else []
    except BadInput as error:
        raise StoreError(f"an entry is damaged: {error}") from error
    # The order in which an aggregate sees its rows is not promised.
    return sorted(entries, key=lambda entry: entry.seq)


class Search:
    """
    What a filter means in SQL: which index leads, and what is checked entry by entry.

    One key of the filter leads: its index gives the entries in order, those of several values
    merged. The source leads before the type, the type before the project, as the rarer goes first.
    """

    def __init__(self, wanted: Filter) -> None:
        self._wanted = wanted
        self._paths = Filter(paths=wanted.paths)
        self._bound: dict[str, object] = {}
        keys = {"source": wanted.sources, "type": wanted.types, "project_id": wanted.projects}
        names = {key: self._bind(key, values) for key, values in keys.items() if values}
        lead = next((key for key, some in names.items() if 1 <= len(some) <= BRANCHES), None)
        leading = names.pop(lead) if lead else []
        checks = [f"{key} IN ({', '.join(some)})" for key, some in names.items()]
        if wanted.not_types:
            checks.append(f"type NOT IN ({', '.join(self._bind('not_type', wanted.not_types))})")
        self._is_indexed = not checks
        path = "path" if wanted.paths else "NULL AS path"
        checks += ["seq > :low", "seq <= :high"]
        if lead:
            self._branches = [
                _branch(path, f"INDEXED BY entry_{lead}", [f"{lead} = {name}", *checks])
                for name in leading
            ]
        else:
            self._branches = [_branch(path, "NOT INDEXED", checks)]

    def _bind(self, key: str, values: Iterable[str]) -> list[str]:
        """Return the parameters that stand for these values, and remember what they hold."""
        # A lone surrogate is in no entry, and cannot be bound.
        values = [value for value in values if not _SURROGATE.search(value)]
        bound = {f"{key}_{at}": value for at, value in enumerate(values)}
        self._bound |= bound
        return [f":{name}" for name in bound]

    def sql(self, *, newest_first: bool) -> str:
        """Return the statement that lists the candidates between two seqs."""
        order = "DESC" if newest_first else "ASC"
        rows = f"{' UNION ALL '.join(self._branches)} ORDER BY seq {order} LIMIT :limit"
        # All of it is written in this class: what a filter holds is bound.
        return f"SELECT json_group_array(json_array(seq, size, path)) FROM ({rows})"  # noqa: S608

    def parameters(self, low: int, high: int, limit: int) -> dict[str, object]:
        """Return what the statement's parameters stand for."""
        return {**self._bound, "low": low, "high": high, "limit": limit}

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
        if not self._is_indexed:
            low, high = (
                (max(low, high - SPAN), high) if newest_first else (low, min(high, low + SPAN))
            )
        most = CANDIDATES if self._wanted.paths else min(limit, CANDIDATES)
        candidates = self._candidates(db, low, high, most, newest_first)
        seqs, edge = self._pick(candidates, limit)
        if edge is None:
            whole = low if newest_first else high
            edge = candidates[-1][0] - newest_first if len(candidates) == most else whole
        elif newest_first:
            edge -= 1
        entries = fetch(db, seqs)
        if self._wanted.paths:
            entries = [entry for entry in entries if self._paths.matches(entry)]
        return entries[::-1] if newest_first else entries, edge

    def _candidates(
        self, db: sqlite3.Connection, low: int, high: int, most: int, newest_first: bool
    ) -> list[tuple[int, int, str | None]]:
        sql = self.sql(newest_first=newest_first)
        rows = _candidates.decode(_one(db, sql, self.parameters(low, high, most)))
        return sorted(rows, key=lambda row: row[0], reverse=newest_first)

    def _pick(
        self, candidates: Iterable[tuple[int, int, str | None]], limit: int
    ) -> tuple[list[int], int | None]:
        """Return the seqs to fetch, and where picking ended before the candidates did."""
        seqs: list[int] = []
        room = PAGE_BYTES
        for seq, size, path in candidates:
            # Without a path here, it is the body's to tell, or nobody asked.
            if path is not None and not self._paths.matches(_with_path(path)):
                continue
            seqs.append(seq)
            room -= size
            if len(seqs) == limit or room <= 0:
                return seqs, seq
        return seqs, None


def _branch(path: str, index: str, checks: Sequence[str]) -> str:
    rows = f"entry {index} WHERE {' AND '.join(checks)}"
    return f"SELECT seq, length(body) AS size, {path} FROM {rows}"  # noqa: S608 - as above


def _with_path(path: str) -> Entry:
    """Return as much of an entry as a filter for paths looks at."""
    return Entry(0, "", "", None, "", path, 0.0, b"")


def _one(
    db: sqlite3.Connection, sql: str, parameters: Sequence[object] | dict[str, object] = ()
) -> bytes:
    """Return the only value of the only row."""
    (value,) = db.execute(sql, parameters).fetchone()
    return value  # type: ignore[no-any-return]  # sqlite3 types a row as Any


def _list(values: Iterable[object]) -> str:
    return msgspec.json.encode(list(values)).decode()


_SURROGATE = re.compile("[\ud800-\udfff]")

_sizes = msgspec.json.Decoder(list[tuple[str, int, int]])
_candidates = msgspec.json.Decoder(list[tuple[int, int, str | None]])
