"""The newest entries are the same from a log's window as from its store."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from rtevents.core.event import Event
from rtevents.core.filter import Filter
from rtevents.core.log import Log
from rtevents.core.newest import TURN
from rtevents.core.store import Store
from rtevents.errors import StoreError
from rtevents.stores.memory import MemoryStore
from rtevents.stores.redis import RedisStore
from rtevents.stores.sqlite import SQLiteStore
from tests.redis import RedisServer

from .samples import event, events
from .test_model import filters, made

Step = tuple[str, Any]

batches = st.lists(made, max_size=12)
"""Events that come at once."""

places = st.integers(0, 45)

reads = st.fixed_dictionaries(
    {
        "limit": st.integers(0, 12),
        "wanted": st.just(Filter()) | filters,
        "after": places,
        "until": st.none() | places,
    }
)

append = st.tuples(st.just("append"), batches)
retain = st.tuples(st.just("retain"), st.integers(1, 30))
others_append = st.tuples(st.just("others append"), batches)
others_retain = st.tuples(st.just("others retain"), st.integers(1, 30))
lose = st.tuples(st.just("lose"), st.tuples(st.integers(1, 15), st.integers(0, 14)))
"""How many of the newest are lost, and how many others are in their places."""

slowly = settings(
    max_examples=40,
    deadline=None,  # it opens databases
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@asynccontextmanager
async def opened(store: Store, window: int) -> AsyncIterator[Log]:
    """Open a log as a daemon does, with a window of so many entries."""
    log = Log(store, window_events=window, window_bytes=10**9)
    await log.open()
    follower = asyncio.create_task(log.follow()) if store.is_shared else None
    try:
        yield log
    finally:
        if follower:
            follower.cancel()
            with suppress(asyncio.CancelledError):
                await follower
        await store.close()


async def check(log: Log, store: Store, wanted: list[dict[str, Any]]) -> None:
    """Compare what a log tells with what is in its store, near both of its ends."""
    last = (await store.bounds()).last
    while log.last < last:
        assert await log.grown(log.last, 10)
    for read in wanted:
        ends = {name: read[name] for name in ("after", "until") if read[name] is not None}
        near = {name: max(0, last - place) for name, place in ends.items()}
        for asked in (read, read | near):
            page = await store.read(**asked, newest_first=True)
            assert await log.newest(**asked) == page.entries


@slowly
@given(
    before=batches,
    missing=st.sets(st.integers(1, 12)),
    window=st.integers(1, 25),
    steps=st.lists(append | retain, max_size=8),
    reads=st.lists(reads, min_size=3, max_size=10),
)
def test_the_newest_are_those_of_sqlite(
    before: list[Event],
    missing: set[int],
    window: int,
    steps: list[Step],
    reads: list[dict[str, Any]],
) -> None:
    async def run(path: Path) -> None:
        store = await SQLiteStore.open(path=path, durability="normal")
        await store.append([before])
        await store.close()
        with closing(sqlite3.connect(path)) as db:
            # As in a log of what could be read of a damaged one.
            db.executemany("DELETE FROM entry WHERE seq = ?", [(seq,) for seq in missing])
            db.commit()
        store = await SQLiteStore.open(path=path, durability="normal")
        async with opened(store, window) as log:
            await check(log, store, reads)
            for name, value in steps:
                if name == "append":
                    await log.append([value])
                else:
                    await log.retain(value, 0, 0)
                await check(log, store, reads)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder) / "events.db"))


class Shared:
    """
    A log in Redis, and what happens to it.

    Args:
        log: As one daemon sees it.
        others: As another does.
        url: Where it is.
    """

    def __init__(self, log: Log, others: RedisStore, url: str, redis: Redis) -> None:
        self._log = log
        self._others = others
        self._url = url
        self._redis = redis
        self.steps: dict[str, Callable[[Any], Coroutine[Any, Any, object]]] = {
            "append": lambda batch: log.append([batch]),
            "retain": lambda count: log.retain(count, 0, 0),
            "others append": lambda batch: others.append([batch]),
            "others retain": self._others_retain,
            "lose": self._lose,
        }

    async def _others_retain(self, count: int) -> None:
        await self._others.retain(count, 0, 0)
        await self._log.refresh()

    async def _lose(self, value: tuple[int, int]) -> None:
        """Take the newest away, as an old master does that has had others in their places."""
        lost, more = value
        if not self._log.last:
            return
        left = max(0, self._log.last - lost)
        remove(self._redis, self._url, left + 1, self._log.last)
        newest = f"{left}-18446744073709551615"
        redis: Any = self._redis  # it has no method for this
        redis.execute_command("XSETID", entries_of(self._url), newest)
        self._redis.hset(entries_of(self._url).replace("entries", "log"), "last", str(left))
        late = await RedisStore.open(self._url)
        await late.append([events(min(more, self._log.last - left - 1))])
        await late.close()


def remove(redis: Redis, url: str, low: int, high: int) -> None:
    """Remove entries from a log in Redis."""
    key = entries_of(url)
    found: Any = redis.xrange(key, str(low), str(high))
    if found:
        redis.xdel(key, *[name for name, _ in found])


def entries_of(url: str) -> str:
    """Return the key of a log's entries."""
    return f"{{{url.partition('log=')[2]}}}:entries"


