"""Which files git would ignore: the rules of gitignore(5), for repositories and plain folders."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from rtevents.producers.pattern import Pattern

IGNORE_FILE = ".gitignore"
GIT_FOLDER = ".git"
EXCLUDES = "info/exclude"


class IgnoreRules:
    """
    The rules of one project, read when they are needed.

    Args:
        root: The project's folder.
        extra: Patterns from the settings; they come before all others.
    """

    def __init__(self, root: Path, extra: Sequence[str] = ()) -> None:
        self._root = root
        self._extra = _parse([os.fsencode(line) for line in extra])
        self._outer = [_read(_own_excludes(root)), _read(_global_excludes(root))]
        # Folder, relative to the root, -> the rules of its own ignore file.
        self._inner: dict[str, list[Pattern]] = {}
        self._folders: dict[str, bool] = {"": False}

    def hides(self, path: str, *, is_folder: bool = False) -> bool:
        """
        Tell whether a path is ignored.

        Args:
            path: Relative to the root, `/` between its parts.
        """
        parts = path.split("/")
        if GIT_FOLDER in parts:
            return True
        folder = "/".join(parts[:-1])
        if self._hides_folder(folder):
            return True
        return (
            self._hides_folder(path) if is_folder else self._matches(path, folder, is_folder=False)
        )

    def forget(self, folder: str) -> None:
        """Read the rules in and below a folder again: it may be another one by now."""
        for known in [*self._inner]:
            if known == folder or known.startswith(f"{folder}/"):
                del self._inner[known]
        for known in [*self._folders]:
            if known.startswith(f"{folder}/"):
                del self._folders[known]

    def _hides_folder(self, folder: str) -> bool:
        """Tell whether a folder, or one around it, is ignored: nothing in it can come back."""
        known = self._folders.get(folder)
        if known is None:
            above = folder.rpartition("/")[0]
            known = self._hides_folder(above) or self._matches(folder, above, is_folder=True)
            self._folders[folder] = known
        return known

    def _matches(self, path: str, folder: str, *, is_folder: bool) -> bool:
        """Ask the rules from the nearest to the farthest: the first that has a word decides."""
        whole = os.fsencode(path)
        name = whole.rpartition(b"/")[2]
        if self._extra and (word := _word(self._extra, whole, name, is_folder)) is not None:
            return word
        while True:
            inner = os.fsencode(path[len(folder) + 1 :]) if folder else whole
            if (word := _word(self._of(folder), inner, name, is_folder)) is not None:
                return word
            if not folder:
                break
            folder = folder.rpartition("/")[0]
        for rules in self._outer:
            if (word := _word(rules, whole, name, is_folder)) is not None:
                return word
        return False

    def _of(self, folder: str) -> list[Pattern]:
        if folder not in self._inner:
            self._inner[folder] = _read(self._root / folder / IGNORE_FILE)
        return self._inner[folder]


def is_rule_file(path: str) -> bool:
    """Tell whether a change of this path, relative to the root, changes the rules."""
    return PurePosixPath(path).name == IGNORE_FILE or path == f"{GIT_FOLDER}/{EXCLUDES}"


def _word(rules: Sequence[Pattern], path: bytes, name: bytes, is_folder: bool) -> bool | None:
    """Return what the last pattern says that matches; None when none does."""
    for pattern in rules:
        if pattern.matches(path, name, is_folder=is_folder):
            return pattern.hides
    return None


def _read(file: Path) -> list[Pattern]:
    """Return the patterns of a file; git follows no symlink here either."""
    try:
        if file.is_symlink() and file.name == IGNORE_FILE:
            return []
        text = file.read_bytes()
    except OSError:
        return []
    lines = text.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return _parse([line.removesuffix(b"\r") for line in lines])


def _parse(lines: Sequence[bytes]) -> list[Pattern]:
    """Return the patterns, the last first: it decides."""
    patterns = [Pattern.parse(line) for line in reversed(lines)]
    return [pattern for pattern in patterns if pattern is not None]


def _own_excludes(root: Path) -> Path:
    """Return the repository's own ignore file; a linked work tree's is elsewhere."""
    if (root / GIT_FOLDER).is_file():
        told = _ask(root, "rev-parse", "--path-format=absolute", "--git-path", EXCLUDES)
        return Path(told) if told else root / GIT_FOLDER / EXCLUDES
    return root / GIT_FOLDER / EXCLUDES


def _global_excludes(root: Path) -> Path:
    """Return the user's own ignore file: `core.excludesFile`, else where git looks by itself."""
    told = _ask(root, "config", "--path", "--get", "core.excludesFile")
    if told:
        return root / told
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "git" / "ignore"


def _ask(root: Path, *arguments: str) -> str:
    """Return what git says; nothing when it fails."""
    try:
        told = subprocess.run(
            ["git", *arguments],
            cwd=root,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=10,
            check=False,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return os.fsdecode(told.removesuffix(b"\n"))
