"""Conditions and events that hypothesis makes up, and what each condition means, told once more."""

from __future__ import annotations

import fnmatch
import json
import operator
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from rtevents.core.event import Event

Meaning = Callable[[dict[str, Any]], bool]
"""Whether an event, as the object of its wire form, fulfils a condition."""

Made = tuple[str, Meaning]

NAMES = ["a", "b", "severity", "deep", "0", "odd name", "ü\n\"'", "list"]
SEVERITIES = ["low", "medium", "high", "critical"]
TEXTS = [
    "",
    "a",
    "high",
    "low",
    "critical",
    "src/a.py",
    "src/b/c.py",
    "ü🎉",
    "a\x00b",
    "\x85",
    "[1]",
    "1",
    'q"\\',
]

texts = st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
numbers = (
    st.sampled_from(
        [0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 10**30, 0.1, 1.0, -0.0, 1e300]
    )
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
)
scalars = texts | numbers | st.booleans() | st.none()
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    ),
    max_leaves=6,
)
events = st.builds(
    Event,
    type=st.sampled_from(["DEPLOY", "RISK_ALERT"]),
    source=st.sampled_from(["", "ci", "ü"]),
    project_id=st.sampled_from([None, "web"]),
    timestamp=st.floats(0, 1e10) | st.integers(0, 10),
    data=st.dictionaries(st.sampled_from(NAMES), values, max_size=4),
    extensions=st.dictionaries(st.sampled_from(["a", "correlation_id"]), texts, max_size=2),
)

NOTHING = object()


def _get(parts: list[str]) -> Callable[[dict[str, Any]], Any]:
    def get(event: dict[str, Any]) -> Any:
        value: Any = event
        for part in parts:
            if isinstance(value, dict):
                value = value.get(part, NOTHING)
            elif isinstance(value, list) and part == "0" and value:
                value = value[0]
            else:
                return NOTHING
        # Where nobody said a project, it says null.
        return NOTHING if parts == ["project_id"] and value is None else value

    return get


def _name(root: str, rest: list[str], is_quoted: list[bool]) -> str:
    parts = [
        json.dumps(part, ensure_ascii=False)
        if quoted or not (part.isascii() and part.isalnum())
        else part
        for part, quoted in zip(rest, is_quoted, strict=False)
    ]
    return ".".join([root, *parts])


fields = st.builds(
    lambda root, rest, is_quoted: (_name(root, rest, is_quoted), _get([root, *rest])),
    st.sampled_from(["data", "extensions"]),
    st.lists(st.sampled_from([*NAMES, "correlation_id"]), min_size=1, max_size=2),
    st.lists(st.booleans(), min_size=2, max_size=2),
) | st.sampled_from(["type", "source", "project_id", "timestamp"]).map(
    lambda name: (name, _get([name]))
)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "truth"
    return {str: "text", int: "number", float: "number", type(None): "null"}.get(
        type(value), "other"
    )


def _plain(value: Any) -> Any:
    """Beyond 64 bits a number is a float."""
    return float(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


def _same(value: Any, wanted: Any) -> bool:
    return _kind(value) == _kind(wanted) and bool(_plain(value) == _plain(wanted))


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _ordered(field: tuple[str, Any], sign: str, wanted: Any) -> Made:
    name, get = field
    compare = getattr(operator, {"<": "lt", "<=": "le", ">": "gt", ">=": "ge"}[sign])
    by_rank = name in ("data.severity", 'data."severity"') and isinstance(wanted, str)
    if by_rank and wanted not in SEVERITIES:
        wanted = "high"

    def holds(event: dict[str, Any]) -> bool:
        value = get(event)
        if _kind(value) != _kind(wanted):
            return False
        if by_rank:
            return value in SEVERITIES and compare(
                SEVERITIES.index(value), SEVERITIES.index(wanted)
            )
        return bool(compare(_plain(value), _plain(wanted)))

    return f"{name} {sign} {_written(wanted)}", holds


def _contains(field: tuple[str, Any], wanted: Any) -> Made:
    name, get = field

    def holds(event: dict[str, Any]) -> bool:
        value = get(event)
        if isinstance(value, list):
            return any(_same(one, wanted) for one in value)
        return isinstance(value, str) and isinstance(wanted, str) and wanted in value

    return f"{name} contains {_written(wanted)}", holds


def _matches(field: tuple[str, Any], glob: str) -> Made:
    name, get = field

    def holds(event: dict[str, Any]) -> bool:
        value = get(event)
        return isinstance(value, str) and "/" not in value and fnmatch.fnmatchcase(value, glob)

    return f"{name} matches {_written(glob)}", holds


def _joined(word: str, some: list[Made]) -> Made:
    decide = all if word == "and" else any
    return f" {word} ".join(f"({text})" for text, _ in some), lambda event: decide(
        meaning(event) for _, meaning in some
    )


comparisons: st.SearchStrategy[Made] = (
    st.builds(
        lambda f, v: (f"{f[0]} == {_written(v)}", lambda e: _same(f[1](e), v)), fields, scalars
    )
    | st.builds(
        lambda f, v: (f"{f[0]} != {_written(v)}", lambda e: not _same(f[1](e), v)), fields, scalars
    )
    | st.builds(
        lambda f, some: (
            f"{f[0]} in [{', '.join(map(_written, some))}]",
            lambda e: any(_same(f[1](e), v) for v in some),
        ),
        fields,
        st.lists(scalars, min_size=1, max_size=3),
    )
    | st.builds(lambda f: (f"{f[0]} exists", lambda e: f[1](e) is not NOTHING), fields)
    | st.builds(_ordered, fields, st.sampled_from(["<", "<=", ">", ">="]), texts | numbers)
    | st.builds(_contains, fields, scalars)
    | st.builds(_matches, fields, st.sampled_from(["*", "a*", "[a-m]*", "?", "high"]))
)

conditions: st.SearchStrategy[Made] = st.recursive(
    comparisons,
    lambda inner: (
        st.builds(_joined, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3))
        | inner.map(lambda made: (f"not ({made[0]})", lambda event: not made[1](event)))
    ),
    max_leaves=5,
)
"""Conditions as text, and what they mean."""
