"""The text of a ``where``: its words, and what they make."""

from __future__ import annotations

import difflib
import re
from typing import Any

import msgspec

from rtevents.core.glob import Glob
from rtevents.core.names import type_name
from rtevents.errors import FilterError

MAX_TEXT = 4096
"""Longest condition, in characters."""

MAX_DEPTH = 32
"""Most parentheses and ``not`` within one another."""

MAX_VALUES = 256
"""Most values that a condition compares with."""

FIELDS = (
    "type", "data", "timestamp", "source", "project_id", "event_id", "seq", "extensions", "path",
    "surprise",
)  # fmt: skip
"""What the first part of a field may be: the wire's names, the event's files, its surprise."""

WITH_PARTS = frozenset({"data", "extensions"})
"""The fields that hold others."""

Scalar = str | int | float | bool | None


class Comparison(msgspec.Struct, frozen=True):
    """
    What is said of one field.

    Args:
        field: The parts of its name.
        op: One of ``== != < <= > >= in contains matches exists``.
        value: What it is compared with: a list of them for ``in``, None for ``exists``.
        is_severity: Whether it is compared by rank, not by letter.
        columns: Where each of the values stands, from 1.
    """

    field: tuple[str, ...]
    op: str
    value: Any = None
    is_severity: bool = False
    columns: tuple[int, ...] = ()


class Not(msgspec.Struct, frozen=True):
    """The opposite of a condition."""

    part: Node


class And(msgspec.Struct, frozen=True):
    """All of some conditions."""

    parts: tuple[Node, ...]


class Or(msgspec.Struct, frozen=True):
    """Any of some conditions."""

    parts: tuple[Node, ...]


Node = Comparison | Not | And | Or


def named(node: Comparison) -> list[tuple[Any, int]]:
    """Return what a comparison compares with, each value with its column."""
    values = node.value if node.op == "in" else (node.value,)
    return list(zip(values, node.columns, strict=True))


def kind_of(value: Scalar) -> str:
    """Return the kind of a value, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    return "text" if isinstance(value, str) else "number"


def parse(text: str) -> Node:
    """
    Read a condition.

    Raises:
        FilterError: It cannot be read; the text names the column.
    """
    if len(text) > MAX_TEXT:
        raise FilterError(f"where: {len(text)} characters, {MAX_TEXT} at most", field="where")
    return _Parser(text).whole()


_WORDS = re.compile(
    r"""\s*(?:
        (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<op>==|!=|<=|>=|<|>)
      | (?P<mark>[()\[\],.])
      | (?P<name>[A-Za-z_][\w-]*|\d+)
      | (?P<end>\Z)
      | (?P<wrong>.)
    )""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)

_IN_SINGLE = re.compile(r"""\\.|\"""", re.DOTALL)
"""What is written otherwise within single quotes than within double ones, and what looks so."""

_KEYWORDS = frozenset(
    {"and", "or", "not", "in", "contains", "matches", "exists", "true", "false", "null"}
)
_OF_FIELDS = frozenset({"in", "contains", "matches", "exists"})
_LITERALS: dict[str, Scalar] = {"true": True, "false": False, "null": None}
_ORDERS = frozenset({"<", "<=", ">", ">="})
_MEANT = {"=": "==", "&": "and", "|": "or", "!": "not", "~": "matches"}
_SEVERITY = ("data", "severity")

_NUMBERS = frozenset({"seq", "timestamp", "surprise"})
"""The fields that are a number in every event; the others without parts are text."""


def _as_json(match: re.Match[str]) -> str:
    return {"\\'": "'", '"': '\\"'}.get(match[0], match[0])


class _Word(msgspec.Struct, frozen=True):
    kind: str
    text: str
    column: int


def _words(text: str) -> list[_Word]:
    """Return the words of a condition; the last is its end."""
    found = ((str(match.lastgroup), match) for match in _WORDS.finditer(text))
    return [_Word(kind, match[kind], match.start(kind) + 1) for kind, match in found]


