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


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(conditions, min_size=1, max_size=3),
    st.lists(events, min_size=1, max_size=8),
    st.booleans(),
)
def test_sqlite_answers_as_the_oracle_does(
    some: list[Made], published: list[Event], newest_first: bool
) -> None:
    wanted = Filter(wheres=frozenset(text for text, _ in some))
    meant = [
        seq
        for seq, event in enumerate(published, 1)
        if any(meaning(json.loads(event.body)) for _, meaning in some)
    ]

    async def found(url: str, folder: Path) -> list[int]:
        store = await open_store(url, path=folder / "events.db", durability="normal")
        try:
            await store.append([published])
            page = await store.read(0, 100, wanted, newest_first=newest_first)
            return [entry.seq for entry in page.entries]
        finally:
            await store.close()

    if newest_first:
        meant.reverse()
    with tempfile.TemporaryDirectory() as folder:
        assert asyncio.run(found("sqlite", Path(folder))) == meant, wanted.wheres
    assert asyncio.run(found("memory", Path(folder))) == meant


@pytest.mark.parametrize(
    ("text", "is_narrow"),
    [
        ('data.severity >= "high"', True),
        ('data.severity == "high" and data.path matches "src/**"', True),
        ('data.severity == "high" or data.path matches "src/**"', False),
        ('not data.path matches "src/**"', False),
        ("seq > 4", False),
        ('data."ü" == 1', False),
        ("data.list.0 == 1", False),
        ("data.a == 'x\\u0000'", False),
    ],
)  # fmt: skip
def test_what_sql_can_say_it_says(text: str, is_narrow: bool) -> None:
    sql, bound = narrowing([text])

    assert bool(sql) is is_narrow
    assert all(f":{name}" in sql for name in bound) or not sql
    assert narrowing([]) == ("", {})
