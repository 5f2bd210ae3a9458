"""SSE, NDJSON and WebSocket: open, subscribe, hand over to the fan-out."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from rtevents.core.connection import Connection
from rtevents.core.filter import FILTER_KEYS, Filter, Grant, parse_filter
from rtevents.core.log import Start
from rtevents.core.since import Since, parse_duration, parse_since
from rtevents.errors import BadInput, BookmarkError, RteventsError
from rtevents.server.follower import Follower
from rtevents.server.guard import Principal, require
from rtevents.server.keys import HOUSE, PRINCIPAL, House, decode, problem_fields, query_of
from rtevents.server.member import GOODBYE, SEND_BUFFER, Member
from rtevents.server.publish import publish_as, read_each, read_event
from rtevents.server.wire import NDJSON, SSE, Encoding, WebSocket

MAX_MESSAGE = 16 * 1024 * 1024
"""Largest WebSocket message, in bytes: what a request may be."""

LATENCIES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""The steps of `max_latency`, in seconds: streams with the same one are served together."""

KERNEL_PATIENCE_MS = 5000
"""Milliseconds by which the kernel is more patient than `send_timeout` with a silent TCP peer."""

LAST_CHUNK = b"0\r\n\r\n"
"""What ends a chunked body (RFC 9112, section 7.1)."""

CLOSE_CODES = {"shutdown": 1001, "slow": 4008, "inactive": 4009, "no pong": 4010, "ended": 4500}
"""WebSocket close code of each reason: below 4500 come back, from there on do not."""

STREAM_KEYS = FILTER_KEYS | {"since", "last_event_id", "named", "max_latency"}
"""The keys of a stream's query string."""


async def stream(request: web.Request) -> web.StreamResponse:
    """Stream events as SSE, or as NDJSON where the Accept header asks for it."""
    house = request.app[HOUSE]
    is_ndjson = "application/x-ndjson" in request.headers.get("Accept", "")
    named = request.query.get("named") == "1"
    encoding: Encoding = NDJSON() if is_ndjson else SSE(named=named)
    if request.version < (1, 1):
        raise BadInput("a stream needs HTTP/1.1")
    max_latency = _max_latency(request)
    response = web.StreamResponse(
        headers={
            "Content-Type": "application/x-ndjson" if is_ndjson else "text/event-stream",
            "Cache-Control": "no-store",
            # nginx holds a response back until its buffer is full, unless told not to.
            "X-Accel-Buffering": "no",
        }
    )
    response.enable_chunked_encoding()
    response.force_close()  # its connection is not for requests any more
    connection, start = await _connect(request, "ndjson" if is_ndjson else "sse")
    try:
        await response.prepare(request)
        transport = _transport(request)
    except BaseException:
        house.service.disconnect(connection)
        raise
    # From here on nothing is awaited: aiohttp cancels this task when it is told that it is over.
    follower = Follower(partial(_lose, house, connection))
    member = Member(connection, transport, follower, encoding, _grant(request), max_latency)
    follower.take_over(request, transport)
    house.followers.add(connection)
    house.members[connection.connection_id] = member
    house.fanout.board(member, start)
    connection.on_close(partial(_end, house, member))
    return response


def _lose(house: House, connection: Connection) -> None:
    """Forget a stream whose connection has ended."""
    connection.close("lost")
    house.followers.discard(connection)
    if not house.followers:
        house.all_gone.set()


def _end(house: House, member: Member) -> None:
    """Write the rest and the last chunk; a peer that does not take what waits is cut off."""
    connection = member.connection
    house.service.disconnect(connection)
    house.members.pop(connection.connection_id, None)
    if connection.close_reason != "lost":
        house.fanout.finish(member)
        member.write(LAST_CHUNK)
        member.close()
        asyncio.get_running_loop().call_later(GOODBYE, member.abort)


async def websocket(request: web.Request) -> web.StreamResponse:
    """Stream events as WebSocket messages, and take commands."""
    house, principal = request.app[HOUSE], request[PRINCIPAL]
    opened = _Opened(lambda: house.service.disconnect(connection))
    if not opened.can_prepare(request):
        raise BadInput("expected a WebSocket handshake")
    max_latency = _max_latency(request)
    connection, start = await _connect(request, "ws")
    try:
        await opened.prepare(request)
        transport, grant = _transport(request), _grant(request)
        member = Member(connection, transport, request.writer, WebSocket(), grant, max_latency)
        house.members[connection.connection_id] = member
        house.fanout.board(member, start)
        connection.on_close(lambda: _say_goodbye(house, member))
        with contextlib.suppress(ConnectionError):
            await _converse(house, principal, opened, member)
    finally:
        house.service.disconnect(connection)
        house.members.pop(connection.connection_id, None)
    return opened


