"""What a stretch of the log says when it is counted: a report as a value."""

from __future__ import annotations

import time
from collections import Counter
from itertools import combinations
from statistics import median
from typing import TypeVar

import msgspec

from rtevents.core.event import Entry, Event, EventType
from rtevents.core.paths import committed_of

TOP = 20
"""Entries of each list of the report."""

MOST_KEYS = 20_000
"""Most files, folders or pairs that are counted; beyond it the rarer half is forgotten."""

MOST_TOGETHER = 50
"""Most files of a commit whose pairs are counted."""

HOUR, DAY = 3600, 86_400

MOST_HOURS = 14 * 24
"""Hours up to which the report is by the hour; by the day beyond."""

DONE = frozenset({"done", "completed", "closed"})
"""What a task's status is when it is done."""

NO_CHANGE = frozenset({"found", "added", "moved", "edited"})
"""What a task list tells of a task whose status is as it was."""


Key = TypeVar("Key")

_InProject = tuple[str | None, str]
"""A project's id, and a path in it."""


class Counted(msgspec.Struct, frozen=True):
    """How often there is something."""

    name: str
    count: int


class PathCount(msgspec.Struct, frozen=True):
    """
    How often something happens to a file or in a folder.

    Args:
        name: Its path, in the project.
        project_id: The project; None for what is of none.
    """

    name: str
    count: int
    project_id: str | None


class Pair(msgspec.Struct, frozen=True):
    """
    Two files that commits change together.

    Args:
        count: In how many commits.
        share: Of the commits that change the rarer one of them.
        project_id: The project that both are of.
    """

    files: tuple[str, str]
    count: int
    share: float
    project_id: str | None


class Span(msgspec.Struct, frozen=True):
    """
    A stretch of time.

    Args:
        start: When it begins, in unix seconds.
        by_type: How many events there were.
    """

    start: float
    by_type: dict[str, int]


class Commits(msgspec.Struct, frozen=True):
    """
    The commits.

    Args:
        authors: Who made most.
        rhythm: How many there were: seven days from Monday, of 24 hours each, local time.
    """

    count: int
    insertions: int
    deletions: int
    authors: list[Counted]
    rhythm: list[list[int]]


class Tasks(msgspec.Struct, frozen=True):
    """
    The tasks.

    Args:
        by_status: How many stand so at the end of the stretch.
        done: How many were done in it.
        seconds: The median of the time from when a task was first seen until it was done.
    """

    by_status: dict[str, int]
    done: int
    seconds: float | None


