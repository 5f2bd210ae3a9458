"""The client that waits; `test_asyncio.py` shows the same facts of the one that is awaited."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from rtevents.client.frames import Control
from rtevents.client.sync import Client
from rtevents.core.event import Entry, Event, Gap
from rtevents.core.filter import Filter
from rtevents.errors import (
    BadInput,
    ConnectionLost,
    EventConflict,
    EventRefused,
    EventTooLarge,
    NotAuthenticated,
    NotFound,
    NotReachable,
    RteventsError,
    Unavailable,
)
from tests.client.conftest import STATUSES, STORED, Staged, risk, wrong
from tests.conftest import Daemon


def next_id(stream: Iterator[Entry | Gap]) -> str:
    """Return the id of the entry that comes next."""
    entry = next(stream)
    assert isinstance(entry, Entry)
    return entry.event.event_id


def ids(client: Client) -> list[str]:
    """Return what the log holds."""
    return [entry.event.event_id for entry in client.history(limit=1000).events]


def test_an_event_is_stored_once_however_often_it_is_published(daemon: Daemon) -> None:
    with daemon.client() as client:
        first, again = (
            client.publish(risk("a", timestamp=5.0)),
            client.publish(risk("a", timestamp=5.0)),
        )
        with pytest.raises(EventConflict) as caught:
            client.publish(risk("a", timestamp=6.0))

    assert (first.event_id, first.seq, first.duplicate) == ("a", 1, False)
    assert (again.seq, again.duplicate) == (1, True)
    assert (caught.value.event_id, caught.value.seq) == ("a", 1)


def test_an_event_that_nobody_dated_is_the_same_when_it_is_made_again(daemon: Daemon) -> None:
    with daemon.client() as client:
        first, again = (
            client.publish(risk("p3-a")),
            client.publish(risk("p3-a")),
        )
        both = client.publish_many([risk("p3-b"), risk("p3-a"), risk("p3-b")])
        with pytest.raises(EventConflict):
            client.publish(risk("p3-a", data={"severity": "high", "message": "x"}))
        with pytest.raises(EventConflict):
            client.publish(risk("p3-a", timestamp=5.0))

    assert (first.seq, first.duplicate) == (1, False)
    assert (again.seq, again.duplicate) == (1, True)
    assert [(each.seq, each.duplicate) for each in both] == [(2, False), (1, True), (2, True)]


def test_an_event_is_stored_with_the_time_of_its_making(daemon: Daemon) -> None:
    event = risk("a")
    with daemon.client() as client:
        client.publish(event)
        found = client.history().events[0]

    assert found.event == event


def test_many_events_are_stored_together_or_not_at_all(daemon: Daemon) -> None:
    with daemon.client() as client:
        stored = client.publish_many([risk("a"), risk("b")])
        with pytest.raises(EventRefused) as caught:
            client.publish_many([risk("c"), wrong("d"), risk("e")])

        assert [each.seq for each in stored] == [1, 2]
        assert (caught.value.index, caught.value.field) == (1, "data.severity")
        assert ids(client) == ["a", "b"]
        assert client.publish_many([]) == []


def test_each_line_is_answered_for_itself(daemon: Daemon) -> None:
    lines = [risk("a").body + b"\r\n", b"\n", b"no json\n", wrong("b").body, risk("c").body]
    with daemon.client() as client:
        answers = list(client.publish_lines(lines))

        assert [answer.line for answer in answers] == [0, 1, 2, 3]
        assert [answer.stored and answer.stored.event_id for answer in answers] == [
            "a", None, None, "c",
        ]  # fmt: skip
        assert isinstance(answers[1].error, BadInput)
        assert isinstance(answers[2].error, EventRefused)
        assert ids(client) == ["a", "c"]


def test_lines_without_ids_get_them_and_keep_their_data(daemon: Daemon) -> None:
    line = b'{"type": "RISK_ALERT", "data": {"severity": "low", "message": "x"} }'
    with daemon.client() as client:
        answers = list(client.publish_lines([line, line, b"{}", b"{"]))
        events = [entry.event for entry in client.history().events]

    assert [answer.stored is not None for answer in answers] == [True, True, False, False]
    assert len({event.event_id for event in events}) == 2
    assert events[0].data == {"severity": "low", "message": "x"}


def test_lines_that_are_too_much_for_one_request_go_in_several(daemon: Daemon) -> None:
    large = [
        risk(f"large{n}", data={"severity": "low", "message": "x" * 900_000}).body
        for n in range(20)
    ]
    small = [risk(f"small{n}").body for n in range(1100)]
    with daemon.client() as client:
        answers = list(client.publish_lines(large + small))

    assert [answer.line for answer in answers] == list(range(1120))
    assert [answer.stored and answer.stored.seq for answer in answers] == list(range(1, 1121))


def test_a_line_that_no_request_holds_is_answered_like_the_others(daemon: Daemon) -> None:
    huge = risk("b", data={"severity": "low", "message": "x" * (1 << 24)})
    lines = [risk("a").body, msgspec.json.encode(huge), risk("c").body]
    with daemon.client() as client:
        answers = list(client.publish_lines(lines))

        assert [answer.line for answer in answers] == [0, 1, 2]
        assert isinstance(answers[1].error, EventTooLarge)
        assert ids(client) == ["a", "c"]


def test_history_comes_in_pages(daemon: Daemon) -> None:
    with daemon.client() as client:
        client.publish_many([risk(name) for name in "abcde"])
        first = client.history(limit=3)
        second = client.history(after=str(first.next), limit=3)
        last = client.history(order="desc", limit=1)
        none = client.history(Filter(types=frozenset({"COMMIT"})))
        with pytest.raises(BadInput):
            client.history(after="zz")

    assert [entry.event.event_id for entry in first.events] == ["a", "b", "c"]
    assert [entry.seq for entry in second.events] == [4, 5]
    assert [entry.seq for entry in last.events] == [5]
    assert (none.events, first.oldest, first.newest) == ([], 1, 5)


def test_an_event_is_found_by_its_id(daemon: Daemon) -> None:
    with daemon.client() as client:
        # Ids that look like a time, a word and a bookmark are ids all the same.
        names = ["a:b.c_d-e", "10m", "last", "1763863200", "0123abcd-7"]
        client.publish_many([risk(name) for name in names])
        found = [client.find(name).event_id for name in names]
        for name in ("nobody", "99m", "all"):
            with pytest.raises(NotFound, match=f"no event '{name}' is kept"):
                client.find(name)
        with pytest.raises(BadInput, match="not an event id"):
            client.find('" or "')

    assert found == names


def test_a_stream_goes_on_over_a_restart_without_loss_or_repeat(daemon: Daemon) -> None:
    with daemon.client() as client:
        client.publish(risk("a"))
        stream = client.stream(since="all")
        seen = [next_id(stream)]
        for number in range(3):
            daemon.stop(signal.SIGKILL if number % 2 else signal.SIGTERM)
            daemon.start()
            client.publish(risk(f"b{number}"))
            seen.append(next_id(stream))

        assert seen == ids(client) == ["a", "b0", "b1", "b2"]


def test_control_frames_come_on_request(daemon: Daemon) -> None:
    with daemon.client() as client:
        client.publish(risk("a"))
        stream = client.stream(Filter(types=frozenset({"RISK_ALERT"})), since="all", control=True)
        frames = [next(stream) for _ in range(3)]

    assert [frame.name if isinstance(frame, Control) else "entry" for frame in frames] == [
        "hello", "entry", "live",
    ]  # fmt: skip


def test_a_log_that_is_another_begins_with_a_gap(daemon: Daemon) -> None:
    with daemon.client() as client:
        client.publish(risk("a"))
        epoch = client.history().next.epoch
        other = ("1" if epoch[0] == "0" else "0") + epoch[1:]
        stream = client.stream(since=f"{other}-9")

        assert isinstance(next(stream), Gap)
        assert isinstance(next(stream), Entry)


def test_who_does_not_want_to_come_back_is_told_of_the_end(daemon: Daemon) -> None:
    with daemon.client() as client:
        client.publish(risk("a"))
        stream = client.stream(since="all", reconnect=False)
        next(stream)
        daemon.stop()

        with pytest.raises(ConnectionLost, match="the connection is lost: shutdown"):
            next(stream)


def test_a_stream_that_is_refused_is_not_tried_again(daemon: Daemon) -> None:
    with daemon.client() as client, pytest.raises(BadInput, match="did you mean COMMIT"):
        next(client.stream(Filter(types=frozenset({"COMIT"}))))


def test_a_stream_without_a_daemon_is_told_at_once(stopped_daemon: Daemon) -> None:
    with stopped_daemon.client() as client, pytest.raises(NotReachable):
        next(client.stream())


def test_a_connection_that_the_daemon_closed_is_opened_again(daemon: Daemon) -> None:
    with daemon.client() as client:
        for name in "abc":
            client.publish(risk(name))
            daemon.stop(signal.SIGKILL)
            daemon.start()

        assert ids(client) == ["a", "b", "c"]


def test_no_daemon_is_told_with_what_to_do(stopped_daemon: Daemon) -> None:
    with stopped_daemon.client() as client, pytest.raises(NotReachable) as caught:
        client.status()

    said = f"no daemon at {stopped_daemon.socket}: start one with: rtevents serve"
    assert str(caught.value) == said


def test_over_tcp_a_token_is_needed(daemon: Daemon) -> None:
    with daemon.client() as owner:
        listen = owner.status()["listen"]
        token = owner.create_token("publisher", name="ci")["token"]
    with Client(f"http://{listen}", token=token) as client:
        stored = client.publish(risk("a"))
    for secret in (None, "über", "秘密"):
        with (
            Client(f"http://{listen}", token=secret) as nobody,
            pytest.raises(NotAuthenticated),
        ):
            nobody.publish(risk("b"))

    assert stored.seq == 1


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(BadInput, match="not the address of a daemon"):
        Client("ftp://example.org").status()


@pytest.mark.parametrize(("status", "fields", "error"), STATUSES)
def test_each_status_is_its_error(
    staged: Staged, status: int, fields: dict[str, object], error: type[RteventsError]
) -> None:
    staged.answer(status, {"detail": "in words", "status": status} | fields)
    with Client(staged.url, retry_for=0) as client, pytest.raises(error) as caught:
        client.publish(risk("a"))

    assert type(caught.value) is error
    assert error is EventConflict or str(caught.value) == "in words"
    for name, value in fields.items():
        assert getattr(caught.value, name) == value


def test_an_answer_in_no_known_form_names_its_status(staged: Staged) -> None:
    staged.answers.append((502, {"Content-Type": "text/html"}, b"<h1>Bad gateway</h1>"))
    with (
        Client(staged.url, retry_for=0) as client,
        pytest.raises(Unavailable, match="answered 502"),
    ):
        client.publish(risk("a"))


def test_what_answers_and_is_no_daemon_is_told(staged: Staged) -> None:
    staged.answers.append((200, {"Content-Type": "text/html"}, b"<h1>It works</h1>"))
    with Client(staged.url) as client, pytest.raises(NotReachable, match="is no daemon"):
        client.publish(risk("a"))


def test_a_refusal_that_is_not_utf_8_names_its_status(staged: Staged) -> None:
    staged.answers.append((500, {"Content-Type": "text/html"}, b'{"detail":"\xff"}'))
    with Client(staged.url) as client, pytest.raises(RteventsError, match="answered 500"):
        client.publish(risk("a"))


def test_a_busy_daemon_is_asked_again_with_the_same_event(staged: Staged) -> None:
    staged.answer(503, {"detail": "queue full", "status": 503}, Retry_After="0")
    staged.answer(503, {"detail": "queue full", "status": 503}, Retry_After="0")
    staged.answer(201, STORED, Content_Type="application/json")
    with Client(staged.url) as client:
        stored = client.publish(risk("a"))

    assert stored.seq == 1
    assert len(staged.bodies) == 3
    assert len(set(staged.bodies)) == 1


def test_busy_lines_are_sent_again_as_the_same_events(staged: Staged) -> None:
    fine = {"event_id": "a", "seq": 1, "duplicate": False}
    staged.lines(503, fine, {"detail": "queue full", "status": 503, "index": 1})
    staged.answers[0][1]["Retry-After"] = "0"
    staged.lines(201, fine | {"duplicate": True}, fine | {"seq": 2})
    line = b'{"type":"RISK_ALERT","data":{"severity":"low","message":"x"}}'
    with Client(staged.url) as client:
        answers = list(client.publish_lines([line, line]))

    assert [answer.stored and answer.stored.seq for answer in answers] == [1, 2]
    assert staged.bodies[0] == staged.bodies[1]
    assert len({json.loads(sent)["event_id"] for sent in staged.bodies[0].splitlines()}) == 2


def test_a_daemon_that_stays_busy_is_given_up_in_time(staged: Staged) -> None:
    staged.answer(503, {"detail": "queue full", "status": 503}, Retry_After="60")
    began = time.monotonic()
    with Client(staged.url, retry_for=0.5) as client, pytest.raises(Unavailable) as caught:
        client.publish(risk("a"))

    assert caught.value.retry_after == 60.0
    assert len(staged.bodies) == 1
    assert time.monotonic() - began < 30  # of the 60 after which it was to ask again


def test_a_commit_is_published_by_its_place(daemon: Daemon) -> None:
    root = daemon.repository()
    with daemon.client() as client:
        stored = client.commit(root)

    assert stored.event_id.endswith(daemon.git("rev-parse", "HEAD", cwd=root))


def test_it_administers(daemon: Daemon, tmp_path: Path) -> None:
    with daemon.client() as client:
        project = client.add_project(tmp_path, id="web", git=False)
        assert [each["id"] for each in client.projects()] == ["web"]
        client.remove_project("web")
        client.add_type("DEPLOY", {"required": ["version"]})
        client.create_token("viewer")
        (token,) = client.tokens()
        client.revoke_token(token["id"])

        assert project["path"] == str(tmp_path)
        assert client.projects() == []
        assert client.tokens() == []
        assert client.types()[-1]["name"] == "DEPLOY"
        assert "secret" in [each["name"] for each in client.risk_rules()]
        for connection in client.connections():
            client.close_connection(connection["connection_id"])
        assert client.connections() == []
        assert client.stats()["events"]["refused"] == 0
        assert "#" in client.ticket()["url"]


def test_the_helpers_of_the_core_publish_through_it(daemon: Daemon) -> None:
    from rtevents.core.helpers import publish_risk_alert

    with daemon.client() as client:
        publish_risk_alert(client, "high", "disk full")
        events: list[Event] = [entry.event for entry in client.history().events]

    assert events[0].data == {"severity": "high", "message": "disk full"}
