"""Door: how many may be connected, and how long each may keep its place without asking."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
from collections import Counter
from ipaddress import IPv6Address, ip_address
from typing import Any, Protocol

import msgspec
from aiohttp import web

from rtevents.errors import Throttled, Unavailable
from rtevents.server.keys import TooSlow, problem_of
from rtevents.server.raw import encode

logger = logging.getLogger(__name__)

SPARE_FILES = 64
"""Open files that are kept for all that is no connection: the store, watches, git, new streams."""

FEWEST = 24
"""Connections that there may be however few files the system allows."""

FOR_LOCAL = 16
"""Places that only the Unix socket may take: the owner comes in however many others are here."""

FOR_QUESTIONS = 4
"""Places that no stream may take: who reads on the Unix socket must not keep its owner out."""

ACCEPT_AT_ONCE = 4
"""Connections that a listener accepts in one turn of the loop: each takes a file before it can be
refused, and only some turns later has given it back."""

SWEEP = 1.0
"""Seconds between two looks for who has kept us waiting."""

TELL_EVERY = 60.0
"""Seconds between two lines of the log that tell of refusals."""

RETRY_AFTER = 5.0
"""Seconds after which somebody may have left."""


class NoRoom(Unavailable):
    """As many connections are open as there may be; the one that is told so has to go."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the door allows.

    Args:
        connections: Most connections at once, over all listeners.
        each: Most of one principal, or of one address before it has shown a credential, that come
            from another machine; 0 for no limit.
        head_timeout: Seconds in which the head of a request must come.
        body_timeout: Seconds in which its body must come after that.
        keep_alive: Seconds after which a connection is closed that asks for nothing more.
        send_timeout: Seconds in which a peer must accept a byte of its answer.
    """

    connections: int = 20_000
    each: int = 256
    head_timeout: float = 10.0
    body_timeout: float = 30.0
    keep_alive: float = 75.0
    send_timeout: float = 30.0


class Guest(Protocol):
    """Who asks, or may ask: the protocol of a connection that is no stream."""

    @property
    def seat(self) -> Seat | None:
        """Its place; None when it has gone."""

    def end_if_overdue(self, now: float) -> None:
        """Part with a peer that has kept us waiting, by the loop's clock."""


