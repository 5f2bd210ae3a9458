"""The verdict: what is crossed, and when that is over."""

from __future__ import annotations

import msgspec
import pytest

from rtevents.core.health import OVER_AGAIN, Health, Thresholds, Watch, figures, verdict
from rtevents.core.stats import Snapshot


def snapshot(**values: float) -> Snapshot:
    """Return statistics in which these figures are so."""
    given = {
        "connections": 0, "queue_share": 0.0, "latency_ms": 0.0, "errors_per_minute": 0,
        "loop_lag_ms": 0.0, "memory_bytes": 0,
    } | values  # fmt: skip
    return Snapshot(
        uptime=1.0,
        events={},
        queue={"size": int(given["queue_share"] * 1000), "max_size": 1000},
        log={},
        connections={"current": int(given["connections"])},
        latency={"p95_1m": given["latency_ms"]},
        handlers={},
        errors_1m=int(given["errors_per_minute"]),
        loop_lag_ms=given["loop_lag_ms"],
        memory_bytes=int(given["memory_bytes"]) or None,
    )


def test_the_defaults_are_the_specifications() -> None:
    assert msgspec.structs.asdict(Thresholds()) == {
        "connections": 800,
        "queue_share": 0.8,
        "latency_ms": 500.0,
        "errors_per_minute": 10,
        "memory_bytes": 500 * 1024**2,
        "loop_lag_ms": 1000.0,
    }


def test_every_threshold_has_its_figure() -> None:
    assert figures(snapshot()).keys() == set(Thresholds.__struct_fields__)


@pytest.mark.parametrize("name", Thresholds.__struct_fields__)
def test_a_threshold_is_crossed_above_it_and_over_below_nine_tenths_of_it(name: str) -> None:
    limit = 1000 * getattr(Thresholds(), name)  # so that nine tenths of it is a whole number
    if name == "queue_share":
        limit = 0.5
    watch = Watch(Thresholds(**{name: limit}))

    assert watch.judge(snapshot(**{name: limit})) == []
    assert len(watch.judge(snapshot(**{name: limit * 1.2}))) == 1
    assert watch.crossed == {name}
    assert len(watch.judge(snapshot(**{name: limit * 0.95}))) == 1, "it hovers"
    assert watch.judge(snapshot(**{name: limit * OVER_AGAIN - 0.001 * limit})) == []
    assert watch.crossed == frozenset()
    assert watch.judge(snapshot(**{name: limit * 0.95})) == [], "it was not crossed again"


def test_what_is_amiss_is_told_with_its_figure_and_its_limit() -> None:
    watch = Watch(Thresholds())

    assert watch.judge(snapshot(connections=801, queue_share=0.85, latency_ms=700)) == [
        "connections: 801, above 800",
        "queue fill: 85%, above 80%",
        "milliseconds to store: 700, above 500",
    ]
    assert watch.judge(snapshot(connections=790)) == [
        "connections: 790, was above 800, not below 720 yet"
    ]


def test_a_limit_of_nothing_is_over_when_there_is_nothing() -> None:
    watch = Watch(Thresholds(errors_per_minute=0))

    assert len(watch.judge(snapshot(errors_per_minute=1))) == 1
    assert watch.judge(snapshot()) == []


def test_a_failure_is_graver_than_a_warning() -> None:
    assert verdict([], []) == Health("ok", [])
    assert verdict([], ["slow"]) == Health("degraded", ["slow"])
    assert verdict(["full"], ["slow"]) == Health("failed", ["full", "slow"])
