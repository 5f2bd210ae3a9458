"""GET /v1/events: a page of what is kept, and the long poll."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from rtevents.core.cloudevents import BATCH, to_cloudevent
from rtevents.core.cursor import Cursor
from rtevents.core.event import Bookmark, Entry, Gap
from rtevents.core.filter import FILTER_KEYS, parse_filter
from rtevents.core.log import Start, wire_bytes
from rtevents.core.since import Since, parse_since
from rtevents.core.store import PAGE_BYTES
from rtevents.errors import BookmarkError, LogClosed
from rtevents.server.asked import Reader, is_newest_first, limit_of, patience, wait_of
from rtevents.server.joint_history import joint_page
from rtevents.server.keys import HOUSE, PRINCIPAL, House, query_of
from rtevents.server.wire import gap_fields

JSON = "application/json"

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


async def history(request: web.Request) -> web.StreamResponse:
    """Return a page of events, and the bookmark to go on from."""
    house, principal = request.app[HOUSE], request[PRINCIPAL]
    query = query_of(request, HISTORY_KEYS)
    wanted = principal.grant.narrow(parse_filter(query, house.service.types))
    reader = Reader(wanted, principal.grant.visible, principal.grant.expires)
    entries, told = await _told(house, reader, request.query)
    # The wait may have been long: what was stored since a token was revoked is not for it.
    house.guard.confirm(request, principal)
    if BATCH.partition("-batch")[0] in request.headers.get("Accept", ""):
        body = msgspec.json.encode([to_cloudevent(entry) for entry in entries])
        return web.Response(body=body, content_type=BATCH)
    # The entries' wire bytes go out as they are.
    events, rest = b",".join([entry.wire for entry in entries]), msgspec.json.encode(told)
    return web.Response(body=b'{"events":[%b],%b' % (events, rest[1:]), content_type=JSON)


async def _told(house: House, reader: Reader, query: Any) -> tuple[list[Entry], dict[str, Any]]:
    """Return the entries of a page, and what is told besides."""
    first, *others = house.within(reader.wanted, reader.within)
    if others:
        return await joint_page(house, [first, *others], reader, query)
    page = await _page(first, reader, query)
    return page.entries, _fields(first, page)


async def _page(house: House, reader: Reader, query: Any) -> _Page:
    limit, wait = limit_of(query), wait_of(query)
    log, wanted = house.service.log, reader.wanted
    # A stream that lags may still have from memory what is no longer kept; this is the log.
    start = await _start(house, reader, query)
    after, gap = max(start.after, log.first - 1), start.gap
    until = await _until(house, reader, query.get("until"))
    newest_first = is_newest_first(query)
    if start.snapshot:  # the newest of each type, oldest first
        newest = list(start.snapshot)[-limit:]
        return _Page(newest[:: -1 if newest_first else 1], after, gap)
    if newest_first:
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
            async with house.guard.polls.waiting(patience(wait, reader)):
                found = await cursor.next(wait, limit=limit)
    except LogClosed:
        pass
    entries = [item for item in found if isinstance(item, Entry)]
    reached = await _fill(entries, cursor, limit, log.last if until is None else until)
    if until is not None and reached > until:
        return _Page([entry for entry in entries if entry.seq <= until], until, gap)
    return _Page(entries, reached, gap)


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


async def _start(house: House, reader: Reader, query: Any) -> Start:
    log = house.service.log
    if given := query.get("after"):
        seq = _seq(house, given)
        return await log.start(Since(bookmark=log.bookmark(seq)), reader.wanted, reader.within)
    return await log.start(parse_since(query.get("since") or "all"), reader.wanted, reader.within)


async def _until(house: House, reader: Reader, text: str | None) -> int | None:
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
    bookmark = bookmark.within(house.service.log.epoch)
    if bookmark.epoch != house.service.log.epoch:
        raise BookmarkError(
            f"after: the log is {house.service.log.epoch}, the bookmark is of {bookmark.epoch}",
            field="after",
        )
    return bookmark.seq


def _fields(house: House, page: _Page) -> dict[str, Any]:
    """Return what is told besides the entries."""
    log = house.service.log
    told: dict[str, Any] = {
        "next": str(log.bookmark(page.next)),
        "epoch": log.epoch,
        "oldest": log.first,
        "newest": log.last,
    }
    if page.until is not None:
        told["until"] = str(log.bookmark(page.until))
    if page.gap is not None:
        told["gap"] = gap_fields(page.gap, log.epoch)
    return told
