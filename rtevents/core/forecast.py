"""What usually happens in a project: what is likely next, and how surprising an event is."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict, deque
from collections.abc import Container, Iterable, Sequence

import msgspec

from rtevents.core.event import Entry, Event, EventType
from rtevents.core.paths import committed_of
from rtevents.core.together import Likely, Together
from rtevents.core.where import SURPRISE

MOST_PROJECTS = 256
"""Most projects of which something is known; the one that was quiet longest is forgotten."""

NEAR = 600.0
"""Seconds within which files that change are taken to change together."""

NEAR_FILES = 8
"""Files that changed last, with which another one is set together."""

NEAR_WEIGHT = 0.2
"""What that says, where a commit says 1."""

RANKED = 512
"""Events of a type with which another one is compared."""

FEW = 20
"""Events of a type up to which there is nothing to compare with: their surprise is not told."""

MOST_NOTED = 10_000
"""Commits of a project that are noted until its past is learned, at most."""

LEARNED = frozenset(
    {
        EventType.COMMIT.value, EventType.FILE_CHANGE.value, EventType.TASK_UPDATE.value,
        EventType.RISK_ALERT.value, EventType.PROGRESS_UPDATE.value,
    }
)  # fmt: skip
"""The types that are learned from."""


class Ranks:
    """How a number compares with those before it."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque()
        self._sorted: list[float] = []

    def rank(self, value: float) -> float | None:
        """Return the share of those that are less, equal ones by half; None while there are few."""
        count = len(self._sorted)
        if count < FEW:
            return None
        low, high = bisect_left(self._sorted, value), bisect_right(self._sorted, value)
        return (low + high) / 2 / count

    def add(self, value: float) -> None:
        """Take a number among those that others are compared with."""
        self._recent.append(value)
        insort(self._sorted, value)
        if len(self._recent) > RANKED:
            del self._sorted[bisect_left(self._sorted, self._recent.popleft())]

    def add_past(self, past: Ranks) -> None:
        """Take the newest numbers of another one as those before the first one here."""
        room = RANKED - len(self._recent)
        some = list(past._recent)[-room:] if room > 0 else []
        self._recent.extendleft(reversed(some))
        self._sorted = sorted(self._recent)


class _Project:
    """
    What is known of a project.

    Args:
        commits: Those that were learned while its past is not; None once it is.
    """

    def __init__(self) -> None:
        self.commits: set[str] | None = set()
        self.together = Together()
        self.near: OrderedDict[str, float] = OrderedDict()
        self.kinds: dict[str, Together] = {}
        self.ranks: dict[str, Ranks] = {}


class Past:
    """
    What the commits of a history say, each set against those before it.

    Args:
        commits: Each by its object id, with the files that it changes; the oldest first.
        noted: Those that are learned already, and left out.
    """

    def __init__(
        self, commits: Iterable[tuple[str, Sequence[str]]], noted: Container[str] = ()
    ) -> None:
        self.together = Together()
        self.ranks = Ranks()
        self.count = 0
        for sha, files in commits:
            if files and sha not in noted:
                self.ranks.add(_unusual_commit(self.together, files))
                self.together.learn(files)
                self.count += 1


