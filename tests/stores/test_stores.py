"""The table of stores, and the clock they share."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from rtevents.core.clock import Clock
from rtevents.errors import ConfigError
from rtevents.stores import open_store, store_name
from rtevents.stores.memory import MemoryStore
from rtevents.stores.sqlite import SQLiteStore
from tests.stores.samples import events, seqs


@pytest.mark.parametrize("name", ["memory", "sqlite"])
async def test_each_store_opens_by_its_name(name: str, tmp_path: Path) -> None:
    store = await open_store(name, path=tmp_path / "events.db", durability="full")

    await store.append([events(2)])

    assert type(store) is {"memory": MemoryStore, "sqlite": SQLiteStore}[name]
    assert await seqs(store) == [1, 2]
    await store.close()


async def test_a_store_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        await open_store("postgres://x", path=tmp_path / "events.db", durability="full")

    assert str(caught.value) == (
        "store: expected one of memory, redis, redis+cluster, redis+sentinel, redis+unix, rediss, "
        "rediss+cluster, rediss+sentinel, sqlite, got 'postgres'"
    )
    assert caught.value.field == "store"


async def test_a_durability_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        await open_store("sqlite", path=tmp_path / "events.db", durability="some")

    assert str(caught.value) == "durability: expected full or normal, got 'some'"
    assert list(tmp_path.iterdir()) == []


def test_the_clock_tells_unix_seconds_and_does_not_go_back() -> None:
    clock = Clock()

    times = [clock() for _ in range(100)]

    assert abs(times[0] - time.time()) < 5
    assert times == sorted(times)


def test_a_store_is_told_without_its_password() -> None:
    assert store_name("sqlite") == "sqlite"
    assert store_name("redis://me:secret@h:1/0?log=x") == "redis://h:1/0?log=x"
    assert store_name("redis+unix://:s@cret@/run/r.sock") == "redis+unix:///run/r.sock"
