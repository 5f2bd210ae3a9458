"""What answers hold of subscribers."""

from __future__ import annotations

from typing import Literal

import msgspec


class ChangedFilter(msgspec.Struct):
    """
    A stream's new subscription.

    Args:
        bookmark: The place after which it holds.
        filter: What the stream wants now.
        verdict: What became of `since`.
    """

    bookmark: str
    filter: dict[str, list[str]]
    verdict: str | msgspec.UnsetType = msgspec.UNSET


class OpenConnection(msgspec.Struct):
    """
    A subscriber.

    Args:
        kind: How it is connected.
        connected_at: Unix seconds.
        last_activity: Unix seconds of the last byte that it accepted or sent.
        subscriptions: The event types it asked for; empty for every type.
        project_filter: The projects it asked for; empty for every project.
        last_event_id: The bookmark with which it could come back.
        lag: How many entries it is behind.
        delivered: Entries written to it.
        bytes: Bytes written to it.
        principal: Who it is.
        pid: Its process, when it came by the Unix socket.
    """

    connection_id: str
    kind: Literal["sse", "ndjson", "ws", "memory"]
    connected_at: float
    last_activity: float
    subscriptions: list[str]
    project_filter: list[str]
    last_event_id: str
    filter: dict[str, list[str]]
    lag: int
    delivered: int
    bytes: int
    principal: str
    pid: int | None


class Connections(msgspec.Struct):
    """Every open connection that the grant holds."""

    connections: list[OpenConnection]
