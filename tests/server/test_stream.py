"""SSE and NDJSON streams: hello, gap, live, bye, and where a reader begins."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest

from rtevents.core.event import Event
from rtevents.server import stream as stream_module
from rtevents.server.wire import RETRY_MS, RETRY_SPREAD_MS
from rtevents.stores.memory import MemoryStore

from .conftest import Houses, Server, StagedStore, risk, task
from .readers import PATIENCE, Message, Stream, read_head, request_head, until


def file_change(path: str, **fields: Any) -> Event:
    """Return a FILE_CHANGE."""
    data = {"file_path": path, "change_type": "modified"}
    return Event(**{"type": "FILE_CHANGE", "data": data, **fields})


async def fill(server: Server) -> None:
    """Store five events that differ in what a filter looks at."""
    await server.publish(
        task(project_id="web", source="ci"),
        risk(project_id="web", source="monitor"),
        risk(project_id="api", source="ci"),
        file_change("src/app/main.py", project_id="web", source="editor"),
        file_change("docs/a, b.md", project_id="api", source="editor"),
    )


def position(message: Message) -> int:
    """Return the seq of a message's bookmark."""
    return int(message.id.split("-")[1])


# Frames


async def test_a_stream_begins_with_hello(server: Server) -> None:
    await fill(server)

    stream = await server.stream("?type=RISK_ALERT&project=web")
    hello = await stream.next()

    [connection] = server.service.connections
    assert hello.event == "hello"
    assert hello.json == {
        "connection_id": connection,
        "epoch": server.service.log.epoch,
        "bookmark": server.bookmark,
        "verdict": "new",
        "filter": {"type": ["RISK_ALERT"], "project": ["web"]},
    }
    assert hello.id == server.bookmark
    assert RETRY_MS <= (stream.parser.retry or 0) < RETRY_MS + RETRY_SPREAD_MS


async def test_the_head_keeps_proxies_from_holding_events_back(server: Server) -> None:
    stream = await server.stream()

    assert stream.head.status == 200
    assert stream.head.headers["content-type"] == "text/event-stream"
    assert stream.head.headers["cache-control"] == "no-store"
    assert stream.head.headers["x-accel-buffering"] == "no"
    assert stream.head.headers["transfer-encoding"] == "chunked"
    assert "server" not in stream.head.headers


async def test_a_new_reader_is_live_at_once_and_gets_what_comes(server: Server) -> None:
    await fill(server)
    stream = await server.stream()

    _, live = await stream.until("live")
    await server.publish(task(7))
    message = await stream.next()

    assert live.json == {"bookmark": f"{server.service.log.epoch}-5"}
    assert (message.event, position(message)) == ("message", 6)
    assert message.json["data"] == {"task_id": "T-7", "status": "open"}


async def test_what_was_comes_before_live_and_what_comes_after_it(server: Server) -> None:
    await fill(server)
    stream = await server.stream("?since=all")

    messages = await stream.until("live")
    await server.publish(task())

    assert [message.event for message in messages] == ["hello", *["message"] * 5, "live"]
    assert [position(message) for message in messages[1:-1]] == [1, 2, 3, 4, 5]
    assert position(await stream.next()) == 6


async def test_ndjson_has_the_same_frames_as_lines(server: Server) -> None:
    await fill(server)
    stream = await server.stream("?since=all", Accept="application/x-ndjson")

    messages = await stream.until("live")

    assert stream.head.headers["content-type"] == "application/x-ndjson"
    assert [message.event for message in messages] == ["hello", *["message"] * 5, "live"]
    assert [message.json["seq"] for message in messages[1:-1]] == [1, 2, 3, 4, 5]
    assert messages[-1].json == {"control": "live", "bookmark": server.bookmark}


async def test_a_named_stream_has_the_types_as_names_and_the_same_data(server: Server) -> None:
    await fill(server)
    plain = await (await server.stream("?since=all")).until("live")
    named = await (await server.stream("?since=all&named=1")).until("live")

    assert [message.event for message in named[1:-1]] == [
        message.json["type"] for message in plain[1:-1]
    ]
    assert [message.data for message in named[1:-1]] == [message.data for message in plain[1:-1]]