class Seat:
    """
    The place of one connection, from its first byte to its last, whoever reads it.

    Args:
        door: Where it came in.
        transport: The connection.
        holder: Under whose name it is counted; None for who is on this machine.
    """

    __slots__ = ("_holder", "_is_left", "_unsent", "_unsent_since", "door", "transport")

    def __init__(self, door: Door, transport: asyncio.Transport, holder: str | None) -> None:
        self.door = door
        self.transport = transport
        self._is_left = False
        self._unsent = 0
        self._unsent_since = 0.0
        self._holder = holder
        door.count(holder, 1)

    def claim(self, name: str) -> None:
        """
        Count the connection for a principal, whose requests come by it from now on.

        Raises:
            Throttled: That one has too many from other machines.
        """
        if self._holder is None or self._is_left or name == self._holder:
            return
        if self.door.has_enough(name):
            raise Throttled(
                f"{name} has {self.door.limits.each} connections open: close some, or raise "
                "max_connections_each in the configuration",
                retry_after=RETRY_AFTER,
            )
        self.door.count(self._holder, -1)
        self.door.count(name, 1)
        self._holder = name

    def leave(self) -> None:
        """Free the place; a second time is nothing."""
        if not self._is_left:
            self._is_left = True
            self.door.open -= 1
            self.door.count(self._holder, -1)

    def is_stuck(self, now: float, patience: float) -> bool:
        """Tell whether the peer has accepted no byte of what waits for it, for `patience` s."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
        return unsent > 0 and now - self._unsent_since >= patience


class Door:
    """
    Counts the connections of all listeners, and ends those that keep us waiting.

    Args:
        limits: What it allows; never more connections than the system allows files.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.most = min(limits.connections, most_connections())
        self.open = 0
        """Connections that are open, streams among them."""
        # Connections from other machines, by principal or address.
        self._held: Counter[str] = Counter()
        self._guests: set[Guest] = set()
        # One timer for all: one that is cancelled stays in the loop until its time has come.
        self._sweep: asyncio.TimerHandle | None = None
        self._refused = 0
        self._tell_at = 0.0

    def admit(self, transport: asyncio.Transport) -> Seat | None:
        """Return the place of a new connection; None when there is none, which it was told."""
        kept = 0 if is_local(transport) else FOR_LOCAL
        holder = far_address(transport)
        if self.open >= self.most - kept or self.has_enough(holder):
            self._refuse()
            transport.write(encode(problem_of(_full()), is_last=True))
            transport.close()
            return None
        self.open += 1
        return Seat(self, transport, holder)

    def check_stream(self) -> None:
        """
        Look whether there is room for a connection that does not end by itself.

        Raises:
            NoRoom: The places that are left are for who asks and goes.
        """
        if self.open > self.most - FOR_QUESTIONS:
            raise _full()

    def has_enough(self, holder: str | None) -> bool:
        """Tell whether a principal or an address has as many connections as it may have."""
        return holder is not None and 0 < self.limits.each <= self._held[holder]

    def count(self, holder: str | None, change: int) -> None:
        """Count a connection more, or less; what is on this machine is not counted."""
        if holder is not None:
            self._held[holder] += change
            if not self._held[holder]:
                del self._held[holder]

    def watch(self, guest: Guest) -> None:
        """Let a guest not keep us waiting."""
        self._guests.add(guest)
        self._look_later()

    def forget(self, guest: Guest) -> None:
        """Watch a guest no more."""
        self._guests.discard(guest)

    def close(self) -> None:
        """Watch nobody any more."""
        if self._sweep is not None:
            self._sweep.cancel()

    def hear(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Count what asyncio would tell a thousand times a second: no file for a connection."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            self._refuse()
        else:
            loop.default_exception_handler(context)

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        for guest in list(self._guests):
            seat = guest.seat
            if seat is not None and seat.is_stuck(now, self.limits.send_timeout):
                seat.transport.abort()
            else:
                guest.end_if_overdue(now)
        self._tell(now)
        self._sweep = None
        if self._guests or self._refused:
            self._look_later()

    def _look_later(self) -> None:
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(SWEEP, self._look)

    def _refuse(self) -> None:
        self._refused += 1
        self._tell(asyncio.get_running_loop().time())
        self._look_later()

    def _tell(self, now: float) -> None:
        """Tell the first refusal at once, and those that follow once in a while."""
        if self._refused and now >= self._tell_at:
            logger.warning(
                "refused %d connections: %d are open and %d may be; raise max_connections, "
                "max_connections_each, or the limit of open files (ulimit -n)",
                self._refused, self.open, self.most,
            )  # fmt: skip
            self._refused, self._tell_at = 0, now + TELL_EVERY


def is_local(transport: asyncio.BaseTransport) -> bool:
    """Tell whether a connection came by a Unix socket."""
    opened = transport.get_extra_info("socket")
    return opened is not None and opened.family == socket.AF_UNIX


def far_address(transport: asyncio.BaseTransport) -> str | None:
    """Return the address of a peer on another machine; None for one on this."""
    peer = transport.get_extra_info("peername")
    if is_local(transport) or not isinstance(peer, tuple):
        return None
    address = ip_address(peer[0].partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return None if address.is_loopback else str(address)


def most_connections() -> int:
    """Return how many connections the limit of open files leaves room for."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return Limits().connections
    return max(FEWEST, soft - SPARE_FILES)


def too_late(what: str, seconds: float) -> web.Response:
    """Return what a peer is answered that took more than `seconds` for `what`."""
    error = TooSlow(f"the {what} did not come within {seconds:g} seconds")
    return problem_of(error)


def _full() -> NoRoom:
    # A new one each time: what is raised keeps the frames that it came through.
    return NoRoom(
        "as many connections are open as there may be: close some, or come back later",
        retry_after=RETRY_AFTER,
    )
