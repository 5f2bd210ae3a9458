"""What every backend promises, on every backend."""

from __future__ import annotations

import asyncio
import json
import re
from functools import cache
from typing import Any

import msgspec
import pytest

from rtevents.core.event import Entry, Event, Stored, Undated
from rtevents.core.names import new_event_id
from rtevents.core.store import Bounds, Page, Store
from rtevents.errors import EventConflict, EventRefused, FilterError, LogClosed
from tests.stores.conftest import SetClock
from tests.stores.samples import EVERYTHING, event, events, everything, seqs, wanting


async def settled(task: asyncio.Task[Page]) -> None:
    """Let a reader come to where it waits: real threads answer it, so it takes real time."""
    done, _ = await asyncio.wait([task], timeout=0.05)
    assert not done


# Appending


async def test_seqs_begin_at_1_and_have_no_holes(store: Store) -> None:
    answers = await store.append([events(3), events(2)])
    answers += await store.append([events(1)])

    assert [[one.seq for one in answer] for answer in answers] == [[1, 2, 3], [4, 5], [6]]  # type: ignore[union-attr]  # none is a conflict
    assert await seqs(store) == [1, 2, 3, 4, 5, 6]


async def test_an_answer_names_the_event_its_seq_and_that_it_is_new(store: Store) -> None:
    assert await store.append([[event(event_id="a")]]) == [[Stored("a", 1, duplicate=False)]]


async def test_appends_at_once_get_one_order(store: Store) -> None:
    batches = [events(3) for _ in range(50)]

    answers = await asyncio.gather(*(store.append([batch]) for batch in batches))

    given = [one.seq for [answer] in answers for one in answer]  # type: ignore[union-attr]  # none is a conflict
    assert given == list(range(1, 151))
    wanted = [each.event_id for batch in batches for each in batch]
    assert [entry.event_id for entry in await everything(store)] == wanted


async def test_nothing_appended_is_answered_with_nothing(store: Store) -> None:
    assert await store.append([]) == []
    assert await store.append([[]]) == [[]]
    assert await store.bounds() == Bounds(first=1, last=0)


async def test_the_same_event_again_has_the_seq_it_had(store: Store) -> None:
    [first, second] = events(2)
    await store.append([[first, second]])

    [answer] = await store.append([[second, event(event_id="new"), first]])

    assert answer == [
        Stored(second.event_id, 2, duplicate=True),
        Stored("new", 3, duplicate=False),
        Stored(first.event_id, 1, duplicate=True),
    ]
    assert await seqs(store) == [1, 2, 3]


async def test_another_body_under_a_known_id_leaves_its_whole_batch_out(store: Store) -> None:
    await store.append([[event(event_id="a")]])

    [before, conflict, after] = await store.append(
        [
            [event(event_id="b")],
            [event(event_id="c"), event(event_id="a", data={"message": "other"})],
            [event(event_id="d")],
        ]
    )

    assert before == [Stored("b", 2, duplicate=False)]
    assert isinstance(conflict, EventConflict)
    assert (conflict.event_id, conflict.seq, conflict.index) == ("a", 1, 1)
    assert after == [Stored("d", 3, duplicate=False)]
    assert [entry.event_id for entry in await everything(store)] == ["a", "b", "d"]
    assert await store.find("c") is None


async def test_a_conflict_far_into_a_batch_leaves_all_of_it_out(store: Store) -> None:
    await store.append([[event(event_id="a")]])

    [conflict, answer] = await store.append(
        [[*events(300), event(event_id="a", data={})], [event(event_id="b")]]
    )

    assert isinstance(conflict, EventConflict)
    assert conflict.index == 300
    assert answer == [Stored("b", 2, duplicate=False)]
    assert await seqs(store) == [1, 2]


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({}, True),
        ({"source": "elsewhere"}, True),
        ({"type": "DEPLOY"}, False),
        ({"project_id": "web"}, False),
        ({"timestamp": 2.0}, False),
        ({"data": {"list": [1, 2], "more": 1}}, False),
    ],
)
async def test_the_body_is_type_data_project_and_timestamp(
    store: Store, change: dict[str, object], is_same: bool
) -> None:
    first = event(event_id="a", timestamp=1.0, data={"list": (1, 2)})
    await store.append([[first]])

    [answer] = await store.append([[msgspec.structs.replace(first, **change)]])

    assert isinstance(answer, list) is is_same


