"""SSE, NDJSON and WebSocket: open, subscribe, hand over to the fan-out."""

from __future__ import annotations

import asyncio
import random
import socket
from bisect import bisect_right
from functools import partial

import msgspec
from aiohttp import web
from websockets.frames import Close, Frame, Opcode
from websockets.utils import accept_key

from rtevents.core.clock import latest
from rtevents.core.connection import Connection
from rtevents.core.filter import FILTER_KEYS, Filter, Grant, parse_filter
from rtevents.core.log import Start
from rtevents.core.since import Since, parse_duration, parse_since
from rtevents.errors import BadInput, NotAllowed, NotAuthenticated, RteventsError, Unavailable
from rtevents.server.first_word import first_word
from rtevents.server.follower import Follower
from rtevents.server.keys import HOUSE, PRINCIPAL, RULE, SECRET, House, query_of
from rtevents.server.member import GOODBYE, SEND_BUFFER, Member
from rtevents.server.principal import NOBODY, Principal
from rtevents.server.talker import Talker
from rtevents.server.visitor import check_stream, claim
from rtevents.server.wire import NDJSON, RETRY_MS, RETRY_SPREAD_MS, SSE, Encoding, WebSocket

LATENCIES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""The steps of `max_latency`, in seconds: streams with the same one are served together."""

KERNEL_PATIENCE_MS = 5000
"""Milliseconds by which the kernel is more patient than `send_timeout` with a silent TCP peer."""

LAST_CHUNK = b"0\r\n\r\n"
"""What ends a chunked body (RFC 9112, section 7.1)."""

REFUSED = 4501
"""WebSocket close code for who says no token that lets in, or asks for what cannot be."""

BACK = 4013
"""WebSocket close code for who is to try again later."""

CLOSE_CODES = {
    "shutdown": 1001,
    "slow": 4008,
    "inactive": 4009,
    "no pong": 4010,
    "changed": 4011,
    "ended": 4500,
}
"""WebSocket close code of each reason: below 4500 come back, from there on do not."""

STREAM_KEYS = FILTER_KEYS | {"since", "last_event_id", "named", "max_latency"}
"""The keys of a stream's query string."""


async def stream(request: web.Request) -> web.StreamResponse:
    """Stream events as SSE, or as NDJSON where the Accept header asks for it."""
    is_ndjson = "application/x-ndjson" in request.headers.get("Accept", "")
    named = request.query.get("named") == "1"
    encoding: Encoding = NDJSON() if is_ndjson else SSE(named=named, retry_ms=_retry_ms())
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
    kind = "ndjson" if is_ndjson else "sse"
    house, connection, start, transport = await _answer(request, response, kind)
    # From here on nothing is awaited: aiohttp cancels this task when it is told that it is over.
    follower = Follower(partial(_lose, house, connection))
    member = Member(connection, transport, follower, encoding, _grant(request), max_latency)
    _board(request, house, follower, member, start)
    connection.on_close(partial(_end, house, member))
    return response


async def websocket(request: web.Request) -> web.StreamResponse:
    """Stream events as WebSocket messages, and take commands."""
    if not web.WebSocketResponse().can_prepare(request):
        raise BadInput("expected a WebSocket handshake")
    if request.body_exists:
        # A proxy takes it for a body, and it would be heard as messages (GHSA-mfx4-hv73-q22v).
        raise BadInput("a WebSocket handshake has no body")
    # No extension is taken up: frames are shared by a group, so they cannot be compressed.
    response = web.StreamResponse(
        status=101,
        headers={
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": accept_key(request.headers["Sec-WebSocket-Key"]),
        },
    )
    if request[PRINCIPAL].grant is not NOBODY:
        return await _converse(request, response)
    return await _let_in_late(request, response)


