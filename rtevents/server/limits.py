"""Limits: how many wrong credentials a peer may show, how much a principal may do."""

from __future__ import annotations

import time
from collections import OrderedDict, deque

from rtevents.errors import Throttled

FAILURES = 10
"""Wrong credentials within ``FAILURE_SECONDS`` after which a peer is told to stay away."""

FAILURE_SECONDS = 60.0

MOST_PEERS = 4096
"""Peers, and principals, of which something is remembered; the ones heard of longest ago go."""


class Failures:
    """
    Wrong credentials, by peer.

    A right credential is let in all the same: who shares an address with somebody that guesses, as
    all do on loopback, is not locked out by that. Secrets of 256 bits cannot be guessed.
    """

    def __init__(self) -> None:
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def add(self, peer: str) -> None:
        """
        Note that a peer showed a credential that nobody knows.

        Raises:
            Throttled: It has done so too often within the last minute.
        """
        now = time.monotonic()
        times = self._times.setdefault(peer, deque(maxlen=FAILURES))
        self._times.move_to_end(peer)
        if len(self._times) > MOST_PEERS:
            self._times.popitem(last=False)
        if len(times) == FAILURES and (left := times[0] + FAILURE_SECONDS - now) > 0:
            raise Throttled(
                f"more than {FAILURES} wrong credentials within a minute: look at the token, and "
                f"try again in {left:.0f} s",
                retry_after=left,
            )
        times.append(now)


class Budget:
    """
    How often something may be done for each name: so often at once, and then now and again.

    Args:
        most: How often at once.
        seconds: Seconds after which it may be done once more.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        # When each name will have its whole budget again.
        self._full: OrderedDict[str, float] = OrderedDict()

    def take(self, name: str) -> bool:
        """Tell whether it may be done now; it is counted then."""
        now = time.monotonic()
        full = max(now, self._full.get(name, now)) + self._seconds
        if full - now > self._most * self._seconds:
            return False
        self._full[name] = full
        self._full.move_to_end(name)
        if len(self._full) > MOST_PEERS:
            self._full.popitem(last=False)
        return True


class Rates:
    """
    How much each principal may publish.

    One second's worth may come at once. A batch is taken whole as long as anything is left, and
    what it took too much is waited for afterwards.

    Args:
        events: Events a second; 0 for no limit.
        size_bytes: Bytes a second; 0 for no limit.
    """

    def __init__(self, events: int = 0, size_bytes: int = 0) -> None:
        self._rates = (events, size_bytes)
        self.is_on = bool(events or size_bytes)
        # What is left of each rate, and when that was so.
        self._left: OrderedDict[str, tuple[float, float, float]] = OrderedDict()

    def check(self, name: str) -> None:
        """
        Look whether a principal may publish now.

        Raises:
            Throttled: It has to wait.
        """
        left = self._now(name)
        waits = [
            (1 - n) / rate for n, rate in zip(left, self._rates, strict=True) if rate and n < 1
        ]
        if waits:
            limits = ", ".join(
                f"{rate} {noun} a second"
                for rate, noun in zip(self._rates, ("events", "bytes"), strict=True)
                if rate
            )
            raise Throttled(
                f"{name} may publish {limits}: send less, or raise `limits` in the configuration",
                retry_after=max(waits),
            )

    def spend(self, name: str, events: int, size_bytes: int) -> None:
        """Note what a principal publishes."""
        has_events, has_bytes = self._now(name)
        self._left[name] = (has_events - events, has_bytes - size_bytes, time.monotonic())
        self._left.move_to_end(name)
        if len(self._left) > MOST_PEERS:
            self._left.popitem(last=False)

    def _now(self, name: str) -> tuple[float, float]:
        events, size_bytes = self._rates
        if name not in self._left:
            return events, size_bytes
        *left, since = self._left[name]
        passed = time.monotonic() - since
        return (
            min(events, left[0] + passed * events),
            min(size_bytes, left[1] + passed * size_bytes),
        )
