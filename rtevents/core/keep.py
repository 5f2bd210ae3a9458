"""Small files that must be whole: temporary file, fsync, rename."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from rtevents.core.event import NOT_JSON
from rtevents.errors import StoreError

logger = logging.getLogger(__name__)

T = TypeVar("T")

_working_out = threading.Lock()
"""
Held while msgspec works out a type, as it does at its first use: two threads that have it done so
with one type at once end the process (msgspec 0.22, SIGSEGV).
"""


def write_whole(file: Path, data: bytes) -> None:
    """Write a file for the user alone; a power cut leaves the old one or the new one, whole."""
    temporary = file.with_name(f".{file.name}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, 0o600), "wb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(opened.fileno())
    temporary.replace(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def save(file: Path, value: object) -> None:
    """
    Write `value` as JSON, whole.

    Raises:
        StoreError: It cannot be written; the old one is there. Nothing must be changed then.
    """
    try:
        write_whole(file, msgspec.json.encode(value))
    except OSError as error:
        raise StoreError(f"{file} cannot be written: {error.strerror or error}") from error


async def save_aside(file: Path, value: object) -> None:
    """
    Write `value` as ``save`` does, while the event loop goes on.

    Cancelling waits until it is written: whoever writes the file next finds nobody else at it.
    """
    await ended(partial(save, file, value))


async def ended(call: Callable[[], T]) -> T:
    """Call something in a thread, and return what it does; cancelling waits until it has ended."""
    calling = asyncio.ensure_future(asyncio.to_thread(call))
    try:
        return await asyncio.shield(calling)
    except asyncio.CancelledError:
        await asyncio.wait([calling])
        raise


def load(file: Path, kind: type[T], default: T) -> T:
    """Read what ``save`` wrote; a file that cannot be read is told in the log and set aside."""
    with _working_out:
        decoder = msgspec.json.Decoder(kind)
    try:
        return decoder.decode(file.read_bytes())
    except FileNotFoundError:
        return default
    except NOT_JSON as error:
        aside = file.with_name(file.name + ".bad")
        logger.error("%s cannot be read and is set aside as %s: %s", file, aside.name, error)
        file.replace(aside)
        return default
