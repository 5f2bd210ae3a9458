"""The backends that every test of the contract runs on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from rtevents.core.store import Store
from rtevents.stores.memory import MemoryStore
from rtevents.stores.redis import RedisStore
from rtevents.stores.sqlite import SQLiteStore
from tests.redis import RedisServer, running


class SetClock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 1_763_863_200.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis for all tests of this process; each has a log of its own there."""
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: SetClock
) -> AsyncIterator[Store]:
    """An empty log of each backend."""
    opened: Store
    if request.param == "memory":
        opened = MemoryStore(clock=clock)
    elif request.param == "redis":
        server = request.getfixturevalue("redis_server")
        opened = await RedisStore.open(server.url(uuid4().hex), clock=clock)
    else:
        opened = await SQLiteStore.open(path=tmp_path / "events.db", clock=clock)
    yield opened
    await opened.close()
