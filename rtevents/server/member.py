"""Member: a connection and the socket that it is written to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from rtevents.core.connection import Connection
from rtevents.core.event import Entry, EventType, Gap
from rtevents.core.filter import Grant
from rtevents.server.wire import Encoding

if TYPE_CHECKING:
    from rtevents.server.group import Part

HIGH_WATER = 64 * 1024
"""Bytes that may wait in a member's transport before it leaves its group."""

SEND_BUFFER = 256 * 1024
"""The kernel's send buffer of a stream, in bytes: what a slow reader may cost (promise P5)."""

GOODBYE = 2.0
"""Seconds that a peer has to answer a close frame before its transport is aborted."""


class Drain(Protocol):
    """What tells when a transport has room again: a ``Follower``."""

    async def drain(self) -> None:
        """
        Return when the transport wants more; cancelling is safe.

        Raises:
            ConnectionError: It has ended.
        """


class Member:
    """
    A connection and the socket that it is written to.

    Args:
        connection: What the service knows of it.
        transport: Where its bytes go.
        drain: Tells when the transport has room again.
        encoding: How it is written.
        grant: What its principal may see: whoever changes its filter stays within it.
        max_latency: Seconds that an entry may wait for others to be sent with it.
    """

    __slots__ = (
        "_drain", "connection", "encoding", "grant", "is_live", "is_subscribed",
        "max_latency", "owed", "part", "served", "transport", "unanswered_since",
    )  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        transport: asyncio.Transport,
        drain: Drain,
        encoding: Encoding,
        grant: Grant,
        max_latency: float = 0.0,
    ) -> None:
        self.connection = connection
        self.transport = transport
        self.encoding = encoding
        self.grant = grant
        self.max_latency = max_latency
        self.part: Part | None = None
        """Where it rides; None while it goes at its own pace."""
        self.served = 0
        """The number of the round in which its group wrote to it last."""
        self.unanswered_since: float | None = None
        """When the first heartbeat was sent that it has not answered, by the loop's clock."""
        self.is_live = False
        """Whether it was told that the replay is over."""
        self.is_subscribed = True
        """Whether it wants what its filter says: a WebSocket that unsubscribed does not."""
        self.owed: Sequence[Entry | Gap] = ()
        """What is to be written before it goes on from a place that it asked for."""
        self._drain = drain

    def write(self, block: bytes, entries: int = 0) -> None:
        """Write bytes; a transport that is closing takes none."""
        if self.transport.is_closing():
            return
        self.transport.write(block)
        connection = self.connection
        connection.sent_bytes += len(block)
        connection.delivered += entries
        # All before this was accepted, if not this: uvloop writes at the end of the loop's turn.
        if self.transport.get_write_buffer_size() <= len(block):
            connection.touch()

    @property
    def is_lagging(self) -> bool:
        """Whether so much waits in its transport that the group should not wait for it."""
        return self.transport.get_write_buffer_size() > HIGH_WATER

    @property
    def wants_updates(self) -> bool:
        """
        Whether it is to have the daemon's own DASHBOARD_UPDATE, whose figures are about everybody.

        It asked for that type, or is a browser that asked for everything; and may see statistics.
        """
        wanted, grant = self.connection.wanted, self.grant
        if grant.is_limited or not grant.allows("admin") or wanted.projects or wanted.paths:
            return False
        if wanted.sources or wanted.wheres or _UPDATE in wanted.not_types:
            return False
        is_browser = self.connection.principal.startswith("browser:")
        return _UPDATE in wanted.types if wanted.types else is_browser

    def control(self, name: str, **fields: Any) -> None:
        """Write a control frame."""
        self.write(self.encoding.control(name, fields))

    async def drained(self, patience: float) -> None:
        """
        Return when the transport has room.

        Args:
            patience: Seconds in which it must accept a byte.
        Raises:
            TimeoutError: It accepted none.
            ConnectionError: The peer is gone.
        """
        while waiting := self.transport.get_write_buffer_size():
            try:
                async with asyncio.timeout(patience):
                    await self._drain.drain()
            except TimeoutError:
                if self.transport.get_write_buffer_size() >= waiting:
                    raise
                self.connection.touch()
            else:
                self.connection.touch()
                return

    def close(self) -> None:
        """Hang up when everything is written."""
        self.transport.close()

    def abort(self) -> None:
        """Cut the peer off."""
        self.transport.abort()


_UPDATE = EventType.DASHBOARD_UPDATE.value
