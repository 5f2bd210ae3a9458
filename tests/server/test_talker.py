"""The far end of a WebSocket: frames, the order of answers, and who says more than is answered."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from rtevents.server.talker import MAX_MESSAGE, MAX_UNANSWERED

from .conftest import Houses, Server, StagedStore, task
from .readers import (
    CLOSE,
    PATIENCE,
    PING,
    PONG,
    TEXT,
    Frame,
    Object,
    Socket,
    masked,
    read_head,
    request_head,
    until,
)

CONT = 0
PING_COMMAND = '{"op":"ping","ref":"größer als 126 Bytes…"}'.encode()


def publishing(ref: object, **fields: Any) -> Object:
    """Return a command that publishes one event; `fields` are those of the event."""
    data = {"task_id": "T-1", "status": "open"}
    return {"op": "publish", "ref": ref, "events": [{"type": "TASK_UPDATE", "data": data} | fields]}


async def flood(ws: Socket, count: int) -> None:
    """Say many commands at once, as fast as the server hears them."""
    for at in range(0, count, 100):
        await ws.say(*(publishing(number) for number in range(at, at + 100)))


def waiting(server: Server) -> int:
    """Return how many events wait to be stored."""
    size: int = server.service.statistics().queue["size"]
    return size


# Frames


async def test_a_message_may_come_in_fragments_with_pings_between(server: Server) -> None:
    ws = await (await server.ws()).live()
    first, *rest = [PING_COMMAND[at : at + 1] for at in range(len(PING_COMMAND))]

    await ws.wire.send(masked(TEXT, first, is_last=False))
    for byte in rest:
        await ws.wire.send(masked(CONT, byte, is_last=False) + masked(CONT, is_last=False))
    await ws.wire.send(masked(PING, b"between") + masked(CONT))

    assert await ws.frame() == Frame(PONG, b"between")
    assert (await ws.answer())["ref"] == "größer als 126 Bytes…"
    assert (await ws.ask(op="ping", ref="whole"))["ref"] == "whole"


async def test_a_message_may_be_as_long_as_a_request(server: Server) -> None:
    ws = await (await server.ws()).live()
    text = b'{"op":"ping","ref":"%b"}' % (b"x" * (MAX_MESSAGE - 22))
    assert len(text) == MAX_MESSAGE

    await ws.send(TEXT, text)

    assert len((await ws.answer())["ref"]) == MAX_MESSAGE - 22


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"\x81\x00", 1002),
        (masked(CONT, b"x"), 1002),
        (masked(TEXT, b"{", is_last=False) + masked(TEXT, b"}"), 1002),
        (masked(TEXT, b"{", is_last=False) + masked(CLOSE), 1002),
        (masked(PING, is_last=False), 1002),
        (masked(PING, b"x" * 126), 1002),
        (b"\xc1\x80\0\0\0\0", 1002),
        (masked(CLOSE, (1005).to_bytes(2, "big")), 1002),
        (masked(CLOSE, (1000).to_bytes(2, "big") + b"\xff"), 1007),
        (masked(TEXT, "é".encode()[:1], is_last=False) + masked(CONT, b"x"), 1007),
        (masked(TEXT, b"\xff") + masked(TEXT, b'{"op":"ping"}'), 1007),
        (
            masked(TEXT, b"xx", is_last=False) + b"\x80\xff" + (MAX_MESSAGE - 1).to_bytes(8, "big"),
            1009,
        ),
    ],
    ids=[
        "not masked",
        "nothing to go on with",
        "message within a message",
        "close within a message",
        "ping in fragments",
        "long ping",
        "bit of an extension",
        "code that is never sent",
        "reason that is no text",
        "fragments that are no text",
        "no text and then a command",
        "fragments too large together",
    ],
)
async def test_what_is_no_message_is_told_so_and_nothing_more(
    server: Server, said: bytes, code: int
) -> None:
    ws = await (await server.ws()).live()

    await ws.wire.send(said)
    closed = await ws.frame()
    await server.publish(task())

    assert (closed.opcode, closed.code) == (CLOSE, code)
    assert await ws.wire.rest() == b"", "nothing follows a close frame"
    await server.alone()


@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x0f\xa0reason"])
async def test_a_close_frame_is_answered_with_its_code(server: Server, payload: bytes) -> None:
    ws = await (await server.ws()).live()

    await ws.send(CLOSE, payload)

    assert await ws.frame() == Frame(CLOSE, payload)
    assert await ws.wire.rest() == b""
    await server.alone()


async def test_what_comes_with_the_handshake_is_heard_after_it(server: Server) -> None:
    wire = await server.wire()
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    command = masked(TEXT, PING_COMMAND)

    await wire.send(request_head("GET", "/v1/events/ws", handshake) + command[:9])
    ws = Socket(wire, await read_head(wire))
    await wire.send(command[9:])

    assert ws.head.status == 101
    # The example of RFC 6455, section 1.3.
    assert ws.head.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert (await ws.message())["control"] == "hello"
    assert (await ws.answer())["control"] == "ok"


# The order of answers


async def test_commands_that_wait_share_a_transaction(houses: Houses) -> None:
    store = StagedStore()
    server = await houses.open(store)
    ws = await (await server.ws("?type=COMMIT")).live()
    store.answers.clear()
    await ws.say(publishing(0))
    await until(lambda: store.transactions == 1, "the first is being stored")

    await ws.say(*(publishing(number) for number in range(1, 51)))
    await until(lambda: waiting(server) == 51, "the others wait")
    store.answers.set()
    answers = [await ws.answer() for _ in range(51)]

    assert [answer["ref"] for answer in answers] == list(range(51))
    assert [answer["events"][0]["seq"] for answer in answers] == list(range(1, 52))
    assert answers[-1]["bookmark"] == server.bookmark
    assert store.transactions == 2


async def test_whatever_is_answered_comes_in_the_order_of_the_commands(houses: Houses) -> None:
    store = StagedStore()
    server = await houses.open(store)
    ws = await (await server.ws("?type=COMMIT")).live()
    store.answers.clear()
    await ws.say(
        publishing(0, event_id="a"),
        publishing(1, event_id="a", data={"task_id": "T-2", "status": "open"}),
        publishing(2, type="NO_SUCH"),
        {"op": "ping", "ref": 3},
        publishing(4, event_id="a"),
        {"op": "subscribe", "ref": 5, "since": "all", "type": ["RISK_ALERT"]},
        {"op": "dance", "ref": 6},
        publishing(7, type="RISK_ALERT", data={"severity": "low", "message": "m"}),
        {"op": "unsubscribe", "ref": 8},
    )
    await until(lambda: waiting(server) == 2, "the first two wait to be stored")
    store.answers.set()

    answers = [await ws.answer() for _ in range(9)]

    assert [answer["ref"] for answer in answers] == list(range(9))
    said = [answer.get("status", "ok") for answer in answers]
    assert said == ["ok", 409, 422, "ok", "ok", "ok", 400, "ok", "ok"]
    assert answers[4]["events"] == [{"event_id": "a", "seq": 1, "duplicate": True}]
    assert answers[3]["bookmark"] == f"{server.service.log.epoch}-1", "the first was stored before"


async def test_a_queue_that_is_full_holds_commands_back_in_their_order(houses: Houses) -> None:
    store = StagedStore()
    server = await houses.open(store, max_queue_size=5, queue_timeout=PATIENCE)
    ws = await (await server.ws("?type=COMMIT")).live()
    store.answers.clear()
    await ws.say(*(publishing(number) for number in range(40)))
    await until(lambda: waiting(server) == 5, "the queue is full")
    store.answers.set()

    answers = [await ws.answer() for _ in range(40)]

    assert [answer["ref"] for answer in answers] == list(range(40))
    assert [answer["events"][0]["seq"] for answer in answers] == list(range(1, 41))


async def test_a_command_that_finds_no_room_in_time_is_refused(houses: Houses) -> None:
    store = StagedStore()
    server = await houses.open(store, max_queue_size=2, queue_timeout=0.05)
    ws, other = await server.ws("?type=COMMIT"), await server.ws("?type=COMMIT")
    await ws.live()
    store.answers.clear()
    await other.say(publishing(0), publishing(1))
    await until(lambda: waiting(server) == 2, "the queue is full")

    refused = await ws.ask(**publishing("r"))
    store.answers.set()

    assert (refused["ref"], refused["status"]) == ("r", 503)
    assert (await ws.ask(**publishing("again")))["control"] == "ok"


async def test_a_store_that_fails_is_told_to_each(houses: Houses) -> None:
    store = StagedStore()
    server = await houses.open(store)
    ws = await (await server.ws("?type=COMMIT")).live()
    store.failure = "disk full"

    await ws.say(*(publishing(number) for number in range(10)))
    answers = [await ws.answer() for _ in range(10)]

    assert [(answer["ref"], answer["status"]) for answer in answers] == [
        (n, 503) for n in range(10)
    ]
    assert {answer["detail"] for answer in answers} == {"disk full"}


# Who says more than is answered


async def test_who_says_more_than_can_be_stored_is_heard_no_further(houses: Houses) -> None:
    store = StagedStore()
    server = await houses.open(store)
    ws = await (await server.ws("?type=COMMIT")).live()
    [member] = server.house.members.values()
    store.answers.clear()

    flooding = asyncio.create_task(flood(ws, 10_000))
    await until(lambda: not member.transport.is_reading(), "it is heard no further")
    assert waiting(server) == MAX_UNANSWERED
    assert not flooding.done(), "the rest waits at the peer"
    store.answers.set()
    answers = [await ws.answer() for _ in range(10_000)]
    await flooding

    assert [answer["ref"] for answer in answers] == list(range(10_000))
    assert server.service.log.last == 10_000


async def test_who_is_heard_no_further_is_told_the_end_all_the_same(houses: Houses) -> None:
    store = StagedStore()
    server = await houses.open(store)
    ws = await (await server.ws("?type=COMMIT")).live()
    [member] = server.house.members.values()
    store.answers.clear()
    flooding = asyncio.create_task(flood(ws, 10_000))
    await until(lambda: not member.transport.is_reading(), "it is heard no further")

    member.connection.close("ended")
    await flooding  # nothing is obeyed any more, but all is read
    await ws.send(CLOSE, (4500).to_bytes(2, "big"))

    assert (await ws.message())["reason"] == "ended"
    assert (await ws.frame()).code == 4500
    assert await ws.wire.rest() == b"", "nothing follows a close frame"
    store.answers.set()
    await until(lambda: waiting(server) == 0, "what was taken is stored")
    assert server.service.log.last == MAX_UNANSWERED


async def test_who_reads_no_pong_is_heard_no_further(server: Server) -> None:
    """P5: it costs its socket's buffer, and no memory that grows."""
    ws = await (await server.ws()).live()
    [member] = server.house.members.values()
    pings = masked(PING, bytes(125)) * 80_000

    pinging = asyncio.create_task(ws.wire.send(pings))
    await until(lambda: not member.transport.is_reading(), "it is heard no further")
    assert member.transport.get_write_buffer_size() < 1024**2
    assert not pinging.done(), "the rest waits at the peer"
    pongs = [await ws.frame() for _ in range(80_000)]
    await pinging

    assert {frame.opcode for frame in pongs} == {PONG}
    assert (await ws.ask(op="ping", ref=1))["ref"] == 1


