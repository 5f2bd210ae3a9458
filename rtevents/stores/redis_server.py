"""Place and Server: where a log of Redis is, the connections to it, and what they find there."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeout

from rtevents.errors import ConfigError

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

CONNECTIONS = 8
"""Most connections at once, besides the one that waits: who finds none free waits for one."""

KEYS = ("entries", "ids", "types", "log", "nodes")
"""What a log is made of; see ``redis_scripts``."""

PORT = 6379
NAME = "rtevents"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")

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


class Place(NamedTuple):
    """
    Where a log is.

    Args:
        host: Name or address; empty for a Unix socket.
        port: Of the server.
        path: Of its Unix socket; empty for none.
        db: Its number there.
        name: The log's own name, which its keys begin with.
        username, password: Who asks; None for nobody.
        is_tls: Whether the server is asked by TLS, with the system's authorities.
    """

    host: str
    port: int
    path: str
    db: int
    name: str
    username: str | None
    password: str | None
    is_tls: bool

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, url: str) -> Place:
        """
        Read ``redis://[user:password@]host[:port][/db][?log=NAME]``; ``rediss``, ``redis+unix``.

        Raises:
            ConfigError: It is not of that form; the text does not tell the password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or PORT
        except ValueError as error:
            raise ConfigError(f"store: not a URL of Redis: {error}", field="store") from error
        asked = parse_qs(parts.query, keep_blank_values=True)
        name = asked.pop("log", [NAME])[-1]
        is_unix = parts.scheme == "redis+unix"
        db = asked.pop("db", ["0"])[-1] if is_unix else parts.path.strip("/") or "0"
        wrong = (
            "expected redis://host:port/db"
            if not (parts.path if is_unix else parts.hostname)
            else f"the database is a number, got {db[:40]!r}"
            if not db.isdecimal()
            else f"log: a name of A-Z a-z 0-9 . _ -, got {name[:80]!r}"
            if not _NAME.match(name)
            else f"unknown: {', '.join(sorted(asked))[:80]}; there is `log`"
            if asked
            else None
        )
        if wrong:
            raise ConfigError(f"store: {wrong}", field="store")
        return cls(
            host="" if is_unix else parts.hostname or "",
            port=port,
            path=unquote(parts.path) if is_unix else "",
            db=int(db),
            name=name,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            is_tls=parts.scheme == "rediss",
        )


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
        self.redis = self._client(ANSWER_SECONDS, CONNECTIONS)
        # Of its own, so that who waits keeps nobody out, and none is taken for slow.
        self.waiting = self._client(None, 1)
        self._greeting = asyncio.Lock()
        self._is_closed = False

    def _client(self, seconds: float | None, connections: int) -> Redis:
        place = self.place
        kind: type[AbstractConnection]
        where: dict[str, Any]
        if place.path:
            kind, where = UnixDomainSocketConnection, {"path": place.path}
        else:
            kind = SSLConnection if place.is_tls else Connection
            where = {"host": place.host, "port": place.port}
        pool = BlockingConnectionPool(
            max_connections=connections,
            timeout=ANSWER_SECONDS,
            connection_class=kind,
            **where,
            **({} if place.path else {"socket_keepalive_options": _keepalive()}),
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
            said: dict[str, Any] = await self.redis.info("everything")
            info = {name: str(value) for name, value in said.items()}
            found = self._found(info, await self._settings(self.redis.execute_command))
            assert self.greeted is not None  # noqa: S101 - the store sets it before it asks
            return await self.greeted(self.run, found)

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

    async def close(self) -> None:
        """Close every connection; what is asked there just now may open no other."""
        self._is_closed = True
        await self.redis.aclose()
        await self.waiting.aclose()

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
        if info.get("role") == "slave":
            raise ReadOnlyError("it is a replica")
        self.weaknesses = _weaknesses(info, settings)
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


def explain(error: Exception, place: Place) -> str:
    """Say in one line what is wrong with a Redis, and what to do."""
    text = " ".join(str(error).split())[:200]
    kinds: list[tuple[type[Exception], str]] = [
        (AuthenticationError, f"refuses the user or the password: {text}"),
        (NoPermissionError, f"does not allow this user what a log needs: {text}"),
        (OutOfMemoryError, "is full: give it a larger maxmemory, or keep less (`retention`)"),
        (ReadOnlyError, f"takes no writes: {text}"),
        (BusyLoadingError, "is still loading what it had"),
        (RedisTimeout, "does not answer in time"),
        (TimeoutError, "does not answer in time"),
    ]
    for kind, words in kinds:
        if isinstance(error, kind):
            return f"redis at {place} {words}"
    return f"redis at {place}: {text or type(error).__name__}"


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