class _Opened(web.WebSocketResponse):
    """
    A WebSocket whose stream ends before aiohttp closes it.

    Args:
        end: Ends the stream: nothing may follow a close frame (RFC 6455, section 5.5.1), and the
            fan-out writes to the transport without asking aiohttp.
    """

    def __init__(self, end: Callable[[], None]) -> None:
        # Frames are shared by a group, so they cannot be compressed.
        super().__init__(compress=False, autoclose=False, autoping=False, max_msg_size=MAX_MESSAGE)
        self._end = end

    async def close(
        self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True
    ) -> bool:
        """End the stream and close; aiohttp calls it by itself where a message is not one."""
        self._end()
        return await super().close(code=code, message=message, drain=drain)


async def _connect(request: web.Request, kind: str) -> tuple[Connection, Start]:
    """Register the stream; it ends with what its principal is granted."""
    house, principal = request.app[HOUSE], request[PRINCIPAL]
    wanted, since = _wanted(house, principal, request)
    connection, start = await house.service.connect(
        wanted, since=since, kind=kind, principal=principal.name, pid=principal.pid
    )
    try:
        # Its token may have been revoked while the store was asked where to begin.
        house.guard.identify(request)
    except RteventsError:
        house.service.disconnect(connection)
        raise
    if principal.grant.expires is not None:
        seconds = max(0.0, principal.grant.expires - time.time())
        timer = asyncio.get_running_loop().call_later(seconds, connection.close, "ended")
        connection.on_close(timer.cancel)
    return connection, start


def _transport(request: web.Request) -> asyncio.Transport:
    """
    Return the transport of a request, made ready for a stream.

    Raises:
        ConnectionError: The peer is gone.
    """
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the peer is gone")
    raw = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if raw.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
            # A peer that has gone without a word: the kernel must not be quicker than we are.
            patience = int(request.app[HOUSE].fanout.send_timeout * 1000) + KERNEL_PATIENCE_MS
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience)
    return transport


def _grant(request: web.Request) -> Grant:
    return request[PRINCIPAL].grant


def _max_latency(request: web.Request) -> float:
    """
    Return the seconds that an entry may wait for others: what was asked for, or less.

    Raises:
        BadInput: It is no duration.
    """
    text = request.query.get("max_latency", "0s")
    if (seconds := parse_duration(text)) is None:
        raise BadInput(
            f"max_latency: expected a duration such as 100ms, got {text[:40]!r}",
            field="max_latency",
        )
    return LATENCIES[bisect_right(LATENCIES, seconds) - 1]


def _wanted(house: House, principal: Principal, request: web.Request) -> tuple[Filter, Since]:
    """Return the filter within the grant, and the place: header, `last_event_id`, `since`."""
    query = query_of(request)
    if unknown := sorted(set(query) - STREAM_KEYS):
        known = ", ".join(sorted(STREAM_KEYS))
        raise BadInput(f"unknown parameter {unknown[0][:40]!r}, expected one of {known}")
    wanted = principal.grant.narrow(parse_filter(query, house.service.types))
    for given in (
        request.headers.get("Last-Event-ID"),
        request.query.get("last_event_id"),
        request.query.get("since"),
    ):
        if given:
            return wanted, parse_since(given)
    return wanted, Since(word="new")


def _say_goodbye(house: House, member: Member) -> None:
    """End a WebSocket: the peer answers the close frame, or is cut off."""
    reason = member.connection.close_reason or ""
    if reason != "closed":  # else the peer was first, and aiohttp answers it
        house.fanout.finish(member, CLOSE_CODES.get(reason, 4000))
        # A server that shuts down reads no answer any more: that the peer hangs up is enough.
        member.end()
    asyncio.get_running_loop().call_later(GOODBYE, member.abort)


