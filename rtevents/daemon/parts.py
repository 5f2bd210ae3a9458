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
from rtevents.core.service import EventService
from rtevents.core.store import Retention, Store
from rtevents.daemon.own import thresholds
from rtevents.daemon.spool import Spools, open_spool
from rtevents.errors import ConfigError, StoreError
from rtevents.stores import open_store, store_name

LOOK_SECONDS = 1.0
"""Seconds between two looks at how the further logs are."""


class Parts:
    """
    Each log of the daemon, by its name; the main one first.

    Args:
        config: Names them.
        services: Each log's.
        stores: Each log's.
        state: The state directory.
    """

    def __init__(
        self,
        config: Config,
        services: Mapping[str, EventService],
        stores: Mapping[str, Store],
        state: Path,
    ) -> None:
        self.services = services
        self.stores = stores
        self.routes = Routes({each.name: each.projects for each in config.logs})
        self.logs = Logs(self.routes, services)
        spools = {
            name: open_spool(config, service, stores[name], state, name)
            for name, service in services.items()
        }
        self.spools = Spools(self.routes, spools)
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
        """Return what is to be told of each log: its name, store, durability and projects."""
        logs = [PartSettings(name=MAIN, projects=[], store=self._config.store), *self._config.logs]
        return [
            {
                "name": each.name,
                "store": store_name(each.store),
                "durability": self.durability(each.name),
                "projects": each.projects,
            }
            for each in logs
        ]

    def durability(self, name: str) -> str:
        """Return what a log survives: ``full``, ``normal``, or what is not known (``weak``)."""
        store = self.stores[name]
        if not store.is_shared:
            return self._config.durability
        # What a store that daemons share promises is not ours to set: the health tells why.
        return "weak" if store.weaknesses else "full"

    async def watch(self) -> None:
        """Let the main log's health tell what is amiss with the others, until cancelled."""
        while True:
            for name, service in self.others.items():
                health = service.health()
                if health.reasons:
                    self.main.elsewhere[f"log {name}"] = "; ".join(health.reasons)
                else:
                    self.main.elsewhere.pop(f"log {name}", None)
            await asyncio.sleep(LOOK_SECONDS)


async def open_parts(config: Config, paths: Paths, types: EventTypes, *, strict: bool) -> Parts:
    """
    Open every log; none accepts events yet.

    Args:
        strict: Refuse a log that is damaged, rather than put it aside and begin a new one.
    Raises:
        ConfigError: One of the stores cannot be used, or two of them are the same log.
        StoreError: One of them cannot be opened; the text names the log.
    """
    stores: dict[str, Store] = {}
    try:
        stores[MAIN] = await open_store(
            config.store, path=paths.database, durability=config.durability, strict=strict
        )
        for part in config.logs:
            stores[part.name] = await _open(config, paths, part, strict=strict)
            _refuse_same(part.name, stores, paths)
    except BaseException:
        for store in stores.values():
            await store.close()
        raise
    settings = {part.name: part for part in config.logs}
    services = {
        name: _service(config, store, types, settings.get(name)) for name, store in stores.items()
    }
    return Parts(config, services, stores, paths.state)


async def _open(config: Config, paths: Paths, part: PartSettings, *, strict: bool) -> Store:
    try:
        return await open_store(
            part.store, path=paths.log_file(part.name), durability=config.durability, strict=strict
        )
    except StoreError as error:
        raise StoreError(f"log {part.name}: {error}") from error


def _refuse_same(name: str, stores: Mapping[str, Store], paths: Paths) -> None:
    """
    Look whether a log that was opened is another one under a second name.

    Each event would be told twice, and a bookmark names a log by its epoch.

    Raises:
        ConfigError: It is.
    """
    epoch = stores[name].epoch
    for other, store in stores.items():
        if other == name or store.epoch != epoch:
            continue
        own = next((each for each in (name, other) if not stores[each].is_shared), None)
        if own is None:
            raise ConfigError(
                f"logs: {other!r} and {name!r} are one log, {epoch}, and each event would come "
                "twice: give one of them another ?log=NAME, or take it out",
                field="logs",
            )
        raise ConfigError(
            f"logs: {other!r} and {name!r} are one log, {epoch}, copied or moved, and each event "
            f"would come twice: put {paths.log_file(own)} away, and a new one begins (a copy made "
            "by `rtevents backup` is a log of its own)",
            field="logs",
        )


def _service(
    config: Config, store: Store, types: EventTypes, part: PartSettings | None
) -> EventService:
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
