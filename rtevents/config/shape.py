"""What the settings would have at a place of the configuration, to say what is wrong there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
from msgspec.inspect import DictType, ListType, LiteralType, StructType, Type, UnionType, type_info

_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


def names_at(struct: type[msgspec.Struct], place: str) -> list[str]:
    """
    Return the settings that there are at a place.

    Args:
        struct: What the whole document is.
        place: As msgspec tells it: ``$.sinks[0].webhook``; ``$`` is the document.
    Returns:
        Their names; none where anything may be.
    """
    return [
        field.encode_name
        for shape in _shapes_at(struct, place)
        if isinstance(shape, StructType)
        for field in shape.fields
    ]


def choices_at(struct: type[msgspec.Struct], place: str) -> list[str]:
    """Return the words of which one is expected at a place; see ``names_at``."""
    return [
        str(value)
        for shape in _shapes_at(struct, place)
        if isinstance(shape, LiteralType)
        for value in shape.values
    ]


def _shapes_at(struct: type[msgspec.Struct], place: str) -> list[Type]:
    shapes = list(_alternatives(type_info(struct)))
    for step in _STEP.finditer(place):
        shapes = [inner for shape in shapes for inner in _step(shape, step[1])]
    return shapes


def _step(shape: Type, name: str | None) -> Iterator[Type]:
    """Yield what may be in there: of that name, or as an item when it is None."""
    if isinstance(shape, ListType) and name is None:
        yield from _alternatives(shape.item_type)
    if isinstance(shape, DictType) and name is not None:
        yield from _alternatives(shape.value_type)
    if isinstance(shape, StructType):
        for field in shape.fields:
            if field.encode_name == name:
                yield from _alternatives(field.type)


def _alternatives(shape: Type) -> Iterator[Type]:
    if isinstance(shape, UnionType):
        yield from shape.types
    else:
        yield shape