async def test_an_event_without_a_time_of_its_own_repeats_one_of_any_time(store: Store) -> None:
    await store.append([[event(event_id="a", timestamp=1.0)]])

    [answer] = await store.append(
        [[Undated(event_id="a", type="COMMIT", data={"message": "hello"})]]
    )

    assert answer == [Stored("a", 1, duplicate=True)]


async def test_an_id_twice_in_a_batch_is_stored_once(store: Store) -> None:
    twice = event(event_id="a", data={"list": (1, 2)})

    [answer] = await store.append([[twice, event(event_id="b"), twice]])

    assert answer == [
        Stored("a", 1, duplicate=False),
        Stored("b", 2, duplicate=False),
        Stored("a", 1, duplicate=True),
    ]


async def test_an_id_twice_in_a_batch_with_two_bodies_leaves_it_out(store: Store) -> None:
    [conflict, answer] = await store.append(
        [
            [event(event_id="a"), event(event_id="a", data={})],
            [event(event_id="b")],
        ]
    )

    assert isinstance(conflict, EventConflict)
    assert (conflict.event_id, conflict.seq, conflict.index) == ("a", 0, 1)
    assert answer == [Stored("b", 1, duplicate=False)]


async def test_an_id_in_two_batches_of_one_append_belongs_to_the_first(store: Store) -> None:
    same = event(event_id="a")

    answers = await store.append([[same], [same], [event(event_id="a", data={})]])

    assert answers[:2] == [
        [Stored("a", 1, duplicate=False)],
        [Stored("a", 1, duplicate=True)],
    ]
    assert isinstance(answers[2], EventConflict)
    assert answers[2].seq == 1


async def test_an_id_in_many_appends_at_once_is_stored_once(store: Store) -> None:
    same = event(event_id="a")

    answers = await asyncio.gather(*(store.append([[same]]) for _ in range(20)))

    assert [[one.seq for one in answer] for [answer] in answers] == [[1]] * 20  # type: ignore[union-attr]  # none is a conflict
    assert await seqs(store) == [1]


async def test_a_whole_batch_again_is_all_duplicates(store: Store) -> None:
    batch = events(700)
    [first] = await store.append([batch])

    [again] = await store.append([batch])

    assert isinstance(first, list)
    assert isinstance(again, list)
    assert again == [Stored(one.event_id, one.seq, duplicate=True) for one in first]


async def test_long_events_again_are_duplicates(store: Store) -> None:
    batch = [event(data={"message": "x" * 1_000_000}) for _ in range(12)]
    await store.append([batch])

    [again] = await store.append([batch])

    assert isinstance(again, list)
    assert [one.seq for one in again if one.duplicate] == list(range(1, 13))


async def test_what_is_not_json_is_refused_and_nothing_is_stored(store: Store) -> None:
    with pytest.raises(EventRefused):
        await store.append([[event()], [event(data={"number": float("nan")})]])

    assert await seqs(store) == []


async def test_an_append_that_nobody_waits_for_any_more_is_stored(store: Store) -> None:
    append = asyncio.create_task(store.append([[event()]]))
    await asyncio.sleep(0)
    append.cancel()
    await asyncio.wait([append])

    page = await store.read(0, 10, wait=10)

    assert [entry.seq for entry in page.entries] == [1]


# Reading


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"data": {"file_path": "src/a.py", "change_type": "modified"}, "project_id": "web"},
        {"data": {"path": "a\nb\x00\x7f\u2028\x85 ä 🎉 \"'\\"}, "source": "a\nb\x00c ä 🎉"},
        {"data": {"path": "p/" * 5000}, "extensions": {"traceparent": "00-0af7-01"}},
        {"data": {"file_path": 7}, "timestamp": 1763863200},
        {"data": {}, "timestamp": 1763863200.1234567, "event_id": "git:web:" + "f" * 40},
        {"data": {"message": "x" * 1_000_000}},
    ],
)
async def test_an_entry_comes_back_as_it_was_made(store: Store, fields: dict[str, Any]) -> None:
    published = event(**fields)
    await store.append([[published]])

    page = await store.read(0, 10)

    assert page.entries == [Entry.of(published, 1)]


