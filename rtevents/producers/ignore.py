"""Which files git would ignore: the rules of gitignore(5), for repositories and plain folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import msgspec

from rtevents.config.project_file import NAME, read_project_file
from rtevents.errors import BadInput, ConfigError
from rtevents.producers.ask import ask
from rtevents.producers.mark import Mark, mark
from rtevents.producers.pattern import Origin, Pattern

IGNORE_FILE = ".gitignore"
GIT_FOLDER = ".git"
EXCLUDES = "info/exclude"

SETTING = "ignore"
"""The name of the project's setting that holds patterns."""


class Explanation(msgspec.Struct, frozen=True):
    """
    Why a path is hidden, or shown.

    Args:
        hides: Whether it is hidden.
        rule: The rule that decides; None where no rule has a word.
        folder: The folder that is hidden with all that is in it; None where the path itself is.
        is_tracked: Whether it is shown against a rule because git tracks it.
    """

    hides: bool
    rule: Origin | None = None
    folder: str | None = None
    is_tracked: bool = False


class IgnoreRules:
    """
    The rules of one project, read when they are needed.

    A project below the top of its repository has the rules of the folders around it too, unless
    those hide the whole project: who has it watched wants to see it. A file that git tracks is
    shown whatever the rules of git say, as it is by git.

    Args:
        root: The project's folder.
        extra: Patterns from the settings; they come before all others, those of the project's own
            file next.
        own: Folders of the daemon's own, which are hidden whatever the rules say.
    """

    def __init__(self, root: Path, extra: Sequence[str] = (), own: Sequence[Path] = ()) -> None:
        self._root = root
        self._own = [*_below(root, own)]
        self._is_gits = _is_git_folder(root)
        self._top, self._prefix = _place(root)
        told = _ask(root, "config", "--type=bool", "--get", "core.ignoreCase")
        self._any_case = told == "true"
        self._marks: dict[Path, Mark | None] = {}
        # What a repository asks for comes after the user's word.
        self._extra = self._parse([os.fsencode(line) for line in extra], SETTING)
        self._extra += self._project_file()
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
        # Files that git tracks though a rule hides them, relative to the root, and their folders.
        self._index = _git_path(root, "index")
        self._index_mark = mark(self._index) if self._index else None
        self._tracked = _tracked(root) if self._index else frozenset()
        self._tracked_folders = {folder for path in self._tracked for folder in above(path)}

    @property
    def is_stale(self) -> bool:
        """Whether a file with rules that is not below the root changed since it was read."""
        if any(mark(file) != known for file, known in self._marks.items()):
            return True
        if self._index is None or (now := mark(self._index)) == self._index_mark:
            return False
        self._index_mark = now
        return _tracked(self._root) != self._tracked

    def hides(self, path: str, *, is_folder: bool = False) -> bool:
        """
        Tell whether a path is ignored.

        Args:
            path: Relative to the root, `/` between its parts.
        """
        if self.is_gits(path) or self.is_own(path):
            return True
        if path in (self._tracked_folders if is_folder else self._tracked):
            return self._extra_hides(path, is_folder=is_folder)
        path = self._prefix + path
        folder = path.rpartition("/")[0]
        if self._hides_folder(folder):
            return True
        if is_folder:
            return self._hides_folder(path)
        rule = self._decides(path, folder, is_folder=False)
        return rule is not None and rule.hides

    def is_gits(self, path: str) -> bool:
        """Tell whether a path is git's own: in a git folder, which the root itself may be."""
        return self._is_gits or GIT_FOLDER in path.split("/")

    def is_own(self, path: str) -> bool:
        """Tell whether a path is the daemon's own: to tell of it would change it again."""
        return any(not own or path == own or path.startswith(f"{own}/") for own in self._own)

    def explain(self, path: str, *, is_folder: bool = False) -> Explanation:
        """
        Tell why a path is ignored, or is not.

        Args:
            path: Relative to the root, `/` between its parts.
        """
        hides = self.hides(path, is_folder=is_folder)
        if self.is_gits(path) or self.is_own(path):
            return Explanation(hides)
        whole = self._prefix + path
        for folder in reversed([*above(whole)]):
            rule = self._decides(folder, folder.rpartition("/")[0], is_folder=True)
            if rule is not None and rule.hides:
                place = folder.removeprefix(self._prefix)
                return Explanation(hides, rule.origin, place, is_tracked=not hides)
        rule = self._decides(whole, whole.rpartition("/")[0], is_folder=is_folder)
        is_tracked = rule is not None and rule.hides and not hides
        return Explanation(hides, rule.origin if rule else None, is_tracked=is_tracked)

    def forget(self, folder: str) -> None:
        """Read the rules in and below a folder again: it may be another one by now."""
        folder = self._prefix + folder
        for known in [*self._inner]:
            if known == folder or known.startswith(f"{folder}/"):
                del self._inner[known]
        for known in [*self._folders]:
            if known.startswith(f"{folder}/"):
                del self._folders[known]

    def _extra_hides(self, path: str, *, is_folder: bool) -> bool:
        """Tell whether the settings hide a path, or a folder around it."""
        for place in [*above(path), path]:
            raw = self._raw(place)
            name = raw.rpartition(b"/")[2]
            rule = _word(self._extra, raw, name, is_folder or place != path)
            if rule is not None and rule.hides:
                return True
        return False

    def _hides_folder(self, folder: str) -> bool:
        """Tell whether a folder, or one around it, is ignored: nothing in it can come back."""
        known = self._folders.get(folder)
        if known is None:
            parent = folder.rpartition("/")[0]
            known = self._hides_folder(parent)
            if not known:
                rule = self._decides(folder, parent, is_folder=True)
                known = rule is not None and rule.hides
            self._folders[folder] = known
        return known

    def _decides(self, path: str, folder: str, *, is_folder: bool) -> Pattern | None:
        """Ask the rules from the nearest to the farthest: the first that has a word decides."""
        whole = self._raw(path)
        name = whole.rpartition(b"/")[2]
        if self._extra and path.startswith(self._prefix):
            within = self._raw(path.removeprefix(self._prefix))
            if (rule := _word(self._extra, within, name, is_folder)) is not None:
                return rule
        while True:
            inner = self._raw(path[len(folder) + 1 :]) if folder else whole
            if (rule := _word(self._of(folder), inner, name, is_folder)) is not None:
                return rule
            if not folder:
                break
            folder = folder.rpartition("/")[0]
        for rules in self._outer:
            if (rule := _word(rules, whole, name, is_folder)) is not None:
                return rule
        return None

    def _raw(self, path: str) -> bytes:
        """Return a path as patterns are compared with it."""
        raw = os.fsencode(path)
        return raw.lower() if self._any_case else raw

    def _of(self, folder: str) -> list[Pattern]:
        if folder not in self._inner:
            self._inner[folder] = self._read(self._top / folder / IGNORE_FILE)
        return self._inner[folder]

    def _note(self, file: Path) -> list[Pattern]:
        """Read a file that no watch of the project looks at."""
        self._marks[file] = mark(file)
        return self._read(file)

    def _project_file(self) -> list[Pattern]:
        """Return the patterns of the project's own file; none where it cannot be used."""
        self._marks[self._root / NAME] = mark(self._root / NAME)
        try:
            file = read_project_file(self._root)
            lines = file.ignore() if file is not None else []
        except ConfigError:  # whoever reads its risks tells that
            lines = []
        return self._parse(
            [line.encode(errors="replace") for line in lines], str(self._root / NAME)
        )

    def _read(self, file: Path) -> list[Pattern]:
        """Return the patterns of a file; git follows no symlink here either."""
        try:
            # Whoever opens a pipe waits for its writer.
            if not file.is_file() or (file.is_symlink() and file.name == IGNORE_FILE):
                return []
            text = file.read_bytes()
        except OSError:
            return []
        lines = text.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        return self._parse([line.removesuffix(b"\r") for line in lines], str(file))

    def _parse(self, lines: Sequence[bytes], file: str) -> list[Pattern]:
        """Return the patterns, the last first: it decides."""
        patterns = [
            Pattern.parse(
                line,
                Origin(file, number, line.decode(errors="replace")),
                any_case=self._any_case,
            )
            for number, line in enumerate(lines, 1)
        ]
        return [pattern for pattern in reversed(patterns) if pattern is not None]


