"""The filter language in the stores: what SQL leaves is what the condition wants."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtevents.core.event import Event
from rtevents.core.filter import Filter
from rtevents.stores import open_store
from rtevents.stores.sqlite_where import narrowing
from tests.wheres import Made, conditions, events


@pytest.mark.timeout(900)
@pytest.mark.parametrize("examples", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_sqlite_answers_as_the_oracle_does(examples: int) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(conditions, min_size=1, max_size=3),
        st.lists(events, min_size=1, max_size=8),
        st.booleans(),
    )
    def answers_alike(some: list[Made], published: list[Event], newest_first: bool) -> None:
        wanted = Filter(wheres=frozenset(text for text, _ in some))
        meant = [
            seq
            for seq, event in enumerate(published, 1)
            if any(meaning(json.loads(event.body)) for _, meaning in some)
        ]
        if newest_first:
            meant.reverse()
        for url in ("sqlite", "memory"):
            with tempfile.TemporaryDirectory() as folder:
                found = _found(url, Path(folder), published, wanted, newest_first=newest_first)
                assert asyncio.run(found) == meant, wanted.wheres

    answers_alike()


async def _found(
    url: str, folder: Path, published: list[Event], wanted: Filter, *, newest_first: bool
) -> list[int]:
    store = await open_store(url, path=folder / "events.db", durability="normal")
    try:
        await store.append([published])
        page = await store.read(0, 100, wanted, newest_first=newest_first)
        return [entry.seq for entry in page.entries]
    finally:
        await store.close()


@pytest.mark.parametrize(
    ("text", "is_narrow"),
    [
        ('data.severity >= "high"', True),
        ('data.severity == "high" and data.path matches "src/**"', True),
        ('data.severity == "high" or data.path matches "src/**"', True),
        ('data.severity == "high" or data.path matches "**"', True),
        ('path matches "src/**"', True),
        ('data.files.path matches "src/**"', True),
        ('path matches "**/*"', False),
        ('not data.path matches "src/**"', False),
        ("seq > 4", False),
        ('data."ü" == 1', False),
        ("data.list.0 != 1", False),
        ("data.a != 'x\\u0000'", False),
    ],
)  # fmt: skip
def test_what_sql_can_say_it_says(text: str, is_narrow: bool) -> None:
    sql, bound = narrowing([text])

    assert bool(sql) is is_narrow
    assert all(f":{name}" in sql for name in bound) or not sql
    assert narrowing([]) == ("", {})


def nested(depth: int) -> str:
    """Return a condition of so many levels, which only its innermost part fulfils."""
    text = "data.a == 1.5"
    for level in range(depth):
        start = ("data.b == 2.5 or", "data.b != 2.5 and")[level % 2]
        text = f"({start} {text})"
    return text


@pytest.mark.parametrize(
    "texts",
    [
        [nested(depth)] for depth in (5, 8, 20, 31)
    ] + [
        [f"data.a{at} == {at}.5 and data.b not exists or data.a == 1.5" for at in range(256)],
        [" or ".join(["type exists"] * 270)],
        ["data" + ".a" * 2000 + " == 1.5 or data.a == 1.5"],
        ["data" + ".a" * 2000 + " not exists"],
        [f"{'data.a.b.c.d.e.f.g == 1 or ' * 150}data.a == 1.5"],
        [f"{'data.a.b.c.d.e.f.g == 1 or ' * 150}data.a == 1.{at}5" for at in ("", "0", "00")],
        [f"data.a in [{', '.join(f'{at}.5' for at in range(256))}]"],
    ],
)  # fmt: skip
def test_whatever_may_be_asked_sqlite_can_be_asked(tmp_path: Path, texts: list[str]) -> None:
    """Its parser holds 100 words, and a condition may have 1000 levels, chains counted."""
    event = Event(type="DEPLOY", data={"a": 1.5})
    wanted = Filter(wheres=frozenset(texts))

    assert asyncio.run(_found("sqlite", tmp_path, [event], wanted, newest_first=False)) == [1]
