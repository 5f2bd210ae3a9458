"""Trust: which projects' own files may have commands run, as they are, and which never may."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import msgspec

from rtevents.config.project_file import ProjectFile
from rtevents.core.keep import load, save


class Trusted(msgspec.Struct, frozen=True):
    """
    A file that its user has read, and trusts or does not.

    Args:
        path: Where it is.
        digest: SHA-256 of what it held then.
        at: Unix seconds.
        is_refused: Whether nothing of it is to run, whatever it comes to hold.
    """

    path: str
    digest: str
    at: float
    is_refused: bool = False


class Trust:
    """
    The files that are trusted: a file for each in a folder of the state directory.

    Trust is in a place and in what it holds: a changed file is not trusted any more, nor is a copy.

    Args:
        folder: The folder; it need not be there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def holds(self, file: ProjectFile) -> bool:
        """Tell whether a file is trusted as it is."""
        found = self.get(file.file)
        return found is not None and not found.is_refused and found.digest == file.digest

    def get(self, path: Path) -> Trusted | None:
        """Return what is known of a file; None when nobody ever said anything of it."""
        kept = load(self._place(path), list[Trusted], [])
        return kept[0] if kept and kept[0].path == str(path) else None

    def give(self, file: ProjectFile) -> None:
        """
        Trust a file as it is.

        Raises:
            StoreError: That cannot be kept.
        """
        self._keep(Trusted(str(file.file), file.digest, time.time()))

    def refuse(self, file: ProjectFile) -> None:
        """
        Have nothing of a file run, and nobody asked about it again.

        Raises:
            StoreError: That cannot be kept.
        """
        self._keep(Trusted(str(file.file), file.digest, time.time(), is_refused=True))

    def _keep(self, known: Trusted) -> None:
        # mkdir gives the mode to the last folder alone, and a daemon wants its state folder closed.
        for each in (self._folder.parent, self._folder):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        save(self._place(Path(known.path)), [known])

    def take(self, path: Path) -> bool:
        """Forget what was said of a file; return whether anything was."""
        place = self._place(path)
        was = place.exists()
        place.unlink(missing_ok=True)
        return was

    def all(self) -> list[Trusted]:
        """Return every file that was trusted or refused, by its place."""
        found = [
            each
            for file in sorted(self._folder.glob("*.json"))
            for each in load(file, list[Trusted], [])
        ]
        return sorted(found, key=lambda each: each.path)

    def _place(self, path: Path) -> Path:
        return self._folder / f"{hashlib.sha256(os.fsencode(path)).hexdigest()}.json"
