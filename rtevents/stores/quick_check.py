"""Whether a log is whole, looked at from outside, beside a daemon that may be using it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

VERSION = sqlite3.sqlite_version
"""The version of the SQLite library."""

NEEDED = (3, 35, 0)
"""The first version with all that is used."""


def is_new_enough() -> bool:
    """Tell whether the SQLite library can do what is needed."""
    return sqlite3.sqlite_version_info >= NEEDED


def quick_check(file: Path) -> str | None:
    """
    Return what is wrong with a database, in one line; None when nothing is.

    It reads the whole file, and writes nothing.
    """
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=10)) as db:
            (said,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return str(error)
    return None if said == "ok" else " ".join(str(said).split())
