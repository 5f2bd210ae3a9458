"""A file to which events are written, a line each; full ones are kept beside it."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import BinaryIO, ClassVar

from rtevents.config.paths import expand
from rtevents.config.sinks import FileSinkSettings
from rtevents.core.event import decode_entry
from rtevents.errors import BadInput, ConfigError, ReactionFailed
from rtevents.sinks import Batch

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

    async def act(self, batch: Batch) -> None:
        """Write it; cancelling waits until it is written."""
        writing = asyncio.ensure_future(asyncio.to_thread(self._write, batch))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            raise
        except OSError as error:
            where = error.filename or self._file
            raise ReactionFailed(f"{where}: {error.strerror or error}") from error

    async def close(self) -> None:
        """Hold nothing open."""

    def _write(self, batch: Batch) -> None:
        # Opened for each batch: whoever else moves or removes it loses nothing of what comes.
        with self._opened() as opened:
            size = _mend(opened)
            if not size or not self._is_full(opened, size):
                _append(opened, batch)
                return
        self._rotate()
        with self._opened() as opened:
            _append(opened, batch)

    def _opened(self) -> BinaryIO:
        # Not through a link: it could lead anywhere.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        return os.fdopen(os.open(self._file, flags, 0o600), "r+b", 0)

    def _is_full(self, opened: BinaryIO, size: int) -> bool:
        if size >= self._max_bytes:
            return True
        if not self._max_age:
            return False
        opened.seek(0)
        try:
            begun = decode_entry(opened.readline(LAST_BYTES).rstrip()).timestamp
        except BadInput:
            return False
        return time.time() - begun > self._max_age

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
    """Cut a line off that a crash left half, which is written again; return the file's size."""
    size = opened.seek(0, os.SEEK_END)
    start = max(0, size - LAST_BYTES)
    opened.seek(start)
    last = opened.read(size - start) if size else b""
    end = start + last.rfind(b"\n") + 1
    if size and end != size:
        opened.truncate(end)
        size = end
    return size


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
