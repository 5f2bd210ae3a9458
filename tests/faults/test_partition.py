"""Daemons that share a log, one of them on another network that is cut off: F40."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rtevents.core.event import Entry
from tests.conftest import Daemon, folder_with_a_short_path, lodging, wait_for
from tests.faults.network import Way, namespace
from tests.faults.test_redis import (
    QUICK,
    Reader,
    check_order,
    connections,
    event,
    history,
    publish,
    refusal,
    state,
    status,
    told,
)
from tests.redis import RedisServer

Record = Callable[[str, object], None]


class Apart:
    """Two daemons beside their Redis, and a third on another network."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        near, far, between = (stack.enter_context(namespace(label)) for label in "nfb")
        self.way = Way(near, far, between)
        folder = stack.enter_context(folder_with_a_short_path())
        self.redis = RedisServer(
            folder,
            through=("ip", "netns", "exec", near),
            unixsocket=str(folder / "redis.sock"),
            bind=f"127.0.0.1 {Way.NEAR}",
            **{"protected-mode": "no"},
        )
        self.redis.start()
        stack.callback(self.redis.stop)
        beside = [self._start(name, near, "127.0.0.1", "--no-project") for name in ("one", "two")]
        self.far = self._lodge()
        self.repository = self.far.repository("web")
        self._start_in(self.far, "three", far, Way.NEAR, str(self.repository))
        self.daemons = [*beside, self.far]
        self.readers = [Reader(each) for each in self.daemons]
        for reader in self.readers:
            stack.callback(reader.end)

    def _lodge(self) -> Daemon:
        home = self._stack.enter_context(folder_with_a_short_path())
        return self._stack.enter_context(lodging(home))

    def _start(self, name: str, space: str, address: str, *arguments: str) -> Daemon:
        daemon = self._lodge()
        self._start_in(daemon, name, space, address, *arguments)
        return daemon

    def _start_in(
        self, daemon: Daemon, name: str, space: str, address: str, *arguments: str
    ) -> None:
        url = f"redis://{address}:{self.redis.port}/0?log=team"
        daemon.env |= QUICK | {"RTEVENTS_STORE": url, "RTEVENTS_NODE": name}
        daemon.start(*arguments, through=("ip", "netns", "exec", space))


@pytest.fixture
def apart() -> Iterator[Apart]:
    """Return three daemons on one log, in two networks of their own."""
    with ExitStack() as stack:
        yield Apart(stack)
