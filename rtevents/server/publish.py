"""POST /v1/events: one event, an array, NDJSON, or CloudEvents."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from rtevents.core.cloudevents import BATCH, STRUCTURED, from_cloudevent, from_headers
from rtevents.core.draft import decode_event, decode_events
from rtevents.core.event import MAX_EVENT_BYTES, Event, Stored
from rtevents.core.filter import Grant
from rtevents.errors import (
    BadInput,
    EventConflict,
    EventRefused,
    EventTooLarge,
    NotAllowed,
    RteventsError,
    Unavailable,
)
from rtevents.server.guard import UnsupportedMedia
from rtevents.server.keys import (
    HOUSE,
    PRINCIPAL,
    House,
    answer,
    decode,
    problem_fields,
    read_body,
    retry_seconds,
)
from rtevents.server.principal import Principal
from rtevents.server.trace import trace_of, traced

MAX_ARRAY = 1000
"""Most events of an array or a CloudEvents batch: they are stored all or none."""

LINE_CHUNK = 500
"""Most lines of NDJSON that are stored together."""

MAX_LINES = 262_144
"""Most lines of NDJSON in a request: each has an answer, and 16 MiB hold 8 million short ones."""

MAX_RAW_BYTES = 3 * MAX_EVENT_BYTES
"""Longest text of an event, in bytes: a character that is stored in two may be written in six."""

OWN_IDS = "git:"
"""How the ids of commits begin: whoever took one first would stand for the commit for good."""

OF_GIT = frozenset({"COMMIT", "REF_UPDATE"})
"""The event types that a watched repository tells itself."""

OWN_SOURCES = "rtevents/"
"""How the daemon's own sources begin; nobody else may use such a name."""


ACTION = "POST /v1/events"
"""Publishing, as the audit log names it."""

NDJSON_TYPE = "application/x-ndjson"

PLAIN_TYPES = ("application/json", NDJSON_TYPE)
"""The media types of bodies that hold events as they are."""


class Offered(NamedTuple):
    """
    What will have been published.

    Args:
        house: The rooms of its log.
        stored: What is stored, to come.
    """

    house: House
    stored: asyncio.Future[list[Stored]]


async def publish(request: web.Request) -> web.StreamResponse:
    """Publish events; answer when they are stored."""
    house, principal = request.app[HOUSE], request[PRINCIPAL]
    body = await read_body(request)
    return await answer_to(house, principal, request.content_type, request.headers, body)


async def answer_to(
    house: House,
    principal: Principal,
    content_type: str,
    headers: Mapping[str, str],
    body: bytes,
) -> web.Response:
    """
    Publish the body of a request, and return its answer.

    Raises:
        RteventsError: As ``publish_as``; not for NDJSON, where each line has an answer.
    """
    trace = trace_of(headers)
    if content_type == NDJSON_TYPE:
        return await _publish_lines(house, principal, body, trace)
    events = traced(_read(content_type, headers, body), trace)
    stored = await publish_as(house, principal, events)
    return answer(stored_fields(house.of(events), stored), status=201)


def offer(house: House, principal: Principal, content_type: str, body: bytes) -> Offered | None:
    """
    Publish the body of a plain request, all or none, if there is room in the queue at once.

    Returns:
        What is stored, to come, and the rooms of its log; None when there is no room, or nothing to
        store.
    Raises:
        RteventsError: As ``publish_as``.
    """
    if content_type == NDJSON_TYPE:
        events = _read_lines(_lines(body))
    else:
        events = _read(content_type, {}, body)
    return offer_as(house, principal, events)


def offer_as(house: House, principal: Principal, events: Sequence[Event]) -> Offered | None:
    """
    Publish events as ``publish_as`` does, if there is room in the queue at once.

    Returns:
        What ``publish_as`` would return, to come, and the rooms of its log; None when there is no
        room, or nothing to store.
    Raises:
        RteventsError: As there.
    """
    if not _may_publish(house, principal, events):
        return None
    with _not_too_deep():
        house = house.of(events)
        if (stored := house.service.offer(events)) is None:
            return None
        _spend(house, principal, events)
        return Offered(house, stored)


async def publish_as(house: House, principal: Principal, events: Sequence[Event]) -> list[Stored]:
    """
    Publish events in somebody's name, all or none.

    Raises:
        EventTooLarge: There are more than ``MAX_ARRAY``.
        NotAllowed: The grant does not hold the project or the type of one of them.
        Throttled: The principal has published as much as it may for now.
        BadInput: One of them is nested too deeply.
        RteventsError: As ``EventService.publish_many``.
    """
    _may_publish(house, principal, events)
    with _not_too_deep():
        _spend(house, principal, events)
        try:
            return await house.of(events).service.publish_many(events)
        except RteventsError as error:
            # Not stored is not published: each line of a chunk that is refused is tried again.
            _spend(house, principal, events, times=-1)
            if isinstance(error, EventConflict):
                raise told_to(principal, error) from None
            raise


