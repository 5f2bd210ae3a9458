"""What a database says of itself before it is opened: whether it is ours, and of which version."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from rtevents import __version__
from rtevents.errors import StoreDamaged, StoreError

APPLICATION_ID = int.from_bytes(b"rtev", "big")
"""What marks a database as ours, at byte 68 of its header (SQLite file format, section 1.3)."""

SCHEMA_VERSION = 3
"""The schema this code knows; `user_version` of the database."""

OLDEST_VERSION = 2
"""The oldest schema that can be brought up to this one; 1 was of before the first release."""


def check_header(path: Path) -> None:
    """
    Check the first 100 bytes of a database (SQLite file format, section 1.3).

    To be done before it is opened: SQLite takes one of less than a page for an empty one, and
    deletes the WAL of that, even for a connection that only reads. Not to be done by a process that
    has it open: what closes a file gives up the locks that SQLite holds on it.

    Raises:
        StoreDamaged: It is no database.
        StoreError: It is of another program, or of a version that is not known.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        header = file.read(100)
        size = file.seek(0, 2)
    if not header.startswith(b"SQLite format 3\0") or len(header) < 100:
        raise StoreDamaged(f"{path}: not a database")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise StoreError(
            f"{path}: a database, but not of rtevents; move it away to begin a new log"
        )
    # A page of 64 KiB is written as 1.
    if size < (int.from_bytes(header[16:18], "big") if header[16:18] != b"\0\1" else 65536):
        raise StoreDamaged(f"{path}: damaged ({size} bytes are left of it)")
    check_version(path, int.from_bytes(header[60:64], "big"))


def check_version(path: Path, version: int, db: sqlite3.Connection | None = None) -> None:
    """
    Check that a schema is known.

    Args:
        path: The database.
        version: Its `user_version`.
        db: A connection to it; None while it is not to be touched.
    Raises:
        StoreError: It is too old or too new; the text says which rtevents made it.
    """
    if version < OLDEST_VERSION:
        raise StoreError(
            f"{path}: made before the first release (schema {version}); "
            "move it away to begin a new log"
        )
    if version > SCHEMA_VERSION:
        maker = _maker(db) if db else _maker_of(path)
        raise StoreError(
            f"{path}: made by rtevents {maker} (schema {version}); this is {__version__}, "
            f"which knows schema {SCHEMA_VERSION}: upgrade rtevents, or move the file away"
        )


def _maker_of(path: Path) -> str:
    # Immutable: so nothing is left beside a file that is not for us to touch.
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as db:
        return _maker(db)


def _maker(db: sqlite3.Connection) -> str:
    """Return the version of the rtevents that wrote a database last."""
    with suppress(sqlite3.Error, TypeError):
        (version,) = db.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()
        return str(version)[:40]
    return "of another version"
