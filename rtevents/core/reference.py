"""The Event Reference: what each field of a payload is, from its struct and its docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from rtevents.core.payloads import PAYLOADS, CommitFile


class FieldReference(msgspec.Struct, frozen=True):
    """One field of a payload, as the Event Reference shows it."""

    name: str
    type: str
    required: bool
    meaning: str


def reference(name: str) -> list[FieldReference]:
    """Return the fields of a built-in type's payload, from its struct and its docstring."""
    struct = PAYLOADS[name]
    known = meanings(struct)
    hints = get_type_hints(struct)
    return [
        FieldReference(
            name=field.name,
            type=_type_words(hints[field.name]),
            required=field.required,
            meaning=known[field.name],
        )
        for field in msgspec.structs.fields(struct)
    ]


def meanings(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return what each field of a struct means, in the words of its docstring."""
    found: dict[str, str] = {}
    for kind in reversed(struct.__mro__):
        arguments = inspect.cleandoc(kind.__doc__ or "").partition("\nArgs:\n")[2]
        for name, words in _ARGUMENT.findall(inspect.cleandoc(arguments)):
            found[name] = " ".join(words.split())
    return found


def schema_fields(schema: Mapping[str, Any]) -> list[FieldReference]:
    """Return the fields that a JSON Schema names, for a type that is not built in."""
    properties = schema.get("properties")
    required = schema.get("required")
    return [
        FieldReference(
            name=name,
            type=_schema_words(given if isinstance(given, dict) else {}),
            required=isinstance(required, list) and name in required,
            meaning=str(given.get("description", "")) if isinstance(given, dict) else "",
        )
        for name, given in (properties if isinstance(properties, dict) else {}).items()
    ]


def summary(name: str) -> str:
    """Return what a built-in type means, in one line."""
    return (PAYLOADS[name].__doc__ or "").strip().partition("\n")[0]


def schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema of a built-in type's payload."""
    result = msgspec.json.schema(PAYLOADS[name])
    parts: dict[str, Any] = result["$defs"]
    definition: dict[str, Any] = parts.pop(PAYLOADS[name].__name__)
    return definition | ({"$defs": parts} if parts else {})


def _schema_words(schema: Mapping[str, Any]) -> str:
    if isinstance(values := schema.get("enum"), list):
        return " ".join(map(str, values))
    kinds = schema.get("type", "any")
    names = [kind for kind in (kinds if isinstance(kinds, list) else [kinds]) if kind != "null"]
    return " ".join("text" if name == "string" else str(name) for name in names)


_ARGUMENT = re.compile(r"^(\w+): (.*(?:\n +.*)*)", re.MULTILINE)
"""A line of a docstring's `Args`, and those that go on from it."""

_PARTS = (CommitFile,)
"""Structs within payloads."""

_WORDS: dict[Any, str] = {str: "text", int: "integer", float: "number", bool: "boolean"}


def _type_words(hint: Any) -> str:
    """Return a type as the reference writes it: `text`, `number`, or the values themselves."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " ".join(map(str, arguments))
    if origin is list:
        return f"list of {_type_words(arguments[0])}"
    if origin is dict or hint in _PARTS:
        return "object"
    if arguments:  # `X | None`
        return _type_words(arguments[0])
    return _WORDS[hint]