async def test_an_ended_stream_says_bye_and_hangs_up(server: Server) -> None:
    stream = await (await server.stream()).live()
    [connection] = server.service.connections
    answer = await server.owner.ask("DELETE", f"/v1/connections/{connection}")

    [bye] = await stream.end()
    assert answer.status == 204
    assert (bye.event, bye.id) == ("bye", server.bookmark)
    assert bye.json == {"reason": "ended", "bookmark": server.bookmark}
    assert stream.head.headers["connection"] == "close"
    assert await asyncio.get_running_loop().sock_recv(stream.wire.socket, 1) == b""


# What a stream does not take


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("?type=RISK_ALLERT", "unknown event type 'RISK_ALLERT', did you mean RISK_ALERT?"),
        ("?not_type=COMIT", "unknown event type 'COMIT', did you mean COMMIT?"),
        ("?typ=COMMIT", "unknown parameter 'typ', expected one of"),
        ("?since=a%20b", "not a time, a bookmark or an event id: 'a b'"),
        ("?since=%C3%A9", "not a time, a bookmark or an event id: 'é'"),
        ("?last_event_id=%00", "not a time, a bookmark or an event id: '\\x00'"),
        ("?path=" + "x" * 1025, "path: a glob of 1025 characters, expected 1 to 1024"),
    ],
)
async def test_a_query_that_cannot_be_read_is_refused(
    server: Server, query: str, detail: str
) -> None:
    answer = await server.owner.get(f"/v1/events/stream{query}")

    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["detail"].startswith(detail)
    assert server.service.connections == {}


async def test_a_stream_needs_http_1_1(server: Server) -> None:
    wire = await server.wire()
    await wire.send(b"GET /v1/events/stream HTTP/1.0\r\nHost: localhost\r\n\r\n")
    head = await read_head(wire)
    body = await wire.rest()

    assert head.status == 400
    assert json.loads(body)["detail"] == "a stream needs HTTP/1.1"
    assert server.service.connections == {}


# Filters

FILTERS = [
    ("", [1, 2, 3, 4, 5]),
    ("type=TASK_UPDATE", [1]),
    ("type=task-update", [1]),
    ("type=TASK_UPDATE,RISK_ALERT", [1, 2, 3]),
    ("type=TASK_UPDATE&type=FILE_CHANGE", [1, 4, 5]),
    ("not_type=RISK_ALERT", [1, 4, 5]),
    ("type=RISK_ALERT&not_type=RISK_ALERT", []),
    ("project=web", [1, 2, 4]),
    ("project=web&type=RISK_ALERT", [2]),
    ("project=web,api&source=ci", [1, 3]),
    ("source=ci&source=monitor", [1, 2, 3]),
    ("path=src/**", [4]),
    ("path=src/*", []),
    ("path=**/*.py&path=docs/a, b.md", [4, 5]),
    ("path=docs/**&project=api", [5]),
    ("project=none", []),
]


@pytest.mark.parametrize(("query", "seqs"), FILTERS)
async def test_a_filter_holds_for_what_was_and_for_what_comes(
    server: Server, query: str, seqs: list[int]
) -> None:
    await fill(server)
    stream = await server.stream(f"?since=all&{quote(query, safe='=&,*/')}")
    replayed = await stream.until("live")
    await fill(server)
    [connection] = server.service.connections.values()
    await until(lambda: connection.position == 10, "everything is served or hidden")

    assert [position(message) for message in replayed[1:-1]] == seqs
    assert await stream.seqs(len(seqs)) == [seq + 5 for seq in seqs]
    assert connection.delivered == 2 * len(seqs)


# Where a reader begins


@pytest.mark.parametrize(
    ("since", "seqs"),
    [
        ("all", [1, 2, 3, 4, 5]),
        ("new", []),
        ("last", [5]),
        ("last-per-type", [1, 3, 5]),
        ("1h", [3, 4, 5]),
        ("1000000050", [2, 3, 4, 5]),
        ("2001-09-09T01:48:20Z", [3, 4, 5]),
        ("9999999999", []),
    ],
)
async def test_since_takes_what_people_write(houses: Houses, since: str, seqs: list[int]) -> None:
    now = time.time()
    times = iter([1e9, 1e9 + 60, now - 60, now, now])
    server = await houses.open(MemoryStore(clock=lambda: next(times)))
    # A publisher's own idea of the time moves nobody's place.
    for event in (task(timestamp=1e11), risk(), risk(), file_change("a"), file_change("b")):
        await server.publish(event)

    stream = await server.stream(f"?since={quote(since)}")
    hello, *messages, _ = await stream.until("live")

    assert [position(message) for message in messages] == seqs
    assert hello.json["verdict"] == ("new" if since == "new" else "complete")


