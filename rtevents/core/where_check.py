"""What a ``where`` asks that no event can fulfil: an error while it is certain, and never else."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from rtevents.core.payloads import PAYLOADS, EventTypes
from rtevents.core.where_text import And, Comparison, Node, Not, kind_of, named
from rtevents.errors import FilterError

NAMED = frozenset({"==", "!=", "in"})
"""The comparisons with whole values."""

ORDERED = frozenset({"<", "<=", ">", ">="})


class Declared(msgspec.Struct, frozen=True):
    """
    What a field of a built-in type's payload may hold.

    Args:
        kinds: Of ``text``, ``number``, ``true or false`` and ``null``; None for anything.
        names: The texts that it may be; None for any.
    """

    kinds: frozenset[str] | None
    names: tuple[str, ...] | None = None


def check(node: Node, types: EventTypes, only: frozenset[str] = frozenset()) -> None:
    """
    Check a condition against the event types that there are.

    Data of a type of the user's own may be anything, and so may fields that a built-in type does
    not declare: those are never wrong.

    Args:
        only: The types of which it is asked; empty for all.
    Raises:
        FilterError: It names a type that is not known, or asks a field of types whose data is known
            for what none of them has; the text names the column.
    """
    if isinstance(node, Comparison):
        if node.field == ("type",) and node.op in NAMED:
            for name, column in named(node):
                if name not in types:
                    raise _error(column, types.unknown(name))
        elif node.field[0] == "data" and len(node.field) == 2 and only:
            _check_data(node, only)
    elif isinstance(node, Not):
        check(node.part, types, only)
    else:
        if isinstance(node, And):
            for part in node.parts:
                only = _narrowed(part, only)
        for part in node.parts:
            check(part, types, only)


def _narrowed(part: Node, only: frozenset[str]) -> frozenset[str]:
    """Return which types are left beside a condition; what contradicts itself narrows nothing."""
    if not isinstance(part, Comparison) or part.field != ("type",) or part.op not in ("==", "in"):
        return only
    names = frozenset(name for name, _ in named(part))
    return names & only or only if only else names


def _check_data(node: Comparison, only: frozenset[str]) -> None:
    """Check a comparison with a field of these types."""
    if node.op not in NAMED | ORDERED:
        return
    fields = [_declared(name).get(node.field[1]) for name in sorted(only)]
    known = [field for field in fields if field is not None]
    if len(known) < len(fields):
        return
    for value, column in named(node):
        if not any(_may_be(field, value, node.op) for field in known):
            raise _error(column, _wrong(node, known[0], value, sorted(only)))


def _may_be(field: Declared, value: Any, op: str) -> bool:
    if field.names is not None and isinstance(value, str):
        return op in ORDERED or value in field.names
    return field.kinds is None or kind_of(value) in field.kinds


def _wrong(node: Comparison, field: Declared, value: Any, only: Sequence[str]) -> str:
    name = f"data.{node.field[1]} of {' and '.join(only[:3])}"
    got = json.dumps(value, ensure_ascii=False)[:80]
    if field.names is not None:
        near = difflib.get_close_matches(str(value), field.names, n=1)
        hint = f", did you mean {near[0]}?" if near else ""
        return f"{name} is one of {', '.join(field.names)}, got {got}{hint}"
    return f"{name} is {' or '.join(sorted((field.kinds or set()) - {'null'}))}, got {got}"


@cache
def _declared(name: str) -> dict[str, Declared]:
    """Return the fields of a type's payload; of one that is not built in, none."""
    if name not in PAYLOADS:
        return {}
    import msgspec.inspect as inspect

    info = inspect.type_info(PAYLOADS[name])
    assert isinstance(info, inspect.StructType)  # noqa: S101 - what a payload is
    return {field.encode_name: _of(field.type) for field in info.fields}


def _of(given: Any) -> Declared:
    import msgspec.inspect as inspect

    several: Sequence[Any] = given.types if isinstance(given, inspect.UnionType) else [given]
    parts = [part.type if isinstance(part, inspect.Metadata) else part for part in several]
    kinds = [_KINDS.get(type(part).__name__) for part in parts]
    names = [str(name) for part in parts if isinstance(part, inspect.LiteralType)
             for name in part.values]  # fmt: skip
    if None in kinds:
        return Declared(None)
    return Declared(frozenset(str(kind) for kind in kinds), tuple(names) or None)


_KINDS = {
    "StrType": "text", "LiteralType": "text", "IntType": "number", "FloatType": "number",
    "BoolType": "true or false", "NoneType": "null",
}  # fmt: skip


def _error(column: int, text: str) -> FilterError:
    return FilterError(f"where: column {column}: {text}", field="where")
