"""FilesProducer: what changes in a project's files."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping, Sequence, Set
from contextlib import aclosing
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from rtevents.core.event import Event, EventType
from rtevents.producers import Watched, batches
from rtevents.producers.change import Change
from rtevents.producers.ignore import above
from rtevents.producers.mounts import Mounts
from rtevents.producers.operation import Operation
from rtevents.producers.pulse import Pulse
from rtevents.producers.snapshot import is_coded, shown
from rtevents.producers.tree import Tree
from rtevents.producers.watch import Watch
from rtevents.producers.worktrees import WorkTrees

logger = logging.getLogger(__name__)

SOURCE = "rtevents/files"

SUSPICIOUS = 1000
"""Hints since the last look at every file from which on the kernel may have dropped others."""

LOOK_SECONDS = 2.0
"""Seconds between two looks whether the root is still the same folder."""

LOOK_SHARE = 20
"""How many times the last look at every file must have passed before the next, in a watch with
gaps: a twentieth of a processor at most."""

RESCAN_SECONDS = 600.0
"""Seconds between two looks at every file in a watch without gaps: nothing told says so much."""

RESCAN_SHARE = 500
"""As ``LOOK_SHARE``, for those."""

HOLD_SECONDS = 0.1
"""Seconds between two looks whether git is still at work."""

MAX_HOLD = 60.0
"""Longest time, in seconds, that changes are held for it."""

PAUSE = 0.5
"""Seconds between two looks for a root that is gone, or two attempts to watch it."""


TROUBLES = frozenset(("root.lost", "watch.limited"))
"""What is told as `degraded`."""

_Inode = tuple[int, int]


class FilesProducer:
    """
    Watches the files of a project.

    The kernel's word is a hint; what is told is the difference between what was told and what is
    there. So a burst is told by its net effect: a save by rename is one `modified`, a file that
    came and went is nothing; and so is what happened while nobody looked. Where the system lets
    not everything be watched, every file is looked at every few seconds besides.

    Args:
        watched: The project.

    Attributes:
        ready: Set while changes are seen.
        gap: Why some changes are seen late; None when none are.
        lost: Why there is nothing to be watched for now; None when there is.
    """

    def __init__(self, watched: Watched) -> None:
        self.ready = asyncio.Event()
        self.gap: str | None = None
        self.lost: str | None = None
        self._root = watched.root
        self._project_id = watched.project.id
        self._settings = watched.config.files
        self._tree = Tree(watched.root, watched.project.ignore, watched.places, watched.own)
        self._work_trees: WorkTrees | None = None
        self._pulse = Pulse(LOOK_SECONDS)
        self._mounts = Mounts(watched.root, LOOK_SECONDS)
        # Seconds without a hint after which all of a burst has been told.
        self._linger = 0.05 + 2 * self._settings.settle_ms / 1000
        # Why the root was lost while it was watched.
        self._loss: str | None = None
        # Why another watch was needed.
        self._reason: str | None = None
        # How many seconds the last look at every file took, and how many hints came since.
        self._took = 0.0
        self._hints = 0
        # Folders of which no hint can be had -> since when, on the monotonic clock.
        self._blind: dict[str, float] = {}
        # When those are to be looked at.
        self._glance_due = 0.0
        # When the watch began, and when the next one may.
        self._begun = self._may_begin = 0.0
        # Hints that came during the last look at every file.
        self._late: set[str] = set()
        # When every file is to be looked at, on the monotonic clock.
        self._due = 0.0

    async def events(self) -> AsyncGenerator[list[Event], None]:
        """Yield FILE_CHANGE and SYSTEM_STATUS events for ever; wait for a root that is gone."""
        try:
            while True:
                trouble = await asyncio.to_thread(self._tree.trouble)
                if trouble is None and self.lost is None:
                    async with aclosing(self._watch()) as batches:
                        async for batch in batches:
                            yield batch
                    trouble, self._loss = self._loss, None
                    self.ready.clear()
                if trouble != self.lost:
                    self.lost = trouble
                    yield [self._status("root.lost" if trouble else "root.back", trouble)]
                else:
                    await asyncio.sleep(PAUSE)
        finally:
            self.ready.clear()
            self.lost = None

    async def _watch(self) -> AsyncGenerator[list[Event], None]:
        """
        Yield events until the root is another folder, or the watch ends.

        What happens before the next watch stands is found by that one's first look.
        """
        inode = await asyncio.to_thread(_inode, self._root)
        await asyncio.sleep(self._may_begin - time.monotonic())
        self._mounts = Mounts(self._root, LOOK_SECONDS)
        try:
            # Before the look that is told: what changes in between is hinted at.
            folders = await asyncio.to_thread(self._tree.prepare)
            watch = await Watch.open(
                folders,
                recursive=False,
                settle_ms=self._settings.settle_ms,
                max_settle_ms=self._settings.max_settle_ms,
                blind=self._blind,
            )
        except FileNotFoundError:
            return
        try:
            if limits := self._limits(watch):
                yield limits
            look: _Look | None = await asyncio.to_thread(self._begin)
            while look is not None:
                async for batch in self._told(look):
                    yield batch
                if look.is_last:
                    break
                more = await self._watch_more(watch, look)
                if limits := self._limits(watch):
                    yield limits
                if more is None:
                    self.ready.set()
                    await asyncio.to_thread(self._tree.settle)
                    more = await self._next(watch, inode)
                look = more
        finally:
            await watch.close()

    def _limits(self, watch: Watch) -> list[Event]:
        """Return what is to be told of what the system lets be watched; nothing when it is told."""
        if watch.gap == self.gap:
            return []
        self.gap = watch.gap
        self._wait_for_next(0.0)
        return [self._status("watch.limited" if self.gap else "watch.whole", self.gap)]

    async def _told(self, look: _Look) -> AsyncGenerator[list[Event], None]:
        """Yield what was found, and remember it when it is stored."""
        for some in batches(look.changes):
            yield [self._event(change, look) for change in some]
            # Not in a thread: nothing may come between what is stored and what is noted.
            self._tree.note(some)
        if look.reason is not None:
            counts = {"files": self._tree.size, "changes": len(look.changes)}
            yield [self._status("fs.rescan", look.reason, counts)]

    async def _watch_more(self, watch: Watch, look: _Look) -> _Look | None:
        """Watch folders that came; return what happened in them before; None where none came."""
        entered = self._tree.entered()
        if look.reason is not None:
            # What was missed may have been folders that came in the place of others.
            await watch.replace(self._tree.folders())
        elif entered:
            await watch.extend([self._root / each for each in entered], self._tree.folders)
        if not entered:
            return None
        changes = await asyncio.to_thread(self._tree.compare_again, entered)
        return _Look(changes, hinted=None, operations=look.operations)

    def _begin(self) -> _Look:
        """Compare with what was told before; take up git's state."""
        begun = time.monotonic()
        changes = self._tree.compare_all()
        self._begun = time.monotonic()
        self._wait_for_next(self._begun - begun)
        if self._settings.vcs == "batch":
            self._work_trees = WorkTrees(self._root)
            self._work_trees.know(self._tree.work_trees)
        reason, self._reason = self._reason, None
        return _Look(changes, reason=reason)

    async def _next(self, watch: Watch, inode: _Inode | None) -> _Look | None:
        """Return what changed next, perhaps nothing; None when another watch is needed."""
        burst = await self._gather(watch)
        is_lost = await asyncio.to_thread(_inode, self._root) != inode or watch.is_lost
        if is_lost:
            self._loss = await asyncio.to_thread(self._tree.trouble)
            self._loss = self._loss or f"{self._root}: another folder is in its place"
        if burst is None:
            await self._note_end(watch)
            return None
        if not burst.hints and watch.is_split and not await watch.tidy():
            await watch.replace(self._tree.folders())
        paths = {path for path in map(self._relative, burst.hints) if path}
        if is_lost:
            return _Look(await asyncio.to_thread(self._tree.compare, paths), None, is_last=True)
        reason = burst.missed
        self._hints += len(paths)
        if reason is None and time.monotonic() < self._due:
            if self._hints >= SUSPICIOUS:
                self._look_soon()
            changes = await asyncio.to_thread(self._tree.compare, paths)
            changes += await self._glance(watch)
            return _Look(changes, hinted=None, operations=burst.operations)
        begun = time.monotonic()
        changes = await asyncio.to_thread(self._tree.compare_all, paths)
        self._wait_for_next(time.monotonic() - begun)
        if any(_is_missed(paths, each) for each in changes):
            # What happened during the look may be hinted at a moment later.
            self._late = await watch.next(self._linger) or set()
            paths |= {path for path in map(self._relative, self._late) if path}
            if not reason and not self.gap and any(_is_missed(paths, each) for each in changes):
                reason = "changes that nobody hinted at"
        if reason is not None:
            self._look_soon()
        return _Look(changes, hinted=paths, operations=burst.operations, reason=reason)

    async def _gather(self, watch: Watch) -> _Burst | None:
        """Return the next burst: while git is at work, all of it; None when the watch ended."""
        hints, self._late = self._late, set()
        missed: str | None = None
        wait, until = 0.0 if hints else LOOK_SECONDS, time.monotonic() + MAX_HOLD
        git, places = self._work_trees, {""}
        if git is not None:
            await asyncio.to_thread(git.know, self._tree.work_trees)
        while True:
            self._pulse.begin()
            told = await watch.next(wait)
            missed = missed or self._pulse.missed() or self._mounts.missed()
            if told is None:
                return None
            hints |= told
            if git is None or time.monotonic() > until:
                return _Burst(hints, missed)
            places |= git.around(map(self._relative, told))
            if not await asyncio.to_thread(git.is_running, places):
                break
            wait = HOLD_SECONDS
        operations = await asyncio.to_thread(git.finished, places)
        while operations and (told := await watch.next(self._linger)):
            hints |= told
        return _Burst(hints, missed, operations)

    async def _note_end(self, watch: Watch) -> None:
        """Note why the watch ended; where it ends at names, look from now on."""
        if watch.unnamed is None:
            self._reason = "the watch ended"
            return
        now = time.monotonic()
        others = await asyncio.to_thread(self._tree.unnamed)
        for folder in (watch.unnamed, *(str(self._root / each) for each in others)):
            if folder not in self._blind:
                logger.info("files of %s: looked at: %r", self._project_id, folder)
            self._blind[folder] = now
        # Others may come, and each costs a look at every file.
        self._may_begin = self._begun + LOOK_SHARE * self._took

    async def _glance(self, watch: Watch) -> list[Change]:
        """Look at the folders of which no hint can be had; try again to watch old ones."""
        begun = time.monotonic()
        if not self._blind or begun < self._glance_due:
            return []
        old = [each for each, since in self._blind.items() if begun - since > RESCAN_SECONDS]
        for folder in old:
            del self._blind[folder]
        if old:
            await watch.extend([*map(Path, old)], self._tree.folders)
        folders = [self._relative(folder) for folder in (*old, *self._blind)]
        changes = await asyncio.to_thread(self._tree.glance, folders)
        ended = time.monotonic()
        self._glance_due = ended + max(LOOK_SECONDS, LOOK_SHARE * (ended - begun))
        return changes

    def _wait_for_next(self, took: float) -> None:
        """Let pass a time that suits the look at every file that took so many seconds."""
        seconds, share = (RESCAN_SECONDS, RESCAN_SHARE)
        if self.gap is not None:
            seconds, share = LOOK_SECONDS, LOOK_SHARE
        self._took, self._hints = took, 0
        self._due = time.monotonic() + max(seconds, share * took)

    def _look_soon(self) -> None:
        """Look at every file in a few seconds: some that changed may not have been hinted at."""
        soon = time.monotonic() + max(LOOK_SECONDS, LOOK_SHARE * self._took)
        self._due = min(self._due, soon)

    def _relative(self, path: str) -> str:
        """Return a path relative to the root; nothing for what is git's own."""
        path = path.removeprefix(str(self._root)).lstrip("/")
        return "" if path.startswith(".git/") else path

    def _event(self, change: Change, look: _Look) -> Event:
        data: dict[str, Any] = {"file_path": shown(change.path), "change_type": change.kind}
        if change.old_path is not None:
            data["old_path"] = shown(change.old_path)
        if change.size is not None:
            data["size"] = change.size
        if is_coded(change.path) or is_coded(change.old_path or ""):
            data["is_coded"] = True
        if change.is_by_rules:
            data["cause"] = "ignore"
        if look.operations and self._work_trees is not None:
            operation = look.operations.get(self._work_trees.of(change.path))
            data |= operation.as_data() if operation else {}
        if look.hinted is not None and _is_missed(look.hinted, change):
            data["reconciled"] = True
        return Event(
            type=EventType.FILE_CHANGE, data=data, source=SOURCE, project_id=self._project_id
        )

    def _status(
        self, event: str, reason: str | None, metrics: dict[str, int] | None = None
    ) -> Event:
        status = "degraded" if event in TROUBLES else "ok"
        data: dict[str, Any] = {"status": status, "event": event}
        data["reasons"] = [f"files of {self._project_id}: {reason}"] if reason else []
        if status == "degraded":
            logger.warning("files of %s: %s", self._project_id, reason)
        if metrics:
            data["metrics"] = metrics
        return Event(
            type=EventType.SYSTEM_STATUS, data=data, source=SOURCE, project_id=self._project_id
        )


class _Burst(NamedTuple):
    """
    What was hinted at.

    Args:
        hints: Paths.
        missed: Why there may be changes that nobody hinted at.
        operations: What git did meanwhile, by the work tree.
    """

    hints: set[str]
    missed: str | None
    operations: Mapping[str, Operation] = MappingProxyType({})


class _Look(NamedTuple):
    """
    What was found.

    Args:
        changes: What differs from what was told before.
        hinted: The paths that were hinted at, when all were looked at; None when only they were.
        operations: What git did meanwhile, by the work tree.
        reason: Why every file was looked at, if that is to be told.
        is_last: Whether another watch is needed.
    """

    changes: Sequence[Change]
    hinted: Set[str] | None = frozenset()
    operations: Mapping[str, Operation] = MappingProxyType({})
    reason: str | None = None
    is_last: bool = False


def _is_missed(hinted: Set[str], change: Change) -> bool:
    """Tell whether nobody hinted at a change, nor at a folder around it."""
    paths = [change.path, *above(change.path)]
    return hinted.isdisjoint(paths) and change.old_path not in hinted


def _inode(root: Path) -> _Inode | None:
    try:
        status = root.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