async def test_the_last_ones_of_each_type_are_within_the_filter(server: Server) -> None:
    await fill(server)
    stream = await server.stream("?since=last-per-type&project=web")

    _, *messages, live = await stream.until("live")

    assert [position(message) for message in messages] == [1, 2, 4]
    assert position(live) == 5


WAYS = ("header", "last_event_id", "since")


def by_way(**places: str) -> tuple[str, Mapping[str, str]]:
    """Return the query and the headers that name places in some of the three ways."""
    pairs = [f"{way}={quote(place)}" for way, place in places.items() if way != "header"]
    headers = {"Last-Event-ID": places["header"]} if "header" in places else {}
    return "?" + "&".join(pairs), headers


@pytest.mark.parametrize("form", ["bookmark", "event_id"])
@pytest.mark.parametrize("way", WAYS)
async def test_a_place_is_taken_in_all_three_ways(server: Server, way: str, form: str) -> None:
    await server.publish(task(event_id="a"), task(event_id="b"), task(event_id="c"))
    place = "b" if form == "event_id" else f"{server.service.log.epoch}-2"

    query, headers = by_way(**{way: place})
    hello, message, _ = await (await server.stream(query, **headers)).until("live")

    assert (hello.json["verdict"], position(hello)) == ("complete", 2)
    assert message.json["event_id"] == "c"


@pytest.mark.parametrize(
    ("places", "seqs"),
    [
        ({"header": "c", "last_event_id": "b", "since": "a"}, [4]),
        ({"last_event_id": "b", "since": "a"}, [3, 4]),
        ({"header": "c", "since": "a"}, [4]),
        ({"header": "", "last_event_id": "b", "since": "a"}, [3, 4]),
        ({"header": "", "last_event_id": "", "since": "a"}, [2, 3, 4]),
        ({"header": "", "last_event_id": "", "since": ""}, []),
        ({"header": "all", "since": "new"}, [1, 2, 3, 4]),
    ],
)
async def test_the_header_comes_before_last_event_id_and_that_before_since(
    server: Server, places: dict[str, str], seqs: list[int]
) -> None:
    await server.publish(*(task(event_id=name) for name in "abcd"))

    query, headers = by_way(**places)
    _, *messages, _ = await (await server.stream(query, **headers)).until("live")

    assert [position(message) for message in messages] == seqs


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("place", "verdict", "gap"),
    [
        ("EPOCH-3", "complete", None),
        ("EPOCH-99", "truncated", (3, 100, "ahead")),
        ("EPOCH-999999999999999999", "truncated", (3, 10**18, "ahead")),
        ("EPOCH--5", "unknown-id", (0, 1, "unknown-id")),
        ("-5", "unknown-id", (0, 1, "unknown-id")),
        ("00000000-2", "other-epoch", (0, 1, "other-epoch")),
        ("no-such-event", "unknown-id", (0, 1, "unknown-id")),
        ("EPOCH-9999999999999999999", "unknown-id", (0, 1, "unknown-id")),
    ],
)
async def test_an_odd_place_has_a_verdict_and_a_gap(
    server: Server, way: str, place: str, verdict: str, gap: tuple[int, int, str] | None
) -> None:
    await server.fill(3)

    query, headers = by_way(**{way: place.replace("EPOCH", server.service.log.epoch)})
    hello, *rest, live = await (await server.stream(query, **headers)).until("live")

    assert hello.json["verdict"] == verdict
    if gap is None:
        assert rest == []
    else:
        told = rest.pop(0)
        assert told.event == "gap"
        assert (told.json["after"], told.json["before"], told.json["reason"]) == gap
        assert position(told) == (3 if gap[2] == "ahead" else 0)
        assert [position(message) for message in rest] == ([] if gap[2] == "ahead" else [1, 2, 3])
    assert position(live) == 3


@pytest.mark.parametrize("place", ["é".encode(), b"a b", b"\xff", b"x" * 129, b"x" * 10_000])
async def test_a_last_event_id_that_is_none_is_refused(server: Server, place: bytes) -> None:
    wire = await server.wire()
    await wire.send(
        b"GET /v1/events/stream HTTP/1.1\r\nHost: x\r\nLast-Event-ID: " + place + b"\r\n\r\n"
    )

    assert (await read_head(wire)).status == 400
    assert server.service.connections == {}


