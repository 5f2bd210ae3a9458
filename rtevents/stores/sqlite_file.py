"""The SQLite database as a file: made whole, checked before it is touched, opened, watched."""

from __future__ import annotations

import errno
import os
import secrets
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from rtevents.errors import StoreError

APPLICATION_ID = int.from_bytes(b"rtev", "big")
"""What marks a database as ours, at byte 68 of its header (SQLite file format, section 1.3)."""

SCHEMA_VERSION = 2
"""The schema this code knows; `user_version` of the database. 1 was of before the first release."""

BALLAST_BYTES = 4 * 1024**2
"""A file that is given up when the disk is full: deleting entries needs room in the WAL first."""

FLOOR_BYTES = 1024**2
"""Room on the disk below which nothing is appended: what is there is still to be trimmed."""

SCHEMA = f"""
-- Twice the default: a fifth less work for each event (measured: 4 KiB 4.6, 8 KiB 3.7 us).
PRAGMA page_size = 8192;
BEGIN;
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
-- Without AUTOINCREMENT, which changes one more page with every transaction: meta has `trimmed`,
-- the newest seq that was deleted, so that none is given twice.
CREATE TABLE entry (
    seq INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    stored_at REAL NOT NULL,        -- never falls along seq
    bytes_before INTEGER NOT NULL,  -- wire bytes of all entries before; never falls along seq
    body BLOB NOT NULL
);
-- Which blocks of consecutive seqs hold entries of a type, a project or a source. An index of the
-- entries would be a page more to change for each key with every transaction.
CREATE TABLE holding (
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    block INTEGER NOT NULL,
    PRIMARY KEY (key, value, block)
) WITHOUT ROWID;
CREATE INDEX holding_block ON holding (block);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""

_SYNCHRONOUS = {"full": "FULL", "normal": "NORMAL"}

_REASONS = {
    sqlite3.SQLITE_FULL: "no room left on the disk",
    sqlite3.SQLITE_BUSY: "locked by another process",
    sqlite3.SQLITE_READONLY: "not writable",
    sqlite3.SQLITE_PERM: "not permitted",
    sqlite3.SQLITE_IOERR: "the disk failed",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "not a database",
}
"""What SQLite's result codes mean to people."""


class Hint(msgspec.Struct, frozen=True):
    """The newest seq that a log is known to have reached: less than that, and entries are lost."""

    epoch: str
    seq: int


