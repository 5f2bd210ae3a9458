"""Mark: what tells one state of a file from another without reading it."""

from __future__ import annotations

from pathlib import Path

Mark = tuple[int, int, int]


def mark(file: Path) -> Mark | None:
    """Return what differs when a file is another one; None when it is not there."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
