"""Reads of every store, held to a model of a few lines."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

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

    async def check_all() -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name in ("memory", "sqlite"):
                path = Path(folder) / "events.db"
                store = await open_store(name, path=path, durability="normal")
                try:
                    await check(store)
                finally:
                    await store.close()

    asyncio.run(check_all())


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
