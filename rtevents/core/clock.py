"""Clock: the time by which entries age."""

from __future__ import annotations

import time

JUMP = 2.0
"""Seconds that a wall clock is off at once before it is said to have been set."""


class Clock:
    """
    Unix seconds that do not jump: the wall clock's when this was made, and steady from there on.

    A wall clock set forward by a year would make every entry too old to keep. Time in which the
    machine sleeps counts where the system can tell (``CLOCK_BOOTTIME``).
    """

    def __init__(self) -> None:
        self._offset = self._told = time.time() - _steady()

    def __call__(self) -> float:
        """Return the time, in unix seconds."""
        return self._offset + _steady()

    def jumped(self) -> float:
        """Return the seconds by which the wall clock was set since this was asked; 0 for none."""
        before, self._told = self._told, time.time() - _steady()
        return self._told - before if abs(self._told - before) > JUMP else 0.0


def latest() -> float:
    """
    Return unix seconds by the wall clock, or by one that is never set if that is ahead.

    What ends at a moment has ended by then: a wall clock that is set back makes nothing last
    longer, and one that is set ahead may be right.
    """
    return max(time.time(), _since_start())


def _steady() -> float:
    return time.clock_gettime(_STEADY)


_STEADY: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_since_start = Clock()
