"""Mounts: whether a file system came or went below a folder."""

from __future__ import annotations

import os
import time
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
"""Where Linux tells what is mounted where (`man 5 proc`)."""


class Mounts:
    """
    Compares what is mounted: the kernel's word is about the folder that was watched, which may be
    beneath another by now.

    Args:
        root: The folder.
        seconds: How long what was seen is good for.
    """

    def __init__(self, root: Path, seconds: float) -> None:
        # As it is written there: blanks, and what is like them, in octal.
        place = os.fsencode(root)
        for odd in b"\\ \t\n":
            place = place.replace(bytes([odd]), b"\\%03o" % odd)
        self._below = b" " + place + b"/"
        self._seconds = seconds
        self._known = self._look()
        self._due = time.monotonic() + seconds

    def missed(self) -> str | None:
        """Return what happened since this was last asked; None when nothing did."""
        if time.monotonic() < self._due:
            return None
        before, self._known = self._known, self._look()
        self._due = time.monotonic() + self._seconds
        return None if self._known == before else "a file system was mounted or unmounted"

    def _look(self) -> list[bytes]:
        """Return what is mounted below the folder."""
        try:
            text = MOUNTS.read_bytes()
        except OSError:
            return []
        return [line for line in text.splitlines() if self._below in line]
