"""Pace: how fast something goes on, by what it did recently."""

from __future__ import annotations

import msgspec

MOST = 50
"""Most samples that are looked at: the newest."""


class Pace(msgspec.Struct, array_like=True):
    """
    How much was done when.

    The rate is the median of the slopes between each two samples (Theil and Sen): a few that are
    far off, as when somebody ticks off a week's work at once, do not move it.

    Args:
        samples: Pairs of a time in seconds and what was done by then, the oldest first.
    """

    samples: list[tuple[float, float]] = []

    def note(self, now: float, done: float, *, apart: float, within: float) -> None:
        """
        Take a sample.

        Args:
            now: A time in seconds.
            done: What is done by now.
            apart: Seconds between two samples at least: what comes sooner changes the last one.
            within: Seconds after which a sample is too old.
        """
        kept = [each for each in self.samples if now - within <= each[0] <= now]
        if kept and now - kept[-1][0] < apart:
            kept[-1] = (kept[-1][0], done)
        else:
            kept.append((now, done))
        self.samples = kept[-MOST:]

    def rate(self, least: int = 3) -> float | None:
        """
        Return units per second; None when it does not go on, or there is too little to tell.

        Args:
            least: Fewest samples from which something is told.
        """
        if len(self.samples) < max(2, least):
            return None
        slopes = sorted(
            (done - before) / (when - earlier)
            for at, (when, done) in enumerate(self.samples)
            for earlier, before in self.samples[:at]
            if when > earlier
        )
        middle = len(slopes) // 2
        rate = (slopes[middle] + slopes[~middle]) / 2 if slopes else 0.0
        return rate if rate > 0 else None


def percent(done: float, total: float) -> float | None:
    """Return how much of `total` is done, 0 to 100 with two digits; None of nothing."""
    return round(min(100.0, 100 * done / total), 2) if total > 0 else None
