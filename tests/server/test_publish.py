"""Publishing by HTTP: every form of a body, and everything that is refused."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from rtevents.core.event import MAX_EVENT_BYTES
from rtevents.core.names import new_event_id
from rtevents.server.app import MAX_REQUEST
from rtevents.server.limits import Rates
from rtevents.server.publish import MAX_ARRAY, MAX_LINES

from .conftest import Answer, Houses, Server, StagedStore, risk, task
from .readers import PATIENCE, Object, Peak, read_head, until

MIB = 1024 * 1024

JSON = {"Content-Type": "application/json"}
LINES = {"Content-Type": "application/x-ndjson"}
STRUCTURED = {"Content-Type": "application/cloudevents+json"}
BATCH = {"Content-Type": "application/cloudevents-batch+json"}


def new_task(number: int = 1, **fields: Any) -> Object:
    """Return a TASK_UPDATE as a publisher writes it."""
    return {
        "type": "TASK_UPDATE",
        "data": {"task_id": f"T-{number}", "status": "open"},
        **fields,
    }


def cloud_event(**attributes: Any) -> Object:
    """Return a CloudEvent in its JSON form."""
    return {
        "specversion": "1.0",
        "id": "ce-1",
        "source": "/ci/build",
        "type": "TASK_UPDATE",
        "data": {"task_id": "T-1", "status": "open"},
        **attributes,
    }


def lines_of(*events: Object) -> bytes:
    """Return events as NDJSON."""
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


async def post(server: Server, body: Any, headers: Mapping[str, str] = JSON) -> Answer:
    """Publish as the owner."""
    return await server.owner.post("/v1/events", body, headers)


async def kept(server: Server) -> list[Object]:
    """Return every event that is kept."""
    events: list[Object] = (await server.owner.get("/v1/events?limit=1000")).json["events"]
    return events


def problem(answer: Answer) -> tuple[int, str, int | None, str | None]:
    """Return what a refusal tells: status, detail, index and field."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    told = answer.json
    assert told["status"] == answer.status
    assert "\n" not in told["detail"]
    assert len(told["detail"]) < 300
    return answer.status, told["detail"], told.get("index"), told.get("field")


# What is taken


async def test_one_event_is_stored_and_answered_with_its_place(server: Server) -> None:
    answer = await post(server, new_task(event_id="a", timestamp=5.5, source="ci"))

    assert answer.status == 201
    assert answer.json == {
        "events": [{"event_id": "a", "seq": 1, "duplicate": False}],
        "bookmark": server.bookmark,
    }
    [event] = await kept(server)
    assert event == {
        "seq": 1,
        "event_id": "a",
        "type": "TASK_UPDATE",
        "data": {"task_id": "T-1", "status": "open"},
        "timestamp": 5.5,
        "source": "ci",
        "project_id": None,
    }


async def test_what_the_publisher_leaves_out_is_filled_in(server: Server) -> None:
    before = time.time()
    answer = await post(server, {"type": "risk-alert", "data": {"severity": "low", "message": "m"}})

    [event] = await kept(server)
    assert event["event_id"] == answer.json["events"][0]["event_id"]
    assert event["type"] == "RISK_ALERT"
    assert before <= event["timestamp"] <= time.time()


async def test_an_array_is_stored_in_its_order(server: Server) -> None:
    answer = await post(server, [new_task(number) for number in range(MAX_ARRAY)])

    assert answer.status == 201
    assert [stored["seq"] for stored in answer.json["events"]] == list(range(1, MAX_ARRAY + 1))
    assert answer.json["bookmark"] == server.bookmark


async def test_an_empty_array_stores_nothing(server: Server) -> None:
    answer = await post(server, b" [ ] ")

    assert (answer.status, answer.json["events"]) == (201, [])


async def test_ndjson_is_answered_line_by_line(server: Server) -> None:
    lines = [json.dumps(new_task(number)).encode() for number in range(1201)]
    answer = await post(server, b"\n".join(lines) + b"\n\r\n", LINES)

    assert answer.status == 201
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert [line["seq"] for line in answer.lines] == list(range(1, 1202))


async def test_the_same_event_again_has_its_seq_and_another_body_is_a_conflict(
    server: Server,
) -> None:
    await post(server, new_task(event_id="a"))

    again = await post(server, new_task(event_id="a"))
    other = await post(server, [new_task(2), new_task(3, event_id="a")])

    assert (again.status, again.json["events"][0]["duplicate"]) == (201, True)
    assert other.status == 409
    assert other.json["event_id"] == "a"
    assert (other.json["seq"], other.json["index"]) == (1, 1)
    assert server.service.log.last == 1


