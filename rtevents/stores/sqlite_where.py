"""
What a ``where`` means in SQL: a condition that no row fails whose event fulfils it.

The rows that are left are shown to the filter itself, so that SQL may take one too many but never
one too few. What it cannot say exactly (globs, numbers that are nearly equal, names of fields with
unusual characters, what is within a list) is said twice: more than is meant where a row would be
taken, and less than is meant behind a ``not``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

import msgspec

from rtevents.core.filter import condition, path_hints
from rtevents.core.hints import hints_of
from rtevents.core.where import ORDER, SEVERITIES
from rtevents.core.where_text import And, Comparison, Node, Not, Scalar

UNKNOWN = ("1", "0")
"""What may be said of a row when nothing is known: at most, and at least."""

MOST_HINTS = 100
"""Hints that are looked for, at most: each costs a walk through the body."""

MOST_DEEP = 8
"""Levels of a condition that are said: older parsers of SQLite hold 100 words at most."""

MOST_PARTS = 8
"""Parts of a field's name that are said: at each but the last a list may begin."""

_TEXT = "CAST(body AS TEXT)"
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_ -]*\Z")
_NEARLY = 1e-9

# A body that is damaged is taken, and so is text with U+0000: SQLite ends it there.
_UNLESS = rf"CASE WHEN NOT json_valid({_TEXT}) OR instr({_TEXT}, '\u0000') THEN 1 ELSE {{}} END"


def narrowing(texts: Collection[str]) -> tuple[str, dict[str, object]]:
    """
    Return the SQL for any of some conditions, and what is bound in it; empty for nothing to say.

    The parameters are named ``where_0`` and ``hint_0`` and so on.
    """
    writer = _Writer()
    said = [writer.bounds(condition(text).node)[0] for text in texts]
    hints = {f"hint_{at}": hint for at, hint in enumerate(_hints(texts))}
    quick = f"({' OR '.join(f'instr(body, :{name})' for name in hints)})" if hints else ""
    if "1" in said or not said:
        return quick, dict(hints)
    exact = _UNLESS.format(f"({' OR '.join(said)})")
    return (f"({quick} AND {exact})" if quick else exact), writer.bound | hints


def about(globs: Collection[str]) -> tuple[str, dict[str, object]]:
    """
    Return the SQL that holds for whatever is about a file of one of some patterns, as far as it can
    be said, and what is bound in it; empty for nothing to say.

    The parameters are named ``path_0`` and so on.
    """
    hints = dict.fromkeys(path_hints(globs))
    if len(hints) > MOST_HINTS:
        return "", {}
    bound: dict[str, object] = {f"path_{at}": hint for at, hint in enumerate(hints)}
    said = " OR ".join(f"instr(body, :{name})" for name in bound)
    return (f"({said})" if said else ""), bound


def _hints(texts: Iterable[str]) -> list[bytes]:
    """Return bytes of which one is in each body that matters: far quicker looked for than JSON."""
    found: dict[bytes, None] = {}
    for text in texts:
        if (hints := hints_of(condition(text).node)) is None:
            return []
        found |= dict.fromkeys(hints)
    return list(found) if len(found) <= MOST_HINTS else []


