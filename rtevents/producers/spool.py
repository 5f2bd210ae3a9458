"""Spool: the commits that the hook noted, whether or not a daemon was there."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from rtevents.producers.sealed import SHA

FOLDER = "rtevents"
"""
What the hook and the daemon leave for one another, below the git common directory: `spool`, in
which the hook writes a sha per line, and `watched`, while it is to.
"""


class Spool:
    """
    The notes of one repository.

    Args:
        common: Its git common directory.
    """

    def __init__(self, common: Path) -> None:
        self._file = common / FOLDER / "spool"
        self._taken = common / FOLDER / "spool.taken"
        self._mark = common / FOLDER / "watched"

    @property
    def is_watched(self) -> bool:
        """Whether a note is all that is needed: it is read now, or when the daemon is back."""
        return self._mark.exists()

    def mark(self) -> None:
        """Let the hook leave notes; where nothing can be written, it tells the daemon itself."""
        if not self.is_watched:
            with contextlib.suppress(OSError):
                self._mark.parent.mkdir(exist_ok=True)
                self._mark.touch()

    def unmark(self) -> None:
        """Let the hook tell the daemon itself. What is noted stays: a project may be starting."""
        with contextlib.suppress(OSError):
            self._mark.unlink(missing_ok=True)

    def clear(self) -> None:
        """Leave nothing there: nobody watches, and nobody will read the notes."""
        with contextlib.suppress(OSError):
            for file in (self._mark, self._file, self._taken):
                file.unlink(missing_ok=True)
            self._mark.parent.rmdir()

    def noted(self) -> list[str]:
        """Return the commits that are noted."""
        lines: list[str] = []
        for file in (self._taken, self._file):
            with contextlib.suppress(OSError):
                lines += file.read_text(errors="replace").split()
        return [sha for sha in dict.fromkeys(lines) if SHA.match(sha)]

    def take(self) -> list[str]:
        """Return the commits that were noted. They stay noted until ``forget``."""
        if not self._taken.exists():
            # Renamed first: what the hook notes from now on is in another file.
            with contextlib.suppress(FileNotFoundError):
                self._file.rename(self._taken)
        try:
            lines = self._taken.read_text(errors="replace").split()
        except FileNotFoundError:
            return []
        return [sha for sha in lines if SHA.match(sha)]

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        """Tell whether nobody else is telling what is noted: two would forget for one another."""
        try:
            folder = os.open(self._mark.parent, os.O_RDONLY)
        except OSError:
            yield False
            return
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
        finally:
            os.close(folder)

    def forget(self) -> None:
        """Forget what was taken."""
        self._taken.unlink(missing_ok=True)
