"""Sink: a cursor that acts. It reads at its own pace; its place moves when the reaction is done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from rtevents.core.event import Bookmark
from rtevents.errors import LogClosed, ReactionFailed, StoreError
from rtevents.sinks import Batch, Reaction, Terms
from rtevents.sinks.attempts import Attempts
from rtevents.sinks.given_up import GivenUp
from rtevents.sinks.notice import Notice
from rtevents.sinks.pending import Pending
from rtevents.sinks.place import DeadLetters, Place
from rtevents.sinks.reader import Reader

logger = logging.getLogger(__name__)


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
        self.notice = Notice(name, dead, warn, tell)
        self._reader = reader
        self._terms = terms
        self._target = target
        self._turn = asyncio.Lock()
        self._pending = Pending(name, reader, terms=terms, notice=self.notice, moved=self._move)
        self.attempts = Attempts(
            name, reaction, terms=terms, notice=self.notice, lag=lambda: self._pending.lag
        )
        self._given_up = GivenUp(
            name, dead, attempts=self.attempts, turn=self._turn, notice=self.notice
        )
        self._resumed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_ending = False
        self._is_settling = False

    async def run(self) -> None:
        """
        Act, until cancelled, until ``end``, or until the log ends.

        Raises:
            RteventsError: Where it is to begin is no place.
            StoreError: What is given up cannot be kept.
        """
        self._task = asyncio.current_task()
        try:
            await self._go_on()
        finally:
            # Also where it ends before it has begun: a replay waits for no place.
            await self._given_up.stop()

    async def _go_on(self) -> None:
        self.notice.look()
        self._pending.clear()
        if self.place.kept.target != self._target:
            await self._note(gone="", target=self._target)
        kept = self.place.bookmark
        start = await self._reader.open(kept)
        if kept is None:
            await self._note(bookmark=str(start))
        try:
            await self._given_up.replayed()
            while not self._is_ending:
                await self._step()
        except LogClosed:
            return

    def end(self) -> None:
        """Begin nothing more: what runs is let come to its end, and then ``run`` returns."""
        self._is_ending = True
        self._given_up.end()
        if self._task and not self._is_settling:
            self._task.cancel()

    async def _step(self) -> None:
        if self.place.kept.gone:
            await self._rest()
        await self.attempts.pace()
        batch = await self._pending.gather()
        self._pending.in_hand = len(batch.entries)
        if self._terms.on_busy == "restart":
            await self._settle_unless_newer(batch)
        else:
            await self._settle(batch)
        self._pending.in_hand = 0

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
        self.attempts.breaker.reset()

    async def _settle_unless_newer(self, batch: Batch) -> None:
        """Do it, or rather what comes meanwhile."""
        settling = asyncio.create_task(self._settle(batch))
        waiting = asyncio.create_task(self._pending.wait())
        try:
            await asyncio.wait({settling, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if self._is_ending:
                await settling
            elif not settling.done():
                waiting.result()
                # What was to be told with it is told with the newer one.
                self._pending.gap = self._pending.gap or batch.gap
        finally:
            settling.cancel()
            waiting.cancel()
            await asyncio.gather(settling, waiting, return_exceptions=True)
        if not settling.cancelled():
            settling.result()

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
            await self.attempts.breaker.admit()
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
        pending, most = self._pending, self._terms.batch
        if self._terms.on_busy != "queue" or pending.gap is not None:
            return None
        if not pending.entries:
            await pending.read(0, most)
        entries = pending.entries[:most]
        if not entries or pending.gap is not None:
            return None
        async with self._turn:
            self._is_settling = True
            try:
                await self.attempts.act(
                    msgspec.structs.replace(batch, entries=entries, gap=None), pause
                )
            except ReactionFailed as error:
                return None if error.is_down else 0
            finally:
                self._is_settling = False
        return len(entries)

    async def _pass(self, batch: Batch, count: int) -> None:
        """Go past some of those that are pending: they are done."""
        if count:
            done = msgspec.structs.replace(batch, entries=self._pending.entries[:count])
            del self._pending.entries[:count]
            await self._note(bookmark=str(done.bookmark))

    async def _try(self, batch: Batch, attempt: int, pause: float) -> ReactionFailed | None:
        """Try once, and keep the place; return why it failed, if it did."""
        self._is_settling = True
        try:
            await self.attempts.act(msgspec.structs.replace(batch, attempt=attempt), pause)
            # A crash, or its end, may have come between the letter and the place after it.
            await self._given_up.forget(
                [str(Bookmark(batch.epoch, entry.seq)) for entry in batch.entries]
            )
            await self._note(bookmark=str(batch.bookmark))
        except ReactionFailed as error:
            return error
        finally:
            self._is_settling = False
        return None

    async def _give_up(self, batch: Batch, reason: str, attempts: int) -> None:
        """Put a batch among the dead letters, and go on after it."""
        dropped = await self._given_up.put(batch, reason, attempts)
        kept = self.place.kept.dropped + dropped
        await self._note(bookmark=str(batch.bookmark), dropped=kept)

    async def _move(self, bookmark: str) -> None:
        if bookmark != self.place.kept.bookmark:
            await self._note(bookmark=bookmark)

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
        return self._given_up.replay(ids)

    def as_dict(self) -> dict[str, Any]:
        """Return how it is, as ``GET /v1/sinks`` tells it."""
        kept = self.place.kept
        is_resting = self.attempts.breaker.state == "open"
        state = "gone" if kept.gone else "resting" if is_resting else "running"
        return {
            "name": self.name,
            "state": state,
            "bookmark": kept.bookmark,
            "lag": self._pending.lag,
            **self.attempts.as_dict(),
            "last_error": kept.gone or self.attempts.last_error,
            "dead": len(self.dead) if self.dead else 0,
            "dropped": kept.dropped,
            "gap": self._pending.gap.words if self._pending.gap else None,
        }
