"""Tree: a project's files on disk, beside what was told of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from rtevents.producers.change import Change, Seen
from rtevents.producers.ignore import IgnoreRules, is_rule_file
from rtevents.producers.snapshot import Snapshot, is_coded
from rtevents.producers.snapshot_file import SnapshotFile


class Tree:
    """
    What was told of a project's files, also before the daemon was started. It waits for the disk:
    call it in a thread.

    Args:
        root: The project's folder.
        extra: Patterns from the settings, of files to leave out.
        folder: Where the project's places are kept.
        own: Folders of the daemon's own, which are left out.
    """

    def __init__(
        self, root: Path, extra: Sequence[str], folder: Path, own: Sequence[Path] = ()
    ) -> None:
        self._root = root
        self._extra = extra
        self._own = own
        self._file = SnapshotFile(folder)
        self._is_loaded = False
        # What was told before this start.
        self._known: dict[str, Seen] | None = None
        self._snapshot: Snapshot | None = None

    @property
    def size(self) -> int:
        """How many files there are."""
        return len(self._snapshot.files) if self._snapshot else 0

    @property
    def work_trees(self) -> set[str]:
        """The folders that are the top of a work tree of git; not the root."""
        return self._snapshot.work_trees if self._snapshot else set()

    def folders(self) -> list[Path]:
        """Return every folder that is to be watched, the root first."""
        if self._snapshot is None:
            return [self._root]
        self._snapshot.entered.clear()
        return self._paths(self._snapshot.shown)

    def entered(self) -> list[str]:
        """Return the folders that came since the last call; what is in them is not watched yet."""
        if self._snapshot is None:
            return []
        entered = sorted(self._snapshot.entered)
        self._snapshot.entered.clear()
        return entered

    def trouble(self) -> str | None:
        """Return why there is nothing to be watched; None when there is."""
        if not self._root.is_dir():
            there = os.path.lexists(self._root)
            return f"{self._root} {'is no folder any more' if there else 'is not there'}"
        self._load()
        is_gone = self._file.was_mount and not os.path.ismount(self._root)
        if is_gone and not any(self._root.iterdir()):
            return f"{self._root}: its file system is not mounted"
        return None

    def prepare(self) -> list[Path]:
        """Take the first snapshot; return every folder that is to be watched, the root first."""
        if self._snapshot is None:
            self._load()
            known, self._known = self._known, None
            self._snapshot = Snapshot(self._root, self._rules(), known or {})
            if known is None:
                self._snapshot.scan()
                self._save(self._snapshot)
        return self.folders()

    def _load(self) -> None:
        """Read what was told before, once."""
        if self._is_loaded:
            return
        self._known = self._file.load()
        if self._known is not None:
            # A device may have another number after each start of the system.
            before, now = self._file.device, self._root.stat().st_dev
            self._known = {
                path: seen.on(now) if seen.device == before else seen
                for path, seen in self._known.items()
            }
        self._is_loaded = True

    def compare(self, hints: Iterable[str]) -> list[Change]:
        """Return what changed at some paths, relative to the root, and by other rules."""
        if self._snapshot is None:
            return []
        paths = list(hints)
        has_other_rules = self._snapshot.has_stale_rules or any(map(is_rule_file, paths))
        if has_other_rules and self.trouble() is None:
            return self._snapshot.compare_all(self._rules(), paths)
        return self._snapshot.compare(paths)

    def glance(self, folders: Iterable[str]) -> list[Change]:
        """Return what changed right in some folders that are not watched."""
        if self._snapshot is None or self.trouble() is not None:
            return []
        found = self._snapshot.compare(set().union(*map(self._snapshot.inside, folders)))
        if any(is_rule_file(change.path) for change in found):
            found += self._snapshot.compare_all(self._rules())
        return found

    def unnamed(self) -> set[str]:
        """Return the folders that hold a file whose name is not UTF-8."""
        files = self._snapshot.files if self._snapshot else ()
        return {path.rpartition("/")[0] for path in files if is_coded(path)}

    def compare_again(self, folders: Iterable[str]) -> list[Change]:
        """Return what changed in folders before they were watched, as they are by now."""
        if self._snapshot is None:
            return []
        # One that went is hinted at, with the place where it is now if it was moved.
        there = [folder for folder in folders if (self._root / folder).is_dir()]
        changes = self._snapshot.compare(there)
        self._snapshot.entered.difference_update(there)
        return changes

    def compare_all(self, hints: Iterable[str] = ()) -> list[Change]:
        """Look at every file; return what changed."""
        if self._snapshot is None or self.trouble() is not None:
            return []
        return self._snapshot.compare_all(self._rules(), hints)

    def note(self, told: Iterable[Change]) -> None:
        """Remember changes that are stored."""
        if self._snapshot is None:
            return
        files = self._snapshot.files
        paths = {path for change in told for path in (change.old_path, change.path) if path}
        if paths:
            self._file.note({path: files.get(path) for path in paths})

    def settle(self) -> None:
        """Remember what no change tells of, when all changes are stored; tidy up."""
        if self._snapshot and (self._snapshot.is_retaken or self._file.is_long):
            self._save(self._snapshot)

    def _save(self, snapshot: Snapshot) -> None:
        self._file.save(snapshot.files, self._root.stat().st_dev, os.path.ismount(self._root))
        snapshot.is_retaken = False

    def _paths(self, folders: Iterable[str]) -> list[Path]:
        return [self._root / folder for folder in sorted(folders)]

    def _rules(self) -> IgnoreRules:
        return IgnoreRules(self._root, self._extra, self._own)
