"""Group: one cursor, many sockets."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from typing import Any, Protocol

from rtevents.core.connection import Connection
from rtevents.core.event import Entry, Event, Gap
from rtevents.core.filter import Filter, Grant
from rtevents.core.log import Cursor, Start
from rtevents.core.service import EventService
from rtevents.errors import LogClosed, RteventsError
from rtevents.server.wire import Encoding, gap_fields

logger = logging.getLogger(__name__)

HIGH_WATER = 64 * 1024
"""Bytes that may wait in a member's transport before it leaves its group."""

SEND_BUFFER = 256 * 1024
"""The kernel's send buffer of a stream, in bytes: what a slow reader may cost (promise P5)."""

DUTY_FLOOR = 0.002
"""Shortest time, in seconds, between two rounds under load: events gather meanwhile."""

DUTY_CEILING = 0.05
"""Longest such time, in seconds."""

GOODBYE = 2.0
"""Seconds that a peer has to answer a close frame before its transport is aborted."""


class Drain(Protocol):
    """What tells when a transport has room again: aiohttp's ``request.writer``."""

    async def drain(self) -> None:
        """Return when the transport wants more."""


class Member:
    """
    A connection and the socket that it is written to.

    Args:
        connection: What the service knows of it.
        transport: Where its bytes go.
        drain: Tells when the transport has room again.
        encoding: How it is written.
        grant: What its principal may see: whoever changes its filter stays within it.
    """

    def __init__(
        self,
        connection: Connection,
        transport: asyncio.WriteTransport,
        drain: Drain,
        encoding: Encoding,
        grant: Grant,
    ) -> None:
        self.connection = connection
        self.encoding = encoding
        self.grant = grant
        self.unanswered_since: float | None = None
        """When the first heartbeat was sent that it has not answered, by the loop's clock."""
        self.is_live = False
        """Whether it was told that the replay is over."""
        self.is_subscribed = True
        """Whether it wants what its filter says: a WebSocket that unsubscribed does not."""
        self._transport = transport
        self._drain = drain
        self._room: asyncio.Future[None] | None = None

    def write(self, block: bytes, position: int, entries: int = 0) -> None:
        """Write bytes that bring the reader to `position`; a closed transport takes nothing."""
        connection = self.connection
        if not self._transport.is_closing():
            self._transport.write(block)
            connection.sent_bytes += len(block)
            connection.delivered += entries
        connection.position = position
        if not self._transport.get_write_buffer_size():
            connection.touch()

    @property
    def is_lagging(self) -> bool:
        """Whether so much waits in its transport that the group should not wait for it."""
        return self._transport.get_write_buffer_size() > HIGH_WATER

    def control(self, name: str, **fields: Any) -> None:
        """Write a control frame."""
        self.write(self.encoding.control(name, fields), self.connection.position)

    async def drained(self, patience: float) -> None:
        """
        Return when the transport has room.

        Args:
            patience: Seconds in which it must accept a byte.
        Raises:
            TimeoutError: It accepted none.
            ConnectionError: The peer is gone.
        """
        while waiting := self._transport.get_write_buffer_size():
            # In a task of its own, for aiohttp's drain must not be cancelled: every later one of
            # that connection would be cancelled too (3.14.5, `BaseProtocol._drain_helper`).
            if self._room is None or self._room.done():
                self._room = asyncio.ensure_future(self._drain.drain())
                self._room.add_done_callback(_forgive)
            await asyncio.wait([self._room], timeout=patience)
            if not self._room.done() and self._transport.get_write_buffer_size() >= waiting:
                raise TimeoutError
            self.connection.touch()
            if self._room.done():
                self._room.result()
                return

    def end(self) -> None:
        """Write no more once everything is written, and listen until the peer hangs up."""
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        """Hang up when everything is written."""
        self._transport.close()

    def abort(self) -> None:
        """Cut the peer off."""
        self._transport.abort()


def _forgive(room: asyncio.Future[None]) -> None:
    """Take note of how a wait ended for which nobody may be waiting any more."""
    if not room.cancelled():
        room.exception()


