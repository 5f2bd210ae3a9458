"""Entrance: where connections come in, and stay until aiohttp has them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Protocol

from rtevents.server.door import Door, Guest, Limits
from rtevents.server.keys import House
from rtevents.server.member import GOODBYE

if TYPE_CHECKING:
    from aiohttp.web_server import Server


class Newcomer(Guest, Protocol):
    """A guest that aiohttp does not have yet: the protocol of a new connection."""

    def close(self) -> None:
        """Close once the answers that are waited for are written."""

    def abort(self) -> None:
        """Cut the peer off."""


class Entrance:
    """
    Where the connections of every listening socket come in.

    Args:
        house: The rooms.
        server: aiohttp's: it answers on connections that are not for publishing alone.
        limits: What the door allows.
    """

    def __init__(self, house: House, server: Server, limits: Limits | None = None) -> None:
        self.house = house
        self.server = server
        self.door = Door(limits or Limits())
        self.open: set[Newcomer] = set()
        self._emptied = asyncio.Event()

    def enter(self, newcomer: Newcomer) -> None:
        """Know a new connection."""
        self.open.add(newcomer)
        self.door.watch(newcomer)

    def leave(self, newcomer: Newcomer) -> None:
        """Forget a connection that has ended, or is aiohttp's by now."""
        self.door.forget(newcomer)
        self.open.discard(newcomer)
        if not self.open:
            self._emptied.set()

    async def close(self) -> None:
        """Close every connection that is not aiohttp's once its answers are written."""
        self._emptied.clear()
        for newcomer in list(self.open):
            newcomer.close()
        if self.open:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE):
                    await self._emptied.wait()
        for newcomer in list(self.open):
            newcomer.abort()
        self.door.close()
