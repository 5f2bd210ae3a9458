"""JointCursor: one reader's places in several logs."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rtevents.core.cursor import Cursor
from rtevents.core.event import Bookmark, Entry, Gap
from rtevents.core.filter import Filter
from rtevents.core.log import PAGE, Log, Start
from rtevents.errors import LogClosed, Unavailable

VERDICTS = ("new", "complete", "truncated", "unknown-id", "other-epoch")
"""What is said of a place, the worst last."""


class Run(NamedTuple):
    """
    What comes from one log before there is something from another.

    Args:
        log: The log's name.
        before: The bookmark before the first of the items; that of an item has its seq instead.
        items: Entries; or one gap.
    """

    log: str
    before: Bookmark
    items: list[Entry | Gap]


class _Part:
    """
    The place in one of the logs.

    Attributes:
        place: The seq up to which the reader has everything.
        ahead: What was read and not returned.
        trouble: Why its log could not be read the last time; None when it could.
        again: When it is to be tried again after that, by the loop's clock.
    """

    def __init__(
        self, name: str, log: Log, wanted: Filter, start: Start, until: int | None
    ) -> None:
        self.name = name
        self.log = log
        self._until = until
        self.cursor = Cursor(log, wanted, start.after)
        self.place = start.after
        self.goal = log.last if until is None else until
        self.ahead: deque[Entry | Gap] = deque([start.gap] if start.gap else start.snapshot)
        self.trouble: Unavailable | None = None
        self.again = 0.0

    @property
    def is_replaying(self) -> bool:
        """Whether there may be entries up to the goal that were not read."""
        return self.cursor.position < self.goal

    @property
    def is_over(self) -> bool:
        """Whether it has come to where nothing more is wanted."""
        return self._until is not None and self.cursor.position >= self._until

    @property
    def end(self) -> int:
        """The seq up to which there is something to look at now."""
        return self.log.last if self._until is None else min(self._until, self.log.last)

    @property
    def has_more(self) -> bool:
        """Whether there is something that was not looked at."""
        return self.cursor.position < self.end

    async def read(self, limit: int, now: float) -> None:
        """
        Read on until there is something ahead, or nothing more for now.

        Raises:
            LogClosed: The log ended.
        """
        if self.trouble is not None and now < self.again:
            return
        try:
            while not self.ahead and self.has_more:
                found = await self.cursor.next(0, limit=limit)
                self.ahead += [item for item in found if self._is_within(item)]
                if not self.ahead:
                    self._pass()
                if not found:
                    break
        except LogClosed:
            raise
        except Unavailable as error:
            self.trouble, self.again = error, now + error.retry_after
        else:
            self.trouble = None

    def take(self) -> Entry | Gap:
        """Return what is next."""
        item = self.ahead.popleft()
        if isinstance(item, Entry):
            self.place = max(self.place, item.seq)
        elif item.reason != "ahead":
            self.place = max(self.place, item.before - 1)
        if not self.ahead:
            self._pass()
        return item

    def _is_within(self, item: Entry | Gap) -> bool:
        return self._until is None or isinstance(item, Gap) or item.seq <= self._until

    def _pass(self) -> None:
        """Let the place be behind what is not wanted."""
        reach = self.cursor.position
        self.place = max(self.place, reach if self._until is None else min(reach, self._until))


class JointCursor:
    """
    One reader's places in several logs.

    Each log keeps its own order. What was there when it began comes by its timestamps, as far as
    that goes without changing a log's own order; what comes later, as it arrives.

    Args:
        logs: By name.
        wanted: What the reader wants.
        starts: Where it begins in each.
        untils: The seq in each beyond which nothing is wanted; None for no such end.
    """

    def __init__(
        self,
        logs: Sequence[tuple[str, Log]],
        wanted: Filter,
        starts: Sequence[Start],
        untils: Sequence[int] | None = None,
    ) -> None:
        ends: Sequence[int | None] = untils or [None] * len(logs)
        self._parts = [
            _Part(name, log, wanted, start, end)
            for (name, log), start, end in zip(logs, starts, ends, strict=True)
        ]

    @property
    def is_live(self) -> bool:
        """Whether all that was there when it began was returned."""
        return not any(part.is_replaying or part.ahead for part in self._parts)

    @property
    def is_over(self) -> bool:
        """Whether there is nothing to wait for."""
        return all(part.is_over for part in self._parts)

    @property
    def bookmark(self) -> Bookmark:
        """The places, as one bookmark."""
        return self._before(self._parts[-1])

    @property
    def troubles(self) -> dict[str, Unavailable]:
        """Why logs cannot be read just now, by their names: what they have is still to come."""
        return {part.name: part.trouble for part in self._parts if part.trouble is not None}

    @property
    def lag(self) -> int:
        """Entries of all the logs that it has not looked at."""
        return sum(max(0, part.log.last - part.place) for part in self._parts)

    async def next(self, wait: float, *, limit: int = PAGE) -> list[Run]:
        """
        Return what comes next; empty when nothing came in time.

        Cancelling is safe: a place moves only when something is returned. A log that cannot be read
        keeps nobody from the others: see ``troubles``.

        Args:
            wait: Seconds to wait for growth of any log; 0 answers at once.
            limit: Most items to return.
        Raises:
            LogClosed: One of the logs ended.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        while True:
            before = self.troubles.keys()
            for part in self._parts:
                await part.read(limit, loop.time())
            if runs := self._runs(limit):
                return runs
            readable = [part for part in self._parts if part.trouble is None]
            if any(part.has_more for part in readable):
                continue
            left = deadline - loop.time()
            if left <= 0 or self.is_over or self.troubles.keys() != before:
                return []
            again = min((p.again for p in self._parts if p.trouble), default=math.inf)
            await self._grown(readable, min(left, again - loop.time()))

    def _runs(self, limit: int) -> list[Run]:
        runs: list[Run] = []
        last: _Part | None = None
        for _ in range(limit):
            if (part := self._next_part()) is None:
                break
            is_entry = isinstance(part.ahead[0], Entry)
            if part is not last or not is_entry:
                runs.append(Run(part.name, self._before(part), []))
            runs[-1].items.append(part.take())
            last = part if is_entry else None
        return runs

    def _next_part(self) -> _Part | None:
        """Return whose turn it is; None when one has to be read first, or none has anything."""
        ready: _Part | None = None
        for part in self._parts:
            if not part.ahead:
                if part.is_replaying and part.trouble is None:
                    return None
            elif ready is None or _time(part) < _time(ready):
                ready = part
        return ready

    def _before(self, part: _Part) -> Bookmark:
        others = (str(Bookmark(p.log.epoch, p.place)) for p in self._parts if p is not part)
        return Bookmark(",".join([*others, part.log.epoch]), part.place)

    async def _grown(self, parts: Sequence[_Part], wait: float) -> None:
        """Wait until one of these has grown, or for so many seconds."""
        waits = [
            asyncio.ensure_future(part.log.grown(part.cursor.position, math.inf))
            for part in parts
            if not part.is_over
        ]
        if not waits:
            await asyncio.sleep(wait)
            return
        try:
            done, _ = await asyncio.wait(waits, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


def worst(verdicts: Iterable[str]) -> str:
    """Return what is to be said of a place in several logs."""
    return max(verdicts, key=VERDICTS.index)


def newest_of_each_type(starts: Sequence[Start]) -> list[Start]:
    """Return where a reader begins, with the newest entry of each type of all logs alone."""
    newest: dict[str, Entry] = {}
    for start in starts:
        for entry in start.snapshot:
            if entry.type not in newest or entry.timestamp > newest[entry.type].timestamp:
                newest[entry.type] = entry
    return [
        Start(
            start.after,
            start.verdict,
            start.gap,
            [entry for entry in start.snapshot if newest[entry.type] is entry],
        )
        for start in starts
    ]


def _time(part: _Part) -> float:
    """Return by what the next of a part comes before another's; what is missing is told at once."""
    item = part.ahead[0]
    return item.timestamp if isinstance(item, Entry) else -math.inf
