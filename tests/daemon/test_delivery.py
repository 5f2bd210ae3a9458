"""Events that publishers kept on disk, and the daemon publishes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rtevents.client.spool import keep
from rtevents.client.sync import Client
from rtevents.core.event import Event, Stored
from rtevents.core.filter import Filter
from rtevents.core.logs import MAIN, Logs, Routes
from rtevents.core.service import EventService
from rtevents.daemon.delivery import deliver
from rtevents.errors import EventConflict
from rtevents.stores.memory import MemoryStore
from tests.conftest import PATIENCE, Daemon, wait_for
from tests.redis import RedisServer, running


def task(name: str, **fields: object) -> Event:
    """Return a TASK_UPDATE."""
    data = {"task_id": name, "status": "open"}
    return Event(**{"type": "TASK_UPDATE", "data": data, **fields})  # type: ignore[arg-type]


async def deliver_all(service: EventService, folder: Path) -> None:
    """Deliver until nothing waits."""
    delivering = asyncio.create_task(deliver(Logs(Routes({}), {MAIN: service}), folder))
    async with asyncio.timeout(10):
        while list(folder.glob("*.json")):
            await asyncio.sleep(0.001)
    delivering.cancel()
    await asyncio.gather(delivering, return_exceptions=True)


async def test_what_waits_is_delivered_in_order_and_once(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    events = [task(f"T-{number}") for number in range(5)]
    for event in events:
        keep(folder, event)
    store = MemoryStore()
    async with EventService(store) as service:
        await service.publish(events[2])
        await deliver_all(service, folder)
        found = [entry.event_id for entry in (await store.read(0, 10)).entries]

    order = [events[2], *events[:2], *events[3:]]
    assert found == [event.event_id for event in order]
    assert list(folder.iterdir()) == []


async def test_what_nobody_dated_is_stored_once_with_the_time_of_its_making(tmp_path: Path) -> None:
    first = task("T-1", event_id="one")
    for event in (first, task("T-1", event_id="one")):
        keep(tmp_path, event)
    store = MemoryStore()
    async with EventService(store) as service:
        await deliver_all(service, tmp_path)
        (found,) = (await store.read(0, 10)).entries

    assert found.event == first
    assert list(tmp_path.iterdir()) == []


async def test_what_cannot_be_delivered_is_set_aside_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep(tmp_path, task("T-1", event_id="one"))
    keep(tmp_path, task("T-2", event_id="one"))
    (tmp_path / "0-garbage.json").write_text("{")
    keep(tmp_path, Event(type="NO_SUCH", data={}))
    (tmp_path / "1-folder.json").mkdir()
    keep(tmp_path, task("T-3"))
    async with EventService(MemoryStore()) as service:
        await deliver_all(service, tmp_path)
        assert service.log.last == 2

    assert len(list(tmp_path.glob("*.bad"))) == 4
    assert len(caplog.records) == 4


async def test_it_ends_with_the_daemon_and_what_waits_stays(tmp_path: Path) -> None:
    keep(tmp_path, task("T-1"))
    async with EventService(MemoryStore()) as service:
        await service.drain()
        async with asyncio.timeout(10):
            await deliver(Logs(Routes({}), {MAIN: service}), tmp_path)

    assert len(list(tmp_path.glob("*.json"))) == 1


class Slow(MemoryStore):
    """A store that takes nothing before it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Event()

    async def append(
        self, batches: Sequence[Sequence[Event]]
    ) -> list[list[Stored] | EventConflict]:
        """Wait, and store."""
        await self.may.wait()
        return await super().append(batches)


async def test_a_log_that_is_slow_holds_up_no_other(tmp_path: Path) -> None:
    for project in ("slow", "web", "slow", None):
        keep(tmp_path, task("T-1", project_id=project))
    slow = Slow()
    async with (
        EventService(MemoryStore()) as main,
        EventService(slow) as other,
    ):
        logs = Logs(Routes({"other": ["slow"]}), {MAIN: main, "other": other})
        delivering = asyncio.create_task(deliver(logs, tmp_path))
        async with asyncio.timeout(PATIENCE):
            while len(list(tmp_path.glob("*.json"))) > 2:
                await asyncio.sleep(0.001)
            assert (main.log.last, other.log.last) == (2, 0)
            slow.may.set()
            while list(tmp_path.glob("*.json")):
                await asyncio.sleep(0.001)
        delivering.cancel()
        await asyncio.gather(delivering, return_exceptions=True)
        assert (main.log.last, other.log.last) == (2, 2)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that the test may harm."""
    with running(tmp_path / "redis") as server:
        yield server


def ids(client: Client, log: str) -> list[str]:
    """Return the ids of the tasks of one log, the oldest first."""
    wanted = Filter(types=frozenset({"TASK_UPDATE"}), logs=frozenset({log}))
    return [entry.event_id for entry in client.history(wanted, since="all").events]


def task_words(name: str) -> tuple[str, ...]:
    """Return the words that publish a task."""
    return ("publish", "task", name, "--status", "open", "--id", name)


def test_a_log_that_is_away_holds_up_what_waits_for_it_alone(
    stopped_daemon: Daemon, redis: RedisServer
) -> None:
    daemon = stopped_daemon
    (daemon.home / "config" / "rtevents").mkdir()
    (daemon.home / "config" / "rtevents" / "config.yaml").write_text(
        "logs:\n"
        "  - {name: web, projects: [web]}\n"
        f"  - {{name: team, store: '{redis.url('spooled')}', projects: ['team-*']}}\n"
    )
    folder = daemon.home / "state" / "rtevents" / "spool"
    projects = ("team-a", "web", None, "team-b", "web", "team-a")
    daemon.start(env={"RTEVENTS_LOG__FORMAT": "json"})
    redis.kill()
    for number, project in enumerate(projects):
        keep(folder, task(f"e{number}", event_id=f"e{number}", project_id=project))
    with daemon.client() as client:
        wait_for(lambda: len(list(folder.glob("*.json"))) == 3, "the others are delivered")
        assert (ids(client, "web"), ids(client, MAIN)) == (["e1", "e4"], ["e2"])

        def health() -> str:
            return str(client.status()["health"]["reasons"])

        wait_for(lambda: "3 events of publishers wait on disk for this log" in health(), "told")
        assert "log team: " in health()
        assert "spool    3 waiting" in daemon.run("status").stdout
        # Nor does it hold up who has something to tell of others; what is of it waits its turn.
        said = daemon.run(*task_words("e6"), "--project", "web", "--spool")
        assert json.loads(said.stdout)["seq"] == 3
        for words in ((*task_words("e7"), "--project", "team-b"), ("publish", "--stdin")):
            line = task("e8", event_id="e8", project_id="team-a").body
            said = daemon.run(*words, "--spool", stdin=line)
            assert (said.returncode, said.stdout) == (0, "")
            assert "kept until it can be stored: redis at 127.0.0.1:" in said.stderr
        redis.start()
        wait_for(lambda: not list(folder.glob("*")), "the rest is delivered")
        assert ids(client, "team") == ["e0", "e3", "e5", "e7", "e8"]
        wait_for(lambda: "on disk" not in health(), "nothing waits")

    lines = [json.loads(line) for line in daemon.log.read_text().splitlines() if line[:1] == "{"]
    told = [each["message"] for each in lines if "the spool waits" in each["message"]]
    assert told[0].startswith("the spool waits: 3 events for team (redis at 127.0.0.1:")
    # A line a look, not one for each event.
    assert not any("web" in each or "\n" in each for each in told)
