"""What people write for a place in the log."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from rtevents.core.event import Bookmark
from rtevents.core.since import Since, parse_duration, parse_since, parse_time
from rtevents.errors import BookmarkError, FilterError

NOW = 1_763_863_200.0
FOUR = datetime(2026, 11, 23, 4, tzinfo=UTC).timestamp()
UUID = "0199a1b2-c3d4-7000-8000-000000000000"
NO_PLACES = ["", "ten minutes ago", "a b", "x" * 10_000, "\x00", "9f543e9a-42\n"]


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("all", Since(word="all")),
        ("last-per-type", Since(word="last-per-type")),
        ("9f543e9a-42", Since(bookmark=Bookmark("9f543e9a", 42))),
        ("10m", Since(timestamp=NOW - 600)),
        ("1h30m", Since(timestamp=NOW - 5400)),
        ("1.5s", Since(timestamp=NOW - 1.5)),
        ("250ms", Since(timestamp=NOW - 0.25)),
        ("1763863200.5", Since(timestamp=1763863200.5)),
        ("2026-11-23T04:00:00Z", Since(timestamp=FOUR)),
        ("2026-11-23", Since(timestamp=datetime(2026, 11, 23).astimezone().timestamp())),
        ("git:web:0a1b2c3d", Since(event_id="git:web:0a1b2c3d")),
        (UUID, Since(event_id=UUID)),
        ("ZZZZZZZZ-4", Since(event_id="ZZZZZZZZ-4")),
    ],
)  # fmt: skip
def test_each_way_to_write_a_place_is_read(text: str, since: Since) -> None:
    assert parse_since(text, now=lambda: NOW) == since


@pytest.mark.parametrize(
    "text", ["", "ten minutes ago", "a b", "x" * 10_000, "\x00", "9f543e9a-42\n"]
)
def test_what_is_no_place_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(BookmarkError) as caught:
        parse_since(text)

    assert str(caught.value).startswith("not a time, a bookmark or an event id: ")
    assert len(str(caught.value)) < 400


def test_a_time_is_a_duration_a_number_or_rfc_3339() -> None:
    assert parse_time("10m", now=lambda: NOW) == NOW - 600
    assert parse_time("12") == 12.0
    with pytest.raises(FilterError, match="not a time: 'soon'"):
        parse_time("soon")


def test_a_date_beyond_the_calendar_is_no_time() -> None:
    with pytest.raises(FilterError):
        parse_time("0001-01-01")


def test_a_duration_has_a_unit() -> None:
    assert parse_duration("2d") == 172_800
    assert parse_duration("2") is None
