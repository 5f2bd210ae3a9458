"""Checks, thresholds and the verdict: is this service well?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from rtevents.core.stats import Snapshot

Status = Literal["ok", "degraded", "failed"]


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """
    The figures beyond which a service is degraded; the defaults are the specification's.

    Args:
        connections: Open connections.
        queue_share: Fill of the intake queue, 0 to 1.
        latency_ms: Milliseconds to store an event, as the 95th percentile.
        errors_per_minute: Store and handler failures.
        memory_bytes: Resident memory.
        loop_lag_ms: Milliseconds by which the event loop is late.
    """

    connections: int = 800
    queue_share: float = 0.8
    latency_ms: float = 500.0
    errors_per_minute: int = 10
    memory_bytes: int = 500 * 1024**2
    loop_lag_ms: float = 1000.0


class Health(msgspec.Struct, frozen=True):
    """
    A verdict.

    Args:
        status: ``failed`` when no event can be accepted, ``degraded`` when something is amiss.
        reasons: What is amiss, in words; empty when ``ok``.
    """

    status: Status
    reasons: list[str]


def verdict(
    snapshot: Snapshot,
    thresholds: Thresholds,
    *,
    failures: Iterable[str] = (),
    warnings: Iterable[str] = (),
) -> Health:
    """
    Judge a service by its figures.

    Args:
        failures: Reasons why no event can be accepted.
        warnings: Reasons that figures do not show, such as a producer that failed.
    """
    failed = list(failures)
    crossed = [*warnings, *_crossed(snapshot, thresholds)]
    status: Status = "failed" if failed else "degraded" if crossed else "ok"
    return Health(status, failed + crossed)


def _crossed(snapshot: Snapshot, thresholds: Thresholds) -> list[str]:
    queue = snapshot.queue["size"] / snapshot.queue["max_size"]
    figures = [
        (snapshot.connections["current"], thresholds.connections, "connections", "{:.0f}"),
        (queue, thresholds.queue_share, "queue fill", "{:.0%}"),
        (snapshot.latency["p95"], thresholds.latency_ms, "milliseconds to store", "{:.0f}"),
        (snapshot.errors_1m, thresholds.errors_per_minute, "errors in a minute", "{:.0f}"),
        (snapshot.loop_lag_ms, thresholds.loop_lag_ms, "milliseconds of lag", "{:.0f}"),
        (snapshot.memory_bytes or 0, thresholds.memory_bytes, "bytes of memory", "{:.0f}"),
    ]
    return [
        f"{name}: {form.format(value)}, above {form.format(limit)}"
        for value, limit, name, form in figures
        if value > limit
    ]
