"""What is left to be moved of a log that goes on in Redis: looked for before it does."""

from __future__ import annotations

import asyncio
import logging
import shlex
import sqlite3
from pathlib import Path

from redis.exceptions import RedisError

from rtevents.errors import StoreError
from rtevents.stores import redis_scripts as scripts
from rtevents.stores import store_name
from rtevents.stores.look import look
from rtevents.stores.redis_errors import explain
from rtevents.stores.redis_place import Place
from rtevents.stores.redis_server import Server
from rtevents.stores.sqlite_file import in_words
from rtevents.stores.sqlite_rows import load_extent

logger = logging.getLogger(__name__)


async def refuse_left(file: Path, url: str) -> None:
    """
    Look whether this machine's file has entries that were to be moved to Redis, and are not there.

    New ones would get their seqs, under the same epoch: who has seen those would be told nothing.
    Neither the file nor what is in Redis is changed.

    Args:
        file: Where a log on this machine would be.
        url: Of the log in Redis; see ``Place.parse``.
    Raises:
        StoreError: It has; or Redis does not answer.
    """
    here = await asyncio.to_thread(_end, file)
    if here is None:
        return
    place = Place.parse(url)
    server = Server(place)
    try:
        _, epoch, last, moved, _ = await server.run(scripts.ADOPTED)
    except (RedisError, OSError) as error:
        raise StoreError(explain(error, place)) from error
    finally:
        await server.close()
    name, end = here
    if epoch is None or epoch.decode() != name or end <= int(moved or 0):
        return
    count, moved, last = end - int(moved or 0), int(moved or 0), int(last or 0)
    events = f"{count} event{'s' if count > 1 else ''} of {file}"
    if last == moved:
        command = f"rtevents migrate --from {shlex.quote(str(file))} '{store_name(url)}'"
        raise StoreError(f"{events} are not moved yet (up to seq {end}): run `{command}` once more")
    raise StoreError(
        f"{events} (after seq {moved}, up to {end}) are not in {store_name(url)}, which went on "
        f"without them up to {last}: export them with `store: sqlite` if they are wanted, then put "
        "the file away"
    )


def _end(file: Path) -> tuple[str, int] | None:
    """Return the epoch of a log and its last seq; None where there is none that can be read."""
    if not file.exists():
        return None
    try:
        with look(file) as db:
            row = db.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
            return (str(row[0]), load_extent(db).last) if row else None
    except (StoreError, OSError, sqlite3.Error) as error:
        words = str(error) if isinstance(error, StoreError) else in_words(error)
        logger.warning("%s: nobody knows whether all of it was moved to redis: %s", file, words)
        return None
