"""The hint: how far a log is known to have come, told by a small file beside it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec


class Hint(msgspec.Struct, frozen=True):
    """The newest seq that a log is known to have reached: less than that, and entries are lost."""

    epoch: str
    seq: int


class HintFile:
    """
    The file of the hint, written with each commit and synced now and then.

    It is one record of always the same length at the file's beginning, and so in one sector, which
    a disk writes whole or not at all. That a process ends takes nothing of it; a power cut what was
    written since the last sync, and an old hint is true, only weaker. So nothing is refused for
    want of a new one: what cannot be written is not.

    Args:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened = -1
        self._head = b""

    def read(self) -> Hint | None:
        """Return the last hint; None when there is none that can be read."""
        try:
            return _decoder.decode(self.path.read_bytes())
        except (OSError, UnicodeDecodeError, msgspec.DecodeError):
            return None

    def open(self, epoch: str) -> None:
        """Begin to note how far the log of that name has come."""
        self._head = b'{"epoch":"%b","seq":' % epoch.encode()
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with suppress(OSError):
            self._opened = os.open(self.path, flags, 0o600)
            os.fchmod(self._opened, 0o600)

    def write(self, seq: int) -> None:
        """Note that the log has come so far; about 1 us."""
        with suppress(OSError):
            os.pwrite(self._opened, b"%b%20d}\n" % (self._head, seq), 0)

    def sync(self) -> None:
        """Make what was noted survive a power cut."""
        if self._opened >= 0:
            with suppress(OSError):
                os.fsync(self._opened)

    def close(self) -> None:
        """Sync, and write no more."""
        self.sync()
        if self._opened >= 0:
            os.close(self._opened)
        self._opened = -1


# Worked out while it is imported: see ``core/keep.py``.
_decoder = msgspec.json.Decoder(Hint)
