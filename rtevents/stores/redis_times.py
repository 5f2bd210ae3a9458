"""Times: when the newest entries of a log in Redis were stored, as far as they were read."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence

from rtevents.stores.redis_rows import Row

MOST = 50_000
"""Entries whose time is known, at most: 16 bytes each."""


class Times:
    """
    When entries were stored, without a gap from one seq up to the newest that was read.

    So a time can be looked for while Redis does not answer, as far as memory reaches.
    """

    def __init__(self) -> None:
        # Of every entry after `_low`, up to `_high`.
        self._low = self._high = 0
        self._seqs = array("q")
        self._stored = array("q")

    def clear(self) -> None:
        """Know nothing: it is another log."""
        self._low = self._high = 0
        self._seqs, self._stored = array("q"), array("q")

    def read(self, after: int, rows: Sequence[Row]) -> None:
        """Note rows that were read: all that there are after a seq, up to the last of them."""
        if not rows:
            return
        names = [name.split(b"-") for name, _ in rows]
        seqs = array("q", [int(name[0]) for name in names])
        if after > self._high or not self._seqs:
            self.clear()
            self._low = self._high = after
        if after <= self._high < seqs[-1]:
            new = bisect_left(seqs, self._high + 1)
            self._seqs += seqs[new:]
            self._stored += array("q", [int(name[1]) for name in names[new:]])
            self._high = seqs[-1]
        elif after < self._low <= seqs[-1] and len(self._seqs) < MOST:
            new = bisect_left(seqs, self._low + 1)
            self._seqs[:0] = seqs[:new]
            self._stored[:0] = array("q", [int(name[1]) for name in names[:new]])
            self._low = after
        self._trim()

    def append(self, after: int, count: int, stored: int) -> None:
        """Note so many entries that were stored behind a seq, in microseconds; see ``read``."""
        if not self._seqs:
            self._low = self._high = after
        if after == self._high:
            self._seqs.extend(range(after + 1, after + count + 1))
            self._stored.extend([stored] * count)
            self._high = after + count
            self._trim()

    def seek(self, stored: int, oldest: int) -> int | None:
        """
        Return the seq before the first entry stored at or after that; None when it is not known.

        Args:
            oldest: The first seq that is kept.
        """
        at = bisect_left(self._stored, stored)
        if at == 0:
            return max(self._low, oldest - 1) if self._seqs and self._low < oldest else None
        return max(oldest, self._seqs[at] if at < len(self._seqs) else self._high + 1) - 1

    def _trim(self) -> None:
        # Twice as many, so that it is done seldom.
        if len(self._seqs) > 2 * MOST:
            surplus = len(self._seqs) - MOST
            self._low = self._seqs[surplus - 1]
            del self._seqs[:surplus], self._stored[:surplus]
