"""Every error has its status and its exit code."""

from __future__ import annotations

import pytest

from rtevents import errors
from rtevents.errors import (
    BookmarkError,
    ConfigError,
    EventConflict,
    GapFound,
    LogClosed,
    NotAuthenticated,
    QueueFull,
    RteventsError,
    TimedOut,
    outcome,
)


def every(kind: type[RteventsError]) -> list[type[RteventsError]]:
    """Return a class and all below it."""
    return [kind, *(each for child in kind.__subclasses__() for each in every(child))]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RteventsError("x"), 500, 1),
        (BookmarkError("x"), 400, 2),
        (ConfigError("x"), 400, 2),
        (EventConflict("id", 7), 409, 5),
        (NotAuthenticated("x"), 401, 4),
        (QueueFull("x", retry_after=2.5), 503, 1),
        (LogClosed("x"), 503, 1),
        (GapFound("x"), 410, 6),
        (TimedOut("x"), 504, 124),
    ],
)
def test_an_error_has_the_outcome_of_its_nearest_ancestor(
    error: RteventsError, status: int, code: int
) -> None:
    assert outcome(error) == (status, code)


def test_the_tree_on_top_shows_every_error() -> None:
    own = [kind for kind in every(RteventsError) if kind.__module__ == errors.__name__]

    assert [kind.__name__ for kind in own if kind.__name__ not in (errors.__doc__ or "")] == []


def test_errors_keep_their_fields_for_code() -> None:
    assert QueueFull("x").retry_after == 1.0
    assert EventConflict("id", 7).field == "event_id"
    assert "as seq 7" in str(EventConflict("id", 7))
    assert "given twice" in str(EventConflict("id", 0))
