"""The hint of a log in Redis: what this machine knows of it, should it be set back meanwhile."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from rtevents.stores.redis_place import Place

logger = logging.getLogger(__name__)

_AT = len(b'{"seq":')
"""Where the digits begin: in the first sector of the file, which a disk writes whole."""


class Known(msgspec.Struct, frozen=True):
    """
    How a log was when a daemon last knew it.

    Args:
        seq: The newest that it is known to have reached.
        epoch: Its name.
        line: The names of the logs whose entries it has, its own the last, a blank after each.
        place: Where it was, without who asks.
    """

    seq: int
    epoch: str
    line: str
    place: str


class RedisHint:
    """
    A small file that tells what is known of a log in Redis, beside where a log of here would be.

    Only the digits of the seq are written over, with each answer: that takes a microsecond, and
    what ends a process takes nothing of it. A power cut takes what was written since the last
    sync: an old hint is true, only weaker. So nothing is refused for want of a new one.

    Args:
        path: Where it is; None for nowhere.
        place: Where the log is.
    """

    def __init__(self, path: Path | None, place: Place) -> None:
        self._path = path
        self._place = place.told
        self._opened = -1
        self.is_synced = True
        """Whether a power cut would take nothing."""
        self._epoch = ""

    def read(self) -> Known | None:
        """Return what was known when a daemon last ended; None for nothing that can be read."""
        if self._path is None:
            return None
        try:
            return _decoder.decode(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
            logger.warning("%s: cannot be read, and is made anew: %s", self._path, error)
            return None

    def is_here(self, known: Known) -> bool:
        """Tell whether what is known was where the log is now."""
        return known.place == self._place

    def begin(self, epoch: str, line: str, seq: int) -> None:
        """Go on with a log of that name: the file is whole as it was before, or as it is now."""
        if self._path is None or epoch == self._epoch:
            return
        self._epoch = epoch
        head = b'{"seq":%20d,' % seq
        rest = msgspec.json.encode({"epoch": epoch, "line": line, "place": self._place})
        new = self._path.with_name(f"{self._path.name}.new")
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        self._end()
        try:
            self._opened = os.open(new, flags, 0o600)
            os.write(self._opened, head + rest[1:] + b"\n")
            new.replace(self._path)
        except OSError as error:
            self._end()
            logger.warning("%s: cannot be written: %s", self._path, error.strerror)
        self.is_synced = False

    def write(self, seq: int) -> None:
        """Note that the log has come so far; about 1 us."""
        if self._opened >= 0:
            with suppress(OSError):
                os.pwrite(self._opened, b"%20d" % seq, _AT)
            self.is_synced = False

    def sync(self) -> None:
        """Make what was noted survive a power cut."""
        if self._opened >= 0 and not self.is_synced:
            self.is_synced = True
            with suppress(OSError):
                os.fsync(self._opened)

    def close(self) -> None:
        """Sync, and write no more."""
        self.sync()
        self._end()

    def _end(self) -> None:
        if self._opened >= 0:
            os.close(self._opened)
        self._opened = -1


# Worked out while it is imported: see ``core/keep.py``.
_decoder = msgspec.json.Decoder(Known)
