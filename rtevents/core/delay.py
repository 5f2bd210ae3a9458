"""Delays: how long entries are on their way, from who publishes them to who follows."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque

BOUNDS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Upper bounds of the buckets, in seconds."""

KEPT = 4096
"""Transactions of which it is remembered when they came: more than wait for a group's round."""


class Histogram:
    """How long something took, as counts in buckets, and their sum."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0
        """Seconds, of all of them."""

    def add(self, seconds: float) -> None:
        """Note that something took `seconds`."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> list[tuple[str, int]]:
        """Return how many took at most so long, for each bound; the last is ``+Inf``."""
        found, seen = [], 0
        for bound, count in zip([*map(str, BOUNDS), "+Inf"], self.counts, strict=True):
            seen += count
            found.append((bound, seen))
        return found


class Delays:
    """
    How long it takes from a publisher's call until the entry is written to who follows.

    Counted once for each transaction and group of readers: not for each event, nor for each reader.
    """

    def __init__(self) -> None:
        self.histogram = Histogram()
        self._came: deque[tuple[int, float]] = deque(maxlen=KEPT)

    def came(self, last: int, begun: float) -> None:
        """
        Note a transaction.

        Args:
            last: The seq of its last entry.
            begun: When the first of its publishers called, by ``time.monotonic``.
        """
        # What was stored before, and is only published again, moves nothing.
        if not self._came or self._came[-1][0] != last:
            self._came.append((last, begun))

    def delivered(self, after: int, until: int) -> None:
        """Note that a group wrote the entries after `after`, up to `until`."""
        now = time.monotonic()
        for last, begun in reversed(self._came):
            if last <= after:
                break
            if last <= until:
                self.histogram.add(now - begun)
