"""Plain publish requests, straight from the socket."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any

import pytest

from rtevents.server import door
from rtevents.server.door import Limits
from rtevents.server.express import MAX_WAITING, Express
from rtevents.server.plain import MAX_HEAD

from .conftest import Houses, Server, StagedStore
from .readers import PATIENCE, until


def request(body: bytes, *headers: str, kind: str = "application/json", host: str = "h") -> bytes:
    """Return a plain request."""
    lines = [
        "POST /v1/events HTTP/1.1", f"Host: {host}", f"Content-Type: {kind}",
        f"Content-Length: {len(body)}", *headers,
    ]  # fmt: skip
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def event(number: int, **fields: Any) -> bytes:
    """Return the JSON of an event."""
    data = {"task_id": f"T-{number}", "status": "open"}
    return json.dumps({"type": "TASK_UPDATE", "data": data, **fields}).encode()


class Answers:
    """The answers of one connection, one after the other."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def __aenter__(self) -> Answers:
        self.reader, self.writer = await asyncio.open_unix_connection(self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    async def next(self) -> tuple[int, Any]:
        """Return the status and the body of the next answer."""
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            status = int(head.split()[1])
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
            body = await self.reader.readexactly(int(fields["Content-Length"]))
        assert fields["Date"].endswith(" GMT")
        if fields["Content-Type"].startswith("application/x-ndjson"):
            return status, [json.loads(line) for line in body.splitlines()]
        return status, json.loads(body)

    async def at_end(self) -> bytes:
        """Return what comes until the server hangs up."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()


@pytest.mark.parametrize("cut", [1, 7, 100])
async def test_pipelined_requests_are_answered_in_order_however_they_are_cut(
    server: Server, cut: int
) -> None:
    bodies = [event(1), b"[]", b"{", b"[" + event(2) + b"," + event(3) + b"]", event(4, type="X")]
    lines = event(5) + b"\n\n" + event(6) + b"\n"
    wrong = event(7) + b"\n{\n" + event(8)
    sent = b"".join(map(request, bodies))
    sent += request(lines, kind="application/x-ndjson") + request(
        wrong, kind="application/x-ndjson"
    )
    async with Answers(server.socket) as answers:
        for at in range(0, len(sent), cut):
            answers.writer.write(sent[at : at + cut])
            await answers.writer.drain()
        got = [await answers.next() for _ in range(7)]

    assert [status for status, _ in got] == [201, 201, 400, 201, 422, 201, 400]
    assert [one["seq"] for one in got[3][1]["events"]] == [2, 3]
    assert [one["seq"] for one in got[5][1]] == [4, 5]
    assert [one.get("seq", one.get("index")) for one in got[6][1]] == [6, 1, 7]


async def test_pipelined_requests_share_a_transaction(houses: Houses) -> None:
    server = await houses.open(store="sqlite")
    appended: list[int] = []
    append = server.service.log.append

    async def count(batches: Any) -> Any:
        appended.append(len(batches))
        return await append(batches)

    server.service.log.append = count  # type: ignore[method-assign]
    async with Answers(server.socket) as answers:
        answers.writer.write(b"".join(request(event(number)) for number in range(300)))
        seqs = [(await answers.next())[1]["events"][0]["seq"] for _ in range(300)]

    assert seqs == list(range(1, 301))
    assert len(appended) <= 300 / MAX_WAITING * 4


async def test_what_is_not_plain_is_handed_over_after_the_answers(server: Server) -> None:
    async with Answers(server.socket) as answers:
        answers.writer.write(request(event(1)) + request(event(2)))
        answers.writer.write(b"GET /v1/events?limit=1 HTTP/1.1\r\nHost: h\r\n\r\n")
        answers.writer.write(request(event(3), "Expect: 100-continue"))
        first, second, third = [await answers.next() for _ in range(3)]
        assert (await answers.reader.readline()).startswith(b"HTTP/1.1 100 ")
        assert await answers.reader.readline() == b"\r\n"
        fourth = await answers.next()

    assert [one[1]["events"][0]["seq"] for one in (first, second, third, fourth)] == [1, 2, 1, 3]
    assert server._entrance.open == set()


@pytest.mark.parametrize(
    "garbage",
    [b"\x16\x03\x01\x02\x00", b"POST /v1/events HTTP/1.1\r\nX: " + b"a" * MAX_HEAD, b"POST\0/v2"],
)
async def test_garbage_is_refused_by_aiohttp(server: Server, garbage: bytes) -> None:
    async with Answers(server.socket) as answers:
        answers.writer.write(garbage + b"\r\n\r\n")
        assert b" 400 Bad Request\r\n" in await answers.at_end()


async def test_requests_before_a_half_close_are_answered(server: Server) -> None:
    count = 3 * MAX_WAITING
    async with Answers(server.socket) as answers:
        answers.writer.write(b"".join(request(event(number)) for number in range(count)))
        answers.writer.write_eof()
        got = [await answers.next() for _ in range(count)]
        assert await answers.at_end() == b""

    assert [one["events"][0]["seq"] for _, one in got] == list(range(1, count + 1))


async def test_who_reads_no_answers_is_read_no_further(houses: Houses) -> None:
    server = await houses.open(event_retention=10)
    async with Answers(server.socket) as answers:
        raw = answers.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sent = request(b"[" + b",".join(event(number) for number in range(100)) + b"]")

        async def pour() -> None:
            while True:
                answers.writer.write(sent)
                await answers.writer.drain()

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pour(), 1.0)
        last = server.service.log.last
        [express] = server._entrance.open
        assert isinstance(express, Express)
        assert express._transport is not None
        assert express._transport.get_write_buffer_size() < 1024 * 1024
        assert (await answers.next())[0] == 201
        await until(lambda: server.service.log.last >= last, "it goes on")


@pytest.mark.parametrize(
    "sent",
    [
        request(event(1) + b"\n{\n", kind="application/x-ndjson") + request(event(2)),
        request(event(1)) + request(event(2), "Origin: null"),
    ],
    ids=["what takes a while", "what is to be handed over"],
)
async def test_who_waits_for_an_answer_is_read_no_further(houses: Houses, sent: bytes) -> None:
    store = StagedStore()
    server = await houses.open(store)
    store.answers.clear()
    async with Answers(server.socket) as answers:
        answers.writer.write(sent)
        await until(lambda: server._entrance.open, "it has come in")
        [express] = server._entrance.open
        assert isinstance(express, Express)
        transport = express._transport
        assert transport is not None
        await until(lambda: not transport.is_reading(), "it is read no further")
        store.answers.set()
        got = [(await answers.next())[0] for _ in range(2)]

    assert got[1] == 201


async def test_a_peer_that_resets_leaves_nothing(server: Server) -> None:
    for _ in range(20):
        async with Answers(server.socket) as answers:
            answers.writer.write(request(event(1))[:-3])
            await answers.writer.drain()
            raw = answers.writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await until(lambda: not server._entrance.open, "every connection is forgotten")


async def test_a_token_that_is_revoked_or_expired_publishes_no_more(server: Server) -> None:
    host, port = server.tcp
    secret = server.token("publisher")
    sent = request(event(1), f"Authorization: Bearer {secret}", host=f"{host}:{port}")
    async with TcpAnswers(host, port) as answers:
        answers.writer.write(sent)
        assert (await answers.next())[0] == 201
        for token in server.guard.tokens.all():
            server.guard.tokens.revoke(token.id)
        answers.writer.write(sent)
        assert (await answers.next())[0] == 401


class TcpAnswers(Answers):
    """The answers of a connection by TCP."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port

    async def __aenter__(self) -> TcpAnswers:
        self.reader, self.writer = await asyncio.open_connection(self._host, self._port)
        return self


async def test_another_host_or_no_credential_is_refused(server: Server) -> None:
    host, port = server.tcp
    async with TcpAnswers(host, port) as answers:
        answers.writer.write(request(event(1), host="evil.example"))
        answers.writer.write(request(event(1), host=f"{host}:{port}"))
        viewer = f"Authorization: Bearer {server.token('viewer')}"
        answers.writer.write(request(event(1), viewer, host=f"{host}:{port}"))
        assert [(await answers.next())[0] for _ in range(3)] == [421, 401, 403]


async def test_a_full_queue_is_waited_for_in_order(houses: Houses) -> None:
    server = await houses.open(max_queue_size=10, queue_timeout=PATIENCE)
    async with Answers(server.socket) as answers:
        arrays = [
            b"[" + b",".join(event(n) for n in range(at, at + size)) + b"]"
            for at, size in ((0, 9), (100, 9), (200, 1), (300, 9), (400, 1))
        ]
        answers.writer.write(b"".join(map(request, arrays)))
        got = [await answers.next() for _ in arrays]

    assert [status for status, _ in got] == [201] * 5
    seqs = [one["seq"] for _, body in got for one in body["events"]]
    assert seqs == sorted(seqs)


async def test_a_connection_that_asks_for_nothing_is_cut_off(
    houses: Houses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "SWEEP", 0.01)
    limits = Limits(head_timeout=0.05, body_timeout=0.05, keep_alive=0.05)
    server = await houses.open(limits=limits)
    async with (
        Answers(server.socket) as silent,
        Answers(server.socket) as idle,
        Answers(server.socket) as half,
    ):
        idle.writer.write(request(event(1)))
        half.writer.write(request(event(1))[:-1])
        assert (await idle.next())[0] == 201
        assert await silent.at_end() == await idle.at_end() == b""
        assert (await half.next())[0] == 408
        assert await half.at_end() == b""
    await until(lambda: not server._entrance.open, "they are forgotten")