class Forecast:
    """
    An online model of each project, learned from the entries of the log.

    What an event says of itself is set against what was usual before it: a commit by how likely
    its files are with one another, a file by what changed before it, any other event by its values
    of a few words. The surprise is the share of recent events of its type that were less unusual.
    """

    def __init__(self) -> None:
        self._projects: OrderedDict[str, _Project] = OrderedDict()

    def learn(self, entry: Entry) -> None:
        """Take an entry for what is usual."""
        if entry.type in LEARNED and entry.project_id is not None and not entry.is_corrupt:
            self._learn(self._project(entry.project_id), entry.event)

    def _learn(self, project: _Project, event: Event) -> None:
        unusual = _unusual(project, event)
        project.ranks.setdefault(event.type, Ranks()).add(unusual)
        if event.type == EventType.COMMIT:
            project.together.learn(committed_of(event))
            if project.commits is not None and len(project.commits) < MOST_NOTED:
                project.commits.add(str(event.data.get("commit_hash")))
        elif event.type == EventType.FILE_CHANGE:
            _learn_file(project, event)
        else:
            project.kinds.setdefault(event.type, Together()).learn([_words(event)])

    def noted(self, project_id: str) -> frozenset[str]:
        """Return the commits of a project that were learned while its past is not."""
        project = self._projects.get(project_id)
        return frozenset(project.commits or ()) if project else frozenset()

    def learn_past(self, project_id: str, past: Past) -> None:
        """Take a project's history for what was usual before all that was learned of it; once."""
        project = self._project(project_id)
        if project.commits is not None:
            project.commits = None
            project.together.learn_past(past.together)
            project.ranks.setdefault(EventType.COMMIT.value, Ranks()).add_past(past.ranks)

    def marked(self, event: Event) -> Event:
        """Return an event with its surprise among its extensions, where that can be told."""
        project = self._projects.get(event.project_id or "")
        if event.type not in LEARNED or project is None:
            return event
        ranks = project.ranks.get(event.type)
        rank = ranks.rank(_unusual(project, event)) if ranks else None
        if rank is None:
            return event
        told = {} if event.extensions is msgspec.UNSET else event.extensions
        return _with(event, {**told, SURPRISE: f"{rank:.3f}"})

    def likely(self, project_id: str, paths: Sequence[str], limit: int) -> list[Likely]:
        """Return which files of a project are likely to change next, the likeliest first."""
        if project_id not in self._projects:
            return []
        return self._projects[project_id].together.likely(paths, limit)

    def _project(self, project_id: str) -> _Project:
        project = self._projects.get(project_id)
        if project is None:
            project = self._projects[project_id] = _Project()
            if len(self._projects) > MOST_PROJECTS:
                self._projects.popitem(last=False)
        self._projects.move_to_end(project_id)
        return project


def _with(event: Event, extensions: dict[str, str]) -> Event:
    changed = msgspec.structs.replace(event, extensions=extensions)
    # Whether somebody gave the time is not a field.
    if "is_dated" in event.__dict__:
        changed.__dict__["is_dated"] = event.__dict__["is_dated"]
    return changed


def _unusual(project: _Project, event: Event) -> float:
    """Return how unusual an event is, in bits."""
    if event.type == EventType.COMMIT:
        return _unusual_commit(project.together, committed_of(event))
    if event.type == EventType.FILE_CHANGE:
        return _bits(project.together.given(event.path, list(project.near)))
    kinds = project.kinds.get(event.type)
    return _bits(kinds.base(_words(event))) if kinds else 0.0


def _unusual_commit(together: Together, files: Sequence[str]) -> float:
    """Return the mean over a commit's files of how unusual each is beside the others."""
    some = files[:24]
    if not some:
        return 0.0
    bits = (
        _bits(together.given(file, [other for other in some if other != file])) for file in some
    )
    return sum(bits) / len(some)


def _learn_file(project: _Project, event: Event) -> None:
    path, near = event.path, project.near
    for other in [name for name, at in near.items() if abs(event.timestamp - at) > NEAR]:
        del near[other]
    for other in near:
        if other != path:
            project.together.learn([path, other], NEAR_WEIGHT / max(1, len(near)))
    if not near:
        project.together.learn([path], NEAR_WEIGHT)
    near[path] = event.timestamp
    near.move_to_end(path)
    if len(near) > NEAR_FILES:
        near.popitem(last=False)


def _words(event: Event) -> str:
    """Return what an event says of itself in a few words: its status, severity or rule."""
    said = (event.data.get(name) for name in ("status", "severity", "rule", "label"))
    return " ".join(str(each)[:64] for each in said if each is not None)


def _bits(probability: float) -> float:
    return -math.log2(probability)
