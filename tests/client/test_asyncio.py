"""The client that is awaited; `test_sync.py` shows the same facts of the one that waits."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from rtevents.client.asyncio import Client
from rtevents.client.calls import LineAnswer
from rtevents.client.frames import Control
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


async def next_id(stream: AsyncIterator[Entry | Gap]) -> str:
    """Return the id of the entry that comes next."""
    entry = await anext(stream)
    assert isinstance(entry, Entry)
    return entry.event.event_id


async def collect(answers: AsyncIterator[LineAnswer]) -> list[LineAnswer]:
    """Return what comes, all of it."""
    return [answer async for answer in answers]


async def ids(client: Client) -> list[str]:
    """Return what the log holds."""
    return [entry.event.event_id for entry in (await client.history(limit=1000)).events]


async def test_an_event_is_stored_once_however_often_it_is_published(daemon: Daemon) -> None:
    async with Client(daemon.socket) as client:
        first, again = (
            await client.publish(risk("a", timestamp=5.0)),
            await client.publish(risk("a", timestamp=5.0)),
        )
        with pytest.raises(EventConflict) as caught:
            await client.publish(risk("a", timestamp=6.0))

    assert (first.event_id, first.seq, first.duplicate) == ("a", 1, False)
    assert (again.seq, again.duplicate) == (1, True)
    assert (caught.value.event_id, caught.value.seq) == ("a", 1)


async def test_an_event_that_nobody_dated_is_the_same_when_it_is_made_again(daemon: Daemon) -> None:
    async with Client(daemon.socket) as client:
        first, again = (
            await client.publish(risk("p3-a")),
            await client.publish(risk("p3-a")),
        )
        both = await client.publish_many([risk("p3-b"), risk("p3-a"), risk("p3-b")])
        with pytest.raises(EventConflict):
            await client.publish(risk("p3-a", data={"severity": "high", "message": "x"}))
        with pytest.raises(EventConflict):
            await client.publish(risk("p3-a", timestamp=5.0))

    assert (first.seq, first.duplicate) == (1, False)
    assert (again.seq, again.duplicate) == (1, True)
    assert [(each.seq, each.duplicate) for each in both] == [(2, False), (1, True), (2, True)]


async def test_an_event_is_stored_with_the_time_of_its_making(daemon: Daemon) -> None:
    event = risk("a")
    async with Client(daemon.socket) as client:
        await client.publish(event)
        found = (await client.history()).events[0]

    assert found.event == event


async def test_many_events_are_stored_together_or_not_at_all(daemon: Daemon) -> None:
    async with Client(daemon.socket) as client:
        stored = await client.publish_many([risk("a"), risk("b")])
        with pytest.raises(EventRefused) as caught:
            await client.publish_many([risk("c"), wrong("d"), risk("e")])

        assert [each.seq for each in stored] == [1, 2]
        assert (caught.value.index, caught.value.field) == (1, "data.severity")
        assert await ids(client) == ["a", "b"]
        assert await client.publish_many([]) == []


async def test_each_line_is_answered_for_itself(daemon: Daemon) -> None:
    lines = [risk("a").body + b"\r\n", b"\n", b"no json\n", wrong("b").body, risk("c").body]
    async with Client(daemon.socket) as client:
        answers = await collect(client.publish_lines(lines))

        assert [answer.line for answer in answers] == [0, 1, 2, 3]
        assert [answer.stored and answer.stored.event_id for answer in answers] == [
            "a", None, None, "c",
        ]  # fmt: skip
        assert isinstance(answers[1].error, BadInput)
        assert isinstance(answers[2].error, EventRefused)
        assert await ids(client) == ["a", "c"]


async def test_lines_without_ids_get_them_and_keep_their_data(daemon: Daemon) -> None:
    line = b'{"type": "RISK_ALERT", "data": {"severity": "low", "message": "x"} }'
    async with Client(daemon.socket) as client:
        answers = await collect(client.publish_lines([line, line, b"{}", b"{"]))
        events = [entry.event for entry in (await client.history()).events]

    assert [answer.stored is not None for answer in answers] == [True, True, False, False]
    assert len({event.event_id for event in events}) == 2
    assert events[0].data == {"severity": "low", "message": "x"}


async def test_lines_that_are_too_much_for_one_request_go_in_several(daemon: Daemon) -> None:
    large = [
        risk(f"large{n}", data={"severity": "low", "message": "x" * 900_000}).body
        for n in range(20)
    ]
    small = [risk(f"small{n}").body for n in range(1100)]
    async with Client(daemon.socket) as client:
        answers = await collect(client.publish_lines(large + small))

    assert [answer.line for answer in answers] == list(range(1120))
    assert [answer.stored and answer.stored.seq for answer in answers] == list(range(1, 1121))


async def test_a_line_that_no_request_holds_is_answered_like_the_others(daemon: Daemon) -> None:
    huge = risk("b", data={"severity": "low", "message": "x" * (1 << 24)})
    lines = [risk("a").body, msgspec.json.encode(huge), risk("c").body]
    async with Client(daemon.socket) as client:
        answers = [answer async for answer in client.publish_lines(lines)]

        assert [answer.line for answer in answers] == [0, 1, 2]
        assert isinstance(answers[1].error, EventTooLarge)
        assert await ids(client) == ["a", "c"]


async def test_history_comes_in_pages(daemon: Daemon) -> None:
    async with Client(daemon.socket) as client:
        await client.publish_many([risk(name) for name in "abcde"])
        first = await client.history(limit=3)
        second = await client.history(after=str(first.next), limit=3)
        last = await client.history(order="desc", limit=1)
        none = await client.history(Filter(types=frozenset({"COMMIT"})))
        with pytest.raises(BadInput):
            await client.history(after="zz")

    assert [entry.event.event_id for entry in first.events] == ["a", "b", "c"]
    assert [entry.seq for entry in second.events] == [4, 5]
    assert [entry.seq for entry in last.events] == [5]
    assert (none.events, first.oldest, first.newest) == ([], 1, 5)


async def test_an_event_is_found_by_its_id(daemon: Daemon) -> None:
    async with Client(daemon.socket) as client:
        names = ["a:b.c_d-e", "10m", "last", "1763863200", "0123abcd-7"]
        await client.publish_many([risk(name) for name in names])
        found = [(await client.find(name)).event_id for name in names]
        for name in ("nobody", "99m", "all"):
            with pytest.raises(NotFound, match=f"no event '{name}' is kept"):
                await client.find(name)
        with pytest.raises(BadInput, match="not an event id"):
            await client.find('" or "')

    assert found == names


async def test_a_stream_goes_on_over_a_restart_without_loss_or_repeat(daemon: Daemon) -> None:
    async with Client(daemon.socket) as client:
        await client.publish(risk("a"))
        stream = client.stream(since="all")
        seen = [await next_id(stream)]
        for number in range(3):
            daemon.stop(signal.SIGKILL if number % 2 else signal.SIGTERM)
            daemon.start()
            await client.publish(risk(f"b{number}"))
            seen.append(await next_id(stream))

        assert seen == await ids(client) == ["a", "b0", "b1", "b2"]


async def test_control_frames_come_on_request(daemon: Daemon) -> None:
    async with Client(daemon.socket) as client:
        await client.publish(risk("a"))
        stream = client.stream(Filter(types=frozenset({"RISK_ALERT"})), since="all", control=True)
        frames = [await anext(stream) for _ in range(3)]

    assert [frame.name if isinstance(frame, Control) else "entry" for frame in frames] == [
        "hello", "entry", "live",
    ]  # fmt: skip


async def test_a_log_that_is_another_begins_with_a_gap(daemon: Daemon) -> None:
    async with Client(daemon.socket) as client:
        await client.publish(risk("a"))
        epoch = (await client.history()).next.epoch
        other = ("1" if epoch[0] == "0" else "0") + epoch[1:]
        stream = client.stream(since=f"{other}-9")

        assert isinstance(await anext(stream), Gap)
        assert isinstance(await anext(stream), Entry)


async def test_who_does_not_want_to_come_back_is_told_of_the_end(daemon: Daemon) -> None:
    async with Client(daemon.socket) as client:
        await client.publish(risk("a"))
        stream = client.stream(since="all", reconnect=False)
        await anext(stream)
        daemon.stop()

        with pytest.raises(ConnectionLost, match="the connection is lost: shutdown"):
            await anext(stream)


async def test_a_stream_that_is_refused_is_not_tried_again(daemon: Daemon) -> None:
    async with Client(daemon.socket) as client:
        with pytest.raises(BadInput, match="did you mean COMMIT"):
            await anext(client.stream(Filter(types=frozenset({"COMIT"}))))


async def test_a_stream_without_a_daemon_is_told_at_once(stopped_daemon: Daemon) -> None:
    async with Client(stopped_daemon.socket) as client:
        with pytest.raises(NotReachable):
            await anext(client.stream())


async def test_a_connection_that_the_daemon_closed_is_opened_again(daemon: Daemon) -> None:
    async with Client(daemon.socket) as client:
        for name in "abc":
            await client.publish(risk(name))
            daemon.stop(signal.SIGKILL)
            daemon.start()

        assert await ids(client) == ["a", "b", "c"]


async def test_no_daemon_is_told_with_what_to_do(stopped_daemon: Daemon) -> None:
    async with Client(stopped_daemon.socket) as client:
        with pytest.raises(NotReachable) as caught:
            await client.status()

    said = f"no daemon at {stopped_daemon.socket}: start one with: rtevents serve"
    assert str(caught.value) == said


async def test_over_tcp_a_token_is_needed(daemon: Daemon) -> None:
    async with Client(daemon.socket) as owner:
        listen = (await owner.status())["listen"]
        token = (await owner.create_token("publisher", name="ci"))["token"]
    async with Client(f"http://{listen}", token=token) as client:
        stored = await client.publish(risk("a"))
    async with Client(f"http://{listen}") as nobody:
        with pytest.raises(NotAuthenticated):
            await nobody.publish(risk("b"))

    assert stored.seq == 1


async def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(BadInput, match="not the address of a daemon"):
        await Client("ftp://example.org").status()


@pytest.mark.parametrize(("status", "fields", "error"), STATUSES)
async def test_each_status_is_its_error(
    staged: Staged, status: int, fields: dict[str, object], error: type[RteventsError]
) -> None:
    staged.answer(status, {"detail": "in words", "status": status} | fields)
    async with Client(staged.url, retry_for=0) as client:
        with pytest.raises(error) as caught:
            await client.publish(risk("a"))

    assert type(caught.value) is error
    assert error is EventConflict or str(caught.value) == "in words"
    for name, value in fields.items():
        assert getattr(caught.value, name) == value


async def test_an_answer_in_no_known_form_names_its_status(staged: Staged) -> None:
    staged.answers.append((502, {"Content-Type": "text/html"}, b"<h1>Bad gateway</h1>"))
    async with Client(staged.url, retry_for=0) as client:
        with pytest.raises(Unavailable, match="answered 502"):
            await client.publish(risk("a"))


async def test_a_busy_daemon_is_asked_again_with_the_same_event(staged: Staged) -> None:
    staged.answer(503, {"detail": "queue full", "status": 503}, Retry_After="0")
    staged.answer(503, {"detail": "queue full", "status": 503}, Retry_After="0")
    staged.answer(201, STORED, Content_Type="application/json")
    async with Client(staged.url) as client:
        stored = await client.publish(risk("a"))

    assert stored.seq == 1
    assert len(staged.bodies) == 3
    assert len(set(staged.bodies)) == 1


async def test_busy_lines_are_sent_again_as_the_same_events(staged: Staged) -> None:
    fine = {"event_id": "a", "seq": 1, "duplicate": False}
    staged.lines(503, fine, {"detail": "queue full", "status": 503, "index": 1})
    staged.answers[0][1]["Retry-After"] = "0"
    staged.lines(201, fine | {"duplicate": True}, fine | {"seq": 2})
    line = b'{"type":"RISK_ALERT","data":{"severity":"low","message":"x"}}'
    async with Client(staged.url) as client:
        answers = await collect(client.publish_lines([line, line]))

    assert [answer.stored and answer.stored.seq for answer in answers] == [1, 2]
    assert staged.bodies[0] == staged.bodies[1]
    assert len({json.loads(sent)["event_id"] for sent in staged.bodies[0].splitlines()}) == 2


async def test_a_daemon_that_stays_busy_is_given_up_in_time(staged: Staged) -> None:
    staged.answer(503, {"detail": "queue full", "status": 503}, Retry_After="60")
    began = time.monotonic()
    async with Client(staged.url, retry_for=0.5) as client:
        with pytest.raises(Unavailable) as caught:
            await client.publish(risk("a"))

    assert caught.value.retry_after == 60.0
    assert len(staged.bodies) == 1
    assert time.monotonic() - began < 30  # of the 60 after which it was to ask again


async def test_a_commit_is_published_by_its_place(daemon: Daemon) -> None:
    root = daemon.repository()
    async with Client(daemon.socket) as client:
        stored = await client.commit(root)

    assert stored.event_id.endswith(daemon.git("rev-parse", "HEAD", cwd=root))


async def test_it_administers(daemon: Daemon, tmp_path: Path) -> None:
    async with Client(daemon.socket) as client:
        project = await client.add_project(tmp_path, id="web", git=False)
        assert [each["id"] for each in await client.projects()] == ["web"]
        await client.remove_project("web")
        await client.add_type("DEPLOY", {"required": ["version"]})
        await client.create_token("viewer")
        (token,) = await client.tokens()
        await client.revoke_token(token["id"])

        assert project["path"] == str(tmp_path)
        assert await client.projects() == []
        assert await client.tokens() == []
        assert (await client.types())[-1]["name"] == "DEPLOY"
        assert "secret" in [each["name"] for each in await client.risk_rules()]
        for connection in await client.connections():
            await client.close_connection(connection["connection_id"])
        assert await client.connections() == []
        assert (await client.stats())["events"]["refused"] == 0
        assert "#" in (await client.ticket())["url"]


async def test_the_helpers_of_the_core_publish_through_it(daemon: Daemon) -> None:
    from rtevents.core.helpers import publish_risk_alert

    async with Client(daemon.socket) as client:
        await publish_risk_alert(client, "high", "disk full")
        events: list[Event] = [entry.event for entry in (await client.history()).events]

    assert events[0].data == {"severity": "high", "message": "disk full"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "it was cut"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "it was cut"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "what answers there does not speak HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
         "what answers there does not speak HTTP/1.1"),
    ],
)  # fmt: skip
async def test_what_is_no_daemon_is_told_in_one_line(answer: bytes, said: str) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, Client(address, retry_for=0) as client:
        with pytest.raises(NotReachable) as caught:
            await client.history(Filter())
        with pytest.raises(ConnectionLost) as lost:
            await anext(client.stream(Filter(), reconnect=False))

    assert str(caught.value) == f"no answer from {address}: {said}"
    assert str(lost.value) == said


async def test_a_redirect_is_not_followed_with_the_token(staged: Staged) -> None:
    staged.answers.append((307, {"Location": f"{staged.url}/elsewhere"}, b""))
    async with Client(staged.url, token="rte_x", retry_for=0) as client:  # noqa: S106 - none
        with pytest.raises(RteventsError):
            await client.publish(risk("a"))

    assert len(staged.bodies) == 1
