"""Origins: which event began the making of a commit, kept for who tells the commit later."""

from __future__ import annotations

from pathlib import Path

import msgspec

from rtevents.core.causes import CAUSATION, CORRELATION
from rtevents.core.keep import load, save

MOST = 200
"""Commits that are remembered: they are told within moments."""


class _Origin(msgspec.Struct, frozen=True):
    """
    Where a commit came from.

    Args:
        start: The id of the event that told that it was begun.
        story: What the events around it have in common.
    """

    start: str
    story: str


class Origins:
    """
    The commits that this daemon made itself.

    Args:
        places: The project's folder for what is kept.
    """

    def __init__(self, places: Path) -> None:
        self._file = places / "origins.json"

    def note(self, sha: str, start: str, story: str) -> None:
        """
        Remember a commit, before anybody can see it.

        Raises:
            StoreError: It cannot be kept.
        """
        kept = self._load()
        kept[sha] = _Origin(start, story)
        save(self._file, dict(list(kept.items())[-MOST:]))

    def all(self) -> dict[str, dict[str, str]]:
        """Return the extensions of the event of each of these commits."""
        return {
            sha: {CORRELATION: origin.story, CAUSATION: origin.start}
            for sha, origin in self._load().items()
        }

    def _load(self) -> dict[str, _Origin]:
        return load(self._file, dict[str, _Origin], {})
