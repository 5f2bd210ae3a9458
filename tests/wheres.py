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

NAMES = ["a", "b", "severity", "deep", "0", "odd name", "ü\n\"'", "list", "files", "path"]
FILES = ["path", "old_path", "a"]
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
files = st.lists(
    texts | numbers | st.dictionaries(st.sampled_from(FILES), values, max_size=3), max_size=3
)
events = st.builds(
    Event,
    type=st.sampled_from(["DEPLOY", "RISK_ALERT"]),
    source=st.sampled_from(["", "ci", "ü"]),
    project_id=st.sampled_from([None, "web"]),
    timestamp=st.floats(0, 1e10) | st.integers(0, 10),
    data=st.builds(
        lambda data, more: data | more,
        st.dictionaries(st.sampled_from(NAMES), values, max_size=4),
        st.fixed_dictionaries(
            {}, optional={"files": files, "old_path": values, "file_path": values, "path": texts}
        ),
    ),
    extensions=st.dictionaries(st.sampled_from(["a", "correlation_id"]), texts, max_size=2),
)


def _get(parts: list[str]) -> Callable[[dict[str, Any]], list[Any]]:
    """Return what gives all the values of a field."""

    def get(value: Any, at: int = 0) -> list[Any]:
        if at == len(parts):
            # Where nobody said a project, it says null.
            return [] if parts == ["project_id"] and value is None else [value]
        if isinstance(value, dict):
            return get(value[parts[at]], at + 1) if parts[at] in value else []
        if not isinstance(value, list):
            return []
        if parts[at] == "0":
            return get(value[0], at + 1) if value else []
        return [found for each in value if isinstance(each, dict) for found in get(each, at)]

    return get


def _paths(event: dict[str, Any]) -> list[Any]:
    data = event["data"]
    own = data.get("file_path") or data.get("path")
    files = data.get("files")
    listed = files if isinstance(files, list) else []
    objects = [each for each in listed if isinstance(each, dict)]
    found = [own, data.get("old_path"), *(each for each in listed if not isinstance(each, dict))]
    found += [each.get(name) for each in objects for name in ("path", "old_path")]
    return [path for path in found if isinstance(path, str) and path]


def _name(root: str, rest: list[str], is_quoted: list[bool]) -> str:
    parts = [
        json.dumps(part, ensure_ascii=False)
        if quoted or not (part.isascii() and part.isalnum())
        else part
        for part, quoted in zip(rest, is_quoted, strict=False)
    ]
    return ".".join([root, *parts])


fields = (
    st.builds(
        lambda root, rest, is_quoted: (_name(root, rest, is_quoted), _get([root, *rest])),
        st.sampled_from(["data", "extensions"]),
        st.lists(st.sampled_from([*NAMES, "correlation_id"]), min_size=1, max_size=2),
        st.lists(st.booleans(), min_size=2, max_size=2),
    )
    | st.sampled_from(["type", "source", "project_id", "timestamp"]).map(
        lambda name: (name, _get([name]))
    )
    | st.sampled_from([("path", _paths), ("data.files.path", _get(["data", "files", "path"]))])
)


def _fit(name: str, value: Any) -> Any:
    """Return a value that may be asked of a field: none of a kind that no event has there."""
    if name == "timestamp":
        return value if _kind(value) == "number" else 7
    is_text = (name.split(".")[0] == "extensions" and name.count(".") == 1) or "." not in name
    return str(value) if is_text and not isinstance(value, str) else value


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
    wanted = _fit(name, wanted)
    compare = getattr(operator, {"<": "lt", "<=": "le", ">": "gt", ">=": "ge"}[sign])
    by_rank = name in ("data.severity", 'data."severity"') and isinstance(wanted, str)
    if by_rank and wanted not in SEVERITIES:
        wanted = "high"

    def holds(value: Any) -> bool:
        if _kind(value) != _kind(wanted):
            return False
        if by_rank:
            return value in SEVERITIES and compare(
                SEVERITIES.index(value), SEVERITIES.index(wanted)
            )
        return bool(compare(_plain(value), _plain(wanted)))

    return f"{name} {sign} {_written(wanted)}", lambda event: any(map(holds, get(event)))


def _contains(field: tuple[str, Any], wanted: Any) -> Made:
    name, get = field if field[0] != "timestamp" else ("data.list", _get(["data", "list"]))
    wanted = _fit(name, wanted)

    def holds(value: Any) -> bool:
        if isinstance(value, list):
            files = [one.get("path", 0) for one in value if isinstance(one, dict)]
            is_file = isinstance(wanted, str) and any(_same(one, wanted) for one in files)
            return is_file or any(_same(one, wanted) for one in value)
        return isinstance(value, str) and isinstance(wanted, str) and wanted in value

    return f"{name} contains {_written(wanted)}", lambda event: any(map(holds, get(event)))


def _matches(field: tuple[str, Any], glob: str) -> Made:
    name, get = field if field[0] != "timestamp" else ("data.a", _get(["data", "a"]))

    def holds(value: Any) -> bool:
        if glob.startswith("**/"):
            value = value.split("/")[-1] if isinstance(value, str) else value
        pattern = glob.removeprefix("**/")
        return isinstance(value, str) and "/" not in value and fnmatch.fnmatchcase(value, pattern)

    return f"{name} matches {_written(glob)}", lambda event: any(map(holds, get(event)))


def _joined(word: str, some: list[Made]) -> Made:
    decide = all if word == "and" else any
    return f" {word} ".join(f"({text})" for text, _ in some), lambda event: decide(
        meaning(event) for _, meaning in some
    )


def _equal(field: tuple[str, Any], sign: str, given: list[Any]) -> Made:
    name, get = field
    some = [_fit(name, value) for value in given[: None if sign == "in" else 1]]
    text = f"[{', '.join(map(_written, some))}]" if sign == "in" else _written(some[0])

    def holds(event: dict[str, Any]) -> bool:
        return any(_same(x, v) for x in get(event) for v in some) is not (sign == "!=")

    return f"{name} {sign} {text}", holds


comparisons: st.SearchStrategy[Made] = (
    st.builds(
        _equal,
        fields,
        st.sampled_from(["==", "!=", "in"]),
        st.lists(scalars, min_size=1, max_size=3),
    )
    | st.builds(lambda f: (f"{f[0]} exists", lambda e: bool(f[1](e))), fields)
    | st.builds(_ordered, fields, st.sampled_from(["<", "<=", ">", ">="]), texts | numbers)
    | st.builds(_contains, fields, scalars)
    | st.builds(
        _matches,
        fields,
        st.sampled_from(["*", "a*", "[a-m]*", "?", "high", "**/a.py", "**/*.py", 'q"*']),
    )
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
