"""A copy of a log that is in use: consistent, verified, and whole or not there."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from rtevents.errors import StoreDamaged, StoreError, Taken
from rtevents.stores.header import SCHEMA_VERSION
from rtevents.stores.look import look
from rtevents.stores.quick_check import find_wrong
from rtevents.stores.remains import check_remains
from rtevents.stores.sqlite_file import in_words, is_damage, new_epoch, sync_folder
from rtevents.stores.sqlite_rows import checksum

PAGES = 1024
"""Pages that are copied between two looks at how far it is: 8 MiB, some ten milliseconds."""


class Copied(NamedTuple):
    """
    What a backup holds.

    Args:
        entries: How many.
        first: The first seq; one more than `last` when there is none.
        last: The last seq.
        damaged: How many of the entries are not what was written.
        size_bytes: Of the file.
    """

    entries: int
    first: int
    last: int
    damaged: int
    size_bytes: int


def backup(
    source: Path,
    target: Path,
    *,
    force: bool = False,
    tell: Callable[[float], None] = lambda _: None,
    patience: float = 10.0,
) -> Copied:
    """
    Copy a log as it is at this moment, while others read and append.

    The copy has an epoch of its own, for a log that is restored is not the one that goes on: who
    comes back to it with a bookmark is told so.

    Args:
        source: The database.
        target: The new file, for the user alone.
        force: Replace a file that is there.
        tell: Called now and then with the share that is copied, 0 to 1.
        patience: Seconds to wait while another process has locked the log.
    Raises:
        Taken: There is something at `target`.
        StoreDamaged: The log is damaged; nothing is left at `target`.
        StoreError: It cannot be read, or not be written there.
    """
    try:
        if not check_remains(source):
            raise StoreError(f"{source}: there is no log")
        if target.exists() and target.samefile(source):
            raise StoreError(f"{target}: that is the log itself; name another file")
        otherwise = "name another, or replace it with --force"
        with new_file(target, force=force, otherwise=otherwise) as new:
            try:
                with look(source, patience=patience) as db:
                    _copy(db, new, tell)
                return _verify(new, source)
            except sqlite3.Error as error:
                if is_damage(error):
                    raise StoreDamaged(f"{source}: {in_words(error)}") from error
                raise StoreError(f"{source}: not copied to {target}: {in_words(error)}") from error
    except StoreDamaged as error:
        raise StoreDamaged(
            f"{error}; what can be read of it: rtevents doctor --recover {source}"
        ) from error


@contextmanager
def new_file(
    target: Path, *, force: bool = False, otherwise: str = "name another"
) -> Iterator[Path]:
    """
    Yield the place of a file to be made; afterwards it is at `target`, synced, or nothing is.

    Args:
        target: Where it is to be.
        force: Replace a file that is there.
        otherwise: What is to be done where it is not replaced.
    Raises:
        Taken: There is something already, or something that is no file.
        StoreError: It cannot be written there.
    """
    _check_free(target, force=force, otherwise=otherwise)
    try:
        folder = Path(tempfile.mkdtemp(prefix=".rtevents-", dir=target.parent))
    except OSError as error:
        raise StoreError(f"{target}: cannot be written: {in_words(error)}") from error
    try:
        new = folder / "events.db"
        yield new
        with new.open("rb") as opened:
            os.fsync(opened.fileno())
        # Somebody else may have come first.
        _check_free(target, force=force, otherwise=otherwise)
        for file in _beside(target):
            file.unlink(missing_ok=True)
        new.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise StoreError(f"{target}: cannot be written: {in_words(error)}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_free(target: Path, *, force: bool, otherwise: str) -> None:
    with suppress(FileNotFoundError):
        is_file = stat.S_ISREG(target.lstat().st_mode)
        if not is_file:
            raise Taken(f"{target}: there is something else than a file; name another")
        if not force:
            raise Taken(f"{target}: there is a file already; {otherwise}")
    if not force and any(file.exists() for file in _beside(target)):
        raise Taken(f"{target}: the write-ahead log of another database is there; {otherwise}")


def _beside(target: Path) -> list[Path]:
    """Return what SQLite would take for a part of a new file of that name."""
    return [target.with_name(f"{target.name}{end}") for end in ("-wal", "-shm")]


def _copy(db: sqlite3.Connection, new: Path, tell: Callable[[float], None]) -> None:
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    with closing(sqlite3.connect(new, isolation_level=None)) as copy:
        db.backup(
            copy,
            pages=PAGES,
            progress=lambda _, left, total: tell(1 - left / total if total else 1.0),
        )
        copy.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (new_epoch(),))


def _verify(new: Path, source: Path) -> Copied:
    with closing(sqlite3.connect(new)) as db:
        if wrong := find_wrong(db):
            raise StoreDamaged(f"{source}: damaged ({wrong})")
        entries, first, last = db.execute(
            "SELECT count(*), min(seq), max(seq) FROM entry"
        ).fetchone()
        damaged = 0
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version >= SCHEMA_VERSION:
            db.create_function("checksum", 2, checksum, deterministic=True)
            (damaged,) = db.execute(
                "SELECT count(*) FROM entry WHERE crc != checksum(seq, CAST(body AS BLOB))"
            ).fetchone()
    return Copied(entries, first or 1, last or 0, damaged, new.stat().st_size)
