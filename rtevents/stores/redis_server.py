"""Server: the connections to the Redis that has a log, and what they find there."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import (
    NoPermissionError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from rtevents.errors import StoreError
from rtevents.stores.redis_find import FoundConnection, FoundSSLConnection, finder
from rtevents.stores.redis_place import Place

CONNECT_SECONDS = 2.0
"""Seconds to wait for a connection."""

ANSWER_SECONDS = 5.0
"""Seconds to wait for an answer; what was asked may have been done all the same."""

UNHEARD_MS = int(ANSWER_SECONDS * 1000) + 500
"""
Milliseconds after which the system gives up what a server has not confirmed to have got. Otherwise
it goes on sending what was asked on a connection that is closed: an append that was refused long
ago would be stored after the network is back, behind what was published since.
"""

LOOK_SECONDS = 30.0
"""Seconds after which it is asked again how Redis is set."""

CONNECTIONS = 8
"""Most connections at once, besides the one that waits: who finds none free waits for one."""

REPLICA_SECONDS = 2.0
"""Seconds that the replicas have to store what is to be answered."""

KEYS = ("entries", "ids", "types", "log", "nodes")
"""What a log is made of; see ``redis_scripts``."""

Ask = Callable[..., Awaitable[Any]]
Greeted = Callable[[Ask, "Found"], Awaitable[list[bytes]]]


class Found(NamedTuple):
    """
    Which server a connection leads to.

    Args:
        failover: The moment at which it became the master of what another had; empty for never.
        run: Names this run of the process.
        is_weak: Whether a run may begin with less than the one before had answered for.
    """

    failover: str
    run: str
    is_weak: bool


class Server:
    """
    The connections to one Redis: none is used before it is known whose log is there.

    Args:
        place: Where it is.
    Attributes:
        keys: The log's: ``entries``, ``ids``, ``types``, ``log``, ``nodes``; see ``redis_scripts``.
        greeted: Is told of each new connection, before anything else is asked there.
        weaknesses: Why an answered append may be lost there, one line each.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.keys = [f"{{{place.name}}}:{part}" for part in KEYS]
        self.weaknesses: list[str] = []
        self.greeted: Greeted | None = None
        self._finder = finder(place, self.keys[3])
        self.redis = self._client(ANSWER_SECONDS, CONNECTIONS)
        # Of its own, so that who waits keeps nobody out, and none is taken for slow: who waits does
        # so with a timeout around it, for redis-py 8.1 is not to be cancelled with one of its own.
        self.waiting = self._client(None, 1)
        self._greeting = asyncio.Lock()
        self._is_closed = False
        self._look_due = 0.0

    def _client(self, seconds: float | None, connections: int) -> Redis:
        place = self.place
        kind: type[AbstractConnection]
        where: dict[str, Any]
        if place.path:
            kind, where = UnixDomainSocketConnection, {"path": place.path}
        elif self._finder:
            kind = FoundSSLConnection if place.is_tls else FoundConnection
            where = {"find": self._finder.find}
        else:
            kind = SSLConnection if place.is_tls else Connection
            where = dict(zip(("host", "port"), place.hosts[0], strict=True))
        if not place.path:
            where["socket_keepalive_options"] = _keepalive()
        pool = BlockingConnectionPool(
            max_connections=connections,
            timeout=ANSWER_SECONDS,
            connection_class=kind,
            **where,
            db=place.db,
            username=place.username,
            password=place.password,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=seconds,
            client_name="rtevents",
            # Once, for the connection may have been cut long ago: it would try ten times, and who
            # publishes is told at once. What was stored all the same is then there already.
            retry=Retry(NoBackoff(), 1, (RedisConnectionError,)),
            redis_connect_func=self._connected,
        )
        return Redis.from_pool(pool)

    async def run(self, script: str, *arguments: str | int | bytes) -> Any:
        """Run a script on the log's keys."""
        return await self.redis.register_script(script)(self.keys, arguments)

    async def greet_again(self) -> list[bytes]:
        """Find out whose log is there, on a connection that there is."""
        async with self._greeting:
            found = await self._look()
            assert self.greeted is not None  # noqa: S101 - the store sets it before it asks
            return await self.greeted(self.run, found)

    async def _look(self) -> Found:
        """Find out what is there, on a connection that there is."""
        said: dict[str, Any] = await self.redis.info("everything")
        info = {name: str(value) for name, value in said.items()}
        return self._found(info, await self._settings(self.redis.execute_command))

    async def time(self) -> float:
        """Return the server's time, in unix seconds."""
        seconds, micros = await self.redis.time()
        return float(seconds) + float(micros) / 1e6

    async def check(self) -> None:
        """
        Write something that means nothing.

        Raises:
            RedisError: Appends would be refused.
        """
        await self.redis.hset(self.keys[3], "checked", "1")
        if time.monotonic() >= self._look_due:
            # Somebody may have set it otherwise, which ends no connection.
            await self._look()

    async def confirm(self) -> None:
        """
        Return when as many replicas as are wanted have all that was stored before.

        Raises:
            StoreError: They do not, in time.
        """
        wanted = self.place.replicas
        if not wanted:
            return
        async with self.redis.pipeline(transaction=False) as pipe:
            # Redis waits for what this connection wrote last.
            pipe.hset(self.keys[3], "checked", "1")
            pipe.execute_command("WAIT", wanted, int(REPLICA_SECONDS * 1000))
            _, have = await pipe.execute()
        if have < wanted:
            raise StoreError(
                f"redis at {self.place}: {have} of {wanted} replicas have it (`replicas`): it may "
                "be lost with this server, publish it again"
            )

    async def close(self) -> None:
        """Close every connection; what is asked there just now may open no other."""
        self._is_closed = True
        await self.redis.aclose()
        await self.waiting.aclose()
        if self._finder:
            await self._finder.close()

    async def _connected(self, connection: AbstractConnection) -> None:
        if self._is_closed:
            raise RedisConnectionError("it is closed")
        await connection.on_connect()

        async def ask(*command: object) -> Any:
            await connection.send_command(*command)
            return await connection.read_response()

        async def run(script: str, *arguments: object) -> Any:
            return await ask("EVAL", script, len(self.keys), *self.keys, *arguments)

        info = _lines(await ask("INFO", "everything"))
        found = self._found(info, await self._settings(ask))
        if self.greeted is not None:
            await self.greeted(run, found)

    async def _settings(self, ask: Ask) -> Mapping[str, str] | None:
        """Return the settings that tell what is kept; None where nobody may know."""
        try:
            said = await ask("CONFIG", "GET", "append*")
        except NoPermissionError:
            return None
        except RedisError as error:
            # A hosted Redis may not have the command at all.
            if "unknown command" in str(error).lower():
                return None
            raise
        return _pairs(said)

    def _found(self, info: Mapping[str, str], settings: Mapping[str, str] | None) -> Found:
        """Read what a server says of itself."""
        version = info.get("redis_version", "")
        if version.partition(".")[0].isdigit() and int(version.partition(".")[0]) < 7:
            raise ResponseError(f"it is {version}: a log needs Redis 7, or Valkey")
        if info.get("role") == "slave":
            raise ReadOnlyError("it is a replica")
        self._look_due = time.monotonic() + LOOK_SECONDS
        self.weaknesses = _weaknesses(info, settings)
        may_fail_over = self.place.kind in ("sentinel", "cluster")
        if may_fail_over and info.get("connected_slaves", "0") != "0" and not self.place.replicas:
            self.weaknesses.append(
                "a replica that takes over may lack what was answered just before: see `replicas`"
            )
        offset = info.get("second_repl_offset", "-1")
        failover = "" if offset == "-1" else f"{info.get('master_replid2')}:{offset}"
        is_weak = info.get("aof_enabled") != "1" or (settings or {}).get("appendfsync") != "always"
        return Found(failover, info.get("run_id", ""), is_weak)


