"""TaskFiles: the files of a project that its setting `tasks` names, and what is in them."""

from __future__ import annotations

import codecs
import errno
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rtevents.config.project_file import NAME, read_project_file
from rtevents.core.glob import MAX_GLOB, Glob
from rtevents.errors import ConfigError
from rtevents.producers.ignore import GIT_FOLDER, IgnoreRules, above
from rtevents.producers.snapshot import GONE, is_coded
from rtevents.producers.tasklist import TaskList, parse

MAX_BYTES = 1024**2
"""Bytes of a file beyond which it is not read."""

MAX_TASKS = 10_000
"""Tasks of a file beyond which they are not told."""

MAX_FILES = 1000
"""Files of a project beyond which the others are not read."""

WILD = frozenset("*?[")
"""What makes a name a pattern."""


def wrong_name(names: Sequence[str]) -> str | None:
    """Return what is wrong with the first of some names that cannot be used; None when all can."""
    for index, name in enumerate(names):
        parts = name.removeprefix("./").split("/")
        is_below = not name.startswith("~") and "" not in parts[:-1] and ".." not in parts
        if not (0 < len(name) <= MAX_GLOB and is_below and _is_name(name)):
            wanted = "a path or a pattern below the project, such as docs/**/*.md"
            return f"tasks[{index}]: expected {wanted}, got {name[:60]!r}"
    return None


def _is_name(name: str) -> bool:
    """Tell whether a system takes a name; YAML writes more than that."""
    try:
        return b"\0" not in name.encode()
    except UnicodeEncodeError:
        return False


class Mark(NamedTuple):
    """By what a file that has not changed is known."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class Named(NamedTuple):
    """
    What there is.

    Args:
        files: The files that are named, by their paths, in the order in which they are named.
        folders: Every folder in which one is, or may come to be, and its inode.
        left: How many more files there are than are read.
        trouble: Why the project's own file names none; None where it does, or is not there.
    """

    files: list[str]
    folders: dict[str, int]
    left: int = 0
    trouble: str | None = None


class Page(NamedTuple):
    """
    What a file holds.

    Args:
        tasks: Its tasks; None where that cannot be told, or there is no file.
        mark: Its mark; None where there is no file.
        is_gone: Whether there is no file.
        trouble: Why it is not read, where somebody has to do something about that.
    """

    tasks: TaskList | None
    mark: Mark | None
    is_gone: bool = False
    trouble: str | None = None


class TaskFiles:
    """
    Finds and reads the files. It waits for the disk: call it in a thread.

    A file that is named outright is read even where git ignores it; a pattern finds what git does
    not ignore. No link is followed, neither to a file nor to a folder.

    Args:
        root: The project's folder.
        names: Paths and patterns, relative to it; the project's own file may name others.
        ignore: Patterns from the settings, of files to leave out.
        own: Folders of the daemon's own, which are left out.
    """

    def __init__(
        self, root: Path, names: Sequence[str], ignore: Sequence[str], own: Sequence[Path]
    ) -> None:
        self._root = root
        self._ignore = ignore
        self._own = own
        self._given = [name.removeprefix("./") for name in names]
        self._names = self._given
        self._globs = _globs(self._given)

    def is_there(self, *, was_mount: bool) -> bool:
        """Tell whether the project's folder is there, and what is mounted on it, if that was."""
        if not self._root.is_dir():
            return False
        return not was_mount or os.path.ismount(self._root) or any(self._root.iterdir())

    def is_mount(self) -> bool:
        """Tell whether another file system is mounted at the project's folder."""
        return os.path.ismount(self._root)

    def inode(self) -> int:
        """Return the inode of the project's folder; 0 where there is none."""
        return _inode(self._root)

    def is_named(self, path: str) -> bool:
        """Tell whether a path, relative to the root, is one that is named, or names others."""
        if path == NAME:
            return True
        return path in self._names or any(glob.matches(path) for glob in self._globs.values())

    def find(self) -> Named:
        """Return what there is now."""
        folders = {"": self.inode()}
        own, trouble = self._own_names()
        self._names = [*dict.fromkeys([*self._given, *own])]
        self._globs = _globs(self._names)
        found: dict[str, None] = {}
        rules = None
        # What is below a folder, which many patterns may begin with.
        walked: dict[str, list[str]] = {}
        for name in self._names:
            if name not in self._globs:
                self._enter(name.rpartition("/")[0], folders)
                if os.path.lexists(self._root / name):
                    found[name] = None
                continue
            rules = rules or IgnoreRules(self._root, self._ignore, self._own)
            if (start := _start(name)) not in walked:
                walked[start] = [*self._walk(start, rules, folders)]
            matches = self._globs[name].matches
            found |= dict.fromkeys(path for path in walked[start] if matches(path))
        files = [path for path in found if not is_coded(path)]
        return Named(files[:MAX_FILES], folders, max(0, len(files) - MAX_FILES), trouble)

    def _own_names(self) -> tuple[list[str], str | None]:
        """Return what the project's own file names, and why that cannot be used."""
        try:
            file = read_project_file(self._root)
            names = file.tasks() if file is not None else []
        except ConfigError as error:
            return [], str(error)
        if wrong := wrong_name(names):
            return [], f"{self._root / NAME}: {wrong}"
        return [name.removeprefix("./") for name in names], None

    def read(self, path: str) -> Page:
        """Return what a file holds."""
        try:
            return self._read(path)
        except GONE:
            return Page(None, None, is_gone=True)
        except OSError as error:
            if error.errno == errno.ELOOP:
                return Page(None, None, trouble=f"{path} is a link: name the file itself")
            return Page(None, None, trouble=f"{path} cannot be read: {error.strerror}")

    def mark(self, path: str) -> Mark | None:
        """Return the mark of a file; None where there is none."""
        try:
            return _mark(os.lstat(self._root / path))
        except OSError:
            return None

    def _read(self, path: str) -> Page:
        opened = _open_below(self._root, path)
        with os.fdopen(opened, "rb") as file:
            status = os.fstat(opened)
            if not stat.S_ISREG(status.st_mode):
                return Page(None, None, trouble=f"{path} is no file")
            raw = file.read(MAX_BYTES + 1)
        mark = _mark(status)
        if len(raw) > MAX_BYTES:
            words = f"{path} is larger than {MAX_BYTES >> 20} MiB: split it"
            return Page(None, mark, trouble=words)
        text = _decode(raw)
        if text is None:
            return Page(None, mark, trouble=f"{path} is no text")
        tasks = parse(text)
        if tasks.is_conflicted:
            return Page(None, mark)
        if len(tasks.items) > MAX_TASKS:
            words = f"{path} has more than {MAX_TASKS:,} tasks: split it"
            return Page(None, mark, trouble=words)
        return Page(tasks, mark)

    def _enter(self, folder: str, folders: dict[str, int]) -> bool:
        """Note a folder and those around it, as far as they are there; tell whether it is."""
        for each in [*[*above(folder)][::-1], folder] if folder else []:
            if each not in folders:
                inode = _inode(self._root / each)
                if not inode:
                    return False
                folders[each] = inode
        return True

    def _walk(self, start: str, rules: IgnoreRules, folders: dict[str, int]) -> Iterator[str]:
        """Yield the files below a folder that are shown; note the folders."""
        if not self._enter(start, folders):
            return
        waiting = [start]
        while waiting:
            folder = waiting.pop()
            for name, is_folder in sorted(_listed(self._root / folder), reverse=True):
                path = f"{folder}/{name}" if folder else name
                if name == GIT_FOLDER or is_coded(path):
                    continue
                if rules.hides(path, is_folder=is_folder):
                    continue
                if not is_folder:
                    yield path
                elif inode := _inode(self._root / path):
                    folders[path] = inode
                    waiting.append(path)