async def test_a_page_is_what_follows_a_place(store: Store) -> None:
    await store.append([events(10)])

    page = await store.read(4, 3)

    assert [entry.seq for entry in page.entries] == [5, 6, 7]
    assert page.looked == 7


async def test_the_last_page_looked_up_to_the_end(store: Store) -> None:
    await store.append([events(10)])

    assert (await store.read(4, 100)).looked == 10
    assert await store.read(10, 100) == Page([], 10)


async def test_a_place_moves_past_what_the_filter_hides(store: Store) -> None:
    await store.append([[*events(3), event("DEPLOY"), *events(3)]])

    page = await store.read(0, 5, wanting(types="DEPLOY"))

    assert [entry.seq for entry in page.entries] == [4]
    assert page.looked == 7
    assert await store.read(4, 5, wanting(types="DEPLOY")) == Page([], 7)


async def test_a_place_ahead_of_the_log_stays(store: Store) -> None:
    await store.append([events(3)])

    assert await store.read(10**17, 5) == Page([], 10**17)
    assert await store.read(10**17, 5, newest_first=True) == Page([], 10**17)


async def test_no_entries_are_asked_for_and_none_come(store: Store) -> None:
    await store.append([events(3)])

    assert await store.read(1, 0, wait=10) == Page([], 1)


async def test_newest_first_begins_at_the_end(store: Store) -> None:
    await store.append([events(10)])

    page = await store.read(0, 3, newest_first=True)

    assert [entry.seq for entry in page.entries] == [10, 9, 8]
    assert page.looked == 10


async def test_newest_first_ends_at_its_place(store: Store) -> None:
    await store.append([events(10)])

    page = await store.read(7, 100, newest_first=True)

    assert [entry.seq for entry in page.entries] == [10, 9, 8]


async def test_nothing_beyond_until_is_looked_at(store: Store) -> None:
    await store.append([[*events(5), event("DEPLOY"), *events(4)]])

    page = await store.read(2, 100, until=6)

    assert [entry.seq for entry in page.entries] == [3, 4, 5, 6]
    assert page.looked == 6
    assert (await store.read(0, 2, until=6)).looked == 2
    assert (await store.read(0, 100, until=99)).looked == 10
    assert await store.read(0, 100, wanting(types="DEPLOY"), until=5) == Page([], 5)
    assert await store.read(7, 100, until=6) == Page([], 7)


async def test_newest_first_begins_at_until(store: Store) -> None:
    await store.append([events(10)])

    page = await store.read(2, 3, until=7, newest_first=True)

    assert [entry.seq for entry in page.entries] == [7, 6, 5]
    assert page.looked == 7
    assert await store.read(7, 3, until=7, newest_first=True) == Page([], 7)


async def test_a_page_of_long_entries_ends_sooner(store: Store) -> None:
    await store.append([[event(data={"message": "x" * 400_000}) for _ in range(10)]])

    page = await store.read(0, 10)

    assert [entry.seq for entry in page.entries] == [1, 2, 3]
    assert page.looked == 3
    assert await seqs(store) == list(range(1, 11))


