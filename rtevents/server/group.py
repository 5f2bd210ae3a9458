"""Group: one cursor, many sockets."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter

from rtevents.core.connection import Place
from rtevents.core.cursor import Cursor
from rtevents.core.event import Entry, Event, Gap
from rtevents.core.filter import Filter
from rtevents.core.matcher import Matched, Matcher
from rtevents.core.service import EventService
from rtevents.errors import LogClosed, Unavailable
from rtevents.server.member import HIGH_WATER, Member
from rtevents.server.wire import Encoding, gap_fields

DUTY = 1.2
"""How many times as long as the last round took the next one waits (DESIGN section 8)."""

DUTY_FLOOR = 0.002
"""Shortest such time, in seconds, under load: events gather meanwhile."""

EASE = 10.0
"""How many times as long as a short round took the next one waits, up to ``EASE_CEILING``."""

EASE_CEILING = 0.003
"""Longest time, in seconds, that is waited only to save work, for nobody to notice."""

DUTY_CEILING = 0.05
"""Longest such time, in seconds."""

SLICE = 0.0005
"""Seconds for which members are written to at a stretch: then publishers get their answers."""

GLANCE = 16
"""Members between two looks at the clock."""


class Part:
    """
    The members of a group with the same filter and the same encoding: they share their bytes.

    Attributes:
        round: The number of the last round that had something for it.
    """

    __slots__ = ("encoding", "group", "matched", "members", "round")

    def __init__(self, group: Group, matched: Matched, encoding: Encoding) -> None:
        self.group = group
        self.matched = matched
        self.encoding = encoding
        self.members: dict[Member, None] = {}
        self.round = 0


class Group:
    """
    Members that ride one cursor, whatever they want of what it passes.

    A round reads the page after the cursor, matches each entry once per distinct filter, encodes
    once what the same members want, and writes the same bytes to each of them.

    Args:
        service: What is streamed.
        max_latency: Seconds that an entry may wait for others to be sent with it.
        pong_timeout: Seconds in which a WebSocket must answer a heartbeat.
        heartbeat: Returns the HEALTH_CHECK of this moment.
        update: Returns the DASHBOARD_UPDATE of this moment.
        dashboard_interval: Seconds between two of these.
        set_down: Called with a member that does not keep up.
    """

    def __init__(
        self,
        service: EventService,
        *,
        max_latency: float,
        pong_timeout: float,
        heartbeat: Callable[[], Event],
        update: Callable[[], Event],
        dashboard_interval: float,
        set_down: Callable[[Member], None],
    ) -> None:
        self.size = 0
        """How many members ride."""
        self.goal = service.log.last
        """The seq to which the present round brings the members; where they are, between rounds."""
        self.moved = asyncio.Event()
        """Set, and made anew, after each round."""
        self._service = service
        self._log = service.log
        self._max_latency = max_latency
        self._pong_timeout = pong_timeout
        self._heartbeat = heartbeat
        self._update = update
        self._dashboard_interval = dashboard_interval
        self._set_down = set_down
        self._cursor = Cursor(self._log, Filter(), self.goal)
        self._place = Place(self.goal)
        # Of the cursor, where the place is.
        self._anew = self._cursor.anew
        self._matcher = Matcher()
        self._parts: dict[tuple[Filter, str], Part] = {}
        # The same, found by what wants something.
        self._riding: dict[Matched, list[Part]] = {}
        # Why the page after the cursor cannot be read.
        self._unread: Unavailable | None = None
        self._round = 0
        self._is_writing = False
        self._newcomers: list[Member] = []
        # Those that want the daemon's own DASHBOARD_UPDATE.
        self._watching: dict[Member, None] = {}

    def add(self, member: Member) -> None:
        """Take in a member that was brought to ``goal``."""
        connection = member.connection
        key = (connection.wanted, member.encoding.key)
        part = self._parts.get(key)
        if part is None:
            matched = self._matcher.add(connection.wanted)
            part = self._parts[key] = Part(self, matched, member.encoding)
            self._riding.setdefault(matched, []).append(part)
            # Nothing of the present round is for it.
            part.round = self._round
        part.members[member] = None
        member.part = part
        member.served = self._round
        self.size += 1
        if member.wants_updates:
            self._watching[member] = None
        if self._is_writing:
            self._newcomers.append(member)
        else:
            connection.share(self._place)

    def remove(self, member: Member, part: Part) -> None:
        """Let a member go; its connection is left at the place up to which it was served."""
        member.part = None
        del part.members[member]
        self.size -= 1
        self._watching.pop(member, None)
        is_waiting = self._is_writing and part.round == self._round != member.served
        connection = member.connection
        connection.position = self._place.seq if is_waiting else self.goal
        connection.anew = self._anew if is_waiting else self._cursor.anew
        if not part.members:
            matched = part.matched
            del self._parts[matched.wanted, part.encoding.key]
            self._riding[matched].remove(part)
            if not self._riding[matched]:
                del self._riding[matched]
            self._matcher.remove(matched)

    def members(self) -> list[Member]:
        """Return the members of this moment."""
        return [member for part in self._parts.values() for member in part.members]

    async def run(self) -> None:
        """Serve the members until none is left or the log ends."""
        loop = asyncio.get_running_loop()
        interval = self._service.heartbeat_interval
        beat = loop.time() + interval
        look = loop.time() + self._dashboard_interval
        pong: float | None = None
        trouble = self._trouble
        not_before = 0.0
        while self.size:
            due = min(beat, look, math.inf if pong is None else pong)
            try:
                if await self._log.grown(self.goal, max(0.0, due - loop.time())):
                    await asyncio.sleep(not_before - loop.time())
                    pause = await self._advance()
                    not_before = loop.time() + pause
            except LogClosed:
                return
            now = loop.time()
            if pong is not None and now >= pong:
                pong = None
                self._drop_silent(now - self._pong_timeout)
            if now >= look:
                look = now + self._dashboard_interval
                self._show()
                if trouble != self._trouble:
                    # Who only reads would notice nothing: nothing comes, as when nothing happens.
                    beat = now
                trouble = self._trouble
            if now >= beat:
                beat = now + interval
                if await self._beat(now) and pong is None:
                    pong = now + self._pong_timeout

    @property
    def _trouble(self) -> tuple[bool, bool]:
        """Whether events cannot be stored, and whether those that come next cannot be read."""
        return self._service.trouble is not None, self._unread is not None

    async def _advance(self) -> float:
        """Serve the page after the cursor; return the seconds to wait before the next."""
        begun = time.monotonic()
        try:
            items = await self._cursor.next(0)
        except LogClosed:
            raise
        except Unavailable as error:
            self._unread = error
            return error.retry_after
        self._unread = None
        rested = await self._serve(items)
        return self._pause(time.monotonic() - begun - rested)

    def _pause(self, took: float) -> float:
        """Return how long to wait after a round that took so many seconds (the duty rule)."""
        ease = min(EASE_CEILING, EASE * took)
        pause = min(DUTY_CEILING, max(DUTY_FLOOR, ease, DUTY * took))
        # An entry that has just missed a round waits for the next, and for that one to end.
        return max(pause, self._max_latency - 2 * took)

    async def _serve(self, items: Sequence[Entry | Gap]) -> float:
        """Bring every member to where the cursor is now; return the seconds others had of it."""
        self._round += 1
        before, self.goal = self.goal, self._cursor.position
        self._is_writing = True
        slices = _Slices()
        try:
            if items and isinstance(items[0], Gap):
                await self._write(self._gap_blocks(items[0]), slices)
            elif items:
                page = [item for item in items if isinstance(item, Entry)]
                if await self._write_page(page, slices):
                    self._service.counters.delays.delivered(before, self.goal)
            return slices.rested
        finally:
            self._is_writing = False
            # Members share the place, so that all of them move at once.
            self._place.seq, self._anew = self.goal, self._cursor.anew
            newcomers, self._newcomers = self._newcomers, []
            for member in newcomers:
                if member.part is not None and member.part.group is self:
                    member.connection.share(self._place)
            self.moved.set()
            self.moved = asyncio.Event()

    def _gap_blocks(self, gap: Gap) -> list[tuple[Part, bytes, int]]:
        fields = gap_fields(gap, self._log.epoch)
        parts = list(self._parts.values())
        for part in parts:
            part.round = self._round
        return [(part, part.encoding.control("gap", fields), 0) for part in parts]

    async def _write_page(self, page: list[Entry], slices: _Slices) -> bool:
        """Write what each part wants of a page; return whether any wants something."""
        wanted = self._matcher.match(page)
        parts = [part for matched in wanted for part in self._riding[matched]]
        for part in parts:
            part.round = self._round
        blocks = _Blocks(page, self._log.epoch)
        await self._write(
            (
                (part, blocks.of(part.encoding, part.matched.entries), len(part.matched.entries))
                for part in parts
            ),
            slices,
        )
        for matched in wanted:
            matched.entries = []
        return bool(parts)

    async def _write(self, blocks: Iterable[tuple[Part, bytes, int]], slices: _Slices) -> None:
        """Write to each member what its part gets; one that does not keep up leaves."""
        number = self._round
        counters = self._service.counters
        for part, block, entries in blocks:
            size = len(block)
            for member in list(part.members):
                if slices.is_over():
                    await slices.rest()
                if member.part is not part or member.served == number:
                    continue  # it left while others were served, or has come since
                member.served = number
                transport, connection = member.transport, member.connection
                if transport.is_closing():
                    continue
                transport.write(block)
                connection.sent_bytes += size
                connection.delivered += entries
                counters.delivered += entries
                waiting = transport.get_write_buffer_size()
                if waiting <= size:
                    connection.touch()  # see ``Member.write``
                if waiting > HIGH_WATER:
                    self._set_down(member)

    async def _beat(self, now: float) -> bool:
        """Write a heartbeat to every member; return whether answers are expected."""
        bookmark = self._log.bookmark(self.goal)
        event = self._service.heartbeat(self._unread) if self._unread else self._heartbeat()
        slices = _Slices()
        expects = False
        for part in list(self._parts.values()):
            block = part.encoding.heartbeat(event, bookmark)
            expects = expects or part.encoding.key == "ws"
            for member in list(part.members):
                if slices.is_over():
                    await slices.rest()
                if member.part is not part:
                    continue
                member.write(block)
                if member.unanswered_since is None:
                    member.unanswered_since = now
        return expects

    def _show(self) -> None:
        """Write a DASHBOARD_UPDATE to those that want it: a few browsers, not thousands."""
        if not self._watching:
            return
        event = self._update()
        for member in list(self._watching):
            member.write(member.encoding.aside(event))

    def _drop_silent(self, before: float) -> None:
        """Close the WebSockets that have not answered a heartbeat sent until `before`."""
        for member in self.members():
            since = member.unanswered_since
            if member.encoding.key == "ws" and since is not None and since <= before:
                member.connection.close("no pong")


class _Slices:
    """
    The time that a walk over many members takes at a stretch.

    Attributes:
        rested: Seconds that others had meanwhile.
    """

    def __init__(self) -> None:
        self.rested = 0.0
        self._left = GLANCE
        self._end = time.monotonic() + SLICE

    def is_over(self) -> bool:
        """Count one member; tell whether it is the others' turn first."""
        self._left -= 1
        if self._left:
            return False
        self._left = GLANCE
        return time.monotonic() >= self._end

    async def rest(self) -> None:
        """Let others have their turn."""
        begun = time.monotonic()
        await asyncio.sleep(0)
        now = time.monotonic()
        self.rested += now - begun
        self._end = now + SLICE


class _Blocks:
    """
    What is written of one page, each form of it once.

    Args:
        page: The page.
        epoch: The log's name.
    """

    def __init__(self, page: Sequence[Entry], epoch: str) -> None:
        self._page = page
        self._epoch = epoch
        self._frames: dict[str, dict[int, bytes]] = {}
        self._blocks: dict[tuple[str, tuple[int, ...]], bytes] = {}

    def of(self, encoding: Encoding, entries: Sequence[Entry]) -> bytes:
        """Return the bytes of some entries of the page."""
        frames = self._frames.get(encoding.key)
        if frames is None:
            made = encoding.frames(self._page, self._epoch)
            frames = dict(zip(map(_seq, self._page), made, strict=True))
            self._frames[encoding.key] = frames
        seqs = tuple([entry.seq for entry in entries])
        block = self._blocks.get((encoding.key, seqs))
        if block is None:
            block = encoding.block([frames[seq] for seq in seqs])
            self._blocks[encoding.key, seqs] = block
        return block


_seq = attrgetter("seq")