class Group:
    """
    Members with the same filter and the same encoding, riding one cursor.

    A page is encoded once, and the same bytes are written to every member.
    """

    def __init__(self, fanout: Fanout, wanted: Filter, encoding: Encoding) -> None:
        self._fanout = fanout
        self._log = fanout.service.log
        self._cursor = Cursor(self._log, wanted, self._log.last)
        self._encoding = encoding
        self.members: dict[Member, None] = {}
        self.moved = asyncio.Event()

    @property
    def position(self) -> int:
        """The seq up to which every member was served."""
        return self._cursor.position

    async def run(self) -> None:
        """Serve the members until none is left or the log ends."""
        loop = asyncio.get_running_loop()
        interval = self._fanout.service.heartbeat_interval
        beat = loop.time() + interval
        pong: float | None = None
        not_before = 0.0
        while self.members:
            due = beat if pong is None else min(beat, pong)
            try:
                grown = await self._log.grown(self.position, max(0.0, due - loop.time()))
                if grown:
                    # The duty rule (DESIGN section 8): as long a pause as the last round took.
                    await asyncio.sleep(not_before - loop.time())
                    begun = loop.time()
                    self._round(await self._cursor.next(0))
                    pause = min(DUTY_CEILING, max(DUTY_FLOOR, loop.time() - begun))
                    not_before = loop.time() + pause
            except LogClosed:
                return
            now = loop.time()
            if pong is not None and now >= pong:
                pong = None
                self._drop_silent(now - self._fanout.pong_timeout)
            if now >= beat:
                beat = now + interval
                self._beat(now)
                if pong is None and self._encoding.key == "ws":
                    pong = now + self._fanout.pong_timeout

    def _round(self, items: Sequence[Entry | Gap]) -> None:
        """Write one page to every member; one that does not keep up leaves."""
        position = self.position
        if items:
            block = encode(self._encoding, items, self._log.epoch)
            count = _count(items)
            self._fanout.service.counters.delivered += count * len(self.members)
            for member in list(self.members):
                member.write(block, position, count)
                if member.is_lagging:
                    self._fanout.set_down(member)
        else:
            for member in self.members:
                member.connection.position = position
        self.moved.set()
        self.moved = asyncio.Event()

    def _beat(self, now: float) -> None:
        """Write a heartbeat to every member."""
        bookmark = self._log.bookmark(self.position)
        block = self._encoding.heartbeat(self._fanout.heartbeat(), bookmark)
        for member in self.members:
            member.write(block, self.position)
            if member.unanswered_since is None:
                member.unanswered_since = now

    def _drop_silent(self, before: float) -> None:
        """Close those that have not answered a heartbeat sent until `before`."""
        silent = [
            member
            for member in self.members
            if member.unanswered_since is not None and member.unanswered_since <= before
        ]
        for member in silent:
            member.connection.close("no pong")


