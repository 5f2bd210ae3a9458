"""From the schemas of older releases to this one: forward only, in one transaction."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rtevents import __version__
from rtevents.errors import StoreError
from rtevents.stores.header import SCHEMA_VERSION
from rtevents.stores.sqlite_file import FLOOR_BYTES
from rtevents.stores.sqlite_rows import checksum

logger = logging.getLogger(__name__)

STEP = 5_000
"""Seqs that one statement changes, between two looks at the clock."""

TOLD_EVERY = 2.0
"""Seconds between two lines that tell how far it is."""

Tell = Callable[[str], None]


def upgrade(db: sqlite3.Connection, path: Path) -> None:
    """
    Bring a database up to the schema that this code knows; it is done whole or not at all.

    Args:
        db: The connection that writes.
        path: The database's file.
    Raises:
        StoreError: There is no room for it.
        sqlite3.Error: It cannot be written; it is what it was.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == SCHEMA_VERSION:
        _sign(db)
        return
    _check_room(path)
    logger.info("%s: upgrading it from schema %d to %d", path, version, SCHEMA_VERSION)
    db.execute("BEGIN IMMEDIATE")
    try:
        for number in range(version, SCHEMA_VERSION):
            _STEPS[number](db, lambda text: logger.info("%s: %s", path, text))
        _sign(db)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite may have done so itself
            db.execute("ROLLBACK")
        raise
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    logger.info("%s: it has schema %d now", path, SCHEMA_VERSION)


def _sign(db: sqlite3.Connection) -> None:
    """Leave the name of this version, for an older one to tell."""
    # Looked at first: what is not written needs no lock.
    if db.execute("SELECT value FROM meta WHERE name = 'version'").fetchone() != (__version__,):
        db.execute("REPLACE INTO meta VALUES ('version', ?)", (__version__,))


def _check_room(path: Path) -> None:
    """Make sure that there is room for the WAL, which grows as large as what is changed."""
    needed = path.stat().st_size + FLOOR_BYTES
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise StoreError(
            f"{path}: it is of an older release, and to upgrade it takes {needed // 1024**2 + 1} "
            f"MiB of free disk, of which there are {free // 1024**2}: make room"
        )


def _add_checksums(db: sqlite3.Connection, tell: Tell) -> None:
    """Give each entry the checksum of what is stored."""
    db.create_function("checksum", 2, checksum, deterministic=True)
    db.execute("ALTER TABLE entry ADD COLUMN crc INTEGER NOT NULL DEFAULT 0")
    first, last = db.execute("SELECT min(seq), max(seq) FROM entry").fetchone()
    told = time.monotonic()
    for low in range(first or 1, (last or 0) + 1, STEP):
        db.execute(
            "UPDATE entry SET crc = checksum(seq, body) WHERE seq BETWEEN ? AND ?",
            (low, low + STEP - 1),
        )
        if time.monotonic() >= told + TOLD_EVERY:
            told = time.monotonic()
            tell(f"entry {min(low + STEP - 1, last):,} of {first:,} to {last:,} is done")


_STEPS: dict[int, Callable[[sqlite3.Connection, Tell], None]] = {2: _add_checksums}
"""What leads from each schema to the next."""
