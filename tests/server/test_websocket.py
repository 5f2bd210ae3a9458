"""WebSockets: commands and their answers, heartbeats, and how they close."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from rtevents.core.filter import Filter
from rtevents.core.since import Since
from rtevents.server import stream as stream_module
from rtevents.server.publish import MAX_ARRAY
from rtevents.server.talker import MAX_MESSAGE

from .conftest import Houses, Server, StagedStore, risk, task
from .readers import (
    BINARY,
    CLOSE,
    PATIENCE,
    PING,
    PONG,
    TEXT,
    Frame,
    Object,
    Socket,
    read_head,
    request_head,
    until,
)

NEW_TASK = {"type": "TASK_UPDATE", "data": {"task_id": "T-1", "status": "open"}}


async def closing(ws: Socket) -> Frame:
    """Answer the server's close frame; return it when the server has hung up as well."""
    while (frame := await ws.frame()).opcode != CLOSE:
        pass
    await ws.send(CLOSE, frame.payload)
    assert await ws.wire.rest() == b"", "nothing follows a close frame"
    return frame


# The handshake


async def test_the_query_is_that_of_a_stream(server: Server) -> None:
    await server.publish(task(), risk(), task())
    ws = await server.ws(f"?type=TASK_UPDATE&since={server.service.log.epoch}-1")

    hello, event, live = await ws.until("live")

    assert hello["verdict"] == "complete"
    assert hello["filter"] == {"type": ["TASK_UPDATE"]}
    assert event["seq"] == 3
    assert live == {"control": "live", "bookmark": server.bookmark}


async def test_compression_is_not_negotiated(server: Server) -> None:
    ws = await server.ws(**{"Sec-WebSocket-Extensions": "permessage-deflate"})
    await server.publish(risk("x" * 1000))

    assert ws.head.status == 101
    assert "sec-websocket-extensions" not in ws.head.headers
    assert await ws.seqs(1) == [1]  # and no frame has a bit of an extension set


@pytest.mark.parametrize(
    ("path", "status"),
    [("?type=COMIT", 400), ("?since=a%20b", 400), ("?named=x&typ=", 400)],
)
async def test_a_query_that_cannot_be_read_is_refused_before_the_handshake(
    server: Server, path: str, status: int
) -> None:
    assert (await server.ws(path)).head.status == status
    assert server.service.connections == {}


async def test_a_plain_request_is_not_a_handshake(server: Server) -> None:
    answer = await server.owner.get("/v1/events/ws")

    assert answer.status == 400
    assert answer.json["detail"] == "expected a WebSocket handshake"
    assert server.service.connections == {}


@pytest.mark.parametrize("size", [10, 125, 126, 65_000, 66_000, 1_000_000])
async def test_an_event_of_any_size_is_one_frame(server: Server, size: int) -> None:
    ws = await (await server.ws()).live()
    await server.publish(risk("x" * size))

    message = await ws.message()

    assert message["data"]["message"] == "x" * size


# Commands


async def test_publish_stores_all_and_answers_with_the_ref(server: Server) -> None:
    ws = await (await server.ws("?type=COMMIT")).live()
    events = [{**NEW_TASK, "event_id": "a"}, {**NEW_TASK, "event_id": "b"}]

    answer = await ws.ask(op="publish", ref={"any": ["thing"]}, events=[*events, events[0]])

    assert answer == {
        "control": "ok",
        "ref": {"any": ["thing"]},
        "events": [
            {"event_id": "a", "seq": 1, "duplicate": False},
            {"event_id": "b", "seq": 2, "duplicate": False},
            {"event_id": "a", "seq": 1, "duplicate": True},
        ],
        "bookmark": server.bookmark,
    }


async def test_nothing_of_a_refused_list_is_stored(server: Server) -> None:
    ws = await server.ws()

    answer = await ws.ask(
        op="publish", ref=3, events=[NEW_TASK, {"type": "TASK_UPDATE", "data": {}}]
    )

    assert answer == {
        "control": "error",
        "ref": 3,
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "data.task_id: missing field",
        "index": 1,
        "field": "data.task_id",
    }
    assert server.service.log.last == 0


