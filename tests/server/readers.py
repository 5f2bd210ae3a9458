"""How the tests read what a server writes: strictly, and never for longer than ``PATIENCE``."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest

PATIENCE = 20.0
"""Seconds after which a thing that has not happened is a failure."""

Address = str | tuple[str, int]
"""The path of a Unix socket, or host and port."""

Object = dict[str, Any]


class Message(NamedTuple):
    """What an ``EventSource`` would dispatch."""

    event: str
    data: str
    id: str

    @property
    def json(self) -> Any:
        """The data, decoded."""
        return json.loads(self.data)


class SSEParser:
    """
    The event stream interpretation of the HTML standard, 9.2.6.

    Stricter in one thing: a field that the standard would ignore is an error of ours.
    """

    def __init__(self) -> None:
        self.last_event_id = ""
        self.retry: int | None = None
        self._bytes = b""
        self._is_begun = False
        self._data: list[str] = []
        self._event = ""
        self._id = ""

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that `data` completes."""
        self._bytes += data
        if not self._is_begun and len(self._bytes) >= 3:
            self._bytes = self._bytes.removeprefix(b"\xef\xbb\xbf")
            self._is_begun = True
        messages = []
        for line in self._lines():
            if line:
                self._field(line.decode())
            elif message := self._dispatch():
                messages.append(message)
        return messages

    def _lines(self) -> list[bytes]:
        """Take the lines that are whole."""
        # A CR at the very end may be half of a CR LF.
        kept = b"\r" if self._bytes.endswith(b"\r") else b""
        lines = self._bytes.removesuffix(kept).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *whole, rest = lines.split(b"\n")
        self._bytes = rest + kept
        return whole

    def _field(self, line: str) -> None:
        name, colon, value = line.partition(":")
        if colon and not name:
            return
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._event = value
            case "data":
                self._data.append(value)
            case "id":
                assert "\0" not in value
                self._id = value
            case "retry":
                assert value.isascii()
                assert value.isdigit()
                self.retry = int(value)
            case _:
                raise AssertionError(f"a field that nobody knows: {line!r}")

    def _dispatch(self) -> Message | None:
        self.last_event_id = self._id
        data, event = self._data, self._event
        self._data, self._event = [], ""
        return Message(event or "message", "\n".join(data), self._id) if data else None


class LineParser:
    """One JSON object a line."""

    def __init__(self) -> None:
        self.last_event_id = ""
        self.retry: int | None = None
        self._bytes = b""

    def feed(self, data: bytes) -> list[Message]:
        """Return the lines that `data` completes, as if they had come by SSE."""
        *lines, self._bytes = (self._bytes + data).split(b"\n")
        return [self._message(line.decode()) for line in lines]

    def _message(self, line: str) -> Message:
        fields = json.loads(line)
        self.last_event_id = fields.get("bookmark", self.last_event_id)
        kind = fields.get("control") or ("message" if "seq" in fields else fields["type"])
        return Message(kind, line, self.last_event_id)


class Chunks:
    """Takes the chunks of HTTP/1.1 apart (RFC 9112, section 7.1), trusting nothing."""

    def __init__(self) -> None:
        self.is_over = False
        self._bytes = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Return the bytes of the chunks that `data` completes."""
        self._bytes += data
        body = bytearray()
        while not self.is_over and (head := self._bytes.find(b"\r\n")) >= 0:
            size = int(self._bytes[:head], 16)
            end = head + 2 + size
            if len(self._bytes) < end + 2:
                break
            assert self._bytes[end : end + 2] == b"\r\n"
            body += self._bytes[head + 2 : end]
            del self._bytes[: end + 2]
            self.is_over = size == 0
        assert not (self.is_over and self._bytes), f"after the last chunk: {self._bytes!r}"
        return bytes(body)


async def connect(address: Address, *, receive_buffer: int | None = None) -> socket.socket:
    """Return a connected socket that does not block."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    if receive_buffer is not None:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    opened.setblocking(False)
    async with asyncio.timeout(PATIENCE):
        await asyncio.get_running_loop().sock_connect(opened, address)
    return opened


