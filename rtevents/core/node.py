"""Node: a daemon among those that share a log, and all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from rtevents.core.health import Status

LOST_AFTER = 3
"""Heartbeats that a node may leave out, while it could be heard, before it is lost."""

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
        logs: The projects of each further log as it is configured, by the log's name and in the
            order in which they claim; None for one that does not tell.
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
    logs: dict[str, list[str]] | None = None


class Heard(Node, frozen=True, kw_only=True):
    """
    A node, and when it was heard.

    Args:
        age: Seconds since its last heartbeat.
        is_lost: Whether it has left out so many, while it could be heard, that it is missed.
        is_known: Whether what it told last is how it is: not of one that is silent, and of no
            other while the log is away.
        is_here: Whether it is the one that was asked.
        has_other_logs: Whether its `logs` are others than those of the one that was asked.
    """

    age: float
    is_lost: bool
    is_known: bool
    is_here: bool
    has_other_logs: bool


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """
    Every node together; of those that are lost or not known, nothing counts.

    Args:
        status: The worst of them; `degraded` at least when one is lost.
        nodes: How many there are.
        lost: How many of them are lost.
        unknown: How many more are not known: they may be well, and cannot be heard just now.
        connections: Open connections.
        published: Events that they have stored since each of them started.
        delivered: Events that they have written to their connections since then.
        rate: Events a second that they stored in the last minute.
        spooled: Events that wait on their disks.
    """

    status: Status
    nodes: int
    lost: int
    unknown: int
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
        is_away: Whether the log does not answer: of the others nothing is known then.
    """

    total: Sum
    nodes: list[Heard]
    is_away: bool


class Ear(msgspec.Struct):
    """
    What one node knows of another from its heartbeats.

    Only time in which it could be heard counts: while the log is away, nobody is.

    Args:
        node: What it told last.
        age: Seconds since then, when it was last asked for.
        asked: When that was, by this process's clock.
        silent: Seconds for which it was not heard though it could be.
    """

    node: Node
    age: float
    asked: float
    silent: float = 0.0

    def again(self, node: Node, age: float, now: float, *, was_deaf: bool) -> Ear:
        """
        Return what is known after the next question.

        Args:
            was_deaf: Whether a question failed since the last answer: that time does not count.
        """
        # At most one of its heartbeats for each question: who did not ask, as while the machine
        # slept, did not hear that it was silent.
        could = 0.0 if was_deaf else min(now - self.asked, self.node.interval)
        return Ear(node, age, now, min(age, self.silent + could))

    def heard(self, now: float, *, is_deaf: bool, logs: dict[str, list[str]] | None) -> Heard:
        """
        Return it as it is to be told.

        Args:
            is_deaf: Whether the last question failed.
            logs: Those of who tells it.
        """
        most = LOST_AFTER * self.node.interval
        is_lost = self.silent >= most
        return _heard(
            self.node,
            age=max(0.0, self.age + now - self.asked),
            is_lost=is_lost,
            is_known=not (is_lost or is_deaf or self.age > most),
            has_other_logs=differ(self.node.logs, logs),
        )


def here(node: Node) -> Heard:
    """Return the node that is asked."""
    return _heard(node, age=0.0, is_known=True, is_here=True)


def _heard(
    node: Node,
    *,
    age: float,
    is_known: bool,
    is_lost: bool = False,
    is_here: bool = False,
    has_other_logs: bool = False,
) -> Heard:
    fields = {name: getattr(node, name) for name in Node.__struct_fields__}
    return Heard(
        **fields,
        age=age,
        is_lost=is_lost,
        is_known=is_known,
        is_here=is_here,
        has_other_logs=has_other_logs,
    )


def differ(one: dict[str, list[str]] | None, other: dict[str, list[str]] | None) -> bool:
    """Tell whether two nodes would put an event into different logs."""
    if one is None or other is None:
        return False
    # In their order: the first log that claims a project has it.
    return list(one.items()) != list(other.items())


def together(nodes: list[Heard], *, is_away: bool = False) -> Nodes:
    """Return nodes with their sum; see ``Nodes``."""
    there = [node for node in nodes if node.is_known]
    lost = sum(node.is_lost for node in nodes)
    worst: Status = max((node.status for node in there), key=_BADNESS.__getitem__, default="ok")
    if worst == "ok" and lost:
        worst = "degraded"
    sums: dict[str, Any] = {
        name: sum(getattr(node, name) for node in there)
        for name in ("connections", "published", "delivered", "rate", "spooled")
    }
    unknown = len(nodes) - len(there) - lost
    total = Sum(status=worst, nodes=len(nodes), lost=lost, unknown=unknown, **sums)
    return Nodes(total, sorted(nodes, key=lambda node: node.name), is_away)