class Risks(msgspec.Struct, frozen=True):
    """
    The risks.

    Args:
        by_severity: How many alerts there were.
        open: How many were open at the end of the stretch.
        closed: How many were closed in it.
        seconds: The median of the time that those were open.
    """

    by_severity: dict[str, int]
    open: int
    closed: int
    seconds: float | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a stretch of the log says.

    Args:
        since, until: The times of its first and last event; None for no event.
        events: How many there are.
        by_type: How many of each type.
        span_seconds: How long each of `spans` is: an hour, or a day.
        spans: The events over time, the oldest first; those without an event are left out.
        files, folders: Where most happens, in each project apart: each save of a file, and each
            commit of one of which no save was told since the last; what git itself wrote, at a
            checkout, is none. What commits change outside the project's folder begins with ``:/``.
        together: The files that commits change together.
    """

    since: float | None
    until: float | None
    events: int
    by_type: dict[str, int]
    span_seconds: int
    spans: list[Span]
    files: list[PathCount]
    folders: list[PathCount]
    together: list[Pair]
    commits: Commits
    tasks: Tasks
    risks: Risks


class Analysis:
    """Counts entries, in order, in bounded memory."""

    def __init__(self) -> None:
        self._events = 0
        self._first = self._last = 0.0
        self._hours: Counter[tuple[int, str]] = Counter()
        self._files: Counter[_InProject] = Counter()
        self._folders: Counter[_InProject] = Counter()
        # Saved since their last commit, the oldest first.
        self._saved: dict[_InProject, None] = {}
        self._committed: Counter[_InProject] = Counter()
        self._pairs: Counter[tuple[_InProject, _InProject]] = Counter()
        self._authors: Counter[str] = Counter()
        self._rhythm = [[0] * 24 for _ in range(7)]
        self._commits = self._inserted = self._deleted = 0
        self._tasks = _Openings()
        self._risks = _Openings()
        self._severities: Counter[str] = Counter()

    def add(self, entry: Entry) -> None:
        """Count an entry; one that is damaged says no more than its type."""
        at = entry.timestamp
        self._first = min(self._first, at) if self._events else at
        self._last = max(self._last, at)
        self._events += 1
        self._hours[int(at // HOUR), entry.type] += 1
        if count := _COUNTED.get(entry.type):
            count(self, entry.event)

    def _file(self, event: Event) -> None:
        # With a cause it was git that wrote it, or other rules that show it.
        if event.path and not event.data.get("cause"):
            self._touch(file := (event.project_id, event.path))
            self._saved[file] = None
            if len(self._saved) > MOST_KEYS:
                del self._saved[next(iter(self._saved))]

    def _touch(self, file: _InProject) -> None:
        project_id, path = file
        self._files[file] += 1
        self._folders[project_id, path.rpartition("/")[0] or "."] += 1
        _prune(self._files)
        _prune(self._folders)

    def _commit(self, event: Event) -> None:
        data = event.data
        self._commits += 1
        self._inserted += _count(data.get("insertions"))
        self._deleted += _count(data.get("deletions"))
        self._authors[str(data.get("author", ""))[:100]] += 1
        _prune(self._authors)
        when = time.localtime(event.timestamp)
        self._rhythm[when.tm_wday][when.tm_hour] += 1
        files = [(event.project_id, path) for path in sorted({*committed_of(event)})]
        for file in files:
            # What was saved is counted already: its commit is no other change.
            if file in self._saved:
                del self._saved[file]
            else:
                self._touch(file)
            self._committed[file] += 1
        if len(files) <= MOST_TOGETHER:
            self._pairs.update(combinations(files, 2))
        _prune(self._committed)
        _prune(self._pairs)

    def _task(self, event: Event) -> None:
        status = str(event.data.get("status", ""))[:100]
        key = f"{event.project_id}\0{event.data.get('task_id')}"
        was_so = event.data.get("change") in NO_CHANGE
        self._tasks.note(key, status, event.timestamp, is_over=status in DONE, was_so=was_so)

    def _risk(self, event: Event) -> None:
        data = event.data
        state = str(data.get("state", "open"))
        if state == "open":
            self._severities[str(data.get("severity", ""))[:100]] += 1
        key = f"{event.project_id}\0{data.get('fingerprint') or event.event_id}"
        self._risks.note(key, state, event.timestamp, is_over=state == "closed")

    def report(self) -> Report:
        """Return what was counted."""
        size = HOUR if self._last - self._first <= MOST_HOURS * HOUR else DAY
        spans: dict[int, Counter[str]] = {}
        for (hour, kind), count in self._hours.items():
            spans.setdefault(hour * HOUR // size, Counter())[kind] += count
        by_type: Counter[str] = sum(spans.values(), Counter())
        return Report(
            since=self._first if self._events else None,
            until=self._last if self._events else None,
            events=self._events,
            by_type=dict(by_type.most_common()),
            span_seconds=size,
            spans=[Span(at * size, dict(spans[at])) for at in sorted(spans)],
            files=_places(self._files),
            folders=_places(self._folders),
            together=self._together(),
            commits=Commits(
                count=self._commits,
                insertions=self._inserted,
                deletions=self._deleted,
                authors=_top(self._authors),
                rhythm=self._rhythm,
            ),
            tasks=Tasks(dict(self._tasks.states), self._tasks.over, self._tasks.median),
            risks=Risks(
                dict(self._severities), self._risks.open, self._risks.over, self._risks.median
            ),
        )

    def _together(self) -> list[Pair]:
        found = [
            Pair((one[1], other[1]), count, count / self._rarer(one, other, count), one[0])
            for (one, other), count in self._pairs.items()
            if count > 1
        ]
        found.sort(key=lambda pair: (-pair.count * pair.share, pair.files, pair.project_id or ""))
        return found[:TOP]

    def _rarer(self, one: _InProject, other: _InProject, least: int) -> int:
        """Return how many commits change the rarer one of two files."""
        return min(self._committed[one] or least, self._committed[other] or least)


class _Openings:
    """Things that are open for a while: when each began, how it stands, how long it took."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self._states: dict[str, str] = {}
        self._took: list[float] = []
        self.over = 0

    def note(self, key: str, state: str, at: float, *, is_over: bool, was_so: bool = False) -> None:
        """
        Note how a thing stands now.

        Args:
            was_so: Whether it says that it stood so before.
        """
        was_over = was_so if key not in self._states else key not in self._began
        self._states[key] = state
        if not is_over:
            self._began.setdefault(key, at)
        elif key in self._began:
            self._took.append(max(0.0, at - self._began.pop(key)))
            self.over += 1
        elif not was_over:
            self.over += 1  # it began before the stretch
        if len(self._states) > MOST_KEYS:
            oldest = next(iter(self._states))
            del self._states[oldest]
            self._began.pop(oldest, None)

    @property
    def states(self) -> Counter[str]:
        """How many stand how."""
        return Counter(self._states.values())

    @property
    def open(self) -> int:
        """How many are open."""
        return len(self._began)

    @property
    def median(self) -> float | None:
        """The median of how long they took, in seconds; None for nothing."""
        return median(self._took) if self._took else None


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _prune(counts: Counter[Key]) -> None:
    if len(counts) > MOST_KEYS:
        kept = counts.most_common(MOST_KEYS // 2)
        counts.clear()
        counts.update(dict(kept))


def _places(counts: Counter[_InProject]) -> list[PathCount]:
    def rank(item: tuple[_InProject, int]) -> tuple[int, str, str]:
        (project_id, path), count = item
        return -count, path, project_id or ""

    ranked = sorted(counts.items(), key=rank)
    return [PathCount(path, count, project_id) for (project_id, path), count in ranked[:TOP]]


def _top(counts: Counter[str]) -> list[Counted]:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Counted(name, count) for name, count in ranked[:TOP]]


_COUNTED = {
    EventType.FILE_CHANGE.value: Analysis._file,
    EventType.COMMIT.value: Analysis._commit,
    EventType.TASK_UPDATE.value: Analysis._task,
    EventType.RISK_ALERT.value: Analysis._risk,
}
