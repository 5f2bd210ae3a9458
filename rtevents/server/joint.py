"""Joint: streams over several logs, each with places of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NoReturn

from rtevents.core.connection import Connection
from rtevents.core.event import Bookmark, Entry, Event, Gap
from rtevents.core.filter import Filter
from rtevents.core.health import STATUSES, heartbeat
from rtevents.core.joint import JointCursor, Run, newest_of_each_type, worst
from rtevents.core.log import Log, Start
from rtevents.core.service import EventService
from rtevents.core.since import Since
from rtevents.errors import BadInput, BookmarkError, LogClosed, RteventsError
from rtevents.server.fanout import Fanout
from rtevents.server.member import Member
from rtevents.server.wire import gap_fields


class Joint:
    """
    A stream over several logs, where ``Fanout`` is for those of one.

    It has a task, a cursor in each log and its own bytes: what it costs, it costs each time.

    Args:
        fanout: The main log's.
        services: The service of each log, by the log's name.
    """

    def __init__(self, fanout: Fanout, services: Mapping[str, EventService]) -> None:
        self.service = fanout.service
        self.send_timeout = fanout.send_timeout
        self._fanout = fanout
        self._services = services

    async def connect(
        self, wanted: Filter, *, since: Since, within: Filter, **who: Any
    ) -> tuple[Connection, Start]:
        """
        Register a stream; see ``EventService.connect``.

        Raises:
            BookmarkError: The place is an event, which is in one log alone.
        """
        starts = await self.starts(wanted, since, within)
        place = Since(word="new")
        connection, _ = await self.service.connect(wanted, since=place, within=within, **who)
        connection.joint = JointCursor(self.logs(), wanted, starts)
        return connection, Start(0, worst(start.verdict for start in starts))

    def logs(self) -> list[tuple[str, Log]]:
        """Return each log, with its name."""
        return [(name, service.log) for name, service in self._services.items()]

    async def starts(self, wanted: Filter, since: Since, within: Filter) -> list[Start]:
        """Return where a reader begins in each log."""
        if since.event_id is not None:
            raise BookmarkError(
                f"the place after an event is in one of the logs ({', '.join(self._services)}): "
                "name its project, or give a bookmark",
                field="since",
            )
        starts = [await log.start(since, wanted, within) for _, log in self.logs()]
        return newest_of_each_type(starts)

    def board(self, member: Member, start: Start) -> None:
        """Begin a stream: ``hello``, what is missing, what was, ``live``, and what comes."""
        connection = member.connection
        member.control(
            "hello",
            connection_id=connection.connection_id,
            epoch=",".join(log.epoch for _, log in self.logs()),
            bookmark=str(self.bookmark(member)),
            verdict=start.verdict,
            filter=connection.wanted.as_dict(),
            logs={name: log.epoch for name, log in self.logs()},
        )
        task = self._fanout.spawn(self._serve(member, _cursor(member)))

        def leave() -> None:
            task.cancel()

        connection.on_close(leave)

    def finish(self, member: Member, code: int = 1001) -> None:
        """Write ``bye`` and the end: what has not been written is after the bookmark."""
        reason = member.connection.close_reason or "closed"
        member.control("bye", reason=reason, bookmark=str(self.bookmark(member)))
        member.write(member.encoding.end(code))

    async def drained(self, member: Member) -> None:
        """Return when a member's transport has room; see ``Fanout.drained``."""
        await self._fanout.drained(member)

    def bookmark(self, member: Member) -> Bookmark:
        """Return the places where a member is."""
        return _cursor(member).bookmark

    def change(self, member: Member, wanted: Filter, start: Start | None = None) -> NoReturn:
        """
        Refuse to give a stream another filter.

        Raises:
            BadInput: Always.
        """
        raise BadInput("a stream over several logs keeps its filter: open another instead")

    def unsubscribe(self, member: Member) -> NoReturn:
        """
        Refuse to let a stream stay where it is.

        Raises:
            BadInput: Always.
        """
        raise BadInput("a stream over several logs keeps its filter: close it instead")

    async def _serve(self, member: Member, cursor: JointCursor) -> None:
        loop = asyncio.get_running_loop()
        connection, interval = member.connection, self.service.heartbeat_interval
        beat = loop.time() + interval
        told: str | None = None
        amiss: set[str] = set()
        try:
            while True:
                await self.drained(member)
                if cursor.is_live and not member.is_live:
                    member.is_live = True
                    member.control("live", bookmark=str(cursor.bookmark))
                # Until it is live, it is told as soon as it is.
                is_waiting = member.is_live or cursor.troubles
                for run in await cursor.next(self._wait(member, beat) if is_waiting else 0.0):
                    told = self._write(member, run, told)
                now = loop.time()
                if self._is_silent(member, now):
                    connection.close("no pong")
                before, amiss = amiss, self._amiss(cursor)
                if now >= beat or amiss != before:
                    beat = now + interval
                    member.write(member.encoding.heartbeat(self._beat(cursor), cursor.bookmark))
                    if member.unanswered_since is None:
                        member.unanswered_since = now
        except ConnectionError:
            connection.close("lost")
        except RteventsError as error:
            # It comes back with its bookmark, and is told then what is wrong.
            connection.close("shutdown" if isinstance(error, LogClosed) else "error")

    def _wait(self, member: Member, beat: float) -> float:
        """Return the seconds until there is something to do when nothing comes."""
        now = asyncio.get_running_loop().time()
        due = min(beat, now + self._fanout.dashboard_interval)
        if member.unanswered_since is not None:
            due = min(due, member.unanswered_since + self._fanout.pong_timeout)
        return max(0.0, due - now)

    def _amiss(self, cursor: JointCursor) -> set[str]:
        """Return the logs of which a reader is to know that nothing comes from them just now."""
        stopped = {name for name, service in self._services.items() if service.trouble}
        return stopped | cursor.troubles.keys()

    def _beat(self, cursor: JointCursor) -> Event:
        """Return a HEALTH_CHECK of all the logs together."""
        troubles = cursor.troubles
        status, reasons = STATUSES[0], []
        for name, service in self._services.items():
            said = service.heartbeat(troubles.get(name)).data
            status = max(status, said["status"], key=STATUSES.index)
            reasons += [f"log {name}: {reason}" for reason in said.get("reasons", ())]
        return heartbeat(status, reasons)

    def _is_silent(self, member: Member, now: float) -> bool:
        """Tell whether a WebSocket has not answered a heartbeat in time."""
        since = member.unanswered_since
        if member.encoding.key != "ws" or since is None:
            member.unanswered_since = None
            return False
        return now - since >= self._fanout.pong_timeout

    def _write(self, member: Member, run: Run, told: str | None) -> str:
        """
        Write what comes from one log.

        Args:
            told: What stood before the seq in the bookmark of the last entry; None for none.
        Returns:
            The same, now.
        """
        encoding, place = member.encoding, run.before
        if place.epoch != told:
            # NDJSON and WebSocket messages have no id: their seq counts from this bookmark on.
            member.control("log", log=run.log, bookmark=str(place))
        if isinstance(run.items[0], Gap):
            fields = gap_fields(run.items[0], place.epoch)
            member.write(encoding.control("gap", {"log": run.log, **fields}))
            return place.epoch
        entries = [item for item in run.items if isinstance(item, Entry)]
        self._services[run.log].counters.delivered += len(entries)
        block = encoding.block(encoding.frames(entries, place.epoch))
        member.write(block, len(entries))
        return place.epoch


def _cursor(member: Member) -> JointCursor:
    cursor = member.connection.joint
    assert cursor is not None  # noqa: S101 - it was made by `connect`
    return cursor
