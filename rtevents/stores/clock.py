"""Clock: the time by which entries age."""

from __future__ import annotations

import time


class Clock:
    """
    Unix seconds that do not jump: the wall clock's when this was made, and steady from there on.

    A wall clock set forward by a year would make every entry too old to keep. Time in which the
    machine sleeps counts where the system can tell (``CLOCK_BOOTTIME``).
    """

    def __init__(self) -> None:
        self._offset = time.time() - _steady()

    def __call__(self) -> float:
        """Return the time, in unix seconds."""
        return self._offset + _steady()


def _steady() -> float:
    return time.clock_gettime(_STEADY)


_STEADY: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
