"""The daemon's own DASHBOARD_UPDATE: for who watches, beside the log."""

from __future__ import annotations

import asyncio

import pytest

from rtevents.core.event import Event

from .conftest import Houses, Server, task
from .readers import Stream, until

OFTEN = 0.02
"""Seconds between two updates here."""


@pytest.fixture
async def server(houses: Houses) -> Server:
    """Return a server that tells those who watch how it is fifty times a second."""
    return await houses.open(dashboard_interval=OFTEN)


async def browser(server: Server, query: str = "") -> Stream:
    """Open a stream as a browser that is logged in."""
    _, secret = server.guard.browsers.log_in(server.ticket(), f"http://127.0.0.1:{server.tcp[1]}")
    return await server.tcp_stream(query, Cookie=f"{server.guard.sites.cookie}={secret}")


async def watching(server: Server) -> int:
    """Return how many get updates."""
    return sum(len(group._watching) for group in server.fanout._groups.values())


async def test_who_asks_for_them_gets_the_figures_of_the_moment(server: Server) -> None:
    stream = await (await server.stream("?type=DASHBOARD_UPDATE")).live()
    await server.publish(task(), task(2))
    update = await stream.next()
    while update.json["data"]["metrics"]["events"]["published"] != 2:
        update = await stream.next()

    assert update.event == "DASHBOARD_UPDATE"
    assert "seq" not in update.json
    assert (update.json["source"], update.json["project_id"]) == ("rtevents/system", None)
    metrics = update.json["data"]["metrics"]
    assert metrics["connections"]["current"] == 1
    assert metrics["health"]["status"] == server.service.health().status
    assert server.service.log.last == 2, "it is not stored"


async def test_an_update_moves_no_bookmark(server: Server) -> None:
    stream = await (await server.stream("?type=DASHBOARD_UPDATE")).live()
    before = (await stream.next()).id

    assert (await stream.next()).id == before


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/event-stream"])
async def test_each_encoding_has_them(server: Server, accept: str) -> None:
    stream = await server.stream("?type=DASHBOARD_UPDATE", Accept=accept)

    messages = [await stream.next() for _ in range(4)]

    assert "DASHBOARD_UPDATE" in [each.json.get("type") for each in messages]


async def test_a_websocket_has_them_from_when_it_subscribes(server: Server) -> None:
    ws = await (await server.ws("?type=COMMIT")).live()
    assert await watching(server) == 0
    await ws.ask(op="subscribe", type=["DASHBOARD_UPDATE"])

    while (message := await ws.message()).get("type") != "DASHBOARD_UPDATE":
        pass

    assert "seq" not in message
    await ws.ask(op="unsubscribe")
    assert await watching(server) == 0


async def test_a_dashboard_that_asks_for_everything_has_them(server: Server) -> None:
    stream = await (await browser(server)).live()

    assert (await stream.next()).event == "DASHBOARD_UPDATE"


async def test_a_published_one_is_stored_like_any_other(server: Server) -> None:
    stream = await (await server.stream("?type=DASHBOARD_UPDATE")).live()
    await server.publish(Event(type="DASHBOARD_UPDATE", data={"metrics": {"mine": 1}}))

    async with asyncio.timeout(30):
        while (message := await stream.next()).event != "message":
            pass

    assert message.json["data"] == {"metrics": {"mine": 1}}
    assert message.json["seq"] == 1


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?type=COMMIT",
        "?not_type=DASHBOARD_UPDATE",
        "?type=DASHBOARD_UPDATE&project=web",
        "?type=DASHBOARD_UPDATE&source=me",
    ],
)
async def test_who_does_not_ask_for_them_gets_none(server: Server, query: str) -> None:
    await (await server.stream(query)).live()
    await (await browser(server, query or "?type=COMMIT")).live()

    assert await watching(server) == 0


@pytest.mark.parametrize(
    ("role", "grant"),
    [
        ("viewer", {}),
        ("admin", {"projects": frozenset({"web"})}),
        ("admin", {"types": frozenset({"DASHBOARD_UPDATE"})}),
    ],
)
async def test_who_may_not_see_the_statistics_gets_none(
    server: Server, role: str, grant: dict[str, frozenset[str]]
) -> None:
    """S20: they are about everybody, and a grant that is limited holds a part."""
    token = f"Bearer {server.token(role, **grant)}"
    await (await server.tcp_stream("?type=DASHBOARD_UPDATE", Authorization=token)).live()
    whole = f"Bearer {server.token('admin')}"
    seen = await (await server.tcp_stream("?type=DASHBOARD_UPDATE", Authorization=whole)).live()
    await seen.next()

    assert await watching(server) == 1


async def test_who_has_gone_is_watched_for_no_more(server: Server) -> None:
    async with await server.stream("?type=DASHBOARD_UPDATE") as stream:
        await stream.live()
        await stream.next()
    await server.alone()

    assert await watching(server) == 0


async def test_streams_answer_when_they_have_come_as_far_as_the_log(server: Server) -> None:
    await server.fanout.answers()
    await (await server.stream()).live()
    asking = asyncio.create_task(server.fanout.answers())
    await server.fill(100)
    await asking
    await server.fanout.answers()

    [group] = server.fanout._groups.values()
    await until(lambda: group.goal == 100, "they have come to its end")