class _Writer:
    """Writes a condition as two SQL expressions: one never false too often, one never true."""

    def __init__(self) -> None:
        self.bound: dict[str, object] = {}

    def bounds(self, node: Node, depth: int = 0) -> tuple[str, str]:
        """Return what holds for a row at most, and at least, as expressions that are 0 or 1."""
        if isinstance(node, Comparison):
            return self._comparison(node)
        if depth == MOST_DEEP:
            return UNKNOWN
        if isinstance(node, Not):
            most, least = self.bounds(node.part, depth + 1)
            return _opposite(least), _opposite(most)
        joined = _all if isinstance(node, And) else _any
        parts = [self.bounds(part, depth + 1) for part in node.parts]
        return joined([most for most, _ in parts]), joined([least for _, least in parts])

    def _comparison(self, node: Comparison) -> tuple[str, str]:
        field = _field(node.field)
        if field is None or node.op == "matches" or len(node.field) > MOST_PARTS:
            return UNKNOWN
        if node.op == "!=":
            most, least = self._comparison(msgspec.structs.replace(node, op="=="))
            return _opposite(least), _opposite(most)
        most, least = self._said(node, field)
        # What is in a list has no path of its own, so that nothing is said of it.
        lists = [
            f"{_type(_path(node.field[:end]))} IS 'array'" for end in range(2, len(node.field))
        ]
        return _any([most, *lists]), least

    def _said(self, node: Comparison, field: str) -> tuple[str, str]:
        """Return the bounds of a comparison with what is at a path."""
        if node.op == "exists":
            return _exactly(f"{_type(field)} IS NOT NULL")
        if node.op in ("==", "in"):
            values = [node.value] if node.op == "==" else node.value
            each = [self._equal(field, value) for value in values]
            return _any([most for most, _ in each]), _any([least for _, least in each])
        if node.op == "contains":
            return self._contains(field, node.value)
        if node.is_severity:
            rank = SEVERITIES.index(node.value)
            some = [name for at, name in enumerate(SEVERITIES) if ORDER[node.op](at, rank)]
            names = ", ".join(self._bind(name) for name in some)
            return _exactly(f"({_type(field)} IS 'text' AND {_value(field)} IN ({names}))")
        return self._ordered(field, node.op, node.value)

    def _equal(self, field: str, value: Scalar) -> tuple[str, str]:
        if value is None or isinstance(value, bool):
            return _exactly(f"{_type(field)} IS '{_JSON[value]}'")
        if isinstance(value, str):
            return self._text(field, "=", value)
        return self._number(field, "=", value)

    def _ordered(self, field: str, op: str, value: Scalar) -> tuple[str, str]:
        if isinstance(value, str):
            return self._text(field, op, value)
        return self._number(field, op, value)

    def _text(self, field: str, op: str, value: str) -> tuple[str, str]:
        if "\0" in value:
            return UNKNOWN
        wanted = self._bind(value)
        return _exactly(f"({_type(field)} IS 'text' AND {_value(field)} {op} {wanted})")

    def _number(self, field: str, op: str, value: Scalar) -> tuple[str, str]:
        """SQLite reads the last digit of a float differently now and then."""
        if not isinstance(value, float) and not _is_bindable(value):
            return UNKNOWN
        wanted = self._bind(value)
        is_number = f"coalesce({_type(field)} IN ('integer', 'real'), 0)"
        real = f"CAST({_value(field)} AS REAL)"
        near = (
            f"abs({real} - CAST({wanted} AS REAL)) "
            f"<= {_NEARLY} * max(abs({real}), abs(CAST({wanted} AS REAL)))"
        )
        said = f"{_value(field)} {op} {wanted}"
        return (
            f"({is_number} AND ({said} OR {near}))",
            f"({is_number} AND {said} AND NOT {near})",
        )

    def _contains(self, field: str, value: Scalar) -> tuple[str, str]:
        is_list = f"{_type(field)} IS 'array'"
        if not isinstance(value, str):
            return f"({is_list})", "0"
        if "\0" in value:
            return UNKNOWN
        text = f"({_type(field)} IS 'text' AND instr({_value(field)}, {self._bind(value)}) > 0)"
        return f"({text} OR {is_list})", text

    def _bind(self, value: object) -> str:
        name = f"where_{len(self.bound)}"
        self.bound[name] = value
        return f":{name}"


_JSON = {None: "null", True: "true", False: "false"}

_TOP = frozenset({"type", "source", "event_id", "timestamp"})


def _field(field: tuple[str, ...]) -> str | None:
    """Return the path of a field in a body; None where SQLite would take it for another."""
    if len(field) == 1 and field[0] not in _TOP:
        return None
    if not all(map(_PLAIN.match, field)):
        return None
    return _path(field)


def _path(field: tuple[str, ...]) -> str:
    return "$" + "".join(f'."{part}"' for part in field)


def _type(path: str) -> str:
    return f"json_type({_TEXT}, '{path}')"


def _value(path: str) -> str:
    return f"json_extract({_TEXT}, '{path}')"


def _exactly(said: str) -> tuple[str, str]:
    return said, said


def _opposite(said: str) -> str:
    return {"1": "0", "0": "1"}.get(said, f"(NOT {said})")


def _all(parts: list[str]) -> str:
    if "0" in parts:
        return "0"
    some = [part for part in parts if part != "1"]
    return f"({' AND '.join(some)})" if some else "1"


def _any(parts: list[str]) -> str:
    if "1" in parts:
        return "1"
    some = [part for part in parts if part != "0"]
    return f"({' OR '.join(some)})" if some else "0"


def _is_bindable(value: Scalar) -> bool:
    return isinstance(value, int) and -(2**63) <= value < 2**63
