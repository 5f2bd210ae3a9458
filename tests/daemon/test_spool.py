"""Events that waited on disk for the daemon to be back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rtevents.client.spool import keep, keep_line
from rtevents.config.settings import Config
from rtevents.core.event import Event
from rtevents.core.filter import Filter
from rtevents.core.service import EventService
from rtevents.daemon.spool import LocalSpool, open_spool
from rtevents.errors import BadInput, StoreError
from rtevents.stores.memory import MemoryStore
from rtevents.stores.redis import RedisStore
from tests.conftest import PATIENCE
from tests.redis import RedisServer, running


def task(name: str, **fields: object) -> Event:
    """Return a TASK_UPDATE."""
    data = {"task_id": name, "status": "open"}
    return Event(**{"type": "TASK_UPDATE", "data": data, **fields})  # type: ignore[arg-type]


def test_a_line_that_is_no_event_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        keep_line(tmp_path, b"{")

    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_is_for_the_user_alone(tmp_path: Path) -> None:
    keep(tmp_path / "spool", task("T-1", event_id="web:0a1b"))
    file = next((tmp_path / "spool").iterdir())

    assert file.stat().st_mode & 0o777 == 0o600
    assert file.name.endswith("-web_0a1b.undated.json")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that the test may harm."""
    with running(tmp_path / "redis") as server:
        yield server


@asynccontextmanager
async def spooling(
    url: str, file: Path, max_bytes: int = 1_000_000
) -> AsyncIterator[tuple[EventService, LocalSpool]]:
    """Have a service on a shared log, and the spool of its producers."""
    async with EventService(await RedisStore.open(url)) as service:
        spool = LocalSpool(service, file, max_bytes=max_bytes)
        await spool.open()
        running = asyncio.create_task(spool.run())
        yield service, spool
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await spool.close()


async def emptied(spool: LocalSpool) -> None:
    """Return when nothing waits any more."""
    async with asyncio.timeout(PATIENCE):
        while spool.waiting:
            await asyncio.sleep(0.01)


async def kept(service: EventService) -> list[str]:
    """Return the ids of what the log has, but for what the daemon says of itself."""
    entries = await service.log.newest(1000, Filter(types=frozenset({"TASK_UPDATE"})))
    return [entry.event_id for entry in reversed(entries)]


async def test_what_producers_tell_waits_for_the_log_and_comes_in_order(
    redis: RedisServer, tmp_path: Path
) -> None:
    file = tmp_path / "spool.db"
    names = [f"T-{number}" for number in range(30)]
    async with spooling(redis.url(), file) as (service, spool):
        for name in names[:5]:
            await spool.publish([task(name, event_id=name)])
        assert not file.exists()
        redis.kill()
        for at in range(5, 25, 5):
            await spool.publish([task(name, event_id=name) for name in names[at : at + 5]])

        assert spool.waiting == 20
        assert "spool: 20 events of this machine wait for the log" in service.health().reasons
        assert await spool.find("T-7")
        assert await spool.find("T-29") is None
        redis.start()
        await emptied(spool)
        async with asyncio.timeout(PATIENCE):
            while list(tmp_path.glob("spool.db*")):
                await asyncio.sleep(0.01)
        # What comes now goes straight into the log again.
        await spool.publish([task(name, event_id=name) for name in names[25:]])
        assert not list(tmp_path.glob("spool.db*"))
        assert spool.size_bytes == 0
        assert await kept(service) == names
        assert "spool" not in service.warnings


async def test_what_waits_is_published_by_the_daemon_after_this_one(
    redis: RedisServer, tmp_path: Path
) -> None:
    file = tmp_path / "spool.db"
    async with spooling(redis.url(), file) as (service, spool):
        # Of the one the answer might have been lost, the other was told before by somebody else.
        first, other = task("T-0", event_id="T-0"), task("T-1", event_id="T-1")
        await service.publish_many([first, other])
        redis.kill()
        for event in (first, task("T-1b", event_id="T-1"), task("T-2", event_id="T-2")):
            await spool.publish([event])
    assert file.exists()
    redis.start()

    async with spooling(redis.url(), file) as (service, spool):
        async with asyncio.timeout(PATIENCE):
            while file.exists():
                await asyncio.sleep(0.01)

        assert await kept(service) == ["T-0", "T-1", "T-2"]
        assert spool.waiting == 0


async def test_a_full_spool_says_so_and_lets_producers_wait(
    redis: RedisServer, tmp_path: Path
) -> None:
    names = [f"T-{number}" for number in range(4)]
    async with spooling(redis.url(), tmp_path / "spool.db", 500) as (service, spool):
        redis.kill()
        async with asyncio.TaskGroup() as group:
            for name in names[:2]:
                await spool.publish([task(name, event_id=name)])
            later = group.create_task(spool.publish([task(n, event_id=n) for n in names[2:]]))
            async with asyncio.timeout(PATIENCE):
                while "is full, at 500 bytes" not in "; ".join(service.health().reasons):
                    await asyncio.sleep(0.01)
            assert not later.done()
            redis.start()
        await emptied(spool)

        assert await kept(service) == names
        entries = await service.log.newest(10, Filter(types=frozenset({"SYSTEM_STATUS"})))
        told = [each for each in entries if each.event.data["event"] == "spool.full"]
        assert len(told) == 1
        # In its place: after what waited, before what had to wait for room.
        assert await service.log.find("T-1") == told[0].seq - 1


async def test_without_a_spool_a_producer_waits_with_what_it_has(
    redis: RedisServer, tmp_path: Path
) -> None:
    async with spooling(redis.url(), tmp_path / "spool.db", 0) as (service, spool):
        redis.kill()
        waiting = asyncio.create_task(spool.publish([task("T-0", event_id="T-0")]))
        async with asyncio.timeout(PATIENCE):
            while service.trouble is None:
                await asyncio.sleep(0.01)
        with pytest.raises(StoreError):
            await spool.find("T-0")
        assert not waiting.done()
        assert spool.waiting == 0
        redis.start()
        await waiting

        assert await kept(service) == ["T-0"]


async def test_only_a_shared_store_has_a_spool_unless_it_is_refused(
    redis: RedisServer, tmp_path: Path
) -> None:
    shared = await RedisStore.open(redis.url())
    refuse = Config(on_engine_loss="refuse")
    for config, store, most in (
        (Config(), shared, Config().max_spool_bytes),
        (refuse, shared, 0),
        (Config(), MemoryStore(), 0),
    ):
        spool = open_spool(config, EventService(store), store, tmp_path)
        assert spool.max_bytes == most
    await shared.close()


async def test_what_comes_when_the_log_is_back_waits_behind_what_waits(
    redis: RedisServer, tmp_path: Path
) -> None:
    async with EventService(await RedisStore.open(redis.url())) as service:
        spool = LocalSpool(service, tmp_path / "spool.db", max_bytes=1_000_000)
        redis.kill()
        await spool.publish([task("T-0", event_id="T-0")])
        redis.start()
        async with asyncio.timeout(PATIENCE):
            while service.trouble is not None:
                await asyncio.sleep(0.01)
        await spool.publish([task("T-1", event_id="T-1")])
        assert spool.waiting == 2
        assert await kept(service) == []

        running = asyncio.create_task(spool.run())
        await emptied(spool)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await spool.close()

        assert await kept(service) == ["T-0", "T-1"]
