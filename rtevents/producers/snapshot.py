"""Snapshot: the files of a project as they were last seen, and what differs from that now."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote_from_bytes

import msgspec

from rtevents.producers.ignore import IgnoreRules


class Seen(msgspec.Struct, frozen=True):
    """A file as it was last seen; equal when nothing about it changed."""

    inode: int
    device: int
    size: int
    mtime_ns: int


class Change(msgspec.Struct, frozen=True):
    """
    What happened to a file.

    Args:
        path: Relative to the root, as the system names it.
        kind: ``created modified deleted renamed``.
        old_path: Where it was before, when renamed.
        size: Bytes now; None when it is gone.
    """

    path: str
    kind: str
    old_path: str | None = None
    size: int | None = None


class Snapshot:
    """
    The files of one project.

    Args:
        root: The project's folder.
        rules: Which files are left out.
    """

    def __init__(self, root: Path, rules: IgnoreRules) -> None:
        self._root = root
        self._rules = rules
        self._files: dict[str, Seen] = {}
        # Every folder that held a file at some time.
        self._folders: set[str] = set()

    def scan(self) -> None:
        """Take every file as it is now."""
        self._files = self._walk("")
        self._note_folders(self._files)

    def follow(self, rules: IgnoreRules) -> None:
        """Use other rules: what they show or hide has not changed for that."""
        before, self._rules = self._rules, rules
        # A file that is known keeps its place until its change is told.
        known = {path: seen for path, seen in self._files.items() if not rules.hides(path)}
        # One that was not hidden and is not known is new: that is still to be told.
        shown = {path: seen for path, seen in self._walk("").items() if before.hides(path)}
        self._files = shown | known
        self._note_folders(shown)

    def compare_all(self) -> list[Change]:
        """Look at every file; return what changed, and remember it."""
        return self._settle(self._walk(""), set(self._files))

    def compare(self, hints: Iterable[str]) -> list[Change]:
        """
        Look at the paths that are hinted at; return what changed, and remember it.

        A folder is looked at with all that is in it: what appeared with it was not hinted at.

        Args:
            hints: Paths relative to the root.
        """
        now: dict[str, Seen] = {}
        looked = {path for path in hints if not self._is_below_link(path)}
        folders = {path for path in looked if path not in self._files} & self._folders
        for path in sorted(looked):
            found = self._look(path)
            if isinstance(found, Seen):
                now[path] = found
            elif found:
                self._rules.forget(path)
                now |= self._walk(path)
        if folders:
            looked.update(path for path in self._files if not folders.isdisjoint(_above(path)))
        return self._settle(now, looked)

    def _is_below_link(self, path: str) -> bool:
        """Tell whether the way to a path leads over a symlink: the watch follows them."""
        folder = str(self._root / os.path.dirname(path))  # noqa: PTH120 - for every hint
        return os.path.realpath(folder) != folder

    def _note_folders(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._folders.update(_above(path))

    def _look(self, path: str) -> Seen | bool | None:
        """Return a file as it is, True for a folder, else nothing that is shown."""
        try:
            status = os.lstat(self._root / path)
        except OSError:
            return None
        if stat.S_ISDIR(status.st_mode):
            return not self._rules.hides(path, is_folder=True)
        if not _is_file(status.st_mode) or self._rules.hides(path):
            return None
        return _seen(status)

    def _settle(self, now: dict[str, Seen], looked: set[str]) -> list[Change]:
        before = {path: self._files[path] for path in looked if path in self._files}
        created = {path: seen for path, seen in now.items() if path not in self._files}
        gone = {path: seen for path, seen in before.items() if path not in now}
        changes = [
            Change(path, "modified", size=seen.size)
            for path, seen in now.items()
            if path in self._files and self._files[path] != seen
        ]
        # A file that moved is the same file: an inode alone may have been given anew.
        places = {seen: path for path, seen in gone.items()}
        for path, seen in created.items():
            old_path = places.pop(seen, None)
            if old_path is None:
                changes.append(Change(path, "created", size=seen.size))
            else:
                changes.append(Change(path, "renamed", old_path=old_path, size=seen.size))
                del gone[old_path]
                del self._files[old_path]
        changes += [Change(path, "deleted") for path in gone]
        for path in gone:
            del self._files[path]
        self._files |= now
        self._note_folders(created)
        return sorted(changes, key=lambda change: (change.kind != "deleted", change.path))

    def _walk(self, folder: str) -> dict[str, Seen]:
        """Return every file below a folder that is shown; symlinks are files, never followed."""
        found: dict[str, Seen] = {}
        waiting = [folder]
        while waiting:
            folder = waiting.pop()
            try:
                with os.scandir(self._root / folder if folder else self._root) as entries:
                    for entry in entries:
                        path = f"{folder}/{entry.name}" if folder else entry.name
                        if entry.is_dir(follow_symlinks=False):
                            if not self._rules.hides(path, is_folder=True):
                                waiting.append(path)
                        elif not self._rules.hides(path):
                            status = entry.stat(follow_symlinks=False)
                            if _is_file(status.st_mode):
                                found[path] = _seen(status)
            except OSError:
                continue  # it went while we looked, or is not ours to read
        return found


def _above(path: str) -> Iterator[str]:
    """Yield every folder around a path, the nearest first."""
    while path := path.rpartition("/")[0]:
        yield path


def shown(path: str) -> str:
    """Return a path as an event tells it: bytes that are not UTF-8 as `%XX`, like a URL's."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "".join(
            quote_from_bytes(os.fsencode(character))
            if "\ud800" <= character <= "\udfff"
            else character
            for character in path
        )
    return path


def _is_file(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def _seen(status: os.stat_result) -> Seen:
    return Seen(status.st_ino, status.st_dev, status.st_size, status.st_mtime_ns)
