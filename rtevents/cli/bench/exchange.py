"""What is published: the events of a measurement, and the connections for them."""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import cast

import msgspec

from rtevents.cli.bench.daemon import Server
from rtevents.client import calls
from rtevents.errors import NotReachable

PROJECT = "bench"
"""The project of every event that is published here."""


class Events:
    """
    Makes the events of a measurement, numbered from 0 on.

    Args:
        size: Bytes of an event's data.
    Attributes:
        source: Their source, which no other measurement has.
    """

    def __init__(self, size: int) -> None:
        self.source = f"bench-{secrets.token_hex(4)}"
        empty = b'{"n":,"task_id":"bench","status":"running","title":""}'
        self._title = b"x" * (size - len(empty))
        self._line = (
            b'{"type":"TASK_UPDATE","data":{"n":%%b,"task_id":"bench","status":"running",'
            b'"title":"%%b"},"event_id":"%b-%%b","source":"%b","project_id":"%b"}'
        ) % (self.source.encode(), self.source.encode(), PROJECT.encode())

    def lines(self, first: int, count: int) -> bytes:
        """Return so many events from number `first` on, one a line."""
        line, title = self._line, self._title
        numbers = [b"%d" % number for number in range(first, first + count)]
        return b"\n".join([line % (n, title[len(n) :], n) for n in numbers])


class Answer(msgspec.Struct, frozen=True):
    """
    What a request was answered.

    Args:
        retry_after: Seconds after which to come again; 0 when it was not refused.
    """

    status: int
    retry_after: float
    body: bytes

    def refused(self, count: int) -> int:
        """
        Return how many of the request's `count` events were refused for now (promise P6).

        Raises:
            RteventsError: They were refused for good.
        """
        if self.status not in (201, 503):
            calls.fail(self.status, None, self.body)
        if self.status == 201:
            return 0
        return self.body.count(b'"status":503') if count > 1 else 1


class Exchange(asyncio.Protocol):
    """
    One connection, for one request after the other.

    Args:
        server: The daemon.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._head = server.head("POST /v1/events")
        self._data = b""
        self._is_lost = False
        self._answer: asyncio.Future[Answer] | None = None

    async def post(self, lines: bytes, count: int) -> Answer:
        """
        Publish events, one a line.

        Raises:
            NotReachable: The daemon has closed the connection.
        """
        if self._is_lost:
            raise self._lost(None)
        self._answer = asyncio.get_running_loop().create_future()
        kind = "json" if count == 1 else "x-ndjson"
        head = f"{self._head}Content-Type: application/{kind}\r\nContent-Length: {len(lines)}\r\n"
        self._transport.write(head.encode() + b"\r\n" + lines)
        return await self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Tell the answer when it is whole."""
        self._data += data
        end = self._data.find(b"\r\n\r\n") + 4
        if end < 4 or self._answer is None or self._answer.done():
            return
        head = self._data[:end]
        length = _LENGTH.search(head)
        stop = end + int(length[1] if length else 0)
        if len(self._data) < stop:
            return
        after = _RETRY_AFTER.search(head)
        answer = Answer(int(head[9:12]), float(after[1]) if after else 0.0, self._data[end:stop])
        self._data = self._data[stop:]
        self._answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits for an answer."""
        self._is_lost = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(self._lost(exc))

    def _lost(self, error: Exception | None) -> NotReachable:
        reason = error or ConnectionError("the daemon closed the connection")
        return NotReachable(calls.broken(self._server.address, reason))


_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)\r")
_RETRY_AFTER = re.compile(rb"(?i)\r\nretry-after: *(\d+)\r")
