"""Hints: bytes that are in whatever fulfils a condition, so that few events are decoded."""

from __future__ import annotations

from typing import Any

from rtevents.core.glob import Glob, is_plain
from rtevents.core.where_text import And, Comparison, Node, Not, Or

MOST = 100
"""Hints that are worth looking for, at most."""

Hints = tuple[bytes, ...] | None
"""One of these is in the wire form of whatever fulfils a condition; None where nothing is known."""


def hints_of(node: Node) -> Hints:
    """
    Return the hints of a condition.

    They are the names of fields and the texts that JSON writes as they are: the daemon writes each
    event's wire form itself, and always in the same way.
    """
    if isinstance(node, Not):
        return None
    if isinstance(node, And):
        some = [hints for part in node.parts if (hints := hints_of(part)) is not None]
        return min(some, key=len, default=None)
    if isinstance(node, Or):
        found: tuple[bytes, ...] = ()
        for part in node.parts:
            if (hints := hints_of(part)) is None:
                return None
            found += hints
        return found if len(found) <= MOST else None
    return _comparison(node)


def _comparison(node: Comparison) -> Hints:
    # What is said of the rest may be known of an event whose bytes are damaged.
    if node.op == "!=" or node.field[0] not in ("data", "extensions", "path"):
        return None
    if node.op in ("==", "in"):
        values = node.value if node.op == "in" else [node.value]
        texts = [_text(value) for value in values]
        if len(texts) <= MOST and None not in texts:
            return tuple(text for text in texts if text is not None)
    if node.op == "contains" and node.value != "" and (text := _text(node.value)) is not None:
        return (text[1:-1],)
    if node.op == "matches" and (hint := Glob(node.value).hint):
        return (hint,)
    return _name(node.field)


def _text(value: Any) -> bytes | None:
    """Return a text as JSON writes it; None for one that may be written in another way."""
    return f'"{value}"'.encode() if isinstance(value, str) and is_plain(value) else None


def _name(field: tuple[str, ...]) -> Hints:
    """Return the name of a field, which is there where anything is said of it but `!=`."""
    names = [part for part in field[1:] if not part.isdecimal()]
    name = _text(names[-1]) if names else None
    return None if name is None else (name,)
