"""A change of the subscription holds from the very place that its answer tells."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from rtevents.core.event import Event
from rtevents.core.filter import Filter
from rtevents.server import group as group_module

from .conftest import Houses, Server, risk, task
from .readers import Object, Socket, Stream, until

Matches = Callable[[int], bool]


def each(number: int) -> Event:
    """Return one of four kinds of events, by its seq."""
    project_id = "web" if number % 2 else "api"
    is_task = number % 4 < 2
    return task(number, project_id=project_id) if is_task else risk(project_id=project_id)


FILTERS: Sequence[tuple[Object, Matches]] = (
    ({"project": ["web"]}, lambda seq: seq % 2 == 1),
    ({"project": ["api"]}, lambda seq: seq % 2 == 0),
    ({"type": ["TASK_UPDATE"]}, lambda seq: seq % 4 < 2),
    ({"type": ["RISK_ALERT"], "project": ["web"]}, lambda seq: seq % 4 == 3),
    ({"not_type": ["RISK_ALERT"], "project": ["api", "web"]}, lambda seq: seq % 4 < 2),
    ({}, lambda seq: True),
)
"""What is subscribed to, and which seqs that finds."""


class Part(NamedTuple):
    """
    What came between two changes.

    Args:
        after: The seq after which its filter holds, as the answer told it.
        matches: Whether its filter finds a seq.
        seqs: What came.
    """

    after: int
    matches: Matches
    seqs: list[int]

    def expected(self, last: int) -> list[int]:
        """Return what its filter finds up to `last`."""
        return [seq for seq in range(self.after + 1, last + 1) if self.matches(seq)]


def place(answer: Object) -> int:
    """Return the seq of an answer's bookmark."""
    return int(answer["bookmark"].split("-")[1])


@pytest.fixture(
    params=[None, 2],
    ids=["whole rounds", "rounds in slices"],
)
async def busy(
    houses: Houses, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Server]:
    """Return a server with many readers; its rounds let others have their turn, or do not."""
    if request.param is not None:
        monkeypatch.setattr(group_module, "SLICE", 0.0)
        monkeypatch.setattr(group_module, "GLANCE", request.param)
    server = await houses.open(event_retention=1000)
    queries = ["?project=web", "?type=COMMIT", "?project=api", ""] * 3
    streams = [await server.stream(query) for query in queries]
    readers = [asyncio.create_task(stream.wire.rest()) for stream in streams]
    yield server
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)


async def read(stream: Stream, seqs: list[int]) -> None:
    """Read a stream until cancelled; note the seqs that come."""
    while True:
        seqs += await stream.seqs(1)


@asynccontextmanager
async def pouring(server: Server) -> AsyncIterator[None]:
    """Publish some 10,000 events a second, in batches of all sizes, until the block is over."""
    dice = random.Random(5)
    is_over = False

    async def pour() -> None:
        seq = 0
        while not is_over:
            count = dice.randint(1, 20)
            await server.publish(*(each(seq + number) for number in range(1, count + 1)))
            seq += count
            await asyncio.sleep(0.001)

    task = asyncio.create_task(pour())
    yield
    is_over = True
    await task


async def subscribe(ws: Socket, parts: list[Part], wanted: Object, matches: Matches) -> None:
    """Read a few events, then subscribe; what comes before the answer is the old part's."""
    parts[-1].seqs.extend(await ws.seqs(len(parts) % 7))
    await ws.say(op="subscribe", **wanted)
    while "seq" in (message := await ws.message()) or message["control"] in ("live", "bookmark"):
        if "seq" in message:
            parts[-1].seqs.append(message["seq"])
    assert message["control"] == "ok", message
    parts.append(Part(place(message), matches, []))


async def more(seqs: list[int], count: int) -> None:
    """Return when so many more seqs are noted."""
    enough = len(seqs) + count
    await until(lambda: len(seqs) >= enough, "more events come")


async def finish(ws: Socket, part: Part, last: int) -> None:
    """Read what the last part has to come."""
    part.seqs.extend(await ws.seqs(len(part.expected(last)) - len(part.seqs)))


async def test_a_websocket_changes_its_filter_at_the_very_place_of_the_answer(busy: Server) -> None:
    ws = await busy.ws("?project=web")
    assert (await ws.message())["control"] == "hello"
    parts = [Part(0, FILTERS[0][1], [])]

    async with pouring(busy):
        for number in range(1, 150):
            await subscribe(ws, parts, *FILTERS[number % len(FILTERS)])
    last = busy.service.log.last
    await finish(ws, parts[-1], last)

    ends = [part.after for part in parts[1:]] + [last]
    for part, end in zip(parts, ends, strict=True):
        assert part.seqs == part.expected(end)
    assert len({part.after for part in parts}) > 75, "it was subscribed at different places"


async def test_a_websocket_that_resumes_while_connected_gets_all_after_the_answer(
    busy: Server,
) -> None:
    ws = await busy.ws("?project=web")
    assert (await ws.message())["control"] == "hello"
    parts = [Part(0, FILTERS[0][1], [])]
    dice, resumed = random.Random(6), []

    async with pouring(busy):
        for number in range(1, 100):
            wanted, matches = FILTERS[number % len(FILTERS)]
            if number % 3 == 0:
                back = dice.randint(max(0, busy.service.log.last - 300), busy.service.log.last)
                wanted = {**wanted, "since": str(busy.service.log.bookmark(back))}
                resumed.append((len(parts), back))
            await subscribe(ws, parts, wanted, matches)
    last = busy.service.log.last
    await finish(ws, parts[-1], last)

    for number, back in resumed:
        assert parts[number].after == back
    goes_on = {len(parts)} | set(range(len(parts))) - {number for number, _ in resumed}
    for number, part in enumerate(parts):
        following = parts[number + 1].after if number + 1 < len(parts) else last
        # Who was told another place has not been served up to it: it got the first of them.
        end = following if number + 1 in goes_on else max(part.seqs, default=0)
        assert part.seqs == part.expected(end)


async def test_commands_that_are_said_at_once_change_the_filter_each_at_its_place(
    busy: Server,
) -> None:
    """Events that the same peer publishes are among those that come."""
    ws = await busy.ws("?project=web")
    assert (await ws.message())["control"] == "hello"
    parts = [Part(0, FILTERS[0][1], [])]
    commands: list[Object] = []
    for number in range(1, 61):
        for offset in range(5):
            event = each(5 * (number - 1) + offset + 1)
            fields = {"type": event.type, "data": event.data, "project_id": event.project_id}
            commands.append({"op": "publish", "ref": "p", "events": [fields]})
        commands.append({"op": "subscribe", "ref": number, **FILTERS[number % len(FILTERS)][0]})

    await ws.say(*commands)
    while len(parts) <= 60:
        message = await ws.message()
        if "seq" in message:
            parts[-1].seqs.append(message["seq"])
        elif isinstance(ref := message.get("ref"), int):
            parts.append(Part(place(message), FILTERS[ref % len(FILTERS)][1], []))
    await finish(ws, parts[-1], 300)

    ends = [part.after for part in parts[1:]] + [300]
    for part, end in zip(parts, ends, strict=True):
        assert part.seqs == part.expected(end)


async def test_a_patch_changes_a_stream_at_the_very_place_of_its_answer(busy: Server) -> None:
    async with await busy.stream("?project=web") as stream:
        hello = (await stream.next()).json
        path = f"/v1/connections/{hello['connection_id']}"
        parts = [Part(0, FILTERS[0][1], [])]
        seqs: list[int] = []
        reading = asyncio.create_task(read(stream, seqs))

        async with pouring(busy):
            for number in range(1, 80):
                await more(seqs, number % 7)
                wanted, matches = FILTERS[number % len(FILTERS)]
                answer = await busy.owner.ask("PATCH", path, wanted)
                parts.append(Part(place(answer.json), matches, []))
        last = busy.service.log.last
        await busy.publish(*(each(last + number) for number in range(1, 5)))
        ends = [part.after for part in parts[1:]] + [last + 4]
        expected = [
            seq for part, end in zip(parts, ends, strict=True) for seq in part.expected(end)
        ]
        await until(lambda: seqs and seqs[-1] == expected[-1], "the last one has come")
        reading.cancel()

        assert seqs == expected
        assert len({part.after for part in parts}) > 40, "it was changed at different places"


async def test_who_joins_others_before_their_turn_in_a_round_gets_no_page_twice(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_module, "SLICE", 0.0)
    monkeypatch.setattr(group_module, "GLANCE", 1)
    for query in ["?project=api"] * 20 + ["?project=web"]:
        await (await server.stream(query)).live()
    stream = await (await server.stream("?type=COMMIT")).live()
    *_, member = server.house.members.values()
    [group] = server.fanout._groups.values()

    publishing = asyncio.create_task(server.publish(task(project_id="api"), task(project_id="web")))
    while not group._is_writing:
        await asyncio.sleep(0)
    after = server.fanout.change(member, Filter(projects=frozenset({"web"})))
    await publishing
    await server.publish(task(project_id="web"))

    assert after == 2, "its own filter finds nothing of the page"
    assert await stream.seqs(1) == [3]
