"""
The filter language ``where``: conditions on any field of an event, read once.

::

    data.severity >= "high" and data.path matches "src/**"
    type in ["COMMIT", "REF_UPDATE"] and not data.author contains "bot"
    data.exit_code exists and data.exit_code != 0

A comparison says something of one field: ``== != < <= > >=``, ``in [...]``, ``contains``,
``matches`` (a path glob), ``exists``; ``and``, ``or``, ``not`` and parentheses join them, ``not``
binding closest and ``or`` least. A field that is not there fulfils none of them but ``!=`` and what
``not`` stands before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from rtevents.core.event import Entry
from rtevents.core.glob import Glob
from rtevents.core.where_text import And, Comparison, Node, Not, Or, Scalar, parse

MAX_MATCHED = 4096
"""Longest text that ``matches`` looks at, in characters: longer than any path."""

SEVERITIES = ("low", "medium", "high", "critical")
"""What ``data.severity`` is compared by, the least first."""

SURPRISE = "surprise"
"""The extension in which an event has its surprise, as text."""

Predicate = Callable[[Entry], bool]


class Where:
    """
    A condition, read and compiled.

    Args:
        text: The condition.
    Attributes:
        node: What it consists of.
    Raises:
        FilterError: It cannot be read; the text names the column.
    """

    def __init__(self, text: str) -> None:
        self.node = parse(text)
        self.matches = _compile(self.node)
        """Tells whether an entry fulfils it."""


class _Missing:
    """Stands for a field that is not there."""


MISSING = _Missing()


def value_of(entry: Entry, field: tuple[str, ...]) -> Any:
    """Return what a field holds; ``MISSING`` where it is not there."""
    root, *rest = field
    if root == "surprise":
        return _surprise(entry)
    if root == "data":
        value: Any = _event(entry).data
    elif root == "extensions":
        value = _event(entry).extensions
        value = {} if value is msgspec.UNSET else value
    else:
        value = getattr(entry, root)
        # A corrupt entry has no source; an event without a project or a file has none of them.
        return MISSING if value is None or (root == "path" and not value) else value
    for part in rest:
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return MISSING
    return value


def _surprise(entry: Entry) -> Any:
    extensions = _event(entry).extensions
    try:
        return MISSING if extensions is msgspec.UNSET else float(extensions[SURPRISE])
    except (KeyError, ValueError):
        return MISSING


# The conditions of many readers are asked about one entry after the other.
_newest: tuple[Entry, Any] | None = None


def _event(entry: Entry) -> Any:
    global _newest  # a tuple, put there in one step: threads may each put theirs
    newest = _newest
    if newest is None or newest[0] is not entry:
        newest = _newest = entry, entry.event
    return newest[1]


def _compile(node: Node) -> Predicate:
    """Return the function that a condition is."""
    if isinstance(node, Not):
        inner = _compile(node.part)
        return lambda entry: not inner(entry)
    if isinstance(node, And):
        parts = [_compile(part) for part in node.parts]
        return lambda entry: all(part(entry) for part in parts)
    if isinstance(node, Or):
        parts = [_compile(part) for part in node.parts]
        return lambda entry: any(part(entry) for part in parts)
    return _comparison(node)


def _comparison(node: Comparison) -> Predicate:
    field, test = node.field, _test(node)
    return lambda entry: test(value_of(entry, field))


def _test(node: Comparison) -> Callable[[Any], bool]:
    """Return what tells whether a value, or ``MISSING``, fulfils a comparison."""
    op, wanted = node.op, node.value
    if op == "exists":
        return lambda value: value is not MISSING
    if op == "==":
        return lambda value: is_equal(value, wanted)
    if op == "!=":
        return lambda value: not is_equal(value, wanted)
    if op == "in":
        return lambda value: any(is_equal(value, one) for one in wanted)
    if op == "contains":
        return lambda value: _contains(value, wanted)
    if op == "matches":
        glob = Glob(wanted)
        return lambda value: (
            isinstance(value, str) and len(value) <= MAX_MATCHED and glob.matches(value)
        )
    compare = ORDER[op]
    if node.is_severity:
        least = SEVERITIES.index(wanted)
        return lambda value: (
            isinstance(value, str)
            and value in SEVERITIES
            and compare(SEVERITIES.index(value), least)
        )
    return lambda value: _are_alike(value, wanted) and compare(number(value), number(wanted))


def is_equal(value: Any, wanted: Scalar) -> bool:
    """Tell whether a value is this one: text, number, truth or null, each of its own kind."""
    if isinstance(wanted, bool) or wanted is None:
        return value is wanted
    return _are_alike(value, wanted) and bool(number(value) == number(wanted))


def _are_alike(value: Any, wanted: Any) -> bool:
    """Tell whether two values are both text, or both numbers."""
    if isinstance(wanted, str):
        return isinstance(value, str)
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(value: Any) -> Any:
    """Return a number as databases know it: one beyond 64 bits is a float. Text stays itself."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        try:
            return float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    return value


def _contains(value: Any, wanted: Scalar) -> bool:
    if isinstance(value, str):
        return isinstance(wanted, str) and wanted in value
    return isinstance(value, list) and any(is_equal(one, wanted) for one in value)


ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}
"""What the signs of order mean."""