async def test_an_exported_stream_can_be_published_again(server: Server) -> None:
    await post(server, [new_task(1), new_task(2, project_id="web")])
    exported = await kept(server)

    answer = await post(server, exported)

    assert [stored["duplicate"] for stored in answer.json["events"]] == [True, True]


# CloudEvents


async def test_a_structured_cloudevent_becomes_an_event(server: Server) -> None:
    answer = await post(
        server,
        cloud_event(time="2025-11-23T02:00:00Z", project="web", traceparent="00-ab", sampled=1),
        STRUCTURED,
    )

    [event] = await kept(server)
    assert answer.status == 201
    assert event == {
        "seq": 1,
        "event_id": "ce-1",
        "type": "TASK_UPDATE",
        "data": {"task_id": "T-1", "status": "open"},
        "timestamp": 1763863200.0,
        "source": "/ci/build",
        "project_id": "web",
        "extensions": {"traceparent": "00-ab", "sampled": "1"},
    }


async def test_a_batch_of_cloudevents_is_stored_in_its_order(server: Server) -> None:
    batch = [cloud_event(id="a"), cloud_event(id="b")]

    answer = await post(server, batch, BATCH)

    assert [stored["event_id"] for stored in answer.json["events"]] == ["a", "b"]


async def test_a_cloudevent_in_binary_mode_has_its_attributes_in_headers(server: Server) -> None:
    answer = await post(
        server,
        {"task_id": "T-1", "status": "open"},
        {
            "ce-specversion": "1.0",
            "ce-id": "a%20b".replace("%20", "."),
            "ce-source": "/ci/%C3%A9%20%22build%22",
            "Ce-Type": "TASK_UPDATE",
            "ce-time": "2025-11-23T02:00:00Z",
            "ce-project": "web",
        },
    )

    [event] = await kept(server)
    assert answer.status == 201
    assert (event["event_id"], event["source"]) == ("a.b", '/ci/é "build"')
    assert (event["timestamp"], event["project_id"]) == (1763863200.0, "web")


async def test_a_cloudevent_without_time_can_be_published_again(server: Server) -> None:
    first, again = [await post(server, cloud_event(), STRUCTURED) for _ in range(2)]

    assert [answer.json["events"][0]["duplicate"] for answer in (first, again)] == [False, True]


@pytest.mark.parametrize(
    ("attributes", "field"),
    [
        ({"id": None}, "id"),
        ({"id": 7}, "id"),
        ({"id": "a b"}, "event_id"),
        ({"source": None}, "source"),
        ({"source": "rtevents/git"}, "source"),
        ({"type": None}, "type"),
        ({"type": "no such"}, "type"),
        ({"specversion": "0.3"}, "specversion"),
        ({"specversion": None}, "specversion"),
        ({"time": "yesterday"}, "time"),
        ({"time": 5}, "time"),
        ({"time": "2025-13-23T02:00:00Z"}, "time"),
        ({"data": "text"}, "data"),
        ({"data": []}, "data"),
        ({"data_base64": "eA=="}, "data"),
        ({"data": {"task_id": "T"}}, "data.status"),
        ({"project": []}, "project"),
        ({"project": "a:b"}, "project_id"),
        ({f"x{number}": "" for number in range(33)}, "extensions"),
    ],
)
async def test_what_is_no_cloudevent_is_refused_with_its_field(
    server: Server, attributes: Object, field: str
) -> None:
    alone = await post(server, cloud_event(**attributes), STRUCTURED)
    batch = await post(server, [cloud_event(), cloud_event(**attributes)], BATCH)

    assert (problem(alone)[0], *problem(alone)[2:]) == (422, None, field)
    assert (problem(batch)[0], *problem(batch)[2:]) == (422, 1, field)
    assert server.service.log.last == 0


# What is refused