class _Parser:
    """Reads a condition by descending into it."""

    def __init__(self, text: str) -> None:
        self._words = _words(text)
        self._at = 0
        self._depth = 0
        self._values = 0

    def whole(self) -> Node:
        """Read all of it."""
        if self._next.kind == "end":
            raise self._error("nothing to compare: expected a field, such as data.severity")
        node = self._or()
        if self._next.kind != "end":
            raise self._error(f"expected and, or, or the end, got {self._shown}")
        return node

    def _or(self) -> Node:
        parts = [self._and()]
        while self._take("or"):
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _and(self) -> Node:
        parts = [self._not()]
        while self._take("and"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _not(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"more than {MAX_DEPTH} levels within one another")
        try:
            if self._take("not"):
                return Not(self._not())
            if self._take_mark("("):
                node = self._or()
                self._expect(")")
                return node
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Node:
        field = self._field()
        if self._next.kind == "op":
            op = self._step().text
            node = self._ordered(field, op) if op in _ORDERS else self._equal(field, op)
            self._check_kinds(node)
            return node
        is_not = self._take("not")
        word = self._keyword()
        if word not in _OF_FIELDS:
            raise self._error(
                f"expected == != < <= > >= in contains matches or exists, got {self._shown}"
            )
        op_at = self._step().column
        node = self._named(field, word)
        self._check_kinds(node, op_at)
        return Not(node) if is_not else node

    def _check_kinds(self, node: Comparison, column: int = 0) -> None:
        """Refuse what can be of no event: a field that is a number in all of them is no text."""
        name = ".".join(node.field)
        parts = 2 if node.field[0] == "extensions" else 1
        if node.op == "exists" or len(node.field) != parts:
            return
        wanted = "number" if node.field[0] in _NUMBERS else "text"
        if wanted == "number" and node.op in ("contains", "matches"):
            raise self._error(f"{name} is a number: {node.op} asks text", column)
        for value, at in named(node):
            if kind_of(value) != wanted:
                raise self._error(_wrong_kind(name, wanted, value), at)

    def _equal(self, field: tuple[str, ...], op: str) -> Comparison:
        column = self._next.column
        return Comparison(field, op, _typed(field, self._scalar(op)), columns=(column,))

    def _named(self, field: tuple[str, ...], op: str) -> Comparison:
        if op == "in":
            values, columns = self._list()
            return Comparison(
                field, op, tuple(_typed(field, value) for value in values), columns=columns
            )
        column = self._next.column
        value = self._value(op)
        return Comparison(field, op, value, columns=() if op == "exists" else (column,))

    def _ordered(self, field: tuple[str, ...], op: str) -> Comparison:
        column = self._next.column
        value = self._scalar(op)
        if isinstance(value, bool) or value is None:
            raise self._error(f"{op} compares text or numbers", column)
        is_severity = field == _SEVERITY and isinstance(value, str)
        if is_severity and value not in ("low", "medium", "high", "critical"):
            raise self._error("a severity is one of low, medium, high, critical", column)
        return Comparison(field, op, value, is_severity, (column,))

    def _value(self, op: str) -> Any:
        if op == "exists":
            return None
        column = self._next.column
        value = self._scalar(op)
        if op == "matches":
            if not isinstance(value, str):
                raise self._error("matches wants a path glob in quotes", column)
            try:
                Glob(value)
            except FilterError as error:
                raise self._error(str(error).removeprefix("path: "), column) from None
        return value

    def _list(self) -> tuple[tuple[Scalar, ...], tuple[int, ...]]:
        """Read the values of a list, and their columns."""
        self._expect("[")
        columns = [self._next.column]
        values = [self._scalar("in [")]
        while self._take_mark(","):
            columns.append(self._next.column)
            values.append(self._scalar(","))
        self._expect("]")
        return tuple(values), tuple(columns)

    def _scalar(self, after: str) -> Scalar:
        word = self._next
        self._values += 1
        if self._values > MAX_VALUES:
            raise self._error(f"more than {MAX_VALUES} values")
        if word.kind == "string":
            self._step()
            return self._text(word)
        if word.kind == "number":
            self._step()
            return self._number(word)
        if self._keyword() in _LITERALS:
            return _LITERALS[self._step().text.lower()]
        quoted = f': text stands in quotes, "{word.text}"' if word.kind == "name" else ""
        raise self._error(f"expected a value after {after}, got {self._shown}{quoted}")

    def _number(self, word: _Word) -> int | float:
        # Digits without end are no number that anybody compares with, and take long to read.
        if len(word.text) > 400:
            raise self._error("a number of more than 400 digits", word.column)
        try:
            return msgspec.json.decode(word.text.encode(), type=int | float)
        except msgspec.DecodeError:  # leading zeros, or beyond any float
            raise self._error(f"{word.text[:40]} is not a number", word.column) from None

    def _text(self, word: _Word) -> str:
        text = word.text
        if text[0] == "'":
            text = f'"{_IN_SINGLE.sub(_as_json, text[1:-1])}"'
        try:
            return msgspec.json.decode(text.encode(), type=str)
        except (ValueError, msgspec.DecodeError):
            raise self._error("text with a \\ that JSON does not know", word.column) from None

    def _field(self) -> tuple[str, ...]:
        word = self._next
        if word.kind != "name" or self._keyword():
            raise self._error(f"expected a field, such as data.severity, got {self._shown}")
        self._step()
        if word.text not in FIELDS:
            near = difflib.get_close_matches(word.text, FIELDS, n=1)
            hint = f"did you mean {near[0]}" if near else f"what it holds is data.{word.text}"
            raise self._error(f"no field {word.text!r}: {hint}", word.column)
        parts = [word.text]
        while self._take_mark("."):
            part = self._next
            if part.kind not in ("name", "string", "number"):
                raise self._error(f"expected a name after the dot, got {self._shown}")
            self._step()
            # `a.0.1` is read as a number with a point.
            parts += [self._text(part)] if part.kind == "string" else part.text.split(".")
        if len(parts) > 1 and word.text not in WITH_PARTS:
            raise self._error(f"{word.text} holds no other fields", word.column)
        if len(parts) == 1 and word.text in WITH_PARTS:
            raise self._error(f"expected one of its fields, such as {word.text}.name", word.column)
        return tuple(parts)

    @property
    def _next(self) -> _Word:
        return self._words[self._at]

    @property
    def _shown(self) -> str:
        word = self._next
        if word.kind == "end":
            return "the end"
        if word.kind == "wrong" and word.text in "\"'":
            return "a quote without its end"
        meant = _MEANT.get(word.text)
        return repr(word.text[:40]) + (f", did you mean {meant}" if meant else "")

    def _step(self) -> _Word:
        word = self._next
        self._at += 1
        return word

    def _keyword(self) -> str:
        """Return the next word if it is one of the language, as it is written there."""
        word = self._next.text.lower() if self._next.kind == "name" else ""
        return word if word in _KEYWORDS else ""

    def _take(self, keyword: str) -> bool:
        if self._keyword() != keyword:
            return False
        self._at += 1
        return True

    def _take_mark(self, mark: str) -> bool:
        if self._next.kind != "mark" or self._next.text != mark:
            return False
        self._at += 1
        return True

    def _expect(self, mark: str) -> None:
        if not self._take_mark(mark):
            raise self._error(f"expected {mark}, got {self._shown}")

    def _error(self, text: str, column: int | None = None) -> FilterError:
        where = self._next.column if column is None else column
        return FilterError(f"where: column {where}: {text}", field="where")


def _typed(field: tuple[str, ...], value: Scalar) -> Scalar:
    """Return a type as it is written in events; any other value as it is."""
    return type_name(value) if field == ("type",) and isinstance(value, str) else value


def _wrong_kind(name: str, wanted: str, value: Scalar) -> str:
    got = msgspec.json.encode(value).decode()[:80]
    if value is None:
        return f"{name} is never null: whether it is there is asked by {name} exists"
    if wanted == "number":
        unit = ", unix seconds" if name == "timestamp" else ""
        hint = ": without quotes" if _NUMBER.fullmatch(str(value)) else ""
        return f"{name} is a number{unit}, got {got}{hint}"
    return f"{name} is text, got {got}: in quotes"


_NUMBER = re.compile(r"-?\d+(\.\d+)?")
