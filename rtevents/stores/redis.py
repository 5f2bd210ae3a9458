"""RedisStore: a log in a stream of Redis, which several daemons share."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from rtevents.core.event import Entry, Event, Stored
from rtevents.core.filter import EVERYTHING, Filter
from rtevents.core.names import is_event_id
from rtevents.core.store import PAGE_BYTES, Bounds, Note, Page, aged, newest
from rtevents.errors import EventConflict, StoreError
from rtevents.stores import redis_scripts as scripts
from rtevents.stores.dedup import Kept
from rtevents.stores.growth import Growth
from rtevents.stores.left import refuse_left
from rtevents.stores.redis_batches import known_of, placed, settle_all
from rtevents.stores.redis_errors import explain
from rtevents.stores.redis_follow import CHUNK, Follower, Portion
from rtevents.stores.redis_hint import Known, RedisHint
from rtevents.stores.redis_place import Place
from rtevents.stores.redis_rows import Row, entry_of, holes_of, seq_of
from rtevents.stores.redis_server import Ask, Found, Server
from rtevents.stores.redis_times import Times

logger = logging.getLogger(__name__)

SURE_SECONDS = 1.0
"""
Seconds after which it is asked again whether the log is the same: who empties Redis ends no
connection.
"""

LOOKS = 16
"""Chunks that one `read` goes through, oldest first, before it answers how far it came."""

JUMP = 1_000_000
"""
How far a log that lost its end goes on after the last seq that is known: more than another daemon
can know that this one does not.
"""

TRIES = 20
"""How often a batch is settled anew because another daemon stored one of its ids meanwhile."""


class RedisStore:
    """
    A log in a stream of Redis, made by ``RedisStore.open``; many daemons may have it open at once.

    An answered append survives what Redis is set to survive: see ``weaknesses``. Where Redis lost
    some of the log all the same (an old replica took over, it started empty), the log goes on under
    another epoch, ``JUMP`` after the last seq that anybody knows, with a hole in ``Bounds.holes``.
    Every method raises ``StoreError`` when Redis does not answer, ``LogClosed`` after ``close``.

    Attributes:
        weaknesses: Why promise P1 is weaker here, one line each.
    """

    is_shared = True

    def __init__(self, server: Server, clock: Callable[[], float] | None, hint: RedisHint) -> None:
        self.epoch = ""
        self.notes: list[Note] = []
        self.anew = 0
        self._server = server
        # redis-py's types know bytes from text only where they are told at each call.
        self._ask: Any = server.redis
        self._clock = clock
        self._last = 0
        self._oldest = 1
        self._hint = hint
        # What a daemon before this one knew: until it is known what is there.
        self._remembered = hint.read()
        self._growth = Growth(0)
        self._times = Times()
        # One after the other, so that what is published first comes first.
        self._appending = asyncio.Lock()
        self._portion = Portion()
        # Until when what comes is taken for the same log's without asking.
        self._sure_until = 0.0
        self._follower = Follower(
            server,
            self._portion,
            asking=self._asking,
            appending=self._appending,
            last=lambda: self._last,
            grown=self._grown,
        )
        server.greeted = self._greet

    @property
    def weaknesses(self) -> list[str]:
        """Why an answered append may be lost by this Redis."""
        return self._server.weaknesses

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        path: Path | None = None,
        durability: str = "full",
        clock: Callable[[], float] | None = None,
        strict: bool = False,
    ) -> RedisStore:
        """
        Open the log that a URL names, or begin it.

        Args:
            url: See ``Place.parse``.
            path: As in every backend; what is there is only looked at: it may be the log before it
                was moved. Beside it stands what is known of the log, ``<stem>.redis.hint``.
            durability: As in every backend; what Redis promises is set there.
            clock: Returns unix seconds, what entries age by; None for Redis's own time.
            strict: As in every backend.
        Raises:
            ConfigError: The URL cannot be read.
            StoreError: Redis does not answer, or refuses; or some of the log is not moved yet.
        """
        if path is not None:
            await refuse_left(path, url)
        place = Place.parse(url)
        hint = RedisHint(path and path.with_name(f"{path.stem}.redis.hint"), place)
        store = cls(Server(place), clock, hint)
        try:
            await store.bounds()
            await asyncio.to_thread(hint.sync)
        except BaseException:
            await store.close()
            raise
        return store

    async def append(
        self, batches: Sequence[Sequence[Event]]
    ) -> list[list[Stored] | EventConflict]:
        """
        Store batches, each all or none; the answer comes when Redis has them. See ``Store.append``.

        Raises:
            StoreError: Perhaps nothing of it was stored; published again, it is there once.
            LogClosed: The store is closed.
            EventRefused: An event is not JSON; nothing is stored.
        """
        self._growth.check()
        async with self._appending:
            return await self._append(batches)

    async def _append(
        self, batches: Sequence[Sequence[Event]]
    ) -> list[list[Stored] | EventConflict]:
        known: dict[str, Kept] = {}
        epoch = self.epoch
        for _ in range(TRIES):
            if epoch != self.epoch:
                # What was known is of a log that lost its end.
                epoch, known = self.epoch, {}
            settled = settle_all(batches, known)
            bodies = [event.body for event in settled.fresh.values()]
            if not bodies:
                await self._confirm(epoch)
                return settled.answers
            said, *rest = await self._run(scripts.APPEND, epoch, self._last, self._now(), *bodies)
            if said == b"stored":
                base = int(rest[0])
                if self.epoch == epoch:
                    self._times.append(base, len(bodies), int(rest[1]))
                await self._confirm(epoch)
                self._reach(base + len(bodies))
                return placed(settled, base)
            if said == b"known":
                known |= known_of(rest)
            else:
                await self._greet_again()
        raise StoreError("redis: other daemons store the same events, again and again")

    async def _confirm(self, epoch: str) -> None:
        """Return when replicas have what was stored under an epoch, if they are to."""
        async with self._asking():
            await self._server.confirm()
        if self.epoch != epoch and self._server.place.replicas:
            # Another server was asked than the one that stored it.
            raise StoreError(f"redis at {self._server.place} took over just now: publish it again")

    async def read(
        self,
        after: int,
        limit: int,
        wanted: Filter | None = None,
        *,
        until: int | None = None,
        wait: float = 0,
        newest_first: bool = False,
    ) -> Page:
        """
        Return at most `limit` entries with a seq greater than `after`; see ``Store.read``.

        Oldest first, a page also ends after ``LOOKS`` chunks: ``looked`` is then where to go on.

        Raises:
            StoreError: It cannot be read.
            LogClosed: The store is closed, or was closed while waiting.
        """

        async def look(after: int) -> Page:
            read = self._read_newest if newest_first else self._read_oldest
            return await read(after, until, limit, wanted or EVERYTHING)

        if limit < 1:
            return Page([], after)
        if wait:
            self._follower.start()
        return await self._growth.read(look, after, until=until, wait=wait)

    async def grown(self, after: int, wait: float) -> int:
        """Return the last seq that is known, when it is greater than `after` or time is over."""
        self._follower.start()
        await self._growth.reached(after, wait)
        return self._last

    async def find(self, event_id: str) -> int | None:
        """Return the seq of the entry with this id; None when none is kept."""
        self._growth.check()
        if not is_event_id(event_id):
            return None
        async with self._asking():
            found = await self._ask.hget(self._server.keys[1], event_id)
        return None if found is None else int(found)

    async def seek(self, timestamp: float) -> int:
        """
        Return the seq before the first entry stored at or after `timestamp`.

        While Redis does not answer it is found among the entries that were read last.
        """
        self._growth.check()
        stored = int(timestamp * 1e6)
        try:
            return await self._first("stored", stored) - 1
        except StoreError:
            if (known := self._times.seek(stored, self._oldest)) is None:
                raise
            return known

    async def latest(self, wanted: Filter) -> list[Entry]:
        """Return the newest matching entry of each type, oldest first."""
        bounds = await self.bounds()
        async with self._asking():
            types: dict[bytes, bytes] = await self._ask.hgetall(self._server.keys[2])
        left = {name.decode(): int(seq) for name, seq in types.items() if int(seq) >= bounds.first}
        newest: dict[str, Entry] = {}
        edge = bounds.last
        while left and edge >= bounds.first:
            rows, _ = await self._rows(0, edge, newest_first=True)
            for entry in rows:
                if entry.type in left and wanted.matches(entry):
                    newest[entry.type] = entry
                    del left[entry.type]
            edge = rows[-1].seq - 1 if rows else 0
        return sorted(newest.values(), key=lambda entry: entry.seq)

    async def bounds(self) -> Bounds:
        """Return the first and the last seq that are kept, and where some are missing."""
        self._growth.check()
        for _ in range(TRIES):
            known = self._last
            oldest, epoch, last, holes = await self._run(scripts.EXTENT)
            if epoch == self.epoch.encode() and int(last) >= known:
                self._reach(int(last))
                first = int(oldest.partition(b"-")[0]) if oldest else int(last) + 1
                self._oldest = first
                return Bounds(first, int(last), holes_of(holes, first))
            # What was read is of another log than what the greeting finds.
            await self._greet_again()
        raise StoreError("redis: the log is begun anew, again and again")

    async def retain(self, max_events: int, max_age: float, max_bytes: int) -> Bounds:
        """Delete the oldest entries until the rest is within every limit; see ``Store.retain``."""
        bounds = await self.bounds()
        keep = newest(bounds, max_events) if max_events else bounds.first
        if max_age:
            async with self._asking():
                now = self._clock() if self._clock else await self._server.time()
            young = await self._first("stored", int((now - max_age) * 1e6))
            keep = max(keep, aged(bounds, young))
        if max_bytes:
            async with self._asking():
                end = int(await self._ask.hget(self._server.keys[3], "end") or 0)
            keep = max(keep, await self._first("begin", end - max_bytes))
        while keep > bounds.first and await self._run(scripts.TRIM, keep, CHUNK):
            self._growth.check()
        return await self.bounds()

    async def check(self) -> None:
        """Raise ``StoreError`` if appends would be refused; see ``Store.check``."""
        self._growth.check()
        async with self._asking():
            await self._server.check()
        if not self._hint.is_synced:
            # Not waited for: a disk that is slow is not the store's.
            asyncio.get_running_loop().run_in_executor(None, self._hint.sync)

    async def meet(self, name: str, told: bytes, forget: float) -> dict[str, tuple[float, bytes]]:
        """Leave word beside the log, and find what others have left; see ``SharedStore.meet``."""
        self._growth.check()
        found: list[bytes] = await self._run(scripts.MEET, name, told, int(forget * 1000))
        return {
            who.decode(errors="replace"): (int(age) / 1000, word)
            for who, age, word in zip(found[::3], found[1::3], found[2::3], strict=True)
        }

    async def close(self) -> None:
        """End: readers that wait get ``LogClosed``. Closing twice is allowed."""
        self._growth.end()
        await self._follower.stop()
        # What was to be stored before is stored before.
        async with self._appending:
            await self._server.close()
            await asyncio.to_thread(self._hint.close)

    def _now(self) -> str:
        return str(int(self._clock() * 1e6)) if self._clock else ""

    def _reach(self, last: int) -> None:
        """Know that the log reaches so far, and wake who waits for that."""
        if last > self._last:
            self._last = last
            self._hint.write(last)
        self._growth.tell(last)

    async def _grown(self, last: int, is_missing: bool) -> bool:
        """Take how far others have brought the log; tell whether it is still the same."""
        epoch, now = self.epoch, time.monotonic()
        if is_missing or now >= self._sure_until:
            self._sure_until = now + SURE_SECONDS
            await self.bounds()
        if self.epoch == epoch:
            self._reach(last)
        return self.epoch == epoch

    def _take(self, epoch: bytes, last: bytes, holes: bytes | None, line: bytes | None) -> None:
        """Take what the log is called, how far it reaches, and what became of that before."""
        name, names = epoch.decode(), (line or b"").decode().split()
        if self.epoch and name != self.epoch:
            if self.epoch not in names:
                self.anew = max((before for _, before in holes_of(holes, 0)), default=1) - 1
            self._note_lost(self._last, name)
            self._last = 0
            self._times.clear()
        self.epoch = name
        self._hint.begin(name, "".join(f"{each} " for each in names or [name]), int(last))
        self._reach(int(last))

    def _note_lost(self, last: int, name: str) -> None:
        logger.error("redis lost the log after %d: it goes on as %s", last, name)
        # In words that are the same whichever daemon saw it: all of them tell it, once.
        reason = f"redis lost the end of the log: it goes on as {name}"
        self.notes.append(Note("store.lost", reason, f"store.lost:{name}"))

    async def _greet(self, run: Ask, server: Found) -> list[bytes]:
        """Find out whether the log is still what it was, before anything else is asked."""
        new, before = secrets.token_hex(4), None if self.epoch else self._remembered
        if before:
            known = (before.epoch, before.seq, JUMP)
            begun = (before.line, int(self._hint.is_here(before)))
        else:
            known, begun = (self.epoch, self._last, JUMP), ("", 0)
        found: list[bytes] = await run(
            scripts.GREET, new, *known, server.failover, server.run, int(server.is_weak), *begun
        )
        if before and not self.epoch:
            self._compare(before, new, *found)
        self._take(*found)
        return found

    def _compare(
        self, before: Known, new: str, epoch: bytes, last: bytes, _holes: bytes, line: bytes | None
    ) -> None:
        """Tell what became, while no daemon of here looked, of the log that the last one knew."""
        name = epoch.decode()
        if name == before.epoch or last == b"0":
            return
        if name == new or before.epoch.encode() in (line or b"").split():
            self._note_lost(before.seq, name)
        else:
            logger.warning(
                "redis has another log, %s, than the last daemon here knew (%s, up to %d)",
                name, before.epoch, before.seq,
            )  # fmt: skip

    async def _greet_again(self) -> list[bytes]:
        async with self._asking():
            return await self._server.greet_again()

    async def _run(self, script: str, *arguments: str | int | bytes) -> Any:
        async with self._asking():
            return await self._server.run(script, *arguments)

    @asynccontextmanager
    async def _asking(self) -> AsyncGenerator[None, None]:
        """Turn what is wrong with Redis into a ``StoreError``, and let no cancelling be lost."""
        task = asyncio.current_task()
        cancelled = task.cancelling() if task else 0
        failure: Exception | None = None
        try:
            yield
        except Exception as error:  # noqa: BLE001 - told below
            failure = error
        if task and task.cancelling() > cancelled:
            # redis-py 8.1 goes on, or fails, when it is cancelled just as an answer comes.
            raise asyncio.CancelledError from failure
        if failure is None:
            return
        # What is cut off while it is asked fails in many ways.
        self._growth.check()
        if not isinstance(failure, RedisError | OSError):
            raise failure
        raise StoreError(explain(failure, self._server.place)) from failure

    async def _first(self, what: str, value: int) -> int:
        return int(await self._run(scripts.FIND, what, value))

    async def _rows(
        self, after: int, last: int | None, *, newest_first: bool = False
    ) -> tuple[list[Entry], bool]:
        """Return the next entries after one seq and up to another, and whether that was all."""
        key, count = self._server.keys[0], self._portion.count
        low, high = str(after + 1), "+" if last is None else str(last)
        rows: list[Row]
        epoch = self.epoch
        async with self._asking():
            if newest_first:
                rows = await self._ask.xrevrange(key, high, low, count)
            else:
                rows = await self._ask.xrange(key, low, high, count)
        self._growth.check()
        self._portion.learn(rows)
        if rows and self.epoch == epoch:
            begin = seq_of(rows[-1]) - 1 if newest_first else after
            self._times.read(begin, rows[::-1] if newest_first else rows)
        return [entry_of(row) for row in rows], len(rows) < count

    async def _next(self, after: int, until: int | None) -> tuple[list[Entry], int | None]:
        """Return the next entries after a seq; and up to where that is all, if it is."""
        if until is None and (rows := self._follower.take(after)):
            self._times.read(after, rows)
            return [entry_of(row) for row in rows], seq_of(rows[-1])
        # What is known before the look is seen by it.
        known = self._last if until is None else min(until, self._last)
        entries, is_all = await self._rows(after, until)
        return entries, known if is_all else None

    async def _read_oldest(self, after: int, until: int | None, limit: int, wanted: Filter) -> Page:
        found: list[Entry] = []
        size, looked = 0, after
        for _ in range(LOOKS):
            entries, reach = await self._next(looked, until)
            for entry in entries:
                looked = entry.seq
                if wanted.matches(entry):
                    found.append(entry)
                    size += len(entry.wire)
                    if len(found) >= limit or size >= PAGE_BYTES:
                        return Page(found, looked)
            if reach is not None:
                return Page(found, max(looked, reach))
        return Page(found, looked)

    async def _read_newest(self, after: int, until: int | None, limit: int, wanted: Filter) -> Page:
        last = (await self.bounds()).last
        last = last if until is None else min(until, last)
        found: list[Entry] = []
        edge = last
        while edge > after and len(found) < limit:
            rows, _ = await self._rows(after, edge, newest_first=True)
            found += [entry for entry in rows if wanted.matches(entry)]
            edge = rows[-1].seq - 1 if rows else after
        return Page(found[:limit], max(after, last))
