"""Fanout: every stream of a server, who rides which group and who catches up."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from rtevents.core.cursor import Cursor
from rtevents.core.event import Bookmark, Entry, Event, Gap
from rtevents.core.filter import Filter
from rtevents.core.log import Start
from rtevents.core.service import EventService
from rtevents.errors import LogClosed, RteventsError, Unavailable
from rtevents.server.group import Group
from rtevents.server.member import Member
from rtevents.server.wire import Encoding, gap_fields

logger = logging.getLogger(__name__)


class Fanout:
    """
    Every stream of a server: who rides which group, and who catches up.

    Args:
        service: What is streamed.
        send_timeout: Seconds without an accepted byte after which a reader is cut off.
        pong_timeout: Seconds in which a WebSocket must answer a heartbeat.
        dashboard_interval: Seconds between two DASHBOARD_UPDATEs to who wants them.
    """

    def __init__(
        self,
        service: EventService,
        *,
        send_timeout: float,
        pong_timeout: float,
        dashboard_interval: float = 3.0,
    ) -> None:
        self.service = service
        self.dashboard_interval = dashboard_interval
        self.pong_timeout = pong_timeout
        self.send_timeout = send_timeout
        # By the latency that their members allow, in seconds.
        self._groups: dict[float, Group] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # What serves those that ride nowhere.
        self._climbing: dict[Member, asyncio.Task[None]] = {}
        self.beats = _Shared(service.heartbeat, lambda: service.trouble)
        self._updates = _Shared(service.dashboard_update, lambda: service.trouble)

    def board(self, member: Member, start: Start) -> None:
        """Begin a stream: ``hello``, what is missing, what was, ``live``, and what comes."""
        connection, log = member.connection, self.service.log
        asked = {"max_latency": member.max_latency} if member.max_latency else {}
        member.control(
            "hello",
            connection_id=connection.connection_id,
            epoch=log.epoch,
            bookmark=str(log.bookmark(start.gap.after if start.gap else start.after)),
            verdict=start.verdict,
            filter=connection.wanted.as_dict(),
            **asked,
        )
        self._write(member, _first(start), start.after)
        if self.service.trouble:
            # Who comes just now would wonder why nothing happens.
            member.write(member.encoding.heartbeat(self.beats(), self.bookmark(member)))
        connection.on_close(lambda: self.leave(member))
        if member.is_lagging or not self._join(member):
            self._climb(member)

    def leave(self, member: Member) -> None:
        """Take a member out, whether it rides or catches up."""
        if part := member.part:
            part.group.remove(member, part)
        if climb := self._climbing.pop(member, None):
            climb.cancel()

    def set_down(self, member: Member) -> None:
        """Let a member that does not keep up go on at its own pace."""
        self.leave(member)
        self._climb(member)

    def change(self, member: Member, wanted: Filter, start: Start | None = None) -> int:
        """
        Give a member another filter, from the very place where it is or from `start`.

        Returns:
            The seq after which the new filter holds.
        """
        self.leave(member)
        connection = member.connection
        connection.wanted = wanted
        if start is not None:
            connection.position, connection.anew = start.after, self.service.log.anew
            member.is_live = False
            member.owed = _first(start)
        else:
            # What the old filter found is not wanted any more; what is missing is missing.
            member.owed = [item for item in member.owed if isinstance(item, Gap)]
        member.is_subscribed = True
        # In a task: what the new filter finds comes after the answer to who asked for it.
        self._climb(member)
        return connection.position

    def bookmark(self, member: Member) -> Bookmark:
        """Return the place where a member is."""
        return self.service.log.bookmark(member.connection.position)

    def unsubscribe(self, member: Member) -> None:
        """Let a member stay where it is and get nothing, until its filter is changed."""
        self.leave(member)
        member.is_subscribed = False
        if not member.connection.is_closed:
            self._climbing[member] = self.spawn(self._stay(member))

    def finish(self, member: Member, code: int = 1001) -> None:
        """Write what a member that kept up has not had yet, then ``bye`` and the end."""
        connection, log = member.connection, self.service.log
        while member.is_subscribed and not member.is_lagging:
            page = log.peek(connection.position, connection.wanted)
            if page is None or page.looked <= connection.position:
                break
            self._write(member, page.entries, page.looked)
        bookmark = str(self.bookmark(member))
        member.control("bye", reason=connection.close_reason or "closed", bookmark=bookmark)
        member.write(member.encoding.end(code))

    async def drained(self, member: Member) -> None:
        """
        Return when a member's transport has room.

        Raises:
            ConnectionError: The peer is gone, or was cut off since it accepted no byte.
        """
        try:
            await member.drained(self.send_timeout)
        except TimeoutError:
            logger.info("cut off %s: no byte accepted", member.connection.connection_id)
            member.connection.close("slow")
            member.abort()
            raise ConnectionResetError("cut off") from None

    async def answers(self) -> None:
        """Return when every group has come as far as the log has now."""
        last = self.service.log.last
        for group in list(self._groups.values()):
            while group.size and group.goal < last:
                await group.moved.wait()

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
        self._climbing[member] = self.spawn(self._catch_up(member))

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin a task that ends with this, at the latest."""
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _catch_up(self, member: Member) -> None:
        connection = member.connection
        log, wanted = self.service.log, connection.wanted
        cursor = Cursor(log, wanted, connection.position, anew=connection.anew)
        try:
            while True:
                await self.drained(member)
                owed, member.owed = member.owed, []
                self._write(member, owed, connection.position)
                cursor.position = connection.position
                if self._join(member):
                    self._climbing.pop(member, None)
                    return
                await self._go_on(member, cursor)
        except ConnectionError:
            self._climbing.pop(member, None)
            connection.close("lost")
        except RteventsError as error:
            # It comes back with its bookmark, and is told then what is wrong.
            self._climbing.pop(member, None)
            connection.close("shutdown" if isinstance(error, LogClosed) else "error")

    async def _go_on(self, member: Member, cursor: Cursor) -> None:
        """Take a step; while what comes next cannot be read, wait, and let the member know why."""
        log, now = self.service.log, asyncio.get_running_loop().time
        beat = 0.0
        while True:
            try:
                await self._step(member, cursor)
                break
            except LogClosed:
                raise
            except Unavailable as error:
                if now() >= beat:
                    beat = now() + self.service.heartbeat_interval
                    told = self.service.heartbeat(error)
                    member.write(member.encoding.heartbeat(told, log.bookmark(cursor.position)))
                await asyncio.sleep(error.retry_after)
            await self.drained(member)
        if beat:
            told = self.service.heartbeat()
            member.write(member.encoding.heartbeat(told, log.bookmark(cursor.position)))

    async def _stay(self, member: Member) -> None:
        """Send a member that gets nothing the heartbeats of a group, with the place it stays at."""
        connection, pause = member.connection, self.service.heartbeat_interval
        try:
            while not connection.is_closed:
                await asyncio.sleep(max(0.0, pause - self.pong_timeout))
                await self.drained(member)
                bookmark = self.service.log.bookmark(connection.position)
                member.write(member.encoding.heartbeat(self.beats(), bookmark))
                member.unanswered_since = asyncio.get_running_loop().time()
                await asyncio.sleep(self.pong_timeout)
                if member.unanswered_since is not None:
                    connection.close("no pong")
        except ConnectionError:
            connection.close("lost")

    async def _step(self, member: Member, cursor: Cursor) -> None:
        """Bring a member one page further, or wait until the others have come as far as it is."""
        log = self.service.log
        group = self._groups.get(member.max_latency)
        if group and cursor.position > group.goal:
            await group.moved.wait()
        elif cursor.position >= log.last:
            # The store tells a reader of an entry a moment before it tells the log.
            await log.grown(log.last, math.inf)
        else:
            items = await cursor.next(0)
            self._write(member, items, cursor.position)
            member.connection.anew = cursor.anew
            # A window full of pages is served without a wait: others have their turn between.
            await asyncio.sleep(0)

    def _write(self, member: Member, items: Sequence[Entry | Gap], position: int) -> None:
        """Write a page that brings one member to `position`."""
        if items:
            count = _count(items)
            self.service.counters.delivered += count
            member.write(encode(member.encoding, items, self.service.log.epoch), count)
        member.connection.position = position

    def _join(self, member: Member) -> bool:
        """
        Put a member into its group if it can be brought to the very place of the group at once.

        Nothing is awaited here, so nothing can come between.
        """
        connection, log = member.connection, self.service.log
        group = self._groups.get(member.max_latency)
        goal = group.goal if group else log.last
        page = log.peek(connection.position, connection.wanted, until=goal)
        if connection.position > goal or page is None or page.looked < goal:
            return False
        self._write(member, page.entries, goal)
        if not member.is_live:
            member.is_live = True
            member.control("live", bookmark=str(log.bookmark(goal)))
        if group is None:
            group = self._groups[member.max_latency] = Group(
                self.service,
                max_latency=member.max_latency,
                pong_timeout=self.pong_timeout,
                heartbeat=self.beats,
                update=self._updates,
                dashboard_interval=self.dashboard_interval,
                set_down=self.set_down,
            )
            self.spawn(self._serve(group, member.max_latency))
        group.add(member)
        return True

    async def _serve(self, group: Group, max_latency: float) -> None:
        reason = "error"
        try:
            await group.run()
            reason = "shutdown"
        except RteventsError as error:
            # The readers come back with their bookmarks, and are told then what is wrong.
            logger.error("a group of %d streams ended: %s", group.size, error)
        finally:
            del self._groups[max_latency]
            group.moved.set()
            for member in group.members():
                member.connection.close(reason)


