"""What answers hold of the reference: event types, and the two descriptions."""

from __future__ import annotations

from typing import Any

import msgspec

from rtevents.core.reference import FieldReference


class TypeReference(msgspec.Struct):
    """
    An event type.

    Args:
        own: Whether it is one of the user's own.
        schema: The JSON Schema of its `data`; null for any object.
    """

    name: str
    summary: str
    own: bool
    fields: list[FieldReference]
    schema: dict[str, Any] | None


class Types(msgspec.Struct):
    """Every event type."""

    types: list[TypeReference]


class Reference(msgspec.Struct):
    """The description of this interface."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]
    components: dict[str, Any]


class StreamReference(msgspec.Struct):
    """The description of the streams."""

    asyncapi: str
    info: dict[str, Any]
    defaultContentType: str  # noqa: N815 - AsyncAPI's own name
    servers: dict[str, Any]
    channels: dict[str, Any]
    operations: dict[str, Any]
    components: dict[str, Any]
