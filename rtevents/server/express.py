"""
Express: takes plain publish requests from the socket itself, and leaves the rest to aiohttp.

Publishing is what this server does most, and aiohttp serves the requests of a connection one after
the other: pipelined events could not share a transaction. So a connection that begins with a plain
``POST /v1/events`` is read here; whatever is not plain, or not quite as expected, is handed over to
aiohttp as it came, with the connection, for good.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from enum import Enum
from functools import partial
from typing import Any, cast

from rtevents.core.event import Stored
from rtevents.errors import RteventsError
from rtevents.server.door import Seat, too_late
from rtevents.server.entrance import Entrance
from rtevents.server.keys import House, problem_of
from rtevents.server.plain import MAX_HEAD, START, Plain, encode_stored, is_begun, read_head
from rtevents.server.principal import Principal
from rtevents.server.publish import (
    LINE_CHUNK,
    NDJSON_TYPE,
    answer_to,
    offer,
    told_to,
)
from rtevents.server.raw import encode
from rtevents.server.sender import Sender
from rtevents.server.visitor import Visitor

MAX_WAITING = 64
"""Most requests of a connection that wait for their answers before the next are read."""


class _Slot:
    """The place of an answer among those of its connection."""

    __slots__ = ("answer",)

    def __init__(self) -> None:
        self.answer: bytes | None = None


class _Stage(Enum):
    """What is awaited of a peer: nothing, the head of a request that it has begun, its body."""

    IDLE = 0
    HEAD = 1
    BODY = 2


class Express(asyncio.Protocol):
    """
    One connection, as long as plain publish requests come by it.

    Args:
        entrance: Where it came in.
    """

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance
        self._house = entrance.house
        self._transport: asyncio.Transport | None = None
        self._given = b""
        self._slots: deque[_Slot] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._seat: Seat | None = None
        self._sender: Sender | None = None
        # What is awaited of the peer, and since when, by the loop's clock.
        self._stage = _Stage.HEAD
        self._since = 0.0
        self._is_at_end = False
        self._is_leaving = False
        self._is_unread = False
        self._is_paused = False
        self._is_flushing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # A stream's, by contract; uvloop's are no subclass of ``asyncio.Transport``.
        transport = cast(asyncio.Transport, transport)
        if (seat := self._entrance.door.admit(transport)) is None:
            return
        self._seat = seat
        self._sender = Sender(self._house.guard, seat)
        self._transport = transport
        self._since = asyncio.get_running_loop().time()
        self._entrance.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything; what was published is stored all the same."""
        self._entrance.leave(self)
        self._transport = None
        self._slots.clear()
        if self._seat is not None:
            self._seat.leave()

    def eof_received(self) -> bool:
        """Keep the connection for the answers that are still to be written."""
        self._is_at_end = True
        return bool(self._slots)

    def pause_writing(self) -> None:
        """Read no more from who does not read the answers."""
        self._is_unread = True
        self._may_take()

    def resume_writing(self) -> None:
        """Read on."""
        self._is_unread = False
        self._take()

    def data_received(self, data: bytes) -> None:
        """Serve what is whole."""
        self._given += data
        self._take()

    def close(self) -> None:
        """Close once the answers that are waited for are written."""
        self._is_leaving = True
        if not self._slots and self._transport is not None:
            self._transport.close()

    def _take(self) -> None:
        """Serve the requests that are whole, as far as may wait for their answers."""
        given, at = self._given, 0
        self._given = b""
        is_plain = True
        stage = _Stage.HEAD
        while self._may_take() and at < len(given):
            if (end := given.find(b"\r\n\r\n", at, at + MAX_HEAD)) < 0:
                is_plain = len(given) - at < MAX_HEAD and is_begun(given[at : at + len(START)])
                break
            plain = read_head(given[at : end + 2])
            if plain is None:
                is_plain = False
                break
            whole = end + 4 + plain.length
            if len(given) < whole:
                stage = _Stage.BODY
                break
            self._serve(plain, given[end + 4 : whole])
            at = whole
        # Cut once: what is left of many requests would be copied with each of them.
        self._given = given[at:]
        if not self._given:
            stage = _Stage.IDLE
        if stage is not self._stage or (at and stage is not _Stage.IDLE):
            self._stage, self._since = stage, asyncio.get_running_loop().time()
        if not is_plain:
            self._hand_over()

    def abort(self) -> None:
        """Cut the peer off."""
        if self._transport is not None:
            self._transport.abort()

    def _may_take(self) -> bool:
        """Tell whether the next request may be served; read no further while it may not."""
        # What takes a while is waited for, so that a publisher's events stay in their order.
        is_full = self._is_unread or bool(self._tasks) or len(self._slots) >= MAX_WAITING
        if is_full != self._is_paused and self._transport is not None:
            self._is_paused = is_full
            if is_full:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()
        return not (is_full or self._is_leaving or self._transport is None)

    def _serve(self, plain: Plain, body: bytes) -> None:
        """Publish; the answer is written when all before it are."""
        slot = _Slot()
        self._slots.append(slot)
        sender = self._sender
        assert sender is not None  # noqa: S101 - there is a connection
        try:
            principal = sender.identify(plain)
        except RteventsError as error:
            self._fill(slot, encode(problem_of(error)))
            return
        slowly = partial(self._publish, slot, principal, plain.content_type, body)
        is_lines = plain.content_type == NDJSON_TYPE
        offered = refused = None
        try:
            if not is_lines or body.count(b"\n") < LINE_CHUNK:
                offered = offer(self._house, principal, plain.content_type, body)
        except Exception as error:  # noqa: BLE001 - answered, and told in the log if it is a bug
            refused = error
            if not is_lines or not isinstance(error, RteventsError):
                self._fill(slot, encode(problem_of(error)))
        sender.note(principal, refused, is_each=is_lines)
        if offered is not None:
            answer = partial(
                self._answer, slot, principal, slowly if is_lines else None, offered.house
            )
            offered.stored.add_done_callback(answer)
        elif slot.answer is None:
            # There is no room at the moment, or one of many lines is wrong: that takes a while.
            self._spawn(slowly())

    def _answer(
        self,
        slot: _Slot,
        principal: Principal,
        slowly: Callable[[], Coroutine[Any, Any, None]] | None,
        house: House,
        stored: asyncio.Future[list[Stored]],
    ) -> None:
        """Answer what was stored, or why it was not; of several lines, each for itself."""
        if (error := stored.exception()) is None:
            answer = encode_stored(house, stored.result(), is_lines=slowly is not None)
            if self._is_flushing or len(self._slots) > 1 or slot not in self._slots:
                self._fill(slot, answer)
            else:
                slot.answer = answer
                self._flush()  # nobody else is waited for
        elif slowly is not None:
            self._spawn(slowly())
        else:
            self._fill(slot, encode(problem_of(told_to(principal, error))))

    async def _publish(
        self, slot: _Slot, principal: Principal, content_type: str, body: bytes
    ) -> None:
        try:
            response = await answer_to(self._house, principal, content_type, {}, body)
        except Exception as error:  # noqa: BLE001 - answered, and told in the log if it is a bug
            response = problem_of(error)
        self._fill(slot, encode(response))

    def _fill(self, slot: _Slot, answer: bytes) -> None:
        slot.answer = answer
        if not self._is_flushing:
            # At the end of this turn: what one transaction stored is answered by one write.
            self._is_flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """Write the answers that are there, in the order of the requests."""
        self._is_flushing = False
        if self._transport is None:
            return
        answers = []
        while self._slots and self._slots[0].answer is not None:
            answers.append(self._slots.popleft().answer or b"")
        if answers:
            self._transport.write(b"".join(answers))
            self._since = asyncio.get_running_loop().time()
        self._take()
        if (self._is_leaving or self._is_at_end) and not self._slots and self._transport:
            self._transport.close()

    def _hand_over(self) -> None:
        """Give the connection to aiohttp, with what was not served; its answers come first."""
        if self._transport is None:
            return
        if self._slots:
            # It is tried again when the last answer is written, and read no further until then.
            self._transport.pause_reading()
            self._is_paused = True
            return
        assert self._seat is not None  # noqa: S101 - it has a connection
        transport, given, seat = self._transport, self._given, self._seat
        self._entrance.leave(self)
        self._transport = self._seat = self._sender = None
        visitor = Visitor(self._entrance.server, seat, self._since)
        transport.set_protocol(visitor)
        visitor.connection_made(transport)
        visitor.data_received(given)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end_task)

    def _end_task(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._take()

    @property
    def seat(self) -> Seat | None:
        """Its place; None when it has gone, or is aiohttp's by now."""
        return self._seat

    def end_if_overdue(self, now: float) -> None:
        """Part with who asks for nothing, or has begun a request and does not go on with it."""
        limits = self._entrance.door.limits
        seconds = {
            _Stage.IDLE: limits.keep_alive,
            _Stage.HEAD: limits.head_timeout,
            _Stage.BODY: limits.body_timeout,
        }[self._stage]
        if (transport := self._transport) is None or transport.is_closing():
            return
        if now - self._since < seconds:
            return
        if self._slots or self._tasks:
            self._since = now  # it is we who have not answered, or read on, yet
        else:
            # Who has said nothing at all would take no answer for one to a request.
            if self._given:
                late = too_late(self._stage.name.lower(), seconds)
                transport.write(encode(late, is_last=True))
            transport.close()