REFUSED = [
    (b"", 400, "not JSON: it ends too early, or with half of a surrogate pair", None),
    (b"{", 400, "not JSON: it ends too early, or with half of a surrogate pair", None),
    (b'{"type":"TASK_UPDATE","data":{}} x', 400, "not JSON: trailing characters", None),
    (b'{"type":"A","data":{"x":NaN}}', 400, "not JSON: invalid character", None),
    (b'{"type":"A","data":{"x":Infinity}}', 400, "not JSON: invalid character", None),
    (b'{"type":"A","data":{"x":"\xff"}}', 400, "not UTF-8: ", None),
    (b'{"type":"A","data":{"x":"\xed\xa0\x80"}}', 400, "not UTF-8: ", None),
    (b'{"type":"A","data":{"x":"\\ud800"}}', 400, "not JSON: ", None),
    (b'{"type":"A","data":{"x":"\\udc00\\ud800"}}', 400, "not JSON: ", None),
    (b'\xef\xbb\xbf{"type":"A","data":{}}', 400, "not JSON: invalid character", None),
    (b'{"type":"A","data":{"x":"\n"}}', 400, "not JSON: ", None),
    (b'{"type":"A","data":' + b"[" * 200_000, 422, "data: expected object, got array", "data"),
    (b'{"type":"A","data":{"x":' + b"[" * 200_000, 400, "not acceptable JSON: nested", None),
    (b"[" * 200_000, 400, "not acceptable JSON: nested", None),
    (b"null", 422, "expected object, got null", None),
    (b'"text"', 422, "expected object, got str", None),
    (b"{}", 422, "type: missing field", "type"),
    (b'{"type":"TASK_UPDATE"}', 422, "data: missing field", "data"),
    (b'{"type":7,"data":{}}', 422, "type: expected str, got int", "type"),
    (b'{"type":"A","data":[]}', 422, "data: expected object, got array", "data"),
    (b'{"type":"A","data":{"x":1e999}}', 422, "data.*: number out of range", "data.*"),
    (b'{"type":"RISK_ALLERT","data":{}}', 422, "unknown event type 'RISK_ALLERT', did", "type"),
    (b'{"type":"\xc3\xa9","data":{}}', 422, "type: expected a letter and up to 63", "type"),
    (b'{"type":"HEALTH_CHECK","data":{}}', 422, "HEALTH_CHECK is the daemon's own", "type"),
    (b'{"type":"TASK_UPDATE","data":{}}', 422, "data.task_id: missing", "data.task_id"),
    (
        b'{"type":"TASK_UPDATE","data":{"task_id":"T","status":7}}',
        422,
        "data.status: expected str, got int",
        "data.status",
    ),
]


@pytest.mark.parametrize(
    ("body", "status", "detail", "field"),
    REFUSED,
    ids=[body[:40].decode(errors="replace") for body, *_ in REFUSED],
)
async def test_a_body_that_is_no_event_is_refused_at_once(
    server: Server, body: bytes, status: int, detail: str, field: str | None
) -> None:
    begun = time.monotonic()
    answer = await post(server, body)
    seconds = time.monotonic() - begun

    assert (problem(answer)[0], *problem(answer)[2:]) == (status, None, field)
    assert answer.json["detail"].startswith(detail)
    assert seconds < 2
    assert server.service.log.last == 0


@pytest.mark.parametrize(
    ("fields", "detail", "field"),
    [
        ({"event_id": "a b"}, "event_id: expected 1 to 128 of A-Z a-z 0-9", "event_id"),
        ({"event_id": ""}, "event_id: expected", "event_id"),
        ({"event_id": "x" * 129}, "event_id: expected", "event_id"),
        ({"event_id": "a\n"}, "event_id: expected", "event_id"),
        ({"type": "TASK_UPDATE\n"}, "", None),
        ({"timestamp": "now"}, "timestamp: expected float", "timestamp"),
        ({"source": "x" * 257}, "source: expected at most 256 characters", "source"),
        ({"source": "rtevents/git"}, "source: names that begin with rtevents/", "source"),
        ({"project_id": "a:b"}, "project_id: expected 1 to 48 printable", "project_id"),
        ({"project_id": "x" * 49}, "project_id: expected 1 to 48 printable", "project_id"),
        ({"project_id": ""}, "project_id: expected 1 to 48 printable", "project_id"),
        ({"extensions": {"a": 1}}, "extensions.*: expected str, got int", "extensions.*"),
        ({"severity": "high"}, "severity: unknown field", "severity"),
    ],
)
async def test_a_wrong_field_is_named_alone_and_in_an_array(
    server: Server, fields: Object, detail: str, field: str | None
) -> None:
    alone = await post(server, new_task(**fields))
    among = await post(server, [new_task(), new_task(), new_task(**fields), new_task()])

    if field is None:  # white space round a type is nothing
        assert (alone.status, among.status) == (201, 201)
        return
    assert (problem(alone)[0], *problem(alone)[2:]) == (422, None, field)
    assert (problem(among)[0], *problem(among)[2:]) == (422, 2, field)
    assert alone.json["detail"].startswith(detail)
    assert server.service.log.last == 0


