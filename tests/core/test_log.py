"""One log, many cursors."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

import pytest

from rtevents.core.cursor import Cursor
from rtevents.core.event import Entry, Gap, Stored
from rtevents.core.filter import Filter
from rtevents.core.log import PAGE, SCAN, Log
from rtevents.core.since import Since, parse_since
from rtevents.core.store import PAGE_BYTES, Page
from rtevents.errors import EventConflict, LogClosed, StoreError

from .conftest import TroubledStore, task

EVERYTHING = Filter()


async def fill(log: Log, count: int, **fields: object) -> list[Stored]:
    """Append `count` events, one batch each."""
    answers = await log.append([[task(number, **fields)] for number in range(count)])
    return [answer[0] for answer in answers if not isinstance(answer, EventConflict)]


def seqs(items: list[Entry | Gap]) -> list[int]:
    """Return the seq of each entry."""
    return [item.seq for item in items if isinstance(item, Entry)]


async def test_an_empty_log_begins_at_one(log: Log) -> None:
    assert (log.first, log.last) == (1, 0)
    assert str(log.bookmark()) == f"{log.epoch}-0"
    assert str(log.bookmark(7)) == f"{log.epoch}-7"


async def test_the_window_holds_the_newest_entries(log: Log) -> None:
    await fill(log, 25)

    events, size = log.window_size
    assert events == 10
    page = log.peek(15, EVERYTHING)
    assert page is not None
    assert seqs([*page.entries]) == list(range(16, 26))
    assert size == sum(len(entry.wire) for entry in page.entries)
    assert log.peek(14, EVERYTHING) is None


async def test_the_window_is_bounded_in_bytes(store: TroubledStore) -> None:
    log = Log(store, window_events=1000, window_bytes=2000)
    await log.open()

    await fill(log, 100)

    assert 1000 < log.window_size[1] <= 2000


async def test_a_log_that_is_opened_again_reads_its_window_from_the_store(
    store: TroubledStore,
) -> None:
    first = Log(store, window_events=2000, window_bytes=10**9)
    await first.open()
    await fill(first, 1234)

    again = Log(store, window_events=2000, window_bytes=10**9)
    await again.open()
    small = Log(store, window_events=7, window_bytes=10**9)
    await small.open()

    assert again.last == 1234
    assert again.window_size == first.window_size
    assert small.window_size[0] == 7
    assert again.peek(0, EVERYTHING) == first.peek(0, EVERYTHING)


async def test_a_window_of_large_entries_is_left_to_the_store(store: TroubledStore) -> None:
    first = Log(store, window_events=100, window_bytes=10**9)
    await first.open()
    for _ in range(3):
        await first.append([[task(data={"task_id": "T", "status": "x" * (PAGE_BYTES // 2)})]])

    again = Log(store, window_events=100, window_bytes=10**9)
    await again.open()

    cursor = Cursor(again, EVERYTHING, 0)
    found: list[int] = []
    while len(found) < 3:
        found += seqs(await cursor.next(0))
    assert found == [1, 2, 3]


async def test_a_page_ends_at_its_limit_and_at_its_bytes(store: TroubledStore) -> None:
    log = Log(store, window_events=5000, window_bytes=10**9)
    await log.open()
    await fill(log, PAGE + 5)
    page = log.peek(0, EVERYTHING)
    assert page is not None
    assert (len(page.entries), page.looked) == (PAGE, PAGE)

    for _ in range(3):
        await log.append([[task(data={"task_id": "T", "status": "x" * (PAGE_BYTES // 2)})]])
    page = log.peek(PAGE + 5, EVERYTHING)
    assert page is not None
    assert len(page.entries) == 1

    page = log.peek(0, EVERYTHING, limit=3)
    assert page is not None
    assert seqs([*page.entries]) == [1, 2, 3]


async def test_a_look_goes_through_a_bounded_part_of_the_window(store: TroubledStore) -> None:
    log = Log(store, window_events=2 * SCAN, window_bytes=10**9)
    await log.open()
    await log.append([[task(number) for number in range(SCAN + 10)]])

    page = log.peek(0, Filter(types=frozenset({"COMMIT"})))

    assert page is not None
    assert (page.entries, page.looked) == ([], SCAN)


async def test_a_look_can_be_told_where_to_end(log: Log) -> None:
    await fill(log, 5)

    page = log.peek(1, EVERYTHING, until=3)
    hidden = log.peek(1, Filter(types=frozenset({"COMMIT"})), until=3)
    beyond = log.peek(1, EVERYTHING, until=99)

    assert page is not None
    assert (seqs([*page.entries]), page.looked) == ([2, 3], 3)
    assert hidden is not None
    assert (hidden.entries, hidden.looked) == ([], 3)
    assert beyond is not None
    assert beyond.looked == 5


async def test_a_duplicate_is_in_the_window_once(log: Log) -> None:
    event = task(1)
    await log.append([[event]])
    answers = await log.append([[event]])

    assert answers == [[Stored(event.event_id, 1, duplicate=True)]]
    assert log.window_size[0] == 1


async def test_a_conflict_leaves_the_other_batches_alone(log: Log) -> None:
    event = task(1, event_id="one")
    answers = await log.append([[event], [task(2, event_id="one")], [task(3)]])

    assert isinstance(answers[1], EventConflict)
    assert [type(answer) for answer in answers] == [list, EventConflict, list]
    assert log.window_size[0] == 2


async def test_a_failed_append_leaves_the_log_as_it_was(log: Log, store: TroubledStore) -> None:
    store.failure = "disk full"
    with pytest.raises(StoreError, match="disk full"):
        await fill(log, 1)

    assert log.last == 0


async def test_a_cursor_reads_from_the_store_and_then_from_the_window(log: Log) -> None:
    await fill(log, 25)
    cursor = Cursor(log, EVERYTHING, 0)

    found: list[int] = []
    while cursor.lag:
        found += seqs(await cursor.next(0))

    assert found == list(range(1, 26))


async def test_a_filtered_cursor_moves_past_what_it_hides(log: Log) -> None:
    await fill(log, 5)
    cursor = Cursor(log, Filter(types=frozenset({"COMMIT"})), 0)

    assert await cursor.next(0) == []
    assert cursor.position == 5


async def test_a_filtered_cursor_goes_on_until_it_finds_something(store: TroubledStore) -> None:
    log = Log(store, window_events=3 * SCAN, window_bytes=10**9)
    await log.open()
    await log.append([[task(number) for number in range(2 * SCAN)]])
    await fill(log, 1, type="RISK_ALERT")
    cursor = Cursor(log, Filter(types=frozenset({"RISK_ALERT"})), 0)

    assert seqs(await cursor.next(0)) == [2 * SCAN + 1]


async def test_a_waiting_cursor_is_woken_by_growth(log: Log) -> None:
    cursor = Cursor(log, EVERYTHING, 0)
    waiting = asyncio.create_task(cursor.next(math.inf))
    await asyncio.sleep(0)

    await fill(log, 1)

    assert seqs(await waiting) == [1]


async def test_a_waiting_cursor_sleeps_through_what_it_hides(log: Log) -> None:
    cursor = Cursor(log, Filter(types=frozenset({"RISK_ALERT"})), 0)
    waiting = asyncio.create_task(cursor.next(10))
    await asyncio.sleep(0)
    await fill(log, 1)
    await asyncio.sleep(0)
    await fill(log, 1, type="RISK_ALERT")

    assert seqs(await waiting) == [2]


async def test_waiting_ends_with_its_time(log: Log) -> None:
    assert await Cursor(log, EVERYTHING, 0).next(0.01) == []
    assert not await log.grown(0, 0.01)


async def test_growth_that_is_there_already_is_told_at_once(log: Log) -> None:
    await fill(log, 1)

    assert await log.grown(0, 0)


async def test_a_cancelled_cursor_loses_nothing(log: Log) -> None:
    cursor = Cursor(log, EVERYTHING, 0)
    waiting = asyncio.create_task(cursor.next(math.inf))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await fill(log, 2)

    assert seqs(await cursor.next(0)) == [1, 2]


async def test_trimmed_entries_are_a_gap_told_once(log: Log) -> None:
    await fill(log, 40)
    await log.retain(15, 0, 0)
    cursor = Cursor(log, EVERYTHING, 3)

    assert log.first == 26
    assert await cursor.next(0) == [Gap(3, 26, "trimmed")]
    assert seqs(await cursor.next(0)) == list(range(26, 41))


async def test_what_the_window_holds_is_no_gap_though_the_store_trimmed_it(log: Log) -> None:
    await fill(log, 10)
    await log.retain(2, 0, 0)

    assert seqs(await Cursor(log, EVERYTHING, 4).next(0)) == [5, 6, 7, 8, 9, 10]


async def test_a_closed_log_gives_the_rest_and_then_ends(log: Log) -> None:
    cursor = Cursor(log, EVERYTHING, 0)
    waiting = asyncio.create_task(Cursor(log, EVERYTHING, 0).next(math.inf))
    await asyncio.sleep(0)
    log.close()
    with pytest.raises(LogClosed):
        await waiting
    with pytest.raises(LogClosed):
        await cursor.next(1)

    assert log.is_closed


async def test_growth_just_before_the_end_is_not_lost(log: Log) -> None:
    cursor = Cursor(log, EVERYTHING, 0)
    waiting = asyncio.create_task(cursor.next(math.inf))
    await asyncio.sleep(0)
    await fill(log, 1)
    log.close()

    assert seqs(await waiting) == [1]


async def start(log: Log, text: str, wanted: Filter = EVERYTHING) -> tuple[int, str]:
    """Return the place and the verdict of a since."""
    found = await log.start(parse_since(text), wanted)
    return found.after, found.verdict


async def test_each_word_is_a_place(log: Log) -> None:
    await fill(log, 20)
    await fill(log, 1, type="RISK_ALERT")
    await fill(log, 4)
    await log.retain(20, 0, 0)
    risks = Filter(types=frozenset({"RISK_ALERT"}))

    assert await start(log, "new") == (25, "new")
    assert await start(log, "all") == (5, "complete")
    assert await start(log, "last") == (24, "complete")
    assert await start(log, "last", risks) == (20, "complete")
    assert await start(log, "last", Filter(types=frozenset({"COMMIT"}))) == (25, "complete")


async def test_last_per_type_gives_the_newest_of_each_first(log: Log) -> None:
    await fill(log, 3)
    await fill(log, 2, type="RISK_ALERT")
    found = await log.start(Since(word="last-per-type"), EVERYTHING)

    assert (found.after, seqs([*found.snapshot])) == (5, [3, 5])


async def test_a_time_is_the_place_before_the_first_entry_since(log: Log) -> None:
    await log.append([[task(number, timestamp=1e11) for number in range(5)]])

    assert await start(log, "1002.5") == (0, "complete")
    assert await start(log, f"{time.time() + 60:.3f}") == (5, "complete")


async def test_a_bookmark_is_the_place_after_its_entry(log: Log) -> None:
    await fill(log, 5)

    assert await start(log, f"{log.epoch}-3") == (3, "complete")
    assert await start(log, f"{log.epoch}-0") == (0, "complete")


async def test_an_event_id_is_the_place_after_its_entry(log: Log) -> None:
    stored = await fill(log, 5)

    assert await start(log, stored[2].event_id) == (3, "complete")


async def test_a_bookmark_of_another_log_gives_a_gap_first(log: Log) -> None:
    await fill(log, 5)
    other = "00000000" if log.epoch != "00000000" else "11111111"
    found = await log.start(parse_since(f"{other}-3"), EVERYTHING)

    assert (found.after, found.verdict) == (0, "other-epoch")
    assert found.gap == Gap(0, 1, "other-epoch")


async def test_an_unknown_event_id_gives_a_gap_first(log: Log) -> None:
    await fill(log, 5)
    found = await log.start(parse_since("never-heard-of"), EVERYTHING)

    assert (found.after, found.verdict) == (0, "unknown-id")
    assert found.gap == Gap(0, 1, "unknown-id")


async def test_a_bookmark_before_the_oldest_entry_gives_a_gap_first(log: Log) -> None:
    await fill(log, 30)
    await log.retain(10, 0, 0)
    found = await log.start(parse_since(f"{log.epoch}-4"), EVERYTHING)

    assert (found.after, found.verdict) == (20, "truncated")
    assert found.gap == Gap(4, 21, "trimmed")


async def test_a_bookmark_ahead_of_the_log_gives_a_gap_first(log: Log) -> None:
    await fill(log, 3)
    found = await log.start(parse_since(f"{log.epoch}-9"), EVERYTHING)

    assert (found.after, found.verdict) == (3, "truncated")
    assert found.gap == Gap(3, 10, "ahead")


async def test_newest_gives_the_newest_first(log: Log) -> None:
    await fill(log, 20)

    assert seqs([*await log.newest(3, EVERYTHING)]) == [20, 19, 18]
    assert seqs([*await log.newest(3, EVERYTHING, until=10)]) == [10, 9, 8]
    assert await log.find("nobody") is None


async def test_an_id_is_found_within_what_may_be_seen_by_the_same_steps(
    log: Log, store: TroubledStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who guesses an id does not learn from the work whether it is there."""
    within = Filter(projects=frozenset("a"))
    assert await log.find("of-a", within) is None
    for project in "ab":
        await log.append([[task(1, event_id=f"of-{project}", project_id=project)]])
    steps: list[str] = []
    read, find = store.read, store.find

    async def noted_read(*args: Any, **kwargs: Any) -> Page:
        steps.append("read")
        return await read(*args, **kwargs)

    async def noted_find(event_id: str) -> int | None:
        steps.append("find")
        return await find(event_id)

    monkeypatch.setattr(store, "read", noted_read)
    monkeypatch.setattr(store, "find", noted_find)

    found = [await log.find(each, within) for each in ("of-a", "of-b", "nobody")]

    assert found == [1, None, None]
    assert steps == ["find", "read"] * 3
    assert await log.find("of-b") == 2
    assert (await log.start(Since(event_id="of-b"), Filter(), within)).verdict == "unknown-id"
