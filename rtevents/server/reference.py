"""The reference of the interface, made from the route table and the structs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from rtevents import __version__
from rtevents.core.reference import meanings
from rtevents.server.answers.events import HistoryPage, Published
from rtevents.server.answers.refusals import Problem
from rtevents.server.requests import CloudEvent, NewEvent

REFERENCE = "#/components/schemas/{name}"
"""Where a struct is described (OpenAPI 3.1, section 4.8.7)."""

JSON = "application/json"
PROBLEM = "application/problem+json"
NDJSON = "application/x-ndjson"
CLOUDEVENT = "application/cloudevents+json"
CLOUDEVENTS = "application/cloudevents-batch+json"

UNPUBLISHED = "HEALTH_CHECK"
"""The type that is never accepted from outside."""

ANYTHING: dict[str, Any] = {"type": "object"}

Schema = dict[str, Any]


class Row(Protocol):
    """What is told of a route; the rows of the route table have it all."""

    @property
    def method(self) -> str:
        """Its method."""

    @property
    def path(self) -> str:
        """Its path, with the names of what varies in braces."""

    @property
    def handler(self) -> Any:
        """What is called; its docstring says what it does."""

    @property
    def role(self) -> str:
        """The role that it needs; the empty string for none."""

    @property
    def query(self) -> type[msgspec.Struct] | None:
        """What its query string holds."""

    @property
    def takes(self) -> type[msgspec.Struct] | None:
        """What its body holds."""

    @property
    def is_optional(self) -> bool:
        """Whether that body may be left out."""

    @property
    def gives(self) -> type[msgspec.Struct] | None:
        """What its answer holds."""

    @property
    def statuses(self) -> tuple[int, ...]:
        """Those of a request that was done."""


def openapi(rows: Sequence[Row], payloads: Mapping[str, Schema | None]) -> dict[str, Any]:
    """
    Return the OpenAPI document of an interface.

    Args:
        payloads: The JSON Schema of `data` by event type; None for any object.
    """
    components = _components(rows, payloads)
    asked = {row.query for row in rows if row.query}
    queries = {query: components.pop(query.__name__) for query in asked}
    paths: dict[str, Any] = {}
    for row in rows:
        query = queries[row.query] if row.query else {}
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row, query)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rtevents",
            "version": __version__,
            "summary": "What happens in your projects as one ordered, durable, replayable stream.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Made by `rtevents token create`. On the daemon's Unix socket "
                    "its own user needs none.",
                }
            },
        },
    }


def _components(rows: Sequence[Row], payloads: Mapping[str, Schema | None]) -> dict[str, Schema]:
    """Describe all that is asked and answered, by the names of the structs."""
    asked = {shape for row in rows for shape in (row.query, row.takes) if shape}
    shapes: set[type[msgspec.Struct]] = {Problem, CloudEvent}
    shapes |= asked | {row.gives for row in rows if row.gives}
    _, components = msgspec.json.schema_components(
        sorted(shapes, key=_name), ref_template=REFERENCE
    )
    for shape in described(shapes):
        explain(components[shape.__name__], shape)
    queries = {row.query for row in rows}
    for shape in asked:
        # A form sends a field that is empty, which asks for nothing.
        empty = [""] if shape in queries else []
        _name_types(components[shape.__name__], [*sorted(payloads), *empty])
    published = {name: each for name, each in payloads.items() if name != UNPUBLISHED}
    kinds = kinds_of(published, components)
    for shape in (NewEvent, CloudEvent):
        components[shape.__name__] = _for_each_type(components[shape.__name__], kinds)
    return components


def _operation(row: Row, query: Schema) -> dict[str, Any]:
    words = inspect.getdoc(row.handler) or ""
    summary, _, more = words.partition("\n")
    operation: dict[str, Any] = {
        "operationId": row.handler.__name__.strip("_"),
        "summary": summary,
        "security": [{"token": []}] if row.role else [],
        "responses": _responses(row),
    }
    if more.strip():
        operation["description"] = more.strip()
    if parameters := [*_places(row.path), *_parameters(query)]:
        operation["parameters"] = parameters
    if row.takes is not None:
        operation["requestBody"] = {"required": not row.is_optional, "content": _body(row.takes)}
    return operation


def _places(path: str) -> Iterator[dict[str, Any]]:
    """Yield what varies in a path."""
    for name in re.findall(r"{(\w+)}", path):
        schema = {"type": "string", "pattern": r"^[^/?#]+$"}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _parameters(query: Schema) -> Iterator[dict[str, Any]]:
    """Yield what a query string holds; a list is the same key several times."""
    for name, schema in query.get("properties", {}).items():
        schema = dict(schema)
        words = schema.pop("description")
        found = {"name": name, "in": "query", "description": words, "schema": schema}
        yield found | ({"required": True} if name in query.get("required", ()) else {})


def _body(shape: type[msgspec.Struct]) -> dict[str, Any]:
    schema = _reference(shape)
    if shape is not NewEvent:
        return {JSON: {"schema": schema}}
    return {
        JSON: {"schema": {"anyOf": [schema, _up_to_a_thousand(schema)]}},
        NDJSON: {"schema": {"type": "string", "description": "An event on each line."}},
        CLOUDEVENT: {"schema": _reference(CloudEvent)},
        CLOUDEVENTS: {"schema": _up_to_a_thousand(_reference(CloudEvent))},
    }


def _up_to_a_thousand(schema: Schema) -> Schema:
    return {"type": "array", "items": schema, "maxItems": 1000}


def _responses(row: Row) -> dict[str, Any]:
    content = {JSON: {"schema": _reference(row.gives)}} if row.gives else {}
    problem: dict[str, Any] = {PROBLEM: {"schema": _reference(Problem)}}
    if row.gives is Published and row.takes is NewEvent:
        lines = {"schema": {"type": "string", "description": "An answer for each line."}}
        content[NDJSON] = problem[NDJSON] = lines
    if row.gives is HistoryPage:
        content[CLOUDEVENTS] = {"schema": _up_to_a_thousand(_reference(CloudEvent))}
    if row.path.endswith("/stream"):
        lines = {"schema": {"type": "string"}}
        content = {"text/event-stream": lines, NDJSON: lines}
    if row.path == "/metrics":
        content = {"text/plain": {"schema": {"type": "string"}}}
    done: dict[str, Any] = {"description": "Done."}
    if content:
        done["content"] = content
    wrong = {"description": "Not done; `detail` says why.", "content": problem}
    return {str(status): done for status in row.statuses} | {"default": wrong}


def kinds_of(
    payloads: Mapping[str, Schema | None], components: dict[str, Schema]
) -> dict[str, Schema]:
    """Describe the data of each type among the components; return where, by the type's name."""
    kinds = {}
    for name, payload in payloads.items():
        kind = "".join(part.title() for part in name.split("_"))
        data = dict(payload or ANYTHING)
        # What a payload refers to is told beside it: here all that is told has a place of its own.
        components |= data.pop("$defs", {})
        is_object = data.get("type") == "object"
        components[kind] = _moved(data if is_object else {"allOf": [data, ANYTHING]})
        kinds[name] = {"$ref": REFERENCE.format(name=kind)}
    return kinds