class Wire:
    """
    A connection of one's own: bytes are sent as they are, and read only when asked for.

    Args:
        opened: A connected socket that does not block.
    """

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        self.unread = b""
        """What was received and not taken yet."""

    @classmethod
    async def open(cls, address: Address, *, receive_buffer: int | None = None) -> Self:
        """Connect."""
        return cls(await connect(address, receive_buffer=receive_buffer))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.socket.close()

    async def send(self, data: bytes) -> None:
        """Send all of `data`."""
        async with asyncio.timeout(PATIENCE):
            await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def receive(self, size: int = 256 * 1024, patience: float = PATIENCE) -> bytes:
        """Return some bytes: what is left over first; none at the end."""
        if self.unread:
            taken, self.unread = self.unread, b""
            return taken
        async with asyncio.timeout(patience):
            return await asyncio.get_running_loop().sock_recv(self.socket, size)

    async def until(self, mark: bytes) -> bytes:
        """Return everything up to and including `mark`."""
        data = b""
        while mark not in data:
            received = await self.receive()
            assert received, f"ended before {mark!r}: {data!r}"
            data += received
        at = data.index(mark) + len(mark)
        self.unread = data[at:] + self.unread
        return data[:at]

    async def exactly(self, size: int) -> bytes:
        """Return `size` bytes."""
        data = b""
        while len(data) < size:
            received = await self.receive()
            assert received, f"ended after {len(data)} bytes, before {size}"
            data += received
        self.unread = data[size:] + self.unread
        return data[:size]

    async def rest(self) -> bytes:
        """Return everything up to the end, however the connection ends."""
        data = b""
        try:
            while received := await self.receive():
                data += received
        except ConnectionError:
            pass
        return data


class Head(NamedTuple):
    """The head of an answer; the headers' names are in lower case."""

    status: int
    headers: Mapping[str, str]


async def read_head(wire: Wire) -> Head:
    """Read the head of an answer."""
    first, *lines = (await wire.until(b"\r\n\r\n")).decode().split("\r\n")
    pairs = [line.split(": ", 1) for line in lines if line]
    return Head(int(first.split()[1]), {name.lower(): value for name, value in pairs})


