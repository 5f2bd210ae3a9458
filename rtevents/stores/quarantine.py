"""A damaged database is put aside, whole, for who wants to look at it."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from rtevents.errors import StoreError
from rtevents.stores.sqlite_file import sync_folder

MARK = ".corrupt-"
"""What stands between a database's name and the time at which it was put aside."""


def put_aside(path: Path) -> Path:
    """
    Move a database away with its WAL and its hint; connections that have it open may stay open.

    Returns:
        Where it is now: ``<path>.corrupt-<time>``, the time in UTC.
    Raises:
        StoreError: The folder cannot be written.
    """
    aside = _free_name(path)
    try:
        path.touch(0o600)  # where there is but a WAL, it is still what to look for
        # The database first: without it, the next start takes its WAL for no other's.
        for end in ("", "-wal", ".hint"):
            with suppress(FileNotFoundError):
                path.with_name(path.name + end).rename(aside.with_name(aside.name + end))
        # An index of the WAL in shared memory: it is made anew.
        path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"{path}: damaged, and cannot be put aside: {error.strerror}") from error
    return aside


def all_aside(path: Path) -> list[Path]:
    """Return what was put aside in the place of a database, the oldest first."""
    return sorted(
        file
        for file in path.parent.glob(f"{path.name}{MARK}*")
        if not file.name.endswith(("-wal", "-shm", ".hint"))
    )


def _free_name(path: Path) -> Path:
    named = path.with_name(f"{path.name}{MARK}{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    aside, number = named, 1
    while aside.exists():
        number += 1
        aside = named.with_name(f"{named.name}-{number}")
    return aside
