"""Parts: the logs of the daemon, that of `store` and those that some projects have of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from rtevents.config.logs import PartSettings
from rtevents.config.paths import Paths
from rtevents.config.settings import Config
from rtevents.core.logs import MAIN, Logs, Routes
from rtevents.core.payloads import EventTypes
from rtevents.core.service import EventService, Retention
from rtevents.daemon.own import thresholds
from rtevents.errors import StoreError
from rtevents.stores import open_store, store_name

LOOK_SECONDS = 1.0
"""Seconds between two looks at how the further logs are."""


class Parts:
    """
    Each log of the daemon, by its name; the main one first.

    Args:
        config: Names them.
        services: Each log's.
    """

    def __init__(self, config: Config, services: Mapping[str, EventService]) -> None:
        self.services = services
        self.routes = Routes({each.name: each.projects for each in config.logs})
        self.logs = Logs(self.routes, services)
        self._config = config

    @property
    def main(self) -> EventService:
        """The one that has what no other has."""
        return self.services[MAIN]

    @property
    def others(self) -> dict[str, EventService]:
        """Those that some projects have of their own."""
        return {name: each for name, each in self.services.items() if name != MAIN}

    def take_on(self, config: Config) -> None:
        """Keep as much as another configuration says; the logs themselves stay what they are."""
        settings = {each.name: each for each in config.logs}
        for name, service in self.services.items():
            service.retention = _retention(config, settings.get(name))

    def told(self) -> list[dict[str, Any]]:
        """Return what is to be told of each log: its name, its store and its projects."""
        main = {"name": MAIN, "store": store_name(self._config.store), "projects": []}
        return [main] + [
            {"name": each.name, "store": store_name(each.store), "projects": each.projects}
            for each in self._config.logs
        ]

    async def watch(self) -> None:
        """Let the main log's health tell what is amiss with the others, until cancelled."""
        while True:
            for name, service in self.others.items():
                health = service.health()
                if health.status == "ok":
                    self.main.warnings.pop(f"log {name}", None)
                else:
                    reasons = "; ".join(health.reasons)
                    self.main.warnings[f"log {name}"] = reasons
            await asyncio.sleep(LOOK_SECONDS)


async def open_parts(config: Config, paths: Paths, types: EventTypes, *, strict: bool) -> Parts:
    """
    Open every log; none accepts events yet.

    Args:
        strict: Refuse a log that is damaged, rather than put it aside and begin a new one.
    Raises:
        ConfigError: One of the stores cannot be used.
        StoreError: One of them cannot be opened; the text names the log.
    """
    services = {MAIN: await _open(config, paths.database, types, None, strict=strict)}
    try:
        for each in config.logs:
            path = paths.database.with_name(f"events-{each.name}.db")
            services[each.name] = await _open(config, path, types, each, strict=strict)
    except BaseException:
        for service in services.values():
            await service.stop()
        raise
    return Parts(config, services)


async def _open(
    config: Config, path: Path, types: EventTypes, part: PartSettings | None, *, strict: bool
) -> EventService:
    url = part.store if part else config.store
    try:
        store = await open_store(url, path=path, durability=config.durability, strict=strict)
    except StoreError as error:
        if part is None:
            raise
        raise StoreError(f"log {part.name}: {error}") from error
    return EventService(
        store,
        max_queue_size=config.max_queue_size,
        max_queue_bytes=config.max_queue_bytes,
        event_retention=config.event_retention,
        window_bytes=config.window_bytes,
        cleanup_timeout=config.cleanup_timeout,
        heartbeat_interval=config.heartbeat_interval,
        queue_timeout=config.queue_timeout,
        retention=_retention(config, part),
        types=types,
        thresholds=thresholds(config.health),
    )


def _retention(config: Config, part: PartSettings | None) -> Retention:
    """Return what a log is to keep: as all, but for what it says itself."""
    kept: dict[str, Any] = msgspec.structs.asdict(config.retention)
    own = msgspec.structs.asdict(part.retention) if part else {}
    return Retention(**kept | {name: value for name, value in own.items() if value is not None})
