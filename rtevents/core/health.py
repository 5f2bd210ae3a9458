"""Checks, thresholds and the verdict: is this service well?"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from rtevents.core.event import Event, EventType
from rtevents.core.stats import Snapshot

Status = Literal["ok", "degraded", "failed"]

STATUSES: Sequence[Status] = ("ok", "degraded", "failed")
"""Every status, the worst last."""

OVER_AGAIN = 0.9
"""Share of a limit that a figure which was above it must reach before that is over: one that hovers
about its limit is told once, and not each second."""


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """
    The figures beyond which a service is degraded; the defaults are the specification's.

    Args:
        connections: Open connections.
        queue_share: Fill of the intake queue, 0 to 1.
        latency_ms: Milliseconds to store an event, as the 95th percentile of the last minute.
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


class Watch:
    """
    Judges the figures of a service, look by look.

    Args:
        thresholds: The figures beyond which it is degraded.
    """

    def __init__(self, thresholds: Thresholds) -> None:
        self.thresholds = thresholds
        self.crossed: frozenset[str] = frozenset()
        """The thresholds that are crossed, by the names of ``Thresholds``."""

    def judge(self, snapshot: Snapshot) -> list[str]:
        """Look at the figures; return what is amiss, in words."""
        reasons, crossed = [], set()
        for name, value in figures(snapshot).items():
            limit = getattr(self.thresholds, name)
            over_again = limit * OVER_AGAIN
            if value > limit or (name in self.crossed and value > over_again):
                crossed.add(name)
                words, form = _WORDS[name]
                is_above = value > limit
                bound = f"above {form.format(limit)}"
                if not is_above:
                    bound = f"was {bound}, not below {form.format(over_again)} yet"
                reasons.append(f"{words}: {form.format(value)}, {bound}")
        self.crossed = frozenset(crossed)
        return reasons


def figures(snapshot: Snapshot) -> dict[str, float]:
    """Return what the thresholds are about, by their names."""
    return {
        "connections": snapshot.connections["current"],
        "queue_share": snapshot.queue["size"] / snapshot.queue["max_size"],
        "latency_ms": snapshot.latency["p95_1m"],
        "errors_per_minute": snapshot.errors_1m,
        "loop_lag_ms": snapshot.loop_lag_ms,
        "memory_bytes": snapshot.memory_bytes or 0,
    }


def verdict(failures: Iterable[str], warnings: Iterable[str]) -> Health:
    """
    Return the verdict on a service.

    Args:
        failures: Reasons why no event can be accepted.
        warnings: What else is amiss.
    """
    failed, amiss = list(failures), list(warnings)
    status: Status = "failed" if failed else "degraded" if amiss else "ok"
    return Health(status, failed + amiss)


def heartbeat(status: Status, reasons: Sequence[str]) -> Event:
    """Return a HEALTH_CHECK: the verdict of this moment, as a stream tells it."""
    now = time.time()
    why = {"reasons": reasons} if reasons else {}
    return Event(
        type=EventType.HEALTH_CHECK,
        data={"status": status, "timestamp": now, **why},
        timestamp=now,
        source="rtevents/heartbeat",
    )


_WORDS = {
    "connections": ("connections", "{:.0f}"),
    "queue_share": ("queue fill", "{:.0%}"),
    "latency_ms": ("milliseconds to store", "{:.0f}"),
    "errors_per_minute": ("errors in a minute", "{:.0f}"),
    "loop_lag_ms": ("milliseconds of lag", "{:.0f}"),
    "memory_bytes": ("bytes of memory", "{:.0f}"),
}
"""How each figure is told."""
