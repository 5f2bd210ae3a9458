"""What answers hold of the daemon: how it is, what it counts, what it took on."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from rtevents.core.health import Health
from rtevents.core.node import Sum
from rtevents.server.answers.logs import LogState, Seq
from rtevents.server.answers.projects import WatchedProject
from rtevents.server.answers.sinks import SinkState


class Status(msgspec.Struct, kw_only=True):
    """
    What the daemon is, where it listens, how it is.

    Args:
        listen: Where it listens on TCP; null for nowhere, and `listen_error` may tell why.
        durability: `full`, `normal`, or `weak`: the store that daemons share may lose what it has
            answered, and the health tells why.
        spooled: Events of this machine that wait on disk until the shared store answers.
        missing: Seqs from `oldest` to `newest` that were never given: a shared log jumps past a
            loss.
        thresholds: The figures above which it is degraded, by name.
        logs: Each log, where there are several; what is told of one is of the first of them.
        sinks: What is done when something happens; not told to a limited grant.
        audit: Of the audit log, the last line's number and hash; not told to a limited grant.
        nodes: The sum of all daemons on a log that several share; not told to a limited grant.
    """

    version: str
    pid: int
    started_at: float
    socket: str
    listen: str | None
    url: str | None
    listen_error: str | None
    store: str
    durability: str
    spooled: int
    epoch: str
    oldest: Seq
    newest: Seq
    missing: Seq
    bookmark: str
    health: Health
    thresholds: dict[str, float]
    projects: list[WatchedProject]
    logs: list[LogState] | msgspec.UnsetType = msgspec.UNSET
    sinks: list[SinkState] | msgspec.UnsetType = msgspec.UNSET
    audit: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    nodes: Sum | msgspec.UnsetType = msgspec.UNSET


class Statistics(msgspec.Struct):
    """
    The statistics of this moment; a limited grant is told the first four, of what it holds.

    Args:
        uptime: Seconds since the start.
        events: `published duplicates refused delivered by_type`, and `rate_1m` a second.
        log: `epoch oldest newest missing window_events window_bytes`.
        connections: `current total cleaned_up`.
        queue: `size max_size bytes max_bytes`: what waits to be stored.
        latency: Milliseconds from a publisher's call to the stored answer: `p50 p95 p99`, and
            `p95_1m` over the last minute.
        handlers: `registered failures`.
        errors_1m: Store and handler failures over the last minute.
        loop_lag_ms: Milliseconds by which the event loop was late in the last minute, at most.
        memory_bytes: Resident memory of the process.
    """

    uptime: float
    events: dict[str, Any]
    log: dict[str, Any]
    connections: dict[str, int]
    queue: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    latency: dict[str, float] | msgspec.UnsetType = msgspec.UNSET
    handlers: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    errors_1m: int | msgspec.UnsetType = msgspec.UNSET
    loop_lag_ms: float | msgspec.UnsetType = msgspec.UNSET
    memory_bytes: int | msgspec.UnsetType | None = msgspec.UNSET


class Reloaded(msgspec.Struct):
    """
    What the daemon took on of its configuration.

    Args:
        changed: The names of the settings that changed, and `secrets of sink NAME` where a file
            holds others than before.
        warnings: What is not watched, in words.
    """

    changed: list[str]
    warnings: list[str]


class Alive(msgspec.Struct):
    """The daemon runs."""

    status: Literal["ok"]
