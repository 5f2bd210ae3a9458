"""The daemons that share a log, as each of them sees the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from rtevents.config.logs import PartSettings
from rtevents.config.settings import Config
from rtevents.core.event import Entry, Event
from rtevents.core.filter import Filter
from rtevents.core.node import FORGOTTEN_AFTER, Heard
from rtevents.core.service import EventService
from rtevents.daemon.nodes import TOLD_EVERY, NodeBook
from rtevents.daemon.spool import LocalSpool
from rtevents.errors import StoreError
from rtevents.stores.memory import MemoryStore
from rtevents.stores.redis import RedisStore
from tests.conftest import PATIENCE
from tests.redis import RedisServer, running


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis; each test has a log of its own there."""
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@asynccontextmanager
async def node(
    url: str, folder: Path, name: str = "", interval: float = 30.0, **settings: Any
) -> AsyncIterator[tuple[EventService, NodeBook]]:
    """Have a node that tells its heartbeat when it is told to."""
    store = await RedisStore.open(url)
    async with EventService(store) as service:
        spool = LocalSpool(service, folder / "spool.db")
        config = Config(node=name, node_interval=interval, **settings)
        yield service, NodeBook(service, store, spool, config=config, state=folder)


async def told(service: EventService, what: str) -> list[Entry]:
    """Return the SYSTEM_STATUS events that tell something, the oldest first."""
    wanted = Filter(types=frozenset({"SYSTEM_STATUS"}))
    found = reversed(await service.log.newest(100, wanted))
    return [entry for entry in found if entry.event.data["event"] == what]


def one_of(book: NodeBook, name: str) -> Heard:
    return next(each for each in book.all().nodes if each.name == name)


async def test_most_heartbeats_are_told_to_the_nodes_alone(
    redis: RedisServer, tmp_path: Path
) -> None:
    async with node(redis.url(uuid4().hex), tmp_path, "a") as (service, book):
        for _ in range(2 * TOLD_EVERY):
            await book._beat()
        assert len(await told(service, "node.started")) == 1
        assert len(await told(service, "node.heartbeat")) == 1

        service.warnings["disk"] = "nearly full"
        await book._beat()
        await book._beat()

        [_, worse] = await told(service, "node.heartbeat")
        assert worse.event.data["status"] == "degraded"
        assert worse.event.data["reasons"] == ["disk: nearly full"]
        assert worse.event.data["node"] == "a"


async def test_a_name_is_made_of_the_host_and_kept(redis: RedisServer, tmp_path: Path) -> None:
    url = redis.url(uuid4().hex)
    async with node(url, tmp_path) as (_, book):
        name = book.name
    async with node(url, tmp_path) as (_, book):
        assert book.name == name
        Config(node=name)


async def test_two_of_one_name_are_told(redis: RedisServer, tmp_path: Path) -> None:
    url = redis.url(uuid4().hex)
    async with node(url, tmp_path, "a") as (service, one), node(url, tmp_path, "a") as (other, two):
        await one._beat()
        # What a killed one has left is no other.
        await two._beat()
        assert "node" not in other.warnings

        await one._beat()

        assert "another daemon is called 'a' too" in service.warnings["node"]
        await one._beat()
        assert "node" not in service.warnings


async def test_one_that_is_lost_is_told_once_and_one_that_left_is_not_missed(
    redis: RedisServer, tmp_path: Path
) -> None:
    url = redis.url(uuid4().hex)
    async with (
        node(url, tmp_path, "a") as (service, one),
        node(url, tmp_path, "b") as (_, two),
        node(url, tmp_path, "c", interval=0.01) as (_, brief),
        node(url, tmp_path, "d") as (_, parting),
    ):
        await brief._beat()
        await parting._beat()
        await parting.leave()
        async with asyncio.timeout(PATIENCE):
            while not await told(service, "node.lost"):
                await one._beat()
                await two._beat()
                await asyncio.sleep(0.01)
        for book in (one, two, one, two):
            await book._beat()

        assert one_of(two, "c").is_lost
        [lost] = await told(service, "node.lost")
        assert lost.event.data["node"] == "c"
        assert lost.event.data["reasons"] == ["node c was not heard for 0.03 s"]
        assert [each.name for each in one.all().nodes] == ["a", "b", "c"]
        assert [each.event.data["node"] for each in await told(service, "node.stopped")] == ["d"]

        await brief._beat()
        await one._beat()
        await brief._beat()
        assert not one_of(brief, "c").is_lost


async def test_what_is_no_heartbeat_is_left_out(redis: RedisServer, tmp_path: Path) -> None:
    log = uuid4().hex
    key = f"{{{log}}}:nodes"
    async with node(redis.url(log), tmp_path, "a") as (_, book):
        await book._beat()
        word = msgspec.json.encode(one_of(book, "a")).decode()
        now = redis.ask_all("HGET", key, "a").split(b"\r\n")[1].split()[0].decode()
        found = (
            ("junk", "junk"),
            ("old", f"1000 {word}"),
            ("list", f"{now} []"),
            ("not \x1b[31m a name", f"{now} {word}"),
            ("b", f"{now} {word}"),
        )
        for name, value in found:
            redis.ask("HSET", key, name, value)
        await book._beat()

        assert [each.name for each in book.all().nodes] == ["a", "b"]
        assert redis.ask("HEXISTS", key, "old") == b":0"