@pytest.mark.parametrize(
    ("event", "status", "field"),
    [
        ({"type": "NO_SUCH", "data": {}}, 422, "type"),
        ({"type": "TASK_UPDATE"}, 422, "data"),
        ({**NEW_TASK, "source": "rtevents/git"}, 422, "source"),
        ({**NEW_TASK, "more": 1}, 422, "more"),
        (7, 422, None),
    ],
)
async def test_a_refused_event_is_named_by_its_index_and_field(
    server: Server, event: object, status: int, field: str | None
) -> None:
    ws = await server.ws()

    answer = await ws.ask(op="publish", events=[NEW_TASK, event, NEW_TASK])

    assert (answer["status"], answer["index"], answer.get("field")) == (status, 1, field)
    assert server.service.log.last == 0


async def test_a_list_is_as_long_as_an_array_may_be(server: Server) -> None:
    ws = await server.ws("?type=COMMIT")

    at_most = await ws.ask(op="publish", events=[NEW_TASK] * MAX_ARRAY)
    one_more = await ws.ask(op="publish", events=[NEW_TASK] * (MAX_ARRAY + 1))

    assert at_most["control"] == "ok"
    assert (one_more["status"], one_more["detail"]) == (413, "more than 1000 events at once")
    assert server.service.log.last == MAX_ARRAY


async def test_ping_tells_the_bookmark(server: Server) -> None:
    await server.publish(task())
    ws = await server.ws()

    assert await ws.ask(op="ping") == {"control": "ok", "ref": None, "bookmark": server.bookmark}


async def test_subscribe_replaces_the_filter_and_begins_where_it_is_told(server: Server) -> None:
    await server.publish(task(), risk(), task(), risk())
    ws = await (await server.ws("?type=COMMIT")).live()

    answer = await ws.ask(op="subscribe", ref=1, type=["RISK_ALERT"], since="all")

    assert answer["filter"] == {"type": ["RISK_ALERT"]}
    assert answer["bookmark"] == f"{server.service.log.epoch}-0"
    messages = await ws.until("live")
    assert [message.get("seq") for message in messages] == [2, 4, None]
    await server.publish(task(), risk())
    assert await ws.seqs(1) == [6]


async def test_subscribe_begins_at_a_time_that_is_a_number(server: Server) -> None:
    await server.publish(task())
    ws = await (await server.ws()).live()

    answer = await ws.ask(op="subscribe", since=1e9)

    assert (answer["bookmark"], answer["verdict"]) == (f"{server.service.log.epoch}-0", "complete")
    assert await ws.seqs(1) == [1]


async def test_subscribe_tells_what_is_missing_at_the_place_that_it_names(server: Server) -> None:
    await server.publish(task(), risk(), task(), risk())
    await server.service.log.retain(2, 0, 0)
    epoch = server.service.log.epoch
    ws = await (await server.ws("?type=COMMIT")).live()

    for since, verdict, missing in (
        (f"{epoch}-1", "truncated", (1, 3, "trimmed")),
        (f"{epoch}-9", "truncated", (4, 10, "ahead")),
        ("0a1b2c3d-1", "other-epoch", (0, 3, "other-epoch")),
        ("no-such-id", "unknown-id", (0, 3, "unknown-id")),
    ):
        answer = await ws.ask(op="subscribe", since=since)
        gap, *events, _live = await ws.until("live")

        assert answer["verdict"] == verdict
        assert (gap["after"], gap["before"], gap["reason"]) == missing
        assert [event["seq"] for event in events] == ([] if "ahead" in missing else [3, 4])


async def test_subscribe_can_begin_with_the_newest_of_each_type(server: Server) -> None:
    await server.publish(task(), risk(), task(), risk())
    ws = await (await server.ws()).live()

    answer = await ws.ask(op="subscribe", since="last-per-type")
    *newest, _live = await ws.until("live")
    await server.publish(task())

    assert answer["bookmark"] == f"{server.service.log.epoch}-4"
    assert [event["seq"] for event in newest] == [3, 4]
    assert await ws.seqs(1) == [5]


