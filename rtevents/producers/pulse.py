"""Pulse: whether this process, or the machine, was asleep."""

from __future__ import annotations

import time

LATE = 1.0
"""Seconds that a wait may take longer than it should before the process is said to have slept."""

JUMP = 2.0
"""Seconds that the clock may drift between two looks before it is said to have been set."""

_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""The clock that goes on while the machine is suspended; only Linux has it."""


class Pulse:
    """
    Compares the clocks: what happened while this process did not look may not have been hinted at.

    Args:
        wait: Seconds that a wait between two calls takes at most.
    """

    def __init__(self, wait: float) -> None:
        self._wait = wait
        self._last = self._now()

    def begin(self) -> None:
        """Note the clocks before a wait."""
        self._last = self._now()

    def missed(self) -> str | None:
        """Return what came between since ``begin``; None when nothing did."""
        before, self._last = self._last, self._now()
        awake, passed, told = (now - then for now, then in zip(self._last, before, strict=True))
        if passed - awake > LATE:
            return "the machine was suspended"
        if awake > self._wait + LATE:
            return "the daemon was stopped"
        if abs(told - passed) > JUMP:
            return "the clock was set"
        return None

    @staticmethod
    def _now() -> tuple[float, float, float]:
        return time.monotonic(), time.clock_gettime(_BOOT), time.time()
