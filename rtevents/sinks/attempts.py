"""Attempts: a sink's reaction is tried, and how that goes is counted and told."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from rtevents.errors import ReactionFailed
from rtevents.sinks import Batch, Reaction, Terms
from rtevents.sinks.breaker import Breaker, jittered
from rtevents.sinks.notice import Notice

logger = logging.getLogger(__name__)

LONGEST_ASKED = 3600.0
"""Longest pause, in seconds, that the other side may ask for."""


class Attempts:
    """
    Tries a reaction, and knows how that went.

    Args:
        name: The sink.
        notice: Where it is told.
        lag: Returns how many entries are not done.
    """

    def __init__(
        self,
        name: str,
        reaction: Reaction,
        *,
        terms: Terms,
        notice: Notice,
        lag: Callable[[], int],
    ) -> None:
        self._name = name
        self._reaction = reaction
        self._terms = terms
        self._notice = notice
        self._lag = lag
        self._last = -1e9
        self.breaker = Breaker(terms.breaker, terms.breaker_pause)
        self.is_acting = False
        """Whether the reaction is at work."""
        self.delivered = 0
        self.failures = 0
        self.last_success: float | None = None
        self.last_error: str | None = None

    async def pace(self) -> None:
        """Return when the terms let the next batch be begun."""
        left = self._last + self._terms.every - asyncio.get_running_loop().time()
        if left > 0:
            await asyncio.sleep(left)

    async def act(self, batch: Batch, pause: float = 0.0) -> None:
        """
        Try once.

        Args:
            pause: Seconds before the next attempt, if it fails and is worth another.
        Raises:
            ReactionFailed: It is not done.
        """
        self.is_acting = True
        try:
            await self._reaction.act(batch)
        except ReactionFailed as error:
            self._failed(error, pause)
            raise
        except Exception as error:
            # The sink outlives its reaction's bugs, and the event is not lost by them.
            logger.exception("sink %s failed", self._name)
            failure = ReactionFailed(f"a bug: {type(error).__name__}: {error}")
            self._failed(failure, pause)
            raise failure from error
        finally:
            self.is_acting = False
            self._last = asyncio.get_running_loop().time()
        if self.breaker.failures:
            self._notice.tell(f"it works again, after {self.breaker.failures} failures")
        self.breaker.reset()
        self.delivered += len(batch.entries)
        self.last_success = time.time()
        self.last_error = None
        self._notice.success()

    def _failed(self, error: ReactionFailed, pause: float) -> None:
        was, self.last_error = self.breaker.state, str(error)
        asked = min(error.retry_after, LONGEST_ASKED)
        self.breaker.failed(0.0 if error.is_final else max(asked, jittered(pause)))
        self.failures += 1
        is_open, often = self.breaker.state == "open", f"after {self.breaker.failures} failures"
        if is_open or (error.is_down and self.breaker.failures > self._terms.retries):
            does = "rests" if is_open else "waits"
            self._notice.amiss(f"{does} {often}, the last: {error}; lag {self._lag()}")
        if is_open and was == "closed":
            self._notice.tell(f"rests {often}")

    def as_dict(self) -> dict[str, Any]:
        """Return how they went, as ``GET /v1/sinks`` tells it."""
        return {
            "delivered": self.delivered,
            "failures": self.failures,
            "last_success": self.last_success,
            "last_error": self.last_error,
            "breaker": self.breaker.state,
        }
