"""What a sink gives up: put among its dead letters, and done again when that is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from rtevents.core.event import Bookmark
from rtevents.core.keep import ended
from rtevents.errors import ReactionFailed, StoreError
from rtevents.sinks import Batch
from rtevents.sinks.attempts import Attempts
from rtevents.sinks.notice import Notice
from rtevents.sinks.place import DeadLetters, Letter


class GivenUp:
    """
    The events that a sink gave up.

    Args:
        name: The sink.
        dead: Where they are kept; None to tell it and go on.
        attempts: By what they are done again.
        turn: Held by whoever acts.
        notice: Where it is told.
    """

    def __init__(
        self,
        name: str,
        dead: DeadLetters | None,
        *,
        attempts: Attempts,
        turn: asyncio.Lock,
        notice: Notice,
    ) -> None:
        self._name = name
        self._dead = dead
        self._attempts = attempts
        self._turn = turn
        self._notice = notice
        self._replaying: asyncio.Task[None] | None = None
        self._is_ending = False

    async def put(self, batch: Batch, reason: str, attempts: int) -> int:
        """
        Put a batch among the dead letters.

        Returns:
            How many letters were dropped for it.
        Raises:
            StoreError: It cannot be kept.
        """
        dropped = 0
        for entry in batch.entries:
            if self._dead is not None:
                letter = Letter.of(entry, batch.epoch, reason, attempts)
                dropped += await ended(partial(self._dead.put, letter))
        seqs = ", ".join(str(entry.seq) for entry in batch.entries[:5])
        more = f" and {len(batch.entries) - 5} more" if len(batch.entries) > 5 else ""
        often = f" after {attempts} attempts" if attempts > 1 else ""
        self._notice.tell(f"gave up {seqs}{more}{often}: {reason}")
        if dropped:
            self._notice.tell(f"{dropped} of the oldest dead letters are dropped: too many")
        self._notice.look()
        return dropped

    async def forget(self, ids: Sequence[str]) -> None:
        """Remove letters whose events are done."""
        if self._dead is None:
            return
        kept = set(self._dead.ids)
        for letter_id in ids:
            if letter_id in kept:
                try:
                    await ended(partial(self._dead.remove, letter_id))
                except OSError as error:
                    self._notice.tell(f"{error}: a letter that is done stays")
                self._notice.look()

    def replay(self, ids: Sequence[str]) -> int:
        """
        Do letters again, each once, in the background.

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
            self._replaying = asyncio.create_task(again(), name=f"rtevents replay {self._name}")
        return len(ids)

    async def _replay_one(self, letter_id: str) -> None:
        dead = self._dead
        if dead is None:
            return
        async with self._turn:
            # Read only now: it may have been discarded meanwhile, and all at once may be large.
            letter = await asyncio.to_thread(dead.get, letter_id)
            if letter is None or self._is_ending:
                return
            attempt, epoch = letter.attempts + 1, Bookmark.parse(letter_id).epoch
            try:
                await self._attempts.act(
                    Batch(sink=self._name, entries=[letter.entry], epoch=epoch, attempt=attempt)
                )
            except ReactionFailed as error:
                self._notice.failure(str(error))
                again = Letter.of(letter.entry, epoch, str(error), attempt)
                try:
                    await ended(partial(dead.put, again))
                except StoreError as unwritten:
                    self._notice.tell(f"{unwritten}")
            else:
                await self.forget([letter_id])

    async def replayed(self) -> None:
        """Return when what is replayed now has been."""
        if self._replaying:
            await asyncio.wait({self._replaying})

    def end(self) -> None:
        """Replay no more than the letter that is being done."""
        self._is_ending = True

    async def stop(self) -> None:
        """Stop replaying; after ``end`` the letter that is being done comes to its end first."""
        if (replaying := self._replaying) is None:
            return
        try:
            if self._is_ending:
                await asyncio.wait({replaying})
        finally:
            replaying.cancel()
            await asyncio.wait({replaying})
