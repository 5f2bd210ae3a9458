"""A log that is moved to Redis is the same there, or that is said."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from rtevents.errors import ConfigError, StoreDamaged, StoreError
from rtevents.stores.move import CHUNK, move
from rtevents.stores.redis import RedisStore
from rtevents.stores.sqlite import SQLiteStore
from tests.conftest import Daemon
from tests.redis import RedisServer

from .conftest import SetClock
from .samples import event, events, everything


@pytest.fixture
async def path(tmp_path: Path, clock: SetClock) -> Path:
    """A log of 1,200 entries of three moments, closed; the oldest 100 are trimmed."""
    path = tmp_path / "events.db"
    store = await SQLiteStore.open(path=path, clock=clock)
    for _ in range(3):
        await store.append([events(400)])
        clock.now += 60
    await store.retain(1100, 0, 0)
    await store.close()
    return path


@pytest.fixture
def url(redis_server: RedisServer) -> str:
    """A log of Redis that is not there yet."""
    return redis_server.url(uuid4().hex)


async def more(path: Path, clock: SetClock, count: int, keep: int = 0) -> None:
    """Append to the log as its daemon would, and trim it."""
    store = await SQLiteStore.open(path=path, clock=clock)
    await store.append([events(count)])
    if keep:
        await store.retain(keep, 0, 0)
    await store.close()


async def test_a_moved_log_is_the_same_and_goes_on(path: Path, url: str, clock: SetClock) -> None:
    shares: list[tuple[str, float]] = []

    moved = await move(path, url, tell=lambda what, share: shares.append((what, share)))

    assert (moved.moved, moved.entries, moved.first, moved.last) == (1100, 1100, 101, 1200)
    steps = [500 / 1100, 1000 / 1100, 1.0]
    assert [what for what, _ in shares] == ["moved"] * 3 + ["compared"] * 3
    assert [share for _, share in shares] == pytest.approx(steps * 2)
    here = await SQLiteStore.open(path=path, clock=clock)
    there = await RedisStore.open(url, clock=clock)
    try:
        entries = await everything(here)
        assert await everything(there) == entries
        assert (there.epoch, await there.bounds()) == (here.epoch, await here.bounds())
        assert await there.seek(clock.now - 60) == await here.seek(clock.now - 60) == 800
        assert await there.find(entries[500].event_id) == entries[500].seq
        (again,) = await there.append([[entries[7].event, event()]])
        assert isinstance(again, list)
        assert [(one.seq, one.duplicate) for one in again] == [(108, True), (1201, False)]
        # What is older goes by its age, and by its bytes.
        assert (await there.retain(0, 90, 0)).first == 801
        size = sum(len(entry.wire) for entry in (await everything(there))[-300:])
        assert (await there.retain(0, 0, size)).first == 902
    finally:
        await here.close()
        await there.close()


async def test_what_was_interrupted_goes_on_and_what_came_meanwhile_is_added(
    path: Path, url: str, clock: SetClock
) -> None:
    def interrupt(what: str, share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await move(path, url, tell=interrupt)
    rest = await move(path, url)
    await more(path, clock, 30)
    added = await move(path, url)
    nothing = await move(path, url)

    assert (rest.moved, rest.entries) == (1100 - CHUNK, 1100)
    assert (added.moved, added.entries, added.last) == (30, 1130, 1230)
    assert nothing == added._replace(moved=0)


async def test_what_was_trimmed_before_it_was_moved_is_a_hole(
    path: Path, url: str, clock: SetClock
) -> None:
    await move(path, url)
    await more(path, clock, 100, keep=50)
    await move(path, url)

    there = await RedisStore.open(url, clock=clock)
    try:
        bounds = await there.bounds()
        assert (bounds.first, bounds.last, bounds.holes) == (101, 1300, ((1200, 1251),))
    finally:
        await there.close()


async def test_no_other_log_is_overwritten(path: Path, url: str, clock: SetClock) -> None:
    other = await RedisStore.open(url)
    await other.append([[event()]])
    await other.close()

    with pytest.raises(StoreError, match=r"is another log .*: name one .* by \?log=NAME"):
        await move(path, url)


async def test_logs_that_went_apart_are_not_mixed(path: Path, url: str, clock: SetClock) -> None:
    await move(path, url)
    there = await RedisStore.open(url)
    await there.append([[event()]])

    with pytest.raises(StoreError, match="reaches to 1201, this one to 1200: it went on there"):
        await move(path, url)
    await more(path, clock, 3)
    with pytest.raises(StoreError, match="entry 1201 is not the same in redis"):
        await move(path, url)

    assert (await there.bounds()).last == 1201
    await there.close()


async def test_a_damaged_entry_is_not_moved(path: Path, url: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE entry SET body = replace(body, 'hello', 'hallo') WHERE seq = 700")
        db.commit()

    with pytest.raises(StoreDamaged, match=r"entry 700 is damaged; .*doctor --recover"):
        await move(path, url)


async def test_an_empty_log_is_moved_and_a_missing_one_is_told(tmp_path: Path, url: str) -> None:
    path = tmp_path / "new.db"
    store = await SQLiteStore.open(path=path)
    await store.close()

    moved = await move(path, url)

    assert (moved.moved, moved.entries, moved.first, moved.last) == (0, 0, 1, 0)
    with pytest.raises(StoreError, match="there is no log"):
        await move(tmp_path / "nonesuch.db", url)
    with pytest.raises(ConfigError, match="the database is a number"):
        await move(path, "redis://127.0.0.1/x")


async def test_a_redis_that_does_not_answer_is_told(path: Path) -> None:
    with pytest.raises(StoreError, match=r"redis at 127\.0\.0\.1:1: "):
        await move(path, "redis://127.0.0.1:1/0")


def test_subscribers_go_on_where_they_were(stopped_daemon: Daemon, url: str) -> None:
    """Most of it while the daemon runs, the rest when it has ended; a bookmark stays good."""
    daemon = stopped_daemon
    daemon.start()
    daemon.run("publish", "risk", "first", "--severity", "low")
    with daemon.client() as client:
        bookmark = client.status()["bookmark"]
    online = daemon.run("migrate", url)
    assert "rtevents stop, and this once more" in online.stdout
    daemon.run("publish", "risk", "second", "--severity", "low")
    daemon.stop()
    rest = daemon.run("migrate", url)
    assert "now start every daemon with `store: redis://127.0.0.1" in rest.stdout

    daemon.start(env={"RTEVENTS_STORE": url})
    seen = daemon.run("tail", "--since", bookmark, "--type", "RISK_ALERT", "-T")
    daemon.run("publish", "risk", "third", "--severity", "low")
    again = daemon.run("migrate", url)

    assert '"second"' in seen.stdout
    assert "gap" not in seen.stderr
    assert again.returncode == 1
    assert "it went on there" in again.stderr


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+foo://127.0.0.1/0", "store: expected"),
        ("redisx://1", "store: expected"),
        ("redis://:geheim/x@127.0.0.1/0", "write %2F for /"),
    ],
)
def test_what_names_no_redis_is_refused_without_its_password(
    stopped_daemon: Daemon, url: str, said: str
) -> None:
    refused = stopped_daemon.run("migrate", url)

    assert refused.returncode == 2
    assert said in refused.stderr
    assert "geheim" not in refused.stderr
