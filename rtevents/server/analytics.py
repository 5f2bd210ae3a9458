"""What the log says: GET /v1/analytics, and GET /v1/predictions."""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from rtevents.core.analysis import Analysis
from rtevents.core.cursor import Cursor
from rtevents.core.event import Entry
from rtevents.core.filter import FILTER_KEYS, Filter, parse_filter
from rtevents.core.names import is_project_id
from rtevents.core.since import parse_since
from rtevents.errors import BookmarkError, FilterError, LogClosed
from rtevents.server.keys import HOUSE, PRINCIPAL, House, answer, query_of

ANALYTICS_KEYS = FILTER_KEYS | {"since"}
PREDICTION_KEYS = frozenset({"project", "path", "limit"})
"""The keys of the query strings."""

MOST_EVENTS = 200_000
"""Events that a report looks at, the newest ones: some seconds of work."""

SLICE = 200
"""Events that are counted at a stretch: a few milliseconds, then others have their turn."""

MOST_PATHS = 16
"""Most paths that a prediction is asked for."""

MOST_LIKELY = 100

_at_work = asyncio.Lock()
"""One report at a time: others wait, rather than share what the daemon has left over."""


async def analytics(request: web.Request) -> web.Response:
    """Return what a stretch of the log says when it is counted."""
    house, principal = request.app[HOUSE], request[PRINCIPAL]
    query = query_of(request, ANALYTICS_KEYS)
    wanted = principal.grant.narrow(parse_filter(query, house.service.types))
    within = principal.grant.visible
    house = house.one(wanted, within)
    log = house.service.log
    try:
        start = await log.start(parse_since(request.query.get("since") or "all"), wanted, within)
    except BookmarkError as error:
        raise BookmarkError(f"since: {error}", field="since") from None
    end, least = log.last, log.last - MOST_EVENTS
    after = max(start.after, least, log.first - 1)
    async with _at_work:
        analysis = await _count(house, wanted, after, end)
    fields = msgspec.to_builtins(analysis.report())
    return answer({**fields, "is_cut": start.after < least})


async def _count(house: House, wanted: Filter, after: int, end: int) -> Analysis:
    analysis = Analysis()
    cursor = Cursor(house.service.log, wanted, after)
    try:
        while cursor.position < end:
            before = cursor.position
            found = await cursor.next(0, limit=SLICE)
            if cursor.position == before:
                break
            for item in found:
                if isinstance(item, Entry) and item.seq <= end:
                    analysis.add(item)
            await asyncio.sleep(0)
    except LogClosed:
        pass
    return analysis


async def predictions(request: web.Request) -> web.Response:
    """Return which files of a project are likely to change next."""
    house, principal = request.app[HOUSE], request[PRINCIPAL]
    query = query_of(request, PREDICTION_KEYS)
    project, *more = query.get("project", [""])
    if more or not is_project_id(project):
        raise FilterError(f"project: expected one, got {project[:48]!r}", field="project")
    # What is learned from is what the project's files and commits say.
    principal.grant.narrow(
        Filter(projects=frozenset({project}), types=frozenset({"COMMIT", "FILE_CHANGE"}))
    )
    paths = query.get("path", [])
    if not 0 < len(paths) <= MOST_PATHS:
        raise FilterError(f"path: expected 1 to {MOST_PATHS}, got {len(paths)}", field="path")
    likely = house.forecast.likely(project, paths, _limit(request.query.get("limit", "10")))
    return answer(
        {"project": project, "paths": paths, "likely": [each._asdict() for each in likely]}
    )


def _limit(text: str) -> int:
    if not (
        text.isascii() and text.isdigit() and 0 < int(text[:4]) <= MOST_LIKELY and len(text) < 4
    ):
        raise FilterError(f"limit: expected 1 to {MOST_LIKELY}, got {text[:20]!r}", field="limit")
    return int(text)