def told_to(principal: Principal, error: BaseException) -> BaseException:
    """
    Return what somebody is told of an error.

    Where an event is stored that is not within a grant is not for its bearer to know; to look for
    that would take another time where it is, so no limited grant is told.
    """
    if isinstance(error, EventConflict) and error.seq and principal.grant.is_limited:
        return EventConflict(error.event_id, 0, index=error.index, is_hidden=True)
    return error


def _may_publish(house: House, principal: Principal, events: Sequence[Event]) -> bool:
    """Check that somebody may publish these events; return whether there are any."""
    if len(events) > MAX_ARRAY:
        raise EventTooLarge(f"more than {MAX_ARRAY} events at once")
    _permit(principal.grant, events)
    if not principal.grant.allows("owner"):
        _leave_to_git(house, events)
    if house.guard.rates.is_on and principal.address is not None:
        house.guard.rates.check(principal.name)
    return bool(events)


def _spend(house: House, principal: Principal, events: Sequence[Event], *, times: int = 1) -> None:
    """Count what is published over TCP against its limit; the daemon's own user has none."""
    if house.guard.rates.is_on and principal.address is not None:
        size = sum(len(event.body) for event in events)
        house.guard.rates.spend(principal.name, times * len(events), times * size)


@contextmanager
def _not_too_deep() -> Iterator[None]:
    """Refuse what a decoder takes, but is too deep for those that walk through it afterwards."""
    try:
        yield
    except RecursionError as error:
        raise BadInput("not acceptable JSON: nested too deeply") from error


def _read(content_type: str, headers: Mapping[str, str], body: bytes) -> list[Event]:
    match content_type:
        case "application/json" if "ce-specversion" in headers:
            return [from_headers(headers, _fitting(body))]
        case "application/json" if body.lstrip()[:1] == b"[":
            return read_each(_items(body), read_event)
        case "application/json":
            return [read_event(body)]
        case _ if content_type == STRUCTURED:
            return [_read_cloudevent(body)]
        case _ if content_type == BATCH:
            return read_each(_items(body), _read_cloudevent)
        case other:
            raise UnsupportedMedia(
                f"content type {other!r} is not taken: send application/json, "
                "application/x-ndjson or application/cloudevents+json"
            )


def read_event(raw: bytes) -> Event:
    """
    Read one published event.

    Raises:
        EventTooLarge: It is too long to be decoded.
        BadInput, EventRefused: As ``decode_event``.
    """
    return decode_event(_fitting(raw))


def read_each(items: Sequence[bytes], read: Callable[[bytes], Event]) -> list[Event]:
    """
    Read several events with `read`.

    Raises:
        BadInput, EventRefused: One of them is none; ``index`` says which.
    """
    events = []
    for index, item in enumerate(items):
        try:
            events.append(read(item))
        except (BadInput, EventRefused) as error:
            error.index = index
            raise
    return events


def _read_cloudevent(raw: bytes) -> Event:
    return from_cloudevent(decode(_fitting(raw), dict[str, Any]))


def _fitting(raw: bytes) -> bytes:
    """Return `raw` if it can be an event: 16 MiB of ``[],`` would be 300 MiB when decoded."""
    if len(raw) > MAX_RAW_BYTES:
        raise EventTooLarge(f"event of {len(raw)} bytes, {MAX_EVENT_BYTES} at most")
    return raw


_Items = msgspec.defstruct(
    "_Items",
    [(f"item_{number}", msgspec.Raw, msgspec.UNSET) for number in range(MAX_ARRAY + 1)],
    array_like=True,
)
"""An array of which no more items are made than can be taken: what follows is passed over."""


def _items(body: bytes) -> list[bytes]:
    """Return the items of a JSON array, as they are written; one too many at most."""
    items = msgspec.structs.astuple(decode(body, _Items))
    return [bytes(item) for item in items if item is not msgspec.UNSET]


def _permit(grant: Grant, events: Sequence[Event]) -> None:
    is_limited = grant.is_limited
    for index, event in enumerate(events):
        if event.source.startswith(OWN_SOURCES):
            raise EventRefused(
                f"source: names that begin with {OWN_SOURCES} are the daemon's own",
                index=index if len(events) > 1 else None,
                field="source",
            )
        if event.event_id.startswith(OWN_IDS):
            raise EventRefused(
                f"event_id: names that begin with {OWN_IDS} are for the commits that the daemon "
                "finds itself; publish one with: rtevents publish commit",
                index=index if len(events) > 1 else None,
                field="event_id",
            )
        if is_limited:
            _permit_within(grant, event, index if len(events) > 1 else None)


