"""The daemon's own producers: what they ask, and that nothing ends them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rtevents.config.settings import Config, HealthSettings
from rtevents.core.event import Event, Stored
from rtevents.core.filter import Filter
from rtevents.core.health import Thresholds
from rtevents.core.service import SYSTEM_SOURCE, EventService
from rtevents.core.store import Page
from rtevents.daemon import own as own_module
from rtevents.daemon.own import open_own, thresholds, watch_own
from rtevents.daemon.projects import Projects
from rtevents.daemon.spool import LocalSpool
from rtevents.errors import EventConflict, StoreError
from rtevents.producers import Own, Producer, open_own_producer
from rtevents.server.fanout import Fanout
from rtevents.stores.memory import MemoryStore

CONFIG = Config(health=HealthSettings(interval=0.005))

QUIET = Thresholds(memory_bytes=2**62, loop_lag_ms=1e9, latency_ms=1e9)
"""Whatever else this process and this machine are at is no event."""


class FullStore(MemoryStore):
    """A store that can be full."""

    is_full = False
    refused = 0
    asked = 0

    async def append(
        self, batches: Sequence[Sequence[Event]]
    ) -> list[list[Stored] | EventConflict]:
        """Append, if there is room."""
        self.asked += 1
        self.refused += self.is_full
        await self.check()
        return await super().append(batches)

    async def check(self) -> None:
        """Say whether there is room."""
        if self.is_full:
            raise StoreError("no room", retry_after=0.01)


async def until(condition: Callable[[], object]) -> None:
    """Return when a condition is true."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


def own_of(service: EventService, config: Config, places: Path) -> Own:
    """Return what the producers get to know of a daemon without projects."""
    fanout = Fanout(service, send_timeout=30, pong_timeout=10)
    projects = Projects(service, config, places)
    return open_own(config, service, fanout, projects=projects, places=places)


@asynccontextmanager
async def watched(
    store: MemoryStore, config: Config = CONFIG, *, held: int = 10_000
) -> AsyncIterator[EventService]:
    """Return a service that watches itself, and holds so many events in memory."""
    with tempfile.TemporaryDirectory() as folder:
        async with EventService(store, thresholds=QUIET, event_retention=held) as service:
            own = own_of(service, config, Path(folder))
            watching = asyncio.create_task(
                watch_own(own, LocalSpool(service, Path(folder) / "spool.db"))
            )
            yield service
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


async def told(service: EventService) -> list[tuple[str, str]]:
    """Return the status and the event of each SYSTEM_STATUS."""
    page = await service.log.read(0, Filter(types=frozenset({"SYSTEM_STATUS"})))
    assert isinstance(page, Page)
    return [(each.event.data["status"], each.event.data["event"]) for each in page.entries]


def test_the_settings_are_the_thresholds() -> None:
    assert thresholds(HealthSettings()) == Thresholds()
    assert thresholds(HealthSettings(connections=7)) == Thresholds(connections=7)


async def test_what_is_asked_and_how_often_are_the_specifications() -> None:
    service = EventService(MemoryStore())
    own = own_of(service, Config(), Path("unused"))

    assert [(each.name, each.interval, each.timeout) for each in own.checks] == [
        ("connections", 30, 10), ("queue", 60, 15), ("memory", 120, 30), ("service", 30, 5),
    ]  # fmt: skip


async def test_what_could_not_be_stored_is_told_when_it_can() -> None:
    store = FullStore()
    async with watched(store) as service:
        store.is_full = True
        await until(lambda: store.refused > 2)
        store.is_full = False
        await until(lambda: service.log.last == 2)

        assert await told(service) == [("failed", "verdict_changed"), ("ok", "verdict_changed")]


class MuteStore(FullStore):
    """A store of which the newest cannot be read for a while."""

    is_mute = True
    read_while_mute = 0

    async def read(self, *arguments: Any, **words: Any) -> Page:
        """Return a page, if it answers."""
        if self.is_mute and words.get("newest_first"):
            self.read_while_mute += 1
            raise StoreError("no answer", retry_after=0.01)
        return await super().read(*arguments, **words)


async def test_what_was_told_last_is_read_when_that_can_be(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A shared log may be away just when a daemon has begun."""
    store = MuteStore()
    last = {"status": "degraded", "event": "verdict_changed", "reasons": ["before"]}
    await store.append(
        [[Event(type="SYSTEM_STATUS", data=last, source=SYSTEM_SOURCE)], [risk(), risk()]]
    )
    async with watched(store, held=1) as service:
        await until(lambda: store.read_while_mute > 3)
        assert service.health().reasons == []
        store.is_mute = False
        await until(lambda: service.log.last == 4)

        assert (await told(service))[1:] == [("ok", "verdict_changed")]
        assert not caplog.records


def risk() -> Event:
    return Event(type="RISK_ALERT", data={"severity": "low", "message": "x"}, source="test")


async def test_a_check_that_is_not_answered_degrades_the_health() -> None:
    health = HealthSettings(interval=0.005, service_interval=0.01, service_timeout=0.5)
    store = FullStore()
    async with watched(store, Config(health=health)) as service:
        gate = asyncio.Event()

        async def hang() -> None:
            await gate.wait()

        store.check = hang  # type: ignore[method-assign] # a disk that does not answer
        await until(lambda: service.health().status == "degraded")
        assert service.health().reasons == ["service check: no answer within 0.5 s"]
        await until(lambda: store.asked)  # what is over before anybody looks is not told
        gate.set()
        await until(lambda: service.health().status == "ok" and service.log.last >= 2)

        assert (await told(service))[:2] == [
            ("degraded", "verdict_changed"), ("ok", "verdict_changed"),
        ]  # fmt: skip


async def test_a_producer_that_fails_is_told_of_and_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = 0

    def open_once_broken(kind: str, own: Own) -> Producer:
        nonlocal opened
        opened += kind == "system"
        if opened == 1 and kind == "system":
            raise RuntimeError("broken")
        return open_own_producer(kind, own)

    monkeypatch.setattr(own_module, "open_own_producer", open_once_broken)
    monkeypatch.setattr(own_module, "PAUSE", 0.05)
    async with watched(MemoryStore()) as service:
        await until(lambda: service.warnings.get("system") == "RuntimeError: broken")
        await until(lambda: opened == 2)

        assert "system" not in service.warnings
