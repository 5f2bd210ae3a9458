"""When a file was made, which tells one that was given the number of another from that one."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path

_NOT_FOLLOWED = 0x100
_HERE = -100
_WANTED = 0x100 | 0x800
"""The number and the birth (`man 2 statx`)."""

_SIZE = 256
_INODE = struct.Struct("=Q")
_TIME = struct.Struct("=qI")


def born_ns(path: Path, inode: int) -> int | None:
    """
    Return when a file was made, in unix nanoseconds; None where nobody tells, or it is another.

    Args:
        inode: The number that it should have.
    """
    if _statx is None:
        return _born_elsewhere(path, inode)
    told = ctypes.create_string_buffer(_SIZE)
    if _statx(_HERE, os.fsencode(path), _NOT_FOLLOWED, _WANTED, told):
        return None
    (mask,) = struct.unpack_from("=I", told)
    if mask & _WANTED != _WANTED or _INODE.unpack_from(told, 32)[0] != inode:
        return None
    seconds, nanoseconds = _TIME.unpack_from(told, 80)
    return int(seconds * 1_000_000_000 + nanoseconds)


def _born_elsewhere(path: Path, inode: int) -> int | None:
    """Ask as macOS and the BSDs answer."""
    try:
        status = path.lstat()
    except OSError:
        return None
    seconds: float | None = getattr(status, "st_birthtime", None)
    return None if seconds is None or status.st_ino != inode else int(seconds * 1e9)


# Python itself asks from 3.15 on.
_statx: Callable[..., int] | None = getattr(ctypes.CDLL(None), "statx", None)
