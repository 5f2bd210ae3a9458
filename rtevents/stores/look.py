"""A log looked at from outside, beside a daemon that may be using it: nothing of it is changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from rtevents.errors import StoreError
from rtevents.stores.header import check_header, check_version
from rtevents.stores.sqlite_file import in_words
from rtevents.stores.sqlite_rows import load_extent


class End(NamedTuple):
    """
    How far a log in a file has come.

    Args:
        epoch: Its name.
        first: The first seq that is kept; one more than `last` when there is none.
        last: The last that it ever had.
    """

    epoch: str
    first: int
    last: int


def find_end(file: Path) -> End:
    """
    Look how far a log has come.

    Raises:
        StoreError: It cannot be read.
    """
    try:
        with look(file) as db:
            (epoch,) = db.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
            extent = load_extent(db)
            return End(str(epoch), extent.first, extent.last)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{file}: cannot be read: {in_words(error)}") from error


@contextmanager
def look(file: Path, *, patience: float = 10.0) -> Iterator[sqlite3.Connection]:
    """
    Yield a connection that sees the log of one moment, however long it takes.

    Neither the database nor its WAL is written to. A WAL and its index are made where there were
    none, and are empty.

    Args:
        file: The database.
        patience: Seconds to wait while another process has locked it.
    Raises:
        StoreDamaged: It is no database.
        StoreError: It is of another program, or of a version that is not known.
        OSError: It cannot be read.
        sqlite3.Error: It cannot be opened.
    """
    check_header(file)
    uri = f"{file.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=patience, isolation_level=None)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        check_version(file, version, db)  # a newer rtevents may have left it in the WAL
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM sqlite_master")
        yield db
