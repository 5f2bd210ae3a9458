"""POST /v1/events: one event, an array, NDJSON, or CloudEvents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web

from rtevents.core.event import Event, Stored, decode_event, decode_events
from rtevents.errors import (
    BadInput,
    EventRefused,
    EventTooLarge,
    NotAllowed,
    RteventsError,
    Unavailable,
)
from rtevents.server.cloudevents import BATCH, STRUCTURED, from_cloudevent, from_headers
from rtevents.server.guard import Principal
from rtevents.server.keys import HOUSE, PRINCIPAL, House, answer, decode, problem_fields

MAX_ARRAY = 1000
"""Most events of an array or a CloudEvents batch: they are stored all or none."""

LINE_CHUNK = 500
"""Most lines of NDJSON that are stored together."""

OWN_SOURCES = "rtevents/"
"""How the daemon's own sources begin; nobody else may use such a name."""


class UnsupportedMedia(BadInput):
    """A content type or encoding that is not taken here."""


async def publish(request: web.Request) -> web.StreamResponse:
    """Publish events; answer when they are stored."""
    house, principal = request.app[HOUSE], request[PRINCIPAL]
    if "Content-Encoding" in request.headers:
        raise UnsupportedMedia("a compressed body is not taken: send it as it is")
    if request.content_type == "application/x-ndjson":
        return await _publish_lines(house, principal, await request.read())
    events = _read(request, await request.read())
    stored = await publish_as(house, principal, events)
    return _stored(house, stored)


async def publish_as(house: House, principal: Principal, events: Sequence[Event]) -> list[Stored]:
    """
    Publish events in somebody's name, all or none.

    Raises:
        NotAllowed: The grant does not hold the project or the type of one of them.
        RteventsError: As ``EventService.publish_many``.
    """
    for index, event in enumerate(events):
        _permit(principal, event, index if len(events) > 1 else None)
    return await house.service.publish_many(events)


def _read(request: web.Request, body: bytes) -> list[Event]:
    match request.content_type:
        case "application/json" if "ce-specversion" in request.headers:
            return [from_headers(request.headers, body)]
        case "application/json":
            events = decode_events(body) if body.lstrip()[:1] == b"[" else [decode_event(body)]
        case _ if request.content_type == STRUCTURED:
            events = [from_cloudevent(decode(body, dict[str, Any]))]
        case _ if request.content_type == BATCH:
            events = _read_batch(decode(body, list[dict[str, Any]]))
        case other:
            raise UnsupportedMedia(
                f"content type {other!r} is not taken: send application/json, "
                "application/x-ndjson or application/cloudevents+json"
            )
    if len(events) > MAX_ARRAY:
        raise EventTooLarge(f"an array of {len(events)} events, {MAX_ARRAY} at most")
    return events


def _read_batch(items: Sequence[dict[str, Any]]) -> list[Event]:
    events = []
    for index, item in enumerate(items):
        try:
            events.append(from_cloudevent(item))
        except EventRefused as error:
            error.index = index
            raise
    return events


def _permit(principal: Principal, event: Event, index: int | None) -> None:
    if event.source.startswith(OWN_SOURCES):
        raise EventRefused(
            f"source: names that begin with {OWN_SOURCES} are the daemon's own",
            index=index,
            field="source",
        )
    if not principal.grant.permits(event.type, event.project_id):
        raise NotAllowed(
            f"the grant does not hold {event.type[:64]} in project {event.project_id!r}"
        )


def _stored(house: House, stored: Sequence[Stored]) -> web.Response:
    last = max((one.seq for one in stored), default=house.service.log.last)
    return answer(
        {"events": list(stored), "bookmark": str(house.service.log.bookmark(last))}, status=201
    )


async def _publish_lines(house: House, principal: Principal, body: bytes) -> web.Response:
    """Publish NDJSON: a chunk is stored at once if all its lines can be, else line by line."""
    lines = [line for line in body.split(b"\n") if line.strip()]
    answers: list[bytes] = []
    status = 201
    for at in range(0, len(lines), LINE_CHUNK):
        chunk = lines[at : at + LINE_CHUNK]
        for offset, outcome in enumerate(await _publish_chunk(house, principal, chunk)):
            if isinstance(outcome, RteventsError):
                fields = problem_fields(outcome) | {"index": at + offset}
                status = fields["status"] if status == 201 else status
                answers.append(msgspec.json.encode(fields))
            else:
                answers.append(msgspec.json.encode(outcome))
    headers = {"Retry-After": "1"} if status == 503 else {}
    return web.Response(
        body=b"".join(line + b"\n" for line in answers),
        status=status,
        headers=headers,
        content_type="application/x-ndjson",
    )


async def _publish_chunk(
    house: House, principal: Principal, lines: Sequence[bytes]
) -> Sequence[Stored | RteventsError]:
    try:
        return await publish_as(house, principal, [decode_event(line) for line in lines])
    except Unavailable as error:
        return [error] * len(lines)
    except RteventsError:
        # One line is wrong: the others are stored all the same, each for itself.
        return [await _publish_line(house, principal, line) for line in lines]


async def _publish_line(house: House, principal: Principal, line: bytes) -> Stored | RteventsError:
    try:
        return (await publish_as(house, principal, [decode_event(line)]))[0]
    except RteventsError as error:
        return error