@pytest.fixture
async def mixed(store: Store) -> Store:
    """A log of 24 entries: 3 types, 2 projects and none, 2 sources, 2 files."""
    made = [
        event(kind, project_id=project, source=source, data={"file_path": path})
        for kind in ("COMMIT", "FILE_CHANGE", "DEPLOY")
        for project in ("web", None)
        for source in ("ci", "")
        for path in ("src/a.py", "README")
    ]
    await store.append([made])
    return store


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({}, range(1, 25)),
        ({"types": "COMMIT"}, range(1, 9)),
        ({"types": ["COMMIT", "DEPLOY"]}, [*range(1, 9), *range(17, 25)]),
        ({"not_types": ["COMMIT", "DEPLOY"]}, range(9, 17)),
        ({"types": "COMMIT", "not_types": "COMMIT"}, []),
        ({"types": "NONE"}, []),
        ({"projects": "web"}, [1, 2, 3, 4, 9, 10, 11, 12, 17, 18, 19, 20]),
        ({"sources": "ci"}, [1, 2, 5, 6, 9, 10, 13, 14, 17, 18, 21, 22]),
        ({"sources": ["ci", ""], "projects": "web", "types": "COMMIT"}, [1, 2, 3, 4]),
        ({"paths": "src/**"}, range(1, 25, 2)),
        ({"paths": ["READ*", "lib/*"], "types": "COMMIT"}, [2, 4, 6, 8]),
        ({"types": ["COMMIT", *(f"T{at}" for at in range(200))]}, range(1, 9)),
        ({"projects": [f"p{at}" for at in range(200)]}, []),
        ({"types": "\udc80"}, []),
        ({"projects": ["web", "\udc80"], "not_types": ["COMMIT", "\udc80"]},
         [9, 10, 11, 12, 17, 18, 19, 20]),
    ],
)  # fmt: skip
async def test_a_filter_finds_what_matches(
    mixed: Store, keys: dict[str, object], found: list[int]
) -> None:
    wanted = wanting(**keys)

    assert await seqs(mixed, wanted) == list(found)
    assert await seqs(mixed, wanted, limit=1) == list(found)
    page = await mixed.read(0, 100, wanted, newest_first=True)
    assert [entry.seq for entry in page.entries] == list(found)[::-1]


async def test_a_path_too_long_for_a_file_is_matched_all_the_same(store: Store) -> None:
    deep = "deep/" * 1000 + "a.py"
    await store.append([[event(data={"path": deep}), event(data={"path": deep + "c"})]])

    assert await seqs(store, wanting(paths="deep/**/*.py")) == [1]


async def test_a_commit_is_found_by_any_of_its_files(store: Store) -> None:
    files = [{"path": "lib/b.py"}, {"path": "src/ü.py", "insertions": 1}, {"path": 'q"\\.md'}]
    some = [
        event("COMMIT", data={"files": files}),
        event("FILE_CHANGE", data={"file_path": "src/a.py"}),
        event("FILE_CHANGE", data={"file_path": "lib/a.py", "old_path": "src/a.py"}),
        event("COMMIT", data={"files": [{"path": "docs/src/a.py"}]}),
        event("DEPLOY", data={"message": "src/a.py"}),
    ]
    await store.append([some])

    for paths, found in {
        "src/**": [1, 2, 3], "lib/b.py": [1], "src/a.py": [2, 3], "**/a.py": [2, 3, 4],
        "src/ü.py": [1], "q*.md": [1], 'q"\\\\.md': [], "**": [1, 2, 3, 4], "src/*.md": [],
    }.items():  # fmt: skip
        assert await seqs(store, wanting(paths=paths)) == found, paths
        assert await seqs(store, wanting(wheres=f"path matches {json.dumps(paths)}")) == found
    for text, found in {
        'data.files.path == "lib/b.py"': [1], 'data.files contains "lib/b.py"': [1],
        'data.files.path != "lib/b.py" and type == "COMMIT"': [4], "data.files.path exists": [1, 4],
        "data.files.insertions > 0": [1], 'not data.files.path matches "src/**"': [2, 3, 4, 5],
    }.items():  # fmt: skip
        assert await seqs(store, wanting(wheres=text)) == found, text


async def test_a_glob_that_is_none_is_refused(store: Store) -> None:
    await store.append([events(1)])

    with pytest.raises(FilterError):
        await store.read(0, 10, wanting(paths=""))


LONG = 25_000
"""Entries of a log that no search gets through in one look."""


@cache
def long_batch() -> list[Event]:
    """Return 25,000 files of one project; number 100 and the last are of another."""
    made = [
        event("FILE_CHANGE", project_id="web", data={"file_path": f"src/{at}.py"})
        for at in range(1, LONG + 1)
    ]
    for at in (100, LONG):
        made[at - 1] = event("FILE_CHANGE", project_id="rare", data={"file_path": "lib/x"})
    return made


