"""TaskBook: the tasks of a project as they were told, and what differs from what is written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import msgspec

from rtevents.core.event import Event, EventType
from rtevents.core.keep import load, save
from rtevents.core.names import new_event_id
from rtevents.producers import taskcount
from rtevents.producers.taskcount import EVERY, Count, counts
from rtevents.producers.tasklist import TaskList, essence
from rtevents.producers.taskmatch import Found, Task, match

SOURCE = "rtevents/tasks"

GRACE = 1.0
"""Seconds for which a task may be nowhere: an editor is writing, or it is being moved."""

MOST_GONE = 1000
"""Former tasks whose ids are remembered: one that comes back, as with a branch, is the same."""


class Page(msgspec.Struct, frozen=True):
    """
    A file of tasks, as it was told.

    Args:
        sections: Its headings.
        tasks: Its tasks, in their order.
    """

    sections: set[str] = set()
    tasks: list[Task] = []


class Kept(msgspec.Struct):
    """
    What is kept between runs.

    Args:
        pages: Every file with tasks or headings, by its path.
        gone: Former tasks, the last one last: what its title was, and its id.
        counts: The progress that was told, by its label.
        was_mount: Whether another file system was mounted at the project's folder.
        is_new: Whether nothing was told yet.
    """

    pages: dict[str, Page] = {}
    gone: list[tuple[str, str]] = []
    counts: dict[str, Count] = {}
    was_mount: bool = False
    is_new: bool = True


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    An event that is about to be told, and what is known when it is stored.

    Args:
        event_id: Its id: the log knows whether it is stored.
        key: The task's id, or the label of the progress.
        data: What it tells.
        task: The task from then on; None for one that is gone, and for progress.
        count: The progress from then on; None for a task.
    """

    event_id: str
    key: str
    data: dict[str, Any]
    task: Task | None = None
    count: Count | None = None

    @property
    def is_removal(self) -> bool:
        """Whether a task is gone."""
        return self.task is None and self.count is None


