"""The nouns that travel, and their wire bytes."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtevents.core.event import (
    MAX_PATH,
    Bookmark,
    Entry,
    Event,
    Gap,
    Undated,
    decode_entry,
    is_same_body,
)
from rtevents.errors import BadInput, BookmarkError

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
    assert Entry.of(one, 7).event.data == data
    assert json.loads(text)["source"] == source


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
    long = "a/" * (MAX_PATH // 2)
    assert event(data={"path": long}).path == long
    assert event(data={"path": long + "b"}).path == ""


def test_the_same_body_is_type_data_project_and_a_given_timestamp() -> None:
    stored = event(event_id="x", timestamp=5.0, data={"task_id": "T", "list": [1, 2]})
    fields = {"event_id": "x", "data": {"task_id": "T", "list": (1, 2)}}

    assert is_same_body(event(**fields, timestamp=5.0, source="other"), stored)
    assert not is_same_body(event(**fields, timestamp=6.0), stored)
    assert is_same_body(Undated(type="TASK_UPDATE", **fields), stored)  # type: ignore[arg-type]
    assert not is_same_body(event(**fields, timestamp=5.0, type="OTHER"), stored)
    assert not is_same_body(event(**fields, timestamp=5.0, project_id="web"), stored)
    assert not is_same_body(event(event_id="x", timestamp=5.0), stored)
    reordered = {"list": [1, 2], "task_id": "T"}
    assert is_same_body(event(event_id="x", timestamp=5.0, data=reordered), stored)
    as_true = {"task_id": "T", "list": [True, 2]}
    assert not is_same_body(event(event_id="x", timestamp=5.0, data=as_true), stored)


def test_a_time_that_nobody_gave_is_that_of_the_making_and_no_part_of_the_body() -> None:
    begun = time.time()
    first, again = event(event_id="x"), event(event_id="x")

    assert begun <= first.timestamp <= time.time()
    assert (first.is_dated, event(timestamp=5.0).is_dated) == (False, True)
    assert is_same_body(again, event(event_id="x", timestamp=5.0))
    assert math.isnan(event(timestamp=math.nan).timestamp)
    assert msgspec.json.decode(first.body)["timestamp"] == first.timestamp


def test_a_bookmark_is_an_epoch_and_a_seq() -> None:
    assert Bookmark.parse("9f543e9a-42") == Bookmark("9f543e9a", 42)
    assert str(Bookmark("9f543e9a", 42)) == "9f543e9a-42"
    for text in ("", "zz", "9f543e9a-", "9f543e9a--1", "9F543E9A-1", "9f543e9a-1\n"):
        with pytest.raises(BookmarkError, match="not a bookmark"):
            Bookmark.parse(text)


def test_the_undated_event_is_encoded_as_any_other() -> None:
    one = Undated(type="A", data={}, event_id="x", timestamp=1.0)

    assert msgspec.json.decode(one.body) == {
        "event_id": "x", "type": "A", "data": {}, "timestamp": 1.0, "source": "",
        "project_id": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("gap", "words"),
    [
        (Gap(1, 4, "trimmed"), "entries 2 to 3 can no longer be read (trimmed)"),
        (Gap(0, 2, "trimmed", "web"), "log web: entry 1 can no longer be read (trimmed)"),
        (
            Gap(90, 1_000_101, "other-epoch"),
            "what came after entry 90, if anything did, was lost (other-epoch); "
            "the log goes on at 1000101",
        ),
        (
            Gap(0, 1_000_101, "other-epoch", "team"),
            "log team: it is not known what was missed (other-epoch); going on with what is kept",
        ),
        (
            Gap(0, 7, "unknown-id"),
            "it is not known what was missed (unknown-id); going on with what is kept",
        ),
        (
            Gap(5, 10, "ahead"),
            "the place 9 is beyond the end of the log, 5: it has lost its end, or the place was "
            "never in it",
        ),
    ],
)
def test_a_gap_tells_people_what_is_missing_and_counts_nothing_that_never_was(
    gap: Gap, words: str
) -> None:
    assert gap.words == words
