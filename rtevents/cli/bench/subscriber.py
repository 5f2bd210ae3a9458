"""What is followed: one stream, cut into blocks of whole frames, of which nothing else is read."""

from __future__ import annotations

import asyncio
import base64
import os
import re
from collections.abc import Callable
from typing import cast

from rtevents.cli.bench.daemon import Server
from rtevents.client import calls
from rtevents.errors import RteventsError

READ = re.compile(rb'\{"seq":(\d+),"event_id":"[^"]*","type":"[^"]*","data":\{"n":(\d+),')
"""An entry in the wire form: its seq, and the number that it was given here."""


class Subscriber(asyncio.Protocol):
    """
    One stream.

    Args:
        number: Its number, from 0.
        request: What opens it.
        take: See ``Load.subscribe``.
        fail: Called with what went wrong.
    Attributes:
        received: Events that it has received; kept by ``take``.
        live: Set when it follows.
    """

    def __init__(
        self,
        number: int,
        over: str,
        request: bytes,
        *,
        take: Callable[[Subscriber, bytes, int], int],
        fail: Callable[[RteventsError], None],
    ) -> None:
        self.number = number
        self.received = 0
        self.live = asyncio.Event()
        self.whole = whole_messages if over == "ws" else whole_chunk
        self._request = request
        self._take = take
        self._fail = fail
        self._data = b""
        self._has_head = False
        self._reason = "the daemon closed the connection"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Hand on what is received, and keep what is not taken."""
        data = self._data + data if self._data else data
        at = 0
        try:
            if not self._has_head:
                at = self._read_head(data)
            while self._has_head and at < len(data):
                end = self._take(self, data, at)
                if end == at:
                    break
                at = end
        except RteventsError as error:
            self._fail(error)
            self._transport.abort()
        self._data = data[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that the stream has ended: it never does by itself."""
        self._fail(RteventsError(f"the stream of subscriber {self.number} ended: {self._reason}"))

    def control(self, frame: bytes) -> None:
        """
        Read a frame that is no entry; a heartbeat is none either.

        Raises:
            RteventsError: It tells of a gap.
        """
        if frame == PING:
            self._transport.write(PONG)
        elif found := _CONTROL.search(frame):
            name = found[1] or found[2]
            if name == b"live":
                self.live.set()
            elif name == b"gap":
                text = frame[frame.find(b"{") :].strip().decode(errors="replace")
                raise RteventsError(f"subscriber {self.number} was told of a gap: {text}")
            elif name == b"bye" and (reason := _REASON.search(frame)):
                self._reason = reason[1].decode(errors="replace")

    def _read_head(self, data: bytes) -> int:
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            return 0
        status = int(data[9:12])
        if status not in (101, 200):
            calls.fail(status, None, data[end:])
        self._has_head = True
        return end


PING = b"\x89\x00"
"""A WebSocket ping without a body, as the daemon sends it."""

PONG = b"\x8a\x80\x00\x00\x00\x00"
"""Its answer: a client's frames are masked, were it with zeros (RFC 6455, section 5.3)."""


def whole_chunk(data: bytes, at: int) -> int:
    """Return the end of the HTTP chunk that begins at `at`; `at` when it is not whole."""
    end = data.find(b"\r\n", at)
    if end < 0:
        return at
    stop = end + 2 + int(data[at:end], 16) + 2
    return stop if stop <= len(data) else at


def whole_messages(data: bytes, at: int) -> int:
    """
    Return the end of the WebSocket messages from `at` on that are entries, or of one that is none.

    Returns:
        `at` when there is no whole one.
    """
    begin = at
    while True:
        payload, stop = _frame(data, at)
        if stop > len(data):
            return at
        if not data.startswith(b'{"seq":', payload):
            return stop if at == begin else at
        at = stop


def _frame(data: bytes, at: int) -> tuple[int, int]:
    """Return where the payload of an unmasked frame begins, and where it ends, there or not."""
    more = {126: 2, 127: 8}.get(data[at + 1] & 0x7F, 0) if at + 2 <= len(data) else 0
    payload = at + 2 + more
    if payload > len(data):
        return payload, payload + 1
    size = int.from_bytes(data[at + 2 : payload], "big") if more else data[at + 1] & 0x7F
    return payload, payload + size


def stream_request(server: Server, over: str, source: str) -> bytes:
    """Return what opens a stream of the events of one source."""
    path = "ws" if over == "ws" else "stream"
    head = server.head(f"GET /v1/events/{path}?source={source}")
    if over == "ws":
        key = base64.b64encode(os.urandom(16)).decode()
        head += (
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
        )
    else:
        kind = "application/x-ndjson" if over == "ndjson" else "text/event-stream"
        head += f"Accept: {kind}\r\n"
    return f"{head}\r\n".encode()


_CONTROL = re.compile(rb'(?:^|\n)event: ([a-z]+)\n|"control":"([a-z]+)"')
_REASON = re.compile(rb'"reason":"([^"]*)"')