async def test_what_is_missing_is_told_though_the_filter_is_changed_at_once(
    server: Server,
) -> None:
    await server.publish(task(), risk(), task(), risk())
    await server.service.log.retain(2, 0, 0)
    ws = await (await server.ws()).live()
    [member] = server.house.members.values()
    trimmed = await server.service.log.start(
        Since(bookmark=server.service.log.bookmark(1)), Filter()
    )
    newest = await server.service.log.start(Since(word="last-per-type"), Filter())

    server.fanout.change(member, Filter(), trimmed)
    server.fanout.change(member, Filter(types=frozenset({"RISK_ALERT"})))
    first = await ws.until("live")
    server.fanout.change(member, Filter(), newest)
    server.fanout.change(member, Filter(types=frozenset({"COMMIT"})))
    second = await ws.until("live")

    assert [message.get("seq", message.get("control")) for message in first] == ["gap", 4, "live"]
    assert [message["control"] for message in second] == ["live"]


async def test_subscribe_takes_every_key_of_a_filter(server: Server) -> None:
    ws = await server.ws()
    keys: Object = {
        "type": ["FILE_CHANGE"],
        "not_type": ["COMMIT"],
        "project": ["web"],
        "source": ["editor"],
        "path": ["src/**"],
    }

    assert (await ws.ask(op="subscribe", **keys))["filter"] == keys


async def test_subscribe_without_since_goes_on_from_the_very_place_while_events_pour_in(
    server: Server,
) -> None:
    ws = await (await server.ws("?type=TASK_UPDATE")).live()

    async def pour() -> None:
        for _ in range(300):
            await server.publish(task(), risk(), task(), risk(), risk())

    pouring = asyncio.create_task(pour())
    places, seqs, bookmark = [(0, "TASK_UPDATE")], [], ""
    for number in range(30):
        kind = "RISK_ALERT" if number % 2 == 0 else "TASK_UPDATE"
        await ws.say(op="subscribe", ref=number, type=[kind])
        while (message := await ws.message()).get("ref") != number:
            seqs += [message["seq"]] if "seq" in message else []
        bookmark = message["bookmark"]
        places.append((int(bookmark.split("-")[1]), kind))
    await pouring

    expected: list[int] = []
    ends = [place for place, _ in places[1:]] + [1500]
    for (after, kind), end in zip(places, ends, strict=True):
        tasks = kind == "TASK_UPDATE"
        expected += [n for n in range(after + 1, end + 1) if (n % 5 in (1, 3)) == tasks]
    seqs += await ws.seqs(len(expected) - len(seqs))
    assert seqs == expected
    assert len({place for place, _ in places}) > 3, "it was subscribed at different places"


async def test_unsubscribe_stops_events_and_keeps_the_place(server: Server) -> None:
    ws = await (await server.ws()).live()
    await server.publish(task())
    assert await ws.seqs(1) == [1]

    stopped = await ws.ask(op="unsubscribe", ref="u")
    await server.publish(risk(), task())
    pong = await ws.ask(op="ping", ref="p")
    await ws.say(op="subscribe", ref="s", type=["TASK_UPDATE"])
    answer = await ws.message()

    assert stopped["bookmark"] == pong["bookmark"] == answer["bookmark"]
    assert (answer["control"], answer["ref"]) == ("ok", "s")
    assert await ws.seqs(1) == [3]


async def test_who_unsubscribed_gets_nothing_at_the_end_either(server: Server) -> None:
    ws = await (await server.ws()).live()
    await ws.ask(op="unsubscribe")
    await server.publish(task())

    stopping = asyncio.create_task(server.stop())
    bye = await ws.message()
    await closing(ws)
    await stopping

    assert (bye["control"], bye["bookmark"]) == ("bye", f"{server.service.log.epoch}-0")


async def test_unsubscribe_in_the_midst_of_a_replay_and_subscribe_again_loses_nothing(
    houses: Houses,
) -> None:
    server = await houses.open(event_retention=100)
    await server.fill(5000)
    ws = await server.ws("?since=all")
    seqs = await ws.seqs(10)
    for _ in range(5):
        await ws.say(op="unsubscribe", ref="u")
        while (message := await ws.message()).get("ref") != "u":
            seqs += [message["seq"]] if "seq" in message else []
        await ws.say(op="subscribe", ref="s")
        assert (await ws.message())["ref"] == "s"

    assert seqs + await ws.seqs(5000 - len(seqs)) == list(range(1, 5001))


