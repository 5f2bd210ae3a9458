"""FilesProducer: what changes in a project's files."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path

from rtevents.core.event import Event, EventType
from rtevents.producers import Watched
from rtevents.producers.ignore import IgnoreRules, is_rule_file
from rtevents.producers.snapshot import Change, Snapshot, shown
from rtevents.producers.watch import Watch

logger = logging.getLogger(__name__)

SOURCE = "rtevents/files"

SUSPICIOUS = 4000
"""Hints of one burst from which on the kernel may have dropped others: look at every file."""

LOOK_SECONDS = 2.0
"""Seconds between two looks whether the root is still the same folder."""

LOOK_SHARE = 20
"""How many times the last look at every file must have passed before the next, in a watch with
gaps: a twentieth of a processor at most."""

PAUSE = 0.5
"""Seconds between two looks for a root that is gone, or two attempts to watch it."""

BATCH = 500
"""Most events of one batch."""


class FilesProducer:
    """
    Watches the files of a project.

    The kernel's word is a hint; what is told is the difference between what was seen and what is
    there. So a burst is told by its net effect: a save by rename is one `modified`, a file that
    came and went is nothing. Where the system lets not everything be watched, every file is looked
    at every few seconds besides, and the log says so.

    Args:
        watched: The project.

    Attributes:
        ready: Set while changes are seen.
    """

    def __init__(self, watched: Watched) -> None:
        self.ready = asyncio.Event()
        self._root = watched.root
        self._project_id = watched.project.id
        self._extra = watched.project.ignore
        self._settings = watched.config.files
        self._snapshot: Snapshot | None = None
        self._gap: str | None = None
        # When every file is to be looked at, on the monotonic clock.
        self._due = 0.0

    async def events(self) -> AsyncGenerator[list[Event], None]:
        """Yield FILE_CHANGE events for ever; a root that is gone is waited for."""
        try:
            while True:
                if self._root.is_dir():
                    async with aclosing(self._watch()) as batches:
                        async for batch in batches:
                            yield batch
                self.ready.clear()
                await asyncio.sleep(PAUSE)
        finally:
            self.ready.clear()

    async def _watch(self) -> AsyncGenerator[list[Event], None]:
        """
        Yield events until the root is another folder, or the watch ends.

        What happens before the next watch stands is found by that one's first look.
        """
        inode = _inode(self._root)
        try:
            watch = await Watch.open(
                [self._root],
                recursive=True,
                settle_ms=self._settings.settle_ms,
                max_settle_ms=self._settings.max_settle_ms,
            )
        except FileNotFoundError:
            return
        self._tell(watch.gap)
        try:
            changes = await asyncio.to_thread(self._begin)
            self.ready.set()
            hints: set[str] | None = set()
            while hints is not None:
                for batch in self._batches(changes):
                    yield batch
                # A root that was made anew may have the inode of the one that is gone.
                if _inode(self._root) != inode or str(self._root) in hints:
                    break
                hints = await watch.next(LOOK_SECONDS)
                changes = [] if hints is None else await self._look(hints, watch.gap)
        finally:
            await watch.close()

    async def _look(self, hints: set[str], gap: str | None) -> list[Change]:
        """Return what changed at the hints; in a watch with a gap, now and then everywhere."""
        begun = time.monotonic()
        if gap is None or begun < self._due:
            return await asyncio.to_thread(self._compare, hints) if hints else []
        changes = await asyncio.to_thread(self._compare_all)
        ended = time.monotonic()
        self._due = ended + max(LOOK_SECONDS, LOOK_SHARE * (ended - begun))
        return changes

    def _tell(self, gap: str | None) -> None:
        """Say in the log that changes are seen late, once."""
        if gap is not None and gap != self._gap:
            logger.warning(
                "some files of %s are looked at every few seconds: %s", self._project_id, gap
            )
        self._gap = gap

    def _begin(self) -> list[Change]:
        """Take the first snapshot, or compare with the one that was taken before."""
        if self._snapshot is not None:
            return self._compare_all()
        snapshot = Snapshot(self._root, self._rules())
        snapshot.scan()
        self._snapshot = snapshot
        return []

    def _compare_all(self) -> list[Change]:
        if self._snapshot is None or not self._root.is_dir():
            return []
        return self._snapshot.compare_all(self._rules())

    def _compare(self, hints: set[str]) -> list[Change]:
        if self._snapshot is None or len(hints) >= SUSPICIOUS:
            return self._compare_all()
        paths = [path for path in map(self._relative, hints) if path]
        if self._snapshot.has_stale_rules or any(map(is_rule_file, paths)):
            self._snapshot.follow(self._rules())
        return self._snapshot.compare(paths)

    def _rules(self) -> IgnoreRules:
        return IgnoreRules(self._root, self._extra)

    def _relative(self, path: str) -> str:
        """Return a path relative to the root; nothing for what is git's own."""
        path = path.removeprefix(str(self._root)).lstrip("/")
        return "" if path.startswith(".git/") else path

    def _batches(self, changes: Sequence[Change]) -> Iterator[list[Event]]:
        for at in range(0, len(changes), BATCH):
            yield [self._event(change) for change in changes[at : at + BATCH]]

    def _event(self, change: Change) -> Event:
        data: dict[str, object] = {"file_path": shown(change.path), "change_type": change.kind}
        if change.old_path is not None:
            data["old_path"] = shown(change.old_path)
        if change.size is not None:
            data["size"] = change.size
        return Event(
            type=EventType.FILE_CHANGE, data=data, source=SOURCE, project_id=self._project_id
        )


def _inode(root: Path) -> tuple[int, int] | None:
    try:
        status = root.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
