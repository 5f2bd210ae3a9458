"""Where the server is that has a log: of those that sentinels, or a cluster's nodes, know."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from rtevents.stores.redis_place import Place

FIND_SECONDS = 2.0
"""Seconds that a sentinel, or a node, has to answer where the log is, before the next is asked."""

Find = Callable[[], Awaitable[tuple[str, int]]]


class FoundConnection(Connection):
    """
    A connection to the server that has the log now: each time it connects it asks where that is.

    What says that the log is elsewhere closes it, and is a ``ConnectionError``: who asks connects
    again, so that the server is greeted before it is asked.

    Args:
        find: Returns the server's host and port.
    """

    def __init__(self, *, find: Find, **kwargs: Any) -> None:
        self._find = find
        super().__init__(**kwargs)

    async def _connect(self) -> None:
        self.host, self.port = await self._find()
        await super()._connect()  # type: ignore[no-untyped-call] # redis-py's

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Read an answer; see above for the one that says that the log is elsewhere."""
        try:
            return await super().read_response(*args, **kwargs)
        except (MovedError, ReadOnlyError) as error:
            await self.disconnect()
            raise RedisConnectionError(f"the log is elsewhere now: {error}") from error
        except ResponseError as error:
            # The server became a replica while it was waited for.
            if not str(error).startswith("UNBLOCKED"):
                raise
            await self.disconnect()
            raise RedisConnectionError("the server is a replica now") from error


class FoundSSLConnection(FoundConnection, SSLConnection):
    """The same by TLS."""


class Sentinels:
    """
    Those that know which server is the master.

    Args:
        place: Which of them to ask for which.
    """

    def __init__(self, place: Place) -> None:
        self._master = place.master
        # Most have the servers' password or none.
        asked = [{"username": place.username, "password": place.password}] if place.password else []
        self._sentinels = [
            Sentinel(place.hosts, sentinel_kwargs=_options(place) | who)  # type: ignore[no-untyped-call] # redis-py's
            for who in [*asked, {}]
        ]

    async def find(self) -> tuple[str, int]:
        """
        Return the master's host and port.

        Raises:
            RedisError: None of them knows one.
        """
        wrong = MasterNotFoundError()
        for sentinel in self._sentinels:
            try:
                host, port = await sentinel.discover_master(self._master)
                return str(host), int(port)
            except MasterNotFoundError as error:
                wrong = error
        raise wrong

    async def close(self) -> None:
        """Close the connections to them."""
        for sentinel in self._sentinels:
            await sentinel.aclose()


class Nodes:
    """
    Nodes of a cluster; any of them knows which one has a log.

    Args:
        place: Which of them to ask.
        key: One that the log has.
    """

    def __init__(self, place: Place, key: str) -> None:
        self._key = key
        self._nodes = [
            Redis(
                host=host,
                port=port,
                username=place.username,
                password=place.password,
                **_options(place),
            )
            for host, port in place.hosts
        ]

    async def find(self) -> tuple[str, int]:
        """
        Return the host and port of the node that has the log.

        Raises:
            RedisError: None of them answers, or the log is on no node that lives.
        """
        wrong: RedisError = RedisConnectionError("no node answers")
        for node in list(self._nodes):
            asked: dict[str, Any] = node.connection_pool.connection_kwargs
            try:
                await node.exists(self._key)
                return asked["host"], asked["port"]
            except MovedError as error:
                # A cluster may leave out the name: it is that of the node that was asked.
                return error.host or asked["host"], error.port
            except (AskError, TryAgainError, ClusterDownError) as error:
                wrong = error
            except RedisError as error:
                wrong = error if isinstance(wrong, RedisConnectionError) else wrong
                # Who does not answer is asked last from now on.
                self._nodes.append(self._nodes.pop(self._nodes.index(node)))
        raise wrong

    async def close(self) -> None:
        """Close the connections to them."""
        for node in self._nodes:
            await node.aclose()


def finder(place: Place, key: str) -> Sentinels | Nodes | None:
    """Return what finds the server of a log; None where its place is known."""
    kinds: dict[str, Callable[[], Sentinels | Nodes]] = {
        "sentinel": lambda: Sentinels(place),
        "cluster": lambda: Nodes(place, key),
    }
    make = kinds.get(place.kind)
    return make() if make else None


def _options(place: Place) -> dict[str, Any]:
    return {
        "socket_connect_timeout": FIND_SECONDS,
        "socket_timeout": FIND_SECONDS,
        "ssl": place.is_tls,
        "client_name": "rtevents",
        "retry": Retry(NoBackoff(), 0),
    }
