"""Whether a log is whole, looked at from outside."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from rtevents.errors import StoreDamaged, StoreError
from rtevents.stores.look import look
from rtevents.stores.sqlite_file import in_words, is_damage

VERSION = sqlite3.sqlite_version
"""The version of the SQLite library."""

NEEDED = (3, 35, 0)
"""The first version with all that is used."""


def is_new_enough() -> bool:
    """Tell whether the SQLite library can do what is needed."""
    return sqlite3.sqlite_version_info >= NEEDED


def quick_check(file: Path) -> None:
    """
    Read a log whole, and change nothing of it.

    Raises:
        StoreDamaged: It is not what was written; the text is one line.
        StoreError: It cannot be read, or not by this rtevents.
    """
    try:
        with look(file) as db:
            wrong = find_wrong(db)
    except (sqlite3.Error, OSError) as error:
        kind = StoreDamaged if is_damage(error) else StoreError
        raise kind(f"{file}: {in_words(error)}") from error
    if wrong:
        raise StoreDamaged(f"{file}: damaged ({wrong})")


def find_wrong(db: sqlite3.Connection) -> str | None:
    """Return the first thing that is wrong with a database, in one line; None when nothing is."""
    (said,) = db.execute("PRAGMA quick_check(1)").fetchone()
    return None if said == "ok" else " ".join(str(said).split())
