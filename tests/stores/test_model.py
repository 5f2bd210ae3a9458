"""Reads of every store, held to a model of a few lines."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtevents.core.event import Entry, Event, Stored
from rtevents.core.filter import Filter
from rtevents.core.store import Bounds, Page, Store
from rtevents.errors import EventConflict
from rtevents.stores import open_store

TYPES = ["COMMIT", "DEPLOY", "FILE_CHANGE"]
PROJECTS = [None, "web", "api"]
SOURCES = ["", "ci", "a'\"\x00\n", "ci\x00", "ü🎉"]
PATHS = [None, 7, "", "README", "src/a.py", "src/b/c.py", "a\nb\x00c", "x/" * 3000 + "a.py"]
GLOBS = ["*", "**", "src/*.py", "src/", "**/*.py", "a*", "REA?ME"]

made = st.builds(
    lambda kind, project, source, path, time: Event(
        type=kind, project_id=project, source=source, timestamp=time, data={"path": path}
    ),
    st.sampled_from(TYPES),
    st.sampled_from(PROJECTS),
    st.sampled_from(SOURCES),
    st.sampled_from(PATHS),
    st.floats(0, 10) | st.integers(0, 10),
)


def some(values: list[Any]) -> st.SearchStrategy[frozenset[Any]]:
    return st.frozensets(st.sampled_from(values), max_size=3)


filters = st.builds(
    Filter,
    types=some([*TYPES, "NONE"]),
    not_types=some(TYPES),
    projects=some(["web", "api", "none", "web\x00"]),
    sources=some([*SOURCES, "none"]),
    paths=some(GLOBS),
)

reads = st.fixed_dictionaries(
    {
        "after": st.integers(-3, 45),
        "limit": st.integers(0, 12),
        "wanted": filters,
        "until": st.none() | st.integers(-3, 45),
        "newest_first": st.booleans(),
    }
)


class Model:
    """A log as a list."""

    def __init__(self, events: list[Event], keep: int) -> None:
        self.last = len(events)
        self.first = max(1, self.last - keep + 1) if keep else 1
        self.entries = [Entry.of(event, seq) for seq, event in enumerate(events, 1)]
        self.entries = self.entries[self.first - 1 :]

    def read(
        self, after: int, limit: int, wanted: Filter, until: int | None, newest_first: bool
    ) -> Page:
        if not limit:
            return Page([], after)
        end = max(after, self.last if until is None else min(until, self.last))
        within = [entry for entry in self.entries if after < entry.seq <= end]
        found = [entry for entry in within if wanted.matches(entry)]
        if newest_first:
            return Page(found[::-1][:limit], end)
        return Page(found[:limit], found[limit - 1].seq if len(found) >= limit else end)

    def latest(self, wanted: Filter) -> list[Entry]:
        newest = {entry.type: entry for entry in self.entries if wanted.matches(entry)}
        return sorted(newest.values(), key=lambda entry: entry.seq)


async def with_every_store(check: Callable[[Store], Awaitable[None]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("memory", "sqlite"):
            path = Path(folder) / "events.db"
            store = await open_store(name, path=path, durability="normal")
            try:
                await check(store)
            finally:
                await store.close()


@settings(
    max_examples=60,
    deadline=None,  # it opens databases
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    events=st.lists(made, max_size=40),
    keep=st.integers(0, 30),
    reads=st.lists(reads, min_size=5, max_size=20),
)
def test_every_store_reads_as_a_list_would(
    events: list[Event], keep: int, reads: list[dict[str, Any]]
) -> None:
    model = Model(events, keep)

    async def check(store: Store) -> None:
        await store.append([events])
        assert await store.retain(keep, 0, 0) == Bounds(model.first, model.last)
        for read in reads:
            assert await store.read(**read) == model.read(**read)
            assert await store.latest(read["wanted"]) == model.latest(read["wanted"])

    asyncio.run(with_every_store(check))


@pytest.mark.parametrize("seed", range(3))
def test_every_store_reads_a_log_of_many_blocks_as_a_list_would(seed: int) -> None:
    chosen = random.Random(seed)
    events = [
        Event(
            type=chosen.choice(TYPES) if chosen.random() < 0.1 else TYPES[0],
            project_id=chosen.choice(PROJECTS) if chosen.random() < 0.05 else "web",
            source=chosen.choice(SOURCES) if chosen.random() < 0.02 else "",
            data={"path": chosen.choice(PATHS[:5])},
        )
        for _ in range(3000)
    ]
    keep = chosen.randrange(1000, 2500)
    model = Model(events, keep)

    def subset(values: list[Any], chance: float) -> frozenset[Any]:
        count = chosen.randrange(1, len(values) + 1) if chosen.random() < chance else 0
        return frozenset(chosen.sample(values, count))

    async def check(store: Store) -> None:
        at = 0
        while at < len(events):
            count = chosen.choice([1, 1, 31, 32, 33, 500])
            await store.append([events[at : at + count]])
            at += count
        await store.retain(keep, 0, 0)
        for _ in range(100):
            wanted = Filter(
                types=subset([*TYPES, "NONE"], 0.5),
                not_types=subset(TYPES, 0.1),
                projects=subset(["web", "api", "none"], 0.5),
                sources=subset(SOURCES, 0.3),
                paths=subset(GLOBS, 0.2),
            )
            after, limit = chosen.randrange(len(events)), chosen.choice([1, 7, 100])
            until = chosen.choice([None, chosen.randrange(after, len(events) + 1)])
            newest = await store.read(after, limit, wanted, until=until, newest_first=True)
            expected = model.read(after, limit, wanted, until, newest_first=True)
            assert newest.entries == expected.entries
            found: list[Entry] = []
            place = after
            end = len(events) if until is None else until
            while place < end and len(found) < limit:
                page = await store.read(place, limit - len(found), wanted, until=until)
                assert page.looked > place
                found += page.entries
                place = page.looked
            assert found == model.read(after, limit, wanted, until, newest_first=False).entries
            assert await store.latest(wanted) == model.latest(wanted)

    asyncio.run(with_every_store(check))


published = st.builds(
    lambda event_id, body: Event(event_id=event_id, type="COMMIT", timestamp=1.0, data=body),
    st.sampled_from("abcdef"),
    st.sampled_from([{"n": 1}, {"n": 2}]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(appends=st.lists(st.lists(st.lists(published, max_size=4), max_size=4), max_size=6))
def test_every_store_settles_the_same_ids_alike(appends: list[list[list[Event]]]) -> None:
    def told(answers: list[list[Stored] | EventConflict]) -> list[object]:
        return [
            (answer.event_id, answer.seq, answer.index)
            if isinstance(answer, EventConflict)
            else answer
            for answer in answers
        ]

    async def run(store: Store) -> list[object]:
        answers = [told(await store.append(batches)) for batches in appends]
        page = await store.read(0, 1000)
        await store.close()
        return [answers, page]

    async def run_all() -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "events.db"
            first, second = [
                await run(await open_store(name, path=path, durability="normal"))
                for name in ("memory", "sqlite")
            ]
        assert first == second

    asyncio.run(run_all())