async def test_who_closes_is_answered_what_it_asked_before(houses: Houses) -> None:
    store = StagedStore()
    server = await houses.open(store)
    ws = await (await server.ws("?type=COMMIT")).live()
    store.answers.clear()
    commands = [publishing(number) for number in range(3)]
    said = [masked(TEXT, json.dumps(each).encode()) for each in commands]

    await ws.wire.send(b"".join(said) + masked(CLOSE, b"\x03\xe8"))
    await until(lambda: waiting(server) == 3, "they wait to be stored")
    store.answers.set()

    assert [(await ws.answer())["ref"] for _ in range(3)] == [0, 1, 2]
    assert await ws.frame() == Frame(CLOSE, b"\x03\xe8")
    assert await ws.wire.rest() == b""
    await server.alone()


async def test_what_was_taken_is_stored_when_the_peer_is_gone(houses: Houses) -> None:
    store = StagedStore()
    server = await houses.open(store)
    ws = await (await server.ws("?type=COMMIT")).live()
    store.answers.clear()
    await ws.say(*(publishing(number) for number in range(5)))
    await until(lambda: waiting(server) == 5, "they wait to be stored")

    ws.wire.socket.close()
    await server.alone()
    store.answers.set()

    await until(lambda: server.service.log.last == 5, "they are stored")


