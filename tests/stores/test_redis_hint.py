"""What a daemon remembers of a log in Redis that is set back while no daemon runs."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from rtevents.core.event import Entry, Gap
from rtevents.core.filter import Filter
from rtevents.core.service import EventService
from rtevents.core.store import Bounds
from rtevents.stores.redis import JUMP, RedisStore
from rtevents.stores.redis_hint import RedisHint
from rtevents.stores.redis_place import Place
from tests.conftest import PATIENCE
from tests.redis import RedisServer, running, save, set_back
from tests.stores.samples import everything
from tests.stores.test_redis import event, events


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that the test may harm."""
    with running(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a log on this machine would be."""
    return tmp_path / "events.db"


def hint_of(file: Path) -> Path:
    return file.with_name("events.redis.hint")


async def tell(url: str, file: Path, count: int) -> RedisStore:
    """Let a daemon run that has so many events stored, and return its store, closed."""
    store = await RedisStore.open(url, path=file)
    await store.append([events(count)])
    await store.close()
    return store


async def test_a_log_that_was_set_back_while_nobody_looked_is_another_one(
    own_redis: RedisServer, file: Path
) -> None:
    await tell(own_redis.url(), file, 50)
    copy = save(own_redis)
    before = await tell(own_redis.url(), file, 50)
    set_back(own_redis, copy)

    store = await RedisStore.open(own_redis.url(), path=file)
    async with EventService(store) as service:
        new = await service.publish(event())
        # Who has seen all of the hundred is told that not all of them are there.
        connection, start = await service.connect(since=f"{before.epoch}-100")
        service.disconnect(connection)
        assert (start.verdict, start.gap) == ("other-epoch", Gap(0, 1, "other-epoch"))
        after = await service.log.read(50, Filter())
        assert after == Gap(50, 100 + JUMP + 1, "other-epoch")
        assert service.log.missing == 50 + JUMP
        async with asyncio.timeout(PATIENCE):
            while store.notes:
                await asyncio.sleep(0.02)

    assert store.epoch != before.epoch
    assert new.seq > 100 + JUMP
    told = await entries(own_redis.url(), "store.lost")
    assert told == [f"redis lost the end of the log: it goes on as {store.epoch}"]


async def entries(url: str, told: str) -> list[str]:
    """Return the reasons of what a log's daemons have told of themselves."""
    store = await RedisStore.open(url)
    found = [entry.event.data for entry in await everything(store) if isinstance(entry, Entry)]
    await store.close()
    return [data["reasons"][0] for data in found if data.get("event") == told]


async def test_a_log_that_is_as_it_was_goes_on(own_redis: RedisServer, file: Path) -> None:
    before = await tell(own_redis.url(), file, 5)
    set_back(own_redis, save(own_redis))

    store = await tell(own_redis.url(), file, 1)

    assert (store.epoch, store.notes) == (before.epoch, [])
    store = await RedisStore.open(own_redis.url())
    assert await store.bounds() == Bounds(1, 6)
    await store.close()


async def test_what_is_answered_is_remembered_by_who_is_killed(
    redis_server: RedisServer, file: Path
) -> None:
    url = redis_server.url(uuid4().hex)
    store = await RedisStore.open(url.replace("://", "://default:secret@"), path=file)
    await store.append([events(7)])

    known = RedisHint(hint_of(file), Place.parse(url)).read()

    assert known is not None
    assert (known.epoch, known.seq, known.line) == (store.epoch, 7, f"{store.epoch} ")
    assert RedisHint(None, Place.parse(url)).is_here(known)
    assert "secret" not in hint_of(file).read_text()
    assert hint_of(file).stat().st_mode & 0o777 == 0o600
    await store.close()


async def test_what_others_stored_is_remembered_as_well(
    redis_server: RedisServer, file: Path
) -> None:
    url = redis_server.url(uuid4().hex)
    store = await RedisStore.open(url, path=file)
    other = await RedisStore.open(url)
    await other.append([events(9)])
    await store.grown(8, 10)

    known = RedisHint(hint_of(file), Place.parse(url)).read()

    assert known is not None
    assert known.seq == 9
    await store.close()
    await other.close()


async def test_an_old_copy_from_before_a_loss_is_known_by_its_name(
    own_redis: RedisServer, file: Path
) -> None:
    first = await tell(own_redis.url(), file, 5)
    early = save(own_redis)
    await tell(own_redis.url(), file, 5)
    late = save(own_redis)
    set_back(own_redis, early)
    second = await tell(own_redis.url(), file, 1)
    set_back(own_redis, late)  # the log of the first name, with all that it ever had

    third = await tell(own_redis.url(), file, 1)

    assert len({first.epoch, second.epoch, third.epoch}) == 3
    store = await RedisStore.open(own_redis.url())
    hole = (10, 10 + 2 * JUMP + 2)
    assert await store.bounds() == Bounds(1, hole[1], (hole,))
    await store.close()


async def test_what_another_daemon_has_seen_meanwhile_is_taken(
    own_redis: RedisServer, file: Path, tmp_path: Path
) -> None:
    url = own_redis.url()
    await tell(url, file, 5)
    copy = save(own_redis)
    other = await RedisStore.open(url, path=tmp_path / "events-other.db")
    await other.append([events(1)])
    set_back(own_redis, copy)
    await other.append([events(3)])

    store = await RedisStore.open(url, path=file)

    assert store.epoch == other.epoch
    assert store.notes == other.notes
    assert [note.event for note in store.notes] == ["store.lost"]
    await store.close()
    await other.close()


async def test_another_log_at_the_same_place_is_taken_as_it_is(
    own_redis: RedisServer, file: Path
) -> None:
    before = await tell(own_redis.url(), file, 50)
    assert own_redis.ask("FLUSHALL") == b"+OK"
    newcomer = await RedisStore.open(own_redis.url())
    await newcomer.append([events(3)])
    await newcomer.close()

    store = await tell(own_redis.url(), file, 1)

    assert store.epoch == newcomer.epoch != before.epoch
    assert store.notes == []
    known = RedisHint(hint_of(file), Place.parse(own_redis.url())).read()
    assert known is not None
    assert (known.epoch, known.seq) == (store.epoch, 4)


async def test_an_empty_one_is_a_loss_where_there_was_a_log(
    own_redis: RedisServer, file: Path
) -> None:
    before = await tell(own_redis.url(), file, 50)
    assert own_redis.ask("FLUSHALL") == b"+OK"

    elsewhere = await tell(own_redis.url("elsewhere"), file.with_name("copy.db"), 1)
    shutil.copy(hint_of(file), file.with_name("new.redis.hint"))
    new = await tell(own_redis.url("new"), file.with_name("new.db"), 1)
    store = await RedisStore.open(own_redis.url(), path=file)

    assert elsewhere.notes == new.notes == []
    assert store.epoch != before.epoch
    assert [note.event for note in store.notes] == ["store.lost"]
    assert (await store.bounds()).last == 50 + JUMP
    await store.close()


async def test_an_old_copy_at_another_place_is_known(
    own_redis: RedisServer, file: Path, tmp_path: Path
) -> None:
    await tell(own_redis.url(), file, 5)
    copy = save(own_redis)
    before = await tell(own_redis.url(), file, 5)
    other = RedisServer(tmp_path / "other")
    other.start()
    try:
        set_back(other, copy)

        store = await tell(other.url(), file, 1)
    finally:
        other.stop()

    assert store.epoch != before.epoch
    assert [note.event for note in store.notes] == ["store.lost"]


@pytest.mark.parametrize("said", [b"", b"no hint\n", b'{"seq":"x"}'])
async def test_a_hint_that_cannot_be_read_is_made_anew(
    redis_server: RedisServer, file: Path, said: bytes
) -> None:
    hint_of(file).write_bytes(said)

    store = await tell(redis_server.url(uuid4().hex), file, 2)

    known = RedisHint(hint_of(file), Place.parse(redis_server.url())).read()
    assert known is not None
    assert (known.epoch, known.seq) == (store.epoch, 2)


async def test_a_hint_that_cannot_be_written_stops_nothing(
    redis_server: RedisServer, file: Path
) -> None:
    file.with_name("events.redis.hint.new").mkdir()

    store = await tell(redis_server.url(uuid4().hex), file, 2)

    assert store.epoch
    assert not hint_of(file).exists()
