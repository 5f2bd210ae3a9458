"""Spool: the commits that the hook noted, whether or not a daemon was there."""

from __future__ import annotations

import contextlib
from pathlib import Path

from rtevents.producers.repository import SHA

FOLDER = "rtevents"
"""Where the hook writes, below the git common directory: a file named `spool`, a sha per line."""


class Spool:
    """
    The notes of one repository.

    Args:
        common: Its git common directory.
    """

    def __init__(self, common: Path) -> None:
        self._file = common / FOLDER / "spool"
        self._taken = common / FOLDER / "spool.taken"

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

    def forget(self) -> None:
        """Forget what was taken."""
        self._taken.unlink(missing_ok=True)