@pytest.fixture
async def long(store: Store) -> Store:
    """A log of those."""
    await store.append([long_batch()])
    return store


@pytest.mark.parametrize(
    "keys",
    [
        {"projects": "rare"},
        {"types": "FILE_CHANGE", "projects": "rare"},
        {"projects": "rare", "not_types": "COMMIT"},
        {"paths": "lib/*"},
        {"types": "FILE_CHANGE", "paths": "lib/*"},
    ],
)
async def test_a_long_log_is_searched_to_its_end(long: Store, keys: dict[str, object]) -> None:
    wanted = wanting(**keys)

    assert await seqs(long, wanted) == [100, LONG]
    page = await long.read(0, 5, wanted, newest_first=True)
    assert [entry.seq for entry in page.entries] == [LONG, 100]
    assert page.looked == LONG
    page = await long.read(100, 1, wanted, newest_first=True)
    assert [entry.seq for entry in page.entries] == [LONG]


async def test_newest_first_may_be_as_long_as_the_log(long: Store) -> None:
    page = await long.read(0, LONG, newest_first=True)

    assert [entry.seq for entry in page.entries] == list(range(LONG, 0, -1))


async def test_long_entries_all_come_newest_first(store: Store) -> None:
    await store.append([[event(data={"message": "x" * 1_000_000}) for _ in range(20)]])

    page = await store.read(0, 20, newest_first=True)

    assert [entry.seq for entry in page.entries] == list(range(20, 0, -1))


# Waiting


async def test_growth_is_told_when_there_is_some_or_time_is_over(store: Store) -> None:
    assert await store.grown(0, 0.01) == 0
    waiting = asyncio.create_task(store.grown(0, 30))
    await asyncio.sleep(0)

    await store.append([events(2)])

    # One that others append to may be seen to grow step by step.
    assert await waiting > 0
    assert await store.grown(1, 30) == 2


async def test_a_reader_that_waits_is_woken_by_an_append(store: Store) -> None:
    reader = asyncio.create_task(store.read(0, 10, wait=30))
    await settled(reader)

    await store.append([events(2)])

    assert [entry.seq for entry in (await reader).entries] == [1, 2]


async def test_a_reader_waits_for_what_it_wants(store: Store) -> None:
    reader = asyncio.create_task(store.read(0, 10, wanting(types="DEPLOY"), wait=30))
    await settled(reader)
    await store.append([events(2)])
    await settled(reader)

    await store.append([[event("DEPLOY")]])

    page = await reader
    assert [entry.seq for entry in page.entries] == [3]


async def test_a_wait_ends_with_how_far_it_looked(store: Store) -> None:
    await store.append([events(2)])

    assert await store.read(0, 10, wanting(types="DEPLOY"), wait=0.01) == Page([], 2)


async def test_nobody_waits_for_what_is_beyond_until(store: Store) -> None:
    await store.append([events(2)])

    assert await store.read(0, 10, wanting(types="DEPLOY"), until=2, wait=60) == Page([], 2)


async def test_newest_first_can_wait_too(store: Store) -> None:
    reader = asyncio.create_task(store.read(0, 1, wait=30, newest_first=True))
    await settled(reader)

    await store.append([events(2)])

    assert [entry.seq for entry in (await reader).entries] == [2]


async def test_a_cancelled_wait_harms_nobody(store: Store) -> None:
    gone, stays = (asyncio.create_task(store.read(0, 10, wait=30)) for _ in range(2))
    await settled(gone)
    gone.cancel()
    await asyncio.wait([gone])

    await store.append([events(1)])

    assert gone.cancelled()
    assert len((await stays).entries) == 1


async def test_a_wait_goes_on_searching_a_long_log(store: Store) -> None:
    """A search that answers how far it came must not take that for the end of the log."""
    again = [msgspec.structs.replace(made, event_id=new_event_id()) for made in long_batch()]
    await store.append([long_batch(), again[:10_000], [event(data={"path": "new/x"})]])

    page = await store.read(0, 1, wanting(paths="new/*"), wait=30)

    assert [entry.seq for entry in page.entries] == [35_001]


