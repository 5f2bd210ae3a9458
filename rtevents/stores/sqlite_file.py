"""The SQLite database as a file: made whole, checked before it is touched, opened, watched."""

from __future__ import annotations

import errno
import os
import re
import secrets
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO

from rtevents import __version__
from rtevents.errors import StoreDamaged, StoreError
from rtevents.stores.header import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    check_header,
    check_version,
)
from rtevents.stores.hint import HintFile

BALLAST_BYTES = 4 * 1024**2
"""A file that is given up when the disk is full: deleting entries needs room in the WAL first."""

CHECKED_BYTES = 256 * 1024**2
"""Largest database that is looked at whole when it is opened, in bytes: about half a second."""

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
    body BLOB NOT NULL,
    crc INTEGER NOT NULL DEFAULT 0  -- CRC-32 of the body, begun with the seq
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

_EFFECTIVE = os.access in os.supports_effective_ids
"""Whether the system can tell what a process may do that runs with another's rights."""

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


class DatabaseFile:
    """
    One database and the small files beside it.

    Args:
        path: The database, or a link to it; ``<path>.hint`` and ``<path>.ballast`` stand beside it.
        durability: ``full`` or ``normal``.
        busy_timeout: Seconds to wait for another process's lock.

    Attributes:
        named: As it was given.
        path: Where it is, all links followed: SQLite has the WAL there too.
    """

    def __init__(self, path: Path, *, durability: str, busy_timeout: float) -> None:
        self.named = path.absolute()
        self.path = self.named.resolve()
        self.busy_timeout = busy_timeout
        self._synchronous = _SYNCHRONOUS[durability]
        self._identity: tuple[int, int] | None = None
        self._size = 0
        self.hint = HintFile(self._beside(".hint"))
        self._ballast = self._beside(".ballast")

    def prepare(self, *, after: int = 0) -> None:
        """
        Make the database if there is none, and refuse what is not ours before touching it.

        Args:
            after: The seq after which a new log begins.
        Raises:
            StoreDamaged: It is not what was written.
            StoreError: It cannot be used.
        """
        try:
            if not self.path.exists() or not self.path.stat().st_size:
                self._create(after)
            # First the bytes: even a connection that only reads leaves files beside what it opens.
            check_header(self.path)
            with closing(self.connect_reader()) as db:
                (version,) = db.execute("PRAGMA user_version").fetchone()
                check_version(
                    self.path, version, db
                )  # a newer rtevents may have left it in the WAL
                self._check_whole(db)
            for end in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    self._beside(end).chmod(0o600)
            status = self.path.stat()
        except (sqlite3.Error, OSError) as error:
            kind = StoreDamaged if is_damage(error) else StoreError
            raise kind(f"{self.path}: {in_words(error)}") from error
        self._identity = (status.st_dev, status.st_ino)
        self._size = status.st_size

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

    def check_in_place(self, db: sqlite3.Connection) -> None:
        """
        Make sure that the file is still where it was: after ``rm`` an open one accepts writes.

        Args:
            db: A connection to it.
        Raises:
            StoreDamaged: It was cut.
            StoreError: It was removed or replaced, or nothing can be made in its folder.
            sqlite3.Error: The database cannot be asked.
        """
        try:
            status = self.named.stat()
        except OSError as error:
            raise StoreError(f"{self.path.name}: {in_words(error)}") from error
        if (status.st_dev, status.st_ino) != self._identity:
            raise StoreError(f"{self.path.name}: another file is in its place")
        # What is open can be written all the same; a WAL that is made anew could not.
        if not os.access(self.path.parent, os.W_OK | os.X_OK, effective_ids=_EFFECTIVE):
            raise StoreError(f"{self.path.name}: its folder cannot be written")
        if status.st_size < self._size:
            self._check_length(db, status.st_size)
        self._size = status.st_size

    def _check_length(self, db: sqlite3.Connection, size: int) -> None:
        """Make sure that a file that became shorter has all of its pages: VACUUM cuts it too."""
        (page,) = db.execute("PRAGMA page_size").fetchone()
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        if size < page * max(1, pages):
            raise StoreDamaged(f"{self.path.name}: damaged (cut from {self._size} to {size} bytes)")

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
        """Return what happened, in one line for people; ``StoreDamaged`` where that is it."""
        kind = StoreDamaged if is_damage(error) else StoreError
        told = kind(f"{self.path.name}: {in_words(error)}")
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

    def _create(self, after: int) -> None:
        """Make an empty database beside its place and move it there: it is whole or not there."""
        new = self._beside(".new")
        # A WAL that outlived its database would be replayed into the new one.
        for end in ("-wal", "-shm", "-journal", ".new", ".new-journal"):
            self._beside(end).unlink(missing_ok=True)
        create(new, after=after)
        new.replace(self.path)
        sync_folder(self.path.parent)

    def _check_whole(self, db: sqlite3.Connection) -> None:
        """Check what SQLite relies on, and reads only when it comes by."""
        (tables,) = db.execute(
            "SELECT count(*) FROM sqlite_master WHERE name IN ('meta', 'entry', 'holding')"
        ).fetchone()
        if tables < 3:
            raise StoreDamaged(f"{self.path}: damaged (not all of its tables are there)")
        name, trimmed = (
            db.execute("SELECT CAST(value AS BLOB) FROM meta WHERE name = ?", (key,)).fetchone()
            for key in ("epoch", "trimmed")
        )
        if not (name and _EPOCH.match(name[0]) and (trimmed is None or trimmed[0].isdigit())):
            raise StoreDamaged(f"{self.path}: damaged (the log's name or place is not there)")
        if self.path.stat().st_size <= CHECKED_BYTES:
            (said,) = db.execute("PRAGMA quick_check(1)").fetchone()
            if said != "ok":
                raise StoreDamaged(f"{self.path}: damaged ({' '.join(str(said).split())})")


def create(path: Path, *, after: int = 0) -> None:
    """
    Make an empty log in a new file that only its owner can read.

    Args:
        after: The seq after which it begins.
    Raises:
        FileExistsError: Something is there.
        sqlite3.Error: It cannot be written.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(SCHEMA)
        meta = [("epoch", new_epoch()), ("version", __version__), ("trimmed", str(after))]
        db.execute("INSERT INTO meta VALUES (?, ?), (?, ?), (?, ?)", [*meta[0], *meta[1], *meta[2]])
        # Not where it stands: that change has a journal, which who only reads cannot undo.
        db.execute("PRAGMA journal_mode = WAL")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def new_epoch() -> str:
    """Return a name for a log: 8 hexadecimal digits."""
    return secrets.token_hex(4)


def is_full(error: Exception) -> bool:
    """Tell whether a write failed for want of room."""
    return _code(error) == sqlite3.SQLITE_FULL


def is_busy(error: Exception) -> bool:
    """Tell whether another process had the lock."""
    return _code(error) == sqlite3.SQLITE_BUSY


def is_damage(error: Exception) -> bool:
    """Tell whether a database is not what was written."""
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _open_private(path: Path) -> BinaryIO:
    """Open a file for writing that only its owner can read."""
    return os.fdopen(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb")


_EPOCH = re.compile(rb"[0-9a-f]{8}\Z")


def in_words(error: sqlite3.Error | OSError) -> str:
    """Return what SQLite or the system says, for people."""
    if isinstance(error, OSError):
        return os.strerror(error.errno or errno.EIO).lower()
    reason = _REASONS.get(_code(error))
    return f"{reason} ({error})" if reason else str(error)


def _code(error: Exception) -> int:
    """Return SQLite's primary result code; the extended one has more in its upper bits."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF
