"""Delivery: what publishers kept on disk is published, each log's apart from the others'."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import NamedTuple

from rtevents.client.spool import read
from rtevents.core.logs import MAIN, Logs
from rtevents.errors import LogClosed, RteventsError, Unavailable

logger = logging.getLogger(__name__)

INTERVAL = 5.0
"""Seconds between two looks into the spool."""

WARNING = "kept"
"""What a log's health calls the events that wait for it."""


async def deliver(logs: Logs, folder: Path) -> None:
    """
    Publish what waits in `folder`, and look again every few seconds.

    Events of one log go in the order in which they were kept; a log that is away, or slow, holds up
    no other. Runs until cancelled, or until the daemon stops.
    """
    delivery = _Delivery(logs, folder)
    while True:
        if not await delivery.look():
            return
        await asyncio.sleep(INTERVAL)


class _Waiting(NamedTuple):
    """What could not be published of one log: how many events, and why."""

    log: str
    events: int
    error: Unavailable | OSError


class _Delivery:
    """What was found in the spool, from one look to the next."""

    def __init__(self, logs: Logs, folder: Path) -> None:
        self._logs = logs
        self._folder = folder
        # The log of what waits, by the file's name: it is not read at every look.
        self._known: dict[str, str] = {}

    async def look(self) -> bool:
        """Publish what waits; return whether there is to be another look."""
        try:
            each = await asyncio.to_thread(self._sort)
        except OSError as error:
            logger.warning("the spool waits: %s", error)
            return True
        left = await asyncio.gather(*(self._deliver(log, files) for log, files in each.items()))
        waiting = [found for found in left if found is not None]
        if any(isinstance(found.error, LogClosed) for found in waiting):
            return False
        self._tell(waiting)
        return True

    def _sort(self) -> dict[str, list[Path]]:
        """Return the files of each log, the oldest first."""
        files = sorted(self._folder.glob("*.json"))
        if len(self._logs.services) == 1:
            return {MAIN: files}
        before, self._known = self._known, {}
        each: dict[str, list[Path]] = {}
        for file in files:
            log = before.get(file.name) or self._log_of(file)
            if log is not None:
                self._known[file.name] = log
            each.setdefault(log or MAIN, []).append(file)
        return each

    def _log_of(self, file: Path) -> str | None:
        """Return the log of what is kept in a file; None for what cannot be read."""
        try:
            return self._logs.routes.log_of(read(file).project_id)
        except (RteventsError, OSError):
            return None  # told when it is its turn

    async def _deliver(self, log: str, files: list[Path]) -> _Waiting | None:
        """Publish files of one log; return what waits when it takes no more."""
        for done, file in enumerate(files):
            try:
                await self._deliver_one(file)
            except (Unavailable, OSError) as error:
                return _Waiting(log, len(files) - done, error)
        return None

    async def _deliver_one(self, file: Path) -> None:
        """
        Publish what is kept in a file; it is set aside when it never can be.

        Raises:
            Unavailable, OSError: It can be, another time.
        """
        try:
            event = await asyncio.to_thread(read, file)
            await self._logs.publish(event)
        except FileNotFoundError:
            return  # a publisher delivered it itself
        except Unavailable:
            raise
        except (RteventsError, PermissionError, IsADirectoryError) as error:
            logger.warning("%s is set aside: %s", file.name, error)
            await asyncio.to_thread(_set_aside, file)
        else:
            await asyncio.to_thread(file.unlink, missing_ok=True)

    def _tell(self, waiting: list[_Waiting]) -> None:
        """Say in one line, and in each log's health, what waits."""
        for service in self._logs.services.values():
            service.warnings.pop(WARNING, None)
        for each in waiting:
            self._logs.services[each.log].warnings[WARNING] = (
                f"{each.events} events of publishers wait on disk for this log"
            )
        if waiting:
            told = (f"{each.events} events for {each.log} ({each.error})" for each in waiting)
            logger.warning("the spool waits: %s", ", ".join(told))


def _set_aside(file: Path) -> None:
    """Keep what cannot be delivered: a person may want to look at it."""
    file.replace(file.with_suffix(".bad"))
