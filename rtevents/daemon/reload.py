"""Reload: what of a changed configuration a running daemon takes on; all of it, or nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from rtevents.config.load import read
from rtevents.config.paths import Paths
from rtevents.config.settings import Config
from rtevents.core.event import Event, EventType
from rtevents.core.service import SYSTEM_SOURCE
from rtevents.daemon.access import load_issuers, take_on
from rtevents.daemon.check import check
from rtevents.daemon.notify import Notifier
from rtevents.daemon.parts import Parts
from rtevents.daemon.projects import Projects
from rtevents.daemon.sinks import Sinks
from rtevents.daemon.types import OwnTypes
from rtevents.errors import ConfigError, RteventsError
from rtevents.server.guard import Guard
from rtevents.server.tls import Certificate

logger = logging.getLogger(__name__)

LIVE = (
    "auto_commit", "event_types", "files", "git", "hosts", "issuers", "limits", "log_level",
    "origins", "projects", "retention", "risks", "sinks",
)  # fmt: skip
"""The settings that a running daemon takes on; the others are read when it starts."""


class Reload:
    """
    Reads the configuration again.

    Args:
        config: The settings in force.
        environ: The variables that come before the file.
    """

    def __init__(
        self,
        config: Config,
        paths: Paths,
        *,
        parts: Parts,
        guard: Guard,
        projects: Projects,
        sinks: Sinks,
        types: OwnTypes,
        certificate: Certificate | None,
        notifier: Notifier,
        environ: Mapping[str, str],
    ) -> None:
        self._config = config
        self._environ = environ
        self._paths = paths
        self._parts = parts
        self._service = parts.main
        self._guard = guard
        self._projects = projects
        self._sinks = sinks
        self._types = types
        self._certificate = certificate
        self._notifier = notifier
        self._turn = asyncio.Lock()
        self._has_file = paths.config.exists()

    async def __call__(self) -> dict[str, Any]:
        """
        Take on what has changed, and tell it in the stream.

        Returns:
            The names of what changed, and what is not watched, in words.
        Raises:
            ConfigError: A setting cannot be used, or not while the daemon runs; nothing changed.
        """
        async with self._turn:
            self._notifier.tell_reloading()
            try:
                changed, warnings = await self._take_on()
            except RteventsError as error:
                reason = f"the configuration is refused, the one before goes on: {error}"
                logger.error("%s", reason)
                self._service.warn("config", reason)
                await self._tell("config.refused", [str(error)])
                raise
            finally:
                self._notifier.tell("READY")
            self._service.warn("config", None)
            names = ", ".join(changed) or "nothing"
            logger.info("the configuration was read again: %s changed", names)
            await self._tell("config.reloaded", [f"{name} changed" for name in changed] + warnings)
            return {"changed": changed, "warnings": warnings}

    async def follow(self, asked: asyncio.Event) -> None:
        """Do it whenever it is asked for, until cancelled."""
        while True:
            await asked.wait()
            asked.clear()
            with suppress(RteventsError):  # it has been told
                await self()

    async def _take_on(self) -> tuple[list[str], list[str]]:
        # A file that is away for a moment, as while it is written anew, is no empty one.
        loaded = await asyncio.to_thread(read, self._paths, self._environ, named=self._has_file)
        # In a thread too: it looks for folders, which may be on a disk that has gone.
        warnings = [*loaded.warnings, *await asyncio.to_thread(check, loaded, is_running=True)]
        config = loaded.config
        fields = (field.name for field in msgspec.structs.fields(Config))
        changed = [name for name in fields if getattr(config, name) != getattr(self._config, name)]
        if fixed := [name for name in changed if name not in LIVE]:
            raise ConfigError(
                f"{', '.join([loaded.where(fixed[0]), *fixed[1:]])}: can only change when the "
                "daemon starts: rtevents stop, then rtevents serve",
                field=fixed[0],
            )
        # What can still be refused comes first, what changes nothing before all.
        issuers = load_issuers(config)
        if self._certificate and self._certificate.load():
            changed.append("tls")
        self._types.reload(config)
        take_on(self._guard, config, issuers)
        self._parts.take_on(config)
        logging.getLogger().setLevel(config.log_level.upper())
        warnings += await self._projects.reload(config)
        secrets, refused = await self._sinks.reload(config)
        changed += [f"secrets of sink {name}" for name in secrets]
        warnings += refused
        self._config = config
        self._has_file = self._paths.config.exists()
        return changed, warnings

    async def _tell(self, what: str, reasons: list[str]) -> None:
        health = self._service.health()
        data = {"status": health.status, "event": what, "reasons": reasons}
        status = Event(type=EventType.SYSTEM_STATUS, data=data, source=SYSTEM_SOURCE)
        try:
            await self._service.publish(status)
        except RteventsError as error:
            logger.warning("not told in the stream: %s", error)
