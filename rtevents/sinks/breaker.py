"""Breaker: the pauses between attempts, and the rest when they fail again and again."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Literal

LONGEST_REST = 600.0
"""Longest rest, in seconds."""

State = Literal["closed", "open", "half-open"]


class Breaker:
    """
    Counts failures in a row, and keeps the pause after each.

    Args:
        failures: How many open it; 0 for never.
        pause: Seconds of the first rest; each is twice as long as the one before.
    """

    def __init__(self, failures: int, pause: float) -> None:
        self._most = failures
        self._first = pause
        self._pause = pause
        self._until = 0.0
        self._woken = asyncio.Event()
        self.failures = 0
        """Failures in a row."""
        self.state: State = "closed"
        """``open`` while it rests, ``half-open`` while one attempt is made."""

    @property
    def left(self) -> float:
        """Seconds until the next attempt."""
        return max(0.0, self._until - asyncio.get_running_loop().time())

    async def admit(self) -> None:
        """Return when an attempt may be made."""
        while (left := self.left) > 0:
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._woken.wait()
        if self.state == "open":
            self.state = "half-open"

    def reset(self) -> None:
        """Know that an attempt succeeded, or that one is to be made now."""
        self.failures, self._pause, self._until = 0, self._first, 0.0
        self.state = "closed"
        self._woken.set()

    def failed(self, pause: float) -> None:
        """
        Know that an attempt failed.

        Args:
            pause: Seconds before the next one, at least.
        """
        self.failures += 1
        if self._most and self.failures >= self._most:
            self.state = "open"
            pause = max(pause, jittered(self._pause))
            self._pause = min(LONGEST_REST, self._pause * 2)
        self._until = asyncio.get_running_loop().time() + pause


def jittered(seconds: float) -> float:
    """Return a pause of about so long: many that failed together do not come back together."""
    return seconds * random.uniform(0.75, 1.25)  # noqa: S311 - not a secret
