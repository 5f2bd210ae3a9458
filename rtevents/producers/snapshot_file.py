"""SnapshotFile: the files of a project as they were last told, kept between runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from rtevents.core.keep import write_whole
from rtevents.producers.change import Seen

logger = logging.getLogger(__name__)

VERSION = 1
"""The form of what is written: what has another is not read."""

MANY = 1000
"""Fewest changes that are appended before the whole is written anew."""

_LENGTH = 4
"""Bytes in which the length of an appended record is written."""


class _Whole(msgspec.Struct, array_like=True):
    """
    Every file at some moment.

    Args:
        number: Names the file of the changes since then.
        device: The device of the project's folder then.
        was_mount: Whether another file system was mounted there then.
    """

    version: int
    number: int
    device: int
    was_mount: bool
    files: dict[bytes, Seen]


class SnapshotFile:
    """
    A whole list, and behind it the changes that were told since: a save costs what it changed.

    What a power cut tore off the end is found anew, and told again.

    Args:
        folder: Where the project's places are kept.

    Attributes:
        device: The device of the project's folder when it was written: it may be another by now.
        was_mount: Whether another file system was mounted there then.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "files"
        self.device = 0
        self.was_mount = False
        self._number = 0
        self._noted = 0
        self._many = MANY

    @property
    def is_long(self) -> bool:
        """Whether so much was noted that the whole should be written anew."""
        return self._noted >= self._many

    def load(self) -> dict[str, Seen] | None:
        """Return what was told of each file; None when nothing is known."""
        try:
            whole = _whole.decode(self._file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            logger.warning(
                "%s cannot be read, what changed before is not told: %s", self._file, error
            )
            return None
        if whole.version != VERSION:
            return None
        files = whole.files
        self._number, self.device, self.was_mount = whole.number, whole.device, whole.was_mount
        for changed in self._read(self._since(whole.number)):
            self._noted += len(changed)
            for path, seen in changed.items():
                if seen is not None:
                    files[path] = seen
                else:
                    files.pop(path, None)
        return {os.fsdecode(path): seen for path, seen in files.items()}

    def save(self, files: Mapping[str, Seen], device: int, is_mount: bool) -> None:
        """Write every file; what was noted before is contained in it."""
        old = self._since(self._number)
        number = self._number + 1
        known = {os.fsencode(path): seen for path, seen in files.items()}
        self._since(number).unlink(missing_ok=True)
        whole = _Whole(VERSION, number, device, is_mount, known)
        write_whole(self._file, _encoder.encode(whole))
        self._number, self._noted = number, 0
        self.device, self.was_mount = device, is_mount
        self._many = max(MANY, len(files))
        old.unlink(missing_ok=True)

    def note(self, changed: Mapping[str, Seen | None]) -> None:
        """Append what was told of some files; None stands for one that is gone."""
        data = _encoder.encode({os.fsencode(path): seen for path, seen in changed.items()})
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(self._since(self._number), flags, 0o600), "wb") as opened:
            opened.write(len(data).to_bytes(_LENGTH, "big") + data)
        self._noted += len(changed)

    def _since(self, number: int) -> Path:
        return self._folder / f"files.{number}"

    def _read(self, file: Path) -> Iterator[dict[bytes, Seen | None]]:
        """Yield what was noted, as far as it is whole; cut off what is not."""
        try:
            text = file.read_bytes()
        except FileNotFoundError:
            return
        at = 0
        while at < len(text):
            begin = at + _LENGTH
            end = begin + int.from_bytes(text[at:begin], "big")
            try:
                changed = _changed.decode(text[begin:end])
            except msgspec.MsgspecError:
                # What is appended from now on would be behind it.
                os.truncate(file, at)
                return
            yield changed
            at = end


_encoder = msgspec.msgpack.Encoder()
_whole = msgspec.msgpack.Decoder(_Whole)
_changed = msgspec.msgpack.Decoder(dict[bytes, Seen | None])
