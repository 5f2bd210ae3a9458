"""GET /v1/events: a page of what is kept, and the long poll."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from rtevents.core.cloudevents import BATCH, to_cloudevent
from rtevents.core.event import Bookmark, Entry, Gap
from rtevents.core.filter import FILTER_KEYS, Filter, parse_filter
from rtevents.core.log import Cursor, Start, wire_bytes
from rtevents.core.since import Since, parse_since
from rtevents.core.store import PAGE_BYTES
from rtevents.errors import BookmarkError, FilterError, LogClosed
from rtevents.server.keys import HOUSE, PRINCIPAL, House, query_of
from rtevents.server.wire import gap_fields

LIMIT = 100
"""Entries of a page when the request names no limit."""

MAX_LIMIT = 1000
"""Most entries of a page."""

MAX_WAIT = 60.0
"""Longest long poll, in seconds: proxies give up soon after."""

HISTORY_KEYS = FILTER_KEYS | {"since", "until", "after", "limit", "order", "wait"}
"""The keys of the query string."""


class _Page(NamedTuple):
    """
    What is answered.

    Args:
        entries: In the order asked for.
        next: The seq to go on from: with `after`, or newest first with `until`.
        gap: What is missing where the page was to begin.
        until: Newest first, the seq from which the page goes down.
    """

    entries: list[Entry]
    next: int
    gap: Gap | None
    until: int | None = None


class _Reader(NamedTuple):
    """
    Who reads.

    Args:
        wanted: What it asked for, within its grant.
        within: All that its grant holds.
        expires: Unix seconds after which it may read no more; None for never.
    """

    wanted: Filter
    within: Filter
    expires: float | None


async def history(request: web.Request) -> web.StreamResponse:
    """Return a page of events, and the bookmark to go on from."""
    house, principal = request.app[HOUSE], request[PRINCIPAL]
    query = query_of(request, HISTORY_KEYS)
    wanted = principal.grant.narrow(parse_filter(query, house.service.types))
    reader = _Reader(wanted, principal.grant.visible, principal.grant.expires)
    page = await _page(house, reader, request.query)
    # The wait may have been long: what was stored since a token was revoked is not for it.
    house.guard.confirm(request, principal)
    if BATCH.partition("-batch")[0] in request.headers.get("Accept", ""):
        body = msgspec.json.encode([to_cloudevent(entry) for entry in page.entries])
        return web.Response(body=body, content_type=BATCH)
    return web.Response(body=_body(house, page), content_type="application/json")


async def _page(house: House, reader: _Reader, query: Any) -> _Page:
    limit = int(_number(query, "limit", LIMIT, least=1, most=MAX_LIMIT))
    wait = _number(query, "wait", 0.0, least=0, most=MAX_WAIT)
    log, wanted = house.service.log, reader.wanted
    # A stream that lags may still have from memory what is no longer kept; this is the log.
    start = await _start(house, reader, query)
    after, gap = max(start.after, log.first - 1), start.gap
    until = await _until(house, reader, query.get("until"))
    order = query.get("order", "asc")
    if order not in ("asc", "desc"):
        raise FilterError(f"order: expected asc or desc, got {order[:20]!r}", field="order")
    if start.snapshot:  # the newest of each type, oldest first
        newest = list(start.snapshot)[-limit:]
        return _Page(newest[:: -1 if order == "desc" else 1], after, gap)
    if order == "desc":
        # Fixed before anything is awaited, so that what comes meanwhile is not skipped.
        reach = log.last if until is None else until
        entries = await log.newest(limit, wanted, after=after, until=reach)
        return _Page(entries, entries[-1].seq - 1 if len(entries) == limit else after, gap, reach)
    if until is not None and until <= after:
        return _Page([], after, gap)
    cursor = Cursor(log, wanted, after)
    found: list[Entry | Gap] = []
    try:
        found = await cursor.next(0, limit=limit)
        if found and isinstance(found[0], Gap):
            gap = found[0]
            found = await cursor.next(0, limit=limit)
        if not found and wait and (until is None or cursor.position < until):
            async with house.guard.polls.waiting(_patience(wait, reader)):
                found = await cursor.next(wait, limit=limit)
    except LogClosed:
        pass
    entries = [item for item in found if isinstance(item, Entry)]
    reached = await _fill(entries, cursor, limit, log.last if until is None else until)
    if until is not None and reached > until:
        return _Page([entry for entry in entries if entry.seq <= until], until, gap)
    return _Page(entries, reached, gap)


def _patience(wait: float, reader: _Reader) -> float:
    """Return how many seconds a reader may wait: not beyond the end of its grant."""
    return wait if reader.expires is None else min(wait, max(0.0, reader.expires - time.time()))


async def _fill(entries: list[Entry], cursor: Cursor, limit: int, until: int) -> int:
    """
    Add what fits into the page: a read ends early where it passes from the store to memory.

    Args:
        until: The seq at which there is no more to look for.
    Returns:
        The seq up to which the page tells of everything.
    """
    reached = cursor.position
    while reached < until and 0 < len(entries) < limit and wire_bytes(entries) < PAGE_BYTES:
        found = await cursor.next(0, limit=limit - len(entries))
        more = [item for item in found if isinstance(item, Entry)]
        if len(more) < len(found):
            break  # the next page begins with the gap
        entries += more
        reached = cursor.position
        if not more:
            break
    return reached


async def _start(house: House, reader: _Reader, query: Any) -> Start:
    log = house.service.log
    if given := query.get("after"):
        seq = _seq(house, given)
        return await log.start(Since(bookmark=log.bookmark(seq)), reader.wanted, reader.within)
    return await log.start(parse_since(query.get("since") or "all"), reader.wanted, reader.within)


async def _until(house: House, reader: _Reader, text: str | None) -> int | None:
    if not text:
        return None
    try:
        place = parse_since(text)
    except BookmarkError as error:
        raise BookmarkError(f"until: {error}", field="until") from None
    start = await house.service.log.start(place, reader.wanted, reader.within)
    if start.verdict in ("unknown-id", "other-epoch"):
        raise BookmarkError(f"until: {start.verdict}: {text[:40]!r}", field="until")
    return start.after


def _seq(house: House, text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text)
    try:
        bookmark = Bookmark.parse(text)
    except BookmarkError:
        raise BookmarkError(
            f"after: expected a bookmark or a seq, got {text[:40]!r}", field="after"
        ) from None
    if bookmark.epoch != house.service.log.epoch:
        raise BookmarkError(
            f"after: the log is {house.service.log.epoch}, the bookmark is of {bookmark.epoch}",
            field="after",
        )
    return bookmark.seq


def _number(query: Any, name: str, default: float, *, least: float, most: float) -> float:
    text = query.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not least <= value <= most or (name == "limit" and value != int(value)):
        raise FilterError(f"{name}: expected {least:g} to {most:g}, got {text[:40]!r}", field=name)
    return value


def _body(house: House, page: _Page) -> bytes:
    """Return the answer; the entries' wire bytes go out as they are."""
    log = house.service.log
    frame: dict[str, Any] = {
        "next": str(log.bookmark(page.next)),
        "epoch": log.epoch,
        "oldest": log.first,
        "newest": log.last,
    }
    if page.until is not None:
        frame["until"] = str(log.bookmark(page.until))
    if page.gap is not None:
        frame["gap"] = gap_fields(page.gap, log.epoch)
    rest = msgspec.json.encode(frame)
    return b'{"events":[%b],%b' % (b",".join([entry.wire for entry in page.entries]), rest[1:])
