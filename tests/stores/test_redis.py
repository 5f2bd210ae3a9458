"""What a log in Redis promises beyond the contract: several daemons, and a Redis that fails."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from rtevents.core.cursor import Cursor
from rtevents.core.event import Bookmark, Entry, Event, Gap, Stored
from rtevents.core.filter import Filter
from rtevents.core.log import Log
from rtevents.core.service import EventService
from rtevents.core.since import Since
from rtevents.core.store import Bounds
from rtevents.errors import ConfigError, LogClosed, StoreError
from rtevents.stores.redis import JUMP, RedisStore
from rtevents.stores.redis_place import Place
from rtevents.stores.redis_server import ANSWER_SECONDS
from tests.conftest import LOOP, PATIENCE
from tests.faults.network import Link
from tests.redis import RedisServer, free_port, running
from tests.stores import samples
from tests.stores.samples import everything

NOTE = {"severity": "low", "message": "hello"}


def event(**fields: Any) -> Event:
    return samples.event("RISK_ALERT", data=NOTE, **fields)


def events(count: int) -> list[Event]:
    return [event() for _ in range(count)]


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that the test may harm."""
    with running(tmp_path / "redis") as server:
        yield server


@asynccontextmanager
async def daemons(url: str, count: int = 1) -> AsyncIterator[list[EventService]]:
    """Have the services of so many daemons on one log."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(EventService(await RedisStore.open(url)))
            for _ in range(count)
        ]


async def publish(service: EventService, sent: Event) -> Stored:
    """Publish as a client does: again, until it is answered."""
    while True:
        with suppress(StoreError):
            return await service.publish(sent)
        await asyncio.sleep(0.05)


async def read(log: Log, cursor: Cursor, last: int) -> list[Entry | Gap]:
    """Return what a reader gets until it has come to `last`."""
    found: list[Entry | Gap] = []
    async with asyncio.timeout(PATIENCE):
        while cursor.position < last:
            found += await cursor.next(PATIENCE)
    return found


def is_own(item: Entry | Gap) -> bool:
    """Tell whether it is an event in which a daemon tells of itself."""
    return isinstance(item, Entry) and item.event.source == "rtevents/system"


def seqs(items: list[Entry | Gap]) -> list[int]:
    return [item.seq for item in items if isinstance(item, Entry)]


async def test_what_one_appends_the_others_see_in_the_same_order(redis_server: RedisServer) -> None:
    async with daemons(redis_server.url(uuid4().hex), 3) as services:
        cursors = [Cursor(each.log, Filter(), 0) for each in services]

        async def publish(service: EventService) -> None:
            for _ in range(50):
                await service.publish_many(events(3))

        await asyncio.gather(*(publish(each) for each in services))

        logs = [
            await read(each.log, cursor, 450)
            for each, cursor in zip(services, cursors, strict=True)
        ]
        assert seqs(logs[0]) == list(range(1, 451))
        assert logs[0] == logs[1] == logs[2]
        assert len({each.log.epoch for each in services}) == 1


async def test_an_event_that_two_daemons_are_given_is_stored_once(
    redis_server: RedisServer,
) -> None:
    async with daemons(redis_server.url(uuid4().hex), 2) as [one, two]:
        same = [event(event_id=f"e{number}") for number in range(100)]

        answers = await asyncio.gather(*(each.publish_many(same) for each in (one, two)))

        assert [stored.seq for stored in answers[0]] == [stored.seq for stored in answers[1]]
        assert sorted(answer[0].duplicate for answer in answers) == [False, True]


async def test_a_bookmark_of_another_daemon_is_not_ahead(redis_server: RedisServer) -> None:
    async with daemons(redis_server.url(uuid4().hex), 2) as [one, two]:
        last = (await one.publish_many(events(200)))[-1].seq

        start = await two.log.start(Since(bookmark=one.log.bookmark(last)), Filter())

        assert (start.after, start.verdict) == (last, "complete")


async def test_closing_while_it_is_read_leaves_no_connection(redis_server: RedisServer) -> None:
    def connections() -> int:
        return redis_server.ask_all("CLIENT", "LIST").count(b"name=rtevents ")

    before = connections()
    for _ in range(20):
        store = await RedisStore.open(redis_server.url("closing"))
        await store.append([events(100)])
        reading = [asyncio.create_task(everything(store, limit=1)) for _ in range(4)]
        await asyncio.sleep(0.005)
        await store.close()
        ends = await asyncio.gather(*reading, return_exceptions=True)
        assert [type(each) for each in ends] == [LogClosed] * 4

    # What was cut off is seen by the server a moment later.
    async with asyncio.timeout(PATIENCE):
        while connections() > before:
            await asyncio.sleep(0.01)


async def test_what_was_answered_survives_kill_9(own_redis: RedisServer) -> None:
    async with daemons(own_redis.url()) as [service]:
        epoch = service.log.epoch
        acknowledged = [stored.event_id for stored in await service.publish_many(events(50))]
        own_redis.kill()
        with pytest.raises(StoreError, match=r"redis at 127\.0\.0\.1"):
            await service.publish(event())
        own_redis.start()

        more = await service.publish_many(events(2))

        assert [stored.seq for stored in more] == [51, 52]
        assert service.log.epoch == epoch
    store = await RedisStore.open(own_redis.url())
    assert [entry.event_id for entry in await everything(store)][:50] == acknowledged
    await store.close()


async def test_one_that_stands_still_is_not_waited_for_for_ever(own_redis: RedisServer) -> None:
    async with daemons(own_redis.url()) as [service]:
        await service.publish(event())
        assert own_redis.process is not None
        os.kill(own_redis.process.pid, signal.SIGSTOP)
        waiting = event(event_id="once")
        with pytest.raises(StoreError, match="does not answer in time"):
            await service.publish(waiting)
        with pytest.raises(StoreError, match="does not answer in time"):  # at once: it is known
            async with asyncio.timeout(ANSWER_SECONDS - 1):
                await service.publish(waiting)
        os.kill(own_redis.process.pid, signal.SIGCONT)

        async with asyncio.timeout(PATIENCE):
            stored = await publish(service, waiting)

        # It was stored when Redis went on, or it is now; once.
        assert stored.seq == 2
        assert [entry.event_id for entry in await everything(service._store)][1:] == ["once"]


async def test_one_that_comes_back_empty_is_another_log(own_redis: RedisServer) -> None:
    async with daemons(own_redis.url(), 2) as services:
        epoch = services[0].log.epoch
        await services[0].publish_many(events(10))
        cursors = [Cursor(each.log, Filter(), 0) for each in services]
        for each, cursor in zip(services, cursors, strict=True):
            assert seqs(await read(each.log, cursor, 10)) == list(range(1, 11))
        own_redis.kill()
        for file in own_redis.folder.rglob("appendonly*"):
            if file.is_file():
                file.unlink()
        own_redis.start()

        stored = await services[0].publish(event())

        assert stored.seq == 10 + JUMP + 1
        for each, cursor in zip(services, cursors, strict=True):
            gap, new = await read(each.log, cursor, stored.seq)
            assert gap == Gap(10, stored.seq, "other-epoch")
            assert isinstance(new, Entry)
            assert each.log.epoch != epoch
        assert len({each.log.epoch for each in services}) == 1
        old = await services[1].log.start(Since(bookmark=Bookmark(epoch, 7)), Filter())
        assert old.verdict == "other-epoch"


async def test_an_old_replica_that_takes_over_is_told(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    replica = RedisServer(tmp_path / "replica")
    replica.port, port = own_redis.port, own_redis.port
    replica.folder.mkdir()
    async with daemons(own_redis.url()) as [service]:
        await service.publish_many(events(5))
        cursor = Cursor(service.log, Filter(), 0)
        old = own_redis.ask("SAVE")
        assert old == b"+OK"
        dump = next(own_redis.folder.glob("*.rdb"))
        (replica.folder / "dump.rdb").write_bytes(dump.read_bytes())
        await service.publish_many(events(5))
        await read(service.log, cursor, 10)
        own_redis.kill()
        assert replica.port == port
        try:
            replica.start(appendonly="no", dbfilename="dump.rdb")

            stored = await service.publish(event())

            # What the daemon itself says of the loss comes before that event or after it.
            gap, beyond, *_ = await read(service.log, cursor, stored.seq)
            assert isinstance(beyond, Entry)
            assert gap == Gap(10, beyond.seq, "other-epoch")
            again = Cursor(service.log, Filter(), 0)
            found = await read(service.log, again, stored.seq)
            # What the replica has is there; then comes the hole.
            ours = [item for item in found if not is_own(item)]
            assert seqs(ours) == [1, 2, 3, 4, 5, stored.seq]
            assert found[5] == Gap(5, beyond.seq, "other-epoch")
            assert (await service._store.bounds()).holes == ((5, beyond.seq),)
        finally:
            replica.stop()


async def test_one_that_a_newcomer_found_empty_is_another_log_to_those_before(
    own_redis: RedisServer,
) -> None:
    before = await RedisStore.open(own_redis.url())
    await before.append([events(10)])
    # Its connections stay, so that nothing but the log itself tells it.
    assert own_redis.ask("FLUSHALL") == b"+OK"
    newcomer = await RedisStore.open(own_redis.url())
    await newcomer.append([[event()]])
    assert await newcomer.bounds() == Bounds(1, 1)

    assert (await before.bounds()).last == 10 + JUMP
    await before.append([[event()]])

    hole = (1, 10 + JUMP + 1)
    assert await newcomer.bounds() == await before.bounds() == Bounds(1, hole[1], (hole,))
    assert newcomer.epoch == before.epoch
    assert [note.event for note in newcomer.notes] == ["store.lost"]
    assert newcomer.notes == before.notes
    await before.close()
    await newcomer.close()


@pytest.mark.parametrize("count", [8, 40])
async def test_who_lags_in_a_log_that_others_begin_anew_gets_nothing_of_theirs_unawares(
    own_redis: RedisServer, count: int
) -> None:
    """Whether that has come as far as the one before, or not."""
    before = await RedisStore.open(own_redis.url())
    async with EventService(before, event_retention=2) as service:
        old = events(20)
        await service.publish_many(old)
        lagging = Cursor(service.log, Filter(), 0)
        assert seqs(await lagging.next(0, limit=5)) == [1, 2, 3, 4, 5]
        epoch = service.log.epoch
        newcomer = await RedisStore.open(own_redis.url("new"))
        await newcomer.append([events(count)])
        await newcomer.close()
        # At once, so that nobody sees it empty.
        renames = "".join(
            f"redis.call('RENAME', '{{new}}:{key}', '{{rtevents}}:{key}')"
            for key in ("entries", "ids", "types", "log")
        )
        assert own_redis.ask("EVAL", f"{renames} return 1", "0") == b":1"

        [gap, *_] = await read(service.log, lagging, 20)
        assert isinstance(gap, Gap)
        assert (gap.after, gap.reason) == (5, "other-epoch")
        assert gap.before > 20 + JUMP
        stored = await service.publish(event())
        assert seqs(await read(service.log, lagging, stored.seq)) == [stored.seq]
        assert epoch != service.log.epoch == before.epoch

        # Who begins now gets what there is, and so does who comes back.
        for since in (Since(word="all"), Since(bookmark=Bookmark(epoch, 5))):
            start = await service.log.start(since, Filter())
            found = await read(service.log, Cursor(service.log, Filter(), start.after), stored.seq)
            assert seqs(found) == [*range(1, count + 1), stored.seq]


async def test_an_old_master_that_comes_back_is_another_log_again(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    other = RedisServer(tmp_path / "other")
    link = Link(own_redis.port)
    try:
        other.start()
        store = await RedisStore.open(f"redis://127.0.0.1:{link.port}/0?log=rtevents")
        await store.append([[event()]])
        epochs = {store.epoch}
        for port in (other.port, own_redis.port):
            link.lead_to(port)
            await store.append([[event()]])
            epochs.add(store.epoch)

        last = 2 * (JUMP + 1) + 1
        assert await store.bounds() == Bounds(1, last, ((1, last),))
        assert [entry.seq for entry in await everything(store)] == [1, last]
        assert len(epochs) == 3
        await store.close()
    finally:
        link.close()
        other.stop()


async def test_a_full_one_refuses_and_keeps_what_it_has(own_redis: RedisServer) -> None:
    async with daemons(own_redis.url()) as [service]:
        await service.publish_many(events(5))
        assert own_redis.ask("CONFIG", "SET", "maxmemory", "1") == b"+OK"
        with pytest.raises(StoreError, match="is full: give it a larger maxmemory"):
            await service.publish_many(events(3))
        await service.log.retain(3, 0, 0)
        assert service.log.first == 3
        assert own_redis.ask("CONFIG", "SET", "maxmemory", "0") == b"+OK"

        assert (await service.publish(event())).seq == 6


async def test_a_full_one_that_was_started_again_is_served_and_trimmed(
    own_redis: RedisServer,
) -> None:
    async with daemons(own_redis.url()) as [service]:
        await service.publish_many(events(5))
        own_redis.kill()
        own_redis.start(maxmemory="1")
        with pytest.raises(StoreError, match="is full: give it a larger maxmemory"):
            await service.publish_many(events(3))
        await service.log.retain(3, 0, 0)
        assert service.log.first == 3
    async with daemons(own_redis.url()) as [service]:
        assert (service.log.first, service.log.last) == (3, 5)
        assert own_redis.ask("CONFIG", "SET", "maxmemory", "0") == b"+OK"
        assert (await service.publish(event())).seq == 6


async def test_what_the_log_lost_counts_for_nothing_in_what_is_kept(
    own_redis: RedisServer,
) -> None:
    """A failover makes a million seqs that never were: they are not among those to keep."""
    async with daemons(own_redis.url()) as [service]:
        await service.publish_many(events(20))
        own_redis.kill()
        own_redis.start(appendfsync="everysec")
        own_redis.kill()
        own_redis.start(appendfsync="everysec")
        async with asyncio.timeout(PATIENCE):
            stored = await publish(service, event())
        assert stored.seq > JUMP

        await service.log.retain(JUMP, 0, 0)
        assert service.log.first == 1
        after = (await service.publish(event())).seq - 20 - JUMP
        await service.log.retain(after + 4, 0, 0)
        assert service.log.first == 17


@pytest.mark.parametrize("key", ["entries", "ids", "types"])
async def test_a_key_that_redis_threw_away_is_noticed_by_what_is_published_next(
    own_redis: RedisServer, key: str
) -> None:
    async with daemons(own_redis.url()) as [service]:
        sent = events(10)
        await service.publish_many(sent)
        epoch, cursor = service.log.epoch, Cursor(service.log, Filter(), 10)
        assert own_redis.ask("DEL", f"{{rtevents}}:{key}") == b":1"

        stored, again = await service.publish(event()), await service.publish(sent[4])

        assert service.log.epoch != epoch
        [gap, *_] = await read(service.log, cursor, stored.seq)
        assert gap == Gap(10, stored.seq, "other-epoch")
        kept = {
            entry.event_id: entry.seq
            for entry in await everything(service._store)
            if entry.type == "RISK_ALERT"
        }
        # What is left is known by its id; what is gone may come again.
        assert again == Stored(sent[4].event_id, kept[sent[4].event_id], key != "entries")
        assert len(kept) == (2 if key == "entries" else 11)
        assert "RISK_ALERT" in {entry.type for entry in await service._store.latest(Filter())}


async def test_what_was_lost_is_told_as_long_as_it_is_in_memory(own_redis: RedisServer) -> None:
    """Also when retention has deleted all that came before the next seqs."""
    async with daemons(own_redis.url()) as [service]:
        await service.publish_many(events(10))
        cursor = Cursor(service.log, Filter(), 5)
        lost = await RedisStore.open(own_redis.url())
        assert own_redis.ask("HSET", "{rtevents}:log", "epoch", "other") == b":0"
        await lost.append([events(10)])
        await service.publish(event())
        await service.log.retain(5, 0, 0)
        assert service.log.first > JUMP

        found = await read(service.log, cursor, service.log.last)

        seen = {item.seq for item in found if isinstance(item, Entry)}
        told = [range(item.after + 1, item.before) for item in found if isinstance(item, Gap)]
        assert told
        missing = set(range(6, 11)) | {service.log.first - 1}
        assert all(seq in seen or any(seq in each for each in told) for seq in missing)
        await lost.close()


async def test_a_window_is_whole_though_others_trim_while_it_is_read(
    own_redis: RedisServer,
) -> None:
    writer, store = [await RedisStore.open(own_redis.url()) for _ in range(2)]
    await writer.append([events(1200)])
    read_page = store.read

    async def read_slowly(after: int, limit: int, *given: Any, **named: Any) -> Any:
        page = await read_page(after, limit, *given, **named)
        await writer.retain(600, 0, 0)  # between this page and the next
        return page

    store.read = read_slowly  # type: ignore[method-assign]
    log = Log(store, window_events=1200, window_bytes=2**26)
    await log.open()
    cursor = Cursor(log, Filter(), 100)
    [gap, *_] = await cursor.next(0)

    assert gap == Gap(100, 601, "trimmed")
    assert seqs(await read(log, cursor, 1200)) == [*range(601, 1201)]
    await writer.close()
    await store.close()


async def test_what_others_store_while_the_log_is_begun_anew_is_kept(
    own_redis: RedisServer,
) -> None:
    one, two = [await RedisStore.open(own_redis.url()) for _ in range(2)]
    await one.append([events(5)])
    assert own_redis.ask("FLUSHALL") == b"+OK"
    greet_again = one._greet_again

    async def later() -> list[bytes]:
        await two.append([events(28)])
        return await greet_again()

    one._greet_again = later  # type: ignore[method-assign]
    bounds = await one.bounds()

    assert bounds.first == (await everything(two))[0].seq
    await one.close()
    await two.close()


async def test_what_is_cancelled_ends_whatever_it_waits_for(own_redis: RedisServer) -> None:
    """A service whose look at retention went on could not be stopped."""
    async with daemons(own_redis.url()) as [service]:
        await service.publish_many(events(5))
        for step in range(60):
            # It is greeted again, asked for the time, and searched.
            assert own_redis.ask("HSET", "{rtevents}:log", "epoch", f"e{step}").startswith(b":")
            task = asyncio.create_task(service.log.retain(1000, 1e6, 10**9))
            await asyncio.wait([task], timeout=step / 10_000)
            is_over = task.done()
            task.cancel()
            await asyncio.wait([task], timeout=PATIENCE)
            assert is_over or task.cancelled()


async def test_one_that_is_too_old_is_refused(redis_server: RedisServer) -> None:
    link = Link(redis_server.port)
    link.instead = (b"redis_version:7.", b"redis_version:6.")
    with pytest.raises(StoreError, match=r"it is 6\.[0-9.]+: a log needs Redis 7, or Valkey"):
        await RedisStore.open(f"redis://127.0.0.1:{link.port}/0")
    link.close()


async def test_a_wrong_password_is_said_without_it(own_redis: RedisServer) -> None:
    assert own_redis.ask("CONFIG", "SET", "requirepass", "right") == b"+OK"
    for who in ("", ":wrong@"):
        url = own_redis.url().replace("://", f"://{who}")
        with pytest.raises(StoreError, match="refuses the user or the password") as caught:
            await RedisStore.open(url)
        assert "wrong@" not in str(caught.value)
    store = await RedisStore.open(own_redis.url().replace("://", "://:right@"))
    assert await store.bounds() == Bounds(1, 0)
    await store.close()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"appendonly": "no"}, "`appendonly` is off"),
        ({"appendfsync": "everysec"}, "`appendfsync` is everysec"),
        ({"maxmemory-policy": "allkeys-lru"}, "`maxmemory-policy` is allkeys-lru"),
    ],
)
async def test_a_weaker_promise_is_said(
    own_redis: RedisServer, settings: dict[str, str], said: str
) -> None:
    for name, value in settings.items():
        assert own_redis.ask("CONFIG", "SET", name, value) == b"+OK"
    async with daemons(own_redis.url()) as [service]:
        assert said in service.warnings["store.weak"]
    for name in settings:
        assert own_redis.ask("CONFIG", "SET", name, own_redis.settings[name]) == b"+OK"
    async with daemons(own_redis.url()) as [service]:
        assert "store.weak" not in service.warnings


async def test_a_promise_that_is_made_weaker_while_it_runs_is_said(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtevents.stores.redis_server.LOOK_SECONDS", 0)
    store = await RedisStore.open(own_redis.url())
    assert store.weaknesses == []
    for policy, said in (("allkeys-lru", 1), ("noeviction", 0)):
        assert own_redis.ask("CONFIG", "SET", "maxmemory-policy", policy) == b"+OK"

        await store.check()

        assert len(store.weaknesses) == said
    await store.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://", "expected redis://host:port/db"),
        ("redis://h/x", "the database is a number, got 'x'"),
        ("redis://h:99999", "not a URL of Redis: Port out of range"),
        ("redis://h/0?log=a b", "log: a name of"),
        ("redis://h/0?lag=1", "unknown: lag"),
        ("redis://h?replicas=-1", "replicas: a number from 0 to 100, got '-1'"),
        ("redis+sentinel://h,i", "expected redis+sentinel://host:port,host:port/MASTER"),
        ("redis+sentinel://h,:1/m", "expected redis+sentinel://host:port,host:port/MASTER"),
        ("redis+sentinel://h/m/x", "the database is a number, got 'x'"),
        ("redis+cluster://h,i/1", "a cluster has no database but 0, got 1"),
        ("redis+cluster://h,i:x", "not a URL of Redis: Port could not be cast"),
    ],
)
def test_a_url_that_cannot_be_read_is_refused(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("?", r"\?").replace("+", r"\+")):
        Place.parse(url)


def test_a_url_of_several_hosts_is_read() -> None:
    sentinel = Place.parse("rediss+sentinel://me:a%40b@h1:1,[::1]/team/2?log=web&replicas=1")
    cluster = Place.parse("redis+cluster://h1:1,h2")

    assert sentinel == Place(
        kind="sentinel",
        hosts=(("h1", 1), ("::1", 26379)),
        path="",
        master="team",
        db=2,
        name="web",
        username="me",
        password="a@b",  # noqa: S106 - nobody's
        is_tls=True,
        replicas=1,
    )
    assert str(sentinel) == "team of h1:1,::1:26379"
    assert (cluster.kind, cluster.hosts) == ("cluster", (("h1", 1), ("h2", 6379)))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "redis://127.0.0.1:{port}/0?log=a",
            "redis at 127.0.0.1:{port} refuses the connection, nothing listens there: start "
            "redis-server there, or correct its address",
        ),
        (
            "redis+cluster://127.0.0.1:{port}",
            "redis at 127.0.0.1:{port} refuses the connection, nothing listens there: start "
            "redis-server there, or correct its address",
        ),
        (
            "redis+unix://{folder}/none.sock",
            "redis at {folder}/none.sock has no such socket: start redis-server there, or correct "
            "its address",
        ),
        (
            "redis://no-such-host.invalid",
            "redis at no-such-host.invalid:6379 has a name that nobody knows: correct its address, "
            "or the DNS here",
        ),
        (
            "redis+sentinel://127.0.0.1:{port}/team",
            "redis at team of 127.0.0.1:{port} 'team' is no master that a sentinel knows; from "
            "some there came ConnectionError",
        ),
    ],
)
async def test_why_there_is_no_connection_is_one_short_line(
    tmp_path: Path, url: str, said: str
) -> None:
    where = {"port": free_port(), "folder": tmp_path}
    with pytest.raises(StoreError) as caught:
        await RedisStore.open(url.format(**where))

    assert str(caught.value) == said.format(**where)


async def test_a_name_of_several_addresses_that_all_refuse_is_told_as_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if LOOP == "uvloop":
        pytest.skip("uvloop looks names up where no test can step in")
    port = free_port()

    async def both(*_: object, **__: object) -> list[Any]:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, (address, port)) for address in ("127.0.0.1", "127.0.0.2")]

    # What this machine calls itself, and by how many addresses, is not the test's to choose.
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
    with pytest.raises(StoreError, match=f"redis at both:{port} refuses the connection, nothing"):
        await RedisStore.open(f"redis://both:{port}")