def _globs(names: Sequence[str]) -> dict[str, Glob]:
    """Return the patterns among some names."""
    return {name: Glob(name) for name in names if WILD & set(name)}


def _start(pattern: str) -> str:
    """Return the folder below which all is that a pattern matches."""
    parts = pattern.split("/")
    first = next(at for at, part in enumerate(parts) if WILD & set(part))
    return "/".join(parts[:first])


def _listed(folder: Path) -> Collection[tuple[str, bool]]:
    """Return the files and the folders in a folder, no links; none where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return [
                (entry.name, entry.is_dir(follow_symlinks=False))
                for entry in entries
                if entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)
            ]
    except OSError:
        return []


def _inode(folder: Path) -> int:
    """Return the inode of a folder; 0 where there is none, or a link."""
    try:
        status = os.lstat(folder)
    except OSError:
        return 0
    return status.st_ino if stat.S_ISDIR(status.st_mode) else 0


def _open_below(root: Path, path: str) -> int:
    """Open a file below a folder, through no link: a project must not show what is not its own."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    folder = os.open(root, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        *folders, name = path.split("/")
        for each in folders:
            inner = os.open(each, flags | os.O_DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        # Not blocking: it may be a pipe.
        return os.open(name, flags | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=folder)
    finally:
        os.close(folder)


def _mark(status: os.stat_result) -> Mark:
    return Mark(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


def _decode(raw: bytes) -> str | None:
    """Return what is written; bytes that are not UTF-8 as U+FFFD; None for what is no text."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16", "replace")
    return None if b"\0" in raw else raw.decode("utf-8-sig", "replace")