@slowly
@given(
    before=batches,
    missing=st.sets(st.integers(1, 12)),
    window=st.integers(1, 25),
    steps=st.lists(append | retain | others_append | others_retain | lose, max_size=8),
    reads=st.lists(reads, min_size=3, max_size=10),
)
def test_the_newest_are_those_of_redis(
    redis_server: RedisServer,
    before: list[Event],
    missing: set[int],
    window: int,
    steps: list[Step],
    reads: list[dict[str, Any]],
) -> None:
    """Of a log that others append to and trim, and that loses its end."""
    url = redis_server.url(uuid4().hex)

    async def run(redis: Redis) -> None:
        others = await RedisStore.open(url)
        await others.append([before])
        store = await RedisStore.open(url)
        for seq in missing:
            remove(redis, url, seq, seq)
        async with opened(store, window) as log:
            shared = Shared(log, others, url, redis)
            await check(log, store, reads)
            for name, value in steps:
                await shared.steps[name](value)
                await check(log, store, reads)
        await others.close()

    with Redis(port=redis_server.port) as redis:
        asyncio.run(run(redis))


async def test_the_newest_can_be_had_while_redis_is_away(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis")
    server.start()
    try:
        store = await RedisStore.open(server.url())
        await store.append([[event("DEPLOY"), *events(30)]])
        async with opened(store, 20) as log:
            server.kill()

            newest = await log.newest(3, Filter())
            assert [entry.seq for entry in newest] == [31, 30, 29]
            within = await log.newest(100, Filter(types=frozenset({"DEPLOY"})), after=11)
            assert within == []
            assert len(await log.newest(100, Filter(), after=11)) == 20
            with pytest.raises(StoreError, match="redis at"):
                await log.newest(21, Filter())
            with pytest.raises(StoreError, match="redis at"):
                await log.newest(1, Filter(types=frozenset({"DEPLOY"})))
    finally:
        server.stop()


async def test_of_a_database_that_was_put_aside_nothing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    store = await SQLiteStore.open(path=path)
    async with opened(store, 100) as log:
        await log.append([events(50)])
        path.write_bytes(b"garbage")
        answers = await log.append([[event(event_id="a")]])

        assert len(answers) == 1
        assert [entry.event_id for entry in await log.newest(10, Filter())] == ["a"]


async def test_others_have_their_turn_while_many_entries_are_looked_through() -> None:
    store = MemoryStore()
    async with opened(store, 5 * TURN) as log:
        await log.append([events(4 * TURN)])
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        await asyncio.sleep(0)
        before = turns
        wanted = Filter(types=frozenset({"DEPLOY"}))
        assert await log.newest(1, wanted, after=0) == []
        assert turns - before >= 4
        counting.cancel()
