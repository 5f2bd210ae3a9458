"""The reference of the streams, made from the structs: AsyncAPI 3.0."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from rtevents import __version__
from rtevents.server.answers.events import StoredEvent
from rtevents.server.frames import ANSWERS, COMMANDS, FRAMES
from rtevents.server.reference import REFERENCE, Schema, described, explain, kinds_of
from rtevents.server.requests import StreamQuery

SEEN_ASIDE = ("HEALTH_CHECK", "DASHBOARD_UPDATE")
"""The types of what the daemon tells each connection for itself: without a `seq`."""

CHANNELS = {
    "sse": (
        "/v1/events/stream",
        "Server-Sent Events. `id:` is the bookmark, `event:` the name of a control frame; events "
        "of the log have no name, so that `onmessage` hears them. The query, {query}, is in the "
        "`http` binding of the operation `follow_sse`: that of a channel can hold none.",
    ),
    "ndjson": (
        "/v1/events/stream",
        "The same with `Accept: application/x-ndjson`: one JSON object a line. The query, {query}, "
        "is in the `http` binding of `follow_ndjson`.",
    ),
    "websocket": ("/v1/events/ws", "One JSON object a text message, in both directions."),
}
"""Each way to follow: its path, and how it is written."""


def asyncapi(payloads: Mapping[str, Schema | None], listen: str | None) -> dict[str, Any]:
    """
    Return the AsyncAPI document of the streams.

    Args:
        payloads: The JSON Schema of `data` by event type; None for any object.
        listen: ``host:port`` of TCP; None where only the Unix socket is there.
    """
    schemas = _schemas()
    query = schemas.pop(StreamQuery.__name__)
    events = _events(schemas, payloads)
    messages = {name: _message(name, words) for name, words in events.items()}
    for table in (FRAMES, ANSWERS, COMMANDS):
        for name, shape in table.items():
            messages[name] = _message(shape.__name__, _words(shape))
            if table is not COMMANDS:
                schemas[shape.__name__] = _with_name(schemas[shape.__name__], name)
    told = [*events, *FRAMES]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "rtevents",
            "version": __version__,
            "description": "What happens in your projects as one ordered, durable, replayable "
            "stream.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": _servers(listen or "127.0.0.1:8473"),
        "channels": {
            name: _channel(name, query, [*told, *(_SPOKEN if name == "websocket" else ())])
            for name in CHANNELS
        },
        "operations": _operations(told, query),
        "components": {
            "schemas": schemas,
            "messages": messages,
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


_SPOKEN = (*COMMANDS, *ANSWERS)
"""The messages that only a WebSocket has."""


def _schemas() -> dict[str, Schema]:
    """Describe every struct that travels by a stream."""
    shapes: set[type[msgspec.Struct]] = {StreamQuery, StoredEvent}
    shapes |= {*FRAMES.values(), *COMMANDS.values(), *ANSWERS.values()}
    _, schemas = msgspec.json.schema_components(
        sorted(shapes, key=lambda shape: shape.__name__), ref_template=REFERENCE
    )
    for shape in described(shapes):
        explain(schemas[shape.__name__], shape)
    return schemas


def _events(schemas: dict[str, Schema], payloads: Mapping[str, Schema | None]) -> dict[str, str]:
    """Describe the event of each type; return its name, and what it is."""
    entry = schemas.pop(StoredEvent.__name__)
    found = {}
    for kind, data in kinds_of(payloads, schemas).items():
        place = "".join(part.title() for part in kind.split("_")) + "Event"
        own = {"type": {"const": kind}, "data": data}
        required = list(entry["required"])
        if kind in SEEN_ASIDE:
            required.remove("seq")  # the daemon's own have none, published ones have
        schemas[place] = entry | {
            "properties": entry["properties"] | own,
            "required": required,
            "description": f"An event of type {kind}.",
        }
        found[place] = f"A {kind} happened."
    return found


def _with_name(schema: Schema, name: str) -> Schema:
    """Return a frame as NDJSON and WebSockets have it; SSE says its name in `event:`."""
    control = {"const": name, "description": "Left out in SSE, where `event:` says it."}
    return schema | {"properties": {"control": control} | schema["properties"]}


def _message(schema: str, words: str) -> dict[str, Any]:
    return {"name": schema, "summary": words, "payload": {"$ref": REFERENCE.format(name=schema)}}


def _channel(name: str, query: Schema, messages: Iterable[str]) -> dict[str, Any]:
    address, words = CHANNELS[name]
    channel: dict[str, Any] = {
        "address": address,
        "description": words.format(query=" ".join(f"`{key}`" for key in query["properties"])),
        "servers": [{"$ref": f"#/servers/{'ws' if name == 'websocket' else 'http'}"}],
        "messages": {each: {"$ref": f"#/components/messages/{each}"} for each in messages},
    }
    if name == "websocket":
        channel["bindings"] = {
            "ws": {"method": "GET", "query": _query(query), "bindingVersion": "0.1.0"}
        }
    return channel


def _query(query: Schema) -> Schema:
    return {"type": "object", "properties": query["properties"]}


def _operations(told: list[str], query: Schema) -> dict[str, Any]:
    """Tell what the daemon sends, what it is sent, and how it answers that."""
    operations: dict[str, Any] = {
        f"follow_{name}": {
            "action": "send",
            "channel": {"$ref": f"#/channels/{name}"},
            "summary": "Events and control frames, from the place that was asked for.",
            "messages": _of(name, told),
        }
        for name in CHANNELS
    }
    for name in ("sse", "ndjson"):
        operations[f"follow_{name}"]["bindings"] = {
            "http": {"method": "GET", "query": _query(query), "bindingVersion": "0.3.0"}
        }
    for name, shape in COMMANDS.items():
        operations[name] = {
            "action": "receive",
            "channel": {"$ref": "#/channels/websocket"},
            "summary": _words(shape),
            "messages": _of("websocket", [name]),
        }
        if name != "auth":  # that one is answered by the stream itself
            operations[name]["reply"] = {
                "channel": {"$ref": "#/channels/websocket"},
                "messages": _of("websocket", ANSWERS),
            }
    return operations


def _of(channel: str, messages: Iterable[str]) -> list[dict[str, str]]:
    return [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages]


def _servers(host: str) -> dict[str, Any]:
    security = [{"$ref": "#/components/securitySchemes/token"}]
    return {
        protocol: {"host": host, "protocol": protocol, "security": security}
        for protocol in ("http", "ws")
    }


def _words(shape: type[msgspec.Struct]) -> str:
    return (inspect.getdoc(shape) or "").partition("\n")[0]
