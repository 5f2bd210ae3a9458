"""Groups: one cursor, many sockets; who does not keep up goes on at its own pace."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from rtevents.core.event import Event
from rtevents.core.stats import resident_bytes
from rtevents.errors import StoreError
from rtevents.server import group as group_module
from rtevents.server import stream as stream_module
from rtevents.server.member import HIGH_WATER

from .conftest import Houses, Server, StagedStore, risk, task
from .readers import PATIENCE, Message, until

KIB, MIB = 1024, 1024 * 1024


def large(number: int, size: int = 20 * KIB) -> Event:
    """Return a TASK_UPDATE of about `size` bytes."""
    return task(number, data={"task_id": f"T-{number}", "status": "open", "title": "x" * size})


async def pour(server: Server, count: int, *, batch: int = 50, pause: float = 0.0) -> None:
    """Publish events of three types, each with its number, in batches with a pause between."""
    for at in range(0, count, batch):
        await server.publish(*(each(number) for number in range(at, at + batch)))
        await asyncio.sleep(pause)


def each(number: int) -> Event:
    """Return one of three kinds of events, by its number."""
    match number % 3:
        case 0:
            return task(number, project_id="web")
        case 1:
            return risk(project_id="api")
        case _:
            return risk(project_id="web")


def lags(server: Server) -> list[int]:
    """Return how far each connection is behind, the oldest one first."""
    last = server.service.log.last
    return [last - connection.position for connection in server.service.connections.values()]


def waiting_bytes(server: Server) -> int:
    """Return the bytes that wait in the transports of all members."""
    return sum(member.transport.get_write_buffer_size() for member in server.house.members.values())


async def test_readers_with_the_same_filter_share_their_bytes(server: Server) -> None:
    queries = ["?type=COMMIT,RISK_ALERT", "?type=RISK_ALERT&type=COMMIT", "?type=RISK_ALERT"]
    for query in queries:
        await (await server.stream(query)).live()

    assert server.riding == [1, 2]
    assert len(server.fanout._groups) == 1


async def test_readers_in_different_encodings_do_not_share(server: Server) -> None:
    await (await server.stream()).live()
    await (await server.stream("?named=1")).live()
    await (await server.stream(Accept="application/x-ndjson")).live()
    await (await server.ws()).live()

    assert server.riding == [1, 1, 1, 1]


async def test_a_group_ends_with_its_last_member(server: Server) -> None:
    stream = await (await server.stream()).live()
    stream.wire.socket.close()
    await server.alone()
    await server.publish(task())

    await until(lambda: not server.fanout._groups, "the group is gone")


async def test_a_reader_that_stalls_leaves_its_group_and_comes_back_complete(
    houses: Houses,
) -> None:
    server = await houses.open(event_retention=50)
    async with await server.stream() as stalled, await server.stream() as other:
        await stalled.live()
        await other.live()

        reading = asyncio.create_task(other.seqs(300))
        for number in range(300):
            await server.publish(large(number))
        assert await asyncio.wait_for(reading, PATIENCE) == list(range(1, 301))

        [behind, level] = lags(server)
        assert (behind > 100, level) == (True, 0)
        assert waiting_bytes(server) < HIGH_WATER + 2 * MIB

        assert await stalled.seqs(300) == list(range(1, 301))
        await until(lambda: lags(server) == [0, 0], "it has caught up")
        await until(lambda: server.riding == [2], "it rides again")
        await server.publish(task())
        assert await stalled.seqs(1) == await other.seqs(1) == [301]


async def test_a_stalled_reader_costs_no_memory_and_delays_nobody(houses: Houses) -> None:
    """100 MB are published while one reader of three does not read (F11)."""
    server = await houses.open("sqlite", event_retention=1000, window_bytes=4 * MIB)
    stalled = await server.narrow_stream()
    others = [await server.stream(), await server.stream("?type=TASK_UPDATE")]
    for stream in (stalled, *others):
        await stream.live()
    await server.publish(*(large(number, 64 * KIB) for number in range(50)))  # warm up
    for stream in others:
        await stream.seqs(50)
    before = resident_bytes() or 0

    most = slowest = 0.0
    for at in range(50, 1650, 50):
        begun = asyncio.get_running_loop().time()
        await server.publish(*(large(number, 64 * KIB) for number in range(at, at + 50)))
        for stream in others:
            assert await stream.seqs(50) == list(range(at + 1, at + 51))
        slowest = max(slowest, asyncio.get_running_loop().time() - begun)
        most = max(most, resident_bytes() or 0)

    assert most - before < 20 * MIB
    assert slowest < 2
    assert lags(server)[0] > 1500
    assert await stalled.seqs(1650) == list(range(1, 1651))
    await until(lambda: lags(server)[0] == 0, "it has caught up")


async def test_a_reader_that_accepts_nothing_is_cut_off_and_resumes_complete(
    houses: Houses,
) -> None:
    server = await houses.open(send_timeout=0.2)
    async with await server.stream() as stalled:
        await stalled.live()
        for number in range(200):
            await server.publish(large(number))
        await server.alone()

        seen: list[Message] = []
        while data := await stalled.wire.receive():
            seen += stalled.parser.feed(stalled._chunks.feed(data))
        assert len(seen) < 200
        seqs = [message.json["seq"] for message in seen if message.event == "message"]
        mark = stalled.parser.last_event_id

    async with await server.stream(**{"Last-Event-ID": mark}) as again:
        seqs += await again.seqs(200 - len(seqs))

    assert seqs == list(range(1, 201))


async def test_a_slow_reader_that_accepts_something_is_not_cut_off(houses: Houses) -> None:
    server = await houses.open(send_timeout=1.5, event_retention=20)
    async with await server.narrow_stream() as slow:
        await slow.live()
        for number in range(120):
            await server.publish(large(number))
        seqs: list[int] = []
        taken = 0
        while len(seqs) < 120:
            data = await slow.wire.receive(4096)
            messages = slow.parser.feed(slow._chunks.feed(data))
            seqs += [message.json["seq"] for message in messages]
            # More than `send_timeout` passes before the transport is empty, and never without a
            # byte being accepted.
            if (taken := taken + len(data)) > 48 * KIB:
                taken = 0
                await asyncio.sleep(0.12)

    assert seqs == list(range(1, 121))


@pytest.mark.parametrize("store", ["memory", "sqlite"])
async def test_joining_while_events_pour_in_neither_repeats_nor_loses_one(
    houses: Houses, store: str
) -> None:
    """With a window so small that joiners, and now and then the groups, read from the store."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    dice = random.Random(seed)
    server = await houses.open(store, event_retention=100)
    total = 3000
    wanted: dict[str, Any] = {
        "": lambda number: True,
        "type=TASK_UPDATE": lambda number: number % 3 == 0,
        "project=web": lambda number: number % 3 != 1,
        "type=RISK_ALERT&project=web": lambda number: number % 3 == 2,
    }
    last = {query: max(n for n in range(total) if matches(n)) for query, matches in wanted.items()}

    async def join(delay: float, query: str, since: str) -> None:
        await asyncio.sleep(delay)
        async with await server.stream(f"?since={since}&{query}") as stream:
            hello = await stream.next()
            after = int(hello.json["bookmark"].split("-")[1])
            seqs: list[int] = []
            while not seqs or seqs[-1] != last[query] + 1:
                seqs += await stream.seqs(1)

        matches = wanted[query]
        assert seqs == [n + 1 for n in range(total) if n + 1 > after and matches(n)]

    joiners = [
        join(dice.uniform(0, 0.5), dice.choice(list(wanted)), dice.choice(["all", "new", "10m"]))
        for _ in range(60)
    ]
    # The last few come when all have joined: a reader of `new` has something to wait for.
    tasks = [asyncio.create_task(joiner) for joiner in joiners]
    await pour(server, total - 300, batch=30, pause=0.005)
    await until(lambda: server.service.counters.connections_total == 60, "all have joined")
    await pour(server, 0)
    for at in range(total - 300, total, 30):
        await server.publish(*(each(number) for number in range(at, at + 30)))

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*tasks)