async def test_a_place_before_what_is_kept_is_truncated(server: Server) -> None:
    await server.fill(9)
    await server.service.log.retain(4, 0, 0)

    stream = await server.stream(f"?since={server.service.log.epoch}-2")
    hello, gap, *messages, _ = await stream.until("live")

    assert (hello.json["verdict"], position(hello)) == ("truncated", 2)
    assert gap.json == {
        "after": 2,
        "before": 6,
        "reason": "trimmed",
        "bookmark": f"{server.service.log.epoch}-5",
    }
    assert [position(message) for message in messages] == [6, 7, 8, 9]


async def test_a_reader_that_was_told_a_gap_ahead_misses_nothing_when_it_comes_back(
    server: Server,
) -> None:
    """Its old bookmark would skip what fills the log up to there."""
    await server.fill(3)
    stream = await server.stream(f"?since={server.service.log.epoch}-5")
    _, gap = await stream.until("gap")
    await server.fill(4)

    again = await server.stream(**{"Last-Event-ID": gap.id})

    assert await again.seqs(4) == [4, 5, 6, 7]


# The heartbeat


async def test_a_heartbeat_moves_the_bookmark_of_a_reader_whose_filter_hides_all(
    houses: Houses,
) -> None:
    server = await houses.open(heartbeat_interval=0.1)
    stream = await (await server.stream("?type=COMMIT")).live()
    await server.fill(5)

    beat = await stream.next()
    while position(beat) != 5:
        beat = await stream.next()

    assert beat.event == "HEALTH_CHECK"
    assert beat.json["data"]["status"] == "ok"
    assert "seq" not in beat.json
    [connection] = server.service.connections.values()
    assert connection.last_event_id == server.bookmark


async def test_heartbeats_go_on_between_events(houses: Houses) -> None:
    server = await houses.open(heartbeat_interval=0.05)
    stream = await (await server.stream()).live()

    names = []
    for number in range(10):
        await server.publish(task(number))
        names += [message.event for message in await stream.until("HEALTH_CHECK")]

    assert names.count("message") == 10


async def test_a_silent_stream_is_not_inactive_as_long_as_heartbeats_arrive(
    houses: Houses,
) -> None:
    server = await houses.open(heartbeat_interval=0.05, cleanup_timeout=1.0)
    stream = await (await server.stream()).live()

    for _ in range(30):
        assert (await stream.next()).event == "HEALTH_CHECK"


# Publishing meanwhile


@pytest.mark.parametrize("store", ["memory", "sqlite"])
async def test_what_is_published_during_a_replay_comes_once_and_in_order(
    houses: Houses, store: str
) -> None:
    server = await houses.open(store, event_retention=1000)
    await server.fill(20_000)
    streams = [await server.stream("?since=all") for _ in range(2)]

    async def publish(name: int) -> None:
        for number in range(50):
            await server.publish(task(number, source=f"publisher {name}"))

    reading = [asyncio.create_task(stream.entries(20_400)) for stream in streams]
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(publish(name) for name in range(8)))
        read = await asyncio.gather(*reading)

    for entries in read:
        assert [entry["seq"] for entry in entries] == list(range(1, 20_401))
    for name in range(8):
        mine = [entry for entry in read[0] if entry["source"] == f"publisher {name}"]
        assert [entry["data"]["task_id"] for entry in mine] == [f"T-{n}" for n in range(50)]


# Ends


@pytest.mark.parametrize("moment", ["live", "hello"])
async def test_peers_that_vanish_are_forgotten(server: Server, moment: str) -> None:
    await server.fill(100)
    for stream in [await server.stream("?since=all") for _ in range(20)]:
        await stream.until(moment)
        stream.wire.socket.close()

    await server.alone()
    await until(lambda: not server.house.members, "no member is left")
    assert server.riding == []
    assert not server.fanout._climbing


async def test_a_peer_that_vanishes_before_the_stream_begins_is_forgotten(houses: Houses) -> None:
    store = StagedStore()
    server = await houses.open(store)
    store.finds.clear()
    wire = await server.wire()
    await wire.send(request_head("GET", "/v1/events/stream?since=some-id", {}))
    assert (await server.owner.get("/v1/health/live")).status == 200
    wire.socket.close()
    store.finds.set()

    await server.alone()
    assert server.service.counters.connections_total <= 1
    assert server.house.members == {}


