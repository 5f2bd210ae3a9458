"""Events that waited on disk for the daemon to be back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rtevents.client.spool import keep, keep_line
from rtevents.core.event import Event
from rtevents.core.logs import MAIN, Logs, Routes
from rtevents.core.service import EventService
from rtevents.daemon.spool import deliver
from rtevents.errors import BadInput
from rtevents.stores.memory import MemoryStore


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


def test_a_line_that_is_no_event_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        keep_line(tmp_path, b"{")

    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_is_for_the_user_alone(tmp_path: Path) -> None:
    keep(tmp_path / "spool", task("T-1", event_id="web:0a1b"))
    file = next((tmp_path / "spool").iterdir())

    assert file.stat().st_mode & 0o777 == 0o600
    assert file.name.endswith("-web_0a1b.undated.json")
