"""Follower: the far end of a stream that only goes out, without what aiohttp needs for requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from aiohttp import web

from rtevents.server.door import Seat
from rtevents.server.visitor import Visitor


class Follower(asyncio.Protocol):
    """
    One peer that follows a stream.

    While aiohttp serves a request it keeps the request, its task and its parser: twice as much
    memory as all else of a stream. A stream that only goes out needs none of them.

    Args:
        lost: Called once, when the connection has ended.
    """

    __slots__ = ("_is_lost", "_lost", "_room", "_seat")

    def __init__(self, lost: Callable[[], None]) -> None:
        self._lost = lost
        self._seat: Seat | None = None
        self._room: asyncio.Future[None] | None = None
        self._is_lost = False

    def take_over(self, request: web.Request, transport: asyncio.Transport) -> None:
        """
        Take the connection of a request from aiohttp, which is told that it has ended.

        The handler's task is cancelled by that: it has to return, and await nothing more.
        """
        protocol = cast(Visitor, request.protocol)
        self._seat = protocol.give_up()
        transport.set_protocol(self)
        # Else it would be closed.
        protocol.transport = None
        protocol.connection_lost(None)
        if not transport.is_reading():
            transport.resume_reading()  # or its end would not be noticed

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits for room, and who has to know."""
        self._is_lost = True
        if self._seat is not None:
            self._seat.leave()
        self.resume_writing()
        self._lost()

    def pause_writing(self) -> None:
        """Let ``drain`` wait from now on."""
        self._room = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Let ``drain`` go on."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    async def drain(self) -> None:
        """
        Return when the transport wants more.

        Raises:
            ConnectionError: It has ended.
        """
        if self._room is not None:
            await asyncio.shield(self._room)
        if self._is_lost:
            raise ConnectionResetError("the peer is gone")