class Fanout:
    """
    Every stream of a server: who rides which group, and who catches up.

    Args:
        service: What is streamed.
        send_timeout: Seconds without an accepted byte after which a reader is cut off.
        pong_timeout: Seconds in which a WebSocket must answer a heartbeat.
    """

    def __init__(self, service: EventService, *, send_timeout: float, pong_timeout: float) -> None:
        self.service = service
        self.pong_timeout = pong_timeout
        self._send_timeout = send_timeout
        self._groups: dict[tuple[Filter, str], Group] = {}
        self._rides: dict[Member, Group] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._climbing: dict[Member, asyncio.Task[None]] = {}
        self._last_beat: tuple[float, Event] | None = None

    def board(self, member: Member, start: Start) -> None:
        """Begin a stream: ``hello``, what is missing, what was, ``live``, and what comes."""
        connection, log = member.connection, self.service.log
        member.control(
            "hello",
            connection_id=connection.connection_id,
            epoch=log.epoch,
            bookmark=str(log.bookmark(start.gap.after if start.gap else start.after)),
            verdict=start.verdict,
            filter=connection.wanted.as_dict(),
        )
        first: list[Entry | Gap] = [start.gap] if start.gap else list(start.snapshot)
        if first:
            block = encode(member.encoding, first, log.epoch)
            member.write(block, start.after, len(start.snapshot))
        connection.on_close(lambda: self.leave(member))
        self._climb(member)

    def leave(self, member: Member) -> None:
        """Take a member out, whether it rides or catches up."""
        if group := self._rides.pop(member, None):
            group.members.pop(member, None)
        if climb := self._climbing.pop(member, None):
            climb.cancel()

    def set_down(self, member: Member) -> None:
        """Let a member that does not keep up go on at its own pace."""
        self.leave(member)
        self._climb(member)

    def change(self, member: Member, wanted: Filter, after: int | None = None) -> int:
        """
        Give a member another filter, from the very place where it is or from `after`.

        Returns:
            The seq after which the new filter holds.
        """
        self.leave(member)
        connection = member.connection
        connection.wanted = wanted
        if after is not None:
            connection.position = after
            member.is_live = False
        member.is_subscribed = True
        self._climb(member)
        return connection.position

    def unsubscribe(self, member: Member) -> None:
        """Let a member stay where it is and get nothing, until its filter is changed."""
        self.leave(member)
        member.is_subscribed = False

    def finish(self, member: Member, code: int = 1001) -> None:
        """Write what a member that kept up has not had yet, then ``bye`` and the end."""
        connection, log = member.connection, self.service.log
        while member.is_subscribed and not member.is_lagging:
            page = log.peek(connection.position, connection.wanted)
            if page is None or page.looked <= connection.position:
                break
            self._write(member, page.entries, page.looked)
        bookmark = str(log.bookmark(connection.position))
        member.control("bye", reason=connection.close_reason or "closed", bookmark=bookmark)
        member.write(member.encoding.end(code), connection.position)

    async def drained(self, member: Member) -> None:
        """
        Return when a member's transport has room.

        Raises:
            ConnectionError: The peer is gone, or was cut off since it accepted no byte.
        """
        try:
            await member.drained(self._send_timeout)
        except TimeoutError:
            logger.info("cut off %s: no byte accepted", member.connection.connection_id)
            member.connection.close("slow")
            member.abort()
            raise ConnectionResetError("cut off") from None

    def heartbeat(self) -> Event:
        """Return the HEALTH_CHECK of this second: groups that beat together share it."""
        now = asyncio.get_running_loop().time()
        if self._last_beat is None or now - self._last_beat[0] > 1.0:
            self._last_beat = (now, self.service.heartbeat())
        return self._last_beat[1]

    async def close(self) -> None:
        """End every task; the log has ended before."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _climb(self, member: Member) -> None:
        """Let a member catch up, in a task of its own that ends when it rides."""
        if member.connection.is_closed:
            return  # nobody would take it out again
        # From here on it is judged by what it accepts, not by its pongs.
        member.unanswered_since = None
        self._climbing[member] = self._spawn(self._catch_up(member))

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _catch_up(self, member: Member) -> None:
        connection = member.connection
        cursor = Cursor(self.service.log, connection.wanted, connection.position)
        try:
            while True:
                await self.drained(member)
                cursor.position = connection.position
                if self._join(member):
                    self._climbing.pop(member, None)
                    return
                await self._step(member, cursor)
        except ConnectionError:
            self._climbing.pop(member, None)
            connection.close("lost")
        except RteventsError as error:
            # It comes back with its bookmark, and is told then what is wrong.
            self._climbing.pop(member, None)
            connection.close("shutdown" if isinstance(error, LogClosed) else "error")

    async def _step(self, member: Member, cursor: Cursor) -> None:
        """Bring a member one page further, or wait until the others have come as far as it is."""
        log = self.service.log
        group = self._groups.get((member.connection.wanted, member.encoding.key))
        if group and cursor.position > group.position:
            await group.moved.wait()
        elif cursor.position >= log.last:
            # The store tells a reader of an entry a moment before it tells the log.
            await log.grown(log.last, math.inf)
        else:
            items = await cursor.next(0)
            self._write(member, items, cursor.position)
            # A window full of pages is served without a wait: others have their turn between.
            await asyncio.sleep(0)

    def _write(self, member: Member, items: Sequence[Entry | Gap], position: int) -> None:
        """Write a page that brings one member to `position`."""
        if items:
            count = _count(items)
            self.service.counters.delivered += count
            member.write(encode(member.encoding, items, self.service.log.epoch), position, count)
        else:
            member.connection.position = position

    def _join(self, member: Member) -> bool:
        """
        Put a member into its group if it can be brought to the very place of the group at once.

        Nothing is awaited here, so nothing can come between.
        """
        connection, log = member.connection, self.service.log
        key = (connection.wanted, member.encoding.key)
        group = self._groups.get(key)
        goal = group.position if group else log.last
        page = log.peek(connection.position, connection.wanted, until=goal)
        if connection.position > goal or page is None or page.looked < goal:
            return False
        self._write(member, page.entries, goal)
        if not member.is_live:
            member.is_live = True
            member.control("live", bookmark=str(log.bookmark(goal)))
        if group is None:
            group = self._groups[key] = Group(self, connection.wanted, member.encoding)
            self._spawn(self._serve(key, group))
        group.members[member] = None
        self._rides[member] = group
        return True

    async def _serve(self, key: tuple[Filter, str], group: Group) -> None:
        reason = "error"
        try:
            await group.run()
            reason = "shutdown"
        except RteventsError as error:
            # The readers come back with their bookmarks, and are told then what is wrong.
            logger.error("a group of %d streams ended: %s", len(group.members), error)
        finally:
            del self._groups[key]
            group.moved.set()
            for member in list(group.members):
                member.connection.close(reason)


def encode(encoding: Encoding, items: Sequence[Entry | Gap], epoch: str) -> bytes:
    """Return the bytes of a page: either entries, or one gap."""
    if items and isinstance(items[0], Gap):
        return encoding.control("gap", gap_fields(items[0], epoch))
    return encoding.entries([item for item in items if isinstance(item, Entry)], epoch)


def _count(items: Sequence[Entry | Gap]) -> int:
    """Return how many entries a page has: a gap is none."""
    return 0 if items and isinstance(items[0], Gap) else len(items)
