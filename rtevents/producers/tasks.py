"""TasksProducer: the task lists in a project's Markdown files, and how far they have come."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterable, Set
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rtevents.core.event import Event, EventType
from rtevents.core.keep import ended
from rtevents.producers import Watched
from rtevents.producers import batches as split
from rtevents.producers.taskbook import SOURCE, TaskBook, Told
from rtevents.producers.taskbook import Page as ToldPage
from rtevents.producers.taskfiles import MAX_FILES, Mark, Named, TaskFiles
from rtevents.producers.tasklist import TaskList
from rtevents.producers.watch import Watch

logger = logging.getLogger(__name__)

SETTLE_MS = 50
"""Milliseconds of quiet after which a file is read: an editor writes in several steps."""

MAX_SETTLE_MS = 1000
"""Milliseconds after which it is read without waiting for quiet."""

LOOK_SECONDS = 2.0
"""Seconds between two looks whether the root is still the same folder, and whether a file changed
where not everything can be watched."""

RESCAN_SECONDS = 60.0
"""Seconds between two looks for files, whatever is hinted at."""

SHARE = 100
"""How many times the last look for files must have passed before the next: 1 % of a processor."""

PAUSE = 0.5
"""Seconds between two looks for a root that is gone."""

RACY_NS = 50_000_000
"""Nanoseconds in which a file may be changed twice without another mark."""


class TasksProducer:
    """
    Watches the files of tasks of a project.

    What is told is the difference between what was told and what is written; so a save is told by
    its net effect, and so is what happened while nobody looked. What cannot be read for now, or
    is in a merge, is as it was told.

    Args:
        watched: The project.

    Attributes:
        ready: Set while changes are seen.
        gap: Why some of it is not told, or late; None when all is told.
    """

    def __init__(self, watched: Watched) -> None:
        self.ready = asyncio.Event()
        self.gap: str | None = None
        self._watched = watched
        project = watched.project
        self._project_id = project.id
        self._files = TaskFiles(watched.root, project.tasks, project.ignore, watched.own)
        self._book = TaskBook(watched.places, project.id)
        self._named = Named([], {})
        self._marks: dict[str, Mark | None] = {}
        self._troubles: dict[str, str] = {}
        # When files are to be looked for, on the monotonic clock.
        self._due = 0.0

    async def events(self) -> AsyncGenerator[list[Event], None]:
        """Yield TASK_UPDATE, PROGRESS_UPDATE and SYSTEM_STATUS events for ever."""
        await self._book.recover(self._watched.find)
        try:
            while True:
                was_mount = self._book.kept.was_mount
                if await asyncio.to_thread(self._files.is_there, was_mount=was_mount):
                    async with aclosing(self._watch()) as batches:
                        async for batch in batches:
                            yield batch
                    self.ready.clear()
                await asyncio.sleep(PAUSE)
        finally:
            self.ready.clear()

    async def _watch(self) -> AsyncGenerator[list[Event], None]:
        """Yield events until the root is another folder, or the watch ends."""
        inode = await asyncio.to_thread(self._files.inode)
        try:
            watch = await Watch.open(
                [self._watched.root],
                recursive=False,
                settle_ms=SETTLE_MS,
                max_settle_ms=MAX_SETTLE_MS,
            )
        except FileNotFoundError:
            return
        self._named, self._marks, self._due = Named([], {"": inode}), {}, 0.0
        is_first = True
        hints: Set[str] | None = frozenset()
        try:
            while hints is not None and await asyncio.to_thread(self._files.inode) == inode:
                if time.monotonic() >= self._due or await asyncio.to_thread(self._is_hint, hints):
                    await self._find(watch)
                look = await ended(partial(self._look, hints, reconciled=is_first))
                async with aclosing(self._tell(look, watch.gap)) as batches:
                    async for batch in batches:
                        yield batch
                if is_first:
                    await ended(partial(self._book.begin, was_mount=self._files.is_mount()))
                    is_first = False
                self.ready.set()
                hints = await self._hints(watch)
        finally:
            await watch.close()

    async def _hints(self, watch: Watch) -> set[str] | None:
        """Return the paths that were hinted at next, relative to the root; None at the end."""
        wait = LOOK_SECONDS
        if (due := self._book.due) is not None:
            wait = min(wait, max(0.0, due - time.monotonic()))
        told = await watch.next(wait)
        if told is None:
            return None
        if not told and watch.is_split:
            await watch.tidy()
        root = f"{self._watched.root}/"
        return {path.removeprefix(root) for path in told}

    def _is_hint(self, hints: Set[str]) -> bool:
        """Tell whether files may have come or gone: by a file that is named, or by a folder."""
        for path in hints - {*self._named.files}:
            if path in self._named.folders or self._files.is_named(path):
                return True
            if (self._watched.root / path).is_dir():
                return True
        return False

    async def _find(self, watch: Watch) -> None:
        """Look for files, and watch every folder in which one may come to be."""
        begun = time.monotonic()
        while True:
            named = await asyncio.to_thread(self._files.find)
            before, self._named = self._named.folders, named
            if named.folders == before:
                break
            # Once more then: what came before the folder was watched was not hinted at.
            if before.items() <= named.folders.items():
                new = [each for each in named.folders if each not in before]
                await watch.extend(self._paths(new), partial(self._paths, named.folders))
            else:
                await watch.replace(self._paths(named.folders))
        took = time.monotonic() - begun
        rest = LOOK_SECONDS if watch.gap else RESCAN_SECONDS
        self._due = time.monotonic() + max(rest, SHARE * took)

    def _paths(self, folders: Iterable[str]) -> list[Path]:
        return [self._watched.root / each for each in folders]

    def _look(self, hints: Set[str] | None, *, reconciled: bool) -> _Look:
        """Read what may have changed; return what is to be told."""
        read: dict[str, TaskList | None] = {}
        hinted = hints or frozenset()
        for path in self._named.files:
            if path in hinted or self._marks.get(path) is None or self._is_changed(path):
                self._read(path, read)
        for path in self._lost():  # also what is as it was, and is not named any more
            self._read(path, read)
        for path in self._troubles.keys() - {*self._named.files}:
            if path not in self._book.kept.pages:
                del self._troubles[path]
        if not read and not self._is_due():
            return _Look([], None)
        told, pages = self._book.compare(
            read,
            time.monotonic(),
            time.time(),
            reconciled=reconciled and not self._book.kept.is_new,
        )
        if told:
            self._book.intend(told)
        return _Look(told, pages)

    def _lost(self) -> list[str]:
        """Return the files that were told of and are not found any more."""
        found = {*self._named.files}
        return [path for path in self._book.kept.pages if path not in found]

    def _is_changed(self, path: str) -> bool:
        return self._files.mark(path) != self._marks[path]

    def _is_due(self) -> bool:
        return self._book.due is not None and time.monotonic() >= self._book.due

    def _read(self, path: str, read: dict[str, TaskList | None]) -> None:
        """Read a file into `read`, unless it is to be left as it was told."""
        page = self._files.read(path)
        self._troubles.pop(path, None)
        if page.trouble is not None:
            self._troubles[path] = page.trouble
        mark = page.mark
        if mark is not None and is_racy(mark, time.time_ns()):
            mark = None
        self._marks[path] = mark
        is_named = path in self._named.files
        if page.tasks is not None and is_named:
            read[path] = page.tasks
        elif page.is_gone or (page.tasks is not None and not is_named):
            read[path] = None

    async def _tell(self, look: _Look, gap: str | None) -> AsyncGenerator[list[Event], None]:
        for some in split(look.told):
            yield [self._book.event(told) for told in some]
        if look.pages is not None:
            await ended(partial(self._book.settle, look.told, look.pages))
        troubles = [gap] if gap else []
        troubles += [self._named.trouble] if self._named.trouble else []
        troubles += sorted(self._troubles.values())
        if self._named.left:
            troubles.append(f"{self._named.left} files more than {MAX_FILES} are not read")
        if (why := "; ".join(troubles) or None) != self.gap:
            self.gap = why
            yield [self._status(why)]

    def _status(self, reason: str | None) -> Event:
        data: dict[str, Any] = {
            "status": "degraded" if reason else "ok",
            "event": "tasks.unread" if reason else "tasks.read",
            "reasons": [f"tasks of {self._project_id}: {reason}"] if reason else [],
        }
        if reason:
            logger.warning("tasks of %s: %s", self._project_id, reason)
        return Event(
            type=EventType.SYSTEM_STATUS, data=data, source=SOURCE, project_id=self._project_id
        )


def is_racy(mark: Mark, now_ns: int) -> bool:
    """Tell whether a file may be changed again without another mark: it was a moment ago."""
    # By the time that nobody can set: one dated to next year would be read all the time.
    return abs(now_ns - mark.ctime_ns) < RACY_NS


class _Look(NamedTuple):
    """
    What one look found.

    Args:
        told: What is to be told.
        pages: Every file as it is then; None where nothing was read.
    """

    told: list[Told]
    pages: dict[str, ToldPage] | None
