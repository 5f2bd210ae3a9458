"""Sender: who publishes by a connection, asked of the guard and written down once for a head."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from rtevents.core.clock import latest
from rtevents.errors import NotAllowed
from rtevents.server.door import Seat
from rtevents.server.guard import Guard, Rule
from rtevents.server.plain import Plain
from rtevents.server.principal import Principal
from rtevents.server.publish import ACTION

_PUBLISH = Rule(ACTION, "publisher")


class _Asking(msgspec.Struct):
    """What the guard looks at."""

    transport: asyncio.Transport
    headers: Mapping[str, str]
    method: str = "POST"
    cookies: Mapping[str, str] = {}


class Sender:
    """
    Who publishes by one connection.

    Args:
        guard: Who says so.
        seat: The place of the connection.
    """

    __slots__ = ("_guard", "_is_noted", "_known", "_seat")

    def __init__(self, guard: Guard, seat: Seat) -> None:
        self._guard = guard
        self._seat = seat
        self._known: tuple[Plain, int, Principal] | None = None
        # Whether it is written down that those may publish.
        self._is_noted = False

    def identify(self, plain: Plain) -> Principal:
        """
        Return who publishes; the very same head is looked at once.

        Raises:
            NotAuthenticated, NotAllowed: Who sent it may not come in, or not publish.
            Throttled: That one has too many connections.
        """
        guard = self._guard
        if self._known is not None:
            head, version, principal = self._known
            is_good = principal.grant.expires is None or principal.grant.expires > latest()
            if head is plain and version == guard.tokens.version and is_good:
                return principal
        principal = guard.admit(_Asking(self._seat.transport, plain.headers), _PUBLISH)
        self._seat.claim(principal.name)
        self._known = (plain, guard.tokens.version, principal)
        self._is_noted = False
        return principal

    def note(self, principal: Principal, refused: Exception | None, *, is_each: bool) -> None:
        """
        Write down who publishes, once for all that comes with the same head; or what is refused.

        Args:
            is_each: Whether each line is tried by itself, and written down then.
        """
        audit = self._guard.audit
        if isinstance(refused, NotAllowed):
            if not is_each:
                audit.refuse(principal, ACTION, "grant", about=refused.about)
        elif not self._is_noted:
            audit.allow(principal, ACTION)
            self._is_noted = True
