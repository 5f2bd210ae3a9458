"""What a request for a page of the history asks for, and who asks."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from rtevents.core.filter import Filter
from rtevents.errors import FilterError

LIMIT = 100
"""Entries of a page when the request names no limit."""

MAX_LIMIT = 1000
"""Most entries of a page."""

MAX_WAIT = 60.0
"""Longest long poll, in seconds: proxies give up soon after."""


class Reader(NamedTuple):
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


def limit_of(query: Any) -> int:
    """
    Return how many entries are asked for, at most.

    Raises:
        FilterError: It is no number, or beyond ``MAX_LIMIT``.
    """
    return int(_number(query, "limit", LIMIT, least=1, most=MAX_LIMIT))


def wait_of(query: Any) -> float:
    """
    Return how many seconds are to be waited for a page that has something.

    Raises:
        FilterError: It is no number, or beyond ``MAX_WAIT``.
    """
    return _number(query, "wait", 0.0, least=0, most=MAX_WAIT)


def is_newest_first(query: Any) -> bool:
    """
    Tell whether the newest are asked for.

    Raises:
        FilterError: There is no such order.
    """
    order = query.get("order", "asc")
    if order not in ("asc", "desc"):
        raise FilterError(f"order: expected asc or desc, got {order[:20]!r}", field="order")
    return bool(order == "desc")


def patience(wait: float, reader: Reader) -> float:
    """Return how many seconds a reader may wait: not beyond the end of its grant."""
    return wait if reader.expires is None else min(wait, max(0.0, reader.expires - time.time()))


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
