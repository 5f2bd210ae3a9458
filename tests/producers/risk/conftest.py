"""What the tests of the rules share: a log, a clock that can be set, and who reads the log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rtevents.config.risks import RiskRuleSettings, RiskSettings
from rtevents.config.settings import Config
from rtevents.core.event import Entry, Event
from rtevents.core.filter import Filter
from rtevents.core.service import EventService
from rtevents.core.store import Page
from rtevents.producers import Known, Own
from rtevents.producers import risk as module
from rtevents.producers.commit import build
from rtevents.producers.repository import Repository
from rtevents.producers.risk import RiskProducer
from rtevents.stores.memory import MemoryStore

RISKS = Filter(types=frozenset({"RISK_ALERT"}))

BEGIN = 1_800_000_000.0
"""When the clock of these tests begins: a Friday, 8:00 UTC."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait for what the clock of the test decides."""
    for name in ("GATHER_SECONDS", "TIME_SECONDS", "WORK_SECONDS", "FIRST_LOOK"):
        monkeypatch.setattr(module, name, 0.0)
    monkeypatch.setattr(module, "TICK", 0.01)


class Watcher:
    """
    A log whose risks are watched, as the daemon does it.

    Args:
        places: Where the producer keeps its place.
        settings: The rules.
        projects: What is watched.
    """

    def __init__(self, places: Path, settings: RiskSettings, projects: Sequence[Known]) -> None:
        self.now = BEGIN
        self.settings = settings
        self.projects = list(projects)
        self.places = places
        self.service = EventService(MemoryStore(), event_retention=100_000, max_queue_size=5000)
        self.service.types.add("REF_UPDATE", None)  # the daemon has it of the git producer
        self.producer: RiskProducer | None = None
        self._task: asyncio.Task[None] | None = None

    async def watch(self) -> None:
        """Begin to watch, and return when it does."""
        own = Own(
            service=self.service,
            config=Config(),
            checks=[],
            places=self.places,
            risks=lambda: self.settings,
            projects=lambda: self.projects,
        )
        self.producer = RiskProducer(own, lambda: self.now)
        self._task = asyncio.create_task(self._run(self.producer))
        ready = asyncio.create_task(self.producer.ready.wait())
        async with asyncio.timeout(30):
            await asyncio.wait([ready, self._task], return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():
            self._task.result()

    async def kill(self) -> None:
        """End it as a crash does: nothing is kept on the way."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, producer: RiskProducer) -> None:
        async with aclosing(producer.events()) as batches:
            async for batch in batches:
                await self.service.publish_many(batch)

    async def tell(self, *events: Event) -> None:
        """Publish events, and return when they were looked at."""
        if events:
            await self.service.publish_many(list(events))
        await self.settled()

    async def later(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        await self.settled()

    async def settled(self) -> None:
        """Return when everything was looked at, and what it led to was told and looked at."""
        assert self.producer is not None
        assert self._task is not None
        async with asyncio.timeout(60):
            rounds = 0
            while rounds < 2:
                before = self.service.log.last
                # Twice round: the round that is going on may have begun before the clock was set.
                for _ in range(2):
                    self.producer.seen = -1
                    while self.producer.seen < before:
                        if self._task.done():
                            self._task.result()
                        await asyncio.sleep(0.001)
                rounds = rounds + 1 if self.service.log.last == before else 0

    async def entries(self, wanted: Filter = RISKS) -> list[Entry]:
        """Return what is in the log."""
        found: list[Entry] = []
        after = 0
        while after < self.service.log.last:
            page = await self.service.log.read(after, wanted)
            assert isinstance(page, Page)
            found += page.entries
            after = page.looked
        return found

    async def told(self) -> list[tuple[str, str]]:
        """Return the rule and the state of each RISK_ALERT."""
        data = [entry.event.data for entry in await self.entries()]
        return [(each["rule"], each["state"]) for each in data]

    async def data(self) -> list[dict[str, Any]]:
        """Return what each RISK_ALERT says."""
        return [entry.event.data for entry in await self.entries()]

    async def told_of(self, rule: str) -> list[str]:
        """Return the states that were told of what a rule found."""
        data = [entry.event.data for entry in await self.entries()]
        return [each["state"] for each in data if each.get("rule") == rule]

    async def alert(self, at: int = -1) -> Event:
        """Return one of the RISK_ALERTs."""
        return (await self.entries())[at].event

    def event(self, kind: str, after: float = 0.0, **data: Any) -> Event:
        """Return an event of project ``web``, so many seconds after the clock's time."""
        self.now += after
        return Event(type=kind, data=data, timestamp=self.now, project_id="web", source="test")

    def commits(self, root: Path, shas: Sequence[str]) -> list[Event]:
        """Return the COMMIT events of real commits, as the git producer makes them."""
        told = Repository(root, 60.0).describe(shas)
        return [build(each, "web", branch="main") for each in told]


Watch = Callable[..., AbstractAsyncContextManager[Watcher]]


@pytest.fixture
def watched(tmp_path: Path) -> Watch:
    """Return what opens a watcher: `rules` of one's own, `root` of project ``web``, settings."""

    @asynccontextmanager
    async def opened(
        *rules: RiskRuleSettings, root: Path | None = None, **settings: Any
    ) -> AsyncIterator[Watcher]:
        places = tmp_path / "risk-places"
        places.mkdir(exist_ok=True)
        projects = [Known("web", root, is_repository=True)] if root else []
        watcher = Watcher(places, RiskSettings(rules=list(rules), **settings), projects)
        async with watcher.service:
            await watcher.watch()
            try:
                yield watcher
            finally:
                await watcher.kill()

    return opened


def of_now(events: Iterable[Event], now: float) -> list[Event]:
    """Return events as if they happened now."""
    import msgspec

    return [msgspec.structs.replace(event, timestamp=now) for event in events]


def real_now() -> float:
    """Return this machine's time: real commits have it."""
    return time.time()
