"""A file to which events are written, a line each; full ones are kept beside it."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import BinaryIO, ClassVar

from rtevents.config.paths import expand
from rtevents.config.sinks import FileSinkSettings
from rtevents.core.event import decode_entry
from rtevents.core.keep import ended
from rtevents.errors import BadInput, ConfigError, ReactionFailed
from rtevents.sinks import Batch

BEGINS = b'{"seq":'
"""How a line of ours begins."""

LAST_BYTES = 4 * 1024**2
"""How far from its end a file is searched for its last whole line, in bytes."""


class FileReaction:
    """
    Writes entries to a file, synced; the batch is there as a whole, or is written again.

    Args:
        file: The file; ``FILE.1`` is the newest full one.
        max_bytes: Bytes after which it is full.
        max_age: Seconds after its first event after which it is; 0 for never.
        files: Full files that are kept.
    """

    at_once: ClassVar[int] = 500
    every: ClassVar[float] = 0.0

    def __init__(self, file: Path, *, max_bytes: int, max_age: float = 0.0, files: int = 5) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._files = files
        # When it was begun. Its first event's time is only a stranger's word for that, and would
        # put aside one file after the other while what is old is imported.
        self._begun: float | None = None

    async def act(self, batch: Batch) -> None:
        """Write it; cancelling waits until it is written."""
        try:
            await ended(partial(self._write, batch))
        except OSError as error:
            where = error.filename or self._file
            # A full disk is full for every event.
            raise ReactionFailed(f"{where}: {error.strerror or error}", is_down=True) from error

    async def close(self) -> None:
        """Hold nothing open."""

    def _write(self, batch: Batch) -> None:
        # Opened for each batch: whoever else moves or removes it loses nothing of what comes.
        with self._opened() as opened:
            size = _mend(opened)
            if size and not self._is_full(opened, size):
                _append(opened, batch)
                return
        if size:
            self._rotate()
        with self._opened() as opened:
            self._begun = time.time()
            _append(opened, batch)
        # Synced itself, it could still be in no folder.
        folder = os.open(self._file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _opened(self) -> BinaryIO:
        # Not through a link: it could lead anywhere.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        return os.fdopen(os.open(self._file, flags, 0o600), "r+b", 0)

    def _is_full(self, opened: BinaryIO, size: int) -> bool:
        if size >= self._max_bytes:
            return True
        if not self._max_age:
            return False
        if self._begun is None:
            opened.seek(0)
            try:
                self._begun = decode_entry(opened.readline(LAST_BYTES).rstrip()).timestamp
            except BadInput:
                self._begun = time.time()
        return time.time() - self._begun > self._max_age

    def _rotate(self) -> None:
        names = [self._file, *(self._beside(number) for number in range(1, self._files + 1))]
        if len(names) == 1:
            self._file.unlink()
        for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
            if newer.exists():
                newer.replace(older)

    def _beside(self, number: int) -> Path:
        return self._file.with_name(f"{self._file.name}.{number}")


def open_file(settings: FileSinkSettings) -> FileReaction:
    """
    Return the reaction of a sink.

    Raises:
        ConfigError: The path is no file's.
    """
    file = expand(settings.path)
    if not file.is_absolute() or file.is_dir() or not file.parent.is_dir():
        raise ConfigError(
            f"file.path: expected a file in a folder that is there, from / or ~, "
            f"got {settings.path!r}",
            field="file.path",
        )
    return FileReaction(
        file, max_bytes=settings.max_bytes, max_age=settings.max_age, files=settings.files
    )


def _mend(opened: BinaryIO) -> int:
    """
    Cut a line off that a crash left half, which is written again; return the file's size.

    What is no line of ours is somebody else's: it is ended, not cut off.
    """
    size = opened.seek(0, os.SEEK_END)
    start = max(0, size - LAST_BYTES)
    opened.seek(start)
    last = opened.read(size - start) if size else b""
    end = start + last.rfind(b"\n") + 1
    half = last[end - start :]
    if half and half[: len(BEGINS)] == BEGINS[: len(half)]:
        opened.truncate(end)
        return end
    return size + opened.write(b"\n") if half else size


def _append(opened: BinaryIO, batch: Batch) -> None:
    size = opened.seek(0, os.SEEK_END)
    lines = memoryview(batch.lines)
    try:
        while lines:
            lines = lines[opened.write(lines) :]
        os.fsync(opened.fileno())
    except OSError:
        opened.truncate(size)  # a full disk: what is there stays whole
        raise
