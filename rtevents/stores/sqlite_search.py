"""What a filter means in SQL, and the looks that find what it wants."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from rtevents.core.event import Entry, field_bytes
from rtevents.core.filter import Filter
from rtevents.core.names import is_text
from rtevents.core.store import PAGE_BYTES
from rtevents.stores.sqlite_fetch import fetch
from rtevents.stores.sqlite_json import as_list, numbers, one_value
from rtevents.stores.sqlite_rows import BLOCK, KEYS
from rtevents.stores.sqlite_where import about, narrowing

BRANCHES = 64
"""Values of one key whose blocks are merged; with more, each entry is looked at."""

SPAN = 20_000
"""Seqs that one look covers when it has to check blocks or entries one by one: about 20 ms."""

CANDIDATES = 2_000
"""Most entries that one look checks."""


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
        values = [value for value in values if is_text(value)]
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
        found = one_value(db, sql, {**self._bound, "low": low, "high": high, "limit": count})
        return sorted(numbers.decode(found), reverse=newest_first)

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
        bounds = {"blocks": as_list(blocks), "low": low, "high": high}
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
    return sorted(_pairs.decode(one_value(db, sql, parameters)), reverse=newest_first)


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


_pairs = msgspec.json.Decoder(list[tuple[int, int]])