async def test_a_changed_filter_holds_from_the_very_place_under_load(server: Server) -> None:
    async with await server.stream("?type=TASK_UPDATE") as stream:
        await stream.live()
        [connection] = server.service.connections
        path = f"/v1/connections/{connection}"
        pouring = asyncio.create_task(pour(server, 3000, batch=10))

        changes = [(0, "TASK_UPDATE")]
        for kind in ("RISK_ALERT", "TASK_UPDATE") * 10:
            answer = await server.owner.ask("PATCH", path, {"type": [kind]})
            changes.append((int(answer.json["bookmark"].split("-")[1]), kind))
        await pouring

        expected = []
        ends = [after for after, _ in changes[1:]] + [3000]
        for (after, kind), end in zip(changes, ends, strict=True):
            expected += [n for n in range(after + 1, end + 1) if each(n - 1).type == kind]
        assert await stream.seqs(len(expected)) == expected


async def test_a_reader_that_lags_gets_its_new_filter_all_the_same(houses: Houses) -> None:
    """Its transport is full and stays so: the wait for room is given up and begun anew."""
    server = await houses.open(event_retention=20)
    async with await server.stream("?type=TASK_UPDATE") as stalled:
        await stalled.live()
        for number in range(100):
            await server.publish(large(number))
        [connection] = server.service.connections
        await until(lambda: server.fanout._climbing, "it has left its group")

        answer = await server.owner.ask(
            "PATCH", f"/v1/connections/{connection}", {"type": ["RISK_ALERT"]}
        )
        await server.publish(risk())

        after = int(answer.json["bookmark"].split("-")[1])
        assert 0 < after < 100
        assert await stalled.seqs(after + 1) == [*range(1, after + 1), 101]


