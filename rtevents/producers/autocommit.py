"""AutoCommitProducer: commits what changed after a quiet time, and always tells how that ended."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from rtevents.core.causes import CAUSATION, CORRELATION
from rtevents.core.event import Event, EventType
from rtevents.core.keep import load, save, save_aside
from rtevents.core.names import new_event_id
from rtevents.producers import Watched
from rtevents.producers.origins import Origins
from rtevents.producers.saver import Draft, Made, SaveError, Saver

SOURCE = "rtevents/auto-commit"

LOOK_SECONDS = 60.0
"""Seconds between two looks for changes that nobody hinted at."""

RETRY_SECONDS = 2.0
"""Seconds after which it is tried again when something was in the way that passes."""

CAUSE_SECONDS = 1.0
"""Longest time, in seconds, that changes wait for the event that tells of one of them."""

PATIENCE = 60.0
"""Seconds after which what should have passed is told."""


class _Attempt(msgspec.Struct, frozen=True):
    """
    A commit that was begun, and whose end is not told yet.

    Args:
        start: The id of the event that told its begin.
        end: The id of the event that will tell its end.
        count: Changes it is about to commit.
        made: The commit, as soon as it is made.
        cause: The id of the event of the last file that changed before; None for none that is
            known.
    """

    start: str
    end: str
    count: int
    made: Made | None = None
    cause: str | None = None

    @property
    def story(self) -> str:
        """What its events have in common."""
        return self.cause or self.start


class _Place(msgspec.Struct, frozen=True):
    """
    What is kept between runs.

    Args:
        attempt: What was begun.
        refused: Why it was left to the user last time, which is told once; None when it was not.
    """

    attempt: _Attempt | None = None
    refused: str | None = None


class AutoCommitProducer:
    """
    Commits a project by itself, after a quiet time.

    Args:
        watched: The project.

    Attributes:
        ready: Set while changes are committed.
        gap: None: what nobody hints at, the next look finds.
    """

    def __init__(self, watched: Watched) -> None:
        self.ready = asyncio.Event()
        self.gap: str | None = None
        self._settings = watched.config.auto_commit
        self._project_id = watched.project.id
        self._find = watched.find
        self._file = watched.places / "auto_commit.json"
        self._place = _Place()
        self._saver = Saver(watched.root, self._settings)
        self._origins = Origins(watched.places)
        self._hinted = asyncio.Event()
        # When changes came that are not committed yet: the first, and the last.
        self._first: float | None = None
        self._last = 0.0
        # The event of the last of those changes.
        self._cause: str | None = None
        # Since when something is in the way that should pass.
        self._blocked: float | None = None

    def hint(self, cause: str | None = None) -> None:
        """Know that a file changed, and the id of the event that told it."""
        self._last = time.monotonic()
        self._cause = cause or self._cause
        if self._first is None:
            self._first = self._last
        self._hinted.set()

    async def events(self) -> AsyncGenerator[list[Event], None]:
        """
        Yield AUTO_COMMIT_START, and then AUTO_COMMIT_RESULT or AUTO_COMMIT_ERROR, for ever.

        Raises:
            SaveError: git does not even say what changed.
        """
        self._place = load(self._file, _Place, _Place())
        if self._place.attempt is not None:
            if end := await self._interrupted(self._place.attempt):
                yield [end]
            await self._keep(_Place(refused=self._place.refused))
        self.hint()
        self.ready.set()
        try:
            while True:
                await self._quiet()
                async for event in self._attempt():
                    yield [event]
                await asyncio.to_thread(self._saver.clear)
        finally:
            self.ready.clear()

    async def _quiet(self) -> None:
        """Return when it is time to commit what changed, or to look for what did."""
        while True:
            self._hinted.clear()
            now = time.monotonic()
            if self._first is None:
                due = now + LOOK_SECONDS
            else:
                settings = self._settings
                due = min(self._last + settings.quiet, self._first + settings.max_wait)
                if due <= now:
                    return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(due - now):
                    await self._hinted.wait()
                continue
            if self._first is None and await asyncio.to_thread(self._saver.waiting) > 0:
                self.hint()

    async def _attempt(self) -> AsyncGenerator[Event, None]:
        """Yield what became of one try; nothing when there is nothing new to be told."""
        self._first = None
        try:
            draft = await asyncio.to_thread(self._saver.draft)
        except SaveError as refusal:
            if (again := self._again(refusal)) is not None:
                await asyncio.sleep(again)
                self.hint()
            elif refusal.reason != self._place.refused:
                count = await asyncio.to_thread(self._saver.waiting)
                async for event in self._tell(count, refusal.reason, None, refusal):
                    yield event
            return
        self._blocked = None
        if draft is None:
            if self._place.refused is not None:
                await self._keep(_Place())
            return
        if draft.tree == self._place.refused:
            return
        if self._cause is None and await self._is_caused():
            return
        async for event in self._tell(len(draft.changes), draft.tree, draft, None):
            yield event

    async def _is_caused(self) -> bool:
        """Wait for what is about to be told of the files; tell whether it came: it is a hint."""
        self._hinted.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CAUSE_SECONDS):
                await self._hinted.wait()
        return self._cause is not None

    def _again(self, refusal: SaveError) -> float | None:
        """Return after how many seconds it is tried again without a word; None for telling it."""
        if refusal.is_lasting:
            self._blocked = None
            return None
        now = time.monotonic()
        self._blocked = self._blocked or now
        return RETRY_SECONDS if now - self._blocked < PATIENCE else None

    async def _tell(
        self, count: int, situation: str, draft: Draft | None, refusal: SaveError | None
    ) -> AsyncGenerator[Event, None]:
        """
        Yield the start of a try, and its end.

        Args:
            situation: What is remembered when it fails: it is not told again while that is so.
            draft: What is to be committed; None for what was refused before.
        """
        attempt = _Attempt(new_event_id(), new_event_id(), count, cause=self._cause)
        self._cause = None
        await self._keep(msgspec.structs.replace(self._place, attempt=attempt))
        yield self._event(
            EventType.AUTO_COMMIT_START, {"changes_count": count}, attempt, attempt.start
        )
        made: Made | None = None
        if draft is not None:
            try:
                made = await asyncio.to_thread(self._commit, attempt, draft)
            except SaveError as failure:
                refusal = failure
        if refusal is not None:
            yield self._error(attempt, refusal.reason, refusal.details)
        else:
            yield self._result(attempt, made)
        is_known = refusal is not None and (refusal.is_lasting or draft is None)
        await self._keep(_Place(refused=situation if is_known else None))
        if refusal is not None:  # what is tried again has the same cause
            self._cause = self._cause or attempt.cause
        if refusal is not None and not is_known:
            self.hint()

    def _commit(self, attempt: _Attempt, draft: Draft) -> Made | None:
        made = self._saver.make(draft)
        if made is not None:
            self._place = msgspec.structs.replace(
                self._place, attempt=msgspec.structs.replace(attempt, made=made)
            )
            # Before HEAD moves: who starts after a crash has to know what was begun, and who sees
            # the commit where it came from.
            self._origins.note(made.commit, attempt.start, attempt.story)
            save(self._file, self._place)
            self._saver.finish(made)
        return made

    async def _interrupted(self, attempt: _Attempt) -> Event | None:
        """Return how a commit ended that was going on when the daemon ended; None if it is told."""
        made = attempt.made
        is_there = False
        if made is not None:
            is_there = await asyncio.to_thread(self._saver.repair, made)
        await asyncio.to_thread(self._saver.clear)
        if await self._find(attempt.start) is None or await self._find(attempt.end) is not None:
            return None
        if is_there:
            return self._result(attempt, made)
        return self._error(attempt, "interrupted: the daemon ended before the commit was made", "")

    def _result(self, attempt: _Attempt, made: Made | None) -> Event:
        data: dict[str, Any] = {
            "success": made is not None,
            "changes_count": attempt.count if made else 0,
            "message": made.message if made else "a hook left nothing to commit",
        }
        if made is not None:
            data["commit_hash"] = made.commit
        return self._event(EventType.AUTO_COMMIT_RESULT, data, attempt, attempt.end)

    def _error(self, attempt: _Attempt, reason: str, details: str) -> Event:
        # What git said is most often a line, and that one is the reason already.
        more = "\n".join(line for line in details.splitlines() if f": {line}" not in reason)
        data = {"error": reason} | ({"details": more} if more else {})
        return self._event(EventType.AUTO_COMMIT_ERROR, data, attempt, attempt.end)

    def _event(
        self, kind: EventType, data: dict[str, Any], attempt: _Attempt, event_id: str
    ) -> Event:
        cause = attempt.cause if event_id == attempt.start else attempt.start
        return Event(
            type=kind,
            data=data,
            source=SOURCE,
            project_id=self._project_id,
            event_id=event_id,
            extensions={CORRELATION: attempt.story} | ({CAUSATION: cause} if cause else {}),
        )

    async def _keep(self, place: _Place) -> None:
        self._place = place
        await save_aside(self._file, place)