def _leave_to_git(house: House, events: Sequence[Event]) -> None:
    """Refuse what the repository of a watched project tells itself (DESIGN section 5)."""
    for index, event in enumerate(events):
        if event.type in OF_GIT and house.projects.tells_commits(event.project_id):
            raise EventRefused(
                f"{event.type} of {event.project_id!r}: the daemon tells this itself, since it "
                "watches that repository; to have it look at once: rtevents publish commit",
                index=index if len(events) > 1 else None,
                field="type",
            )


def _permit_within(grant: Grant, event: Event, index: int | None) -> None:
    if not grant.permits(event.type, event.project_id):
        raise NotAllowed(
            f"the grant does not hold {event.type[:64]!r} in project {event.project_id!r:.60}",
            about=f"{event.type[:64]} of {event.project_id or 'no project'}",
        )
    own = f"{event.project_id}:"
    # One log, one set of ids: who could try the ids of others would learn which of them are there.
    if grant.projects and not (event.event_id.startswith(own) or _RANDOM_ID(event.event_id)):
        raise EventRefused(
            "event_id: a token that is limited to projects gives ids that begin with the event's "
            f"project, such as {own}42, or a random UUID, or none",
            index=index,
            field="event_id",
        )


_RANDOM_ID = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z"
).match
"""A UUID of version 4 or 7, as they are made where nobody gives an id: not to be guessed."""


def stored_fields(house: House, stored: Sequence[Stored]) -> dict[str, Any]:
    """Return what a publisher is answered whose events are stored."""
    last = max((one.seq for one in stored), default=house.service.log.last)
    return {"events": stored, "bookmark": str(house.service.log.bookmark(last))}


async def _publish_lines(
    house: House, principal: Principal, body: bytes, trace: Mapping[str, str]
) -> web.Response:
    """Publish NDJSON: a chunk is stored at once if all its lines can be, else line by line."""
    if body.count(b"\n") > MAX_LINES:
        raise EventTooLarge(f"a request of more than {MAX_LINES} lines")
    lines = _lines(body)
    answers: list[bytes] = []
    status, retry_after = 201, 0.0
    for at in range(0, len(lines), LINE_CHUNK):
        outcomes = await _publish_chunk(house, principal, lines[at : at + LINE_CHUNK], trace)
        if any(isinstance(outcome, Stored) for outcome in outcomes):
            house.guard.audit.allow(principal, ACTION)
        fields = [_outcome_fields(outcome, at + i) for i, outcome in enumerate(outcomes)]
        answers.append(_json.encode_lines(fields))
        if status == 201:
            status = next((f["status"] for f in fields if isinstance(f, dict)), 201)
        waits = [outcome.retry_after for outcome in outcomes if isinstance(outcome, Unavailable)]
        retry_after = max([retry_after, *waits])
    headers = {"Retry-After": retry_seconds(retry_after)} if retry_after else {}
    return web.Response(
        body=b"".join(answers),
        status=status,
        headers=headers,
        content_type=NDJSON_TYPE,
    )


def _outcome_fields(outcome: Stored | RteventsError, index: int) -> Stored | dict[str, Any]:
    """Return what a line is answered."""
    if isinstance(outcome, Stored):
        return outcome
    return problem_fields(outcome) | {"index": index}


def _lines(body: bytes) -> list[bytes]:
    return [line for line in body.split(b"\n") if line and not line.isspace()]


def _read_lines(lines: Sequence[bytes]) -> list[Event]:
    if lines and max(map(len, lines)) > MAX_RAW_BYTES:
        raise EventTooLarge(f"a line of more than {MAX_RAW_BYTES} bytes")
    return decode_events(lines)


async def _publish_chunk(
    house: House, principal: Principal, lines: Sequence[bytes], trace: Mapping[str, str]
) -> Sequence[Stored | RteventsError]:
    try:
        return await publish_as(house, principal, traced(_read_lines(lines), trace))
    except Unavailable as error:
        return [error] * len(lines)
    except RteventsError:
        # One line is wrong: the others are stored all the same, each for itself.
        # At once, so that they are stored in few transactions; they queue in their order.
        return await asyncio.gather(
            *(_publish_line(house, principal, line, trace) for line in lines)
        )


async def _publish_line(
    house: House, principal: Principal, line: bytes, trace: Mapping[str, str]
) -> Stored | RteventsError:
    try:
        return (await publish_as(house, principal, traced([read_event(line)], trace)))[0]
    except RteventsError as error:
        if isinstance(error, NotAllowed):
            house.guard.audit.refuse(principal, ACTION, "grant", about=error.about)
        return error


_json = msgspec.json.Encoder()
