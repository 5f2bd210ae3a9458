"""A log in Redis looked at from outside, beside daemons that may use it: nothing is changed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, RedisError
from redis.exceptions import TimeoutError as RedisTimeout

from rtevents.errors import StoreError
from rtevents.stores import redis_scripts as scripts
from rtevents.stores.left import refuse_left
from rtevents.stores.redis_errors import explain
from rtevents.stores.redis_place import Place
from rtevents.stores.redis_server import Server


class Looked(NamedTuple):
    """
    What there is of a log in Redis.

    Args:
        place: Where Redis is, for people.
        log: What the log is called there.
        version: Of Redis, or of what is like it.
        weaknesses: Why an answered append may be lost there, one line each.
        forbidden: The commands that a log needs, and this user may not give; None where that cannot
            be found out.
        refused: Why nothing can be stored there now; None where it can.
        entries: How many there are; None where there is no log yet.
        first: The seq of the first of them; one more than `last` when there is none.
        last: The last seq that it ever had.
        epoch: The log's name for bookmarks.
        left: What of it is still to be moved there, and how; None for nothing.
        nodes: Of each daemon that shares it, the seconds since it was heard, and its word.
    """

    place: str
    log: str
    version: str
    weaknesses: list[str]
    forbidden: list[str] | None
    refused: str | None
    entries: int | None
    first: int
    last: int
    epoch: str
    left: str | None
    nodes: dict[str, tuple[float, bytes]]


async def look_at(url: str, file: Path) -> Looked:
    """
    Look at a log in Redis.

    Args:
        url: Of the log; see ``RedisStore.open``.
        file: Where it would be on this machine: what is there may be still to be moved.
    Raises:
        ConfigError: The URL cannot be read.
        StoreError: Redis does not answer, or lets nobody look; the text is one line.
    """
    place = Place.parse(url)
    server = Server(place)
    try:
        looked = await _look(server)
    except (RedisError, OSError) as error:
        raise StoreError(explain(error, place)) from error
    finally:
        await server.close()
    try:
        await refuse_left(file, url)
    except StoreError as error:
        return looked._replace(left=str(error))
    return looked


async def _look(server: Server) -> Looked:
    # redis-py's types know bytes from text only where they are told at each call.
    ask: Any = server.redis
    info = {name: str(value) for name, value in (await ask.info("everything")).items()}
    forbidden, refused = await _try(server)
    oldest, epoch, *numbers = b"", None, None, None, None
    entries, nodes = 0, {}
    # Who may not look is told so already.
    with suppress(NoPermissionError):
        oldest, epoch, *numbers = await server.run(scripts.ADOPTED)
        entries = await ask.xlen(server.keys[0])
        nodes = await _nodes(server)
    last, _, due = (int(number or 0) for number in numbers)
    is_like = info.get("server_name", "redis")
    return Looked(
        place=str(server.place),
        log=server.place.name,
        version=f"{is_like} {info.get(f'{is_like}_version') or info.get('redis_version', '?')}",
        weaknesses=server.weaknesses,
        forbidden=forbidden,
        refused=refused,
        entries=None if epoch is None else entries,
        first=int(oldest.partition(b"-")[0]) if oldest else last + 1,
        last=last,
        epoch=(epoch or b"").decode(),
        left=_LEFT if due > last else None,
        nodes=nodes,
    )


_LEFT = (
    "the log is not all moved here: let `rtevents migrate` end; else end the daemon that has the "
    "old file, and run it once more"
)


async def _try(server: Server) -> tuple[list[str] | None, str | None]:
    """Find out what would be refused: it is put into a transaction, which is then given up."""
    forbidden: list[str] = []
    refused: str | None = None
    pool: Any = server.redis.connection_pool
    connection = await pool.get_connection()
    try:
        await connection.send_command("MULTI")
        await connection.read_response()
        for command in _wanted(server):
            await connection.send_command(*command)
            try:
                await connection.read_response()
            except NoPermissionError:
                forbidden.append(command[0])
            except (RedisConnectionError, RedisTimeout):
                # What is sent on another connection is in no transaction.
                raise
            except RedisError as error:
                refused = refused or explain(error, server.place)
        await connection.send_command("DISCARD")
        await connection.read_response()
    except NoPermissionError:
        return None, None
    finally:
        # A transaction that was not given up would be another's.
        await connection.disconnect()
        await pool.release(connection)
    return forbidden, refused


def _wanted(server: Server) -> list[tuple[str, ...]]:
    """Return what a log needs; each would change nothing of it even if it were done."""
    entries, ids, types, log, nodes = server.keys
    wanted: list[tuple[str, ...]] = [
        # No entry has the seq 0.
        ("XADD", entries, "NOMKSTREAM", "0-1", "b", "x"),
        ("XRANGE", entries, "0", "0"),
        ("XREVRANGE", entries, "0", "0"),
        ("XREAD", "COUNT", "1", "STREAMS", entries, "$"),
        ("XTRIM", entries, "MINID", "0"),
        ("HSET", log, "checked", "1"),
        ("HSETNX", log, "checked", "1"),
        ("HGET", ids, ""),
        ("HMGET", ids, ""),
        ("HGETALL", types),
        ("HDEL", nodes, ""),
        ("UNLINK", f"{ids}:none"),
        ("EVAL", "return 1", "0"),
        ("EVALSHA", "0" * 40, "0"),
        ("SCRIPT", "LOAD", "return 1"),
        ("TIME",),
    ]
    return [*wanted, ("WAIT", "0", "1")] if server.place.replicas else wanted


async def _nodes(server: Server) -> dict[str, tuple[float, bytes]]:
    ask: Any = server.redis
    found: dict[bytes, bytes] = await ask.hgetall(server.keys[4])
    now = await server.time()
    nodes: dict[str, tuple[float, bytes]] = {}
    for name, told in found.items():
        at, _, word = told.partition(b" ")
        if at.isdigit():
            nodes[name.decode(errors="replace")] = (max(0.0, now - int(at) / 1000), word)
    return nodes
