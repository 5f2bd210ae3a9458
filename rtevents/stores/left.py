"""What is left to be moved of a log that goes on in Redis: looked for before it does."""

from __future__ import annotations

import asyncio
import logging
import shlex
from pathlib import Path

from redis.exceptions import RedisError

from rtevents.errors import StoreError
from rtevents.stores import redis_scripts as scripts
from rtevents.stores import store_name
from rtevents.stores.look import End, find_end
from rtevents.stores.redis_errors import explain
from rtevents.stores.redis_place import Place
from rtevents.stores.redis_server import Server

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
    try:
        here = await asyncio.to_thread(_end, file)
    except StoreError as error:
        logger.warning("nobody knows whether all of it was moved to redis: %s", error)
        return
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
    end, moved, last = here.last, int(moved or 0), int(last or 0)
    if epoch is None or epoch.decode() != here.epoch or end <= moved:
        return
    count = end - moved
    events, are = (f"{count} events", "are") if count > 1 else ("1 event", "is")
    if last == moved:
        command = f"rtevents migrate --from {shlex.quote(str(file))} '{store_name(url)}'"
        raise StoreError(
            f"{events} of {file} {are} not moved yet (up to seq {end}): run `{command}` once more"
        )
    raise StoreError(
        f"{events} of {file} (after seq {moved}, up to {end}) {are} not in {store_name(url)}, "
        f"which went on without them up to {last}: export them with `store: sqlite` if they are "
        "wanted, then put the file away"
    )


def _end(file: Path) -> End | None:
    return find_end(file) if file.exists() else None