@pytest.mark.parametrize(
    "text",
    [
        '"\\u0000"',
        '"\\u2028 \\u2029 \\u0085"',
        '"\\ud83d\\ude00"',
        "123456789012345678",
        "-0.0",
        "1e300",
        '{"a":null}',
        '"' + "é" * 1000 + '"',
        "[" * 100 + "]" * 100,
    ],
)
async def test_odd_values_come_back_as_they_went(server: Server, text: str) -> None:
    body = f'{{"type":"DASHBOARD_UPDATE","data":{{"metrics":{{"x":{text}}}}}}}'

    answer = await post(server, body.encode(), JSON)

    [event] = await kept(server)
    assert answer.status == 201
    assert event["data"] == json.loads(body)["data"]


@pytest.mark.parametrize("depth", [200, 300, 400, 500, 700, 900, 980, 1000])
async def test_depth_is_taken_or_refused_and_harms_nothing(server: Server, depth: int) -> None:
    """Whoever walks through what a decoder still took may run out of stack himself."""
    nested = '{"a":[null,' * (depth // 2) + "1" + "]}" * (depth // 2)
    body = f'{{"type":"DASHBOARD_UPDATE","event_id":"deep","data":{{"metrics":{nested}}}}}'.encode()

    statuses = [(await post(server, body)).status for _ in range(2)]
    after = await post(server, new_task())
    pages = [await server.owner.get(path) for path in ("/v1/events", "/v1/events?order=desc")]
    cloud = await server.owner.get("/v1/events", Accept="application/cloudevents+json")

    assert statuses in ([201, 201], [400, 400], [422, 422])
    assert after.status == 201
    assert [page.status for page in pages] == [200, 200]
    assert cloud.status == 200


async def test_of_a_name_given_twice_the_last_one_counts(server: Server) -> None:
    body = b'{"type":"COMMIT","type":"TASK_UPDATE","data":{"task_id":"T","status":"open"}}'

    assert (await post(server, body)).status == 201
    assert (await kept(server))[0]["type"] == "TASK_UPDATE"


# Content types


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "text/json",
        "",
        ";",
        "application/json\xff",
    ],
)
async def test_other_content_types_are_not_taken(server: Server, content_type: str) -> None:
    wire = await server.wire()
    body = json.dumps(new_task()).encode()
    await wire.send(
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
        % (content_type.encode("latin-1"), len(body), body)
    )

    assert (await read_head(wire)).status == 415
    assert server.service.log.last == 0


async def test_a_charset_changes_nothing(server: Server) -> None:
    answer = await post(server, new_task(), {"Content-Type": "Application/JSON; charset=utf-8"})

    assert answer.status == 201


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity", "nonsense"])
@pytest.mark.parametrize("headers", [JSON, LINES, BATCH])
async def test_a_coded_body_is_not_taken(
    server: Server, coding: str, headers: Mapping[str, str]
) -> None:
    body = gzip.compress(b" " * 50_000_000)
    peak = Peak()

    answer = await post(server, body, {**headers, "Content-Encoding": coding})

    assert problem(answer)[0] == 415
    assert peak.growth() < 10 * MIB


# Sizes


async def test_an_event_may_have_a_mebibyte_and_not_a_byte_more(server: Server) -> None:
    event = risk("", event_id="a")
    room = MAX_EVENT_BYTES - len(event.body)
    fields = {"type": "RISK_ALERT", "event_id": "a", "timestamp": event.timestamp}

    over = await post(server, {**fields, "data": {"severity": "high", "message": "x" * (room + 1)}})
    fits = await post(server, {**fields, "data": {"severity": "high", "message": "x" * room}})

    assert problem(over)[:2] == (413, "event of 1048577 bytes, 1048576 at most")
    assert fits.status == 201