async def _let_in_late(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Begin the stream of a WebSocket whose first message is to be its token."""
    stranger, rule, guard = request[PRINCIPAL], request[RULE], request.app[HOUSE].guard
    response.force_close()
    await response.prepare(request)
    try:
        try:
            secret, early = await first_word(request)
        except NotAuthenticated:
            guard.audit.refuse(stranger, rule.action, "credential")
            raise
        request[PRINCIPAL] = guard.admit_late(stranger, secret, rule)
        request[SECRET] = secret
        claim(request)
        return await _converse(request, response, early)
    except RteventsError as error:
        if isinstance(error, NotAllowed) and request[PRINCIPAL] is not stranger:
            guard.audit.refuse(request[PRINCIPAL], rule.action, "grant", about=error.about)
            request[PRINCIPAL] = stranger
        # The handshake is over: what is wrong is said by a close frame.
        code = BACK if isinstance(error, Unavailable) else REFUSED
        reason = str(error).encode()[:120].decode(errors="ignore")
        frame = Frame(Opcode.CLOSE, Close(code, reason).serialize())
        if request.transport is not None:
            request.transport.write(frame.serialize(mask=False))
        return response


async def _converse(
    request: web.Request, response: web.StreamResponse, early: bytearray | None = None
) -> web.StreamResponse:
    """Begin the stream of a WebSocket; `early` is what came after its token."""
    max_latency = _max_latency(request)
    house, connection, start, transport = await _answer(request, response, "ws")
    # As above. What came with the handshake came too early (RFC 6455, section 4.1), and is heard.
    tail: bytes = getattr(request.protocol, "_message_tail", b"")
    said = tail if early is None else bytes(early)
    talker = Talker(partial(_lose, house, connection), house, request[PRINCIPAL])
    member = Member(connection, transport, talker, WebSocket(), _grant(request), max_latency)
    talker.member = member
    _board(request, house, talker, member, start)
    connection.on_close(partial(_say_goodbye, house, talker))
    if said:
        talker.data_received(said)
    return response


async def _answer(
    request: web.Request, response: web.StreamResponse, kind: str
) -> tuple[House, Connection, Start, asyncio.Transport]:
    """
    Register a stream, and write the head of its response.

    Returns:
        The rooms of its log, the stream, where it begins, and where its bytes go.
    """
    response.force_close()  # its connection is not for requests any more
    check_stream(request)
    house, connection, start = await _connect(request, kind)
    try:
        await response.prepare(request)
        return house, connection, start, _transport(request)
    except BaseException:
        house.service.disconnect(connection)
        raise


def _board(
    request: web.Request, house: House, follower: Follower, member: Member, start: Start
) -> None:
    """Take the connection of a request from aiohttp, and begin its stream."""
    connection = member.connection
    follower.take_over(request, member.transport)
    house.followers.add(connection)
    house.members[connection.connection_id] = member
    house.streams.board(member, start)


def _lose(house: House, connection: Connection) -> None:
    """Forget a stream whose connection has ended."""
    connection.close("lost")
    house.followers.discard(connection)
    if not house.followers:
        house.all_gone.set()


def _end(house: House, member: Member) -> None:
    """Write the rest and the last chunk, and hang up."""
    if _forget(house, member):
        house.streams.finish(member)
        member.write(LAST_CHUNK)
        member.close()


def _say_goodbye(house: House, talker: Talker) -> None:
    """Write the rest and a close frame, which the peer answers."""
    member = talker.member
    if _forget(house, member):
        talker.flush()
        reason = member.connection.close_reason or ""
        if reason != "closed":  # else the peer was first, and is answered
            house.streams.finish(member, CLOSE_CODES.get(reason, 4000))
            talker.listen()


def _forget(house: House, member: Member) -> bool:
    """Forget a stream; return whether its peer is there, which is then cut off if it stays."""
    house.service.disconnect(member.connection)
    house.members.pop(member.connection.connection_id, None)
    if member.connection.close_reason == "lost":
        return False
    asyncio.get_running_loop().call_later(GOODBYE, member.abort)
    return True


async def _connect(request: web.Request, kind: str) -> tuple[House, Connection, Start]:
    """Register the stream with its log; it ends with what its principal is granted."""
    house, principal = request.app[HOUSE], request[PRINCIPAL]
    wanted, since = _wanted(house, principal, request)
    house = over(house, wanted, principal.grant.visible)
    connection, start = await (house.joint or house.service).connect(
        wanted,
        since=since,
        kind=kind,
        principal=principal.name,
        pid=principal.pid,
        within=principal.grant.visible,
    )
    try:
        # Its token may have been revoked while the store was asked where to begin.
        house.guard.confirm(request, principal, request.get(SECRET))
    except (RteventsError, ConnectionError):
        house.service.disconnect(connection)
        raise
    house.guard.note(connection, request)
    if principal.grant.expires is not None:
        seconds = max(0.0, principal.grant.expires - latest())
        timer = asyncio.get_running_loop().call_later(seconds, connection.close, "ended")
        connection.on_close(timer.cancel)
    return house, connection, start


def over(house: House, wanted: Filter, held: Filter) -> House:
    """Return the rooms of a filter's log, or rooms in which several are one."""
    houses = house.within(wanted, held)
    if len(houses) == 1:
        return houses[0]
    return msgspec.structs.replace(house, joint=house.join(houses))


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


def _retry_ms() -> int:
    return RETRY_MS + random.randrange(RETRY_SPREAD_MS)  # noqa: S311 - spreads, and hides nothing


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
    query = query_of(request, STREAM_KEYS)
    wanted = principal.grant.narrow(parse_filter(query, house.service.types))
    for given in (
        request.headers.get("Last-Event-ID"),
        request.query.get("last_event_id"),
        request.query.get("since"),
    ):
        if given:
            return wanted, parse_since(given)
    return wanted, Since(word="new")
