"""A log that is moved to Redis is the same there, or that is said."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from rtevents.core.event import Bookmark, Gap
from rtevents.core.filter import Filter
from rtevents.core.log import Log
from rtevents.core.since import Since
from rtevents.errors import ConfigError, StoreDamaged, StoreError
from rtevents.stores.move import CHUNK, Moved, move
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


async def more(
    path: Path, clock: SetClock, count: int, *, keep: int = 0, is_aged: bool = False
) -> None:
    """Append to the log as its daemon would, and trim it: by number, or all of it by its age."""
    store = await SQLiteStore.open(path=path, clock=clock)
    await store.append([events(count)])
    if keep:
        await store.retain(keep, 0, 0)
    if is_aged:
        clock.now += 1000
        while (bounds := await store.retain(0, 1.0, 0)).first <= bounds.last:
            pass
    await store.close()


Aside = Callable[[Coroutine[Any, Any, Any]], Any]
"""Does something in another thread, as another program would, and returns when it is done."""


@pytest.fixture
def aside() -> Iterator[Any]:
    with ThreadPoolExecutor(1) as thread:
        runner = thread.submit(asyncio.Runner).result()
        yield lambda work: thread.submit(runner.run, work).result()
        thread.submit(runner.close).result()


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


@asynccontextmanager
async def reading(url: str, clock: SetClock) -> AsyncIterator[Log]:
    """Open the log in Redis as a daemon does."""
    store = await RedisStore.open(url, clock=clock)
    try:
        log = Log(store, window_events=100, window_bytes=1024**2)
        await log.open()
        yield log
    finally:
        await store.close()


async def told(log: Log, epoch: str, seq: int) -> tuple[str, Gap | None]:
    """Return what a reader is told who comes with a bookmark."""
    start = await log.start(Since(bookmark=Bookmark(epoch, seq)), Filter())
    return start.verdict, start.gap


def epoch_of(path: Path) -> str:
    with closing(sqlite3.connect(path)) as db:
        (epoch,) = db.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
    return str(epoch)


async def stored(log: Log) -> int:
    """Publish an event; return its seq."""
    (answer,) = await log.append([[event()]])
    assert isinstance(answer, list)
    return answer[0].seq


@pytest.mark.parametrize("count", [0, 30], ids=["trimmed", "trimmed further"])
async def test_a_log_of_which_nothing_is_left_goes_on_where_it_was(
    path: Path, url: str, clock: SetClock, count: int
) -> None:
    """By age: the newest row is gone as well, and with it what told the last seq."""
    await more(path, clock, count or 1, is_aged=True)
    last = 1200 + (count or 1)

    moved = await move(path, url)
    again = await move(path, url)

    assert (moved.moved, moved.entries, moved.first, moved.last) == (0, 0, last + 1, last)
    assert again == moved
    async with reading(url, clock) as log:
        assert await told(log, epoch_of(path), last) == ("complete", None)
        gap = Gap(700, last + 1, "trimmed")
        assert await told(log, epoch_of(path), 700) == ("truncated", gap)
        assert await stored(log) == last + 1
        assert await told(log, epoch_of(path), last) == ("complete", None)


async def test_a_new_log_keeps_its_name(tmp_path: Path, url: str, clock: SetClock) -> None:
    path = tmp_path / "new.db"
    await more(path, clock, 0)

    await move(path, url)

    async with reading(url, clock) as log:
        assert await told(log, epoch_of(path), 0) == ("complete", None)
        assert await stored(log) == 1


@pytest.mark.parametrize("keep", [50, 0], ids=["some are left", "none is left"])
async def test_what_was_trimmed_between_two_moves_is_told_as_trimmed(
    path: Path, url: str, clock: SetClock, keep: int
) -> None:
    await move(path, url)
    await more(path, clock, 100, keep=keep, is_aged=not keep)
    rest = await move(path, url)

    first = 1300 - keep + 1
    assert (rest.moved, rest.entries, rest.first, rest.last) == (keep, keep, first, 1300)
    async with reading(url, clock) as log:
        assert (log.first, log.last) == (first, 1300)
        for seq in (1150, 1200):
            gap = Gap(seq, first, "trimmed")
            assert await told(log, epoch_of(path), seq) == ("truncated", gap)
        assert await told(log, epoch_of(path), 1300) == ("complete", None)
        assert await stored(log) == 1301
        assert [entry.seq for entry in await log.newest(1000, Filter())] == [
            *range(1301, first - 1, -1)
        ]


async def test_what_was_trimmed_in_the_midst_of_a_move_is_told_as_trimmed(
    path: Path, url: str, clock: SetClock
) -> None:
    """Of what was begun the rest is trimmed away: no reader may take 601 to 1280 for nothing."""

    def interrupt(what: str, share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await move(path, url, tell=interrupt)
    await more(path, clock, 100, keep=20)
    rest = await move(path, url)

    assert (rest.moved, rest.entries, rest.first, rest.last) == (20, 20, 1281, 1300)
    async with reading(url, clock) as log:
        assert await told(log, epoch_of(path), 500) == ("truncated", Gap(500, 1281, "trimmed"))
        assert await log.find("gone") is None
        assert await stored(log) == 1301


async def test_what_is_trimmed_while_it_is_moved_is_moved_all_the_same(
    path: Path, url: str, clock: SetClock, aside: Aside
) -> None:
    """The log is moved as it was at one moment, and what is trimmed then is trimmed there later."""

    def trim(what: str, share: float) -> None:
        aside(more(path, clock, 10, keep=5) if not shares else asyncio.sleep(0))
        shares.append(share)

    shares: list[float] = []
    moved = await move(path, url, tell=trim)
    rest = await move(path, url)

    assert (moved.moved, moved.entries, moved.last) == (1100, 1100, 1200)
    assert (rest.moved, rest.first, rest.last) == (5, 1206, 1210)
    async with reading(url, clock) as log:
        gap = Gap(1200, 1206, "trimmed")
        assert await told(log, epoch_of(path), 1200) == ("truncated", gap)


async def test_of_two_moves_at_once_one_is_told_so_and_nothing_is_there_twice(
    path: Path, url: str, clock: SetClock, aside: Aside
) -> None:
    def another(what: str, share: float) -> None:
        if not others:
            others.append(aside(move(path, url)))

    others: list[Moved] = []
    with pytest.raises(StoreError, match="another `rtevents migrate` is just moving to") as told_so:
        await move(path, url, tell=another)
    again = await move(path, url)

    assert "\n" not in str(told_so.value)
    assert (others[0].moved, others[0].entries) == (600, 1100)
    assert again == others[0]._replace(moved=0)
    here = await SQLiteStore.open(path=path, clock=clock)
    there = await RedisStore.open(url, clock=clock)
    try:
        assert await everything(there) == await everything(here)
    finally:
        await here.close()
        await there.close()


async def test_of_two_logs_that_are_moved_to_one_place_one_is_refused(
    path: Path, tmp_path: Path, url: str, clock: SetClock, aside: Aside
) -> None:
    other = tmp_path / "other.db"
    await more(other, clock, 2)

    def another(what: str, share: float) -> None:
        if not refused:
            with pytest.raises(StoreError, match=r"is another log .*: name one that is not there"):
                aside(move(other, url))
            refused.append(True)

    refused: list[bool] = []
    moved = await move(path, url, tell=another)

    assert (moved.entries, refused) == (1100, [True])


async def test_no_daemon_begins_on_a_log_before_all_of_it_is_moved_and_compared(
    path: Path, url: str, clock: SetClock, aside: Aside
) -> None:
    def open_it(what: str, share: float) -> None:
        with pytest.raises(StoreError, match="not all moved here: let `rtevents migrate`"):
            aside(RedisStore.open(url))
        refused.append(what)

    refused: list[str] = []
    moved = await move(path, url, tell=open_it)

    assert (moved.entries, moved.is_complete) == (1100, True)
    assert refused == ["moved"] * 3 + ["compared"] * 3
    async with reading(url, clock) as log:
        assert (log.first, log.last) == (101, 1200)


async def test_a_daemon_that_is_on_the_log_is_told_of(
    path: Path, url: str, clock: SetClock, aside: Aside
) -> None:
    """It came between two moves, and stores just while the second moves."""
    await move(path, url)
    await more(path, clock, 2 * CHUNK)
    there = aside(RedisStore.open(url))

    def publish(what: str, share: float) -> None:
        if not answers:
            answers.extend(aside(there.append([[event()]])))

    answers: list[object] = []
    with pytest.raises(StoreError, match=r"reaches to 1701, this one to 2200: it went on there af"):
        await move(path, url, tell=publish)
    with pytest.raises(StoreError, match=r"after 1700, by a daemon that is on it; .*\?log=NAME"):
        await move(path, url)

    aside(there.close())


async def test_copies_that_went_apart_are_not_mixed(path: Path, url: str, clock: SetClock) -> None:
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    await more(path, clock, 3)
    await move(path, url)

    with pytest.raises(StoreError, match=r"reaches to 1203, this one to 1200: .* a later moment"):
        await move(copy, url)
    await more(copy, clock, 5)
    with pytest.raises(StoreError, match="entry 1203 is not the same in redis"):
        await move(copy, url)


async def test_a_log_that_lost_its_end_is_not_moved_under_its_name(
    path: Path, url: str, clock: SetClock
) -> None:
    """Its seqs would be given twice: the hint beside it tells how far it had come."""
    before = path.read_bytes()
    await more(path, clock, 7)
    path.write_bytes(before)

    with pytest.raises(StoreError, match="entries 1201 to 1207 are lost; start the daemon on it"):
        await move(path, url)


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
    with pytest.raises(StoreError, match="it went on there after 1200, by a daemon that is on it"):
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
    with pytest.raises(StoreError, match=r"redis at 127\.0\.0\.1:1 refuses the connection"):
        await move(path, "redis://127.0.0.1:1/0")


def refusal(daemon: Daemon, url: str) -> str:
    """Start a daemon that is not to start; return what it says."""
    said = daemon.run("serve", "--no-project", env={"RTEVENTS_STORE": url})
    assert said.returncode == 1, said.stdout
    assert said.stderr.count("\n") == 1, said.stderr
    return said.stderr


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
    early = refusal(daemon, url)
    rest = daemon.run("migrate", url)
    assert "now start every daemon with `store: redis://127.0.0.1" in rest.stdout

    daemon.start(env={"RTEVENTS_STORE": url})
    seen = daemon.run("tail", "--since", bookmark, "--type", "RISK_ALERT", "-T")
    daemon.run("publish", "risk", "third", "--severity", "low")
    again = daemon.run("migrate", url)

    file = daemon.home / "state" / "rtevents" / "events.db"
    assert re.search(
        rf"[1-9]\d* events? of {file} (?:is|are) not moved yet \(up to seq \d+\): run `rtevents "
        rf"migrate --from {file} '{re.escape(url)}'` once more\n",
        early,
    )
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


async def test_what_is_in_the_file_and_not_in_redis_is_told_before_a_daemon_begins(
    path: Path, url: str, clock: SetClock
) -> None:
    """It would give their seqs again, under the epoch by which subscribers know them."""
    await move(path, url)
    await (await RedisStore.open(url, path=path)).close()
    await more(path, clock, 3)
    before = path.read_bytes()
    with pytest.raises(
        StoreError, match=r"3 events of .*events\.db are not moved yet \(up to seq 12"
    ):
        await RedisStore.open(url, path=path)
    # Another machine has no such file.
    elsewhere = await RedisStore.open(url, path=path.with_name("none.db"))
    await elsewhere.append([events(2)])
    await elsewhere.close()
    with pytest.raises(
        StoreError, match=r"\(after seq 1200, up to 1203\) are not in .* up to 1202"
    ):
        await RedisStore.open(url, path=path)

    assert path.read_bytes() == before


async def test_another_log_in_the_file_keeps_no_daemon_from_redis(
    path: Path, tmp_path: Path, url: str, clock: SetClock, caplog: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "other.db"
    await more(other, clock, 2000)
    await move(path, url)
    await (await RedisStore.open(url, path=other)).close()
    other.write_bytes(b"no database" * 100)
    store = await RedisStore.open(url, path=other)

    assert (await store.bounds()).last == 1200
    assert "nobody knows whether all of it was moved to redis" in caplog.text
    await store.close()


async def test_while_a_daemon_has_the_file_no_daemon_begins_in_redis(
    path: Path, url: str, clock: SetClock
) -> None:
    """On another machine there is no file to look at."""
    first = await move(path, url, is_in_use=True)
    with pytest.raises(StoreError, match=r"not all moved here: .* and run it once more"):
        await RedisStore.open(url)
    again = await move(path, url, is_in_use=True)
    with pytest.raises(StoreError, match="not all moved here"):
        await RedisStore.open(url)
    last = await move(path, url)
    async with reading(url, clock) as log:
        assert log.last == 1200
    anew = await move(path, url, is_in_use=True)
    with pytest.raises(StoreError, match="not all moved here"):
        await RedisStore.open(url)

    assert [each.is_complete for each in (first, again, last, anew)] == [False, False, True, False]
    assert [each.moved for each in (first, again, last, anew)] == [1100, 0, 0, 0]


def test_a_log_that_no_daemon_has_needs_one_migrate(stopped_daemon: Daemon, url: str) -> None:
    """Of the other logs of a daemon, each by its file; a stopped daemon's process may hang."""
    daemon = stopped_daemon
    state = daemon.home / "state" / "rtevents"
    daemon.start()
    daemon.run("backup", str(state / "copy.db"))
    copy = daemon.run("migrate", url, "--from", str(state / "copy.db"), "--json")
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGSTOP)
    hung = daemon.run(
        "migrate", f"{url}2", "--from", str(state / "events.db"), env={"RTEVENTS_TIMEOUT": "1"}
    )
    daemon.process.send_signal(signal.SIGCONT)

    assert json.loads(copy.stdout)["is_complete"] is True
    assert f"the daemon (pid {daemon.process.pid}) goes on in its file" in hung.stdout
    daemon.stop()
    assert "not all moved here" in refusal(daemon, f"{url}2")


async def test_where_the_file_is_lost_the_log_goes_on_under_another_epoch(
    path: Path, redis_server: RedisServer, clock: SetClock
) -> None:
    """As the manual says: nobody knows which seqs were given after those that were moved."""
    name = uuid4().hex
    await move(path, redis_server.url(name), is_in_use=True)
    assert redis_server.ask("HDEL", f"{{{name}}}:log", "epoch", "due") == b":2"

    async with reading(redis_server.url(name), clock) as log:
        assert log.epoch != epoch_of(path)
        assert len(await log.newest(2000, Filter())) == 1100
        assert await stored(log) > 1_000_000
        verdict, gap = await told(log, epoch_of(path), 1200)
        assert (verdict, gap and gap.reason) == ("other-epoch", "other-epoch")