async def test_who_is_gone_waits_for_no_room(houses: Houses) -> None:
    store = StagedStore()
    server = await houses.open(store, max_queue_size=2, queue_timeout=PATIENCE)
    ws, other = await server.ws("?type=COMMIT"), await server.ws("?type=COMMIT")
    [member, _] = server.house.members.values()
    store.answers.clear()
    await other.say(publishing(0), publishing(1))
    await until(lambda: waiting(server) == 2, "the queue is full")
    flooding = asyncio.create_task(flood(ws, 10_000))
    await until(lambda: not member.transport.is_reading(), "its commands wait for room")

    member.abort()
    with pytest.raises(ConnectionError):
        await flooding
    await until(lambda: len(server.service.connections) == 1, "it is forgotten")
    store.answers.set()

    assert [(await other.answer())["ref"] for _ in range(2)] == [0, 1]
    assert (await other.ask(**publishing("last")))["events"][0]["seq"] == 3


async def test_answers_that_are_there_come_before_the_bye(houses: Houses) -> None:
    """And none after it: a transaction ends while the stream is ended, with more to be stored."""
    store = StagedStore()
    server = await houses.open(store, max_queue_size=5000)
    ws = await (await server.ws("?type=COMMIT")).live()
    [connection] = server.service.connections.values()
    many = [publishing(ref)["events"][0] for ref in range(1000)]
    store.answers.clear()

    async def publish_and_close() -> None:
        await server.publish(task())
        connection.close("ended")

    first = asyncio.create_task(server.publish(task()))
    await until(lambda: store.transactions == 1, "the others go into the next transaction")
    await ws.say(publishing(0), publishing(1))
    await until(lambda: waiting(server) == 3, "they wait")
    closing = asyncio.create_task(publish_and_close())
    await until(lambda: waiting(server) == 4, "it waits behind them")
    await ws.say(*({"op": "publish", "ref": ref, "events": many} for ref in (2, 3)))
    await until(lambda: waiting(server) == 2004, "more than one transaction takes")
    store.answers.set()

    assert [(await ws.answer())["ref"] for _ in range(2)] == [0, 1]
    assert (await ws.message())["control"] == "bye"
    assert (await ws.frame()).code == 4500
    await ws.send(CLOSE, (4500).to_bytes(2, "big"))
    assert await ws.wire.rest() == b"", "nothing follows a close frame"
    await asyncio.gather(first, closing)


async def test_nonsense_after_the_bye_is_answered_with_nothing(server: Server) -> None:
    ws = await (await server.ws()).live()
    [connection] = server.service.connections.values()

    connection.close("ended")
    await ws.wire.send(masked(PING, b"x") + b"\x83\x80\0\0\0\0")

    assert (await ws.message())["control"] == "bye"
    assert (await ws.frame()).code == 4500
    assert await ws.wire.rest() == b""
    await until(lambda: not server.house.followers, "it is forgotten")
