"""Rate: far more events in an hour than in that hour of other weeks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import msgspec

from rtevents.config.risks import RiskSettings
from rtevents.core.event import Entry
from rtevents.producers.risk.book import Book, Finding
from rtevents.producers.risk.commits import data_of

HOUR = 3600.0

WEEKS = 8
"""Weeks of which each hour's count is kept."""

SAMPLES = 4
"""Counts of an hour that have to be known, before it is told what is unusual."""

MOST_PROJECTS = 50
"""Projects that are counted apart, at most."""

LONGEST_IDLE = 48
"""Hours without an event after which nobody knows whether the daemon was there to count."""

TO_DEVIATION = 1.4826
"""What makes the median absolute deviation a standard deviation, for what is normally spread."""

SLOTS = 7 * 24

NOT_COUNTED = frozenset({"SYSTEM_STATUS", "DASHBOARD_UPDATE", "RISK_ALERT", "PROGRESS_UPDATE"})


class _Hours(msgspec.Struct):
    """
    How many events each hour had.

    Args:
        hour: The hour that is counted, since 1970.
        count: Its events so far.
        weeks: The counts of each hour of the week, the newest last.
    """

    hour: int
    count: int = 0
    weeks: dict[int, list[int]] = {}


class Rate:
    """
    There are far more events in an hour than in that hour of other weeks.

    The median and the median absolute deviation say what is usual: a few wild hours among those
    that are remembered change neither. What git or a pull brings at once is not counted.
    """

    name = "rate"
    types: frozenset[str] = frozenset()
    project_id: str | None = None

    def __init__(self, settings: RiskSettings) -> None:
        self._settings = settings
        self._projects: dict[str, _Hours] = {}
        # By project: the count from which on there are too many, and the one that is told next.
        self._limits: dict[str, tuple[float, float]] = {}

    def see(self, entry: Entry, when: float, book: Book) -> None:
        """Count an event."""
        if entry.type in NOT_COUNTED or not _is_of_now(entry, when):
            return
        name, hour = entry.project_id or "", int(when // HOUR)
        hours = self._projects.get(name)
        if hours is None or hour > hours.hour:
            hours = self._begin(name, hour, hours)
        elif hour < hours.hour:
            return
        hours.count += 1
        if name not in self._limits:
            self._limit(name, hours)
        most, next_told = self._limits[name]
        if hours.count > next_told:
            self._limits[name] = most, 1.5 * hours.count
            self._found(entry, hours, most, when, book)

    def _begin(self, name: str, hour: int, hours: _Hours | None) -> _Hours:
        """Begin an hour; those since the last one, in which nothing came, are counted as well."""
        if hours is None:
            hours = self._projects[name] = _Hours(hour)
            if len(self._projects) > MOST_PROJECTS:
                oldest = min(self._projects, key=lambda each: self._projects[each].hour)
                del self._projects[oldest]
                self._limits.pop(oldest, None)
        else:
            passed = [hours.count] + [0] * min(hour - hours.hour - 1, LONGEST_IDLE)
            for offset, count in enumerate(passed):
                slot = hours.weeks.setdefault(_slot(hours.hour + offset), [])
                slot.append(count)
                del slot[:-WEEKS]
            hours.hour, hours.count = hour, 0
        self._limit(name, hours)
        return hours

    def _limit(self, name: str, hours: _Hours) -> None:
        most = limit(hours.weeks, _slot(hours.hour), self._settings)
        self._limits[name] = most, most

    def _found(self, entry: Entry, hours: _Hours, most: float, when: float, book: Book) -> None:
        book.found(
            Finding(
                rule=self.name,
                project_id=entry.project_id,
                subject="",
                severity=self._settings.rate,
                message=f"{hours.count} events in this hour, where up to {most:.0f} are usual",
                when=when,
                cause=entry,
                close_after=HOUR,
            )
        )

    def pass_time(self, now: float, book: Book) -> None:
        """Go back to this hour where the clock was ahead: nothing would be counted until then."""
        for name, hours in self._projects.items():
            if hours.hour > now // HOUR:
                hours.hour, hours.count = int(now // HOUR), 0
                self._limit(name, hours)

    def remembered(self) -> Any:
        """Return what was counted."""
        return self._projects

    def remember(self, kept: Any) -> None:
        """Take up what was counted."""
        self._projects = msgspec.convert(kept, dict[str, _Hours], strict=False)
        self._limits = {}


def limit(weeks: dict[int, list[int]], slot: int, settings: RiskSettings) -> float:
    """Return the count above which an hour has too many events; infinity while nobody knows."""
    samples = weeks.get(slot, [])
    if len(samples) < SAMPLES:
        samples = [count for at in range(slot % 24, SLOTS, 24) for count in weeks.get(at, [])]
    if len(samples) < SAMPLES:
        return float("inf")
    middle = median(samples)
    spread = max(TO_DEVIATION * _deviation(samples, middle), middle / 2)
    return max(float(settings.rate_least), middle + settings.rate_deviations * spread)


def _deviation(samples: Sequence[int], middle: float) -> float:
    return median(abs(count - middle) for count in samples)


def _slot(hour: int) -> int:
    """Return the hour of the week as this machine's clock shows it: Monday, 0:00 is 0."""
    local = time.localtime(hour * HOUR)
    return local.tm_wday * 24 + local.tm_hour


def _is_of_now(entry: Entry, when: float) -> bool:
    """Tell whether an event is somebody's doing of this hour, not what git brought at once."""
    if entry.type == "FILE_CHANGE":
        if b'"cause"' not in entry.wire and b'"reconciled"' not in entry.wire:
            return True  # without a look at what it says
        data = data_of(entry)
        return "cause" not in data and "reconciled" not in data
    if entry.type == "COMMIT":
        data = data_of(entry)
        return "reconciled" not in data and when - data.get("committed_at", when) < HOUR
    return entry.type != "REF_UPDATE"
