"""Which files git would ignore: the rules of gitignore(5), for repositories and plain folders."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from rtevents.producers.mark import Mark, mark
from rtevents.producers.pattern import Pattern

IGNORE_FILE = ".gitignore"
GIT_FOLDER = ".git"
EXCLUDES = "info/exclude"


class IgnoreRules:
    """
    The rules of one project, read when they are needed.

    A project below the top of its repository has the rules of the folders around it too, unless
    those hide the whole project: who has it watched wants to see it.

    Args:
        root: The project's folder.
        extra: Patterns from the settings; they come before all others.
    """

    def __init__(self, root: Path, extra: Sequence[str] = ()) -> None:
        self._extra = _parse([os.fsencode(line) for line in extra])
        self._top, self._prefix = _place(root)
        self._marks: dict[Path, Mark | None] = {}
        # All paths below are relative to the top.
        users = self._note(_global_excludes(self._top))
        self._outer = [self._note(_own_excludes(root)), users]
        # Folder -> the rules of its own ignore file.
        self._inner: dict[str, list[Pattern]] = {}
        self._folders: dict[str, bool] = {"": False}
        for folder in _around(self._prefix):
            self._inner[folder] = self._note(self._top / folder / IGNORE_FILE)
        if self._prefix and self._hides_folder(self._prefix[:-1]):
            self._top, self._prefix, self._outer = root, "", [users]
            self._inner, self._folders = {}, {"": False}

    @property
    def is_stale(self) -> bool:
        """Whether a file with rules that is not below the root changed since it was read."""
        return any(mark(file) != known for file, known in self._marks.items())

    def hides(self, path: str, *, is_folder: bool = False) -> bool:
        """
        Tell whether a path is ignored.

        Args:
            path: Relative to the root, `/` between its parts.
        """
        if GIT_FOLDER in path.split("/"):
            return True
        path = self._prefix + path
        folder = path.rpartition("/")[0]
        if self._hides_folder(folder):
            return True
        return (
            self._hides_folder(path) if is_folder else self._matches(path, folder, is_folder=False)
        )

    def forget(self, folder: str) -> None:
        """Read the rules in and below a folder again: it may be another one by now."""
        folder = self._prefix + folder
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
        if self._extra and path.startswith(self._prefix):
            within = os.fsencode(path.removeprefix(self._prefix))
            if (word := _word(self._extra, within, name, is_folder)) is not None:
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
            self._inner[folder] = _read(self._top / folder / IGNORE_FILE)
        return self._inner[folder]

    def _note(self, file: Path) -> list[Pattern]:
        """Read a file that no watch of the project looks at."""
        self._marks[file] = mark(file)
        return _read(file)


def is_rule_file(path: str) -> bool:
    """Tell whether a change of this path, relative to the root, changes the rules."""
    return PurePosixPath(path).name == IGNORE_FILE


def _word(rules: Sequence[Pattern], path: bytes, name: bytes, is_folder: bool) -> bool | None:
    """Return what the last pattern says that matches; None when none does."""
    for pattern in rules:
        if pattern.matches(path, name, is_folder=is_folder):
            return pattern.hides
    return None


def _read(file: Path) -> list[Pattern]:
    """Return the patterns of a file; git follows no symlink here either."""
    try:
        # Whoever opens a pipe waits for its writer.
        if not file.is_file() or (file.is_symlink() and file.name == IGNORE_FILE):
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


def _place(root: Path) -> tuple[Path, str]:
    """Return the top of the repository around a folder, and the way from there: `packages/web/`."""
    if (root / GIT_FOLDER).exists():
        return root, ""
    prefix = _ask(root, "rev-parse", "--show-prefix")
    depth = prefix.count("/")
    return (root.parents[depth - 1], prefix) if depth else (root, "")


def _around(prefix: str) -> Iterator[str]:
    """Yield each folder on the way to a prefix, the top first, which is the empty string."""
    for at, char in enumerate(prefix):
        if char == "/":
            yield prefix[:at].rpartition("/")[0]


def _own_excludes(root: Path) -> Path:
    """Return the repository's own ignore file: it is elsewhere for all but a plain work tree."""
    if not (root / GIT_FOLDER).is_dir():
        told = _ask(root, "rev-parse", "--path-format=absolute", "--git-path", EXCLUDES)
        if told:
            return Path(told)
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
