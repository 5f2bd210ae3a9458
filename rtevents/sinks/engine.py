"""Sink: a cursor that acts. It reads at its own pace; its place moves when the reaction is done."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import msgspec

from rtevents.core.event import Bookmark, Entry, Gap
from rtevents.core.keep import ended
from rtevents.errors import LogClosed, ReactionFailed, StoreError
from rtevents.sinks import Batch, Reaction
from rtevents.sinks.breaker import Breaker, jittered
from rtevents.sinks.notice import Notice
from rtevents.sinks.place import DeadLetters, Letter, Place
from rtevents.sinks.reader import Reader

logger = logging.getLogger(__name__)

MAX_BATCH_BYTES = 4 * 1024**2
"""Wire bytes after which a batch is full, whatever its number: with what one read adds."""

LOOK_SECONDS = 30.0
"""
Seconds for which one look waits at most; a place past what the filter hides is kept then, or when
the reader looks up before.
"""

LONGEST_ASKED = 3600.0
"""Longest pause, in seconds, that the other side may ask for."""

PASS = 500
"""Entries that are passed over at once, where only the newest count."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """
    How a sink acts; the fields are those of ``SinkSettings``.

    Args:
        batch: Most entries at once.
        retry_max: The longest pause, in seconds.
    """

    batch: int = 1
    batch_seconds: float = 0.0
    every: float = 0.0
    on_busy: Literal["queue", "drop", "restart"] = "queue"
    retries: int = 5
    retry_pause: float = 1.0
    retry_max: float = 300.0
    breaker: int = 5
    breaker_pause: float = 30.0


class Sink:
    """
    Reacts to every entry at least once, in order; what cannot be done goes to the dead letters,
    what nobody answers waits in the log.

    Nothing gathers in memory: what it has not read is in the log, and it holds one batch.

    Args:
        reader: Where entries come from.
        place: Its bookmark.
        dead: Where what is given up goes; None to tell it and go on.
        target: What the reaction acts on, in a word: one that is gone stays so until this changes.
        warn: Told what is amiss, in words; None when that is over.
        tell: Told what happened, in a line.
    """

    def __init__(
        self,
        name: str,
        reader: Reader,
        reaction: Reaction,
        *,
        place: Place,
        dead: DeadLetters | None = None,
        terms: Terms,
        target: str = "",
        warn: Callable[[str | None], None] = lambda text: None,
        tell: Callable[[str], None] = logger.warning,
    ) -> None:
        self.name = name
        self.place = place
        self.dead = dead
        self.breaker = Breaker(terms.breaker, terms.breaker_pause)
        self._reader = reader
        self._reaction = reaction
        self._terms = terms
        self._target = target
        self.notice = Notice(name, dead, warn, tell)
        # What was read for the next batch; one that is cancelled finds it again.
        self._held: list[Entry] = []
        self._gap: Gap | None = None
        self._in_hand = 0
        self._turn = asyncio.Lock()
        self._resumed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._replaying: asyncio.Task[None] | None = None
        self._is_ending = False
        self._is_settling = False
        self.is_acting = False
        """Whether the reaction is at work."""
        self._last_act = -1e9
        self.delivered = 0
        self.failures = 0
        self.last_success: float | None = None
        self.last_error: str | None = None

    async def run(self) -> None:
        """
        Act, until cancelled, until ``end``, or until the log ends.

        Raises:
            RteventsError: Where it is to begin is no place.
            StoreError: What is given up cannot be kept.
        """
        self._task = asyncio.current_task()
        self.notice.look()
        self._held, self._gap, self._in_hand = [], None, 0
        if self.place.kept.target != self._target:
            await self._note(gone="", target=self._target)
        kept = self.place.bookmark
        start = await self._reader.open(kept)
        if kept is None:
            await self._note(bookmark=str(start))
        try:
            if self._replaying:
                await asyncio.wait({self._replaying})
            while not self._is_ending:
                await self._step()
        except LogClosed:
            return
        finally:
            if self._replaying:
                await self._end_replaying(self._replaying)

    def end(self) -> None:
        """Begin nothing more: what runs is let come to its end, and then ``run`` returns."""
        self._is_ending = True
        if self._task and not self._is_settling:
            self._task.cancel()

    async def _end_replaying(self, replaying: asyncio.Task[None]) -> None:
        """Let the letter that is replayed come to its end, if ``end`` was asked for."""
        try:
            if self._is_ending:
                await asyncio.wait({replaying})
        finally:
            replaying.cancel()
            await asyncio.wait({replaying})

    async def _step(self) -> None:
        if self.place.kept.gone:
            await self._rest()
        left = self._last_act + self._terms.every - asyncio.get_running_loop().time()
        if left > 0:
            await asyncio.sleep(left)
        batch = await self._gather()
        self._in_hand = len(batch.entries)
        if self._terms.on_busy == "restart":
            await self._settle_unless_newer(batch)
        else:
            await self._settle(batch)
        self._in_hand = 0

    async def _rest(self) -> None:
        """Wait until somebody says that there is somebody again."""
        self.notice.amiss(f"rests: {self.place.kept.gone}; rtevents sinks resume {self.name}")
        await self._resumed.wait()
        self._resumed.clear()
        await self._note(gone="")
        self.notice.amiss(None)

    def resume(self) -> None:
        """Try now, whether it rests for good or for a while."""
        if self.place.kept.gone:
            self._resumed.set()
        self.breaker.reset()

    async def _gather(self) -> Batch:
        """Return what is to be done next. Cancelling is safe: what was read is held."""
        terms = self._terms
        await self._hold_more()
        if terms.on_busy != "queue":
            while await self._read(0, PASS):
                del self._held[: -terms.batch]
            del self._held[: -terms.batch]
        elif terms.batch_seconds:
            await self._fill()
        entries, self._held = self._held, []
        gap, self._gap = self._gap, None
        return Batch(sink=self.name, entries=entries, epoch=self._reader.bookmark.epoch, gap=gap)

    async def _fill(self) -> None:
        loop, terms = asyncio.get_running_loop(), self._terms
        deadline = loop.time() + terms.batch_seconds
        while (room := terms.batch - len(self._held)) > 0 and (left := deadline - loop.time()) > 0:
            if sum(len(entry.wire) for entry in self._held) > MAX_BATCH_BYTES:
                return
            await self._read(min(left, LOOK_SECONDS), room)

    async def _read(self, wait: float, limit: int) -> bool:
        """Hold what comes next; return whether there was something."""
        found = await self._reader.next(wait, limit=limit)
        for item in found:
            if isinstance(item, Gap):
                self._note_gap(item)
            else:
                self._held.append(item)
        # Not past what is in hand and not done: `restart` looks on meanwhile.
        is_idle = not self._held and not self._in_hand and self._gap is None
        if not found and wait and is_idle:
            moved = str(self._reader.bookmark)
            if moved != self.place.kept.bookmark:
                await self._note(bookmark=moved)
        return bool(found)

    def _note_gap(self, gap: Gap) -> None:
        if self._gap is not None:
            gap = Gap(self._gap.after, gap.before, gap.reason)
        self._gap = gap
        self.notice.tell(gap.words)
        self.notice.amiss(gap.words)

    async def _settle_unless_newer(self, batch: Batch) -> None:
        """Do it, or rather what comes meanwhile."""
        settling = asyncio.create_task(self._settle(batch))
        waiting = asyncio.create_task(self._hold_more())
        try:
            await asyncio.wait({settling, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if self._is_ending:
                await settling
            elif not settling.done():
                waiting.result()
                # What was to be told with it is told with the newer one.
                self._gap = self._gap or batch.gap
        finally:
            settling.cancel()
            waiting.cancel()
            await asyncio.gather(settling, waiting, return_exceptions=True)
        if not settling.cancelled():
            settling.result()

    async def _hold_more(self) -> None:
        """Return when there is more to be done. Cancelling is safe."""
        while not self._held:
            await self._read(LOOK_SECONDS, self._terms.batch)

    async def _settle(self, batch: Batch) -> None:
        """
        Return when a batch is done, or given up; its place is kept then.

        A failure that says nothing of the events is not held against them: they wait, for as long
        as whoever does not answer them does not answer those behind them either.
        """
        attempt = counted = 0
        # How many of those behind it were done, once somebody answers them; None before.
        others: int | None = None
        pause = self._terms.retry_pause
        while True:
            await self.breaker.admit()
            attempt += 1
            async with self._turn:
                failed = await self._try(batch, attempt, pause)
            if failed is None:
                return
            self._stop_if_ending()
            counted += not failed.is_down
            if failed.is_gone:
                await self._note(gone=str(failed))
                await self._rest()
                attempt, counted, others, pause = 0, 0, None, self._terms.retry_pause
            elif failed.is_final or counted > self._terms.retries or others is not None:
                await self._give_up(batch, str(failed), attempt)
                await self._pass(batch, others or 0)
                return
            elif failed.is_down and attempt > self._terms.retries:
                others = await self._try_others(batch, pause)
                self._stop_if_ending()
            self.notice.failure(str(failed))
            pause = min(self._terms.retry_max, pause * 2)

    def _stop_if_ending(self) -> None:
        if self._is_ending:
            raise LogClosed("ended before it was done")

    async def _try_others(self, batch: Batch, pause: float) -> int | None:
        """
        Try those behind a batch that nobody answers: is it the batch, or is nobody there?

        Should it be done in the end, they are done again after it: the order stays.

        Returns:
            How many were done; 0 when they were refused, by somebody; None when nobody answers
            them either, or there is nothing to try.
        """
        if self._terms.on_busy != "queue" or self._gap is not None:
            return None
        if not self._held:
            await self._read(0, self._terms.batch)
        entries = self._held[: self._terms.batch]
        if not entries or self._gap is not None:
            return None
        async with self._turn:
            self._is_settling = True
            try:
                await self._act(msgspec.structs.replace(batch, entries=entries, gap=None), pause)
            except ReactionFailed as error:
                return None if error.is_down else 0
            finally:
                self._is_settling = False
        return len(entries)

    async def _pass(self, batch: Batch, count: int) -> None:
        """Go past some of those that are held: they are done."""
        if count:
            done = msgspec.structs.replace(batch, entries=self._held[:count])
            del self._held[:count]
            await self._note(bookmark=str(done.bookmark))

    async def _try(self, batch: Batch, attempt: int, pause: float) -> ReactionFailed | None:
        """Try once, and keep the place; return why it failed, if it did."""
        self._is_settling = True
        try:
            await self._act(msgspec.structs.replace(batch, attempt=attempt), pause)
            # A crash, or its end, may have come between the letter and the place after it.
            await self._forget([str(Bookmark(batch.epoch, entry.seq)) for entry in batch.entries])
            await self._note(bookmark=str(batch.bookmark))
        except ReactionFailed as error:
            return error
        finally:
            self._is_settling = False
        return None

    async def _forget(self, ids: Sequence[str]) -> None:
        """Remove letters whose events are done."""
        if self.dead is None:
            return
        kept = set(self.dead.ids)
        for letter_id in ids:
            if letter_id in kept:
                try:
                    await ended(partial(self.dead.remove, letter_id))
                except OSError as error:
                    self.notice.tell(f"{error}: a letter that is done stays")
                self.notice.look()

    async def _act(self, batch: Batch, pause: float = 0.0) -> None:
        """
        Try once, and know how that went.

        Args:
            pause: Seconds before the next attempt, if it fails and is worth another.
        """
        self.is_acting = True
        try:
            await self._reaction.act(batch)
        except ReactionFailed as error:
            self._failed(error, pause)
            raise
        except Exception as error:
            # The sink outlives its reaction's bugs, and the event is not lost by them.
            logger.exception("sink %s failed", self.name)
            failure = ReactionFailed(f"a bug: {type(error).__name__}: {error}")
            self._failed(failure, pause)
            raise failure from error
        finally:
            self.is_acting = False
            self._last_act = asyncio.get_running_loop().time()
        if self.breaker.failures:
            self.notice.tell(f"it works again, after {self.breaker.failures} failures")
        self.breaker.reset()
        self.delivered += len(batch.entries)
        self.last_success = time.time()
        self.last_error = None
        self.notice.success()

    def _failed(self, error: ReactionFailed, pause: float) -> None:
        was, self.last_error = self.breaker.state, str(error)
        asked = min(error.retry_after, LONGEST_ASKED)
        self.breaker.failed(0.0 if error.is_final else max(asked, jittered(pause)))
        self.failures += 1
        is_open, often = self.breaker.state == "open", f"after {self.breaker.failures} failures"
        if is_open or (error.is_down and self.breaker.failures > self._terms.retries):
            does = "rests" if is_open else "waits"
            self.notice.amiss(f"{does} {often}, the last: {error}; lag {self.lag}")
        if is_open and was == "closed":
            self.notice.tell(f"rests {often}")

    async def _give_up(self, batch: Batch, reason: str, attempts: int) -> None:
        """Put a batch among the dead letters, and go on after it."""
        dropped = 0
        for entry in batch.entries:
            if self.dead is not None:
                letter = Letter.of(entry, batch.epoch, reason, attempts)
                dropped += await ended(partial(self.dead.put, letter))
        seqs = ", ".join(str(entry.seq) for entry in batch.entries[:5])
        more = f" and {len(batch.entries) - 5} more" if len(batch.entries) > 5 else ""
        often = f" after {attempts} attempts" if attempts > 1 else ""
        self.notice.tell(f"gave up {seqs}{more}{often}: {reason}")
        if dropped:
            self.notice.tell(f"{dropped} of the oldest dead letters are dropped: too many")
        self.notice.look()
        kept = self.place.kept.dropped + dropped
        await self._note(bookmark=str(batch.bookmark), dropped=kept)

    async def _note(self, **fields: str | int) -> None:
        """Remember something; where that cannot be written, say so: it is done again then."""
        try:
            await self.place.note(**fields)
        except StoreError as error:
            self.notice.tell(str(error))
            self.notice.amiss(f"{error}: after a restart it does again what it did since")

    def replay(self, ids: Sequence[str]) -> int:
        """
        Do again what was given up, each once, in the background: before all else, when it is
        asked for before it runs.

        Returns:
            How many there are.
        """
        before = self._replaying

        async def again() -> None:
            if before:
                await asyncio.gather(before, return_exceptions=True)
            for letter_id in ids:
                if not self._is_ending:
                    await self._replay_one(letter_id)

        if ids:
            self._replaying = asyncio.create_task(again(), name=f"rtevents replay {self.name}")
        return len(ids)

    async def _replay_one(self, letter_id: str) -> None:
        dead = self.dead
        if dead is None:
            return
        async with self._turn:
            # Read only now: it may have been discarded meanwhile, and all at once may be large.
            letter = await asyncio.to_thread(dead.get, letter_id)
            if letter is None or self._is_ending:
                return
            attempt, epoch = letter.attempts + 1, Bookmark.parse(letter_id).epoch
            try:
                await self._act(
                    Batch(sink=self.name, entries=[letter.entry], epoch=epoch, attempt=attempt)
                )
            except ReactionFailed as error:
                self.notice.failure(str(error))
                again = Letter.of(letter.entry, epoch, str(error), attempt)
                try:
                    await ended(partial(dead.put, again))
                except StoreError as unwritten:
                    self.notice.tell(f"{unwritten}")
            else:
                await self._forget([letter_id])

    @property
    def lag(self) -> int:
        """Entries of the log that are not done, or not looked at."""
        return self._reader.lag + len(self._held) + self._in_hand

    def as_dict(self) -> dict[str, Any]:
        """Return how it is, as ``GET /v1/sinks`` tells it."""
        kept = self.place.kept
        state = "gone" if kept.gone else "resting" if self.breaker.state == "open" else "running"
        return {
            "name": self.name,
            "state": state,
            "bookmark": kept.bookmark,
            "lag": self.lag,
            "delivered": self.delivered,
            "failures": self.failures,
            "last_success": self.last_success,
            "last_error": kept.gone or self.last_error,
            "breaker": self.breaker.state,
            "dead": len(self.dead) if self.dead else 0,
            "dropped": kept.dropped,
            "gap": self._gap.words if self._gap else None,
        }
