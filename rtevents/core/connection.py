"""Connection: one subscriber, as the service and the statistics see it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rtevents.core.event import Bookmark
from rtevents.core.filter import Filter

if TYPE_CHECKING:
    from rtevents.core.joint import JointCursor


class Place:
    """A position in the log; several connections that are served together may share one."""

    __slots__ = ("seq",)

    def __init__(self, seq: int) -> None:
        self.seq = seq


class Connection:
    """
    One subscriber.

    Args:
        wanted: What it wants, within its grant.
        after: The seq after which it reads.
        epoch: The log's name.
        anew: ``Log.anew`` as it was when it came to its position.
        kind: How it is connected: ``sse``, ``ndjson``, ``ws`` or ``memory``.
        principal: Who it is, such as ``local:1000``.
        pid: Its process, when the Unix socket told; None otherwise.

    Attributes:
        connection_id: Opaque; a name, never a credential.
        connected_at: Unix seconds.
        delivered: Entries written to it.
        sent_bytes: Bytes written to it.
        close_reason: Why it was closed; None while it is open.
        joint: Its places, if it reads several logs.
    """

    __slots__ = (
        "_active_at", "_epoch", "_on_close", "_place", "anew", "close_reason", "connected_at",
        "connection_id", "delivered", "joint", "kind", "pid", "principal", "sent_bytes", "wanted",
    )  # fmt: skip

    def __init__(
        self,
        wanted: Filter,
        after: int,
        *,
        epoch: str,
        anew: int,
        kind: str,
        principal: str = "",
        pid: int | None = None,
    ) -> None:
        self.connection_id = secrets.token_urlsafe(16)
        self.connected_at = time.time()
        self._active_at = time.monotonic()
        self.wanted = wanted
        self._place = Place(after)
        self.anew = anew
        self.kind = kind
        self.principal = principal
        self.pid = pid
        self.delivered = 0
        self.sent_bytes = 0
        self.close_reason: str | None = None
        self.joint: JointCursor | None = None
        self._epoch = epoch
        self._on_close: list[Callable[[], None]] = []

    @property
    def position(self) -> int:
        """The seq up to which it was served."""
        return self._place.seq

    @position.setter
    def position(self, seq: int) -> None:
        """Let it be at a place of its own."""
        self._place = Place(seq)

    def share(self, place: Place) -> None:
        """Let it be wherever `place` is, until it is given a position of its own."""
        self._place = place

    @property
    def last_activity(self) -> float:
        """Unix seconds of the last byte that it accepted or sent."""
        return max(self.connected_at, time.time() - self.idle)

    @property
    def idle(self) -> float:
        """Seconds since then, by a clock that is never set."""
        return time.monotonic() - self._active_at

    @property
    def subscriptions(self) -> list[str]:
        """The event types it asked for; empty means every type."""
        return sorted(self.wanted.types)

    @property
    def project_filter(self) -> list[str]:
        """The projects it asked for; empty means every project."""
        return sorted(self.wanted.projects)

    @property
    def last_event_id(self) -> str:
        """The bookmark with which it could come back."""
        return str(self.joint.bookmark if self.joint else Bookmark(self._epoch, self.position))

    @property
    def is_closed(self) -> bool:
        """Whether it was told to end."""
        return self.close_reason is not None

    def touch(self) -> None:
        """Note that a byte was accepted or received."""
        self._active_at = time.monotonic()

    def on_close(self, act: Callable[[], None]) -> None:
        """Call `act` when the connection is closed; at once when it is closed already."""
        if self.is_closed:
            act()
        else:
            self._on_close.append(act)

    def close(self, reason: str) -> None:
        """End the connection; only the first reason counts."""
        if self.close_reason is None:
            self.close_reason = reason
            acts, self._on_close = self._on_close, []
            for act in acts:
                act()

    def as_dict(self, last: int) -> dict[str, Any]:
        """
        Return what others may know of it.

        Args:
            last: The newest seq of the log, from which the lag is counted.
        """
        return {
            "connection_id": self.connection_id,
            "kind": self.kind,
            "connected_at": self.connected_at,
            "last_activity": self.last_activity,
            "subscriptions": self.subscriptions,
            "project_filter": self.project_filter,
            "last_event_id": self.last_event_id,
            "filter": self.wanted.as_dict(),
            "lag": self.joint.lag if self.joint else max(0, last - self.position),
            "delivered": self.delivered,
            "bytes": self.sent_bytes,
            "principal": self.principal,
            "pid": self.pid,
        }
