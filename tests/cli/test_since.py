"""Places in the log as people write them on a command line."""

from __future__ import annotations

import pytest

from rtevents.cli.since import place
from rtevents.errors import BookmarkError

UUID = "01a207ce-3bc7-7f96-93b0-9f26d970dbe1"


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        (None, None),
        ("all", "all"),
        ("last-per-type", "last-per-type"),
        ("10m", "10m"),
        ("1h30m", "1h30m"),
        ("1763863200.5", "1763863200.5"),
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ("9f543e9a-42", "9f543e9a-42"),
        (UUID, UUID),
        (UUID.upper(), UUID.upper()),
        ("git:web:0a1b", "git:web:0a1b"),
        ("build.7", "build.7"),
        ("ci_7", "ci_7"),
        ("id:10min", "10min"),
        ("id:T-12", "T-12"),
        ("id:id:x", "id:x"),
    ],
)
def test_what_is_a_place_is_sent_as_it_is(text: str | None, sent: str | None) -> None:
    assert place(text) == sent


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("10min", "write 10m"),
        ("2hours", "write 2h"),
        ("1.5-days", "write 1.5d"),
        ("10M", "write 10m"),
        ("nwe", "did you mean new?"),
        ("last-per-tpye", "did you mean last-per-type?"),
        ("yesterday", "write 10m for a time, id:yesterday for an event's id"),
        ("-1", "write 10m, 2026-01-31T12:00:00Z, or id: in front of an event's id"),
        (
            "2026-13-45T00:00:00Z",
            "write 10m, 2026-01-31T12:00:00Z, or id: in front of an event's id",
        ),
        ("10.5.7", "write 10m, 2026-01-31T12:00:00Z, or id: in front of an event's id"),
        ("T-12", "write 10m for a time, id:T-12 for an event's id"),
    ],
)
def test_a_slip_is_no_event_id(text: str, hint: str) -> None:
    with pytest.raises(BookmarkError) as caught:
        place(text)

    assert str(caught.value) == f"not a time, a bookmark or an event id: {text!r} ({hint})"


@pytest.mark.parametrize("text", ["", "a b", "id:", "id:a b", ","])
def test_what_no_event_could_be_called_is_no_place(text: str) -> None:
    with pytest.raises(BookmarkError, match="not a time, a bookmark or an event id"):
        place(text)


@pytest.mark.parametrize("text", ["id:10m", "id:all", "id:9f543e9a-42"])
def test_an_id_that_reads_as_another_place_cannot_be_named(text: str) -> None:
    with pytest.raises(BookmarkError, match="it reads as a time or a bookmark"):
        place(text)
