"""What is counted, rates and latency; a snapshot as a value."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from rtevents.core.delay import Delays, Histogram
from rtevents.core.event import Event, Stored
from rtevents.core.filter import Filter

RATE_WINDOW = 60
"""Seconds over which rates are counted."""

LATENCY_BOUNDS_MS = tuple(0.1 * 1.25**step for step in range(60))
"""Upper bounds of the latency buckets, in milliseconds: 0.1 ms to a minute, 25 % apart."""

MARK_SECONDS = 10.0
"""Seconds between two marks of a latency."""

MARKS = 6
"""Marks that are kept: those of the last minute."""

MOST_KEYS = 4096
"""Most pairs of a type and a project that are counted each for itself."""

_ALL = Filter()

STATM = "/proc/self/statm"
"""Where Linux tells a process's memory, in pages."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """
    The statistics at one moment.

    Args:
        uptime: Seconds since the start.
        events: Counts: ``published duplicates refused delivered by_type``, and ``rate_1m`` in
            events per second over the last minute.
        queue: ``size max_size bytes max_bytes``: what waits to be stored.
        log: ``epoch oldest newest missing window_events window_bytes``.
        connections: ``current total cleaned_up``.
        latency: Milliseconds from a publisher's call to the stored answer: ``p50 p95 p99``, and
            ``p95_1m`` over the last minute.
        handlers: ``registered failures``.
        errors_1m: Store and handler failures over the last minute.
        loop_lag_ms: Milliseconds by which the event loop was late in the last minute, at most.
        memory_bytes: Resident memory of the process; None where that cannot be read.
    """

    uptime: float
    events: dict[str, Any]
    queue: dict[str, int]
    log: dict[str, Any]
    connections: dict[str, int]
    latency: dict[str, float]
    handlers: dict[str, int]
    errors_1m: int
    loop_lag_ms: float
    memory_bytes: int | None


class Rate:
    """
    Events per second over the last minute.

    Args:
        now: Seconds of a clock that never goes back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._started = now()
        self._seconds: deque[list[int]] = deque()
        self.total = 0
        """How many there were since the start."""

    def add(self, count: int) -> None:
        """Count events that happened just now."""
        second = int(self._now())
        self.total += count
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1][1] += count
        else:
            self._seconds.append([second, count])
        self._forget(second)

    def per_second(self) -> float:
        """Return the mean of the last minute, or of the time since the start if that is less."""
        now = self._now()
        self._forget(int(now))
        span = min(RATE_WINDOW, max(1.0, now - self._started))
        return sum(count for _, count in self._seconds) / span

    def per_minute(self) -> int:
        """Return how many there were in the last minute."""
        self._forget(int(self._now()))
        return sum(count for _, count in self._seconds)

    def _forget(self, second: int) -> None:
        while self._seconds and self._seconds[0][0] <= second - RATE_WINDOW:
            self._seconds.popleft()


class Latency:
    """How long something took, as counts in buckets a quarter apart."""

    def __init__(self) -> None:
        self.counts = [0] * (len(LATENCY_BOUNDS_MS) + 1)
        self._marks = deque([self.counts.copy()], maxlen=MARKS)

    def add(self, seconds: float, count: int = 1) -> None:
        """Note that `count` things took `seconds`."""
        self.counts[bisect_left(LATENCY_BOUNDS_MS, seconds * 1000)] += count

    def percentile(self, share: float) -> float:
        """Return the milliseconds within which `share` (0 to 1) of them ended; 0 with none."""
        return _percentile(self.counts, share)

    def recent(self, share: float) -> float:
        """Return the same of those that ended since the oldest mark: in about a minute."""
        return _percentile(
            [now - then for now, then in zip(self.counts, self._marks[0], strict=True)], share
        )

    def as_dict(self) -> dict[str, float]:
        """Return the milliseconds within which most ended, as ``Snapshot.latency``."""
        since_start = {f"p{share}": self.percentile(share / 100) for share in (50, 95, 99)}
        return {**since_start, "p95_1m": self.recent(0.95)}

    def mark(self) -> None:
        """Note this moment; to be called every ``MARK_SECONDS``."""
        self._marks.append(self.counts.copy())


def _percentile(counts: Sequence[int], share: float) -> float:
    wanted = share * sum(counts)
    seen = 0
    for bound, count in zip((*LATENCY_BOUNDS_MS, LATENCY_BOUNDS_MS[-1]), counts, strict=True):
        seen += count
        if seen and seen >= wanted:
            return round(bound, 3)
    return 0.0


class Counters:
    """What a service counts while it runs; ``Snapshot`` is what others get to see."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.published = 0
        self.duplicates = 0
        self.refused = 0
        self.delivered = 0
        self._by_key: Counter[tuple[str, str | None]] = Counter()
        self.rate = Rate()
        self.latency = Latency()
        self.appends = Histogram()
        self.delays = Delays()
        self.connections_total = 0
        self.cleaned_up = 0
        self.closed: Counter[str] = Counter()
        """How many connections have ended, by the reason."""
        self.handler_failures = 0
        self.errors = Rate()

    def note_stored(self, events: Sequence[Event], answers: Sequence[Stored]) -> None:
        """Count a batch that is stored."""
        if any(map(_is_duplicate, answers)):
            events = [e for e, a in zip(events, answers, strict=True) if not a.duplicate]
        new = list(map(_key, events))
        self.published += len(new)
        self.duplicates += len(answers) - len(new)
        self._by_key.update(new)
        self.rate.add(len(new))
        if len(self._by_key) > MOST_KEYS:
            self._fold()

    def of_events(self) -> dict[str, Any]:
        """Return what is counted of events, as ``Snapshot.events``."""
        return {
            "published": self.published,
            "duplicates": self.duplicates,
            "refused": self.refused,
            "delivered": self.delivered,
            "rate_1m": self.rate.per_second(),
            "by_type": dict(self.by_type().most_common()),
        }

    def by_type(self, within: Filter = _ALL) -> Counter[str]:
        """Return how many were stored of each type, of those that `within` holds."""
        found: Counter[str] = Counter()
        for (kind, project), count in self._by_key.items():
            is_type = not within.types or kind in within.types
            if is_type and (not within.projects or project in within.projects):
                found[kind] += count
        return found

    def _fold(self) -> None:
        """Count the projects with the fewest events together: publishers may name any number."""
        for (kind, project), count in self._by_key.most_common()[MOST_KEYS // 2 :]:
            del self._by_key[kind, project]
            self._by_key[kind, None] += count


def resident_bytes() -> int | None:
    """Return the resident memory of this process; None where the system does not tell."""
    import resource

    try:
        with open(STATM, "rb") as statm:  # noqa: PTH123 - twice as fast as Path
            return int(statm.read().split()[1]) * resource.getpagesize()
    except OSError:
        return None


_is_duplicate = attrgetter("duplicate")
_key = attrgetter("type", "project_id")