class _Shared:
    """
    An event of this second: groups that write it at about the same time share it.

    Args:
        make: Returns that of this moment.
        state: Returns what it is about: of another state it is another event.
    """

    def __init__(self, make: Callable[[], Event], state: Callable[[], str | None]) -> None:
        self._make = make
        self._state = state
        self._last: tuple[float, str | None, Event] | None = None

    def __call__(self) -> Event:
        """Return it."""
        now, state = asyncio.get_running_loop().time(), self._state()
        if self._last is None or now - self._last[0] > 1.0 or self._last[1] != state:
            self._last = (now, state, self._make())
        return self._last[2]


def encode(encoding: Encoding, items: Sequence[Entry | Gap], epoch: str) -> bytes:
    """Return the bytes of a page: either entries, or one gap."""
    if items and isinstance(items[0], Gap):
        return encoding.control("gap", gap_fields(items[0], epoch))
    entries = [item for item in items if isinstance(item, Entry)]
    return encoding.block(encoding.frames(entries, epoch))


def _first(start: Start) -> list[Entry | Gap]:
    """Return what comes before the replay: what is missing, or the newest of each type."""
    return [start.gap] if start.gap else list(start.snapshot)


def _count(items: Sequence[Entry | Gap]) -> int:
    """Return how many entries a page has: a gap is none."""
    return 0 if items and isinstance(items[0], Gap) else len(items)
