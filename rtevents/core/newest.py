"""The newest of many entries in memory that are wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rtevents.core.event import Entry
from rtevents.core.filter import Filter

TURN = 2000
"""Entries that are looked at before other tasks have their turn."""


async def newest_of(entries: Sequence[Entry], limit: int, wanted: Filter) -> list[Entry]:
    """Return the last `limit` of the entries that match, the last first."""
    if wanted.is_everything:
        return list(entries[: -limit - 1 : -1])
    found: list[Entry] = []
    for edge in range(len(entries), 0, -TURN):
        for entry in reversed(entries[max(0, edge - TURN) : edge]):
            if len(found) == limit:
                return found
            if wanted.matches(entry):
                found.append(entry)
        await asyncio.sleep(0)
    return found
