"""Which files git would ignore: the rules of gitignore(5), for repositories and plain folders."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec

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
        self._extra = _spec(extra)
        self._outer = [_read(_own_excludes(root)), _read(_global_excludes(root))]
        # Folder, relative to the root, -> the rules of its own ignore file.
        self._inner: dict[str, GitIgnoreSpec | None] = {}
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
        return self._hides_folder(path) if is_folder else self._matches(path, folder)

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
            known = self._hides_folder(above) or self._matches(f"{folder}/", above)
            self._folders[folder] = known
        return known

    def _matches(self, path: str, folder: str) -> bool:
        """Ask the rules from the nearest to the farthest: the first that has a word decides."""
        if self._extra and (word := self._extra.check_file(path).include) is not None:
            return word
        while True:
            rules = self._of(folder)
            if rules is not None:
                inner = path[len(folder) + 1 :] if folder else path
                if (word := rules.check_file(inner).include) is not None:
                    return word
            if not folder:
                break
            folder = folder.rpartition("/")[0]
        for rules in self._outer:
            if rules is not None and (word := rules.check_file(path).include) is not None:
                return word
        return False

    def _of(self, folder: str) -> GitIgnoreSpec | None:
        if folder not in self._inner:
            self._inner[folder] = _read(self._root / folder / IGNORE_FILE)
        return self._inner[folder]


def is_rule_file(path: str) -> bool:
    """Tell whether a change of this path, relative to the root, changes the rules."""
    return PurePosixPath(path).name == IGNORE_FILE or path == f"{GIT_FOLDER}/{EXCLUDES}"


def _read(file: Path) -> GitIgnoreSpec | None:
    """Return the rules of a file; None when there are none. git follows no symlink here either."""
    try:
        if file.is_symlink() and file.name == IGNORE_FILE:
            return None
        text = file.read_bytes()
    except OSError:
        return None
    lines = text.decode(errors="surrogateescape").removeprefix("\ufeff").split("\n")
    return _spec([line.removesuffix("\r") for line in lines])


def _spec(patterns: Sequence[str]) -> GitIgnoreSpec | None:
    spec = GitIgnoreSpec.from_lines(patterns)
    return spec if any(pattern.include is not None for pattern in spec.patterns) else None


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