async def test_commands_are_answered_in_order(server: Server) -> None:
    ws = await (await server.ws("?type=COMMIT")).live()
    for number in range(200):
        if number % 2:
            await ws.say(op="publish", ref=number, events=[NEW_TASK])
        else:
            await ws.say(op="ping", ref=number)

    assert [(await ws.answer())["ref"] for _ in range(200)] == list(range(200))


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("{", "not JSON: it ends too early, or with half of a surrogate pair"),
        ("[]", "expected object, got array"),
        ("{}", "op: missing field"),
        ('{"op":"dance"}', "op: expected one of subscribe, unsubscribe, publish, ping"),
        ('{"op":"subscribe","type":["COMIT"]}', "unknown event type 'COMIT', did you mean COMMIT?"),
        ('{"op":"subscribe","type":"COMMIT"}', "type: expected array, got str"),
        ('{"op":"subscribe","since":"a b"}', "not a time, a bookmark or an event id: 'a b'"),
        ('{"op":"subscribe","since":[1]}', "since: expected float | str | null, got array"),
        ('{"op":"subscribe","events":[{}]}', "events: not a field of subscribe"),
        ('{"op":"unsubscribe","type":["COMMIT"]}', "type: not a field of unsubscribe"),
        ('{"op":"unsubscribe","since":"all"}', "since: not a field of unsubscribe"),
        ('{"op":"ping","path":["a"]}', "path: not a field of ping"),
        ('{"op":"publish","events":[{}],"project":["web"]}', "project: not a field of publish"),
        ('{"op":"publish","events":{}}', "events: expected array, got object"),
        ('{"op":"ping","ref":' + "[" * 100_000, "not acceptable JSON: nested too deeply"),
        ('{"op":"ping","ref":NaN}', "not JSON: invalid character"),
        ('{"op":"ping\\ud800"}', "not JSON: "),
    ],
)
async def test_a_command_that_cannot_be_obeyed_is_answered_and_changes_nothing(
    server: Server, text: str, detail: str
) -> None:
    ws = await (await server.ws("?type=TASK_UPDATE")).live()

    await ws.send(TEXT, text.encode())
    answer = await ws.answer()
    await server.publish(risk(), task())

    assert (answer["control"], answer["status"]) == ("error", 400)
    assert answer["detail"].startswith(detail)
    assert await ws.seqs(1) == [2]


async def test_a_binary_message_is_answered_with_an_error(server: Server) -> None:
    ws = await (await server.ws()).live()

    await ws.send(BINARY, json.dumps({"op": "ping"}).encode())

    assert (await ws.answer())["detail"] == "expected a text message"
    assert (await ws.ask(op="ping"))["control"] == "ok"


async def test_a_ping_is_answered_with_its_payload(server: Server) -> None:
    ws = await (await server.ws()).live()

    await ws.send(PING, b"are you there")

    assert await ws.frame() == Frame(PONG, b"are you there")


async def test_a_peer_that_does_not_read_its_answers_is_cut_off(houses: Houses) -> None:
    """Its commands would fill the memory with answers else."""
    server = await houses.open(send_timeout=0.3)
    ws = await (await server.ws()).live()
    command = json.dumps({"op": "x" * 100, "ref": "y" * 1000}).encode()

    async def insist() -> None:
        while True:
            await ws.send(TEXT, command)
            for member in server.house.members.values():
                assert member.transport.get_write_buffer_size() < 100_000

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(insist(), PATIENCE)
    await server.alone()


# Heartbeats


async def test_a_heartbeat_is_the_bookmark_the_health_and_a_ping(houses: Houses) -> None:
    server = await houses.open(heartbeat_interval=0.1)
    ws = await (await server.ws("?type=COMMIT")).live()
    await server.publish(task())

    frames = [await ws.frame() for _ in range(3)]

    mark, health = json.loads(frames[0].payload), json.loads(frames[1].payload)
    assert mark == {"control": "bookmark", "bookmark": server.bookmark}
    assert health["type"] == "HEALTH_CHECK"
    assert frames[2] == Frame(PING, b"")


