"""What a client may say over a WebSocket, and what is done then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from rtevents.core.event import Event
from rtevents.core.filter import Filter, parse_filter
from rtevents.core.since import parse_since
from rtevents.errors import BadInput
from rtevents.server.guard import require
from rtevents.server.keys import House
from rtevents.server.member import Member
from rtevents.server.principal import Principal
from rtevents.server.publish import (
    Offered,
    offer_as,
    publish_as,
    read_each,
    read_event,
    stored_fields,
)
from rtevents.server.requests import FilterQuery

FILTER = FilterQuery.__struct_fields__
"""The keys of a filter, each with a list of values."""


class Command(FilterQuery, kw_only=True, forbid_unknown_fields=True):
    """What a client may send over a WebSocket; `ref` comes back in the answer."""

    op: str
    ref: Any = None
    since: str | float | None = None
    events: list[msgspec.Raw] = msgspec.field(default_factory=list)

    @property
    def query(self) -> Mapping[str, list[str]]:
        """The filter's keys, as a query string would hold them."""
        return {name: getattr(self, name) for name in FILTER}


class Referring(msgspec.Struct):
    """A command of which nothing else is sure: its error is to carry its `ref` all the same."""

    ref: Any = None


def offer(house: House, principal: Principal, command: Command) -> Offered | None:
    """
    Obey a `publish` if there is room in the queue at once.

    Returns:
        What is stored, to come, and the rooms of its log; None when there is no room, or it is
        another command.
    Raises:
        RteventsError: As ``publish_as``.
    """
    if command.op != "publish" or command.since is not None or any(command.query.values()):
        return None
    return offer_as(house, principal, _events(principal, command))


async def obey(
    house: House, principal: Principal, member: Member, command: Command
) -> dict[str, Any]:
    """
    Do what a command says.

    A change of the subscription is made without a wait before the return: who writes the answer at
    once writes it between what the old filter and what the new one finds.

    Returns:
        What is answered.
    Raises:
        RteventsError: It cannot be done; nothing was changed then.
    """
    do, fields = _COMMANDS.get(command.op, (_unknown, ()))
    for name in ("since", "events", *FILTER):
        if getattr(command, name) and name not in fields and do is not _unknown:
            raise BadInput(f"{name}: not a field of {command.op}", field=name)
    return await do(house, principal, member, command)


async def change(
    house: House, member: Member, wanted: Filter, since: str | float | None
) -> dict[str, Any]:
    """
    Give a stream another filter, within its own grant, at the place where it is or at `since`.

    What is missing there, or the newest of each type, comes in the stream, before the replay.

    Returns:
        The bookmark after which the new filter holds, the filter, and the verdict on `since`.
    Raises:
        NotAllowed: The filter names what the stream's grant does not hold.
        BookmarkError: `since` cannot be read.
    """
    wanted = member.grant.narrow(wanted)
    if member.connection.joint is not None:
        raise BadInput("a stream over several logs keeps its filter: open another instead")
    held = member.grant.visible
    if house.one(wanted, held).log != house.log:
        raise BadInput("these events are in another log than the stream's: open another stream")
    start = None
    if since is not None:
        place = parse_since(str(since))
        start = await house.service.log.start(place, wanted, held)
    position = house.streams.change(member, wanted, start)
    bookmark = str(house.service.log.bookmark(position))
    verdict = {"verdict": start.verdict} if start else {}
    return {"bookmark": bookmark, "filter": wanted.as_dict(), **verdict}


def _events(principal: Principal, command: Command) -> list[Event]:
    require(principal, "publisher")
    if not command.events:
        raise BadInput("events: expected at least one", field="events")
    return read_each([bytes(raw) for raw in command.events], read_event)


async def _subscribe(
    house: House, principal: Principal, member: Member, command: Command
) -> dict[str, Any]:
    wanted = parse_filter(command.query, house.service.types)
    return await change(house, member, wanted, command.since)


async def _unsubscribe(
    house: House, principal: Principal, member: Member, command: Command
) -> dict[str, Any]:
    house.streams.unsubscribe(member)
    return {"bookmark": str(house.streams.bookmark(member))}


async def _publish(
    house: House, principal: Principal, member: Member, command: Command
) -> dict[str, Any]:
    events = _events(principal, command)
    stored = await publish_as(house, principal, events)
    return stored_fields(house.of(events), stored)


async def _ping(
    house: House, principal: Principal, member: Member, command: Command
) -> dict[str, Any]:
    return {"bookmark": str(house.streams.bookmark(member))}


async def _unknown(
    house: House, principal: Principal, member: Member, command: Command
) -> dict[str, Any]:
    raise BadInput(
        f"op: expected one of {', '.join(_COMMANDS)}, got {command.op[:40]!r}", field="op"
    )


_COMMANDS = {
    "subscribe": (_subscribe, (*FILTER, "since")),
    "unsubscribe": (_unsubscribe, ()),
    "publish": (_publish, ("events",)),
    "ping": (_ping, ()),
}
"""What each command does, and the fields that it takes besides `ref`."""
