"""CloudEvents: what the specification allows, and the same event when it is read again."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtevents.core.cloudevents import OTHERS, UNNAMED, from_cloudevent, from_headers, to_cloudevent
from rtevents.core.event import Entry, Event
from rtevents.errors import EventRefused

DATA = {"severity": "low", "message": "m"}
NAME = re.compile(r"[a-z0-9]+\Z")
FORBIDDEN = re.compile("[\0-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff\U0010fffe\U0010ffff]")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
KNOWN = (
    "causation_id", "causationid", "correlation_id", "data", "datacontenttype", "id", "project",
    "replayed_from", "rteventsextensions", "source", "subject", "time", "traceparent",
)  # fmt: skip
TIMES = st.floats(0, 253402300799, exclude_max=True, allow_subnormal=False)


def risk(**fields: Any) -> Event:
    return Event(**{"type": "RISK_ALERT", "data": DATA, "event_id": "r-1", **fields})


def again(event: Event) -> Event:
    """Return what is read of an event that was written as JSON."""
    return from_cloudevent(json.loads(msgspec.json.encode(to_cloudevent(Entry.of(event, 7)))))


def test_causes_have_their_registered_names() -> None:
    event = risk(extensions={"causation_id": "a", "correlation_id": "b"}, timestamp=1.5)

    fields = to_cloudevent(Entry.of(event, 1))
    assert (fields["causationid"], fields["correlationid"]) == ("a", "b")
    assert "causation_id" not in fields
    assert again(event) == event


def test_what_was_written_by_the_names_of_the_house_is_read() -> None:
    """Before, they were no CloudEvents; recordings of them are."""
    fields = to_cloudevent(Entry.of(risk(), 1)) | {"causation_id": "a"}

    assert from_cloudevent(fields).extensions == {"causation_id": "a"}


@given(
    extensions=st.dictionaries(TEXT | st.sampled_from(KNOWN), TEXT, min_size=1, max_size=8),
    source=TEXT.filter(lambda text: text != UNNAMED),
    project=st.none() | st.just("web"),
)
def test_extensions_are_what_the_specification_allows_and_come_back(
    extensions: dict[str, str], source: str, project: str | None
) -> None:
    event = risk(extensions=extensions, source=source, project_id=project, timestamp=5.25)

    fields = to_cloudevent(Entry.of(event, 1))
    assert all(map(NAME.match, fields))
    own = fields.keys() - {"data", "source"}
    assert not any(FORBIDDEN.search(fields[name]) or not fields[name] for name in own)
    assert again(event) == event


@given(TIMES)
def test_a_time_reads_back_to_the_same_number(timestamp: float) -> None:
    event = risk(timestamp=timestamp)

    assert again(event).timestamp == timestamp


@pytest.mark.parametrize(
    ("text", "timestamp"),
    [
        ("2025-11-23T02:00:00Z", 1763863200.0),
        ("2025-11-23T02:00:00.1234567891Z", 1763863200.1234567891),
        ("2025-11-23t04:30:00.5+02:30", 1763863200.5),
        ("1969-12-31T23:59:59.75Z", -0.25),
        ("20251123T020000.25+0000", 1763863200.25),
    ],
)
def test_times_are_read_as_others_write_them(text: str, timestamp: float) -> None:
    fields = to_cloudevent(Entry.of(risk(), 1)) | {"time": text}

    assert from_cloudevent(fields).timestamp == timestamp


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', "{", 5])
def test_other_extensions_that_are_no_text_by_name_are_refused(text: object) -> None:
    fields = to_cloudevent(Entry.of(risk(), 1)) | {OTHERS: text}

    with pytest.raises(EventRefused, match="expected a JSON object of text"):
        from_cloudevent(fields)


def test_headers_have_the_same_names() -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "a", "ce-source": "s", "ce-type": "RISK_ALERT",
               "ce-causationid": "b", "ce-rteventsextensions": '{"replayed_from":"c"}'}  # fmt: skip

    event = from_headers(headers, json.dumps(DATA).encode())
    assert event.extensions == {"causation_id": "b", "replayed_from": "c"}
