"""Place: where a reader is, and how it comes back there."""

from __future__ import annotations

import pytest

from rtevents.client.frames import BACKOFF_MAX, Control, Place
from rtevents.core.event import Entry, Event, Gap
from rtevents.errors import BadInput, ConnectionLost

HELLO = b'{"control":"hello","bookmark":"0123abcd-7","verdict":"new"}'


def line(seq: int) -> bytes:
    """Return the line of an entry."""
    event = Event(type="AUTO_COMMIT_ERROR", data={"error": "x"})
    return b'{"seq":%d,' % seq + event.body[1:]


@pytest.fixture
def place() -> Place:
    """Return the place of a reader who is connected, after entry 7."""
    place = Place("all")
    place.read(HELLO)
    return place


def test_it_begins_where_it_was_told() -> None:
    assert (Place("10m").since, Place("10m").has_connected) == ("10m", False)


def test_hello_gives_the_bookmark_and_means_connected(place: Place) -> None:
    assert (place.since, place.has_connected) == ("0123abcd-7", True)


def test_an_entry_moves_it(place: Place) -> None:
    entry = place.read(line(9))

    assert isinstance(entry, Entry)
    assert entry.seq == 9
    assert place.since == "0123abcd-9"


def test_an_older_entry_does_not_move_it_back(place: Place) -> None:
    place.read(line(3))

    assert place.since == "0123abcd-7"


def test_a_bookmark_frame_moves_it_past_what_the_filter_hides(place: Place) -> None:
    frame = place.read(b'{"control":"bookmark","bookmark":"0123abcd-12"}')

    assert frame == Control("bookmark", {"bookmark": "0123abcd-12"})
    assert place.since == "0123abcd-12"


def test_another_log_begins_anew(place: Place) -> None:
    place.read(b'{"control":"hello","bookmark":"9999abcd-1","verdict":"other-epoch"}')

    assert place.since == "9999abcd-1"


def test_a_gap_is_a_gap(place: Place) -> None:
    gap = place.read(
        b'{"control":"gap","after":7,"before":20,"reason":"trimmed","bookmark":"0123abcd-19"}'
    )

    assert gap == Gap(7, 20, "trimmed")
    assert place.since == "0123abcd-19"


def test_a_heartbeat_has_no_seq_and_moves_nothing(place: Place) -> None:
    event = Event(type="HEALTH_CHECK", data={"status": "ok", "timestamp": 1.0})

    frame = place.read(event.body)

    assert isinstance(frame, Entry)
    assert (frame.type, frame.seq) == ("HEALTH_CHECK", 0)
    assert place.since == "0123abcd-7"


@pytest.mark.parametrize("wrong", [b"", b"{", b"[]", b"\xff", b'{"control":"x"', b"7"])
def test_what_is_no_frame_is_told(place: Place, wrong: bytes) -> None:
    with pytest.raises(BadInput, match="not a frame"):
        place.read(wrong)


def test_pauses_grow_to_a_limit_and_begin_again_after_hello(place: Place) -> None:
    pauses = [place.lost("cut", reconnect=True) for _ in range(50)]
    place.read(HELLO)
    again = place.lost("cut", reconnect=True)

    for attempt, pause in enumerate(pauses, 1):
        longest = min(BACKOFF_MAX, 0.1 * 2 ** min(attempt, 10))
        assert longest / 2 <= pause <= longest
    assert again <= 0.2


def test_who_does_not_come_back_is_told_why(place: Place) -> None:
    with pytest.raises(ConnectionLost, match="the connection is lost: cut"):
        place.lost("cut", reconnect=False)


def test_a_stream_that_was_ended_on_purpose_is_not_reopened(place: Place) -> None:
    with pytest.raises(ConnectionLost, match="ended on purpose"):
        place.lost("ended", reconnect=True)
