"""GET /v1/events: pages, their order and bounds, and the long poll."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import urlencode

import pytest

from rtevents.core.stats import resident_bytes
from rtevents.stores.memory import MemoryStore

from .conftest import Answer, Houses, Server, StagedStore, risk, task
from .readers import PATIENCE, Object, until


async def page(server: Server, **query: Any) -> Object:
    """Return a page."""
    answer = await server.owner.get(f"/v1/events?{urlencode(query)}")
    assert answer.status == 200, answer.body
    fields: Object = answer.json
    return fields


def seqs(fields: Object) -> list[int]:
    """Return the seqs of a page."""
    return [event["seq"] for event in fields["events"]]


@pytest.fixture(params=["memory", "sqlite"])
async def filled(request: pytest.FixtureRequest, houses: Houses) -> Server:
    """Return a server with 250 entries, every fifth a RISK_ALERT, and half of them in memory."""
    server = await houses.open(request.param, event_retention=125)
    events = [task(n) if n % 5 else risk() for n in range(1, 251)]
    await server.publish(*events)
    return server


async def test_a_page_is_full_where_what_is_wanted_lies_far_apart(houses: Houses) -> None:
    server = await houses.open("memory")
    for _ in range(7):
        await server.publish(risk(), *[task() for _ in range(999)])

    fields = await page(server, type="RISK_ALERT")

    # One look at what is in memory goes 5,000 entries far.
    assert seqs(fields) == list(range(1, 7000, 1000))
    assert fields["next"].endswith("-7000")


async def test_an_empty_log_has_an_empty_page(server: Server) -> None:
    assert await page(server) == {
        "events": [],
        "next": server.bookmark,
        "epoch": server.service.log.epoch,
        "oldest": 1,
        "newest": 0,
    }


async def test_a_page_has_a_hundred_events_and_the_place_to_go_on_from(filled: Server) -> None:
    first = await page(filled)
    second = await page(filled, after=first["next"])
    third = await page(filled, after=second["next"])
    fourth = await page(filled, after=third["next"])

    assert seqs(first) == list(range(1, 101))
    assert seqs(second) == list(range(101, 201))
    assert seqs(third) == list(range(201, 251))
    assert seqs(fourth) == []
    assert (fourth["next"], first["oldest"], first["newest"]) == (filled.bookmark, 1, 250)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"limit": 3}, [1, 2, 3]),
        ({"limit": 1000}, list(range(1, 251))),
        ({"limit": 3, "order": "desc"}, [250, 249, 248]),
        ({"limit": 1000, "order": "desc"}, list(range(250, 0, -1))),
        ({"limit": 3, "after": 100}, [101, 102, 103]),
        ({"after": 248}, [249, 250]),
        ({"after": 248, "order": "desc"}, [250, 249]),
        ({"after": 250}, []),
        ({"after": 9999}, []),
        ({"after": 9999, "order": "desc"}, []),
        ({"since": "EPOCH-248"}, [249, 250]),
        ({"since": "last"}, [250]),
        ({"since": "last", "type": "RISK_ALERT"}, [250]),
        ({"since": "last-per-type"}, [249, 250]),
        ({"since": "last-per-type", "order": "desc", "limit": 1}, [250]),
        ({"since": "last-per-type", "type": "RISK_ALERT"}, [250]),
        ({"since": "new"}, []),
        ({"until": "EPOCH-2"}, [1, 2]),
        ({"until": "EPOCH-0"}, []),
        ({"until": "EPOCH-250", "after": 248}, [249, 250]),
        ({"until": "EPOCH-9999", "after": 248}, [249, 250]),
        ({"until": "EPOCH-20", "after": 18}, [19, 20]),
        ({"until": "EPOCH-20", "after": 20}, []),
        ({"until": "EPOCH-20", "after": 60}, []),
        ({"until": "EPOCH-20", "order": "desc", "limit": 2}, [20, 19]),
        ({"until": "EPOCH-20", "order": "desc", "after": 18}, [20, 19]),
        ({"until": "EPOCH-20", "order": "desc", "after": 60}, []),
        ({"until": "EPOCH-12", "type": "RISK_ALERT"}, [5, 10]),
        ({"until": "EPOCH-12", "type": "RISK_ALERT", "order": "desc", "limit": 1}, [10]),
        ({"until": "EPOCH-4", "type": "RISK_ALERT"}, []),
        ({"type": "RISK_ALERT", "after": 240}, [245, 250]),
        ({"type": "COMMIT"}, []),
    ],
    ids=str,
)
async def test_a_page_is_what_is_asked_for(
    filled: Server, query: dict[str, Any], expected: list[int]
) -> None:
    epoch = filled.service.log.epoch
    named = {key: str(value).replace("EPOCH", epoch) for key, value in query.items()}

    fields = await page(filled, **named)

    assert seqs(fields) == expected
    # Whoever goes on from there gets no event again, and none of those is missing.
    reached = int(fields["next"].split("-")[1])
    if query.get("order") != "desc":
        assert reached >= max([0, *expected, min(int(query.get("after", 0)), 250)])
        rest = await page(filled, **{**named, "after": fields["next"], "limit": 1000})
        whole = await page(filled, **{**named, "limit": 1000})
        assert expected + seqs(rest) == seqs(whole)


async def test_pages_from_the_newest_back_are_all_that_is_kept(filled: Server) -> None:
    whole = await page(filled, order="desc", limit=1000, type="RISK_ALERT")
    found: list[int] = []
    given: dict[str, Any] = {}
    for _ in range(8):
        part = await page(filled, order="desc", limit=7, type="RISK_ALERT", **given)
        found += seqs(part)
        given = {"until": part["next"]}

    assert found == seqs(whole) == list(range(250, 0, -5))
    assert (whole["next"], whole["until"]) == (f"{whole['epoch']}-0", filled.bookmark)
    assert seqs(await page(filled, order="desc", **given)) == []


async def test_a_page_tells_what_is_missing_before_it(filled: Server) -> None:
    await filled.service.log.retain(50, 0, 0)
    epoch = filled.service.log.epoch

    for given, missing in (
        ({"after": 10}, (10, 201, "trimmed")),
        ({"since": f"{epoch}-10", "order": "desc"}, (10, 201, "trimmed")),
        ({"after": f"{epoch}-999"}, (250, 1000, "ahead")),
        ({"since": "0a1b2c3d-5"}, (0, 201, "other-epoch")),
        ({"since": "no-such-id"}, (0, 201, "unknown-id")),
    ):
        gap = (await page(filled, **given))["gap"]
        assert (gap["after"], gap["before"], gap["reason"]) == missing, given
    assert "gap" not in await page(filled, after=200)
    assert "gap" not in await page(filled)
    # Who follows `next` from beyond the end is not left waiting for the log to come so far.
    assert (await page(filled, after=999))["next"] == filled.bookmark


async def test_times_and_ids_bound_a_page(houses: Houses) -> None:
    times = iter(1e9 + number * 60 for number in range(5))
    server = await houses.open(MemoryStore(clock=lambda: next(times)))
    for number in range(5):
        await server.publish(task(number, event_id=f"e{number}"))

    assert seqs(await page(server, since="e1", until="e3")) == [3, 4]
    assert seqs(await page(server, since=1e9 + 60, until="1000000180")) == [2, 3]
    assert seqs(await page(server, since="2001-09-09T01:47:40Z")) == [2, 3, 4, 5]
    assert seqs(await page(server, until="10m")) == [1, 2, 3, 4, 5]
    assert seqs(await page(server, until="e3", order="desc", limit=2)) == [4, 3]


async def test_what_was_trimmed_is_told_by_the_oldest(filled: Server) -> None:
    await filled.service.log.retain(50, 0, 0)

    asc = await page(filled, after=10, limit=2)
    desc = await page(filled, order="desc", limit=1000)
    since = await page(filled, since=f"{filled.service.log.epoch}-10", limit=1)

    assert (seqs(asc), asc["oldest"]) == ([201, 202], 201)
    assert seqs(desc) == list(range(250, 200, -1))
    assert (seqs(since), since["next"]) == ([201], f"{filled.service.log.epoch}-201")


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("limit=1001", "limit: expected 1 to 1000, got '1001'"),
        ("limit=0", "limit: expected 1 to 1000, got '0'"),
        ("limit=-1", "limit: expected 1 to 1000, got '-1'"),
        ("limit=1.5", "limit: expected 1 to 1000, got '1.5'"),
        ("limit=nan", "limit: expected 1 to 1000, got 'nan'"),
        ("limit=x", "limit: expected 1 to 1000, got 'x'"),
        ("wait=61", "wait: expected 0 to 60, got '61'"),
        ("wait=inf", "wait: expected 0 to 60, got 'inf'"),
        ("order=down", "order: expected asc or desc, got 'down'"),
        ("after=x", "after: expected a bookmark or a seq, got 'x'"),
        ("after=%D9%A1", "after: expected a bookmark or a seq, got '١'"),
        ("after=" + "9" * 19, "after: expected a bookmark or a seq, got '9999999999999999999'"),
        ("after=00000000-1", "after: the log is EPOCH, the bookmark is of 00000000"),
        ("after=zz-1", "after: expected a bookmark or a seq, got 'zz-1'"),
        ("since=a%20b", "not a time, a bookmark or an event id: 'a b'"),
        ("until=a%20b", "until: not a time, a bookmark or an event id: 'a b'"),
        ("until=no-such-id", "until: unknown-id"),
        ("until=00000000-5", "until: other-epoch"),
        ("type=COMIT", "unknown event type 'COMIT', did you mean COMMIT?"),
        ("kind=COMMIT", "unknown parameter 'kind', expected one of after, limit, not_type, order,"),
        ("%ff%fe=1", "unknown parameter "),
        ("path=", ""),
    ],
)
async def test_a_query_that_cannot_be_read_is_refused(
    server: Server, query: str, detail: str
) -> None:
    answer = await server.owner.get(f"/v1/events?{query}")

    if not detail:
        assert answer.status == 200
        return
    assert answer.status == 400
    assert answer.json["detail"].startswith(detail.replace("EPOCH", server.service.log.epoch))


# The long poll


async def test_a_long_poll_answers_when_something_comes(server: Server) -> None:
    await server.publish(task())
    waiting = asyncio.create_task(page(server, after=1, type="RISK_ALERT", wait=PATIENCE / 2))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await server.publish(task(), risk())

    fields = await waiting

    assert (seqs(fields), fields["next"]) == ([3], server.bookmark)


async def test_a_long_poll_with_something_there_answers_at_once(server: Server) -> None:
    await server.publish(task())

    assert seqs(await page(server, wait=60)) == [1]


async def test_a_long_poll_that_waits_in_vain_moves_past_what_the_filter_hides(
    server: Server,
) -> None:
    waiting = asyncio.create_task(page(server, type="RISK_ALERT", wait=0.7))
    await asyncio.sleep(0.05)
    await server.publish(task(), task())

    fields = await waiting

    assert (seqs(fields), fields["next"]) == ([], server.bookmark)


async def test_a_long_poll_does_not_wait_for_what_lies_beyond_its_end(server: Server) -> None:
    await server.publish(task(), task())
    begun = time.monotonic()

    fields = await page(server, type="RISK_ALERT", until=server.bookmark, wait=PATIENCE)

    assert (seqs(fields), fields["next"]) == ([], server.bookmark)
    assert time.monotonic() - begun < 5


async def test_a_long_poll_ends_with_the_daemon(server: Server) -> None:
    waiting = asyncio.create_task(page(server, wait=60))
    await asyncio.sleep(0.05)

    await server.service.stop()

    assert seqs(await waiting) == []


async def test_a_poll_for_ever_sees_every_event_once_while_they_pour_in(filled: Server) -> None:
    async def pour() -> None:
        for number in range(200):
            await filled.publish(task(number), risk())
            await asyncio.sleep(0.001)

    pouring = asyncio.create_task(pour())
    seen: list[int] = []
    mark = "0"
    while len(seen) < 650:
        fields = await page(filled, after=mark, limit=30, wait=5)
        seen += seqs(fields)
        mark = fields["next"]
    await pouring

    assert seen == list(range(1, 651))


async def test_a_poller_that_hangs_up_leaves_nothing(houses: Houses) -> None:
    server = await houses.open()
    before = len(asyncio.all_tasks())
    waiting = [asyncio.create_task(page(server, wait=60)) for _ in range(5)]
    await asyncio.sleep(0.05)
    for each in waiting:
        each.cancel()

    await until(lambda: len(asyncio.all_tasks()) <= before, "their tasks have ended")


# Forms


async def test_cloudevents_are_given_on_request(server: Server) -> None:
    await server.publish(
        task(event_id="a", timestamp=1763863200.5, source="ci", project_id="web"),
        risk(event_id="b", timestamp=1.0, extensions={"traceparent": "00-ab", "id": "no"}),
    )

    answer = await server.owner.get("/v1/events", Accept="application/cloudevents+json")

    assert answer.headers["Content-Type"] == "application/cloudevents-batch+json"
    assert answer.json == [
        {
            "specversion": "1.0",
            "id": "a",
            "source": "ci",
            "type": "TASK_UPDATE",
            "time": "2025-11-23T02:00:00.5+00:00",
            "datacontenttype": "application/json",
            "data": {"task_id": "T-0", "status": "open"},
            "project": "web",
        },
        {
            "specversion": "1.0",
            "id": "b",
            "source": "rtevents",
            "type": "RISK_ALERT",
            "time": "1970-01-01T00:00:01+00:00",
            "datacontenttype": "application/json",
            "data": {"severity": "high", "message": "disk nearly full"},
            "traceparent": "00-ab",
            "rteventsextensions": '{"id": "no"}',
        },
    ]


async def test_given_cloudevents_can_be_published_again(server: Server) -> None:
    await server.publish(task(source="ci", project_id="web", timestamp=1763863200.123456))
    given = await server.owner.get("/v1/events", Accept="application/cloudevents+json")

    answer = await server.owner.post(
        "/v1/events", given.body, {"Content-Type": given.headers["Content-Type"]}
    )

    assert [stored["duplicate"] for stored in answer.json["events"]] == [True]


async def test_the_bytes_of_an_event_are_those_of_the_stream(server: Server) -> None:
    await server.publish(risk("é \u2028 😀"))
    stream = await server.stream("?since=all")

    [_, message, _] = await stream.until("live")
    answer = await server.owner.get("/v1/events")

    assert message.data.encode() in answer.body


async def test_a_page_of_large_events_ends_before_it_is_large(server: Server) -> None:
    for number in range(40):
        await server.publish(risk("x" * 1_000_000, event_id=f"e{number}"))
    before = resident_bytes() or 0

    seen: list[int] = []
    mark = "0"
    while len(seen) < 40:
        fields = await page(server, after=mark, limit=1000)
        assert len(fields["events"]) <= 3
        seen += seqs(fields)
        mark = fields["next"]

    assert seen == list(range(1, 41))
    assert (resident_bytes() or 0) - before < 40_000_000


# Who sees what


async def test_a_grant_narrows_a_page(server: Server) -> None:
    await server.publish(task(project_id="web"), risk(project_id="web"), risk(project_id="api"))
    caller = server.bearer("viewer", projects=["web"], types=["RISK_ALERT"])

    async def ask(query: str) -> Answer:
        return await caller.get(f"/v1/events?{query}")

    assert seqs((await ask("")).json) == [2]
    assert seqs((await ask("order=desc")).json) == [2]
    assert seqs((await ask("since=last")).json) == [2]
    assert (await ask("project=api")).status == 403
    assert (await ask("type=TASK_UPDATE,RISK_ALERT")).status == 403


async def test_a_store_that_fails_is_told(houses: Houses) -> None:
    store = StagedStore()
    server = await houses.open(store, event_retention=1)
    await server.publish(task(), task())
    store.failure = "disk I/O error"

    answer = await server.owner.get("/v1/events")

    assert (answer.status, answer.json["detail"]) == (503, "disk I/O error")
    assert answer.headers["Retry-After"] == "1"


async def test_what_is_no_longer_kept_is_not_shown_from_memory(filled: Server) -> None:
    await filled.service.log.retain(50, 0, 0)

    fields = await page(filled, after=0, limit=1000)

    assert (fields["oldest"], seqs(fields)) == (201, list(range(201, 251)))
