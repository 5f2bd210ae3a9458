"""Rates and latency."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtevents.core import stats
from rtevents.core.event import Event, Stored
from rtevents.core.filter import Filter
from rtevents.core.stats import (
    LATENCY_BOUNDS_MS,
    MARKS,
    RATE_WINDOW,
    Counters,
    Latency,
    Rate,
    resident_bytes,
)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.seconds


def test_a_rate_is_the_mean_of_the_last_minute() -> None:
    clock = Clock()
    rate = Rate(clock)
    for _ in range(120):
        rate.add(5)
        rate.add(5)
        clock.seconds += 1

    assert rate.per_second() == pytest.approx(10, rel=0.05)
    clock.seconds += RATE_WINDOW + 1
    assert rate.per_second() == 0
    assert rate.per_minute() == 0


def test_a_young_rate_is_the_mean_since_the_start() -> None:
    clock = Clock()
    rate = Rate(clock)
    rate.add(20)
    clock.seconds += 2

    assert rate.per_second() == 10
    assert rate.per_minute() == 20


def test_a_percentile_is_within_a_quarter_of_the_truth() -> None:
    latency = Latency()
    for milliseconds in range(1, 101):
        latency.add(milliseconds / 1000)

    assert 50 <= latency.percentile(0.5) <= 50 * 1.25
    assert 99 <= latency.percentile(0.99) <= 99 * 1.25


def test_no_latency_is_zero_and_a_huge_one_is_the_last_bound() -> None:
    latency = Latency()
    assert latency.percentile(0.5) == 0
    latency.add(10**9)

    assert latency.percentile(0.5) == round(LATENCY_BOUNDS_MS[-1], 3)


def test_a_recent_latency_forgets_what_was_a_minute_ago() -> None:
    latency = Latency()
    latency.add(5.0)
    assert latency.recent(0.95) >= 5000
    for _ in range(MARKS):
        latency.mark()

    assert latency.recent(0.95) == 0
    latency.add(0.001)
    assert latency.recent(0.95) <= 1.25
    assert latency.percentile(0.95) >= 5000


def test_memory_is_read_where_the_system_tells_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    statm = tmp_path / "statm"
    monkeypatch.setattr(stats, "STATM", str(statm))
    assert resident_bytes() is None
    statm.write_text("100 50 20 1 0 30 0\n")

    assert resident_bytes() is not None


def stored(kind: str, project: str | None) -> Event:
    """Return an event of a type and a project."""
    return Event(type=kind, data={}, project_id=project)


def test_what_was_stored_is_counted_within_a_filter() -> None:
    counters = Counters()
    events = [stored("DEPLOY", "web"), stored("DEPLOY", "api"), stored("BUILD", None)]
    counters.note_stored(events, [Stored("x", seq, duplicate=False) for seq in (1, 2, 3)])

    assert counters.by_type() == {"DEPLOY": 2, "BUILD": 1}
    assert counters.by_type(Filter(projects=frozenset({"web"}))) == {"DEPLOY": 1}
    assert counters.by_type(Filter(types=frozenset({"BUILD"}))) == {"BUILD": 1}
    assert counters.by_type(Filter(types=frozenset({"DEPLOY"}))).total() == 2


def test_any_number_of_projects_takes_bounded_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "MOST_KEYS", 10)
    counters = Counters()
    often = [stored("DEPLOY", "web")] * 3
    for events in (often, [stored("DEPLOY", str(number)) for number in range(100)]):
        counters.note_stored(events, [Stored("x", 1, duplicate=False) for _ in events])

    assert counters.by_type() == {"DEPLOY": 103}
    assert counters.by_type(Filter(projects=frozenset({"web"}))) == {"DEPLOY": 3}
    assert len(counters._by_key) <= 10
