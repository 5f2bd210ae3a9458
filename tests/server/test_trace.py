"""The trace context of a publisher, carried along by its events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import Server

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STATE = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"

NEW_TASK = {"type": "TASK_UPDATE", "data": {"task_id": "T-1", "status": "open"}}


async def carried(server: Server) -> list[dict[str, str]]:
    """Return the extensions of each event that is kept."""
    page = await server.owner.get("/v1/events")
    return [event.get("extensions", {}) for event in page.json["events"]]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", NEW_TASK),
        ("application/json", [NEW_TASK, NEW_TASK]),
        ("application/x-ndjson", NEW_TASK),
        ("application/cloudevents+json",
         NEW_TASK | {"specversion": "1.0", "id": "1", "source": "me"}),
    ],
)  # fmt: skip
async def test_what_a_publisher_is_at_goes_with_its_events(
    server: Server, content_type: str, body: Any
) -> None:
    headers = {"traceparent": PARENT, "tracestate": STATE, "Content-Type": content_type}
    answer = await server.owner.post("/v1/events", json.dumps(body).encode(), headers)
    assert answer.status == 201, answer.body

    found = await carried(server)
    assert found
    assert all(each == {"traceparent": PARENT, "tracestate": STATE} for each in found)


async def test_an_event_that_says_of_which_trace_it_is_keeps_it(server: Server) -> None:
    own = NEW_TASK | {"extensions": {"traceparent": OTHER}}
    more = NEW_TASK | {"extensions": {"correlation_id": "7"}}
    headers = {"traceparent": PARENT, "tracestate": STATE}
    assert (await server.owner.post("/v1/events", [own, more], headers)).status == 201

    assert await carried(server) == [
        {"traceparent": OTHER},
        {"correlation_id": "7", "traceparent": PARENT, "tracestate": STATE},
    ]


async def test_of_lines_that_are_stored_one_by_one_each_has_it(server: Server) -> None:
    lines = b"\n".join(json.dumps(each).encode() for each in (NEW_TASK, {"type": "NO"}, NEW_TASK))
    headers = {"traceparent": PARENT, "Content-Type": "application/x-ndjson"}
    answer = await server.owner.post("/v1/events", lines, headers)

    assert [line.get("status") for line in answer.lines] == [None, 422, None]
    assert await carried(server) == [{"traceparent": PARENT}] * 2


async def test_the_same_event_of_another_trace_is_the_same_event(server: Server) -> None:
    """P3: extensions are no part of the body, and neither is a time that nobody gave."""
    event = NEW_TASK | {"event_id": "one"}
    await server.owner.post("/v1/events", event, {"traceparent": PARENT})
    again = await server.owner.post("/v1/events", event, {"traceparent": OTHER})

    assert again.status == 201
    assert again.json["events"][0]["duplicate"] is True


@pytest.mark.parametrize(
    "parent",
    [
        "", "hello", PARENT.upper(), PARENT + "-x", PARENT[:-1],
        "ff-" + PARENT[3:],
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
    ],
)  # fmt: skip
async def test_what_is_no_trace_context_is_left_out(server: Server, parent: str) -> None:
    headers = {"traceparent": parent, "tracestate": STATE}
    assert (await server.owner.post("/v1/events", NEW_TASK, headers)).status == 201

    assert await carried(server) == [{}]


async def test_a_state_that_is_too_long_is_left_out_alone(server: Server) -> None:
    headers = {"traceparent": PARENT, "tracestate": "a=" + "x" * 600}
    await server.owner.post("/v1/events", NEW_TASK, headers)

    assert await carried(server) == [{"traceparent": PARENT}]


async def test_an_event_that_is_full_stays_as_it_is(server: Server) -> None:
    full = {f"x{number}": "1" for number in range(32)}
    event = NEW_TASK | {"extensions": full}
    assert (await server.owner.post("/v1/events", event, {"traceparent": PARENT})).status == 201

    assert await carried(server) == [full]
