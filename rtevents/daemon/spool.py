"""The spool: events that waited on disk for the daemon to be back."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from rtevents.client.spool import read
from rtevents.core.logs import Logs
from rtevents.errors import EventConflict, RteventsError, Unavailable

logger = logging.getLogger(__name__)

INTERVAL = 5.0
"""Seconds between two looks into the spool."""


async def deliver(logs: Logs, folder: Path) -> None:
    """Publish what waits in `folder`, and look again every few seconds; runs until cancelled."""
    while True:
        try:
            await _deliver_once(logs, folder)
        except (Unavailable, OSError) as error:
            logger.warning("the spool waits: %s", error)
        await asyncio.sleep(INTERVAL)


async def _deliver_once(logs: Logs, folder: Path) -> None:
    for file in sorted(await asyncio.to_thread(_list, folder)):
        try:
            event = await asyncio.to_thread(read, file)
            await logs.publish(event)
        except FileNotFoundError:
            continue  # a publisher delivered it itself
        except EventConflict as error:
            logger.warning("%s: %s", file.name, error)
            _set_aside(file)
            continue
        except Unavailable:
            raise
        except (RteventsError, PermissionError, IsADirectoryError) as error:
            logger.warning("%s is set aside: %s", file.name, error)
            _set_aside(file)
            continue
        file.unlink(missing_ok=True)


def _list(folder: Path) -> list[Path]:
    return list(folder.glob("*.json"))


def _set_aside(file: Path) -> None:
    """Keep what cannot be delivered: a person may want to look at it."""
    file.replace(file.with_suffix(".bad"))