# Finding


async def test_an_id_is_found_as_long_as_its_entry_is_kept(store: Store) -> None:
    await store.append([[event(event_id="a"), event(event_id="b")]])
    assert await store.find("b") == 2
    assert await store.find("c") is None
    assert await store.find("\udc80") is None

    await store.retain(1, 0, 0)

    assert await store.find("a") is None
    assert await store.append([[event(event_id="a", data={})]]) == [
        [Stored("a", 3, duplicate=False)]
    ]


async def test_seek_finds_the_place_before_the_first_entry_stored_at_a_time(
    store: Store, clock: SetClock
) -> None:
    """Whatever time a publisher gave: one event of the future moves nobody's place."""
    begin = clock.now
    assert await store.seek(begin) == 0
    for timestamp in (10.0, 1e11, 20.0):
        await store.append([[event(timestamp=timestamp), event()]])
        clock.now += 10

    assert await store.seek(0) == 0
    assert await store.seek(begin) == 0
    assert await store.seek(begin + 0.5) == 2
    assert await store.seek(begin + 10) == 2
    assert await store.seek(begin + 20) == 4
    assert await store.seek(begin + 21) == 6

    await store.retain(3, 0, 0)

    assert await store.seek(begin) == 3
    assert await store.seek(begin + 20) == 4


async def test_latest_is_the_newest_of_each_type(mixed: Store) -> None:
    newest = await mixed.latest(EVERYTHING)

    assert [(entry.seq, entry.type) for entry in newest] == [
        (8, "COMMIT"), (16, "FILE_CHANGE"), (24, "DEPLOY")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({"types": ["COMMIT", "NONE"]}, [8]),
        ({"not_types": "DEPLOY"}, [8, 16]),
        ({"projects": "web", "sources": "ci", "paths": "src/*"}, [1, 9, 17]),
        ({"projects": "none"}, []),
    ],
)
async def test_latest_is_filtered(mixed: Store, keys: dict[str, object], found: list[int]) -> None:
    assert [entry.seq for entry in await mixed.latest(wanting(**keys))] == found


async def test_the_latest_of_nothing_is_nothing(store: Store) -> None:
    assert await store.latest(EVERYTHING) == []


# Retaining


async def test_no_limit_keeps_everything(store: Store, clock: SetClock) -> None:
    await store.append([events(5)])
    clock.now += 10**9

    assert await store.retain(0, 0, 0) == Bounds(1, 5)


async def test_as_many_are_kept_as_the_limit_says(store: Store) -> None:
    await store.append([events(5)])

    assert await store.retain(10, 0, 0) == Bounds(1, 5)
    assert await store.retain(2, 0, 0) == Bounds(4, 5)
    assert await store.retain(2, 0, 0) == Bounds(4, 5)
    assert await store.bounds() == Bounds(4, 5)
    assert await seqs(store) == [4, 5]
    assert await store.read(0, 10, newest_first=True) == Page((await everything(store))[::-1], 5)


async def test_many_are_trimmed_with_appends_in_between(long: Store) -> None:
    retain = asyncio.create_task(long.retain(1000, 0, 0))
    await asyncio.sleep(0)
    answers = [await long.append([events(1)]) for _ in range(5)]

    assert (await retain).first == LONG - 999
    assert (await long.bounds()) == Bounds(LONG - 999, LONG + 5)
    assert len(await seqs(long)) == 1005
    assert len(answers) == 5


async def test_two_trims_at_once_agree(long: Store) -> None:
    await asyncio.gather(long.retain(1000, 0, 0), long.retain(500, 0, 0), long.retain(2000, 0, 0))

    assert await long.bounds() == Bounds(LONG - 499, LONG)


async def test_what_is_too_old_goes(store: Store, clock: SetClock) -> None:
    for _ in range(3):
        await store.append([events(2)])
        clock.now += 10

    assert await store.retain(0, 30, 0) == Bounds(1, 6)
    assert await store.retain(0, 20, 0) == Bounds(3, 6)
    assert await store.retain(0, 5, 0) == Bounds(7, 6)


