"""What a log in Redis promises where the server has to be found: behind sentinels, in a cluster."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from rtevents.core.cursor import Cursor
from rtevents.core.event import Bookmark, Gap, Stored
from rtevents.core.filter import Filter
from rtevents.core.since import Since
from rtevents.errors import StoreError
from rtevents.stores.redis import RedisStore
from rtevents.stores.redis_look import look_at
from tests.conftest import PATIENCE, wait_for
from tests.redis import RedisNode, RedisSentinel, RedisServer
from tests.stores.samples import everything
from tests.stores.test_redis import daemons, event, events, publish, read, seqs


class Team:
    """
    Two servers, of which one is the other's replica, and three sentinels that know both.

    Args:
        folder: Where they keep what they know.
    """

    def __init__(self, folder: Path) -> None:
        self.servers = [RedisServer(folder / f"server{number}") for number in range(2)]
        self.sentinels = [
            RedisSentinel(folder / f"sentinel{number}", self.servers[0], 2) for number in range(3)
        ]

    def start(self) -> None:
        """Start them, and wait until all know one another."""
        first, second = self.servers
        first.start(**{"repl-diskless-sync-delay": "0"})
        second.start(replicaof=f"127.0.0.1 {first.port}")
        self.wait_for_replica(first)
        for sentinel in self.sentinels:
            sentinel.start()
        for sentinel in self.sentinels:
            known = partial(sentinel.tells, b"slaves=1,sentinels=3", "INFO", "sentinel")
            wait_for(known, "the sentinels know one another")

    def stop(self) -> None:
        """End them all."""
        for each in [*self.sentinels, *self.servers]:
            each.stop()

    def master_and_replica(self) -> tuple[RedisServer, RedisServer]:
        """Return which is which."""
        first, second = self.servers
        return (first, second) if is_master(first) else (second, first)

    def wait_for_replica(self, master: RedisServer) -> None:
        """Return when a master has one."""
        wait_for(partial(master.tells, b"state=online", "INFO"), "the replica is there")

    def url(self, query: str = "") -> str:
        """Return the address of a log there."""
        hosts = ",".join(each.address for each in self.sentinels)
        return f"redis+sentinel://{hosts}/team?log={uuid4().hex}{query}"


def is_master(server: RedisServer) -> bool:
    return server.tells(b"role:master", "INFO", "replication")


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """Servers with sentinels; a test that harms one makes it whole again."""
    team = Team(tmp_path_factory.mktemp("team"))
    try:
        team.start()
        yield team
    finally:
        team.stop()


async def test_what_a_replica_has_confirmed_survives_the_end_of_its_master(team: Team) -> None:
    master, replica = team.master_and_replica()
    async with daemons(team.url("&replicas=1"), 2) as [one, two]:
        epoch = one.log.epoch
        cursor = Cursor(two.log, Filter(), 0)
        answered: dict[str, Stored] = {}

        async def keep_publishing(count: int) -> None:
            for _ in range(count):
                stored = await publish(one, event())
                answered[stored.event_id] = stored

        going_on = asyncio.create_task(keep_publishing(200))
        while len(answered) < 50:
            await asyncio.sleep(0)
        master.kill()
        await asyncio.to_thread(wait_for, lambda: is_master(replica), "the replica takes over")
        # As the sentinels would have it do, some seconds later.
        await asyncio.to_thread(master.start, replicaof=f"127.0.0.1 {replica.port}")
        async with asyncio.timeout(PATIENCE):
            await going_on

        last = max(stored.seq for stored in answered.values())
        kept = {entry.event_id: entry.seq for entry in await everything(one._store)}
        assert {each: stored.seq for each, stored in answered.items()}.items() <= kept.items()
        # It is told, for nobody can know that there was no more.
        found = await read(two.log, cursor, last)
        gaps = [item for item in found if isinstance(item, Gap)]
        assert [gap.reason for gap in gaps] == ["other-epoch"]
        assert set(seqs(found)) >= {stored.seq for stored in answered.values()}
        assert one.log.epoch == two.log.epoch != epoch
        old = await two.log.start(Since(bookmark=Bookmark(epoch, 7)), Filter())
        assert old.verdict == "other-epoch"
        await asyncio.to_thread(team.wait_for_replica, replica)


async def test_what_no_replica_confirms_is_refused(team: Team) -> None:
    _, replica = team.master_and_replica()
    async with daemons(team.url()) as [service]:
        assert "a replica that takes over may lack" in service.warnings["store.weak"]
    async with daemons(team.url("&replicas=1")) as [service]:
        assert "store.weak" not in service.warnings
        assert (await service.publish(event())).seq == 1
        assert replica.process is not None
        os.kill(replica.process.pid, signal.SIGSTOP)
        waiting = event(event_id="once")
        try:
            with pytest.raises(StoreError, match="0 of 1 replicas have it"):
                await service.publish(waiting)
        finally:
            os.kill(replica.process.pid, signal.SIGCONT)

        async with asyncio.timeout(PATIENCE):
            stored = await publish(service, waiting)

        assert stored == Stored("once", 2, True)


async def test_a_master_that_no_sentinel_knows_is_named(team: Team) -> None:
    with pytest.raises(StoreError, match="'tema' is no master that a sentinel knows"):
        await RedisStore.open(team.url().replace("/team?", "/tema?"))


async def test_sentinels_may_have_the_password_of_the_server(tmp_path: Path) -> None:
    master = RedisServer(tmp_path / "master")
    sentinel = RedisSentinel(tmp_path / "sentinel", master, 1)
    try:
        master.start()
        sentinel.start()
        assert sentinel.ask("SENTINEL", "SET", "team", "auth-pass", "right") == b"+OK"
        assert master.ask("CONFIG", "SET", "requirepass", "right") == b"+OK"
        store = await RedisStore.open(f"redis+sentinel://:right@{sentinel.address}/team")
        await store.append([events(1)])
        await store.close()
        assert sentinel.ask("ACL", "SETUSER", "default", "resetpass", ">right") == b"+OK"

        store = await RedisStore.open(f"redis+sentinel://:right@{sentinel.address}/team")

        assert (await store.bounds()).last == 1
        await store.close()
        with pytest.raises(StoreError, match="is no master that a sentinel knows") as caught:
            await RedisStore.open(f"redis+sentinel://:wrong@{sentinel.address}/team")
        assert "wrong" not in str(caught.value)
    finally:
        sentinel.stop()
        master.stop()


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisNode]]:
    """A cluster of three; a test that harms one makes it whole again."""
    if shutil.which("redis-cli") is None:
        pytest.skip("redis-cli is not installed")
    folder = tmp_path_factory.mktemp("cluster")
    made = [RedisNode(folder / f"node{number}") for number in range(3)]
    try:
        for node in made:
            node.start()
        subprocess.run(
            ["redis-cli", "--cluster", "create", *(n.address for n in made), "--cluster-yes"],
            check=True,
            capture_output=True,
            timeout=PATIENCE,
        )
        wait_until_whole(made)
        yield made
    finally:
        for node in made:
            node.stop()


def wait_until_whole(nodes: list[RedisNode]) -> None:
    for node in nodes:
        wait_for(
            partial(node.tells, b"cluster_state:ok", "CLUSTER", "INFO"), "the cluster is whole"
        )


def cluster_url(nodes: list[RedisNode], log: str) -> str:
    return f"redis+cluster://{','.join(each.address for each in nodes)}?log={log}"


def owner(nodes: list[RedisNode], log: str) -> RedisNode:
    """Return the node that has a log."""
    return next(n for n in nodes if not n.ask("EXISTS", f"{{{log}}}:log").startswith(b"-MOVED"))


def move(nodes: list[RedisNode], log: str, source: RedisNode, target: RedisNode) -> Iterator[str]:
    """Move the slot of a log from one node to another, step by step."""
    keys = [f"{{{log}}}:{part}" for part in ("entries", "ids", "types", "log")]
    slot = source.ask("CLUSTER", "KEYSLOT", keys[0])[1:].decode()

    def tell(node: RedisNode, *words: str) -> None:
        assert node.ask(*words) == b"+OK", words

    tell(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", source.node_id)
    tell(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", target.node_id)
    to = ["127.0.0.1", str(target.port), "", "0", "5000", "KEYS"]
    tell(source, "MIGRATE", *to, *keys[:2])
    yield "some of its keys are there"
    tell(source, "MIGRATE", *to, *keys[2:])
    yield "all of its keys are there"
    for node in [target, source, *nodes]:
        tell(node, "CLUSTER", "SETSLOT", slot, "NODE", target.node_id)
    yield "it is there"


async def test_a_log_in_a_cluster_goes_where_its_slot_goes(nodes: list[RedisNode]) -> None:
    source = owner(nodes, "log")
    target, *others = [node for node in nodes if node is not source]
    # Both begin at a node that does not have it.
    async with daemons(cluster_url(others, "log"), 2) as [one, two]:
        epoch = one.log.epoch
        cursor = Cursor(two.log, Filter(), 0)
        await one.publish_many(events(700))
        assert len(await read(two.log, cursor, 700)) == 700
        await one.log.retain(600, 0, 0)
        for step in move(nodes, "log", source, target):
            if step == "it is there":
                break
            with pytest.raises(StoreError, match="is just moving this log to another node"):
                await one.publish(event())

        async with asyncio.timeout(PATIENCE):
            stored = await publish(one, event())

        assert owner(nodes, "log") is target
        assert stored.seq == 701
        assert seqs(await read(two.log, cursor, 701)) == [701]
        assert {each.log.epoch for each in (one, two)} == {epoch}
        assert (await one._store.bounds()).first == 101


async def test_a_node_that_is_gone_is_told_and_comes_back(nodes: list[RedisNode]) -> None:
    gone = owner(nodes, "gone")
    async with daemons(cluster_url(nodes, "gone")) as [service]:
        await service.publish_many(events(3))
        gone.kill()
        seen = ""
        async with asyncio.timeout(PATIENCE):
            while "has no node for this log: see `redis-cli cluster nodes`" not in seen:
                with pytest.raises(StoreError) as caught:
                    await service.publish(event())
                await asyncio.sleep(0.05)
                seen = str(caught.value)
                assert seen.startswith(f"redis at {nodes[0].address},{nodes[1].address}")
        gone.start()

        async with asyncio.timeout(PATIENCE):
            stored = await publish(service, event())

        assert stored.seq == 4
    await asyncio.to_thread(wait_until_whole, nodes)


async def test_a_cluster_that_is_asked_as_one_server_says_so(nodes: list[RedisNode]) -> None:
    other = next(node for node in nodes if node is not owner(nodes, "log"))
    with pytest.raises(StoreError, match=r"is a cluster: write redis\+cluster://"):
        await RedisStore.open(other.url("log"))


async def test_what_is_found_is_looked_at_and_not_changed(
    team: Team, nodes: list[RedisNode], tmp_path: Path
) -> None:
    """From any node of a cluster, and by any sentinel: what doctor tells."""
    for url in (team.url(), cluster_url(nodes, uuid4().hex)):
        none = await look_at(url, tmp_path / "none.db")
        store = await RedisStore.open(url)
        await store.append([events(3)])
        entries = await everything(store)
        found = await look_at(url, tmp_path / "none.db")

        assert (none.entries, none.epoch, none.forbidden, none.refused) == (None, "", [], None)
        assert found.version == none.version != ""
        assert (found.entries, found.first, found.last, found.epoch) == (3, 1, 3, store.epoch)
        assert (found.forbidden, found.refused, found.left) == ([], None, None)
        assert await everything(store) == entries
        await store.close()
