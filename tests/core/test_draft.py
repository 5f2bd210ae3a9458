"""Events as publishers write them."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtevents.core.draft import are_well_formed, check_event, decode_event, decode_events
from rtevents.core.event import MAX_EVENT_BYTES, Event, EventType, Undated
from rtevents.core.names import is_event_id
from rtevents.core.payloads import EventTypes
from rtevents.errors import BadInput, EventRefused, EventTooLarge


def event(**fields: Any) -> Event:
    """Return an event."""
    return Event(**{"type": "TASK_UPDATE", "data": {"task_id": "T", "status": "open"}, **fields})


@given(st.binary(max_size=64))
def test_whatever_bytes_come_an_event_is_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(BadInput, EventRefused):
        decode_event(raw)


def test_an_event_may_be_written_in_any_case_and_without_what_can_be_made_up() -> None:
    one = decode_event(b'{"type":"task-update","data":{"task_id":"T","status":"open"},"seq":9}')

    assert one.type == EventType.TASK_UPDATE
    assert isinstance(one, Undated)
    assert is_event_id(one.event_id)


def test_a_given_timestamp_is_kept() -> None:
    one = decode_event(b'{"type":"a-b","data":{},"timestamp":5,"event_id":"x","source":"s"}')

    assert (one.timestamp, one.event_id, one.source, one.type) == (5.0, "x", "s", "A_B")
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
         "extensions.*: expected str, got int", "extensions.*"),
        (b'{"type":"A","data":{"n":1e999}}', "data.*: number out of range", "data.*"),
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
        (b"", "not JSON: it ends too early, or with half of a surrogate pair"),
        (b'{"type":"A","data":{"n":NaN}}', "not JSON: invalid character (byte 24)"),
        (b'{"type":"A","data":{"n":"\xff"}}', "not UTF-8: invalid start byte"),
        (b'{"type":"A","data":{"n":"\xed\xa0\x80"}}', "not UTF-8: invalid continuation byte"),
        (
            b'{"type":"A","data":{"n":"\\ud800"}}',
            "not JSON: it ends too early, or with half of a surrogate pair",
        ),
        (b'\xef\xbb\xbf{"type":"A","data":{}}', "not JSON: invalid character (byte 0)"),
        (b"[" * 200_000, "not acceptable JSON: nested too deeply"),
    ],
)
def test_what_is_no_json_is_told_so(raw: bytes, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        decode_event(b'{"type":"A","data":{"n":' + raw + b"}}" if raw[:1] == b"[" else raw)

    assert str(caught.value) == said


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


def refuse_none(data: dict[str, Any]) -> None:
    """Check the data of a type of one's own."""
    if data.get("n") is None:
        raise EventRefused("data.n: expected a number", field="data.n")


@pytest.mark.parametrize("count", [1, 2, 7])
def test_checking_many_refuses_what_checking_each_would_and_says_which(count: int) -> None:
    types = EventTypes({"DEPLOY": refuse_none})
    wrong: list[dict[str, Any]] = [
        {"event_id": "a\nb"}, {"event_id": ""}, {"event_id": "x" * 129}, {"event_id": "ü"},
        {"event_id": 7}, {"type": "lower"}, {"type": None}, {"type": "DEPLOI"},
        {"type": "DEPLOY", "data": {}}, {"data": []},
        {"data": {"task_id": 1}}, {"timestamp": math.inf}, {"timestamp": "now"},
        {"source": "x" * 257}, {"source": "\ud800"}, {"project_id": "a:b"}, {"project_id": 7},
        {"extensions": {"a": 1}}, {"data": {"task_id": "T", "status": "open", "n": math.nan}},
        {"data": {"task_id": "T", "status": "open", "n": "\udcff"}},
    ]  # fmt: skip
    for fields in wrong:
        events = [event() for _ in range(count)]
        events[-1] = event(**fields)
        with pytest.raises(EventRefused) as alone:
            types.check(events[-1])
        with pytest.raises(EventRefused) as together:
            types.check_all(events)
        assert str(together.value) == str(alone.value)
        assert together.value.index == (count - 1 if count > 1 else None)


def test_checking_many_takes_what_checking_each_would() -> None:
    types = EventTypes({"DEPLOY": refuse_none, "FREE": None})
    events = [
        event(), event(project_id="web", source="me"), event(extensions={"a": "b"}),
        event(type="DEPLOY", data={"n": 1}), event(type="FREE"),
        event(data={"task_id": "T", "status": "\u2028"}),
    ]  # fmt: skip
    alone = [Event(**msgspec.structs.asdict(one)) for one in events]

    types.check_all([one for one in events if not one.extensions])
    types.check_all(events)

    assert [one.body for one in events] == [one.body for one in alone]
    assert not are_well_formed(events)  # extensions are looked at one by one
    assert are_well_formed(events[:2])


def test_checking_many_refuses_one_that_is_too_large() -> None:
    with pytest.raises(EventTooLarge):
        EventTypes().check_all(
            [*(event() for _ in range(5)), event(data={"task_id": "T", "status": "x" * 2**20})]
        )


def test_many_are_read_as_each_would_be() -> None:
    whole = b'{"type":"A","data":{},"timestamp":5,"event_id":"x"}'
    other = b'{"type":"b-c","data":{},"timestamp":5,"event_id":"y"}'
    short = b'{"type":"task-update","data":{}}'

    for raws in ([whole], [whole, other], [other, short, whole]):
        together, alone = decode_events(raws), [decode_event(raw) for raw in raws]
        assert [one.type for one in together] == [one.type for one in alone]
        assert [type(one) is Undated for one in together] == [raw is short for raw in raws]
    for wrong, error in ((b"{", BadInput), (b'{"type":"A"}', EventRefused)):
        with pytest.raises(error):
            decode_events([whole, wrong])
