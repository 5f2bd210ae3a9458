"""A log that is moved from this machine's file to Redis: resumable, and compared afterwards."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from rtevents.errors import StoreDamaged, StoreError
from rtevents.stores import redis_scripts as scripts
from rtevents.stores.header import SCHEMA_VERSION
from rtevents.stores.look import look
from rtevents.stores.redis_place import Place
from rtevents.stores.redis_server import Ask, Found, Server, explain
from rtevents.stores.remains import check_remains
from rtevents.stores.sqlite_file import in_words, is_damage
from rtevents.stores.sqlite_rows import checksum

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
        weaknesses: Why an answered append may be lost there, one line each.
    """

    moved: int
    entries: int
    first: int
    last: int
    sha256: str
    epoch: str
    weaknesses: list[str]


class Row(NamedTuple):
    """An entry as it is kept: its seq, when it was stored in microseconds, and its body."""

    seq: int
    stored: int
    body: bytes


async def move(source: Path, url: str, *, tell: Tell = lambda _what, _share: None) -> Moved:
    """
    Move the entries of a log to Redis, each with its seq and its age, and compare all of them.

    The source is only read, as it is at this moment; what is there already is not moved again, so
    that it may be done while the daemon runs, and once more for the rest when it has stopped.

    Args:
        source: The database.
        url: Of the log in Redis: a new one, or one that was begun by this; see ``RedisStore.open``.
        tell: Told now and then how far it is.
    Raises:
        ConfigError: The URL cannot be read.
        StoreDamaged: An entry of the source is not what was written.
        StoreError: One of the two cannot be read or written, or there is another log.
    """
    if not check_remains(source):
        raise StoreError(f"{source}: there is no log")
    try:
        with look(source) as db:
            log = _Source(source, db)
            async with _target(Place.parse(url), log.epoch) as target:
                begun = await target.extent()
                moved = await _move(log, target, begun, tell)
                return await _compare(log, target, moved, tell)
    except sqlite3.Error as error:
        kind = StoreDamaged if is_damage(error) else StoreError
        raise kind(f"{source}: cannot be read: {in_words(error)}") from error


class _Source:
    """The log of this machine, of one moment."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self._path = path
        self._db = db
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version < SCHEMA_VERSION:
            raise StoreError(
                f"{path}: of an older rtevents; start the daemon on it once, and it is brought up"
            )
        (self.epoch,) = db.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
        first, last = db.execute("SELECT min(seq), max(seq) FROM entry").fetchone()
        self.first: int = first or 1
        self.last: int = last or 0

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

    async def extent(self) -> tuple[int, int]:
        """Return the first seq that is kept there, and the last; 0 for none."""
        oldest, epoch, last, _ = await self._server.run(scripts.EXTENT)
        if epoch is not None and epoch.decode() != self._epoch:
            raise StoreError(
                f"{self._name} is another log ({epoch.decode()}, this one is {self._epoch}): "
                "name one that is not there yet, by ?log=NAME"
            )
        return int(oldest.partition(b"-")[0] or 0), int(last or 0)

    async def add(self, after: int, rows: list[Row]) -> None:
        """Add entries behind the seq that was the last."""
        flat = [value for row in rows for value in row]
        place = (self._epoch, self._found.failover, self._found.run, after)
        if await self._server.run(scripts.ADOPT, *place, *flat) != b"done":
            raise StoreError(f"{self._name} grows by itself: end every daemon that is on it")

    async def rows(self, first: int, last: int) -> list[Row]:
        """Return the entries from one seq to another."""
        found = await self._ask.xrange(self._server.keys[0], str(first), str(last))
        return [_row(name, fields) for name, fields in found]

    @property
    def _name(self) -> str:
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


async def _move(log: _Source, target: _Target, begun: tuple[int, int], tell: Tell) -> int:
    """Move what is not there yet; return how many."""
    first, last = begun
    if last > log.last:
        raise StoreError(
            f"the log in redis reaches to {last}, this one to {log.last}: it went on there"
        )
    if first:
        # Before anything is put behind it.
        await _compare_some(
            [row for row in next(log.rows(last - 1), []) if row.seq <= last], target
        )
    moved, due = 0, log.last - max(last, log.first - 1)
    for rows in log.rows(last):
        await target.add(last, rows)
        last = rows[-1].seq
        moved += len(rows)
        tell("moved", 1 - (log.last - last) / due)
    return moved


async def _compare(log: _Source, target: _Target, moved: int, tell: Tell) -> Moved:
    """Read all of it again, here and there."""
    first, _ = await target.extent()
    digest, entries = sha256(), 0
    for rows in log.rows(max(0, first - 1)):
        await _compare_some(rows, target)
        for row in rows:
            digest.update(b"%d %d %d\n%b\n" % (row.seq, row.stored, len(row.body), row.body))
        entries += len(rows)
        tell("compared", 1 - (log.last - rows[-1].seq) / max(1, log.last - first + 1))
    if not entries:
        first = log.last + 1
    return Moved(moved, entries, first, log.last, digest.hexdigest(), log.epoch, target.weaknesses)


async def _compare_some(rows: list[Row], target: _Target) -> None:
    there = await target.rows(rows[0].seq, rows[-1].seq) if rows else []
    if there == rows:
        return
    wrong = next((a.seq for a, b in zip(rows, there, strict=False) if a != b), None)
    seq = wrong or rows[len(there)].seq
    raise StoreError(
        f"entry {seq} is not the same in redis: the two logs have gone apart; "
        "name one that is not there yet, by ?log=NAME"
    )
