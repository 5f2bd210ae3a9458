"""Snapshot: the files of a project as they were last seen, and what differs from that now."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from urllib.parse import quote_from_bytes

import msgspec

from rtevents.producers.ignore import IgnoreRules, above

GONE = (FileNotFoundError, NotADirectoryError)
"""What says that a file is not there any more; whatever else fails says nothing about that."""


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """A file as it was last seen; equal when nothing about it changed."""

    inode: int
    device: int
    size: int
    mtime_ns: int

    def on(self, device: int) -> Seen:
        """Return the same file where its device has another number."""
        if device == self.device:
            return self
        return Seen(self.inode, device, self.size, self.mtime_ns)


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
        files: What was seen before.

    Attributes:
        is_retaken: Whether files came or went without a change that tells of it.
        shown: Every folder that is shown, as far as it was looked into; the root is empty.
        entered: Folders that came, or came anew, since somebody emptied this.
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

    def follow(self, rules: IgnoreRules) -> None:
        """Use other rules: what they show or hide has not changed for that."""
        before, self._rules = self._rules, rules
        self._adopt(before, self._walk(""))

    def compare_all(self, rules: IgnoreRules) -> list[Change]:
        """Look at every file, by rules read anew; return what changed, and remember it."""
        before, self._rules = self._rules, rules
        now = self._walk("")
        self._adopt(before, now)
        return self._settle(now, set(self._files))

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
            found = self._look(path)
            if isinstance(found, Seen):
                now[path] = found
            elif found:
                self._rules.forget(path)
                now |= self._walk(path)
        if folders:
            looked.update(path for path in self._files if not folders.isdisjoint(above(path)))
        return self._settle(now, looked)

    def _adopt(self, before: IgnoreRules, now: dict[str, Seen]) -> None:
        """Take the files that other rules hid `before`; leave those that are hidden now."""
        # A file that is known keeps its place until its change is told.
        known = {path: seen for path, seen in self._files.items() if not self._rules.hides(path)}
        # One that was not hidden and is not known is new: that is still to be told.
        shown = {path: seen for path, seen in now.items() if before.hides(path)}
        if shown or len(known) < len(self._files):
            self._take(shown | known)

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
            kind = "created" if old_path is None else "renamed"
            changes.append(Change(path, kind, old_path=old_path, size=seen.size))
        moved = {change.old_path for change in changes}
        changes += [Change(path, "deleted") for path in gone if path not in moved]
        self._drop(gone)
        self._files |= now
        self._folders.update(folder for path in created for folder in above(path))
        return sorted(changes, key=lambda change: (change.kind != "deleted", change.path))

    def _walk(self, folder: str) -> dict[str, Seen]:
        """Return every file below a folder that is shown; symlinks are files, never followed."""
        found: dict[str, Seen] = {}
        waiting = [folder]
        before = self.shown
        if not folder:
            self.shown = set()
        while waiting:
            folder = waiting.pop()
            if folder not in before:
                self.entered.add(folder)
            self.shown.add(folder)
            try:
                with os.scandir(self._root / folder) as listing:
                    entries = list(listing)
            except GONE:
                continue
            except OSError:
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

    def _below(self, folder: str) -> dict[str, Seen]:
        """Return what is known to be in a folder."""
        if folder and folder not in self._folders:
            return {}
        start = f"{folder}/" if folder else ""
        return {path: seen for path, seen in self._files.items() if path.startswith(start)}


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
    return Seen(status.st_ino, status.st_dev, status.st_size, status.st_mtime_ns)