class TaskBook:
    """
    The tasks of one project.

    What is about to be told is written down before, with its event ids: after a crash the log says
    what of it was told.

    Args:
        folder: Where the project's places are kept.
        project_id: The project.
    """

    def __init__(self, folder: Path, project_id: str) -> None:
        self._file = folder / "tasks.json"
        self._intents = folder / "tasks.told.json"
        self._project_id = project_id
        self.kept = Kept()
        # Task id -> since when it is nowhere, on the monotonic clock, and whether nobody looked.
        self._missing: dict[str, tuple[float, bool]] = {}

    async def recover(self, find: Callable[[str], Awaitable[int | None]]) -> None:
        """
        Read what was told, also where the daemon ended before that was noted.

        Args:
            find: Returns the seq of an event id in the log.
        """
        self._missing.clear()
        self.kept = await asyncio.to_thread(load, self._file, Kept, Kept())
        told = await asyncio.to_thread(load, self._intents, list[Told], [])
        if told:
            stored = [each for each in told if await find(each.event_id) is not None]
            self._note(stored, self._with(stored))

    @property
    def due(self) -> float | None:
        """When a task that is nowhere is gone, on the monotonic clock; None when none is."""
        return min(since for since, _ in self._missing.values()) + GRACE if self._missing else None

    def compare(
        self, read: Mapping[str, TaskList | None], now: float, wall: float, *, reconciled: bool
    ) -> tuple[list[Told], dict[str, Page]]:
        """
        Return what is to be told, and every file as it is then.

        Args:
            read: The files that may have changed: what is in them, None for one that is gone.
            now: The time on the monotonic clock, in seconds.
            wall: The time, in unix seconds.
            reconciled: Whether that is what happened while nobody looked.
        """
        pages = self.kept.pages
        known = {task.task_id: task for page in pages.values() for task in page.tasks}
        old = [task for path in read if path in pages for task in pages[path].tasks]
        lost = [known[each] for each in self._missing if each in known]
        old += [task for task in lost if task.path not in read]
        new = [each for path, tasks in read.items() if tasks for each in _found(path, tasks)]
        tasks = _tasks(new, match(old, new, known, dict(self.kept.gone)))
        told = list(self._changed(known, tasks, read, reconciled=reconciled))
        there = {task.task_id for task in tasks}
        told += self._removed(old, there, now, reconciled=reconciled)
        after = self._after(read, tasks, there | {each.key for each in told})
        return told + self._progress(after, wall, reconciled=reconciled), after

    def event(self, told: Told) -> Event:
        """Return an event that is to be told."""
        kind = EventType.TASK_UPDATE if told.count is None else EventType.PROGRESS_UPDATE
        return Event(
            type=kind,
            data=told.data,
            source=SOURCE,
            project_id=self._project_id,
            event_id=told.event_id,
        )

    def intend(self, told: Sequence[Told]) -> None:
        """
        Write down what is about to be told.

        Raises:
            StoreError: It cannot be written, and must not be told.
        """
        save(self._intents, told)

    def settle(self, told: Sequence[Told], pages: dict[str, Page]) -> None:
        """
        Know that all of it was told, and what every file holds.

        Raises:
            StoreError: It cannot be written.
        """
        if told:
            self._note(told, pages)
        else:
            self.kept.pages = pages  # other lines: they are found again

    def begin(self, *, was_mount: bool) -> None:
        """Know that somebody looked: what is found from now on is new."""
        if self.kept.is_new or self.kept.was_mount != was_mount:
            self.kept.is_new, self.kept.was_mount = False, was_mount
            save(self._file, self.kept)

    def _note(self, told: Sequence[Told], pages: dict[str, Page]) -> None:
        known = {task.task_id: task for page in self.kept.pages.values() for task in page.tasks}
        gone = [known[each.key] for each in told if each.is_removal and each.key in known]
        self.kept.gone += [(essence(task.title), task.task_id) for task in gone]
        self.kept.gone = self.kept.gone[-MOST_GONE:]
        for each in told:
            if each.count is not None:
                self.kept.counts[each.key] = each.count
        self.kept.counts = {key: count for key, count in self.kept.counts.items() if count.total}
        self.kept.pages = pages
        save(self._file, self.kept)
        self._intents.unlink(missing_ok=True)

    def _changed(
        self,
        known: Mapping[str, Task],
        tasks: Iterable[Task],
        read: Mapping[str, TaskList | None],
        *,
        reconciled: bool,
    ) -> Iterator[Told]:
        new = "found" if self.kept.is_new else "added"
        renamed = {path: self._renamed(path, now) for path, now in read.items()}
        for task in tasks:
            before = known.get(task.task_id)
            _, was_unseen = self._missing.pop(task.task_id, (0.0, False))
            change = _change(before, task, *renamed[task.path]) if before else {"change": new}
            if change:
                yield _told(task, change, reconciled=reconciled or was_unseen)

    def _renamed(self, path: str, now: TaskList | None) -> tuple[Set[str], Set[str]]:
        """Return the headings that a file has no more, and those that it has now."""
        before = self.kept.pages[path].sections if path in self.kept.pages else set()
        sections = now.sections if now else set()
        return before - sections, sections - before

    def _removed(
        self, old: Iterable[Task], there: Set[str], now: float, *, reconciled: bool
    ) -> Iterator[Told]:
        for task in old:
            if task.task_id in there:
                continue
            since, was_unseen = self._missing.setdefault(task.task_id, (now, reconciled))
            if now - since >= GRACE:
                del self._missing[task.task_id]
                change = {"change": "removed", "old_status": task.status}
                gone = msgspec.structs.replace(task, status="removed")
                yield msgspec.structs.replace(_told(gone, change, reconciled=was_unseen), task=None)

    def _after(
        self, read: Mapping[str, TaskList | None], tasks: Sequence[Task], left: Set[str]
    ) -> dict[str, Page]:
        """
        Return every file as it is when all was told; a task that is nowhere is where it was.

        Args:
            left: The tasks that are no more where they were, if that is in another file.
        """
        found: dict[str, list[Task]] = {path: [] for path in read}
        for task in tasks:
            found[task.path].append(task)
        after = {}
        for path in {**self.kept.pages, **read}:
            page = self.kept.pages.get(path, Page())
            if path in read:
                now = read[path]
                woven = _woven(page.tasks, found[path], self._missing.keys())
                page = Page(now.sections if now else set(), woven)
            elif any(task.task_id in left for task in page.tasks):
                stay = [task for task in page.tasks if task.task_id not in left]
                page = Page(page.sections, stay)
            if page.tasks or page.sections:
                after[path] = page
        return after

    def _with(self, told: Iterable[Told]) -> dict[str, Page]:
        """Return every file when some of what was to be told was."""
        changed = {each.key: each.task for each in told if each.count is None}
        new: dict[str, list[Task]] = {}
        for task in changed.values():
            if task is not None:
                new.setdefault(task.path, []).append(task)
        after = {}
        for path in {**self.kept.pages, **new}:
            page = self.kept.pages.get(path, Page())
            left = [task for task in page.tasks if task.task_id not in changed]
            left = sorted([*left, *new.get(path, [])], key=lambda task: task.line)
            after[path] = Page(page.sections, left)
        return after

    def _progress(self, pages: Mapping[str, Page], wall: float, *, reconciled: bool) -> list[Told]:
        """Return the progress of each file, and of the project, where it is another."""
        now = counts(task for page in pages.values() for task in page.tasks)
        labels = {*self.kept.counts, *now} - {EVERY}
        told = []
        for label in [*sorted(labels), EVERY]:
            before = self.kept.counts.get(label)
            done, total = now.get(label, (0, 0))
            if (done, total) != ((before.done, before.total) if before else (0, 0)):
                count = taskcount.after(before, done, total, wall)
                data = taskcount.as_data(label, before, count)
                data |= {"reconciled": True} if reconciled else {}
                told.append(Told(new_event_id(), label, data, count=count))
        return told


