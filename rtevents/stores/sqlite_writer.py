"""Writer: the one thread that writes to a database, with the one connection that may."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple

from rtevents.core.event import Event, Stored
from rtevents.errors import EventConflict
from rtevents.stores import sqlite_rows as rows
from rtevents.stores.sqlite_file import DatabaseFile, is_busy, is_full
from rtevents.stores.sqlite_known import Known
from rtevents.stores.sqlite_transactions import BUSY_PAUSE, Transactions

GROUP = 1_000
"""Events after which further appends wait for the next transaction."""

TRIM = 500
"""Entries that one transaction deletes: appends wait a few milliseconds for it, not seconds."""

TRIM_BYTES = 4 * 1024**2
"""Wire bytes that one transaction deletes, give or take one entry."""

HERE_EVENTS = 64
"""Most events that are stored without the thread."""

HERE_SECONDS = 0.001
"""
Longest transaction, in the mean of the last few, for which the thread is not woken: on a quick disk
a commit takes less time than two threads need to wake each other.
"""

CHECKPOINTS = 150
"""
Transactions without the thread after which it makes a checkpoint: SQLite would make one in the
midst of a commit, at about 1,000 pages, and hold the event loop for that long.
"""

HINT_EVERY = 1.0
"""Seconds between two syncs of the hint."""

Batches = Sequence[Sequence[Event]]
Answers = list[list[Stored] | EventConflict]


class _Append(NamedTuple):
    batches: Batches
    future: asyncio.Future[Answers]


class _Call(NamedTuple):
    work: Callable[[], object]
    future: asyncio.Future[object]


class Writer:
    """
    Writes in one thread, in the order in which it was asked.

    Appends that wait for the thread share one transaction and one sync; each is answered after
    the commit returned. While the thread is idle and the disk is quick, the event loop writes in
    its place: there is still one writer at a time, and it does not wait for another process's lock.

    Args:
        file: The database.
        db: What ``file.connect_writer`` returned; the thread closes it.
        epoch: The log's name.
        clock: Returns unix seconds; what entries age by.
        grown: Called in the event loop with the newest seq when there are more entries.
    """

    def __init__(
        self,
        file: DatabaseFile,
        db: sqlite3.Connection,
        *,
        epoch: str,
        clock: Callable[[], float],
        grown: Callable[[int], None],
    ) -> None:
        self.extent = rows.load_extent(db)
        self._file = file
        self._db = db
        self._transactions = Transactions(file, db)
        self._clock = clock
        self._grown = grown
        # The newest seq whose hint survives a power cut.
        self._hinted = 0
        self._hint_due = 0.0
        file.hint.open(epoch)
        file.hint.write(self.extent.last)
        # Held by whoever uses the connection.
        self._turn = threading.Lock()
        # Jobs of the thread that are not answered; the event loop's own to count.
        self._pending = 0
        self._stored_here = 0
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Append | _Call | None] = queue.SimpleQueue()
        # At most one job: taken from the queue to look at it, and to be done next.
        self._held: list[_Append | _Call | None] = []
        # A daemon, so that a store nobody closed does not keep the interpreter from ending.
        self._thread = threading.Thread(target=self._run, name="rtevents-write", daemon=True)
        self._thread.start()

    async def append(self, batches: Batches) -> Answers:
        """
        Store batches; cancelling does not take back what waits to be stored.

        Raises:
            StoreError: Nothing of the transaction was stored.
        """
        if not self._pending and self._transactions.took < HERE_SECONDS:
            events = sum(map(len, batches))
            if events <= HERE_EVENTS and self._turn.acquire(blocking=False):
                try:
                    return self._store_here(batches)
                except _LockedError:
                    pass  # the thread can wait
        future: asyncio.Future[Answers] = self._loop.create_future()
        self._pending += 1
        self._jobs.put(_Append(batches, future))
        return await future

    def _store_here(self, batches: Batches) -> Answers:
        try:
            [answers] = self._store([batches], wait=0)
        except (sqlite3.Error, OSError) as error:
            if is_busy(error):
                raise _LockedError from None
            raise self._file.explain(error) from error
        finally:
            self._turn.release()
        self._grown(self.extent.last)
        self._stored_here += 1
        if self._stored_here % CHECKPOINTS == 0:
            # What comes meanwhile waits for it.
            self._pending += 1
            self._jobs.put(_Call(self._transactions.checkpoint, self._loop.create_future()))
        return answers

    async def trim(self, keep: int) -> None:
        """
        Delete of what is before the seq `keep`, oldest first, as much as one transaction should.

        Raises:
            StoreError: Nothing was deleted.
        """
        await self._call(lambda: self._trim(keep))

    async def load_ballast(self) -> None:
        """Make the ballast again, if it was given up and there is room for it."""
        await self._call(self._file.load_ballast)

    def check(self) -> None:
        """
        Make sure that appends can be stored, as far as that is seen without one; may block.

        Raises:
            StoreError: They would be refused.
        """
        until = time.monotonic() + self._file.busy_timeout
        while True:
            try:
                # Not held while another process has the lock: who appends waits for that itself.
                with self._turn:
                    self._transactions.look()
                return
            except sqlite3.Error as error:
                if not is_busy(error) or time.monotonic() >= until:
                    raise self._file.explain(error) from error
            time.sleep(BUSY_PAUSE)

    def stop(self) -> None:
        """Write what waits, checkpoint and close; return when it is done. Twice is allowed."""
        self._jobs.put(None)
        self._thread.join()

    async def _call(self, work: Callable[[], object]) -> None:
        future: asyncio.Future[object] = self._loop.create_future()
        self._pending += 1
        self._jobs.put(_Call(work, future))
        await future

    def _run(self) -> None:
        while (job := self._take()) is not None:
            with self._turn:
                self._do(job)
                if time.monotonic() >= self._hint_due:
                    self._hint()
        with self._turn:
            self._finish()

    def _do(self, job: _Append | _Call) -> None:
        if isinstance(job, _Call):
            self._answer([job.future], lambda: [job.work()])
            return
        jobs = [job, *self._gather(job)]
        self._answer(
            [each.future for each in jobs],
            lambda: self._store([each.batches for each in jobs], wait=self._file.busy_timeout),
        )

    def _take(self) -> _Append | _Call | None:
        """Wait for the next job; None to stop. A hint that is due is written meanwhile."""
        if self._held:
            return self._held.pop()
        while True:
            try:
                is_hinted = self._hinted == self.extent.last
                return self._jobs.get(timeout=None if is_hinted else HINT_EVERY)
            except queue.Empty:
                with self._turn:
                    self._hint()

    def _gather(self, first: _Append) -> Iterator[_Append]:
        """Yield the appends that wait already, as many as a transaction takes."""
        events = sum(map(len, first.batches))
        while events < GROUP:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            if not isinstance(job, _Append):
                self._held.append(job)
                return
            events += sum(map(len, job.batches))
            yield job

    def _answer(
        self, futures: Sequence[asyncio.Future[Any]], work: Callable[[], Sequence[object]]
    ) -> None:
        """Do the work and hand what it returns, or its error, to those who wait for it."""
        results: Sequence[object]
        try:
            results = work()
        except (sqlite3.Error, OSError) as error:
            results = [self._file.explain(error)] * len(futures)
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is awaited
            results = [error] * len(futures)
        self._loop.call_soon_threadsafe(self._deliver, futures, results, self.extent.last)

    def _deliver(
        self, futures: Sequence[asyncio.Future[Any]], results: Sequence[object], last: int
    ) -> None:
        for future, result in zip(futures, results, strict=True):
            if future.done():
                continue  # whoever waited was cancelled
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
        self._pending -= len(futures)
        self._grown(last)

    def _store(self, waiting: Sequence[Batches], *, wait: float) -> list[Answers]:
        self._file.check_room(self._db)
        with self._transactions.write(wait) as db:
            try:
                answers, extent = self._store_new(db, waiting)
            except sqlite3.IntegrityError:
                # Some id is known. That is rare, so nothing is looked up before it is sure.
                self._transactions.begin(wait)
                answers, extent = self._store_known(db, waiting)
        self.extent = extent
        self._file.hint.write(extent.last)
        return answers

    def _store_new(
        self, db: sqlite3.Connection, waiting: Sequence[Batches]
    ) -> tuple[list[Answers], rows.Extent]:
        """Store batches none of whose ids is known."""
        events = [event for batches in waiting for batch in batches for event in batch]
        extent = rows.insert(db, events, self.extent, self._clock())
        seqs = count(self.extent.last + 1)
        answers: list[Answers] = [
            [[Stored(event.event_id, seq, False) for event, seq in zip(batch, seqs)]  # noqa: B905
             for batch in batches]
            for batches in waiting
        ]  # fmt: skip
        return answers, extent

    def _store_known(
        self, db: sqlite3.Connection, waiting: Sequence[Batches]
    ) -> tuple[list[Answers], rows.Extent]:
        """Store batches some of whose ids are known, or come twice."""
        known = Known(
            db, {event.event_id for batches in waiting for batch in batches for event in batch}
        )
        answers = [
            [known.settle(batch, self.extent.last) for batch in batches] for batches in waiting
        ]
        events = [event for _, event in known.accepted.values()]
        return answers, rows.insert(db, events, self.extent, self._clock())

    def _trim(self, keep: int) -> None:
        try:
            self._delete(keep)
        except sqlite3.Error as error:
            if not is_full(error) or not self._file.take_ballast():
                raise
            self._delete(keep)

    def _delete(self, keep: int) -> None:
        if self.extent.first >= keep:
            return  # another trim went further meanwhile
        before = self.extent
        try:
            with self._transactions.write(self._file.busy_timeout) as db:
                first = before.first
                most = min(keep, first + TRIM, rows.after_bytes(db, before, TRIM_BYTES))
                # Told before it is done: who reads meanwhile must find a gap, not entries missing.
                self.extent = before._replace(first=max(most, first + 1))
                rows.delete(db, self.extent.first)
        except BaseException:
            self.extent = before
            raise

    def _hint(self) -> None:
        self._hint_due = time.monotonic() + HINT_EVERY
        if self._hinted != self.extent.last:
            self._hinted = self.extent.last
            self._file.hint.sync()

    def _finish(self) -> None:
        self._file.hint.close()
        self._transactions.close()


class _LockedError(Exception):
    """Another process has the lock, and the event loop does not wait for it."""
