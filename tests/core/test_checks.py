"""What a service looks at each second: its store, and the clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest

from rtevents.core.event import Entry
from rtevents.core.filter import Filter
from rtevents.core.health import Thresholds
from rtevents.core.service import EventService
from rtevents.core.store import Note, Retention

from .conftest import TroubledStore, task

STATUSES = Filter(types=frozenset({"SYSTEM_STATUS"}))

ROOMY = Thresholds(memory_bytes=2**62)
"""Whatever the tests of one process have taken together is no trouble of a service in it."""


@pytest.fixture
async def service(
    store: TroubledStore, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[EventService]:
    """Return a service that runs, and looks all the time."""
    monkeypatch.setattr("rtevents.core.service.CHECK_SECONDS", 0.01)
    retention = Retention(interval=0.01)
    async with EventService(store, retention=retention, thresholds=ROOMY) as service:
        yield service


async def until(condition: Callable[[], object]) -> None:
    """Return when a condition holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def told(service: EventService) -> list[tuple[str, str, list[str]]]:
    """Return what the stream tells of the system: status, event, reasons."""
    entries = await service.log.newest(10, STATUSES)
    data = [entry.event.data for entry in reversed(entries) if isinstance(entry, Entry)]
    return [(each["status"], each["event"], each.get("reasons", [])) for each in data]


async def test_a_store_that_fails_is_seen_though_nobody_publishes(
    service: EventService, store: TroubledStore
) -> None:
    store.failure = "the disk failed"
    await until(lambda: service.health().status == "failed")
    assert service.health().reasons == ["events cannot be stored: the disk failed"]

    store.failure = None
    await until(lambda: service.health().status != "failed")
    assert (await service.publish(task())).seq == 1


async def test_what_a_store_has_to_say_is_told_once_in_the_stream_and_in_the_health(
    service: EventService, store: TroubledStore
) -> None:
    store.notes.append(Note("store.lost", "entries 1 to 9 are gone"))
    await until(lambda: not store.notes)

    assert await told(service) == [("degraded", "store.lost", ["entries 1 to 9 are gone"])]
    assert service.warnings == {"store.lost": "entries 1 to 9 are gone"}


async def test_what_a_store_has_to_say_waits_until_it_can_be_told(
    service: EventService, store: TroubledStore
) -> None:
    store.failure = "the disk failed"
    store.notes.append(Note("store.corrupt", "entry 3 is damaged"))
    await until(lambda: service.health().status == "failed")
    assert store.notes

    store.failure = None
    await until(lambda: not store.notes)
    assert await told(service) == [("degraded", "store.corrupt", ["entry 3 is damaged"])]


async def test_a_clock_that_is_set_is_told_once(
    service: EventService, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3600)
    await until(lambda: service.log.last)
    monkeypatch.undo()

    [(status, event, reasons)] = (await told(service))[:1]
    assert (status, event, reasons) == ("ok", "clock_jump", ["the clock was set by +3600 s"])


async def test_a_clock_that_is_set_while_nothing_can_be_stored_is_told_too_late_for_anybody(
    service: EventService, store: TroubledStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.failure = "the disk failed"
    now, asked = time.time, 0

    def later() -> float:
        nonlocal asked
        asked += 1
        return now() + 3600

    monkeypatch.setattr(time, "time", later)
    await until(lambda: asked > 10)
    store.failure = None
    await until(lambda: service.health().status != "failed")

    assert await told(service) == []
