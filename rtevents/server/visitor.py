"""Visitor: aiohttp's end of a connection, with our patience and our words."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from aiohttp import http, http_exceptions, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest

from rtevents.errors import BadInput, RteventsError
from rtevents.server.door import Seat, too_late
from rtevents.server.keys import PRINCIPAL, problem, problem_of
from rtevents.server.principal import NOBODY
from rtevents.server.raw import encode

if TYPE_CHECKING:
    from aiohttp.streams import StreamReader
    from aiohttp.web_server import Server

logger = logging.getLogger(__name__)


def check_parser() -> None:
    """
    Make sure that requests are read by aiohttp's parser in C: the one in Python takes what proxies
    in front of it understand differently (CVE-2025-69224, S20).

    Raises:
        RteventsError: It is missing, or switched off.
    """
    if http.HttpRequestParser.__module__ != "aiohttp._http_parser":
        raise RteventsError(
            "aiohttp's parser in C is missing or switched off: unset AIOHTTP_NO_EXTENSIONS, "
            "or install aiohttp anew where it has a wheel or finds a compiler"
        )


class Visitor(web.RequestHandler):
    """
    One connection whose requests aiohttp reads.

    Args:
        server: Whose requests they are.
        seat: Its place.
        since: Since when the head of the first request is awaited, by the loop's clock.
    """

    __slots__ = ("_body", "_seat", "_since")

    def __init__(self, server: Server, seat: Seat, since: float) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=seat.door.limits.keep_alive,
            # None at all: a URL may hold what is secret (S8).
            access_log=None,  # type: ignore[arg-type] # aiohttp's own runner passes it as well
            # A compressed body is refused, and need not be understood for that.
            auto_decompress=False,
        )
        self._seat: Seat | None = seat
        # The body that is awaited, and since when that is, or a head; None for neither.
        self._body: StreamReader | None = None
        self._since: float | None = since
        seat.door.watch(self)

    @property
    def seat(self) -> Seat | None:
        """Its place; None when it has gone, or somebody else reads it."""
        return self._seat

    def give_up(self) -> Seat | None:
        """Return its place to whoever reads the connection from now on."""
        seat, self._seat = self._seat, None
        if seat is not None:
            seat.door.forget(self)
        return seat

    def connection_lost(self, exc: BaseException | None) -> None:
        """Free the place."""
        super().connection_lost(exc)
        if (seat := self.give_up()) is not None:
            seat.leave()

    def data_received(self, data: bytes) -> None:
        """Let aiohttp read, and note what is awaited then."""
        count = self._request_count
        super().data_received(data)
        if self._request_count != count and self._messages:
            message, body = self._messages[-1]
            if self._body is not None and not isinstance(message, http.RawRequestMessage):
                # Else whoever reads the body would wait for the rest of it.
                self._part(problem(BadInput(MALFORMED)))
                return
            self._body = None if body.is_eof() else body
            self._since = None if self._body is None else self._loop.time()
        elif self._body is not None:
            if self._body.is_eof():
                self._body = self._since = None
        elif data and self._since is None:
            self._since = self._loop.time()

    def _process_keepalive(self) -> None:
        if self._since is None:
            super()._process_keepalive()
        else:
            self._keepalive_handle = None  # who has begun a request has a deadline of its own

    def end_if_overdue(self, now: float) -> None:
        """Answer 408 to who has begun a request and does not go on, and hang up."""
        if (seat := self._seat) is None or self._since is None:
            return
        limits = seat.door.limits
        is_head = self._body is None
        seconds = limits.head_timeout if is_head else limits.body_timeout
        if now - self._since < seconds:
            return
        if self._is_waited_for(is_head=is_head):
            self._since = now
            return
        self._part(too_late("head" if is_head else "body", seconds))

    def _part(self, answer: web.Response) -> None:
        """Hang up; tell why, unless what is written now would be taken for another's answer."""
        request = self._current_request
        is_its_answer = (
            request is None
            if self._body is None
            else request is not None
            and request.content is self._body
            and not request.writer.output_size
        )
        if self.transport is not None and is_its_answer:
            self.transport.write(encode(answer, is_last=True))
        self._body = self._since = None
        self.force_close()

    def _is_waited_for(self, *, is_head: bool) -> bool:
        """Tell whether it is we who do not read on: who waits for an answer is not late."""
        is_busy = bool(self._messages) or (is_head and self._request_in_progress)
        return is_busy or self._reading_paused or self._buffer_paused

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """
        Answer what aiohttp could not read, and hang up.

        Neither the answer nor the log repeats what was sent: it may be a secret, and it is a
        stranger's.
        """
        if status != HTTPStatus.BAD_REQUEST:
            failure = exc or RuntimeError(f"aiohttp answers {status}")
            return _Answer(problem_of(failure))
        logger.debug("refused a malformed request: %s", type(exc).__name__)
        is_long = isinstance(exc, http_exceptions.LineTooLong)
        return _Answer(problem(BadInput(TOO_LONG if is_long else MALFORMED)))

    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Answer with our words what aiohttp refuses by itself; obey no body as a request."""
        if isinstance(resp, web.HTTPException):
            resp = problem(BadInput(resp.reason), resp.status)
        if self._upgraded and request.body_exists:
            # aiohttp takes the body for what follows the upgrade, and when that is refused for
            # another request: a proxy would have let it pass as a body (GHSA-mfx4-hv73-q22v).
            resp.force_close()
        return await super().finish_response(request, resp, start_time)


def claim(request: web.Request) -> None:
    """
    Count a request's connection for its principal.

    Raises:
        Throttled: As ``Seat.claim``.
    """
    seat = cast(Visitor, request.protocol).seat
    principal = request[PRINCIPAL]
    if seat is not None and principal.grant is not NOBODY:
        seat.claim(principal.name)


def check_stream(request: web.Request) -> None:
    """
    Look whether a request's connection may become a stream.

    Raises:
        NoRoom: As ``Door.check_stream``.
    """
    if (seat := cast(Visitor, request.protocol).seat) is not None:
        seat.door.check_stream()


class _Answer(web.StreamResponse):
    """An answer that aiohttp would say something about itself with; the last of its connection."""

    def __init__(self, answer: web.Response) -> None:
        super().__init__(status=answer.status)
        self._raw = encode(answer, is_last=True)
        self.force_close()

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Write it, unless another answer was begun."""
        if request.transport is not None and not request.writer.output_size:
            request.transport.write(self._raw)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to be written."""


MALFORMED = "malformed HTTP: the request line, a header or the length of the body is not valid"
"""What is said of a request that is none (RFC 9112)."""

TOO_LONG = "the request line or a header is longer than 8190 bytes"
"""What is said of a request whose head aiohttp does not take."""