def request_head(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    """Return the head of a request; without a Host of its own it gets one."""
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in ({"Host": "localhost"} | {**headers}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Stream:
    """
    An SSE or NDJSON stream, read message by message.

    Used as ``async with await server.stream("?since=all") as stream``, or left open.
    """

    def __init__(self, wire: Wire, head: Head) -> None:
        self.wire = wire
        self.head = head
        is_sse = head.headers.get("content-type") == "text/event-stream"
        self.parser: SSEParser | LineParser = SSEParser() if is_sse else LineParser()
        self._chunks = Chunks()
        self._ready: deque[Message] = deque()

    @classmethod
    async def open(
        cls, wire: Wire, query: str = "", headers: Mapping[str, str] | None = None
    ) -> Self:
        """Ask for a stream and return when its head is there."""
        await wire.send(request_head("GET", f"/v1/events/stream{query}", headers or {}))
        return cls(wire, await read_head(wire))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.wire.socket.close()

    @property
    def is_over(self) -> bool:
        """Whether the last chunk has come."""
        return self._chunks.is_over

    async def next(self, patience: float = PATIENCE) -> Message:
        """Return the next message."""
        while not self._ready:
            assert not self.is_over, "the stream has ended"
            data = await self.wire.receive(patience=patience)
            assert data, "the connection has ended"
            self._ready += self.parser.feed(self._chunks.feed(data))
        return self._ready.popleft()

    async def until(self, name: str) -> list[Message]:
        """Return the messages up to and including the first one called `name`."""
        messages = [await self.next()]
        while messages[-1].event != name:
            messages.append(await self.next())
        return messages

    async def entries(self, count: int) -> list[Object]:
        """Return the next `count` events; control frames between them are passed over."""
        found: list[Object] = []
        while len(found) < count:
            message = await self.next()
            if "seq" in (fields := message.json):
                found.append(fields)
        return found

    async def seqs(self, count: int) -> list[int]:
        """Return the seqs of the next `count` events."""
        return [entry["seq"] for entry in await self.entries(count)]

    async def live(self) -> Self:
        """Return when the replay is over."""
        await self.until("live")
        return self

    async def end(self) -> list[Message]:
        """Return what comes up to the last chunk."""
        messages = list(self._ready)
        self._ready.clear()
        while not self.is_over:
            data = await self.wire.receive()
            assert data, "the connection ended before the last chunk"
            messages += self.parser.feed(self._chunks.feed(data))
        return messages


TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
"""Opcodes (RFC 6455, section 11.8)."""


class Frame(NamedTuple):
    """A WebSocket frame as it came."""

    opcode: int
    payload: bytes

    @property
    def code(self) -> int:
        """The code of a close frame."""
        return int.from_bytes(self.payload[:2], "big")


def masked(opcode: int, payload: bytes = b"", *, is_last: bool = True) -> bytes:
    """Return a frame as a client's must be; one that is not the last of a message has no FIN."""
    size, mask = len(payload), b"\1\2\3\4"
    first = 0x80 | opcode if is_last else opcode
    if size < 126:
        head = bytes([first, 0x80 | size])
    elif size < 65536:
        head = bytes([first, 0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, 0x80 | 127]) + size.to_bytes(8, "big")
    whole = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return head + mask + (int.from_bytes(payload, "big") ^ whole).to_bytes(size, "big")


class Socket:
    """A WebSocket whose every frame is seen; nothing is answered by itself."""

    def __init__(self, wire: Wire, head: Head) -> None:
        self.wire = wire
        self.head = head

    @classmethod
    async def open(
        cls, wire: Wire, query: str = "", headers: Mapping[str, str] | None = None
    ) -> Self:
        """Shake hands."""
        key = base64.b64encode(os.urandom(16)).decode()
        handshake = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key,
        }
        await wire.send(
            request_head("GET", f"/v1/events/ws{query}", handshake | {**(headers or {})})
        )
        return cls(wire, await read_head(wire))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.wire.socket.close()

    async def send(self, opcode: int, payload: bytes = b"") -> None:
        """Send one frame."""
        await self.wire.send(masked(opcode, payload))

    async def say(self, *commands: Object, **fields: Any) -> None:
        """Send a command, or several at once."""
        said = commands or [fields]
        await self.wire.send(b"".join(masked(TEXT, json.dumps(each).encode()) for each in said))

    async def ask(self, **fields: Any) -> Object:
        """Send a command and return its answer; events before it are passed over."""
        await self.say(**fields)
        return await self.answer()

    async def answer(self) -> Object:
        """Return the next answer."""
        while True:
            message = await self.message()
            if message.get("control") in ("ok", "error"):
                return message

    async def frame(self, patience: float = PATIENCE) -> Frame:
        """Return the next frame: whole, unmasked and uncompressed, as ours are."""
        async with asyncio.timeout(patience):
            return await self._frame()

    async def _frame(self) -> Frame:
        first, second = await self.wire.exactly(2)
        assert first & 0xF0 == 0x80, "one frame a message, without extensions"
        size = second
        if second == 126:
            size = int.from_bytes(await self.wire.exactly(2), "big")
            assert size >= 126
        elif second == 127:
            size = int.from_bytes(await self.wire.exactly(8), "big")
            assert size >= 65536
        return Frame(first & 0x0F, await self.wire.exactly(size))

    async def message(self) -> Object:
        """Return the next text message; pings and pongs are passed over."""
        while (frame := await self.frame()).opcode in (PING, PONG):
            pass
        assert frame.opcode == TEXT, frame
        message: Object = json.loads(frame.payload)
        return message

    async def until(self, name: str) -> list[Object]:
        """Return the messages up to and including the first control frame called `name`."""
        messages = [await self.message()]
        while messages[-1].get("control") != name:
            messages.append(await self.message())
        return messages

    async def seqs(self, count: int) -> list[int]:
        """Return the seqs of the next `count` events; control frames are passed over."""
        found: list[int] = []
        while len(found) < count:
            if "seq" in (message := await self.message()):
                found.append(message["seq"])
        return found

    async def live(self) -> Self:
        """Return when the replay is over."""
        await self.until("live")
        return self


class Peak:
    """The most memory that this process has held since the object was made (`man 5 proc`)."""

    def __init__(self) -> None:
        if not Path("/proc/self/clear_refs").exists():
            pytest.skip("this system does not tell how much memory a process has held")
        Path("/proc/self/clear_refs").write_text("5")
        self._before = self._most()

    def growth(self) -> int:
        """Return the bytes by which it grew at most."""
        return self._most() - self._before

    def _most(self) -> int:
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024


async def until(condition: Callable[[], object], what: str) -> None:
    """Return when `condition` is true; fail with `what` when it does not become so."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"did not happen within {PATIENCE} s: {what}") from None
