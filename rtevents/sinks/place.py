"""Where a sink is in the log, and what was not to be done: files of its own folder."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from rtevents.core.event import Bookmark, Entry, decode_entry
from rtevents.core.keep import load, save, save_aside
from rtevents.errors import BadInput, BookmarkError, StoreError

DEAD_BYTES = 64 * 1024**2
"""Bytes of a sink's dead letters after which the oldest are dropped, whatever their number."""


ROOM = 1024**2
"""Bytes below that limit from which on a list of them is full: the next letter may be so large."""


class Kept(msgspec.Struct):
    """
    What a sink remembers.

    Args:
        bookmark: Everything up to there is done, or among the dead letters; empty for nowhere yet.
        gone: Why nothing is sent there any more; empty while it is.
        target: What was meant by "there": with another one it begins anew.
        dropped: Dead letters that are no longer kept.
    """

    bookmark: str = ""
    gone: str = ""
    target: str = ""
    dropped: int = 0


class Place:
    """
    What a sink remembers, in a file of its folder.

    Args:
        folder: The folder, which is made if need be; None to remember nothing beyond this process.
    """

    def __init__(self, folder: Path | None) -> None:
        self._file = folder / "place.json" if folder else None
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.kept = load(self._file, Kept, Kept()) if self._file else Kept()

    @property
    def bookmark(self) -> Bookmark | None:
        """The bookmark; None when there is none yet."""
        try:
            return Bookmark.parse(self.kept.bookmark)
        except BookmarkError:
            return None

    async def note(self, **fields: str | int) -> None:
        """
        Remember some fields of ``Kept``.

        Cancelling waits until it is written.

        Raises:
            StoreError: It cannot be written; it is remembered in this process all the same.
        """
        self.kept = msgspec.structs.replace(self.kept, **fields)
        if self._file:
            await save_aside(self._file, self.kept)


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """
    An event that a sink gave up.

    Args:
        id: The bookmark after it, which names it.
        at: Unix seconds of the last attempt.
        reason: Why that failed.
        attempts: How many there were.
        event: Its wire form.
    """

    id: str
    at: float
    reason: str
    attempts: int
    event: msgspec.Raw

    @classmethod
    def of(cls, entry: Entry, epoch: str, reason: str, attempts: int) -> Letter:
        """Return the letter for an entry of the log `epoch`."""
        return cls(
            id=str(Bookmark(epoch, entry.seq)),
            at=time.time(),
            reason=reason,
            attempts=attempts,
            event=msgspec.Raw(entry.wire),
        )

    @property
    def entry(self) -> Entry:
        """The event, as it came from the log."""
        return decode_entry(bytes(self.event))


class DeadLetters:
    """
    The events that a sink gave up, a file each; at most so many: the oldest are dropped.

    Args:
        folder: The folder of the sink; theirs is in it.
        most: Letters that are kept.
    """

    def __init__(self, folder: Path, most: int = 1000) -> None:
        self._folder = folder / "dead"
        self._most = most
        found = []
        for each in self._folder.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):  # whoever runs it may remove one meanwhile
                found.append((each.stat(), each.stem))
        found.sort(key=lambda each: (each[0].st_mtime_ns, _seq(each[1])))
        self._sizes = {name: status.st_size for status, name in found}

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def is_full(self) -> bool:
        """Whether another letter, or another large one, drops the oldest."""
        return len(self._sizes) >= self._most or sum(self._sizes.values()) > DEAD_BYTES - ROOM

    @property
    def ids(self) -> list[str]:
        """The names of the letters, the oldest first."""
        return list(self._sizes)

    def read(self, ids: Sequence[str], most_bytes: float = math.inf) -> list[Letter]:
        """
        Return the letters of these names; what is gone, or cannot be read, is left out.

        Args:
            most_bytes: Bytes of events after which there are enough.
        """
        found: list[Letter] = []
        size = 0
        for letter in map(self.get, ids):
            if letter is not None and size < most_bytes:
                size += len(bytes(letter.event))
                found.append(letter)
        return found

    def get(self, letter_id: str) -> Letter | None:
        """Return a letter; None when there is none of that name, or it cannot be read."""
        if letter_id not in self._sizes:
            return None
        try:
            (letter,) = load(self._file(letter_id), list[Letter], [])
            letter.entry  # noqa: B018 - what is no event is no letter
        except (BadInput, ValueError):
            return None
        return letter

    def put(self, letter: Letter) -> int:
        """
        Keep a letter, durably; one of its name is replaced.

        Returns:
            How many were dropped for it.
        Raises:
            StoreError: It cannot be written.
        """
        file = self._file(letter.id)
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            save(file, [letter])
            self._sizes[letter.id] = file.stat().st_size
        except OSError as error:
            raise StoreError(f"{file} cannot be written: {error.strerror}") from error
        dropped = 0
        while len(self._sizes) > self._most or (
            sum(self._sizes.values()) > DEAD_BYTES and len(self._sizes) > 1
        ):
            self.remove(next(iter(self._sizes)))
            dropped += 1
        return dropped

    def remove(self, letter_id: str) -> None:
        """Forget a letter; one that is not there is forgotten."""
        if self._sizes.pop(letter_id, None) is not None:
            self._file(letter_id).unlink(missing_ok=True)

    def _file(self, letter_id: str) -> Path:
        return self._folder / f"{letter_id}.json"


def _seq(letter_id: str) -> int:
    try:
        return Bookmark.parse(letter_id).seq
    except BookmarkError:
        return 0