def _for_each_type(event: Schema, kinds: Mapping[str, Schema]) -> Schema:
    """Return what an event may be: each type has another `data`."""
    return {
        "anyOf": [
            event | {"properties": event["properties"] | {"type": {"const": name}, "data": data}}
            for name, data in kinds.items()
        ],
        "description": event["description"],
    }


def _moved(schema: Any) -> Any:
    """Return a schema that refers to the document's own places."""
    if isinstance(schema, dict):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/")
            if key == "$ref" and isinstance(value, str)
            else _moved(value)
            for key, value in schema.items()
        }
    return [_moved(each) for each in schema] if isinstance(schema, list) else schema


def _name_types(schema: Schema, names: list[str]) -> None:
    """Tell which event types a filter may name."""
    properties = schema.get("properties", {})
    for key in ("type", "not_type", "types"):
        if properties.get(key, {}).get("type") == "array":
            properties[key]["items"] = {"type": "string", "enum": names}


def explain(schema: Schema, shape: type[msgspec.Struct]) -> None:
    """Tell what each field means, in the words of the docstring."""
    words = inspect.getdoc(shape) or ""
    schema["description"] = words.partition("\n")[0]
    for name, text in meanings(shape).items():
        if (field := schema["properties"].get(name)) is not None:
            # Beside a reference, in words of its own (JSON Schema 2020-12, section 8.2.3).
            field["description"] = text


def described(shapes: Iterable[type[msgspec.Struct]]) -> set[type[msgspec.Struct]]:
    """Return these structs, and those within them."""
    found: set[type[msgspec.Struct]] = set()
    waiting = list(shapes)
    while waiting:
        if (shape := waiting.pop()) not in found:
            found.add(shape)
            waiting += _within([field.type for field in msgspec.inspect.type_info(shape).fields])  # type: ignore[attr-defined]
    return found


def _within(kinds: Iterable[msgspec.inspect.Type]) -> Iterator[type[msgspec.Struct]]:
    for kind in kinds:
        if isinstance(kind, msgspec.inspect.StructType):
            yield kind.cls
        elif isinstance(kind, msgspec.inspect.ListType):
            yield from _within([kind.item_type])
        elif isinstance(kind, msgspec.inspect.UnionType):
            yield from _within(kind.types)


def _reference(shape: type[msgspec.Struct]) -> Schema:
    return {"$ref": REFERENCE.format(name=shape.__name__)}


def _name(shape: type[msgspec.Struct]) -> str:
    return shape.__name__