async def test_a_store_that_fails_while_a_reader_catches_up_keeps_it_waiting(
    houses: Houses,
) -> None:
    store = StagedStore()
    server = await houses.open(store, event_retention=10)
    for number in range(200):
        await server.publish(large(number))
    async with await server.stream("?since=all") as stream:
        seen = await stream.seqs(10)
        store.failure = "input/output error"
        before = await stream.until("HEALTH_CHECK")
        store.failure = None
        after = await stream.until("live")

    told = [each.json["data"] for each in (*before, *after) if each.event == "HEALTH_CHECK"]
    assert told[0]["reasons"] == ["what comes next cannot be read: input/output error"]
    assert [each["status"] for each in told] == ["failed", "ok"]
    seen += [each.json["seq"] for each in (*before, *after) if each.event == "message"]
    assert seen == list(range(1, 201))


async def test_a_store_that_fails_under_a_group_keeps_its_streams_waiting(houses: Houses) -> None:
    store = StagedStore()
    server = await houses.open(store, event_retention=1, dashboard_interval=0.05)
    async with await server.stream() as one, await server.stream() as two:
        await one.live()
        await two.live()

        await server.publish(task(1), task(2))  # the first of which is in the store alone
        store.failure = "input/output error"
        for stream in (one, two):
            [*nothing, beat] = await stream.until("HEALTH_CHECK")
            assert not nothing
            assert beat.json["data"]["status"] == "failed"
            assert "cannot be read: input/output error" in beat.json["data"]["reasons"][0]
            assert stream.parser.last_event_id.endswith("-0")
        store.failure = None

        for stream in (one, two):
            assert await stream.seqs(2) == [1, 2]
            beat = (await stream.until("HEALTH_CHECK"))[-1]
            assert beat.json["data"]["status"] == "ok"


async def test_who_comes_while_nothing_can_be_stored_is_told_so(houses: Houses) -> None:
    store = StagedStore()
    server = await houses.open(store)
    store.failure = "input/output error"
    with pytest.raises(StoreError):
        await server.publish(task(1))
    async with await server.stream() as stream:
        hello, beat = await stream.next(), await stream.next()

    assert (hello.event, beat.event) == ("hello", "HEALTH_CHECK")
    assert beat.json["data"]["reasons"] == ["events cannot be stored: input/output error"]


async def test_readers_wait_for_a_log_that_is_behind_its_store(houses: Houses) -> None:
    """A page may reach further than the log knows, for the store knows of an append first."""
    store = StagedStore()
    server = await houses.open(store, event_retention=5)
    await server.fill(20)
    store.answers.clear()
    publishing = asyncio.create_task(server.publish(task(20), risk()))
    await until(lambda: store._bounds.last == 22, "the store has them")
    queries = ["?since=all", "?since=all&type=RISK_ALERT", "?since=0s", "?since=last"]
    streams = [await server.stream(query) for query in queries]
    for _ in range(20):
        assert (await server.owner.get("/v1/health/live")).status == 200

    store.answers.set()
    await publishing
    await server.publish(risk())

    assert await streams[0].seqs(23) == list(range(1, 24))
    assert await streams[1].seqs(2) == [22, 23]
    assert (await streams[2].seqs(1))[0] in (21, 23)
    assert (await streams[3].seqs(1))[0] in (20, 22)


