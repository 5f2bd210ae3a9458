"""Several logs behind one server: publishing, streams, the history, and who may see what."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from urllib.parse import quote

import pytest

from rtevents.core.event import Bookmark
from rtevents.core.logs import Routes
from rtevents.core.service import EventService
from rtevents.core.store import Store
from rtevents.server.fanout import Fanout
from rtevents.stores.memory import MemoryStore

from .conftest import Answer, Houses, Server, StagedStore, risk
from .readers import Message, Object, Stream, until

PROJECTS = {"web": ["web", "web-*"], "team": ["team"]}


async def furnish(
    server: Server,
    stack: AsyncExitStack,
    *,
    heartbeat: float = 30.0,
    web: Store | None = None,
    window: int = 10_000,
) -> None:
    """Give a server two logs more."""
    rooms = {}
    for name in PROJECTS:
        store = web if web and name == "web" else MemoryStore()
        service = EventService(store, event_retention=window, heartbeat_interval=heartbeat)
        fanout = Fanout(service, send_timeout=30.0, pong_timeout=10.0)
        stack.push_async_callback(fanout.close)
        rooms[name] = (await stack.enter_async_context(service), fanout)
    server.house.furnish(Routes(PROJECTS), rooms)


@pytest.fixture
async def logs(houses: Houses) -> AsyncIterator[Server]:
    """Return a server with three logs: main, web and team."""
    server = await houses.open()
    async with AsyncExitStack() as stack:
        await furnish(server, stack)
        yield server


async def publish(server: Server, name: str, project_id: str | None, **fields: object) -> Object:
    body = {"type": "TASK_UPDATE", "data": {"task_id": name, "status": "open"}, "event_id": name}
    project = {"project_id": project_id} if project_id else {}
    answer = await server.owner.post("/v1/events", {**body, **project, **fields})
    assert answer.status == 201, answer.body
    stored: Object = answer.json
    return stored


def epochs(server: Server) -> dict[str, str]:
    return {room.log: room.service.log.epoch for room in server.house.each}


def lasts(server: Server) -> dict[str, int]:
    return {room.log: room.service.log.last for room in server.house.each}


def ids(messages: list[Message]) -> list[str]:
    return [m.json["event_id"] for m in messages if m.event == "message"]


async def some(stream: Stream, count: int) -> list[Message]:
    """Return messages up to the one with which there are so many events."""
    found: list[Message] = []
    while len(ids(found)) < count:
        found.append(await stream.next())
    return found


async def test_an_event_goes_to_the_log_of_its_project(logs: Server) -> None:
    for name, project_id, log in [
        ("a", "web-1", "web"),
        ("b", "team", "team"),
        ("c", None, "main"),
    ]:
        stored = await publish(logs, name, project_id)
        assert stored["bookmark"] == f"{epochs(logs)[log]}-1"

    assert lasts(logs) == {"main": 1, "web": 1, "team": 1}
    # Ids are known within a log.
    assert (await publish(logs, "a", "web-1"))["events"][0]["duplicate"]


async def test_an_array_is_of_one_log_and_lines_are_of_any(logs: Server) -> None:
    events = [
        {"type": "TASK_UPDATE", "data": {"task_id": "x", "status": "open"}, "project_id": project}
        for project in ("web", "web-2", "team")
    ]

    refused = await logs.owner.post("/v1/events", events)
    whole = await logs.owner.post("/v1/events", events[:2])
    lines = await logs.owner.post(
        "/v1/events",
        b"\n".join(json.dumps(each).encode() for each in events),
        {"Content-Type": "application/x-ndjson"},
    )

    assert (refused.status, refused.json["index"], refused.json["field"]) == (422, 2, "project_id")
    assert "'team'" in refused.json["detail"]
    assert "'web'" in refused.json["detail"]
    assert (whole.status, lines.status) == (201, 201)
    assert [line["seq"] for line in lines.lines] == [3, 4, 1]
    assert lasts(logs) == {"main": 0, "web": 4, "team": 1}


async def test_a_stream_of_one_log_is_what_it_always_was(logs: Server) -> None:
    await publish(logs, "a", "web")
    await publish(logs, "b", "team")
    stream = await logs.stream("?since=all&project=web,web-9")

    hello, *rest = await stream.until("live")
    await publish(logs, "c", "web-9")
    rest += await some(stream, 1)

    assert (hello.json["epoch"], "logs" in hello.json) == (epochs(logs)["web"], False)
    assert ids(rest) == ["a", "c"]
    assert stream.parser.last_event_id == f"{epochs(logs)['web']}-2"
    assert len(logs.house.logs["web"].fanout._groups) == 1


@pytest.mark.parametrize("kind", ["sse", "ndjson"])
async def test_a_stream_of_several_logs_goes_on_from_any_bookmark(logs: Server, kind: str) -> None:
    headers = {"Accept": "application/x-ndjson"} if kind == "ndjson" else {}
    for number in range(12):
        await publish(logs, f"e{number}", (None, "web", "team")[number % 3])
    stream = await logs.stream("?since=all", **headers)
    hello, *messages = await stream.until("live")
    assert hello.json["logs"] == epochs(logs)
    assert hello.json["verdict"] == "complete"
    for number in range(12, 15):
        await publish(logs, f"e{number}", (None, "web", "team")[number % 3])
    messages += await some(stream, 3)

    everything = ids(messages)
    assert everything == [f"e{number}" for number in range(15)]
    place, seen = Bookmark.parse(hello.json["bookmark"]), 0
    for message in messages:
        fields = message.json
        if "bookmark" in fields:
            place = Bookmark.parse(fields["bookmark"])
        if message.event != "message":
            continue
        # An SSE id says it; otherwise it is the last bookmark that was told, with this seq.
        place = Bookmark(place.epoch, fields["seq"])
        if kind == "sse":
            assert message.id == str(place)
        seen += 1
        if seen % 5 == 2:
            again = await logs.stream(f"?last_event_id={quote(str(place))}")
            assert ids(await again.until("live")) == everything[seen:]


async def test_a_websocket_of_several_logs(logs: Server) -> None:
    await publish(logs, "a", "web")
    socket = await logs.ws("?since=all")
    found: list[Object] = []
    while not found or found[-1].get("control") != "live":
        found.append(await socket.message())
    assert [each["event_id"] for each in found if "seq" in each] == ["a"]

    event = {"type": "TASK_UPDATE", "data": {"task_id": "b", "status": "open"}}
    await socket.say(op="publish", ref=1, events=[event | {"project_id": "team"}])
    await socket.say(op="ping", ref=2)
    await socket.say(op="subscribe", ref=3, project=["web"])
    said: list[Object] = []
    while len(said) < 5:
        said.append(await socket.message())

    answers = {each["ref"]: each for each in said if "ref" in each}
    assert answers[1]["bookmark"] == f"{epochs(logs)['team']}-1"
    assert answers[2]["bookmark"].count(",") == 2
    assert "keeps its filter: open another" in answers[3]["detail"]
    assert [each["data"]["task_id"] for each in said if "seq" in each] == ["b"]


async def test_a_websocket_of_one_log_stays_there(logs: Server) -> None:
    socket = await logs.ws("?project=web")
    await socket.message()
    await socket.message()
    await socket.say(op="subscribe", ref=1, project=["web-5"])
    await socket.say(op="subscribe", ref=2, project=["team"])
    answers: dict[int, Object] = {}
    while len(answers) < 2:
        said = await socket.message()
        if "ref" in said:
            answers[said["ref"]] = said

    assert answers[1]["filter"] == {"project": ["web-5"]}
    assert "in another log than the stream's" in answers[2]["detail"]


async def test_a_log_that_a_bookmark_does_not_name_begins_anew(logs: Server) -> None:
    for number in range(4):
        await publish(logs, f"e{number}", ("web", "team")[number % 2])
    names = epochs(logs)
    mark = f"{names['web']}-1,{names['main']}-0,00000000-7"

    stream = await logs.stream(f"?since={mark}")
    hello, *messages = await stream.until("live")

    assert hello.json["verdict"] == "other-epoch"
    gaps = [message.json for message in messages if message.event == "gap"]
    assert [(gap["log"], gap["reason"], gap["before"]) for gap in gaps] == [
        ("team", "other-epoch", 1)
    ]
    assert sorted(ids(messages)) == ["e1", "e2", "e3"]


async def test_a_log_is_read_by_its_name(logs: Server) -> None:
    for number, project_id in enumerate(["web", None, "team", "web-7"]):
        await publish(logs, f"e{number}", project_id)
    stream = await logs.stream("?since=all&log=web")
    socket = await logs.ws("?since=all&log=web&type=TASK_UPDATE")

    hello, *rest = await stream.until("live")
    await publish(logs, "c", "web")
    await publish(logs, "d", None)
    rest += await some(stream, 1)
    said = [await socket.message() for _ in range(5)]
    await socket.say(op="subscribe", ref=1, log=["web"], type=["COMMIT"])
    await socket.say(op="subscribe", ref=2, type=["COMMIT"])
    await socket.say(op="subscribe", ref=3, log=["main"])
    answers: dict[int, Object] = {}
    while len(answers) < 3:
        each = await socket.message()
        answers |= {each["ref"]: each} if "ref" in each else {}

    assert (hello.json["epoch"], hello.json["filter"]) == (epochs(logs)["web"], {"log": ["web"]})
    assert ids(rest) == ["e0", "e3", "c"]
    assert [each["event_id"] for each in said if "seq" in each] == ["e0", "e3", "c"]
    assert answers[1]["filter"] == {"type": ["COMMIT"], "log": ["web"]}
    assert "in several logs (main, web, team), and is asked of one" in answers[2]["detail"]
    assert "in another log than the stream's" in answers[3]["detail"]
    page = await logs.owner.get("/v1/events?log=web&order=desc")
    assert [each["event_id"] for each in page.json["events"]] == ["c", "e3", "e0"]
    assert ("logs" in page.json, page.json["newest"]) == (False, 3)
    two = await logs.owner.get("/v1/events?log=web,team")
    assert set(two.json["logs"]) == {"web", "team"}
    assert [each["event_id"] for each in two.json["events"]] == ["e0", "e2", "e3", "c"]
    after = await logs.owner.get("/v1/events?log=team&since=e2")
    assert (after.status, after.json["events"]) == (200, [])


async def test_a_log_that_is_not_there_is_refused(logs: Server) -> None:
    for path in ("/v1/events", "/v1/events/stream", "/v1/analytics"):
        refused = await logs.owner.get(f"{path}?log=web,nobody")
        assert (refused.status, refused.json["field"]) == (400, "log")
        assert refused.json["detail"] == (
            "log: there is no 'nobody' to read, expected main or web or team, or leave it out"
        )


@pytest.fixture
async def grown(houses: Houses) -> AsyncIterator[Server]:
    """Return a server whose projects were in main before they got logs of their own."""
    server = await houses.open()
    for number, project_id in enumerate(["web", "team", None, "web"]):
        await publish(server, f"old{number}", project_id)
    async with AsyncExitStack() as stack:
        await furnish(server, stack)
        await publish(server, "new", "web")
        yield server


async def test_what_a_project_told_before_it_got_a_log_is_read_by_name(grown: Server) -> None:
    stream = await grown.stream("?since=all&log=main&project=web")
    both = await grown.stream("?since=all&log=main,web&project=web")
    socket = await grown.ws("?since=all&log=main&project=web")

    hello, *messages = await stream.until("live")
    said = [await socket.message() for _ in range(4)]
    page = await grown.owner.get("/v1/events?log=main&project=web")
    counted = await grown.owner.get("/v1/analytics?log=main&project=web")
    nothing = await grown.owner.get("/v1/events?log=team&project=web")
    now = await grown.owner.get("/v1/events?project=web")

    assert (hello.json["epoch"], ids(messages)) == (epochs(grown)["main"], ["old0", "old3"])
    assert [each["event_id"] for each in said if "seq" in each] == ["old0", "old3"]
    assert [each["event_id"] for each in page.json["events"]] == ["old0", "old3"]
    assert counted.json["events"] == 2
    assert (nothing.status, nothing.json["events"]) == (200, [])
    assert [each["event_id"] for each in now.json["events"]] == ["new"]
    _, *messages = await both.until("live")
    assert ids(messages) == ["old0", "old3", "new"]
    await publish(grown, "newer", "web")
    messages += await some(both, 1)
    assert ids(messages)[-1] == "newer"
    assert await pages(grown, "log=main,web&project=web", "after") == ids(messages)


async def test_a_limited_grant_reads_the_past_of_its_projects_alone(grown: Server) -> None:
    web = grown.bearer("viewer", projects=frozenset({"web"}))
    stream = await grown.tcp_stream(
        "?since=all&log=main",
        Authorization=f"Bearer {grown.token('viewer', projects=frozenset({'web'}))}",
    )

    asked = await web.get("/v1/events?log=main")
    both = await web.get("/v1/events?log=main,web")
    other = await web.get("/v1/events?log=main&project=team")

    for page in (asked, both):
        found = [each["event_id"] for each in page.json["events"]]
        assert found == ["old0", "old3", *(["new"] if page is both else [])]
    assert ids(await stream.until("live")) == ["old0", "old3"]
    assert other.status == 403
    # Of a log that is none of its projects' it is not told whether it is there.
    refused = [await web.get(f"/v1/events?log={name}") for name in ("team", "nobody")]
    assert {each.status for each in refused} == {400}
    assert refused[0].json["detail"].replace("team", "nobody") == refused[1].json["detail"]


async def test_where_there_is_one_log_it_is_main(houses: Houses) -> None:
    server = await houses.open()
    await publish(server, "a", "web")
    page = await server.owner.get("/v1/events?log=main")
    refused = await server.owner.get("/v1/events?log=web")

    assert [each["event_id"] for each in page.json["events"]] == ["a"]
    assert (refused.status, "expected main" in refused.json["detail"]) == (400, True)
    assert (await server.owner.get("/v1/tokens/self")).json["logs"] == ["main"]


async def test_a_grant_sees_the_logs_of_its_projects_alone(logs: Server) -> None:
    for name, project_id in [("a", "web"), ("b", "team"), ("c", None)]:
        await publish(logs, name, project_id)
    admin = logs.bearer("admin", projects=frozenset({"web"}))
    viewer = logs.token("viewer", projects=frozenset({"web", "team"}))

    page = await admin.get("/v1/events")
    refused = await admin.get("/v1/stats?log=team")
    named = await admin.get("/v1/events?log=team")
    own = await admin.get("/v1/tokens/self")
    stream = await logs.tcp_stream("?since=all", Authorization=f"Bearer {viewer}")

    assert [each["event_id"] for each in page.json["events"]] == ["a"]
    assert page.json["epoch"] == epochs(logs)["web"]
    assert refused.status == 400
    # What a grant does not hold, it is not told of.
    nobody = await admin.get("/v1/events?log=nobody")
    assert named.json["detail"] == (
        "log: there is no 'team' to read, expected main or web, or leave it out"
    )
    assert nobody.json["detail"] == named.json["detail"].replace("team", "nobody")
    assert own.json["logs"] == ["web"]
    assert (await logs.owner.get("/v1/tokens/self")).json["logs"] == ["main", "web", "team"]
    assert (await admin.get("/v1/stats?log=web")).json["log"]["newest"] == 1
    hello, *messages = await stream.until("live")
    assert set(hello.json["logs"]) == {"web", "team"}
    assert ids(messages) == ["a", "b"]


async def pages(server: Server, query: str, key: str) -> list[str]:
    """Return the ids of all pages."""
    found: list[str] = []
    place = ""
    while True:
        answer = await server.owner.get(f"/v1/events?limit=4&{query}{place}")
        assert answer.status == 200, answer.body
        if not answer.json["events"]:
            return found
        found += [each["event_id"] for each in answer.json["events"]]
        place = f"&{key}={answer.json['next']}"


async def test_the_history_of_several_logs_is_paged_both_ways(logs: Server) -> None:
    for number in range(15):
        project = (None, "web", "team", "web", None)[number % 5]
        await publish(logs, f"e{number}", project, timestamp=1000.0 + number)
    everything = [f"e{number}" for number in range(15)]

    assert await pages(logs, "", "after") == everything
    assert await pages(logs, "order=desc", "until") == everything[::-1]
    first = await logs.owner.get("/v1/events?limit=1")
    assert set(first.json["logs"]) == {"main", "web", "team"}
    middle = (await logs.owner.get("/v1/events?limit=6")).json["next"]
    assert await pages(logs, f"order=desc&since={middle}", "until") == everything[:5:-1]
    assert len(await pages(logs, f"until={middle}", "after")) == 6
    named = await logs.owner.get("/v1/events?until=e7&order=desc&limit=1")
    assert [each["event_id"] for each in named.json["events"]] == ["e7"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("after=3", "a seq is of one log, and this is in several: name it, as log=main, or"),
        ("since=a", "the place after an event is in one of the logs (main, web, team)"),
        ("until=nobody", "until: unknown-id"),
        ("until=00000000-4", "until: other-epoch"),
        ("order=up", "order: expected asc or desc"),
    ],
)
async def test_what_cannot_be_asked_of_several_logs_is_said(
    logs: Server, query: str, said: str
) -> None:
    await publish(logs, "a", "web")
    answer = await logs.owner.get(f"/v1/events?{query}")
    assert answer.status == 400
    assert said in answer.json["detail"]


async def test_the_long_poll_waits_for_any_log(logs: Server) -> None:
    end = (await logs.owner.get("/v1/events?since=new")).json["next"]
    waiting = asyncio.create_task(logs.owner.get(f"/v1/events?wait=30&after={end}"))
    await until(lambda: logs.house.guard.polls._waiting, "it waits")
    await publish(logs, "a", "team")

    answer: Answer = await waiting
    assert [each["event_id"] for each in answer.json["events"]] == ["a"]


async def test_streams_of_every_log_are_listed_and_ended(logs: Server) -> None:
    one, several = await logs.stream("?project=web"), await logs.stream()
    for stream in (one, several):
        await stream.until("live")

    listed = (await logs.owner.get("/v1/connections")).json["connections"]
    places = {each["last_event_id"].count(",") for each in listed}
    assert (len(listed), places, {each["lag"] for each in listed}) == (2, {0, 2}, {0})
    for each in listed:
        changed = await logs.owner.ask(
            "PATCH", f"/v1/connections/{each['connection_id']}", {"project": ["team"]}
        )
        assert changed.status == 400
        ended = await logs.owner.ask("DELETE", f"/v1/connections/{each['connection_id']}")
        assert ended.status == 204
    for stream in (one, several):
        assert (await stream.end())[-1].json["reason"] == "ended"


async def test_a_log_that_cannot_be_read_holds_up_no_other(houses: Houses) -> None:
    server = await houses.open(dashboard_interval=0.05)
    async with AsyncExitStack() as stack:
        store = StagedStore()
        await furnish(server, stack, web=store, window=3)
        for number in range(8):
            await publish(server, f"w{number}", "web")
            await publish(server, f"t{number}", "team")
        store.failure = "input/output error"
        stream = await server.stream("?since=all")
        before = await stream.until("HEALTH_CHECK")
        await publish(server, "t8", "team")
        before += await some(stream, 9 - len(ids(before)))
        page = await server.owner.get("/v1/events")
        store.failure = None
        after = await stream.until("live")

    assert ids(before) == [f"t{number}" for number in range(9)]
    [told] = [each.json["data"] for each in before if each.event == "HEALTH_CHECK"]
    words = "what comes next cannot be read: input/output error"
    assert (told["status"], told["reasons"]) == ("failed", [f"log web: {words}"])
    assert (page.status, page.json["detail"]) == (503, "log web: input/output error")
    assert ids(after) == [f"w{number}" for number in range(8)]
    [beat] = [each.json["data"] for each in after if each.event == "HEALTH_CHECK"]
    assert (beat["status"], "reasons" in beat) == ("ok", False)


async def test_a_stream_of_several_logs_is_told_when_one_cannot_be_stored(houses: Houses) -> None:
    server = await houses.open(dashboard_interval=0.05)
    async with AsyncExitStack() as stack:
        store = StagedStore()
        await furnish(server, stack, web=store)
        stream = await (await server.stream()).live()
        store.failure = "input/output error"
        body = {"type": "TASK_UPDATE", "data": {"task_id": "x", "status": "open"}}
        refused = await server.owner.post("/v1/events", {**body, "project_id": "web"})
        told = (await stream.until("HEALTH_CHECK"))[-1].json["data"]
        late = await server.stream()
        told_late = (await late.until("HEALTH_CHECK"))[-1].json["data"]
        store.failure = None
        await publish(server, "y", "web")
        again = (await stream.until("HEALTH_CHECK"))[-1].json["data"]

    assert refused.status == 503
    words = "events cannot be stored: input/output error"
    assert (told["status"], told["reasons"]) == ("failed", [f"log web: {words}"])
    assert told_late["reasons"] == told["reasons"]
    assert (again["status"], "reasons" in again) == ("ok", False)


async def test_a_heartbeat_moves_the_place_in_every_log(houses: Houses) -> None:
    server = await houses.open(heartbeat_interval=0.05)
    async with AsyncExitStack() as stack:
        await furnish(server, stack)
        stream = await server.stream("?type=RISK_ALERT")
        await stream.until("live")
        await publish(server, "a", "web")
        await until_place(stream, f"{epochs(server)['web']}-1")
        await server.house.logs["team"].service.publish(risk(project_id="team"))
        assert len(ids(await some(stream, 1))) == 1


async def until_place(stream: Stream, place: str) -> None:
    """Return when a heartbeat has told this place."""
    while place not in stream.parser.last_event_id.split(","):
        await stream.next()


async def test_analytics_are_of_one_log(logs: Server) -> None:
    await publish(logs, "a", "web")
    assert (await logs.owner.get("/v1/analytics?project=web")).json["events"] == 1
    assert (await logs.owner.get("/v1/analytics?log=web")).json["events"] == 1
    assert (await logs.owner.get("/v1/analytics?log=main")).json["events"] == 0
    refused = await logs.owner.get("/v1/analytics")
    assert refused.status == 400
    assert "in several logs (main, web, team)" in refused.json["detail"]
