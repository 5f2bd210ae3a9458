"""While Redis does not answer, a time is found as far as memory reaches, and exactly."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtevents.core.filter import Filter
from rtevents.core.log import Log
from rtevents.core.since import Since
from rtevents.errors import StoreError
from rtevents.stores import redis_times
from rtevents.stores.redis import RedisStore
from rtevents.stores.redis_times import Times
from tests.conftest import Daemon
from tests.redis import RedisServer, running

from .conftest import SetClock
from .samples import event, events


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with running(tmp_path / "redis") as server:
        yield server


async def test_what_memory_knows_is_what_redis_says(redis: RedisServer, clock: SetClock) -> None:
    """Of two daemons that append in turn, one that came later, and one that saw it all."""
    first = await RedisStore.open(redis.url(), clock=clock)
    other = await RedisStore.open(redis.url(), clock=clock)
    seen = Log(first, window_events=1000, window_bytes=1024**2)
    await seen.open()
    begun = clock.now
    for number in range(40):
        store = other if number % 3 == 0 else first
        await store.append([events(1 + number % 4)])
        await first.read(0, 1000)
        clock.now += 1
    await first.retain(60, 0, 0)
    await other.append([[event()]])
    late = await RedisStore.open(redis.url(), clock=clock)
    log = Log(late, window_events=30, window_bytes=1024**2)
    await log.open()
    await seen.refresh()
    await first.read(90, 100)
    oldest = (await late.bounds()).first
    asked = [begun + step / 2 for step in range(-2, 86)]
    said = [await first.seek(at) for at in asked]
    redis.kill()

    assert [await first.seek(at) for at in asked] == said
    known = [at for at, seq in zip(asked, said, strict=True) if seq > 71]
    assert known
    assert [await late.seek(at) for at in known] == [seq for seq in said if seq > 71]
    assert (said[0], said[-1]) == (oldest - 1, 101)
    start = await log.start(Since(timestamp=known[0]), Filter())
    assert (await log.read(start.after, Filter())).entries[0].seq == start.after + 1  # type: ignore[union-attr]
    with pytest.raises(StoreError, match="refuses the connection"):
        await late.seek(begun)
    for store in (first, other, late):
        await store.close()


async def test_nothing_is_known_of_the_times_of_another_log(
    redis: RedisServer, clock: SetClock
) -> None:
    store = await RedisStore.open(redis.url(), clock=clock)
    await store.append([events(5)])
    clock.now += 10
    redis.ask("FLUSHALL")
    await store.bounds()
    await store.append([[event()]])
    redis.kill()

    last = (await store.seek(clock.now), await store.seek(clock.now - 10))
    assert last[0] == last[1] > 1_000_000
    await store.close()


def test_what_is_read_in_any_order_is_known_without_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_times, "MOST", 60)
    dice = random.Random(1)
    times, stored = Times(), {}
    last, now = 0, 0
    for seq in range(1, 401):
        now += dice.choice([0, 0, 1, 5])
        stored[seq] = now
    for _ in range(3000):
        begin = dice.randrange(max(0, last - 80), last + 3)
        end = min(400, begin + dice.randrange(1, 20))
        if dice.random() < 0.2 and begin + 1 <= 400 and stored[begin + 1] == stored[end]:
            times.append(begin, end - begin, stored[end])
        else:
            times.read(begin, [(b"%d-%d" % (s, stored[s]), {}) for s in range(begin + 1, end + 1)])
        last = max(last, end)
        at = dice.randrange(now + 2)
        found = times.seek(at, 1)
        known = [s for s in stored if times._low < s <= times._high]
        assert len(known) <= 140
        if found is not None:
            assert found == next((s for s in known if stored[s] >= at), times._high + 1) - 1
            assert found == 0 or stored[found] < at
    assert times._high == 400


def test_history_and_tail_since_a_time_go_on_from_memory(
    stopped_daemon: Daemon, redis: RedisServer
) -> None:
    daemon = stopped_daemon
    daemon.start(env={"RTEVENTS_STORE": redis.url()})
    daemon.run("publish", "risk", "first", "--severity", "low")
    daemon.stop()
    daemon.start(env={"RTEVENTS_STORE": redis.url()})
    daemon.run("publish", "risk", "second", "--severity", "low")
    redis.kill()
    said = [
        daemon.run("history", "--since", "1h", "--type", "RISK_ALERT"),
        daemon.run("tail", "--since", "1h", "--type", "RISK_ALERT", "-T"),
    ]
    none = daemon.run("history", "--since", "0.001s", "--type", "RISK_ALERT")

    for each in said:
        assert each.returncode == 0, each.stderr
        assert [json.loads(line)["data"]["message"] for line in each.stdout.splitlines()] == [
            "first",
            "second",
        ]
    assert (none.returncode, none.stdout) == (0, "")