async def test_gaps_are_told_where_they_are(houses: Houses) -> None:
    """A reader that lags is overtaken by retention: what it misses is told in its place."""
    server = await houses.open(event_retention=10)
    async with await server.stream() as stalled:
        await stalled.live()
        for number in range(200):
            await server.publish(large(number))
        await until(lambda: server.fanout._climbing, "it has left its group")
        await server.service.log.retain(5, 0, 0)

        messages = [await stalled.next()]
        while messages[-1].id != server.bookmark:
            messages.append(await stalled.next())

    seqs = [message.json["seq"] for message in messages if message.event == "message"]
    [gap] = [message.json for message in messages if message.event == "gap"]
    assert gap["reason"] == "trimmed"
    assert gap["before"] == 196
    assert seqs == [*range(1, gap["after"] + 1), *range(196, 201)]


async def test_only_events_are_counted_as_delivered(houses: Houses) -> None:
    server = await houses.open(event_retention=1)
    await server.fill(20)
    await server.service.log.retain(5, 0, 0)
    async with await server.stream(f"?since={server.service.log.epoch}-3") as stream:
        await stream.live()
        [connection] = server.service.connections.values()

        assert connection.delivered == 5
        assert server.service.counters.delivered == 5


@pytest.mark.parametrize("kind", ["stream", "ws"])
@pytest.mark.parametrize("reason", ["ended", "inactive"])
async def test_a_stalled_reader_that_is_ended_does_not_stay(
    server: Server, monkeypatch: pytest.MonkeyPatch, kind: str, reason: str
) -> None:
    """Its ``bye`` may never leave the buffer, and then nobody waits for it."""
    monkeypatch.setattr(stream_module, "GOODBYE", 0.2)
    stalled = await (server.stream() if kind == "stream" else server.ws())
    await stalled.live()
    for number in range(100):
        await server.publish(large(number))
    [connection] = server.service.connections.values()
    [member] = server.house.members.values()
    await until(lambda: server.fanout._climbing, "it has left its group")

    connection.close(reason)

    await server.alone()
    await until(member.transport.is_closing, "the peer is cut off")


async def test_streams_that_allow_a_latency_are_served_together_and_get_the_same(
    server: Server,
) -> None:
    streams = [
        await (await server.stream(f"?max_latency={value}")).live()
        for value in ("0s", "99ms", "50ms", "100ms", "1h")
    ]
    socket = await (await server.ws("?max_latency=100ms")).live()

    assert sorted(server.fanout._groups) == [0.0, 0.05, 0.1, 5.0]
    for _ in range(3):
        await server.fill(100)
    for stream in streams:
        assert await stream.seqs(300) == list(range(1, 301))
    assert await socket.seqs(300) == list(range(1, 301))


@pytest.mark.parametrize("value", ["soon", "100", "-1s", ""])
async def test_a_latency_that_is_no_duration_is_refused(server: Server, value: str) -> None:
    answer = await server.bearer("viewer").get(f"/v1/events/stream?max_latency={value}")

    assert (answer.status, answer.json["field"]) == (400, "max_latency")


async def test_a_member_joins_leaves_and_changes_in_the_middle_of_a_round(
    houses: Houses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two slices of a round anything may happen; everybody gets everything once."""
    monkeypatch.setattr(group_module, "SLICE", 0.0)
    monkeypatch.setattr(group_module, "GLANCE", 1)
    server = await houses.open(event_retention=5000)
    total = 1500
    streams = [await (await server.stream("?since=all")).live() for _ in range(8)]
    followers = [asyncio.create_task(stream.seqs(total)) for stream in streams]

    async def come_and_go() -> None:
        """Read some, go, and come back with the bookmark, until everything was read."""
        seen: list[int] = []
        bookmark = "all"
        while len(seen) < total:
            async with await server.stream(f"?since={bookmark}") as stream:
                some = await stream.seqs(min(97, total - len(seen)))
                seen += some
                bookmark = f"{server.service.log.epoch}-{seen[-1]}"
        assert seen == list(range(1, total + 1))

    async def publish() -> None:
        for _ in range(total // 10):
            await server.fill(10)

    await asyncio.wait_for(asyncio.gather(publish(), *(come_and_go() for _ in range(4))), PATIENCE)
    for follower in followers:
        assert await asyncio.wait_for(follower, PATIENCE) == list(range(1, total + 1))