async def test_a_clock_set_back_makes_nothing_older_than_what_was_before(
    store: Store, clock: SetClock
) -> None:
    await store.append([events(1)])
    clock.now -= 1000
    await store.append([events(1)])
    clock.now += 1000

    assert await store.retain(0, 10, 0) == Bounds(1, 2)


async def test_as_many_bytes_are_kept_as_the_limit_says(store: Store) -> None:
    await store.append([events(30)])
    sizes = [len(entry.wire) for entry in await everything(store)]

    assert await store.retain(0, 0, sum(sizes)) == Bounds(1, 30)
    assert await store.retain(0, 0, sum(sizes) - 1) == Bounds(2, 30)
    assert await store.retain(0, 0, sum(sizes[20:])) == Bounds(21, 30)
    assert await store.retain(0, 0, sum(sizes[25:]) + sizes[24] - 1) == Bounds(26, 30)
    assert await store.retain(0, 0, 1) == Bounds(31, 30)


async def test_the_strictest_limit_counts(store: Store, clock: SetClock) -> None:
    await store.append([events(10)])
    clock.now += 10
    await store.append([events(10)])

    assert await store.retain(15, 5, 10**6) == Bounds(11, 20)
    assert await store.retain(5, 5, 10**6) == Bounds(16, 20)


async def test_a_seq_is_not_given_again_when_all_is_trimmed(store: Store, clock: SetClock) -> None:
    await store.append([events(5)])
    clock.now += 100
    assert await store.retain(0, 1, 0) == Bounds(6, 5)
    assert await store.read(0, 10) == Page([], 5)

    [answer] = await store.append([[event(event_id="a")]])

    assert answer == [Stored("a", 6, duplicate=False)]
    assert await store.bounds() == Bounds(6, 6)
    assert await seqs(store) == [6]
    assert await store.retain(0, 0, 10**6) == Bounds(6, 6)


async def test_a_trim_while_it_is_searched_ends_the_search_sooner(long: Store) -> None:
    search = asyncio.create_task(long.read(0, 5, wanting(paths="lib/*"), newest_first=True))
    await long.retain(0, 0, 1)

    assert (await search).looked == LONG


# Ending


def test_an_epoch_is_8_hexadecimal_digits(store: Store) -> None:
    assert re.fullmatch("[0-9a-f]{8}", store.epoch)


async def test_a_closed_log_says_so(store: Store) -> None:
    await store.append([events(1)])
    await store.close()

    for call in (
        store.append([events(1)]),
        store.read(0, 10),
        store.find("a"),
        store.seek(0),
        store.latest(EVERYTHING),
        store.bounds(),
        store.retain(1, 1, 1),
    ):
        with pytest.raises(LogClosed, match="the log is closed"):
            await call


async def test_closing_ends_those_who_wait(store: Store) -> None:
    readers = [asyncio.create_task(store.read(0, 10, wait=30)) for _ in range(3)]
    await settled(readers[0])

    await store.close()

    ends = await asyncio.gather(*readers, return_exceptions=True)
    assert [type(end) for end in ends] == [LogClosed] * 3


async def test_closing_stores_what_was_appended_before(store: Store) -> None:
    appends = [asyncio.create_task(store.append([events(1)])) for _ in range(20)]
    await asyncio.sleep(0)

    await store.close()

    answers = await asyncio.gather(*appends)
    assert [answer[0].seq for [answer] in answers] == list(range(1, 21))  # type: ignore[index]  # none is a conflict


async def test_closing_twice_is_allowed(store: Store) -> None:
    await asyncio.gather(store.close(), store.close())

    await store.close()


async def test_closing_ends_a_long_search(long: Store) -> None:
    search = asyncio.create_task(long.read(0, 5, wanting(paths="no/*"), newest_first=True))
    await asyncio.sleep(0)

    await long.close()

    with pytest.raises(LogClosed):
        await search


async def test_closing_ends_a_long_trim(long: Store) -> None:
    trim = asyncio.create_task(long.retain(1, 0, 0))
    await asyncio.sleep(0)

    await long.close()

    with pytest.raises(LogClosed):
        await trim
