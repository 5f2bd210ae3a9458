"""What the tests of the core share: a log in memory, and a store whose failures can be staged."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from rtevents.core.event import Event, Stored
from rtevents.core.log import Log
from rtevents.errors import EventConflict, StoreError
from rtevents.stores.memory import MemoryStore


def task(number: int = 0, **fields: object) -> Event:
    """Return a TASK_UPDATE; `fields` are those of the event."""
    data = {"task_id": f"T-{number}", "status": "open"}
    return Event(**{"type": "TASK_UPDATE", "data": data, **fields})  # type: ignore[arg-type]


class TroubledStore(MemoryStore):
    """A store whose appends can be made to fail, or to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: str | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def append(
        self, batches: Sequence[Sequence[Event]]
    ) -> list[list[Stored] | EventConflict]:
        """Append, once the gate is open, unless a failure is staged."""
        await self.gate.wait()
        if self.failure:
            raise StoreError(self.failure)
        return await super().append(batches)

    async def check(self) -> None:
        """Look whether events can be stored: not while a failure is staged."""
        if self.failure:
            raise StoreError(self.failure)
        await super().check()

    async def retain(self, max_events: int, max_age: float, max_bytes: int):  # type: ignore[no-untyped-def]
        """Trim, unless a failure is staged."""
        if self.failure:
            raise StoreError(self.failure)
        return await super().retain(max_events, max_age, max_bytes)


@pytest.fixture
def store() -> TroubledStore:
    """Return an empty store."""
    return TroubledStore()


@pytest.fixture
async def log(store: TroubledStore) -> Log:
    """Return an open log with a window of ten entries."""
    log = Log(store, window_events=10, window_bytes=100_000)
    await log.open()
    return log