class DatabaseFile:
    """
    One database and the small files beside it.

    Args:
        path: The database; ``<path>.hint`` and ``<path>.ballast`` stand beside it.
        durability: ``full`` or ``normal``.
        busy_timeout: Seconds to wait for another process's lock.
    """

    def __init__(self, path: Path, *, durability: str, busy_timeout: float) -> None:
        self.path = path.absolute()
        self.busy_timeout = busy_timeout
        self._synchronous = _SYNCHRONOUS[durability]
        self._identity: tuple[int, int] | None = None
        self._hint = self._beside(".hint")
        self._ballast = self._beside(".ballast")

    def prepare(self) -> None:
        """
        Make the database if there is none, and refuse what is not ours before touching it.

        Raises:
            StoreError: It cannot be used.
        """
        try:
            if not self.path.exists() or not self.path.stat().st_size:
                self._create()
            # First the bytes: even a connection that only reads leaves files beside what it opens.
            with self.path.open("rb") as file:
                self._check_header(file.read(100))
            with closing(self.connect_reader()) as db:
                (version,) = db.execute("PRAGMA user_version").fetchone()
            self._check_version(version)  # a newer rtevents may have left it in the WAL
            for end in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    self._beside(end).chmod(0o600)
            status = self.path.stat()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self.path}: {_words(error)}") from error
        self._identity = (status.st_dev, status.st_ino)

    def connect_writer(self) -> sqlite3.Connection:
        """
        Return the connection that writes: there must be only one.

        Raises:
            StoreError: The file system cannot hold a WAL.
            sqlite3.Error: It cannot be opened.
        """
        db = self._connect("rw")
        try:
            self.prepare_writer(db)
            # Who must not wait asks again itself: the event loop writes with it too.
            db.execute("PRAGMA busy_timeout = 0")
        except BaseException:
            db.close()
            raise
        return db

    def prepare_writer(self, db: sqlite3.Connection) -> None:
        """Set what P1 depends on; raises as ``connect_writer`` does."""
        (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StoreError(
                f"{self.path}: the file system cannot hold a write-ahead log "
                f"(journal_mode answered {mode}); is it a network drive?"
            )
        db.execute(f"PRAGMA synchronous = {self._synchronous}")
        db.execute("PRAGMA wal_autocheckpoint = 1000")
        db.execute(f"PRAGMA journal_size_limit = {64 * 1024**2}")
        # Zero what is deleted only where that costs no further write.
        db.execute("PRAGMA secure_delete = FAST")

    def connect_reader(self) -> sqlite3.Connection:
        """Return a connection that cannot write; raises ``sqlite3.Error``."""
        return self._connect("ro")

    def check_in_place(self) -> None:
        """
        Make sure that the file is still where it was: after ``rm`` an open one accepts writes.

        Raises:
            StoreError: It was removed or replaced.
        """
        try:
            status = self.path.stat()
        except OSError as error:
            raise StoreError(f"{self.path.name}: {_words(error)}") from error
        if (status.st_dev, status.st_ino) != self._identity:
            raise StoreError(f"{self.path.name}: another file is in its place")

    def check_room(self, db: sqlite3.Connection) -> None:
        """
        Make sure that there is room for more, on the disk or where entries were deleted.

        Raises:
            StoreError: There is not.
            sqlite3.Error: The database cannot be asked.
        """
        try:
            disk = os.statvfs(self.path.parent)
        except OSError as error:
            raise self.explain(error) from error
        if disk.f_bavail * disk.f_frsize >= FLOOR_BYTES:
            return
        (pages,) = db.execute("PRAGMA freelist_count").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
        if pages * size < FLOOR_BYTES:
            raise StoreError(
                f"{self.path.name}: no room left on the disk "
                f"(less than {FLOOR_BYTES // 1024**2} MiB free)"
            )

    def read_hint(self) -> Hint | None:
        """Return the last hint; None when there is none that can be read."""
        try:
            return msgspec.json.decode(self._hint.read_bytes(), type=Hint)
        except (OSError, UnicodeDecodeError, msgspec.DecodeError):
            return None

    def write_hint(self, hint: Hint) -> None:
        """Note how far the log has come, so that the next start can tell whether some is lost."""
        new = self._beside(".hint.new")
        # An old hint stays true, only weaker: nothing is to be refused for want of a new one.
        with suppress(OSError):
            with _open_private(new) as file:
                file.write(msgspec.json.encode(hint))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._hint)

    def take_ballast(self) -> bool:
        """Give up the ballast; tell whether there was any."""
        try:
            self._ballast.unlink()
        except OSError:
            return False
        return True

    def load_ballast(self) -> None:
        """Make the ballast unless it is there or there is no room for it."""
        if self._ballast.exists():
            return
        try:
            # Random, for there are file systems that store zeros in no room at all.
            with _open_private(self._ballast) as file:
                file.write(os.urandom(BALLAST_BYTES // 4) * 4)
        except OSError:
            self._ballast.unlink(missing_ok=True)

    def explain(self, error: sqlite3.Error | OSError) -> StoreError:
        """Return what happened, in one line for people."""
        told = StoreError(f"{self.path.name}: {_words(error)}")
        told.__cause__ = error
        return told

    def _beside(self, end: str) -> Path:
        return self.path.with_name(self.path.name + end)

    def _connect(self, mode: str) -> sqlite3.Connection:
        db = sqlite3.connect(
            f"{self.path.as_uri()}?mode={mode}",
            uri=True,
            timeout=self.busy_timeout,
            isolation_level=None,  # transactions begin and end where the code says so
            check_same_thread=False,  # each has one owner at a time, not one for life
        )
        db.execute("PRAGMA mmap_size = 0")
        db.execute("PRAGMA foreign_keys = ON")
        return db

    def _create(self) -> None:
        """Make an empty database beside its place and move it there: it is whole or not there."""
        new = self._beside(".new")
        # A WAL that outlived its database would be replayed into the new one.
        for end in ("-wal", "-shm", "-journal", ".new", ".new-journal"):
            self._beside(end).unlink(missing_ok=True)
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with closing(sqlite3.connect(new, isolation_level=None)) as db:
            db.executescript(SCHEMA)
            db.execute("INSERT INTO meta VALUES ('epoch', ?)", (new_epoch(),))
            # Not where it stands: that change has a journal, which who only reads cannot undo.
            db.execute("PRAGMA journal_mode = WAL")
        new.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _check_header(self, header: bytes) -> None:
        """Check the first 100 bytes (SQLite file format, section 1.3)."""
        if not header.startswith(b"SQLite format 3\0"):
            raise StoreError(f"{self.path}: not a database; move it away to begin a new log")
        if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
            raise StoreError(f"{self.path}: a database, but not of rtevents")
        self._check_version(int.from_bytes(header[60:64], "big"))

    def _check_version(self, version: int) -> None:
        if version < SCHEMA_VERSION:
            raise StoreError(
                f"{self.path}: made before the first release (schema {version}); "
                "move it away to begin a new log"
            )
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self.path}: made by a newer rtevents (schema {version}); "
                f"this one knows schema {SCHEMA_VERSION}"
            )


def new_epoch() -> str:
    """Return a name for a log: 8 hexadecimal digits."""
    return secrets.token_hex(4)


def is_full(error: Exception) -> bool:
    """Tell whether a write failed for want of room."""
    return _code(error) == sqlite3.SQLITE_FULL


def is_busy(error: Exception) -> bool:
    """Tell whether another process had the lock."""
    return _code(error) == sqlite3.SQLITE_BUSY


def _open_private(path: Path) -> BinaryIO:
    """Open a file for writing that only its owner can read."""
    return os.fdopen(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb")


def _words(error: sqlite3.Error | OSError) -> str:
    if isinstance(error, OSError):
        return os.strerror(error.errno or errno.EIO).lower()
    reason = _REASONS.get(_code(error))
    return f"{reason} ({error})" if reason else str(error)


def _code(error: Exception) -> int:
    """Return SQLite's primary result code; the extended one has more in its upper bits."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF
