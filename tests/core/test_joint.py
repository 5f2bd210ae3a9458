"""Several logs: which event goes to which, and how one reader reads them all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import msgspec
import pytest

from rtevents.core.event import Bookmark, Entry, Event, Gap
from rtevents.core.filter import Filter
from rtevents.core.joint import JointCursor, Run
from rtevents.core.log import Start
from rtevents.core.logs import Logs, Routes
from rtevents.core.service import EventService
from rtevents.core.since import Since, parse_since
from rtevents.errors import BookmarkError, EventRefused, FilterError, LogClosed
from rtevents.stores.memory import MemoryStore
from tests.conftest import PATIENCE

ROUTES = Routes({"web": ["web", "web-*"], "team": ["[ab]?", "web-x"]})


def event(project_id: str | None = None, timestamp: float = 0.0, name: str = "") -> Event:
    data = {"severity": "low", "message": name or "hello"}
    made = Event(type="RISK_ALERT", data=data, project_id=project_id)
    return msgspec.structs.replace(made, timestamp=timestamp) if timestamp else made


@pytest.fixture
async def logs() -> AsyncIterator[Logs]:
    """Three logs: the main one, web and team."""
    async with AsyncExitStack() as stack:
        services = {
            name: await stack.enter_async_context(EventService(MemoryStore(), event_retention=3))
            for name in ROUTES.names
        }
        yield Logs(ROUTES, services)


def cursor_of(logs: Logs, *places: int, wanted: Filter = Filter()) -> JointCursor:  # noqa: B008

    starts = [Start(place, "complete") for place in places]
    return JointCursor(
        [(name, service.log) for name, service in logs.services.items()], wanted, starts
    )


async def taken(cursor: JointCursor, count: int, limit: int = 500) -> list[Run]:
    """Return what a reader gets until it has so many items."""
    runs: list[Run] = []
    async with asyncio.timeout(PATIENCE):
        while sum(len(run.items) for run in runs) < count:
            runs += await cursor.next(PATIENCE, limit=limit)
    return runs


def names(runs: list[Run]) -> list[tuple[str, int]]:
    return [(r.log, item.seq) for r in runs for item in r.items if isinstance(item, Entry)]


@pytest.mark.parametrize(
    ("project_id", "log"),
    [
        (None, "main"),
        ("other", "main"),
        ("web", "web"),
        ("web-x", "web"),  # the first that claims it
        ("webx", "main"),
        ("a1", "team"),
        ("a12", "main"),
    ],
)
def test_a_project_has_one_log(project_id: str | None, log: str) -> None:
    assert ROUTES.log_of(project_id) == log


def test_a_filter_is_of_the_logs_of_its_projects() -> None:
    assert ROUTES.within(Filter()) == ["main", "web", "team"]
    assert ROUTES.within(Filter(projects=frozenset({"web", "web-1"}))) == ["web"]
    assert ROUTES.within(Filter(projects=frozenset({"b2", "other"}))) == ["main", "team"]


async def test_what_is_stored_together_is_of_one_log(logs: Logs) -> None:
    await logs.publish_many([event("web"), event("web-1")])
    with pytest.raises(EventRefused, match="goes to the log 'main', the first to 'web'") as caught:
        await logs.publish_many([event("web"), event("web"), event()])

    assert (caught.value.index, caught.value.field) == (2, "project_id")
    assert [each.log.last for each in logs.services.values()] == [0, 2, 0]
    with pytest.raises(FilterError, match=r"in several logs \(main, web\)"):
        logs.one(Filter(projects=frozenset({"web", "other"})))


async def test_the_past_comes_by_time_and_each_log_in_its_own_order(logs: Logs) -> None:
    # The third of `web` says that it happened before the second.
    for project_id, when in [("web", 10), ("web", 30), ("web", 20), (None, 15), ("a1", 25)]:
        await logs.publish(event(project_id, when))
    cursor = cursor_of(logs, 0, 0, 0)

    runs = await taken(cursor, 5)

    assert names(runs) == [("web", 1), ("main", 1), ("team", 1), ("web", 2), ("web", 3)]
    assert cursor.is_live
    assert cursor.lag == 0


async def test_every_bookmark_on_the_way_goes_on_without_loss_or_repeat(logs: Logs) -> None:
    for number in range(30):
        await logs.publish(event((None, "web", "a1")[number * 7 % 3], 1000.0 + number))
    everything = names(await taken(cursor_of(logs, 0, 0, 0), 30, limit=4))
    assert len(everything) == 30

    seen: list[tuple[str, int]] = []
    for run in await taken(cursor_of(logs, 0, 0, 0), 30, limit=4):
        for item in run.items:
            assert isinstance(item, Entry)
            seen.append((run.log, item.seq))
            mark = Bookmark.parse(str(Bookmark(run.before.epoch, item.seq)))
            places = [mark.within(each.log.epoch).seq for each in logs.services.values()]
            rest = await taken(cursor_of(logs, *places), 30 - len(seen)) if len(seen) < 30 else []
            assert seen + names(rest) == everything


async def test_what_a_filter_hides_is_passed(logs: Logs) -> None:
    await logs.publish_many([event("web", name=str(n)) for n in range(20)])
    await logs.publish(event("a1"))
    cursor = cursor_of(logs, 0, 0, 0, wanted=Filter(projects=frozenset({"a1"})))

    assert names(await taken(cursor, 1)) == [("team", 1)]
    assert (cursor.is_live, cursor.lag) == (True, 0)
    places = [cursor.bookmark.within(each.log.epoch).seq for each in logs.services.values()]
    assert places == [0, 20, 1]


async def test_growth_of_any_log_wakes_its_reader(logs: Logs) -> None:
    cursor = cursor_of(logs, 0, 0, 0)
    for project_id, log in [("a1", "team"), (None, "main"), ("web", "web"), ("a1", "team")]:
        waiting = asyncio.create_task(cursor.next(PATIENCE))
        await asyncio.sleep(0)
        await logs.publish(event(project_id))
        [run] = await waiting
        assert (run.log, len(run.items)) == (log, 1)
    assert await cursor.next(0) == []


async def test_the_end_of_a_log_ends_its_reader(logs: Logs) -> None:
    waiting = asyncio.create_task(cursor_of(logs, 0, 0, 0).next(PATIENCE))
    await asyncio.sleep(0)
    logs.services["web"].log.close()
    with pytest.raises(LogClosed):
        await waiting


async def test_what_is_missing_is_told_of_its_log(logs: Logs) -> None:
    await logs.publish_many([event("web") for _ in range(10)])
    await logs.publish(event())
    await logs.services["web"].log.retain(4, 0, 0)
    cursor = cursor_of(logs, 0, 0, 0)

    runs = await taken(cursor, 6)

    gaps = [(run.log, run.items) for run in runs if isinstance(run.items[0], Gap)]
    assert gaps == [("web", [Gap(0, 7, "trimmed")])]
    assert sorted(names(runs)) == [("main", 1), *(("web", seq) for seq in range(7, 11))]


async def test_a_bookmark_of_several_logs_is_a_place_in_each(logs: Logs) -> None:
    await logs.publish_many([event("web") for _ in range(5)])
    web, team = logs.services["web"].log, logs.services["team"].log
    text = f"{team.epoch}-0,{web.epoch}-3"

    since = parse_since(text)

    assert str(since.bookmark) == text
    start = await web.start(since, Filter())
    assert (start.after, start.verdict) == (3, "complete")
    # It tells nothing of this one.
    main = await logs.services["main"].log.start(Since(bookmark=since.bookmark), Filter())
    assert (main.after, main.verdict) == (0, "other-epoch")


@pytest.mark.parametrize(
    "text", ["aaaaaaaa-1,", "aaaaaaaa-1,b", ",".join(["aaaaaaaa-1"] * 65), "aaaaaaaa-1, bbbbbbbb-1"]
)
def test_what_is_no_bookmark_of_several_logs_is_refused(text: str) -> None:
    with pytest.raises(BookmarkError):
        Bookmark.parse(text)
