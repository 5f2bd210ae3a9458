"""Operations: what git itself does to the files of a work tree."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from rtevents.producers import reflog
from rtevents.producers.mark import Mark, mark

LOCK = "index.lock"
"""What stands in a repository's folder while git changes the index, and so the files."""

STALE = 60.0
"""Age, in seconds, from which on a lock is taken for one that nobody removed."""

SEQUENCES = ("rebase-merge", "rebase-apply", "sequencer")
"""What stands there while commits are applied one after the other."""

PAUSED = 1.0
"""Seconds without a change from which on such a sequence waits for its user."""

FRESH = 10.0
"""Most seconds that a line of the reflog may be old to be about what was just found."""

STOPPED = {
    "MERGE_HEAD": "merge",
    "SQUASH_MSG": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
}
"""What stands there, and which operation it is of, where git stops and the reflog has no word."""

LEFT = "SQUASH_MSG"
"""Which of these a commit removes that changes no file."""

QUIET = frozenset(("commit", "branch", "clone", "worktree", "update"))
"""Operations that move HEAD and leave the files as they are."""

_NAME = re.compile(r"[a-z-]+")


class Operation(msgspec.Struct, frozen=True):
    """
    What git did to the files.

    Args:
        name: `checkout`, `rebase`, `merge`, `pull`, `reset`, `stash` and the like.
        before: The commit that was checked out before.
        after: The commit that is checked out now.
    """

    name: str
    before: str
    after: str

    @property
    def changes_files(self) -> bool:
        """Whether it may have."""
        is_new_branch = self.name == "checkout" and self.before == self.after
        return self.name not in QUIET and not is_new_branch

    def as_data(self) -> dict[str, str]:
        """Return what an event about a file tells of it."""
        return {"cause": self.name, "cause_from": self.before, "cause_to": self.after}


class Operations:
    """
    Tells when git is at work in a work tree, and what it has done.

    Args:
        folder: The work tree's own git folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "logs" / "HEAD"
        self._read = _size(self._log)
        self._places = {
            _common(folder) / "logs" / "refs" / "stash": "stash",
            **{folder / place: name for place, name in STOPPED.items()},
        }
        self._marks = self._look()
        # When git was seen at work first, in unix seconds.
        self._begun: float | None = None

    def is_running(self) -> bool:
        """Tell whether git is changing files right now."""
        now = time.time()
        is_running = self._is_at_work(now)
        if is_running and self._begun is None:
            self._begun = now
        return is_running

    def _is_at_work(self, now: float) -> bool:
        if (made := _changed(self._folder / LOCK)) is not None and now - made < STALE:
            return True
        running = [name for name in SEQUENCES if (self._folder / name).exists()]
        if not running:
            return False
        places = [self._folder / name for name in (*running, "HEAD", "index", ".")]
        return now - max(filter(None, map(_changed, places)), default=0.0) < PAUSED

    def finished(self) -> Operation | None:
        """Return what was done since the last call; None for nothing that changes files."""
        marks, before = self._look(), self._marks
        since = (self._begun or time.time()) - FRESH
        self._marks, self._begun = marks, None
        moves = [move for move in self._moves(since) if move.changes_files]
        # A stash puts HEAD back to where it is; a sequence that stopped may have moved it before.
        changed = [
            name
            for place, name in self._places.items()
            if marks[place] != before[place] and (marks[place] or place.name != LEFT)
        ]
        if "stash" in changed or (changed and not moves):
            here = moves[-1].after if moves else self._head()
            return Operation(changed[0], here, here)
        return Operation(moves[-1].name, moves[0].before, moves[-1].after) if moves else None

    def _look(self) -> dict[Path, Mark | None]:
        return {place: mark(place) for place in self._places}

    def _moves(self, since: float) -> Iterator[Operation]:
        """Yield what the reflog has got since the last call, if it is not older than `since`."""
        size = _size(self._log)
        start, self._read = min(self._read, size), size
        if start == size:
            return
        for line in reflog.read(self._log, start):
            if line.new is not None and line.when >= since:
                name = _NAME.match(line.words)
                yield Operation(name[0] if name else "git", line.old or "", line.new)

    def _head(self) -> str:
        """Return the commit that the reflog named last."""
        *_, last = [None, *reflog.read(self._log)]
        return (last and last.new) or ""


def git_folder(root: Path) -> Path | None:
    """Return the git folder of the work tree around a folder; None where there is none."""
    places = map(own_git_folder, (root, *root.parents))
    return next((place for place in places if place is not None), None)


def own_git_folder(folder: Path) -> Path | None:
    """Return the git folder of a folder that is a work tree's top; None for any other."""
    place = folder / ".git"
    if place.is_dir():
        return place
    try:
        words = place.read_bytes()
    except OSError:
        return None
    if not words.startswith(b"gitdir: "):
        return None
    return folder / _path(words.removeprefix(b"gitdir: "))


def _common(folder: Path) -> Path:
    """Return the git folder that all work trees share."""
    try:
        return folder / _path((folder / "commondir").read_bytes())
    except OSError:
        return folder


def _path(words: bytes) -> str:
    """Return the path that a file holds, as git reads it: no further than a NUL."""
    return os.fsdecode(words.partition(b"\0")[0].strip())


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _changed(path: Path) -> float | None:
    """Return when a path was changed, in unix seconds; None for one that is not there."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None