async def test_what_is_long_only_as_it_is_written_is_taken(server: Server) -> None:
    data = {"severity": "high", "message": "ж" * 400_000}
    body = json.dumps({"type": "RISK_ALERT", "data": data}).encode()
    assert len(body) > 2 * MAX_EVENT_BYTES

    assert (await post(server, body)).status == 201
    assert (await kept(server))[0]["data"] == data


@pytest.mark.parametrize(
    ("headers", "form", "status"),
    [
        (JSON, b'{"type":"A","data":{"x":[%b]}}', 413),
        (JSON, b'[{"type":"A","data":{"x":[%b]}}]', 413),
        (JSON, b"[%b]", 422),
        (BATCH, b"[%b]", 400),
        (STRUCTURED, b'{"data":{"x":[%b]}}', 413),
        ({**JSON, "ce-specversion": "1.0"}, b'{"x":[%b]}', 413),
        (LINES, b'{"type":"A","data":{"x":[%b]}}', 413),
    ],
    ids=["one", "array of one", "array", "batch", "structured", "binary", "line"],
)
async def test_a_large_request_of_small_things_costs_little(
    server: Server, headers: Mapping[str, str], form: bytes, status: int
) -> None:
    """16 MiB of empty lists would be 300 MiB of them, and seconds for nobody else."""
    body = form % (b"[]," * ((MAX_REQUEST - 100) // 3) + b"[]")
    await post(server, new_task())
    begun, slowest = time.monotonic(), 0.0

    peak = Peak()
    posting = asyncio.create_task(post(server, body, headers))
    while not posting.done():
        asked = time.monotonic()
        assert (await server.owner.get("/v1/health/live")).status == 200
        slowest = max(slowest, time.monotonic() - asked)
    answer = await posting

    assert answer.status == status
    assert peak.growth() < 80 * MIB
    assert slowest < 2
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_request_may_have_16_mebibytes_and_not_more(server: Server, framing: str) -> None:
    wire = await server.wire()
    head = "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    size = MAX_REQUEST + 1
    if framing == "length":
        await wire.send(f"{head}Content-Length: {size}\r\n\r\n".encode())
    else:
        await wire.send(f"{head}Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n".encode())

    async def send() -> None:
        try:
            for _ in range(MAX_REQUEST // MIB):
                await wire.send(b" " * MIB)
            await wire.send(b" \r\n0\r\n\r\n" if framing == "chunked" else b" ")
        except ConnectionError:
            pass  # it has heard enough

    sending = asyncio.create_task(send())
    answer = await read_head(wire)
    await sending

    assert answer.status == 413


async def test_a_request_that_says_itself_that_it_is_too_long_is_refused_at_once(
    server: Server,
) -> None:
    wire = await server.wire()
    await wire.send(
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 99000000000\r\n\r\n"
    )

    assert (await read_head(wire)).status == 413


async def test_an_array_may_have_a_thousand_events_and_not_one_more(server: Server) -> None:
    one_more = await post(server, [new_task()] * (MAX_ARRAY + 1))
    batch = await post(
        server, [cloud_event(id=f"{number}") for number in range(MAX_ARRAY + 1)], BATCH
    )

    for answer in (one_more, batch):
        assert problem(answer)[:2] == (413, "more than 1000 events at once")
    assert server.service.log.last == 0


async def test_ndjson_of_too_many_lines_is_refused_whole(server: Server) -> None:
    answer = await post(server, b"1\n" * (MAX_LINES + 1), LINES)

    assert problem(answer)[:2] == (413, "a request of more than 262144 lines")


async def test_bad_lines_by_the_thousand_leave_others_their_turn(server: Server) -> None:
    posting = asyncio.create_task(post(server, b"1\n" * 20_000, LINES))
    served = 0
    while not posting.done():
        await server.owner.get("/v1/health/live")
        served += 1

    answer = await posting
    assert (answer.status, len(answer.lines)) == (422, 20_000)
    assert served > 10


# NDJSON with faults in it


async def test_bad_lines_are_told_and_the_others_are_stored(server: Server) -> None:
    lines = [json.dumps(new_task(number)).encode() for number in range(1100)]
    lines[7] = b'{"type":"TASK_UPDATE"'
    lines[8] = b""  # an empty line is none
    lines[600] = json.dumps(new_task(600, source="rtevents/files")).encode()
    lines[601] = b"\xff"
    lines[1099] = json.dumps({"type": "TASK_UPDATE", "data": {"task_id": "T-9"}}).encode()

    answer = await post(server, b"\n".join(lines), LINES)

    refused = {line["index"]: line for line in answer.lines if "status" in line}
    assert answer.status == 400
    assert {index: line["status"] for index, line in refused.items()} == {
        7: 400,
        599: 422,
        600: 400,
        1098: 422,
    }
    assert refused[1098]["field"] == "data.status"
    stored = [line["seq"] for line in answer.lines if "status" not in line]
    assert stored == list(range(1, 1096))
    page = await kept(server)
    assert [event["data"]["task_id"] for event in page[:10]] == [
        *(f"T-{number}" for number in range(7)),
        *(f"T-{number}" for number in range(9, 12)),
    ]


async def test_a_conflict_on_one_line_leaves_the_others(server: Server) -> None:
    await post(server, new_task(1, event_id="a"))
    lines = [new_task(1, event_id="a"), new_task(2, event_id="a"), new_task(3)]

    answer = await post(server, "\n".join(map(json.dumps, lines)).encode(), LINES)

    first, conflict, third = answer.lines
    assert (answer.status, first["duplicate"], third["seq"]) == (409, True, 2)
    assert (conflict["status"], conflict["index"], conflict["seq"]) == (409, 1, 1)


async def test_a_bad_line_does_not_make_its_chunk_slow(houses: Houses) -> None:
    """Each of the others is stored for itself, and yet they share transactions."""
    server = await houses.open("sqlite")
    lines = [json.dumps(new_task(number)).encode() for number in range(500)]
    lines[250] = b"{"
    begun = time.monotonic()

    answer = await post(server, b"\n".join(lines), LINES)

    assert [line["seq"] for line in answer.lines if "seq" in line] == list(range(1, 500))
    assert time.monotonic() - begun < 3


# What the store and the service say


async def test_a_store_that_fails_is_told_with_the_reason_and_when_to_come_back(
    houses: Houses,
) -> None:
    store = StagedStore()
    server = await houses.open(store)
    store.failure = "database or disk is full"
    bodies = [(new_task(), JSON), ([new_task()], JSON), (cloud_event(), STRUCTURED)]

    for body, headers in bodies:
        answer = await post(server, body, headers)
        assert problem(answer)[:2] == (503, "database or disk is full")
        assert int(answer.headers["Retry-After"]) >= 1
    lines = await post(server, json.dumps(new_task()).encode() + b"\n" + b"{", LINES)
    assert (lines.status, lines.headers["Retry-After"]) == (503, "1")
    store.failure = None
    assert (await post(server, new_task())).status == 201


async def test_what_is_refused_is_not_counted_against_a_limit(server: Server) -> None:
    server.guard.rates = Rates(events=10)
    publisher = server.bearer("publisher")
    lines = lines_of(*[new_task()] * 6, {"type": "UNKNOWN", "data": {}})

    answer = await publisher.post("/v1/events", lines, LINES)

    assert [line.get("status", 201) for line in answer.lines] == [201] * 6 + [422]


async def test_lines_of_which_some_are_throttled_are_told_when_to_come_back(
    server: Server,
) -> None:
    """P6: whichever line it is that has to come again."""
    server.guard.rates = Rates(events=2)
    publisher = server.bearer("publisher")
    lines = lines_of(*[new_task()] * 3, {"type": "UNKNOWN", "data": {}})

    answer = await publisher.post("/v1/events", lines, LINES)

    assert [line.get("status", 201) for line in answer.lines] == [201, 201, 429, 429]
    assert (answer.status, answer.headers.get("Retry-After")) == (429, "1")


async def test_a_full_queue_refuses_and_loses_nothing_that_waits(houses: Houses) -> None:
    store = StagedStore()
    server = await houses.open(store, max_queue_size=10, queue_timeout=0.05)
    store.answers.clear()
    waiting = [asyncio.create_task(post(server, [new_task()] * 5)) for _ in range(2)]
    await until(lambda: server.service.statistics().queue["size"] == 10, "the queue is full")

    answer = await post(server, new_task())
    store.answers.set()

    assert problem(answer)[0] == 503
    assert "the queue is full: 10 events waited" in answer.json["detail"]
    assert 1 <= int(answer.headers["Retry-After"]) <= 30
    assert [(await task).status for task in waiting] == [201, 201]
    assert server.service.log.last == 10


async def test_publishers_are_told_when_the_daemon_stops(server: Server) -> None:
    await server.service.stop()

    answer = await post(server, new_task())

    assert problem(answer)[:2] == (503, "the daemon is stopping")
    assert "Retry-After" in answer.headers


async def test_a_publisher_that_vanishes_has_its_event_stored_once(houses: Houses) -> None:
    store = StagedStore()
    server = await houses.open(store)
    store.answers.clear()
    body = json.dumps(new_task(event_id="a")).encode()
    request = (
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    wire = await server.wire()
    await wire.send(request)
    await until(lambda: store._bounds.last == 1, "it is stored and not answered")
    wire.socket.close()
    store.answers.set()

    again = await post(server, new_task(event_id="a"))

    assert again.json["events"] == [{"event_id": "a", "seq": 1, "duplicate": True}]


async def test_publishers_at_once_get_one_order(server: Server) -> None:
    async def publish(name: int) -> list[int]:
        seqs = []
        for number in range(20):
            events = [new_task(number, source=f"p{name}") for _ in range(3)]
            seqs += [stored["seq"] for stored in (await post(server, events)).json["events"]]
        return seqs

    async with asyncio.timeout(PATIENCE):
        given = await asyncio.gather(*(publish(name) for name in range(8)))

    assert sorted(itertools.chain(*given)) == list(range(1, 481))
    for seqs in given:
        assert seqs == sorted(seqs)


# Grants


async def test_a_token_publishes_what_its_grant_holds_and_nothing_else(server: Server) -> None:
    caller = server.bearer("publisher", projects=["web"], types=["TASK_UPDATE"])
    alert = {"type": "RISK_ALERT", "data": {"severity": "low", "message": "m"}}

    answers = {
        "within": await caller.post("/v1/events", new_task(project_id="web")),
        "other project": await caller.post("/v1/events", new_task(project_id="api")),
        "no project": await caller.post("/v1/events", new_task()),
        "other type": await caller.post("/v1/events", {**alert, "project_id": "web"}),
        "no type": await caller.post("/v1/events", new_task(type="\u202e", project_id="web")),
        "array": await caller.post(
            "/v1/events", [new_task(project_id="web"), new_task(project_id="api")]
        ),
        "cloud": await caller.post("/v1/events", cloud_event(project={}), STRUCTURED),
    }

    assert {name: answer.status for name, answer in answers.items()} == {
        "within": 201,
        "other project": 403,
        "no project": 403,
        "other type": 403,
        "no type": 403,
        "array": 403,
        "cloud": 422,
    }
    assert server.service.log.last == 1


async def test_a_header_that_is_no_text_is_refused(server: Server) -> None:
    """Bytes beyond UTF-8 arrive as lone surrogates, and what quotes them must not break."""
    secret = server.token("publisher", types=["TASK_UPDATE"])
    body = b'{"task_id":"T","status":"open"}'
    for name in (b"ce-type", b"ce-id", b"ce-source", b"ce-project", b"ce-specversion", b"ce-x"):
        attributes = {
            b"ce-specversion": b"1.0",
            b"ce-id": new_event_id().encode(),
            b"ce-source": b"/ci",
            b"ce-type": b"TASK_UPDATE",
        } | {name: b"\xff\xfe"}
        wire = await server.wire(server.tcp)
        await wire.send(
            b"POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %b\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n%b\r\n%b"
            % (
                server.tcp[1],
                secret.encode(),
                len(body),
                b"".join(b"%b: %b\r\n" % pair for pair in attributes.items()),
                body,
            )
        )
        assert (await read_head(wire)).status in (400, 403, 422), name
    assert server.service.log.last == 0


async def test_what_was_published_is_counted(server: Server) -> None:
    await server.publish(task(), risk())
    await post(server, b"{}")
    await post(server, new_task(type="NO_SUCH"))

    events = server.service.statistics().events
    assert (events["published"], events["by_type"]) == (2, {"TASK_UPDATE": 1, "RISK_ALERT": 1})


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"event_id": "git:web:0123"}, "event_id"),
        ({"timestamp": 1e300}, "timestamp"),
        ({"timestamp": -1}, "timestamp"),
    ],
)
async def test_what_would_stand_for_a_commit_or_for_no_time_is_refused(
    server: Server, fields: Object, field: str
) -> None:
    answer = await post(server, new_task(1, **fields))

    assert (answer.status, answer.json["field"]) == (422, field)
    assert server.service.log.last == 0
