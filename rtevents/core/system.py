"""What a service tells of its own store and clock: in its health, its logs and the stream."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from rtevents.core.clock import Clock
from rtevents.core.log import Log
from rtevents.core.store import Store
from rtevents.errors import EventConflict, Unavailable

logger = logging.getLogger(__name__)

Tell = Callable[[dict[str, Any], str], Awaitable[None]]
"""Publishes a SYSTEM_STATUS: its data, and its id; "" gives it a new one."""


class System:
    """
    The store and the clock of a service, as they are told of.

    Args:
        store: The store.
        log: The log over it.
        warnings: Where what is amiss is told, by the name of what it concerns.
        tell: Tells something in the stream.
    """

    def __init__(self, store: Store, log: Log, warnings: dict[str, str], tell: Tell) -> None:
        self._store = store
        self._log = log
        self._warnings = warnings
        self._tell = tell
        self._clock = Clock()

    def tell_weaknesses(self) -> None:
        """Say aloud, in the log once and in the health, where the store promises less than P1."""
        reason = "; ".join(self._store.weaknesses)
        if reason and self._warnings.get("store.weak") != reason:
            logger.warning("the store may lose what it answered: %s", reason)
        if reason:
            self._warnings["store.weak"] = reason
        else:
            self._warnings.pop("store.weak", None)

    async def tell_notes(self) -> None:
        """
        Tell what the store has to say of itself, in the health and in the stream.

        Raises:
            Unavailable: It cannot be told now; it is told when this is called again.
        """
        notes = self._store.notes
        if notes:
            await self._log.refresh()
        while notes:
            note = notes[0]
            self._warnings[note.event] = note.reason
            data = {"status": "degraded", "event": note.event, "reasons": [note.reason]}
            with suppress(EventConflict):  # told by another daemon, in other words
                await self._tell(data, note.event_id)
            notes.pop(0)

    async def tell_clock(self) -> None:
        """Tell when the wall clock was set: what events say of their time is to be read so."""
        if not (seconds := self._clock.jumped()):
            return
        reason = f"the clock was set by {seconds:+.0f} s"
        logger.warning(reason)
        metrics = {"seconds": seconds}
        # Not stored now is not stored: it would be told too late.
        with suppress(Unavailable):
            await self._tell(
                {"status": "ok", "event": "clock_jump", "reasons": [reason], "metrics": metrics}, ""
            )