@pytest.mark.parametrize(("interval", "timeout"), [(0.3, 0.1), (0.1, 0.25)])
async def test_who_does_not_answer_a_ping_is_closed(
    houses: Houses, interval: float, timeout: float
) -> None:
    """Also where the next heartbeat comes before the time for an answer is over."""
    server = await houses.open(heartbeat_interval=interval, pong_timeout=timeout)
    ws = await (await server.ws()).live()

    bye = (await ws.until("bye"))[-1]

    assert bye["reason"] == "no pong"
    assert (await closing(ws)).code == 4010


@pytest.mark.parametrize("opcode", [PONG, TEXT])
async def test_who_answers_stays(houses: Houses, opcode: int) -> None:
    server = await houses.open(heartbeat_interval=1.0, pong_timeout=0.95)
    ws = await (await server.ws()).live()

    pings = 0
    while pings < 3:
        if (await ws.frame()).opcode == PING:
            pings += 1
            await ws.send(opcode, b"" if opcode == PONG else b'{"op":"ping"}')

    assert len(server.service.connections) == 1


async def test_who_unsubscribed_gets_heartbeats_and_has_to_answer_them(houses: Houses) -> None:
    """Else it would be cleaned up, since nothing comes or goes."""
    server = await houses.open(heartbeat_interval=1.0, pong_timeout=0.95)
    ws = await (await server.ws()).live()
    place = (await ws.ask(op="unsubscribe"))["bookmark"]
    await server.publish(task())

    for _ in range(3):
        assert (await ws.message())["bookmark"] == place
        assert (await ws.message())["type"] == "HEALTH_CHECK"
        assert await ws.frame() == Frame(PING, b"")
        await ws.send(PONG)
    bye = (await ws.until("bye"))[-1]

    assert (bye["reason"], bye["bookmark"]) == ("no pong", place)


# The end


async def test_a_peer_that_closes_is_answered_and_forgotten(server: Server) -> None:
    ws = await (await server.ws()).live()

    await ws.send(CLOSE, (1000).to_bytes(2, "big"))
    frame = await ws.frame()

    assert (frame.opcode, frame.code) == (CLOSE, 1000)
    assert await ws.wire.rest() == b""
    await server.alone()


async def test_nothing_follows_the_close_frame_while_events_pour_in(server: Server) -> None:
    sockets = [await (await server.ws()).live() for _ in range(10)]

    async def pour() -> None:
        for number in range(300):
            await server.publish(task(number))

    pouring = asyncio.create_task(pour())
    for ws in sockets:
        await ws.seqs(10)
        await ws.send(CLOSE, (1001).to_bytes(2, "big"))
        while (await ws.frame()).opcode != CLOSE:
            pass
        assert await ws.wire.rest() == b""
    await pouring
    await server.alone()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\xff" + (MAX_MESSAGE + 1).to_bytes(8, "big") + b"\0\0\0\0", 1009),
        (b"\x81\x81\0\0\0\0\xff", 1007),
        (b"\x83\x80\0\0\0\0", 1002),
        (b"\x88\x81\0\0\0\0\3", 1002),
    ],
    ids=["too large", "not UTF-8", "reserved opcode", "half a code"],
)
async def test_what_is_no_message_ends_the_stream_with_a_close_frame(
    server: Server, frame: bytes, code: int
) -> None:
    ws = await (await server.ws()).live()
    await ws.wire.send(frame)

    closed = await ws.frame()
    await server.publish(task())

    assert (closed.opcode, closed.code) == (CLOSE, code)
    assert await ws.wire.rest() == b"", "nothing follows a close frame"
    await server.alone()


async def test_the_shutdown_is_told_with_what_was_stored_before(server: Server) -> None:
    sockets = [await (await server.ws()).live() for _ in range(5)]
    publishing = asyncio.create_task(server.publish(*(task(number) for number in range(900))))
    await asyncio.sleep(0)  # they are queued

    stopping = asyncio.create_task(server.stop())
    for ws in sockets:
        *events, bye = await ws.until("bye")
        assert [event["seq"] for event in events] == list(range(1, 901))
        assert (bye["reason"], bye["bookmark"]) == ("shutdown", f"{server.service.log.epoch}-900")
        assert (await closing(ws)).code == 1001
    await stopping
    await publishing