class _Command(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a client may send over a WebSocket; `ref` comes back in the answer."""

    op: str
    ref: Any = None
    type: list[str] = []
    not_type: list[str] = []
    project: list[str] = []
    source: list[str] = []
    path: list[str] = []
    since: str | None = None
    events: list[msgspec.Raw] = []

    @property
    def query(self) -> Mapping[str, list[str]]:
        """The filter's keys, as a query string would hold them."""
        names = ("type", "not_type", "project", "source", "path")
        return {name: getattr(self, name) for name in names}


class _Referring(msgspec.Struct):
    """A command of which nothing else is sure: its error is to carry its `ref` all the same."""

    ref: Any = None


async def _converse(
    house: House, principal: Principal, opened: web.WebSocketResponse, member: Member
) -> None:
    """Answer each command in order until the peer closes."""
    async for message in opened:
        member.unanswered_since = None
        member.connection.touch()
        if member.connection.is_closed:
            continue  # it is told already: what comes now waits for its close frame
        if message.type is WSMsgType.PING:
            await opened.pong(message.data)
        elif message.type is WSMsgType.TEXT:
            await _obey(house, principal, member, message.data)
        elif message.type is WSMsgType.BINARY:
            member.control("error", **_error_fields(None, BadInput("expected a text message")))
        # Who does not read the answers is asked for no further command.
        await house.fanout.drained(member)
    if member.connection.is_closed:
        member.close()
    else:
        await opened.close()


async def _obey(house: House, principal: Principal, member: Member, text: str) -> None:
    raw = text.encode(errors="surrogatepass")
    ref: Any = None
    try:
        ref = decode(raw, _Referring).ref
        command = decode(raw, _Command)
        fields = await _COMMANDS.get(command.op, _unknown)(house, principal, member, command)
        name, answer = "ok", {"ref": ref, **fields}
    except RteventsError as error:
        name, answer = "error", _error_fields(ref, error)
    if not member.connection.is_closed:
        member.control(name, **answer)


def _error_fields(ref: Any, error: RteventsError) -> dict[str, Any]:
    fields = problem_fields(error)
    del fields["type"]
    return {"ref": ref, **fields}


async def _subscribe(
    house: House, principal: Principal, member: Member, command: _Command
) -> dict[str, Any]:
    wanted = parse_filter(command.query, house.service.types)
    return await change(house, member, wanted, command.since)


async def change(house: House, member: Member, wanted: Filter, since: str | None) -> dict[str, Any]:
    """
    Give a stream another filter, within its own grant, at the place where it is or at `since`.

    Returns:
        The bookmark after which the new filter holds, and the filter.
    Raises:
        NotAllowed: The filter names what the stream's grant does not hold.
        BookmarkError: `since` cannot be read, or its entries cannot be.
    """
    wanted = member.grant.narrow(wanted)
    start = Start(member.connection.position, "complete")
    if since is not None:
        start = await house.service.log.start(parse_since(since), wanted)
    if start.gap is not None:
        raise BookmarkError(f"since: {start.verdict}, reconnect to be told the gap", field="since")
    after = None if since is None else start.after
    position = house.fanout.change(member, wanted, after)
    bookmark = str(house.service.log.bookmark(position))
    return {"bookmark": bookmark, "filter": wanted.as_dict()}


async def _unsubscribe(
    house: House, principal: Principal, member: Member, command: _Command
) -> dict[str, Any]:
    house.fanout.unsubscribe(member)
    return {"bookmark": str(house.service.log.bookmark(member.connection.position))}


async def _publish(
    house: House, principal: Principal, member: Member, command: _Command
) -> dict[str, Any]:
    require(principal, "publisher")
    if not command.events:
        raise BadInput("events: expected at least one", field="events")
    events = read_each([bytes(raw) for raw in command.events], read_event)
    stored = await publish_as(house, principal, events)
    last = max((one.seq for one in stored), default=house.service.log.last)
    return {"events": stored, "bookmark": str(house.service.log.bookmark(last))}


async def _ping(
    house: House, principal: Principal, member: Member, command: _Command
) -> dict[str, Any]:
    return {"bookmark": str(house.service.log.bookmark(member.connection.position))}


async def _unknown(
    house: House, principal: Principal, member: Member, command: _Command
) -> dict[str, Any]:
    raise BadInput(
        f"op: expected one of {', '.join(_COMMANDS)}, got {command.op[:40]!r}", field="op"
    )


_COMMANDS = {
    "subscribe": _subscribe,
    "unsubscribe": _unsubscribe,
    "publish": _publish,
    "ping": _ping,
}
