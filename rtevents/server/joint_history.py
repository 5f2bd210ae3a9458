"""A page of the history of several logs."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from rtevents.core.event import Bookmark, Entry, Gap
from rtevents.core.joint import JointCursor
from rtevents.core.log import wire_bytes
from rtevents.core.since import Since, parse_since
from rtevents.core.store import PAGE_BYTES
from rtevents.errors import BookmarkError, LogClosed, StoreError
from rtevents.server.asked import Reader, is_newest_first, limit_of, patience, wait_of
from rtevents.server.joint import Joint
from rtevents.server.keys import House
from rtevents.server.wire import gap_fields

Page = tuple[list[Entry], dict[str, Any]]


async def joint_page(house: House, houses: Sequence[House], reader: Reader, query: Any) -> Page:
    """
    Return a page of several logs: by timestamps, as far as each log's own order allows that.

    Args:
        house: The rooms that the request came to.
        houses: Those of each log.
    Returns:
        The entries, and what is told besides: in `logs` what each keeps; `oldest` and `newest` tell
        by the last number of `next` whether there is more.
    Raises:
        BookmarkError: A place cannot be read, or is in one log alone.
        FilterError: A number or the order cannot be.
    """
    joint = house.join(houses)
    since = query.get("after") or query.get("since") or "all"
    if since.isdigit() and query.get("after"):
        raise BookmarkError(
            f"after: a seq is of one log, and this is in several: name it, as log={houses[0].log}, "
            f"or go on from a bookmark, got {since[:40]!r}",
            field="after",
        )
    logs = [room.service.log for room in houses]
    # A stream that lags may still have from memory what is no longer kept; this is the log.
    starts = [
        msgspec.structs.replace(start, after=max(start.after, log.first - 1))
        for start, log in zip(
            await joint.starts(reader.wanted, parse_since(since), reader.within), logs, strict=True
        )
    ]
    untils, first = await _untils(joint, reader, query.get("until"))
    limit = limit_of(query)
    newest_first = is_newest_first(query)
    cursor = JointCursor(joint.logs(), reader.wanted, starts, untils)
    told: dict[str, Any] = {
        "epoch": ",".join(log.epoch for log in logs),
        "oldest": 0,
        "newest": 0,
        "logs": {
            room.log: {"epoch": log.epoch, "oldest": log.first, "newest": log.last}
            for room, log in zip(houses, logs, strict=True)
        },
    }
    snapshot = sorted((e for start in starts for e in start.snapshot), key=lambda e: e.timestamp)
    if snapshot:  # the newest of each type, oldest first
        entries = snapshot[-limit:][:: -1 if newest_first else 1]
        marks = [log.bookmark(start.after) for log, start in zip(logs, starts, strict=True)]
        return entries, {"next": _joined(marks), **told}
    if newest_first:
        afters = [start.after for start in starts]
        return await _newest(houses, reader, limit, afters, untils, first, told)
    entries = []
    try:
        gaps = await _fill(entries, cursor, limit, 0.0)
        if not entries and not gaps and (wait := wait_of(query)) and not cursor.is_over:
            async with house.guard.polls.waiting(patience(wait, reader)):
                gaps = await _fill(entries, cursor, limit, wait)
    except LogClosed:
        gaps = []
    if gaps:
        told |= {"gap": gaps[0], "gaps": gaps}
    goes_on = cursor.bookmark
    return entries, {"next": str(goes_on), **told, "newest": goes_on.seq + cursor.lag}


async def _fill(
    entries: list[Entry], cursor: JointCursor, limit: int, wait: float
) -> list[dict[str, Any]]:
    """Add what fits into the page; return what is missing, as ``gap`` frames tell it."""
    gaps: list[dict[str, Any]] = []
    while len(entries) < limit and wire_bytes(entries) < PAGE_BYTES:
        runs = await cursor.next(0.0 if entries or gaps else wait, limit=limit - len(entries))
        for name, error in cursor.troubles.items():
            # A page without what one of the logs has would pass for all there is.
            raise StoreError(f"log {name}: {error}", retry_after=error.retry_after)
        if not runs:
            break
        for run in runs:
            entries += [item for item in run.items if isinstance(item, Entry)]
            gaps += [
                {"log": run.log, **gap_fields(item, run.before.epoch)}
                for item in run.items
                if isinstance(item, Gap)
            ]
    return gaps


async def _newest(
    houses: Sequence[House],
    reader: Reader,
    limit: int,
    afters: Sequence[int],
    untils: Sequence[int] | None,
    first: int | None,
    told: dict[str, Any],
) -> Page:
    """
    Return the newest entries of all logs, the newest first.

    Args:
        first: The log whose newest entry comes before all; None for none.
    """
    logs = [house.service.log for house in houses]
    # Fixed before anything is awaited, so that what comes meanwhile is not skipped.
    reaches = [log.last for log in logs] if untils is None else list(untils)
    marks = [log.bookmark(reach) for log, reach in zip(logs, reaches, strict=True)]
    found = [
        deque(await log.newest(limit, reader.wanted, after=after, until=reach))
        for log, after, reach in zip(logs, afters, reaches, strict=True)
    ]
    is_whole = [len(each) < limit for each in found]
    entries: list[Entry] = []
    places = list(reaches)
    while len(entries) < limit and any(found):
        at = first
        if at is None or entries or not found[at]:
            at = max(range(len(found)), key=lambda n: found[n][0].timestamp if found[n] else -1.0)
        entries.append(found[at].popleft())
        places[at] = entries[-1].seq - 1
    for at, each in enumerate(found):
        if not each and is_whole[at]:
            places[at] = afters[at]
    goes_on = [log.bookmark(place) for log, place in zip(logs, places, strict=True)]
    has_more = any(each.seq > after for each, after in zip(goes_on, afters, strict=True))
    oldest = goes_on[-1].seq + (not has_more)
    return entries, {
        "next": _joined(goes_on),
        **told,
        "oldest": oldest,
        "newest": goes_on[-1].seq,
        "until": _joined(marks),
    }


async def _untils(
    joint: Joint, reader: Reader, text: str | None
) -> tuple[list[int] | None, int | None]:
    """
    Return the seq in each log up to which is wanted, and which log has the event that was named.

    Up to an event is, in the other logs, up to what was stored before it happened.
    """
    if not text:
        return None, None
    try:
        place = parse_since(text)
        if place.event_id is not None:
            return await _until_event(joint, reader, place.event_id)
        starts = await joint.starts(reader.wanted, place, reader.within)
    except BookmarkError as error:
        raise BookmarkError(f"until: {error}", field="until") from None
    if any(start.verdict == "other-epoch" for start in starts):
        raise BookmarkError(f"until: other-epoch: {text[:40]!r}", field="until")
    return [start.after for start in starts], None


async def _until_event(joint: Joint, reader: Reader, event_id: str) -> tuple[list[int], int]:
    for at, (_, log) in enumerate(joint.logs()):
        if (seq := await log.find(event_id, reader.within)) is None:
            continue
        found = await log.newest(1, reader.within, after=seq - 1, until=seq)
        when = found[0].timestamp if found else 0.0
        untils = [
            (await log.start(Since(timestamp=when), reader.wanted)).after for _, log in joint.logs()
        ]
        untils[at] = seq
        return untils, at
    raise BookmarkError(f"unknown-id: {event_id[:40]!r}")


def _joined(marks: Sequence[Bookmark]) -> str:
    return ",".join(map(str, marks))