def _below(root: Path, folders: Sequence[Path]) -> Iterator[str]:
    """Yield those folders that are below the root, relative to it; the root itself is empty."""
    for folder in folders:
        if root.is_relative_to(folder):
            yield ""
        elif folder.is_relative_to(root):
            yield str(folder.relative_to(root))


def _is_git_folder(root: Path) -> bool:
    """Tell whether a folder is a git folder itself, as of a bare repository (git's setup.c)."""
    return (root / "HEAD").exists() and all((root / name).is_dir() for name in ("objects", "refs"))


def is_rule_file(path: str) -> bool:
    """Tell whether a change of this path, relative to the root, changes the rules."""
    return path == NAME or PurePosixPath(path).name == IGNORE_FILE


def _word(rules: Sequence[Pattern], path: bytes, name: bytes, is_folder: bool) -> Pattern | None:
    """Return the last pattern that matches; None when none does."""
    for pattern in rules:
        if pattern.matches(path, name, is_folder=is_folder):
            return pattern
    return None


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


def above(path: str) -> Iterator[str]:
    """Yield every folder around a path, the nearest first."""
    while path := path.rpartition("/")[0]:
        yield path


def _own_excludes(root: Path) -> Path:
    """Return the repository's own ignore file."""
    return _git_path(root, EXCLUDES) or root / GIT_FOLDER / EXCLUDES


def _git_path(root: Path, name: str) -> Path | None:
    """Return a file of the repository: it is elsewhere for all but a plain work tree."""
    if (root / GIT_FOLDER).is_dir():
        return root / GIT_FOLDER / name
    told = _ask(root, "rev-parse", "--path-format=absolute", "--git-path", name)
    return Path(told) if told else None


def _tracked(root: Path) -> frozenset[str]:
    """Return the files that git tracks though a rule hides them."""
    told = _ask(root, "ls-files", "--cached", "--ignored", "--exclude-standard", "-z")
    return frozenset(told.split("\0")) - {""}


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
        return ask(root, *arguments)
    except BadInput:
        return ""
