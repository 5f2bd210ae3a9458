"""NodeBook: the daemons that share a log with this one, and this one's heartbeat among them."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import secrets
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from rtevents import __version__
from rtevents.config.settings import NODE, Config
from rtevents.core.event import Event, EventType, Undated
from rtevents.core.keep import load, save
from rtevents.core.names import new_event_id
from rtevents.core.node import FORGOTTEN_AFTER, LOST_AFTER, Ear, Heard, Node, Nodes, here, together
from rtevents.core.service import SYSTEM_SOURCE, EventService
from rtevents.core.store import SharedStore, Store
from rtevents.daemon.spool import LocalSpool
from rtevents.errors import EventConflict, LogClosed, StoreError, Unavailable

logger = logging.getLogger(__name__)

TOLD_EVERY = 10
"""
Heartbeats after which one is a SYSTEM_STATUS though nothing has changed. The others are told to the
nodes alone: at one of 30 seconds they would fill the log of who has little to tell.
"""

LOOK_SECONDS = 2.0
"""Longest time, in seconds, that who asks for the nodes waits for the shared log."""

NAMED = 3
"""Nodes that a warning names, at most."""

LEAVE_SECONDS = 2.0
"""Longest time, in seconds, that the end waits for the others to be told of it."""


class NodeBook:
    """
    The daemons that share a log with this one.

    Each leaves its heartbeat beside the log, and finds those of the others there. The stream gets
    a SYSTEM_STATUS when one starts, stops, is well or unwell again, every ``TOLD_EVERY``
    heartbeats, and, once, whichever others see it, when one is lost. While the log is away nobody
    hears anybody: that is no loss.

    Args:
        store: The log; of one that is not shared, this is the only node.
        spool: Where events wait for it.
        config: Names this node, and says how often it tells.
        state: An existing folder, in which its name is kept.
        further: The service and the spool of each further log: their figures are this node's, too.
    """

    def __init__(
        self,
        service: EventService,
        store: Store,
        spool: LocalSpool,
        *,
        config: Config,
        state: Path,
        further: Sequence[tuple[EventService, LocalSpool]] = (),
    ) -> None:
        self._service = service
        self._each = [(service, spool), *further]
        self._store = store if isinstance(store, SharedStore) else None
        self._interval = config.node_interval
        self._run = secrets.token_hex(8)
        self._started_at = time.time()
        self.name = config.node or _name(state / "node.json")
        """What this node is called."""
        self._logs = {each.name: each.projects for each in config.logs}
        # What is known of the others, by name.
        self._others: dict[str, Ear] = {}
        # Whether the last question for them had no answer.
        self._is_deaf = False
        self._told: dict[str, str] = {}
        self._beats = 0
        self._last_status = ""

    def all(self) -> Nodes:
        """Return every node with its figures, as far as they are known here."""
        now = time.monotonic()
        others = [
            each.heard(now, is_deaf=self._is_deaf, logs=self._logs)
            for each in list(self._others.values())
        ]
        return together([here(self._here()), *others], is_away=self._is_deaf)

    async def look(self) -> Nodes:
        """Return every node as it tells of itself just now; as is known here where nobody can."""
        # Who asks again and again while the log is away need not wait each time.
        is_away = self._is_deaf and self._service.trouble
        if self._store is not None and not is_away:
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._meet(self._store, self._here())
        return self.all()

    async def run(self) -> None:
        """Tell and listen, until cancelled or the log ends."""
        if self._store is None:
            return
        with suppress(LogClosed):
            while True:
                try:
                    await self._beat()
                except LogClosed:
                    raise
                except Unavailable as error:
                    logger.debug("the other nodes are not heard: %s", error)
                    # The first that is heard again is told.
                    self._last_status = ""
                await asyncio.sleep(self._interval)

    async def leave(self) -> None:
        """Tell that this node ends, which is no loss."""
        if self._store is None:
            return
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._store.meet(self.name, b"", FORGOTTEN_AFTER)
                await self._tell(self._here(), "node.stopped")

    def _here(self) -> Node:
        health = self._service.health()
        figures = [service.statistics() for service, _ in self._each]
        return Node(
            name=self.name,
            run=self._run,
            beat=self._beats,
            version=__version__,
            started_at=self._started_at,
            interval=self._interval,
            status=health.status,
            reasons=health.reasons,
            connections=sum(each.connections["current"] for each in figures),
            published=sum(each.events["published"] for each in figures),
            delivered=sum(each.events["delivered"] for each in figures),
            rate=sum(each.events["rate_1m"] for each in figures),
            spooled=sum(spool.waiting for _, spool in self._each),
            logs=self._logs,
        )

    async def _meet(self, store: SharedStore, node: Node) -> None:
        """Leave word of this node, and hear the others."""
        told = msgspec.json.encode(node)
        try:
            found = await store.meet(self.name, told, FORGOTTEN_AFTER)
        except (Unavailable, asyncio.CancelledError):
            self._is_deaf = True
            raise
        self._hear(found)
        self._is_deaf = False
        self._compare_logs()

    async def _beat(self) -> None:
        assert self._store is not None  # noqa: S101 - for the type checker
        node = self._here()
        await self._meet(self._store, node)
        for each in self.all().nodes:
            if each.is_lost:
                await self._tell_lost(each)
            else:
                self._told.pop(each.name, None)
        if self._beats % TOLD_EVERY == 0 or node.status != self._last_status:
            await self._tell(node, "node.heartbeat" if self._beats else "node.started")
        self._last_status = node.status
        self._beats += 1

    def _hear(self, found: dict[str, tuple[float, bytes]]) -> None:
        """Take in what was found beside the log, which others than daemons may write to."""
        now = time.monotonic()
        before, self._others = self._others, {}
        for name, (age, told) in found.items():
            try:
                node = msgspec.json.decode(told, type=Node)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            if not re.match(NODE, name):
                continue
            if name != self.name:
                node = msgspec.structs.replace(node, name=name)
                known = before.get(name, Ear(node, age, now))
                self._others[name] = known.again(node, age, now, was_deaf=self._is_deaf)
            else:
                self._check_name(node, age)

    def _compare_logs(self) -> None:
        """Warn of a node that puts events into other logs: who reads here does not find them."""
        others = [each for each in self.all().nodes if each.has_other_logs and not each.is_lost]
        names = ", ".join(repr(each.name) for each in others[:NAMED])
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        text = (
            f"{names}{more}: configured with other `logs` than this node, so an event that is "
            "published there is not found here; give all nodes the same `logs`, and restart them"
        )
        self._service.warn("logs.differ", text if others else None)

    def _check_name(self, node: Node, age: float) -> None:
        """Warn when another daemon goes by the same name: one of them would never be missed."""
        # What was there at the start is what this node left when it was killed.
        is_twice = self._beats and node.run != self._run and age < self._interval
        text = f"another daemon is called {self.name!r} too: give one another name (`node`)"
        self._service.warn("node", text if is_twice else None)

    async def _tell(self, node: Node, what: str) -> None:
        data = _data(node, node.status, what, node.reasons)
        status = Event(type=EventType.SYSTEM_STATUS, data=data, source=SYSTEM_SOURCE)
        await self._service.publish(status)

    async def _tell_lost(self, node: Heard) -> None:
        """Tell that a node is lost; of several that see it, one is heard."""
        last = f"{node.name}/{node.run}/{node.beat}".encode()
        event_id = f"node.lost:{hashlib.blake2b(last, digest_size=16).hexdigest()}"
        if self._told.get(node.name) == event_id:
            return
        logger.warning("node %s is lost", node.name)
        reason = f"node {node.name} was not heard for {LOST_AFTER * node.interval:g} s"
        told = Undated(
            event_id=event_id,
            type=EventType.SYSTEM_STATUS,
            data=_data(node, "degraded", "node.lost", [reason]),
            source=SYSTEM_SOURCE,
        )
        with suppress(EventConflict):
            await self._service.publish(told)
        self._told[node.name] = event_id


def _data(node: Node, status: str, what: str, reasons: list[str]) -> dict[str, Any]:
    metrics = {
        name: getattr(node, name)
        for name in ("connections", "published", "delivered", "rate", "spooled")
    }
    return {
        "status": status,
        "event": what,
        "node": node.name,
        "reasons": reasons,
        "metrics": metrics,
    }


def _name(file: Path) -> str:
    """Return this machine's name with what tells two daemons there apart; it is kept."""
    kept = load(file, dict[str, str], {})
    if not kept.get("name"):
        host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:48] or "node"
        kept = {"name": f"{host}-{new_event_id()[-4:]}"}
        with suppress(StoreError):
            save(file, kept)
    return kept["name"]
