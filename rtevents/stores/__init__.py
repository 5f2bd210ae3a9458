"""Where rows are kept: one file per backend, and the table of them all."""

from __future__ import annotations

import importlib
from pathlib import Path

from rtevents.core.store import Store
from rtevents.errors import ConfigError

STORES = {
    "sqlite": "rtevents.stores.sqlite:SQLiteStore",
    "memory": "rtevents.stores.memory:MemoryStore",
    "redis": "rtevents.stores.redis:RedisStore",
    "rediss": "rtevents.stores.redis:RedisStore",
    "redis+unix": "rtevents.stores.redis:RedisStore",
    "redis+sentinel": "rtevents.stores.redis:RedisStore",
    "rediss+sentinel": "rtevents.stores.redis:RedisStore",
    "redis+cluster": "rtevents.stores.redis:RedisStore",
    "rediss+cluster": "rtevents.stores.redis:RedisStore",
}
"""Each backend by the name in front of its URL; loaded when it is used."""


def store_name(url: str) -> str:
    """Return a store's URL as it may be told: without who asks, and the password."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


async def open_store(url: str, *, path: Path, durability: str, strict: bool = False) -> Store:
    """
    Open the log that `url` names; a log that is not there yet begins empty.

    Args:
        url: ``sqlite``, ``memory`` for a log that ends with the process, or
            ``redis://host:port/db?log=NAME`` for one that several daemons share.
        path: Where a backend that keeps a file on this machine keeps it.
        durability: ``full``: an answered append survives power loss; ``normal``: kill -9 alone.
        strict: Refuse a log that is damaged, rather than put it aside and begin a new one.
    Raises:
        ConfigError: No backend has that name, or `durability` is neither of the two.
        StoreError: What is there cannot be opened; the text says why.
    """
    name = url.partition(":")[0]
    if name not in STORES:
        raise ConfigError(
            f"store: expected one of {', '.join(sorted(STORES))}, got {name!r}", field="store"
        )
    if durability not in ("full", "normal"):
        raise ConfigError(
            f"durability: expected full or normal, got {durability!r}", field="durability"
        )
    module, _, kind = STORES[name].partition(":")
    try:
        backend = getattr(importlib.import_module(module), kind)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"store: {name} needs the extra `redis`: pip install 'rtevents[redis]'", field="store"
        ) from error
    store: Store = await backend.open(url, path=path, durability=durability, strict=strict)
    return store
