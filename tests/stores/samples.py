"""Events for the tests of stores, and ways to read a store whole."""

from __future__ import annotations

from typing import Any

from rtevents.core.event import Entry, Event
from rtevents.core.filter import Filter
from rtevents.core.store import Store

EVERYTHING = Filter()


def event(type: str = "COMMIT", **fields: Any) -> Event:  # noqa: A002 - the event's field
    """Return an event; `data` holds what is not said otherwise."""
    return Event(type=type, **{"data": {"message": "hello"}, **fields})


def events(count: int, **fields: Any) -> list[Event]:
    return [event(**fields) for _ in range(count)]


def wanting(**keys: Any) -> Filter:
    """Return a filter from plain values: ``wanting(types="COMMIT", paths=["*.py"])``."""
    return Filter(
        **{
            key: frozenset([values] if isinstance(values, str) else values)
            for key, values in keys.items()
        }
    )


async def seqs(store: Store, wanted: Filter | None = None, *, limit: int = 500) -> list[int]:
    """Return the seqs of all that matches, page by page as a reader goes."""
    return [entry.seq for entry in await everything(store, wanted, limit=limit)]


async def everything(
    store: Store, wanted: Filter | None = None, *, limit: int = 500
) -> list[Entry]:
    """Return all that matches, page by page as a reader goes."""
    found: list[Entry] = []
    place, last = 0, (await store.bounds()).last
    while place < last:
        page = await store.read(place, limit, wanted)
        assert page.looked > place
        found += page.entries
        place = page.looked
    return found
