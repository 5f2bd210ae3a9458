"""Node: a daemon among those that share a log, and all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from rtevents.core.health import Status

LOST_AFTER = 3
"""Heartbeats that a node may leave out before it is lost."""

FORGOTTEN_AFTER = 86_400.0
"""Seconds after which a node that is lost is forgotten."""

_BADNESS: Mapping[str, int] = {"ok": 0, "degraded": 1, "failed": 2}


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """
    A daemon that shares a log, as its heartbeat tells it.

    Args:
        name: What it is called there.
        run: Names this run of its process.
        beat: Which of its heartbeats this is, from 0.
        version: Of rtevents.
        started_at: Unix seconds.
        interval: Seconds until its next heartbeat.
        status: Its verdict on itself.
        reasons: Why that is not `ok`.
        connections: Open connections.
        published: Events that it has stored since it started.
        delivered: Events that it has written to its connections since then.
        rate: Events a second that it stored in the last minute.
        spooled: Events that wait on its disk.
    """

    name: str
    run: str
    beat: int
    version: str
    started_at: float
    interval: float
    status: Status
    reasons: list[str]
    connections: int
    published: int
    delivered: int
    rate: float
    spooled: int


class Heard(Node, frozen=True, kw_only=True):
    """
    A node, and when it was heard.

    Args:
        age: Seconds since its last heartbeat.
        is_lost: Whether it has left out so many that nobody knows how it is.
        is_here: Whether it is the one that was asked.
    """

    age: float
    is_lost: bool
    is_here: bool


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """
    Every node together; of those that are lost, nothing counts.

    Args:
        status: The worst of them; `degraded` at least when one is lost.
        nodes: How many there are.
        lost: How many of them are lost.
        connections: Open connections.
        published: Events that they have stored since each of them started.
        delivered: Events that they have written to their connections since then.
        rate: Events a second that they stored in the last minute.
        spooled: Events that wait on their disks.
    """

    status: Status
    nodes: int
    lost: int
    connections: int
    published: int
    delivered: int
    rate: float
    spooled: int


class Nodes(msgspec.Struct, frozen=True):
    """
    The daemons that share a log.

    Args:
        total: All of them together.
        nodes: Each of them, by name.
    """

    total: Sum
    nodes: list[Heard]


def heard(node: Node, age: float, *, is_here: bool = False) -> Heard:
    """Return a node that was heard so many seconds ago."""
    fields = msgspec.structs.asdict(node)
    is_lost = not is_here and age > LOST_AFTER * node.interval
    return Heard(**fields, age=max(0.0, age), is_lost=is_lost, is_here=is_here)


def together(nodes: list[Heard]) -> Nodes:
    """Return nodes with their sum."""
    there = [node for node in nodes if not node.is_lost]
    worst: Status = max((node.status for node in there), key=_BADNESS.__getitem__, default="ok")
    if worst == "ok" and len(there) < len(nodes):
        worst = "degraded"
    sums: dict[str, Any] = {
        name: sum(getattr(node, name) for node in there)
        for name in ("connections", "published", "delivered", "rate", "spooled")
    }
    total = Sum(status=worst, nodes=len(nodes), lost=len(nodes) - len(there), **sums)
    return Nodes(total, sorted(nodes, key=lambda node: node.name))
