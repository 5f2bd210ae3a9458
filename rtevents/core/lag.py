"""Lag: how late the event loop comes to what is due."""

from __future__ import annotations

import asyncio
import time
from collections import deque

SAMPLE_SECONDS = 0.5
"""Seconds between two looks."""

KEPT = 120
"""Looks that count: those of the last minute."""


class Lag:
    """The lag of an event loop over the last minute: what blocks it, blocks everybody."""

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=KEPT)

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            begun = time.monotonic()
            await asyncio.sleep(SAMPLE_SECONDS)
            self._late.append(time.monotonic() - begun - SAMPLE_SECONDS)

    def milliseconds(self) -> float:
        """Return by how much it was late, at most."""
        return round(max(0.0, *self._late, 0.0) * 1000, 1)