def _found(path: str, tasks: TaskList) -> Iterator[Found]:
    for item in tasks.items:
        over = "" if item.parent is None else tasks.items[item.parent].title
        yield Found(path, item, over)


def _tasks(found: Sequence[Found], ids: Sequence[str]) -> list[Task]:
    """Return what was found as tasks; the first of a file is at `start`."""
    tasks: list[Task] = []
    start, path = 0, None
    for at, each in enumerate(found):
        if each.path != path:
            start, path = at, each.path
        item = each.item
        parent = None if item.parent is None else ids[start + item.parent]
        tasks.append(
            Task(ids[at], item.title, item.status, each.path, item.line, item.section, parent)
        )
    return tasks


def _change(before: Task, task: Task, gone: Set[str], come: Set[str]) -> dict[str, Any] | None:
    """
    Return what has changed; None when nothing has that is to be told, as of the line alone.

    Args:
        gone: Headings that were taken away.
        come: Headings that came: a task between such two has not moved.
    """
    is_renamed = before.section in gone and task.section in come
    has_moved = (before.path, before.parent) != (task.path, task.parent)
    change: dict[str, Any] = {}
    if before.title != task.title:
        change["change"] = "edited"
    if has_moved or (before.section != task.section and not is_renamed):
        change["change"] = "moved"
    if before.status != task.status:
        change |= {"change": "status", "old_status": before.status}
    if before.path != task.path:
        change["old_path"] = before.path
    return change or None


def _told(task: Task, change: Mapping[str, Any], *, reconciled: bool) -> Told:
    data: dict[str, Any] = {
        "task_id": task.task_id,
        "status": task.status,
        "title": task.title,
        "path": task.path,
        "line": task.line,
    }
    if task.section:
        data["section"] = task.section
    if task.parent is not None:
        data["parent"] = task.parent
    data |= change
    if reconciled:
        data["reconciled"] = True
    return Told(new_event_id(), task.task_id, data, task=task)


def _woven(old: Sequence[Task], new: list[Task], missing: Set[str]) -> list[Task]:
    """Return the tasks of a file, and those that are missing where they were."""
    there = {task.task_id for task in new}
    behind: dict[str, list[Task]] = {}
    last = ""
    for task in old:
        if task.task_id in missing:
            behind.setdefault(last, []).append(task)
        elif task.task_id in there:
            last = task.task_id
    if not behind:
        return new
    woven = [*behind.get("", [])]
    for task in new:
        woven += [task, *behind.get(task.task_id, [])]
    return woven
