"""Transactions: what the one connection that writes to a database commits, or takes back."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rtevents.errors import StoreError
from rtevents.stores.sqlite_file import DatabaseFile, is_busy

TOOK_SHARE = 0.1
"""How much the newest transaction counts in the mean of what they take."""

BUSY_PAUSE = 0.01
"""Seconds between two looks whether another process still has the lock."""


class Transactions:
    """
    The transactions of one connection; for one thread at a time.

    After a failure nothing of the transaction is kept. Where its sync failed nobody knows what the
    disk has (fsyncgate), but all of it may be in the WAL, whole and marked as committed: to be
    found there after a crash, or by a connection that is opened anew. So the connection is kept,
    which knows better, and the next thing it commits is written over it (see ``_mend``).

    Args:
        file: The database.
        db: The connection.
    """

    def __init__(self, file: DatabaseFile, db: sqlite3.Connection) -> None:
        self._file = file
        self._db = db
        # Whether the WAL may hold a transaction that nobody was told is stored.
        self._is_doubtful = False
        # Not quick before it is known to be.
        self.took = 1.0
        """Seconds of a commit, the newest counting most."""

    @contextmanager
    def write(self, wait: float) -> Iterator[sqlite3.Connection]:
        """
        Commit what is done inside; after an error, take back all of it.

        Args:
            wait: Seconds to wait for another process's lock.
        """
        self._file.check_in_place(self._db)
        if self._is_doubtful:
            self._mend()
        self.begin(wait)
        try:
            yield self._db
            begun = time.perf_counter()
            self._commit()
            self.took += TOOK_SHARE * (time.perf_counter() - begun - self.took)
        except BaseException:
            with suppress(sqlite3.Error):
                self._roll_back()
                if self._is_doubtful:
                    # At once: a crash would make of what was refused something that is stored.
                    self._mend()
            raise

    def begin(self, wait: float) -> None:
        """Begin anew, waiting so many seconds for another process's lock."""
        self._roll_back()
        until = time.monotonic() + wait
        while True:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.Error as error:
                if not is_busy(error) or time.monotonic() >= until:
                    raise
            time.sleep(BUSY_PAUSE)

    def look(self) -> None:
        """
        Make sure that a transaction could begin and has room, as far as that is seen without one.

        Raises:
            StoreError: The database is not in its place, or has no room.
            sqlite3.Error: It could not.
        """
        self._file.check_in_place(self._db)
        self._file.check_room(self._db)
        if self._is_doubtful:
            self._mend()
        else:
            self.begin(0)
            self._roll_back()

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _commit(self) -> None:
        self._is_doubtful = True
        self._db.execute("COMMIT")
        self._is_doubtful = False

    def _mend(self) -> None:
        """Commit a count of the failures: its frames take the place of what the last one left."""
        self.begin(0)
        self._db.execute(
            "INSERT INTO meta VALUES ('failures', '1') "
            "ON CONFLICT (name) DO UPDATE SET value = CAST(value AS INTEGER) + 1"
        )
        self._commit()

    def checkpoint(self) -> None:
        """Move what is in the WAL to the database, as far as no reader needs it there."""
        # The WAL is as good as the database: what cannot be moved now is moved another time.
        with suppress(sqlite3.Error, StoreError):
            # Into a file that was cut it would put a part, and then look whole from outside.
            self._file.check_in_place(self._db)
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Move all of the WAL to the database, if that can be, and close the connection."""
        with suppress(sqlite3.Error):
            self._roll_back()
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()
