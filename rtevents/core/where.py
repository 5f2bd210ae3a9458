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

A name looks into each object of a list: ``data.files.path`` is the path of each file of a commit,
as ``path`` is each file that an event is about. Of several values one is enough; ``!=`` is always
the opposite of ``==``, and so says that none of them is this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from rtevents.core.event import Entry
from rtevents.core.glob import Glob
from rtevents.core.paths import MAX_TEXT, event_of, is_about, paths_of
from rtevents.core.where_text import WITH_PARTS, And, Comparison, Node, Not, Or, Scalar, parse

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
    """Return what a field holds; ``MISSING`` where it is not there, or holds several values."""
    root, *rest = field
    if root == "surprise":
        return _surprise(entry)
    if root == "data":
        value: Any = event_of(entry).data
    elif root == "extensions":
        value = event_of(entry).extensions
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
    extensions = event_of(entry).extensions
    try:
        return MISSING if extensions is msgspec.UNSET else float(extensions[SURPRISE])
    except (KeyError, ValueError):
        return MISSING


def values_of(entry: Entry, field: tuple[str, ...]) -> Sequence[Any]:
    """Return the values of a field: none where it is not there, one for each object of a list."""
    if field == ("path",):
        return paths_of(entry)
    if field[0] not in WITH_PARTS or len(field) == 2:
        value = value_of(entry, field)
        return () if value is MISSING else (value,)
    found = [value_of(entry, field[:2])]
    for part in field[2:]:
        found = [value for each in found for value in _within(each, part)]
    return found


def _within(value: Any, part: str) -> Sequence[Any]:
    """Return what one part of a field's name leads to."""
    if isinstance(value, dict):
        return (value[part],) if part in value else ()
    if not isinstance(value, list):
        return ()
    if part.isdecimal():
        return value[int(part) : int(part) + 1]
    return [each[part] for each in value if isinstance(each, dict) and part in each]


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
    field = node.field
    if node.op == "!=":
        return lambda entry: (
            not any(is_equal(value, node.value) for value in values_of(entry, field))
        )
    if node.op == "matches":
        glob = Glob(node.value)
        if field == ("path",):
            return lambda entry: is_about(entry, glob)
        return lambda entry: any(map(glob.matches, _texts(values_of(entry, field))))
    test = _test(node)
    return lambda entry: any(map(test, values_of(entry, field)))


def files_of(entry: Entry, node: Node | None = None) -> Sequence[str]:
    """
    Return the files of an entry that a condition is about; all where it says nothing of one.

    Args:
        node: The condition, which the entry fulfils; None for none.
    """
    paths = paths_of(entry)
    chooses = None if node is None or len(paths) < 2 else _chooses(node)
    return (chooses and [path for path in paths if chooses(path)]) or paths


def _chooses(node: Node) -> Callable[[str], bool] | None:
    """Return what tells whether a file is one a condition asks for; None where it asks for none."""
    if isinstance(node, Not):
        inner = _chooses(node.part)
        return None if inner is None else lambda path: not inner(path)
    if isinstance(node, And | Or):
        parts = [part for each in node.parts if (part := _chooses(each)) is not None]
        every = all if isinstance(node, And) else any
        return (lambda path: every(part(path) for part in parts)) if parts else None
    if node.field not in (("path",), ("data", "files", "path")):
        return None
    if node.op == "!=":
        return lambda path: not is_equal(path, node.value)
    return Glob(node.value).matches if node.op == "matches" else _test(node)


def _texts(values: Sequence[Any]) -> Iterable[str]:
    """Yield what is text that ``matches`` looks at, as far as there is room for it."""
    room = MAX_TEXT
    for value in values:
        if isinstance(value, str) and len(value) <= MAX_MATCHED:
            room -= len(value)
            if room < 0:
                return
            yield value


def _test(node: Comparison) -> Callable[[Any], bool]:
    """Return what tells whether a value fulfils a comparison."""
    op, wanted = node.op, node.value
    if op == "exists":
        return lambda value: True
    if op == "==":
        return lambda value: is_equal(value, wanted)
    if op == "in":
        return lambda value: any(is_equal(value, one) for one in wanted)
    if op == "contains":
        return lambda value: _contains(value, wanted)
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
    return isinstance(value, list) and any(_is_or_has(one, wanted) for one in value)


def _is_or_has(one: Any, wanted: Scalar) -> bool:
    """Tell whether what stands in a list is this, or is an object of this ``path``."""
    if isinstance(one, dict):
        return isinstance(wanted, str) and one.get("path") == wanted
    return is_equal(one, wanted)


ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}
"""What the signs of order mean."""