async def test_a_publisher_is_answered_before_the_shutdown_is_told(houses: Houses) -> None:
    store = StagedStore()
    server = await houses.open(store)
    ws = await (await server.ws("?type=COMMIT")).live()
    store.answers.clear()
    await ws.say(op="publish", ref=1, events=[NEW_TASK] * 900)
    await until(lambda: server.service.statistics().queue["size"] == 900, "they are queued")

    stopping = asyncio.create_task(server.stop())
    await asyncio.sleep(0)
    store.answers.set()

    assert (await ws.message())["control"] == "ok"
    assert (await ws.message())["control"] == "bye"
    assert (await closing(ws)).code == 1001
    await stopping


@pytest.mark.parametrize(
    ("reason", "code"),
    [("ended", 4500), ("inactive", 4009), ("error", 4000), ("shutdown", 1001)],
)
async def test_every_reason_has_its_close_code(server: Server, reason: str, code: int) -> None:
    ws = await (await server.ws()).live()
    [connection] = server.service.connections.values()

    connection.close(reason)

    assert (await ws.message())["reason"] == reason
    assert (await closing(ws)).code == code
    await server.alone()


async def test_no_command_is_obeyed_after_the_bye(server: Server) -> None:
    ws = await (await server.ws()).live()
    [connection] = server.service.connections.values()
    connection.close("ended")
    for command in ({"op": "subscribe", "since": "all"}, {"op": "publish", "events": [NEW_TASK]}):
        await ws.say(**command)
    await server.publish(task())

    assert (await ws.message())["control"] == "bye"
    assert (await closing(ws)).code == 4500
    await server.alone()
    assert server.service.log.last == 1
    assert not server.fanout._climbing


async def test_a_peer_that_does_not_answer_the_close_frame_is_cut_off(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "GOODBYE", 0.2)
    ws = await (await server.ws()).live()
    [connection] = server.service.connections.values()

    connection.close("ended")

    await ws.wire.rest()
    await server.alone()


# Who may


async def open_as(server: Server, role: str, query: str = "", **grant: Any) -> Socket:
    """Open a WebSocket by TCP with a token."""
    headers = {"Authorization": f"Bearer {server.token(role, **grant)}", **server.host}
    return await Socket.open(await server.wire(server.tcp), query, headers)


async def test_a_viewer_publishes_nothing(server: Server) -> None:
    ws = await open_as(server, "viewer")

    answer = await ws.ask(op="publish", events=[NEW_TASK])

    assert (answer["status"], server.service.log.last) == (403, 0)


async def test_a_publisher_sees_nothing(server: Server) -> None:
    assert (await open_as(server, "publisher")).head.status == 403


async def test_a_subscription_stays_within_the_grant(server: Server) -> None:
    ws = await open_as(server, "viewer", projects=["web"])

    beyond = await ws.ask(op="subscribe", project=["api"])
    within = await ws.ask(op="subscribe", type=["RISK_ALERT"], since="all")
    await server.publish(risk(project_id="api"), risk(project_id="web"), risk())

    assert beyond["status"] == 403
    assert within["filter"] == {"type": ["RISK_ALERT"], "project": ["web"]}
    assert await ws.seqs(1) == [2]


async def test_no_websocket_outlives_its_token(server: Server) -> None:
    ws = await open_as(server, "viewer", expires_in=1.0)

    assert (await ws.until("bye"))[-1]["reason"] == "ended"
    assert (await closing(ws)).code == 4500


async def test_a_handshake_of_another_version_is_refused(server: Server) -> None:
    wire = await server.wire()
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "12",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    await wire.send(request_head("GET", "/v1/events/ws", handshake))

    assert (await read_head(wire)).status == 400
    assert server.service.connections == {}


@pytest.mark.parametrize(
    ("command", "field"),
    [
        ({"op": "publish", "ref": 1, "event": {}}, "event"),
        ({"op": "publish", "ref": 1}, "events"),
        ({"op": "subscribe", "ref": 1, "types": ["RISK_ALERT"]}, "types"),
        ({"op": 7, "ref": 1}, "op"),
    ],
)
async def test_a_command_that_asks_for_nothing_known_is_refused_with_its_ref(
    server: Server, command: dict[str, Any], field: str
) -> None:
    socket = await (await server.ws()).live()

    answer = await socket.ask(**command)

    assert (answer["ref"], answer["field"]) == (1, field)
