"""Snapshot: the files of a project as they were last seen, and what differs from that now."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from urllib.parse import quote_from_bytes

import msgspec

from rtevents.producers.birth import born_ns
from rtevents.producers.change import Change, Seen, changes
from rtevents.producers.ignore import GIT_FOLDER, IgnoreRules, above

GONE = (FileNotFoundError, NotADirectoryError)
"""What says that a file is not there any more; whatever else fails says nothing about that."""


class Snapshot:
    """
    The files of one project.

    Args:
        root: The project's folder.
        rules: Which files are left out.
        files: What was seen before.

    Attributes:
        is_retaken: Whether files came without a change that tells of it.
        shown: Every folder that is shown, as far as it was looked into; the root is empty.
        entered: Folders that came, or came anew, since somebody emptied this.
        work_trees: Folders that are the top of a work tree of git; not the root.
    """

    def __init__(self, root: Path, rules: IgnoreRules, files: dict[str, Seen]) -> None:
        self._root = root
        self._rules = rules
        self._files: dict[str, Seen] = {}
        # Folder -> how many files it holds, however deep.
        self._folders: Counter[str] = Counter()
        self._take(files)
        self.is_retaken = False
        self.shown: set[str] = {"", *self._folders}
        self.entered: set[str] = set()
        self.work_trees: set[str] = set()

    @property
    def files(self) -> Mapping[str, Seen]:
        """Every file by its path."""
        return self._files

    @property
    def has_stale_rules(self) -> bool:
        """Whether a file with rules that no hint tells of has changed."""
        return self._rules.is_stale

    def scan(self) -> None:
        """Take every file as it is now."""
        self._take(self._walk(""))

    def compare_all(self, rules: IgnoreRules, hints: Iterable[str] = ()) -> list[Change]:
        """
        Look at every file, by rules read anew; return what changed, and remember it.

        Args:
            hints: Paths that may be folders which came in the place of others.
        """
        before, self._rules = self._rules, rules
        self._leave({*hints} & self.shown)
        changes = self._settle(self._walk(""), set(self._files))
        return [_by_rules(change, before, rules) for change in changes]

    def compare(self, hints: Iterable[str]) -> list[Change]:
        """
        Look at the paths that are hinted at; return what changed, and remember it.

        A folder is looked at with all that is in it: what appeared with it was not hinted at.

        Args:
            hints: Paths relative to the root.
        """
        now: dict[str, Seen] = {}
        looked = set(hints)
        folders = {path for path in looked if path not in self._files} & self._folders.keys()
        self._leave(looked & self.shown)
        for path in sorted(looked):
            if path.endswith(f"/{GIT_FOLDER}") and (self._root / path).exists():
                self.work_trees.add(path.rpartition("/")[0])
            found = self._look(path)
            if isinstance(found, Seen):
                now[path] = found
            elif found:
                self._rules.forget(path)
                now |= self._walk(path)
        if folders:
            looked.update(path for path in self._files if not folders.isdisjoint(above(path)))
        return self._settle(now, looked)

    def inside(self, folder: str) -> set[str]:
        """Return the files that are right in a folder, or were, and folders that came or went."""
        known = {path for path in self._files if path.rpartition("/")[0] == folder}
        folders = {path for path in self.shown if path and path.rpartition("/")[0] == folder}
        listing = self._enter(folder)
        if listing is None:
            return known
        entries = {f"{folder}/{each.name}" if folder else each.name: each for each in listing}
        same = {
            path for path in folders & entries.keys() if entries[path].is_dir(follow_symlinks=False)
        }
        return (known | folders | entries.keys()) - same

    def _take(self, files: dict[str, Seen]) -> None:
        self._files = files
        self.is_retaken = True
        self._folders = Counter(folder for path in files for folder in above(path))

    def _drop(self, paths: Iterable[str]) -> None:
        for path in paths:
            del self._files[path]
            for folder in above(path):
                self._folders[folder] -= 1
                if not self._folders[folder]:
                    del self._folders[folder]

    def _leave(self, folders: Set[str]) -> None:
        """Forget folders, and those in them: they may be gone, or others by now."""
        if folders:
            self.shown = {
                each
                for each in self.shown
                if each not in folders and folders.isdisjoint(above(each))
            }

    def _look(self, path: str) -> Seen | bool | None:
        """Return a file as it is, True for a folder, else nothing that is shown."""
        try:
            status = os.lstat(self._root / path)
        except GONE:
            return None
        except OSError:
            return self._files.get(path)
        if stat.S_ISDIR(status.st_mode):
            return not self._rules.hides(path, is_folder=True)
        if not _is_file(status.st_mode) or self._rules.hides(path):
            return None
        return _seen(status)

    def _settle(self, now: dict[str, Seen], looked: set[str]) -> list[Change]:
        looked |= now.keys()
        before = {path: self._files[path] for path in looked if path in self._files}
        found = changes(before, now, self._is_same)
        self._drop(before.keys() - now.keys())
        self._files |= now
        self._folders.update(
            folder for path in now.keys() - before.keys() for folder in above(path)
        )
        return found

    def _is_same(self, path: str, was: Seen) -> bool:
        """Tell whether a file is the one that was seen elsewhere: it was made before that."""
        born = born_ns(self._root / path, was.inode)
        return born is not None and born <= was.mtime_ns

    def _walk(self, folder: str) -> dict[str, Seen]:
        """Return every file below a folder that is shown; symlinks are files, never followed."""
        found: dict[str, Seen] = {}
        waiting = [folder]
        before = self.shown
        if not folder:
            self.shown, self.work_trees = set(), set()
        while waiting:
            folder = waiting.pop()
            if folder not in before:
                self.entered.add(folder)
            self.shown.add(folder)
            entries = self._enter(folder)
            if entries is None:
                # What cannot be read for now, as when files are open without end, is not gone.
                found |= self._below(folder)
                continue
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    if not self._rules.hides(path, is_folder=True):
                        waiting.append(path)
                elif not self._rules.hides(path) and (seen := _status_of(entry)):
                    found[path] = seen
        return found

    def _enter(self, folder: str) -> list[os.DirEntry[str]] | None:
        """Return what is in a folder, nothing of one that is gone; None where that is unknown."""
        try:
            with os.scandir(self._root / folder) as listing:
                entries = list(listing)
        except GONE:
            return []
        except OSError:
            return None
        if folder and any(entry.name == GIT_FOLDER for entry in entries):
            self.work_trees.add(folder)
        return entries

    def _below(self, folder: str) -> dict[str, Seen]:
        """Return what is known to be in a folder."""
        if folder and folder not in self._folders:
            return {}
        start = f"{folder}/" if folder else ""
        return {path: seen for path, seen in self._files.items() if path.startswith(start)}


def _by_rules(change: Change, before: IgnoreRules, now: IgnoreRules) -> Change:
    """Return a change with the note that other rules show or hide the file, where they do."""
    is_shown = change.kind == "created" and before.hides(change.path)
    is_hidden = change.kind == "deleted" and now.hides(change.path)
    if is_shown or is_hidden:
        return msgspec.structs.replace(change, is_by_rules=True)
    return change


def _status_of(entry: os.DirEntry[str]) -> Seen | None:
    """Return a file as it is; None for one that went while the folder was read, or is no file."""
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return None
    return _seen(status) if _is_file(status.st_mode) else None


def shown(path: str) -> str:
    """Return a path as an event tells it; one that ``is_coded`` as a URL would, `%` as `%25`."""
    if not is_coded(path):
        return path
    return "".join(
        quote_from_bytes(os.fsencode(character))
        if character == "%" or "\ud800" <= character <= "\udfff"
        else character
        for character in path
    )


def is_coded(path: str) -> bool:
    """Tell whether a path holds bytes that are not UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return True
    return False


def _is_file(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def _seen(status: os.stat_result) -> Seen:
    return Seen(
        status.st_ino,
        status.st_dev,
        status.st_size,
        status.st_mtime_ns,
        bool(status.st_mode & stat.S_IXUSR),
    )