@pytest.mark.parametrize("tcp", [True, False])
async def test_peers_that_vanish_at_any_moment_leave_no_trace_in_the_log(
    houses: Houses, caplog: pytest.LogCaptureFixture, tcp: bool
) -> None:
    """A reset is nothing that the daemon's owner should read about."""
    server = await houses.open(heartbeat_interval=0.01, event_retention=10)
    await server.fill(2000)
    headers = {"Authorization": f"Bearer {server.token('owner')}", **server.host}
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    requests = [
        request_head("GET", "/v1/events/stream?since=all", headers),
        request_head("GET", "/v1/events/ws?since=all", headers | handshake),
        request_head("GET", "/v1/events?limit=1000&wait=1", headers),
        request_head("POST", "/v1/events", headers | {"Content-Length": "100"}) + b"{",
        request_head("GET", "/", headers),
    ]
    dice = random.Random(7)
    for number in range(150):
        wire = await server.wire(server.tcp if tcp else server.socket)
        await wire.send(requests[number % len(requests)])
        for _ in range(dice.randrange(12)):
            await asyncio.sleep(0)
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.socket.close()

    await server.alone()
    await until(lambda: not server.house.members, "no member is left")
    assert [record.getMessage() for record in caplog.records] == []


async def test_readers_get_what_was_stored_before_the_shutdown_and_then_bye(
    houses: Houses,
) -> None:
    server = await houses.open()
    readers = [await (await server.stream()).live() for _ in range(10)]
    readers += [await (await server.stream(Accept="application/x-ndjson")).live()]
    publishing = [
        asyncio.create_task(server.publish(*(task(number) for number in range(100))))
        for _ in range(15)
    ]
    await asyncio.sleep(0)  # they have queued what they have

    begun = time.monotonic()
    stopping = asyncio.create_task(server.stop())
    ends = [await stream.end() for stream in readers]
    await stopping

    assert time.monotonic() - begun < 5
    await asyncio.gather(*publishing)
    for messages in ends:
        *events, bye = messages
        assert [event.json["seq"] for event in events] == list(range(1, 1501))
        assert bye.event == "bye"
        assert (bye.json["reason"], position(bye)) == ("shutdown", 1500)


async def test_a_stream_that_is_asked_for_while_the_daemon_stops_is_told_so(
    houses: Houses,
) -> None:
    """It is found a place when the others have been told already."""
    store = StagedStore()
    server = await houses.open(store)
    store.finds.clear()
    wire = await server.wire()
    await wire.send(request_head("GET", "/v1/events/stream?since=some-id", {}))
    assert (await server.owner.get("/v1/health/live")).status == 200

    stopping = asyncio.create_task(server.service.stop())
    await until(lambda: server.service.log.is_closed, "the log has ended")
    store.finds.set()
    await stopping

    stream = Stream(wire, await read_head(wire))
    assert (await stream.end())[-1].json["reason"] == "shutdown"


async def test_an_inactive_stream_is_ended(houses: Houses) -> None:
    server = await houses.open(cleanup_timeout=0.2, heartbeat_interval=30)
    stream = await (await server.stream()).live()

    [bye] = await stream.end()

    assert bye.json["reason"] == "inactive"
    assert server.service.statistics().connections["cleaned_up"] == 1


async def test_no_stream_outlives_its_token(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "GOODBYE", 0.5)
    headers = {
        "Authorization": f"Bearer {server.token('viewer', expires_in=1.0)}",
        **server.host,
    }
    stream = await Stream.open(await server.wire(server.tcp), "", headers)
    await stream.live()

    [bye] = await stream.end()

    assert bye.json["reason"] == "ended"


async def test_a_token_that_is_revoked_while_the_stream_opens_opens_none(houses: Houses) -> None:
    store = StagedStore()
    server = await houses.open(store)
    token, secret = server.guard.tokens.create("viewer")
    store.finds.clear()
    wire = await server.wire(server.tcp)
    headers = {"Authorization": f"Bearer {secret}", **server.host}
    await wire.send(request_head("GET", "/v1/events/stream?since=some-id", headers))
    assert (await server.owner.get("/v1/health/live")).status == 200

    assert (await server.owner.ask("DELETE", f"/v1/tokens/{token.id}")).status == 204
    store.finds.set()

    assert (await read_head(wire)).status == 401
    await server.alone()
