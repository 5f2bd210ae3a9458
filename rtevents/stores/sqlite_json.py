"""
Many values as one, to SQLite and from it.

Python's ``sqlite3`` gives the GIL away at each step of a statement and must win it back from the
event loop, which takes up to 5 ms when that is busy: 500 rows, step by step, took 1.8 s to insert
beside a busy loop and 0.09 s in statements of 50 (0.4 s and 0.02 s to read). So whatever touches
many rows of the log is one step: many rows an insert, one aggregate a search.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import msgspec

numbers = msgspec.json.Decoder(list[int])
"""Reads a list of numbers."""


def one_value(
    db: sqlite3.Connection, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
) -> bytes:
    """Return the only value of the only row."""
    (value,) = db.execute(sql, parameters).fetchone()
    return value  # type: ignore[no-any-return]  # sqlite3 types a row as Any


def as_list(values: Iterable[object]) -> str:
    """Return values as one, for ``json_each``."""
    return msgspec.json.encode(list(values)).decode()
