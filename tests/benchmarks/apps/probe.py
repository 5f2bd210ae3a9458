"""
A light probe: opens streams and changes subscriptions, so many times a second, and times it.

``probe.py HOST:PORT STREAM WEBSOCKET CONNECTIONS TIMES``: three paths and how often a second; the
header lines of each request are in RTLOAD_HEADER. It says ``ready``, begins with a line on its
input, ends with that input, and prints milliseconds by what they are of. What is late because the
one before it was slow counts from when it was due, so that a slow moment is not left out.
"""

import asyncio
import base64
import gc
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator

HOST, PORT = sys.argv[1].split(":")
STREAM, WEBSOCKET, CONNECTIONS = sys.argv[2:5]
PERIOD = 1 / int(sys.argv[5])
HEADERS = f"Host: {HOST}:{PORT}\r\n" + os.environ.get("RTLOAD_HEADER", "")

Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def moments(stop: asyncio.Event, third: int) -> AsyncIterator[float]:
    """Yield so often the moment from which something counts; no two thirds at the same time."""
    due = time.perf_counter() + PERIOD * third / 3
    while not stop.is_set():
        due += PERIOD
        if (now := time.perf_counter()) < due:
            await asyncio.sleep(due - now)
            yield time.perf_counter()
        else:
            yield due


def filters() -> Iterator[dict[str, list[str]]]:
    """Yield in turns a filter that nobody else has, and the one that the thousand have."""
    number = 0
    while True:
        number += 1
        yield {"project": [f"probe-{number}"]}
        yield {}


async def connect() -> Wire:
    """Connect."""
    return await asyncio.open_connection(HOST, int(PORT), limit=1 << 20)


async def open_stream(wire: Wire) -> str:
    """Ask for an SSE stream and return its connection's id when `hello` is there, whole."""
    reader, writer = wire
    writer.write(f"GET {STREAM} HTTP/1.1\r\n{HEADERS}Accept: text/event-stream\r\n\r\n".encode())
    await reader.readuntil(b"event: hello")
    frame = await reader.readuntil(b"\n\n")
    data = next(line for line in frame.splitlines() if line.startswith(b"data:"))
    connection_id: str = json.loads(data[5:])["connection_id"]
    return connection_id


async def registration(stop: asyncio.Event, took: list[float]) -> None:
    """Open streams and leave them, each by itself: a slow one holds no other back."""

    async def once() -> None:
        wire = await connect()
        begun = time.perf_counter()
        await open_stream(wire)
        took.append(time.perf_counter() - begun)
        wire[1].transport.abort()

    async with asyncio.TaskGroup() as tasks:
        async for _ in moments(stop, 0):
            tasks.create_task(once())


async def patch(stop: asyncio.Event, took: list[float]) -> None:
    """Change the subscription of a stream from beside it."""
    stream = await connect()
    path = f"{CONNECTIONS}/{await open_stream(stream)}"
    draining = asyncio.create_task(drain(stream))
    reader, writer = await connect()
    wanted = filters()
    async for begun in moments(stop, 1):
        body = json.dumps(next(wanted))
        writer.write(
            f"PATCH {path} HTTP/1.1\r\n{HEADERS}Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head[:20], head
        length = head.lower().split(b"content-length:")[1].split(b"\r\n")[0]
        await reader.readexactly(int(length))
        took.append(time.perf_counter() - begun)
    draining.cancel()


async def drain(stream: Wire) -> None:
    """Read and forget."""
    while await stream[0].read(1 << 18):
        pass
    raise ConnectionError("the stream has ended")


async def subscribe(stop: asyncio.Event, took: list[float]) -> None:
    """Change the subscription of a WebSocket by its own command."""
    reader, writer = await connect()
    writer.write(
        f"GET {WEBSOCKET} HTTP/1.1\r\n{HEADERS}Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
        f"{base64.b64encode(os.urandom(16)).decode()}\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in head[:20], head
    answers: asyncio.Queue[bytes] = asyncio.Queue()
    reading = asyncio.create_task(read_answers(reader, answers))
    wanted = filters()
    async for begun in moments(stop, 2):
        command = json.dumps({"op": "subscribe", "ref": 1, **next(wanted)}).encode()
        # Masked with zeros: RFC 6455 wants a mask, of any value.
        writer.write(bytes([0x81, 0x80 | len(command), 0, 0, 0, 0]) + command)
        answer = await answers.get()
        assert b'"control":"ok"' in answer, answer
        took.append(time.perf_counter() - begun)
    reading.cancel()


async def read_answers(reader: asyncio.StreamReader, answers: asyncio.Queue[bytes]) -> None:
    """Take what answers a command out of all that comes (RFC 6455, section 5.2)."""
    while True:
        _, length = await reader.readexactly(2)
        if length > 125:
            length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
        message = await reader.readexactly(length)
        if b'"ref":1' in message[:60]:
            answers.put_nowait(message)


async def main() -> None:
    """Say ready, measure until the input ends, print."""
    took: dict[str, list[float]] = {"registration": [], "subscribe": [], "PATCH": []}
    (await connect())[1].transport.abort()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    gc.disable()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(registration(stop, took["registration"]))
        tasks.create_task(subscribe(stop, took["subscribe"]))
        tasks.create_task(patch(stop, took["PATCH"]))
        await asyncio.to_thread(sys.stdin.read)
        stop.set()
    print(json.dumps({name: [1000 * one for one in some] for name, some in took.items()}))


asyncio.run(main())
