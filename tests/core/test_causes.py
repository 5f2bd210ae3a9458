"""Which event caused which, and the tree that they make."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtevents.core.causes import caused_by, story_of, tree
from rtevents.core.event import Entry, Event, Stored
from rtevents.core.helpers import publish_task_update


def entry(seq: int, cause: str | None = None, story: str | None = None) -> Entry:
    """Return an entry whose id is its seq, so many seconds after the beginning."""
    named = {"causation_id": cause, "correlation_id": story}
    extensions = {name: value for name, value in named.items() if value is not None}
    event = Event(
        type="X", data={}, event_id=f"e{seq}", timestamp=float(seq * 10), extensions=extensions
    )
    return Entry.of(event, seq)


def shape(entries: list[Entry]) -> list[tuple[int, int | None, int, float]]:
    """Return seq, parent, depth and seconds of each line of the tree."""
    return [(node.entry.seq, node.parent, node.depth, node.seconds) for node in tree(entries)]


def test_what_is_caused_names_its_cause_and_its_story() -> None:
    first, second = entry(1), entry(2, cause="e1", story="e1")

    assert caused_by(first) == {"correlation_id": "e1", "causation_id": "e1"}
    assert caused_by(second) == {"correlation_id": "e1", "causation_id": "e2"}
    assert caused_by(second.event) == caused_by(second)
    assert caused_by("e9") == {"causation_id": "e9"}
    assert (story_of(first), story_of(second)) == ("e1", "e1")


def test_each_event_stands_behind_what_caused_it() -> None:
    entries = [entry(4, "e2"), entry(1), entry(3, "e1"), entry(2, "e1"), entry(5)]

    assert shape(entries) == [
        (1, None, 0, 0), (2, 1, 1, 10), (4, 2, 2, 20), (3, 1, 1, 20), (5, None, 0, 0),
    ]  # fmt: skip


def test_what_names_no_cause_hangs_from_the_beginning_of_its_story() -> None:
    assert shape([entry(1), entry(2, "gone", story="e1")]) == [(1, None, 0, 0), (2, 1, 1, 10)]


@pytest.mark.parametrize(
    "circle",
    [[entry(1, "e1")], [entry(1, "e2"), entry(2, "e1")],
     [entry(3, "e2"), entry(2, "e1"), entry(1, "e3"), entry(4, "e2")]],
)  # fmt: skip
def test_a_circle_begins_at_its_oldest_event(circle: list[Entry]) -> None:
    found = shape(circle)

    assert sorted(line[0] for line in found) == sorted(each.seq for each in circle)
    assert found[0][:3] == (1, None, 0)


def test_thousands_in_a_row_are_no_matter() -> None:
    entries = [entry(1), *(entry(seq, f"e{seq - 1}") for seq in range(2, 5001))]

    assert tree(entries)[-1].depth == 4999


@given(st.lists(st.integers(1, 12), min_size=1, max_size=12))
def test_no_event_is_lost_whatever_they_say_of_one_another(causes: list[int]) -> None:
    entries = [entry(at, f"e{cause}") for at, cause in enumerate(causes, 1)]

    nodes = tree(entries)

    assert sorted(node.entry.seq for node in nodes) == [each.seq for each in entries]
    seen: set[int | None] = {None}
    for node in nodes:
        assert node.parent in seen
        seen.add(node.entry.seq)


class Kept:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def publish(self, event: Event) -> Stored:
        """Keep an event."""
        self.events.append(event)
        return Stored(event.event_id, len(self.events), duplicate=False)


def test_the_helpers_take_the_cause() -> None:
    to = Kept()
    publish_task_update(to, "T-1", "done", caused_by=entry(2, "e1", "e1"))
    publish_task_update(to, "T-2", "done", caused_by="e7", extensions={"traceparent": "x"})

    assert to.events[0].extensions == {"correlation_id": "e1", "causation_id": "e2"}
    assert to.events[1].extensions == {"causation_id": "e7", "traceparent": "x"}
    assert to.events[0].data == {"task_id": "T-1", "status": "done"}
