"""Which of the tasks that were told is which of those that are written now."""

from __future__ import annotations

import difflib
import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence

import msgspec

from rtevents.producers.tasklist import Item, essence

NEAR = 0.6
"""How alike two titles must be, 0 to 1, where the tasks before them are the same one."""

FAR = 0.8
"""How alike, anywhere in the project."""

MANY = 2500
"""Most pairs of titles that are compared at one place: beyond it each with its like in order."""

MOST_WORK = 20_000_000
"""Most pairs of characters of titles that are compared in all: about two seconds of work. What is
left then gets ids of its own."""

DIGITS = 10
"""Hexadecimal digits of an id that is made of a title."""


class Task(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    A task, as it was told.

    Args:
        task_id: The same for the same task.
        title: Its words.
        status: Its state.
        path: The file that lists it, as events tell it.
        line: Its line there, from 1.
        section: The headings around it.
        parent: The id of the task that it is nested in.
    """

    task_id: str
    title: str
    status: str
    path: str
    line: int
    section: str = ""
    parent: str | None = None


class Found(msgspec.Struct, frozen=True):
    """
    A task, as it is written now.

    Args:
        path: The file.
        item: What is written there.
        over: The title of the task that it is nested in.
    """

    path: str
    item: Item
    over: str


def match(
    old: Sequence[Task], new: Sequence[Found], known: Mapping[str, Task], gone: Mapping[str, str]
) -> list[str]:
    """
    Return an id for each of `new`: of the task of `old` that it is, or one that none has.

    An id that is written with a task is its id. Else it is that of a task with the same title:
    at best under the same heading and the same task, else in the same file, else in any; else of
    one with a title that is like it, at best behind the same task as before; else of one with its
    title that is gone.

    Args:
        old: In the order of their files.
        new: Likewise.
        known: Every task by its id: those of `old`, and others that stay.
        gone: The ids of tasks that are gone, by the essence of their titles.
    """
    return _Matching(old, new, known).ids(gone)


class _Matching:
    def __init__(
        self, old: Sequence[Task], new: Sequence[Found], known: Mapping[str, Task]
    ) -> None:
        self._known = known
        self._new = new
        self._old = {task.task_id: task for task in old}
        self._order = [*self._old]
        # What nobody has been found for yet.
        self._left = dict(self._old)
        self._ids: dict[int, str] = {}
        self._work = MOST_WORK

    def ids(self, gone: Mapping[str, str]) -> list[str]:
        """Return the ids, in the order of `new`."""
        self._name()
        titles = {task.task_id: essence(task.title) for task in self._left.values()}
        parents = {task.task_id: self._known.get(task.parent or "") for task in self._left.values()}
        over = {each: essence(task.title) if task else "" for each, task in parents.items()}
        new_titles = [essence(each.item.title) for each in self._new]
        self._pair(
            lambda task: (task.path, task.section, over[task.task_id], titles[task.task_id]),
            lambda at: (
                self._new[at].path,
                self._new[at].item.section,
                essence(self._new[at].over),
                new_titles[at],
            ),
        )
        self._pair(
            lambda task: (task.path, titles[task.task_id]),
            lambda at: (self._new[at].path, new_titles[at]),
        )
        self._pair(lambda task: titles[task.task_id], lambda at: new_titles[at])
        self._pair_alike(titles, new_titles)
        self._make(gone, new_titles)
        return [self._ids[at] for at in range(len(self._new))]

    def _name(self) -> None:
        """Give the ids that are written: each to the file that had it, else to the first."""
        stay = self._known.keys() - self._old.keys()
        best: dict[str, int] = {}
        for at, found in enumerate(self._new):
            ref = found.item.ref
            if ref is None or ref in stay:
                continue
            # What is read at once is read in another order than what was changed one by one.
            had = self._old[ref].path if ref in self._old else ""
            if ref not in best or (found.path == had != self._new[best[ref]].path):
                best[ref] = at
        for ref, at in best.items():
            self._ids[at] = ref
            self._left.pop(ref, None)

    def _open(self) -> list[int]:
        return [at for at in range(len(self._new)) if at not in self._ids]

    def _give(self, at: int, task_id: str) -> None:
        self._ids[at] = task_id
        del self._left[task_id]

    def _pair(self, of_old: Callable[[Task], Hashable], of_new: Callable[[int], Hashable]) -> None:
        """Pair what has the same key, in their order."""
        if not self._left:
            return
        waiting: dict[Hashable, list[str]] = defaultdict(list)
        for task in self._left.values():
            waiting[of_old(task)].append(task.task_id)
        for each in waiting.values():
            each.reverse()
        for at in self._open():
            if same := waiting.get(of_new(at)):
                self._give(at, same.pop())

    def _pair_alike(self, titles: Mapping[str, str], new_titles: Sequence[str]) -> None:
        """Pair titles that are alike: first of tasks behind the same task, then of all."""
        if not self._left:
            return
        for old, new in self._places():
            self._pair_best(old, new, titles, new_titles, NEAR)
        self._pair_best([*self._left], self._open(), titles, new_titles, FAR)

    def _places(self) -> Iterator[tuple[list[str], list[int]]]:
        """Yield the tasks that are left behind each task that is in the same file as before."""
        places = {task_id: self._new[at].path for at, task_id in self._ids.items()}
        left: dict[tuple[str, str], list[str]] = defaultdict(list)
        before: dict[str, str] = {}
        for task_id in self._order:
            path = self._old[task_id].path
            if task_id in self._left:
                left[path, before.get(path, "")].append(task_id)
            elif places.get(task_id) == path:
                before[path] = task_id
        new: dict[tuple[str, str], list[int]] = defaultdict(list)
        before = {}
        for at, found in enumerate(self._new):
            if at not in self._ids:
                new[found.path, before.get(found.path, "")].append(at)
            elif self._ids[at] in self._old and self._old[self._ids[at]].path == found.path:
                before[found.path] = self._ids[at]
        for place, old in left.items():
            if place in new:
                yield old, new[place]

    def _pair_best(
        self,
        old: Sequence[str],
        new: Sequence[int],
        titles: Mapping[str, str],
        new_titles: Sequence[str],
        least: float,
    ) -> None:
        if len(old) * len(new) > MANY:
            pairs = [*zip(range(len(old)), range(len(new)), strict=False)][:MANY]
        else:
            pairs = [(x, y) for x in range(len(old)) for y in range(len(new))]
        scores = [
            (-score, abs(x - y), x, y)
            for x, y in pairs
            if (score := self._likeness(titles[old[x]], new_titles[new[y]], least)) >= least
        ]
        for _, _, x, y in sorted(scores):
            if old[x] in self._left and new[y] not in self._ids:
                self._give(new[y], old[x])

    def _likeness(self, one: str, other: str, least: float) -> float:
        """Return how alike two titles are; 0 once there was enough to compare."""
        self._work -= len(one) * len(other)
        return _likeness(one, other, least) if self._work >= 0 else 0.0

    def _make(self, gone: Mapping[str, str], new_titles: Sequence[str]) -> None:
        """Give the others the ids of those that are gone, or ids of their own."""
        taken = {*self._known, *self._ids.values()}
        past = set(gone.values())
        for at in self._open():
            back = gone.get(new_titles[at])
            if back is None or back in taken:
                back = _new_id(new_titles[at], taken, past)
            taken.add(back)
            self._ids[at] = back


def _likeness(one: str, other: str, least: float) -> float:
    """Return how alike two titles are, 0 to 1; less than `least` for whatever is less."""
    if least < FAR and (one.startswith(other) or other.startswith(one)):
        return 1.0  # somebody is still writing it
    compared = difflib.SequenceMatcher(None, one, other, autojunk=False)
    if compared.real_quick_ratio() < least or compared.quick_ratio() < least:
        return 0.0
    return compared.ratio()


def _new_id(title: str, taken: Collection[str], past: Collection[str]) -> str:
    """Return an id that is made of a title, and neither a task's nor a former task's."""
    number = 0
    while True:
        text = f"{title}\0{number}".encode()
        task_id = "md-" + hashlib.blake2b(text, digest_size=DIGITS // 2).hexdigest()
        if task_id not in taken and task_id not in past:
            return task_id
        number += 1
