"""The spool: what the daemon's own producers tell waits on disk while the log is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from rtevents.config.settings import Config
from rtevents.core.event import Entry, Event, EventType
from rtevents.core.log import PAGE
from rtevents.core.logs import MAIN, Routes
from rtevents.core.service import SYSTEM_SOURCE, EventService
from rtevents.core.store import Store
from rtevents.errors import (
    EventConflict,
    EventRefused,
    LogClosed,
    StoreError,
    Unavailable,
)
from rtevents.stores import open_store

logger = logging.getLogger(__name__)


def open_spool(
    config: Config, service: EventService, store: Store, state: Path, log: str = MAIN
) -> LocalSpool:
    """Return the spool of a log as the configuration sets it: only a shared store may be away."""
    is_on = store.is_shared and config.on_engine_loss == "spool"
    return LocalSpool(
        service,
        state / ("spool.db" if log == MAIN else f"spool-{log}.db"),
        max_bytes=config.max_spool_bytes if is_on else 0,
        durability=config.durability,
    )


class LocalSpool:
    """
    Where what this machine's producers tell waits while a shared log does not answer.

    It is a log of its own beside the others, in SQLite: what is kept survives ``kill -9`` and
    power loss, as ``durability`` says. It is published in order when the log answers; an
    ``event_id`` that was stored all the same is stored once. While something waits, all that comes
    waits behind it.

    Args:
        service: Where events go.
        file: The spool's own database; it is there only while something waits.
        max_bytes: Bytes that wait, at most; 0 keeps nothing, and a producer waits with its batch.
        durability: As of a log.
    """

    def __init__(
        self, service: EventService, file: Path, *, max_bytes: int = 0, durability: str = "full"
    ) -> None:
        self._service = service
        self._file = file
        self.max_bytes = max_bytes
        """Bytes that may wait; 0 where nothing is kept."""
        self._durability = durability
        self.waiting = 0
        """Events that wait."""
        self.size_bytes = 0
        """Bytes that wait."""
        self._store: Store | None = None
        # The seq after which it is still to be published.
        self._position = 0
        self._is_full = False
        self._filled = asyncio.Event()
        # Held while something is kept or forgotten.
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Find what waited when the daemon ended before: what comes now waits behind it."""
        try:
            await self._open_what_is_left()
        except StoreError as error:
            logger.error("what waits in the spool cannot be read: %s", error)
            self._service.warnings["spool"] = str(error)

    async def publish(self, batch: Sequence[Event]) -> None:
        """
        Store a producer's batch, or keep it here, however long that takes.

        An event whose id is stored already with another body is left out: it was told before.

        Raises:
            EventRefused: One of them is not what its type demands.
            LogClosed: The daemon is stopping.
        """
        is_lost = False
        while batch:
            try:
                if is_lost or self.waiting:
                    # Whole, whatever becomes of the producer: what is on disk is known to wait.
                    if await asyncio.shield(self._keep(batch)):
                        return
                    await asyncio.sleep(1.0)
                    is_lost = False
                else:
                    await self._service.publish_many(batch)
                    return
            except EventConflict as conflict:
                batch = [event for event in batch if event.event_id != conflict.event_id]
            except LogClosed:
                raise
            except StoreError as error:
                is_lost = bool(self.max_bytes) and not is_lost
                if not is_lost:
                    await asyncio.sleep(error.retry_after)
            except Unavailable as error:
                await asyncio.sleep(error.retry_after)

    async def find(self, event_id: str) -> int | None:
        """
        Return a seq when the log has this id, or it waits here; None when it is not known.

        While the log does not answer, nobody knows: what is then told again is stored once.
        """
        async with self._turn:
            if self._store is not None:
                return await self._store.find(event_id)
        try:
            return await self._service.log.find(event_id)
        except LogClosed:
            raise
        except StoreError:
            if not self.max_bytes:
                raise
            return None

    async def run(self) -> None:
        """Publish what waits, whenever the log answers; runs until cancelled or the log ends."""
        with suppress(LogClosed):
            while True:
                await self._filled.wait()
                try:
                    await self._publish_page()
                except LogClosed:
                    raise
                except Unavailable as error:
                    await asyncio.sleep(error.retry_after)

    async def close(self) -> None:
        """End; what waits stays on disk."""
        async with self._turn:
            if self._store is not None:
                await self._store.close()
                self._store = None

    async def _open_what_is_left(self) -> None:
        async with self._turn:
            if not self._file.exists():
                return
            store = await self._open()
            bounds = await store.bounds()
            self._position = at = bounds.first - 1
            while at < bounds.last:
                page = await store.read(at, PAGE)
                self.size_bytes += _size([entry.event for entry in page.entries])
                at = page.looked
            await self._look(store)

    async def _open(self) -> Store:
        if self._store is None:
            self._store = await open_store("sqlite", path=self._file, durability=self._durability)
            self._position = self.size_bytes = 0
        return self._store

    async def _keep(self, batch: Sequence[Event]) -> bool:
        """
        Keep a batch on disk; return whether there was room.

        Raises:
            EventConflict: One of the ids waits here already, with another body.
            StoreError: The disk does not take it.
        """
        self._service.types.check_all(batch)
        size = _size(batch)
        async with self._turn:
            if self.size_bytes + size > self.max_bytes:
                await self._tell_full()
                return False
            await self._append(batch, size)
            return True

    async def _append(self, batch: Sequence[Event], size: int) -> None:
        store = await self._open()
        [answer] = await store.append([batch])
        if isinstance(answer, EventConflict):
            raise answer
        self.size_bytes += size
        await self._look(store)

    async def _tell_full(self) -> None:
        """Have the stream tell, in its place, from when on producers had to wait."""
        if self._is_full:
            return
        self._is_full = True
        reason = (
            f"the spool is full, {self.waiting} events wait for the log: what changes from here on "
            "is told by its net effect"
        )
        logger.error("%s", reason)
        data = {"status": "degraded", "event": "spool.full", "reasons": [reason]}
        told = Event(type=EventType.SYSTEM_STATUS, data=data, source=SYSTEM_SOURCE)
        await self._append([told], len(told.body))

    async def _publish_page(self) -> None:
        store = self._store
        if store is None:
            return
        page = await store.read(self._position, PAGE)
        size = _size([entry.event for entry in page.entries])
        await self._publish([entry.event for entry in page.entries if not _is_corrupt(entry)])
        async with self._turn:
            self._position = page.looked
            self.size_bytes -= size
            if await self._look(store):
                await store.retain(self.waiting, 0, 0)
            else:
                await store.close()
                self._store = None
                await asyncio.to_thread(self._unlink)

    async def _publish(self, events: list[Event]) -> None:
        """Publish what waited; what the log has with another body was told before."""
        while events:
            try:
                await self._service.publish_many(events)
                return
            except EventRefused as error:
                refused = events.pop(error.index or 0)
                if not isinstance(error, EventConflict):
                    logger.error("%s waited and is refused: %s", refused.event_id, error)

    async def _look(self, store: Store) -> int:
        """Know how many events wait, and have the health tell it."""
        self.waiting = max(0, (await store.bounds()).last - self._position)
        warnings = self._service.warnings
        if self.waiting:
            full = f"; it is full, at {self.max_bytes} bytes: producers wait"
            warnings["spool"] = (
                f"{self.waiting} events of this machine wait for the log"
                f"{full if self._is_full else ''}"
            )
            self._filled.set()
        else:
            self._is_full = False
            warnings.pop("spool", None)
            self._filled.clear()
        return self.waiting

    def _unlink(self) -> None:
        # The database last: what is left of one that is gone would be taken for the next one's.
        for each in sorted(self._file.parent.glob(f"{self._file.name}*"), reverse=True):
            each.unlink(missing_ok=True)


class Spools:
    """
    The spool of each log; used as ``async with spools``.

    Args:
        routes: Which log has which project.
        each: Each log's, by its name.
    """

    def __init__(self, routes: Routes, each: Mapping[str, LocalSpool]) -> None:
        self.each = each
        self._routes = routes

    async def __aenter__(self) -> Self:
        for spool in self.each.values():
            await spool.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        for spool in self.each.values():
            await spool.close()

    def of(self, project_id: str | None) -> LocalSpool:
        """Return the spool of a project's log."""
        return self.each[self._routes.log_of(project_id)]


def _size(events: Sequence[Event]) -> int:
    return sum(len(event.body) for event in events)


def _is_corrupt(entry: Entry) -> bool:
    return entry.wire.endswith(b'"corrupt":true}')
