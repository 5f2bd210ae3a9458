"""The nouns that travel, and their wire bytes."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtevents.core.event import (
    MAX_EVENT_BYTES,
    Bookmark,
    Entry,
    Event,
    EventType,
    Undated,
    check_event,
    decode_entry,
    decode_event,
    decode_events,
    encode_events,
    is_event_id,
    is_project_id,
    is_same_body,
    is_type_name,
    new_event_id,
    type_name,
    with_seq,
)
from rtevents.errors import BadInput, BookmarkError, EventRefused, EventTooLarge

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


def event(**fields: Any) -> Event:
    """Return an event."""
    return Event(**{"type": "TASK_UPDATE", "data": {"task_id": "T", "status": "open"}, **fields})


@given(st.dictionaries(TEXT, VALUE, max_size=4), TEXT)
def test_a_body_is_one_line_for_every_reader_and_decodes_to_the_same(
    data: dict[str, Any], source: str
) -> None:
    one = event(data=data, source=source)
    text = one.body.decode()

    assert len(text.splitlines()) == 1
    assert not {"\n", "\r", "\x00", "\x85", "\u2028", "\u2029"} & set(text)
    assert decode_entry(with_seq(one.body, 7)).event.data == data
    assert json.loads(text)["source"] == source


@given(st.binary(max_size=64))
def test_whatever_bytes_come_an_event_is_read_or_refused(raw: bytes) -> None:
    for read in (decode_event, decode_events):
        with contextlib.suppress(BadInput, EventRefused):
            read(raw)


def test_an_entry_comes_back_from_its_wire_form() -> None:
    one = event(project_id="web", extensions={"traceparent": "00-1"})
    entry = Entry.of(one, 42)

    assert decode_entry(entry.wire) == entry
    assert entry.event == one
    assert entry.wire.startswith(b'{"seq":42,"event_id":"')
    assert list(json.loads(entry.wire)) == [
        "seq", "event_id", "type", "data", "timestamp", "source", "project_id", "extensions",
    ]  # fmt: skip


def test_what_is_no_entry_is_refused() -> None:
    for wire in (b"", b"{}", b"[]", b'{"seq":1}'):
        with pytest.raises(BadInput, match="not an entry"):
            decode_entry(wire)


def test_the_path_is_the_file_that_the_event_is_about() -> None:
    assert event(data={"file_path": "a/b"}).path == "a/b"
    assert event(data={"path": "TODO.md"}).path == "TODO.md"
    assert event(data={"path": 3}).path == ""
    assert event().path == ""


def test_an_event_may_be_written_in_any_case_and_without_what_can_be_made_up() -> None:
    one = decode_event(b'{"type":"task-update","data":{"task_id":"T","status":"open"},"seq":9}')

    assert one.type == EventType.TASK_UPDATE
    assert isinstance(one, Undated)
    assert is_event_id(one.event_id)


def test_a_given_timestamp_is_kept() -> None:
    one = decode_event(b'{"type":"A","data":{},"timestamp":5,"event_id":"x","source":"s"}')

    assert (one.timestamp, one.event_id, one.source) == (5.0, "x", "s")
    assert not isinstance(one, Undated)


@pytest.mark.parametrize(
    ("raw", "said", "field"),
    [
        (b'{"data":{}}', "type: missing field", "type"),
        (b'{"type":"A"}', "data: missing field", "data"),
        (b'{"type":1,"data":{}}', "type: expected str, got int", "type"),
        (b'{"type":"A","data":[]}', "data: expected object, got array", "data"),
        (b'{"type":"A","data":{},"tpye":1}', "tpye: unknown field", "tpye"),
        (b'{"type":"A","data":{},"extensions":{"a":1}}',
         "extensions[...]: expected str, got int", "extensions[...]"),
        (b'{"type":"A","data":{"n":1e999}}', "data[...]: number out of range", "data[...]"),
        (b"[]", "expected object, got array", None),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(raw: bytes, said: str, field: str | None) -> None:
    with pytest.raises(EventRefused) as caught:
        decode_event(raw)

    assert (str(caught.value), caught.value.field) == (said, field)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "not JSON: Input data was truncated"),
        (b'{"type":"A","data":{"n":NaN}}', "not JSON: invalid character (byte 24)"),
        (b'{"type":"A","data":{"n":"\xff"}}', "not UTF-8: invalid start byte"),
        (b'{"type":"A","data":{"n":"\xed\xa0\x80"}}', "not UTF-8: invalid continuation byte"),
        (b'{"type":"A","data":{"n":"\\ud800"}}', "not JSON: Input data was truncated"),
        (b'\xef\xbb\xbf{"type":"A","data":{}}', "not JSON: invalid character (byte 0)"),
        (b"[" * 200_000, "not acceptable JSON: nested too deeply"),
    ],
)
def test_what_is_no_json_is_told_so(raw: bytes, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        decode_event(b'{"type":"A","data":{"n":' + raw + b"}}" if raw[:1] == b"[" else raw)

    assert str(caught.value) == said


def test_an_array_names_the_event_that_is_wrong() -> None:
    good = event().body
    assert [one.event_id for one in decode_events(b"[" + good + b"]")] == [
        json.loads(good)["event_id"]
    ]
    with pytest.raises(EventRefused) as caught:
        decode_events(b"[" + good + b',{"type":"A"}]')
    assert caught.value.index == 1
    with pytest.raises(BadInput, match="not an array of events"):
        decode_events(b"{}")
    with pytest.raises(BadInput, match="not JSON"):
        decode_events(b"[")


def test_events_are_sent_as_an_array() -> None:
    one, two = event(), event()

    assert [each.event_id for each in decode_events(encode_events([one, two]))] == [
        one.event_id,
        two.event_id,
    ]


class Odd:
    """Something that is not JSON."""


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"event_id": "a b"}, "event_id"),
        ({"event_id": "x\n"}, "event_id"),
        ({"event_id": "x" * 129}, "event_id"),
        ({"event_id": 7}, "event_id"),
        ({"type": "lower"}, "type"),
        ({"type": None}, "type"),
        ({"data": []}, "data"),
        ({"timestamp": math.nan}, "timestamp"),
        ({"timestamp": "now"}, "timestamp"),
        ({"source": "x" * 257}, "source"),
        ({"source": "\ud800"}, "source"),
        ({"project_id": "a:b"}, "project_id"),
        ({"project_id": "x" * 49}, "project_id"),
        ({"project_id": ""}, "project_id"),
        ({"extensions": {"a": 1}}, "extensions.a"),
        ({"extensions": {str(n): "" for n in range(33)}}, "extensions"),
        ({"data": {"n": math.nan}}, "data"),
        ({"data": {"n": [math.inf]}}, "data"),
        ({"data": {"n": {"m": (1, None, -math.inf)}}}, "data"),
        ({"data": {"n": Odd()}}, "data"),
        ({"data": {"n": "\udcff"}}, "data"),
    ],
)
def test_an_event_made_in_the_process_is_checked_as_well(
    fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(EventRefused) as caught:
        check_event(event(**fields))

    assert caught.value.field == field
    assert len(str(caught.value)) < 300


def test_a_good_event_passes() -> None:
    check_event(event(project_id="web", source="me", extensions={"a": "b"}, timestamp=5))
    check_event(event(data={"n": None, "m": 1.5}))


def test_an_event_that_is_too_large_is_refused() -> None:
    with pytest.raises(EventTooLarge, match="1048576 at most"):
        check_event(event(data={"n": "x" * MAX_EVENT_BYTES}))


def test_a_cycle_is_not_json() -> None:
    data: dict[str, Any] = {}
    data["self"] = data
    with pytest.raises(EventRefused, match="not JSON"):
        check_event(event(data=data))


def test_the_same_body_is_type_data_project_and_a_given_timestamp() -> None:
    stored = event(event_id="x", timestamp=5.0, data={"task_id": "T", "list": [1, 2]})
    fields = {"event_id": "x", "data": {"task_id": "T", "list": (1, 2)}}

    assert is_same_body(event(**fields, timestamp=5.0, source="other"), stored)
    assert not is_same_body(event(**fields, timestamp=6.0), stored)
    assert is_same_body(Undated(type="TASK_UPDATE", **fields), stored)  # type: ignore[arg-type]
    assert not is_same_body(event(**fields, timestamp=5.0, type="OTHER"), stored)
    assert not is_same_body(event(**fields, timestamp=5.0, project_id="web"), stored)
    assert not is_same_body(event(event_id="x", timestamp=5.0), stored)


def test_ids_are_unique_and_in_the_order_of_their_making() -> None:
    ids = [new_event_id() for _ in range(1000)]

    assert len(set(ids)) == 1000
    assert [one[:13] for one in ids] == sorted(one[:13] for one in ids)
    assert all(one[14] == "7" and one[19] in "89ab" for one in ids)


def test_a_bookmark_is_an_epoch_and_a_seq() -> None:
    assert Bookmark.parse("9f543e9a-42") == Bookmark("9f543e9a", 42)
    assert str(Bookmark("9f543e9a", 42)) == "9f543e9a-42"
    for text in ("", "zz", "9f543e9a-", "9f543e9a--1", "9F543E9A-1", "9f543e9a-1\n"):
        with pytest.raises(BookmarkError, match="not a bookmark"):
            Bookmark.parse(text)


def test_names_have_a_form() -> None:
    assert type_name(" risk-alert ") == "RISK_ALERT"
    assert is_type_name("A1_")
    assert not is_type_name("A\n")
    assert is_project_id("mein projekt ü")
    assert not is_project_id("a\x9bb")


def test_the_undated_event_is_encoded_as_any_other() -> None:
    one = Undated(type="A", data={}, event_id="x", timestamp=1.0)

    assert msgspec.json.decode(one.body) == {
        "event_id": "x", "type": "A", "data": {}, "timestamp": 1.0, "source": "",
        "project_id": None,
    }  # fmt: skip
