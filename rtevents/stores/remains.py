"""What is in the place of a log: a database, nothing yet, or what is left of one."""

from __future__ import annotations

from pathlib import Path

from rtevents.errors import StoreDamaged, StoreError
from rtevents.stores.hint import HintFile
from rtevents.stores.sqlite_file import in_words


def check_remains(path: Path) -> bool:
    """
    Tell whether there is a database that is not empty; it is not opened.

    Args:
        path: Where it should be; a link is followed.
    Raises:
        StoreDamaged: There is none, but what is beside its place tells of entries.
        StoreError: There is a link, and nothing where it leads to; or nobody can look.
    """
    try:
        return _check(path)
    except OSError as error:
        raise StoreError(f"{path}: {in_words(error)}") from error


def _check(path: Path) -> bool:
    if path.is_symlink() and not path.exists():
        raise StoreError(
            f"{path}: a link to {path.readlink()}, where nothing is: mount the disk that it is "
            "on, or remove the link to begin a new log"
        )
    # Where SQLite looks for the WAL as well.
    file = path.resolve()
    if _size(file):
        return True
    what = "empty" if file.exists() else "not there"
    if wal := _size(file.with_name(f"{file.name}-wal")):
        raise StoreDamaged(f"{path}: {what}, but its write-ahead log holds {wal} bytes")
    hint = HintFile(file.with_name(f"{file.name}.hint")).read()
    if hint and hint.seq:
        raise StoreDamaged(f"{path}: {what}, and its entries up to {hint.seq} are lost")
    return False


def is_left(path: Path) -> bool:
    """Tell whether there is anything of a log's own bytes."""
    file = path.resolve()
    return bool(_size(file) or _size(file.with_name(f"{file.name}-wal")))


def _size(file: Path) -> int:
    """Return the bytes of a file; 0 when it is not there."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