async def test_one_that_is_silent_for_long_is_forgotten(redis: RedisServer) -> None:
    store = await RedisStore.open(redis.url(uuid4().hex))
    await store.meet("a", b"here", FORGOTTEN_AFTER)
    await store.meet("b", b"\xff \n", FORGOTTEN_AFTER)
    found = await store.meet("b", b"here", FORGOTTEN_AFTER)
    assert {name: word for name, (_, word) in found.items()} == {"a": b"here", "b": b"\xff \n"}
    assert all(0 <= age < PATIENCE for age, _ in found.values())

    async with asyncio.timeout(PATIENCE):
        while "a" in await store.meet("b", b"here", 0.05):
            await asyncio.sleep(0.01)
    await store.meet("b", b"", FORGOTTEN_AFTER)
    assert await store.meet("b", b"", FORGOTTEN_AFTER) == {}
    await store.close()


async def test_a_log_of_ones_own_has_one_node_and_tells_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    async with EventService(store) as service:
        spool = LocalSpool(service, tmp_path / "spool.db")
        book = NodeBook(service, store, spool, config=Config(node="a"), state=tmp_path)
        await book.run()
        await book.leave()

        assert [(each.name, each.is_here) for each in book.all().nodes] == [("a", True)]
        assert service.log.last == 0


async def test_who_asks_is_told_of_those_that_came_since_the_last_heartbeat(
    redis: RedisServer, tmp_path: Path
) -> None:
    """Beats are half a minute apart; where the log is not to be asked, what is known is told."""
    url = redis.url(uuid4().hex)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with (
        node(url, tmp_path / "a", "a") as (service, a),
        node(url, tmp_path / "b", "b") as (_, b),
    ):
        await a.look()
        assert [each.name for each in a.all().nodes] == ["a"]
        await b.look()
        assert {each.name for each in (await a.look()).nodes} == {"a", "b"}
        assert service.log.last == 0  # nothing is told to the stream
    assert {each.name for each in (await a.look()).nodes} == {"a", "b"}


async def test_a_log_that_was_away_is_no_loss_of_the_others(
    redis: RedisServer, tmp_path: Path
) -> None:
    """However long: a node is lost when others hear that it is silent."""
    url, often = redis.url(uuid4().hex), 0.05
    async with (
        node(url, tmp_path, "a", often) as (service, one),
        node(url, tmp_path, "b", often) as (_, two),
    ):
        await two._beat()
        await one._beat()
        redis.kill()
        async with asyncio.timeout(PATIENCE):
            while one_of(one, "b").age <= 3 * often:
                with pytest.raises(StoreError):
                    await one._beat()
        away = await one.look()
        redis.start()
        # What it did not tell meanwhile is nobody's silence.
        await one._beat()
        back = one_of(one, "b")
        await two._beat()
        await one._beat()
        well = one.all()

        assert away.is_away
        assert (away.total.lost, away.total.unknown) == (0, 1)
        assert (back.is_lost, back.is_known) == (False, False)
        assert (well.is_away, well.total.lost, well.total.unknown) == (False, 0, 0)
        assert await told(service, "node.lost") == []
        async with asyncio.timeout(PATIENCE):
            while not await told(service, "node.lost"):
                await one._beat()
                await asyncio.sleep(0.01)
        assert one_of(one, "b").is_lost


async def test_a_node_counts_what_its_further_logs_have(tmp_path: Path) -> None:
    async with (
        EventService(MemoryStore()) as service,
        EventService(MemoryStore()) as web,
    ):
        book = NodeBook(
            service,
            MemoryStore(),
            LocalSpool(service, tmp_path / "spool.db"),
            config=Config(node="a"),
            state=tmp_path,
            further=[(web, LocalSpool(web, tmp_path / "spool-web.db"))],
        )
        await web.connect()
        await service.connect()
        await web.publish(Event(type="TASK_UPDATE", data={"task_id": "1", "status": "open"}))

        total = book.all().total
        assert (total.connections, total.published) == (2, 1)


async def test_nodes_with_other_logs_are_told_of_until_they_are_the_same(
    redis: RedisServer, tmp_path: Path
) -> None:
    """What one of them publishes for a project of such a log, nobody finds at the other."""
    url = redis.url(uuid4().hex)
    logs = [PartSettings(name="web", projects=["web"], store="memory")]
    async with (
        node(url, tmp_path, "a", logs=logs) as (service, one),
        node(url, tmp_path, "c", logs=logs) as (_, same),
    ):
        async with node(url, tmp_path, "b") as (other, two):
            for book in (one, same, two, one):
                await book._beat()

            warning = service.warnings["logs.differ"]
            assert warning.startswith("'b': configured with other `logs` than this node")
            assert "give all nodes the same `logs`, and restart them" in warning
            assert other.warnings["logs.differ"].startswith("'a', 'c': ")
            differing = {each.name: each.has_other_logs for each in one.all().nodes}
            assert differing == {"a": False, "b": True, "c": False}
            await two.leave()
        await one._beat()

        assert "logs.differ" not in service.warnings
