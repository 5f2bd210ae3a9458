"""The backends that every test of the contract runs on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rtevents.core.store import Store
from rtevents.stores.memory import MemoryStore
from rtevents.stores.sqlite import SQLiteStore


class SetClock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 1_763_863_200.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture(params=["memory", "sqlite"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: SetClock
) -> AsyncIterator[Store]:
    """An empty log of each backend."""
    opened: Store
    if request.param == "memory":
        opened = MemoryStore(clock=clock)
    else:
        opened = await SQLiteStore.open(path=tmp_path / "events.db", clock=clock)
    yield opened
    await opened.close()
