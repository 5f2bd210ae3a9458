"""Half an hour of readers who come and go: what is taken is given back."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from contextlib import aclosing, suppress
from pathlib import Path

import pytest

from rtevents.client.asyncio import Client
from rtevents.core.event import Entry, Event
from rtevents.errors import RteventsError
from tests.conftest import PATIENCE, Daemon, wait_for

MINUTES = 30
SETTLED = 10
"""The minute by which everything that fills up has filled up."""

RATE = 500
"""Events a second."""

AT_ONCE = 50
VISITORS = 40
READERS_FILES = 4
"""The database and its log, of each of the two connections that read: opened when first used."""

PAGE = os.sysconf("SC_PAGE_SIZE")
MORE = 4 * 1024**2


def events(count: int) -> list[Event]:
    """Return events with text of many lengths."""
    chance = random.Random(count)
    return [
        Event(
            type="RISK_ALERT",
            data={"severity": "low", "message": "x" * chance.randint(1, 2000)},
        )
        for _ in range(count)
    ]


async def publish(daemon: Daemon, until: float) -> int:
    """Publish at a steady rate; return how many."""
    count = 0
    due = time.monotonic()
    async with Client(daemon.socket) as client:
        while (now := time.monotonic()) < until:
            if now < due:
                await asyncio.sleep(due - now)
            due += AT_ONCE / RATE
            count += len(await client.publish_many(events(AT_ONCE)))
    return count


async def visit(daemon: Daemon, address: str, token: str, until: float, number: int) -> int:
    """Come, read for a while from anywhere, and go without a word; return the visits."""
    chance = random.Random(number)
    visits = 0
    while time.monotonic() < until:
        since = chance.choice(["new", "all", "1m", "100"])
        stay = chance.uniform(0.1, 8)
        local = chance.random() < 0.5
        with suppress(RteventsError, TimeoutError):
            async with Client(
                daemon.socket if local else address, token=None if local else token
            ) as client:
                if chance.random() < 0.3:
                    await client.history(limit=chance.randint(1, 1000), order="desc")
                async with asyncio.timeout(stay), aclosing(client.stream(since=since)) as stream:
                    async for _ in stream:
                        # Some read slowly, and are left behind.
                        await asyncio.sleep(chance.choice([0, 0, 0, 0.01]))
        visits += 1
    return visits


class Watcher:
    """Samples of what a process takes."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        self.memory: list[tuple[float, int]] = []
        self.files: list[int] = []

    async def run(self) -> None:
        """Look each second, until cancelled."""
        begun = time.monotonic()
        while True:
            resident = int((self._folder / "statm").read_text().split()[1]) * PAGE
            self.memory.append(((time.monotonic() - begun) / 60, resident))
            await asyncio.sleep(1)

    def around(self, minute: float) -> float:
        """Return the bytes that were taken in the minute that ended then, as the median."""
        return statistics.median(
            resident for at, resident in self.memory if minute - 1 <= at < minute
        )

    def open_files(self) -> int:
        """Return how many files it has open."""
        return len(list((self._folder / "fd").iterdir()))


@pytest.mark.slow
@pytest.mark.timeout(MINUTES * 60 + 300)
def test_half_an_hour_of_readers_who_come_and_go_leaves_nothing(stopped_daemon: Daemon) -> None:
    """500 events a second, forty readers coming and going; memory and open files stay flat."""
    daemon = stopped_daemon
    limits = {"RTEVENTS_RETENTION__MAX_EVENTS": "100000", "RTEVENTS_RETENTION__INTERVAL": "10"}
    daemon.start("--no-project", "--quiet", env=limits)
    assert daemon.process is not None
    watcher = Watcher(daemon.process.pid)
    with daemon.client() as client:
        address = str(client.status()["url"])
        token = str(client.create_token("viewer")["token"])
    files = watcher.open_files()

    async def scene() -> tuple[int, int]:
        until = time.monotonic() + MINUTES * 60
        watching = asyncio.create_task(watcher.run())
        published, *visits = await asyncio.gather(
            publish(daemon, until),
            *(visit(daemon, address, token, until, number) for number in range(VISITORS)),
        )
        watching.cancel()
        return published, sum(visits)

    published, visits = asyncio.run(scene())

    before, after = watcher.around(SETTLED), watcher.around(MINUTES)
    figures = f"{published} events, {visits} visits; MiB by minute: " + " ".join(
        f"{watcher.around(m) / 1024**2:.1f}" for m in range(1, MINUTES + 1)
    )
    print(figures)  # noqa: T201 - read with `pytest -s`
    assert published > MINUTES * 60 * RATE * 0.9, figures
    assert after <= before + MORE, figures
    most = files + READERS_FILES
    wait_for(lambda: watcher.open_files() <= most, "every visitor's file is closed", PATIENCE)
    print(f"{files} files open before, {watcher.open_files()} after")  # noqa: T201 - likewise
    with daemon.client() as client:
        page = client.history(limit=1, order="desc")
        last = page.events[-1]
        assert isinstance(last, Entry)
        assert last.seq == published
        assert client.status()["health"]["status"] == "ok", client.status()["health"]
