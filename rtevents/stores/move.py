"""A log that is moved from this machine's file to Redis: resumable, and compared afterwards."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from rtevents.errors import StoreDamaged, StoreError
from rtevents.stores import redis_scripts as scripts
from rtevents.stores.header import SCHEMA_VERSION
from rtevents.stores.hint import Hint, HintFile
from rtevents.stores.look import look
from rtevents.stores.redis_errors import explain
from rtevents.stores.redis_place import Place
from rtevents.stores.redis_server import Ask, Found, Server
from rtevents.stores.remains import check_remains
from rtevents.stores.sqlite_file import in_words, is_damage
from rtevents.stores.sqlite_rows import checksum, load_extent

CHUNK = 500
"""Entries that are moved, or compared, at once: Redis does nothing else meanwhile."""

Tell = Callable[[str, float], None]
"""Is told what is done, and which share of it, 0 to 1."""


class Moved(NamedTuple):
    """
    What a log that was moved holds now.

    Args:
        moved: Entries that were not there before.
        entries: Entries that are the same here and there.
        first: The first seq of them; one more than `last` when there is none.
        last: The last.
        sha256: Of them all: seq, microseconds of storing, body.
        epoch: The log's name, here and there: bookmarks stay good.
        is_complete: Whether a daemon may go on in it; else the rest is to be moved first.
        weaknesses: Why an answered append may be lost there, one line each.
    """

    moved: int
    entries: int
    first: int
    last: int
    sha256: str
    epoch: str
    is_complete: bool
    weaknesses: list[str]


class Kept(NamedTuple):
    """
    What a log in Redis holds.

    Args:
        is_begun: Whether there is one.
        first: The first seq that is kept; 0 for none.
        last: The last that it ever had; 0 for none.
        moved: The last that was moved there: what follows, it was given there.
        due: How far it has to come before a daemon goes on in it.
    """

    is_begun: bool
    first: int
    last: int
    moved: int
    due: int


class Row(NamedTuple):
    """An entry as it is kept: its seq, when it was stored in microseconds, and its body."""

    seq: int
    stored: int
    body: bytes


async def move(
    source: Path,
    url: str,
    *,
    is_in_use: bool = False,
    tell: Tell = lambda _what, _share: None,
) -> Moved:
    """
    Move the entries of a log to Redis, each with its seq and its age, and compare all of them.

    The source is only read, as it is at this moment; what is there already is not moved again, so
    that it may be done while the daemon runs, and once more for the rest when it has stopped. The
    log's name and its last seq go along, be there no entry left. What was moved and would no longer
    stand before the rest, for the source has trimmed both it and what followed, is trimmed there.

    No daemon goes on in Redis before all of it is there and compared: the seqs of what is published
    into the source afterwards would be given twice, under one epoch.

    Args:
        source: The database.
        url: Of the log in Redis: a new one, or one that was begun by this; see ``RedisStore.open``.
        is_in_use: Whether a daemon may still append to the source: there will be more to move.
        tell: Told now and then how far it is.
    Raises:
        ConfigError: The URL cannot be read.
        StoreDamaged: An entry of the source is not what was written.
        StoreError: One of the two cannot be read or written, or there is another log.
    """
    if not check_remains(source):
        raise StoreError(f"{source}: there is no log")
    # Before the log is looked at: it has come at least so far.
    hint = _hint_beside(source)
    try:
        with look(source) as db:
            log = _Source(source, db, hint)
            async with _target(Place.parse(url), log.epoch) as target:
                moved = await _move(log, target, tell, is_in_use=is_in_use)
                result = await _compare(log, target, moved, tell)
                if is_in_use:
                    return result
                await target.complete(log)
                return result._replace(is_complete=True)
    except sqlite3.Error as error:
        kind = StoreDamaged if is_damage(error) else StoreError
        raise kind(f"{source}: cannot be read: {in_words(error)}") from error


def _hint_beside(source: Path) -> Hint | None:
    file = source.resolve()
    return HintFile(file.with_name(f"{file.name}.hint")).read()


class _Source:
    """The log of this machine, of one moment."""

    def __init__(self, path: Path, db: sqlite3.Connection, hint: Hint | None) -> None:
        self._path = path
        self._db = db
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version < SCHEMA_VERSION:
            raise StoreError(
                f"{path}: of an older rtevents; start the daemon on it once, and it is brought up"
            )
        (self.epoch,) = db.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
        extent = load_extent(db)
        self.first, self.last = extent.first, extent.last
        if hint and hint.epoch == self.epoch and hint.seq > self.last:
            raise StoreError(
                f"{path}: entries {self.last + 1} to {hint.seq} are lost; start the daemon on it "
                "once, and it goes on under another name"
            )

    def rows(self, after: int) -> Iterator[list[Row]]:
        """Yield the entries after a seq, some at a time."""
        found = self._db.execute(
            "SELECT seq, stored_at, CAST(body AS BLOB), crc FROM entry WHERE seq > ? ORDER BY seq",
            (after,),
        )
        with closing(found):
            while some := found.fetchmany(CHUNK):
                for seq, _, body, crc in some:
                    if crc != checksum(seq, body):
                        raise StoreDamaged(
                            f"{self._path}: entry {seq} is damaged; a log of what can be read: "
                            f"rtevents doctor --recover {self._path} --into NEW"
                        )
                yield [Row(seq, int(at * 1e6), body) for seq, at, body, _ in some]


class _Target:
    """The log in Redis."""

    def __init__(self, server: Server, epoch: str) -> None:
        self._server = server
        # redis-py's types know bytes from text only where they are told at each call.
        self._ask: Any = server.redis
        self._epoch = epoch
        self._found = Found("", "", is_weak=True)
        server.greeted = self._greet

    @property
    def weaknesses(self) -> list[str]:
        """Why an answered append may be lost there."""
        return self._server.weaknesses

    async def _greet(self, _: Ask, server: Found) -> list[bytes]:
        self._found = server
        return []

    async def kept(self) -> Kept:
        """
        Return what is there.

        Raises:
            StoreError: It is another log.
        """
        oldest, epoch, last, moved, due = await self._server.run(scripts.ADOPTED)
        if epoch is not None and epoch.decode() != self._epoch:
            raise StoreError(
                f"{self.name} is another log ({epoch.decode()}, this one is {self._epoch}): "
                "name one that is not there yet, by ?log=NAME"
            )
        first = int(oldest.partition(b"-")[0] or 0)
        numbers = (int(number or 0) for number in (last, moved, due))
        return Kept(epoch is not None, first, *numbers)

    async def complete(self, log: _Source) -> None:
        """Let daemons go on in it."""
        there = await self.kept()
        if there.due > there.last:
            await self.add(there.last, log, [], due=there.last)

    async def add(
        self, after: int, log: _Source, rows: list[Row], *, due: int | None = None
    ) -> None:
        """
        Add entries behind the seq that was the last.

        Args:
            due: How far it has to come before a daemon goes on in it; None for more than there is.
        Raises:
            StoreError: It is not the last any more.
        """
        flat = [value for row in rows for value in row]
        due = log.last + 1 if due is None else due
        place = (self._epoch, self._found.failover, self._found.run, after, log.first, due)
        if await self._server.run(scripts.ADOPT, *place, *flat) == b"done":
            return
        there = await self.kept()
        if there.last != there.moved:
            raise self.went_on(there, log)
        if there.last < after:
            raise StoreError(f"{self.name} lost what was moved there just now: run it once more")
        raise StoreError(
            f"another `rtevents migrate` is just moving to {self.name}: let it end, and run this "
            "once more for what is left; nothing is there twice"
        )

    def went_on(self, there: Kept, log: _Source) -> StoreError:
        """Return what is wrong when it has what this log has not."""
        if there.last == there.moved:
            why = "what was moved there is of a later moment"
        else:
            why = f"it went on there after {there.moved}, by a daemon that is on it"
        return StoreError(
            f"{self.name} reaches to {there.last}, this one to {log.last}: {why}; to move all of "
            "this one, name a log that is not there yet, by ?log=NAME"
        )

    async def rows(self, first: int, last: int) -> list[Row]:
        """Return the entries from one seq to another."""
        found = await self._ask.xrange(self._server.keys[0], str(first), str(last))
        return [_row(name, fields) for name, fields in found]

    @property
    def name(self) -> str:
        """Which log it is, for people."""
        return f"redis at {self._server.place}: the log {self._server.place.name}"


@asynccontextmanager
async def _target(place: Place, epoch: str) -> AsyncIterator[_Target]:
    server = Server(place)
    try:
        yield _Target(server, epoch)
    except (RedisError, OSError) as error:
        raise StoreError(explain(error, place)) from error
    finally:
        await server.close()


def _row(name: bytes, fields: dict[bytes, bytes]) -> Row:
    seq, _, stored = name.partition(b"-")
    return Row(int(seq), int(stored), fields[b"b"])


async def _move(log: _Source, target: _Target, tell: Tell, *, is_in_use: bool) -> int:
    """Move what is not there yet; return how many."""
    there = await target.kept()
    if there.last > log.last or there.last != there.moved:
        raise target.went_on(there, log)
    last = there.last
    if there.first:
        # Before anything is put behind it.
        await _compare_some(
            [row for row in next(log.rows(last - 1), []) if row.seq <= last], target
        )
    moved, left = 0, log.last - max(last, log.first - 1)
    for rows in log.rows(last):
        await target.add(last, log, rows)
        last = rows[-1].seq
        moved += len(rows)
        tell("moved", 1 - (log.last - last) / left)
    if last < log.last or not there.is_begun or (is_in_use and there.due <= last):
        # There are no entries left: how far it came goes along all the same.
        await target.add(last, log, [])
    return moved


async def _compare(log: _Source, target: _Target, moved: int, tell: Tell) -> Moved:
    """Read all of it again, here and there."""
    first = (await target.kept()).first
    digest, entries = sha256(), 0
    for rows in log.rows(max(0, first - 1)):
        same = await _compare_some(rows, target)
        for row in same:
            digest.update(b"%d %d %d\n%b\n" % (row.seq, row.stored, len(row.body), row.body))
        entries += len(same)
        tell("compared", 1 - (log.last - rows[-1].seq) / max(1, log.last - first + 1))
    if not entries:
        first = log.last + 1
    return Moved(
        moved, entries, first, log.last, digest.hexdigest(), log.epoch, False, target.weaknesses
    )


async def _compare_some(rows: list[Row], target: _Target) -> list[Row]:
    """Compare entries; return those that are there, for a daemon that is on it may trim."""
    there = await target.rows(rows[0].seq, rows[-1].seq) if rows else []
    if there != rows:
        first = (await target.kept()).first
        rows = [row for row in rows if row.seq >= first]
        there = [row for row in there if row.seq >= first]
    wrong = [one for one, other in zip_longest(rows, there) if one != other]
    if not wrong:
        return rows
    seq = (wrong[0] or there[len(rows)]).seq
    raise StoreError(
        f"entry {seq} is not the same in redis: the two logs have gone apart; "
        "name one that is not there yet, by ?log=NAME"
    )