def _keepalive() -> dict[int, int]:
    """Return how TCP is to find out that nobody is there any more, as far as the system can."""
    wanted = {
        "TCP_KEEPIDLE": 30,
        "TCP_KEEPINTVL": 5,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": UNHEARD_MS,
    }
    return {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}


def _weaknesses(info: Mapping[str, str], settings: Mapping[str, str] | None) -> list[str]:
    found: list[str] = []
    if info.get("aof_enabled") != "1":
        found.append("`appendonly` is off: when redis ends, what came since its last save is lost")
    elif settings is None:
        found.append("`appendfsync` cannot be read: power loss may take what was answered")
    elif (when := settings.get("appendfsync")) != "always":
        found.append(f"`appendfsync` is {when}: power loss may take what was answered just before")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        found.append(f"`maxmemory-policy` is {policy}: redis may throw the log away")
    return found


def _lines(info: bytes | str) -> dict[str, str]:
    """Read the answer of INFO."""
    text = info.decode(errors="replace") if isinstance(info, bytes) else info
    pairs = (line.partition(":") for line in text.splitlines() if line[:1] not in ("", "#"))
    return {name: value for name, _, value in pairs}


def _pairs(said: Mapping[bytes, bytes] | Sequence[bytes]) -> dict[str, str]:
    """Read a map as either protocol gives it."""
    pairs = said.items() if isinstance(said, Mapping) else zip(said[::2], said[1::2], strict=True)
    return {_text(name): _text(value) for name, value in pairs}


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
