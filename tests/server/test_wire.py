"""Entries and control frames as SSE, NDJSON and WebSocket bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtevents.core.event import Bookmark, Entry, Event, Gap
from rtevents.server.fanout import encode
from rtevents.server.wire import (
    NDJSON,
    PING,
    SSE,
    Encoding,
    WebSocket,
    chunk,
    gap_fields,
    text_frame,
)

from .conftest import risk, task
from .readers import Chunks, LineParser, Message, SSEParser

EPOCH = "0a1b2c3d"

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
"""Whatever UTF-8 can carry."""

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)

events = st.builds(
    Event,
    type=st.just("DEPLOY"),
    data=st.dictionaries(text, values, max_size=4),
    timestamp=st.floats(0, 1e10),
    source=text,
    project_id=st.none() | text,
    extensions=st.dictionaries(text, text, min_size=1, max_size=3),
)


def by_sse(block: bytes) -> list[Message]:
    """Take the chunks of SSE apart."""
    return SSEParser().feed(Chunks().feed(block))


def shown(event: Event, seq: int) -> dict[str, Any]:
    """Return what a reader is to see of an event."""
    return {"seq": seq, **json.loads(event.body)}


@given(event=events, before=events)
def test_any_text_in_any_field_is_one_message_with_equal_content(
    event: Event, before: Event
) -> None:
    block = encode(SSE(), [Entry.of(before, 6), Entry.of(event, 7)], EPOCH)

    first, message = by_sse(block)

    assert first.id == f"{EPOCH}-6"
    assert (message.event, message.id) == ("message", f"{EPOCH}-7")
    assert message.json == shown(event, 7)
    assert message.json["data"] == event.data
    assert message.json["source"] == event.source
    assert message.json["project_id"] == event.project_id
    assert message.json["extensions"] == event.extensions


@given(event=events)
def test_no_reader_takes_a_character_of_an_event_for_a_line_end(event: Event) -> None:
    block = encode(SSE(named=True), [Entry.of(event, 7)], EPOCH)

    # str.splitlines knows eleven line ends, SSE three: httpx-sse split on all of them once (S10).
    lines = Chunks().feed(block).decode().splitlines()

    assert [line.partition(":")[0] for line in lines] == ["event", "id", "data", ""]


@given(event=events)
def test_a_line_of_ndjson_is_one_event_with_equal_content(event: Event) -> None:
    [message] = LineParser().feed(Chunks().feed(encode(NDJSON(), [Entry.of(event, 7)], EPOCH)))

    assert message.json == shown(event, 7)


@given(words=st.dictionaries(text, text, max_size=3))
def test_any_text_in_a_control_frame_is_one_message_with_equal_content(
    words: dict[str, str],
) -> None:
    [message] = by_sse(SSE().control("hello", {"filter": words}))

    assert (message.event, message.json) == ("hello", {"filter": words})


def test_an_event_has_its_bookmark_as_id_and_no_name() -> None:
    block = encode(SSE(), [Entry.of(risk(), 42)], EPOCH)

    assert Chunks().feed(block).startswith(b'id: 0a1b2c3d-42\ndata: {"seq":42,"event_id":')
    assert b"event:" not in block.split(b"data:")[0]


def test_a_named_stream_tells_the_type() -> None:
    messages = by_sse(encode(SSE(named=True), [Entry.of(risk(), 1), Entry.of(task(), 2)], EPOCH))

    assert [message.event for message in messages] == ["RISK_ALERT", "TASK_UPDATE"]


def test_named_streams_do_not_share_bytes_with_others() -> None:
    keys = {encoding.key for encoding in (SSE(), SSE(named=True), NDJSON(), WebSocket())}

    assert len(keys) == 4


@pytest.mark.parametrize("name", ["hello", "bye"])
def test_a_browser_is_told_when_to_come_back(name: str) -> None:
    parser = SSEParser()
    parser.feed(Chunks().feed(SSE().control(name, {})))

    assert parser.retry == 1000


def test_a_control_frame_with_a_bookmark_moves_the_id() -> None:
    parser = SSEParser()
    parser.feed(Chunks().feed(SSE().control("live", {"bookmark": f"{EPOCH}-9"})))

    assert parser.last_event_id == f"{EPOCH}-9"


def test_a_heartbeat_moves_the_id_without_a_message_and_then_tells_the_health() -> None:
    beat = Event(type="HEALTH_CHECK", data={"status": "ok", "timestamp": 1.5}, timestamp=1.5)

    body = Chunks().feed(SSE().heartbeat(beat, Bookmark(EPOCH, 57)))
    parser = SSEParser()
    mark, rest = body.split(b"\n\n", 1)

    assert mark == b"id: 0a1b2c3d-57"
    assert parser.feed(mark + b"\n\n") == []
    assert parser.last_event_id == "0a1b2c3d-57"
    [message] = parser.feed(rest)
    assert message.event == "HEALTH_CHECK"
    assert message.json["data"] == {"status": "ok", "timestamp": 1.5}
    assert "seq" not in message.json


def test_a_heartbeat_of_ndjson_is_two_lines() -> None:
    beat = Event(type="HEALTH_CHECK", data={"status": "ok", "timestamp": 1.5})

    mark, health = LineParser().feed(Chunks().feed(NDJSON().heartbeat(beat, Bookmark(EPOCH, 57))))

    assert mark.json == {"control": "bookmark", "bookmark": "0a1b2c3d-57"}
    assert health.json["type"] == "HEALTH_CHECK"


def test_a_heartbeat_of_a_websocket_ends_with_a_ping() -> None:
    beat = Event(type="HEALTH_CHECK", data={"status": "ok", "timestamp": 1.5})

    assert WebSocket().heartbeat(beat, Bookmark(EPOCH, 57)).endswith(PING)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 255, 256, 65_535, 65_536, 1_048_576])
def test_a_chunk_is_its_size_and_its_bytes(size: int) -> None:
    data = b"x" * size

    assert chunk(data) == f"{size:x}\r\n".encode() + data + b"\r\n"


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, "8100"),
        (125, "817d"),
        (126, "817e007e"),
        (65_535, "817effff"),
        (65_536, "817f0000000000010000"),
        (1_048_576, "817f0000000000100000"),
    ],
)
def test_a_text_frame_has_the_shortest_length_that_holds_it(size: int, head: str) -> None:
    frame = text_frame(b"x" * size)

    assert frame[: len(head) // 2].hex() == head
    assert frame[len(head) // 2 :] == b"x" * size


def test_a_websocket_carries_one_entry_a_frame() -> None:
    entries = [Entry.of(risk("x" * 200), 1), Entry.of(task(), 2)]

    frames = encode(WebSocket(), entries, EPOCH)

    assert frames == text_frame(entries[0].wire) + text_frame(entries[1].wire)


def test_a_close_frame_holds_its_code() -> None:
    assert WebSocket().end(4500).hex() == "88021194"


@pytest.mark.parametrize("encoding", [SSE(), NDJSON()], ids=["sse", "ndjson"])
def test_over_http_the_end_is_the_last_chunk_alone(encoding: Encoding) -> None:
    assert encoding.end(1001) == b""


def test_a_gap_is_told_with_the_place_after_it() -> None:
    gap = Gap(after=3, before=9, reason="trimmed")

    [message] = by_sse(encode(SSE(), [gap], EPOCH))

    assert (message.event, message.id) == ("gap", f"{EPOCH}-8")
    assert message.json == {
        "after": 3,
        "before": 9,
        "reason": "trimmed",
        "bookmark": f"{EPOCH}-8",
    }


def test_a_reader_ahead_of_the_log_is_brought_back_to_its_end() -> None:
    fields = gap_fields(Gap(after=3, before=1_000_000, reason="ahead"), EPOCH)

    assert fields["bookmark"] == f"{EPOCH}-3"
