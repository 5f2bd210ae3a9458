"""CloudEvents 1.0: to and from events; pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import msgspec

from rtevents.core.draft import not_json
from rtevents.core.event import NOT_JSON, Entry, Event, Undated, type_name
from rtevents.errors import BadInput, EventRefused

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

_OWN = ("id", "source", "type", "specversion", "time", "data", "data_base64", "project")
_JSON = ("datacontenttype", "application/json")
_REQUIRED = ("id", "source", "type", "specversion")


def from_cloudevent(fields: Mapping[str, Any]) -> Event:
    """
    Read a CloudEvent in its JSON form (CloudEvents 1.0.2, JSON event format).

    ``id type source time data`` become those of the event, the extension ``project`` its
    ``project_id``, every other attribute an extension.

    Raises:
        EventRefused: An attribute is missing, or is not what it must be.
    """
    for name in _REQUIRED:
        if not isinstance(fields.get(name), str):
            raise EventRefused(f"{name}: expected text, as CloudEvents 1.0 requires it", field=name)
    if (version := fields["specversion"]) != "1.0":
        raise EventRefused(f"specversion: expected 1.0, got {version[:60]!r}", field="specversion")
    if not isinstance(fields.get("project"), str | None):
        raise EventRefused("project: expected text", field="project")
    data = fields.get("data", {})
    if "data_base64" in fields or not isinstance(data, dict):
        raise EventRefused("data: expected an object", field="data")
    extensions = {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in fields.items()
        # That `data` is JSON is what every event says.
        if name not in _OWN and value is not None and (name, value) != _JSON
    }
    common: dict[str, Any] = {
        "event_id": fields["id"],
        "type": type_name(fields["type"]),
        "data": data,
        "source": fields["source"],
        "project_id": fields.get("project"),
        "extensions": extensions or msgspec.UNSET,
    }
    if fields.get("time") is None:
        return Undated(**common)
    return Event(timestamp=_timestamp(fields["time"]), **common)


def from_headers(headers: Mapping[str, str], body: bytes) -> Event:
    """
    Read a CloudEvent in binary mode: its attributes are ``ce-`` headers (HTTP protocol binding).

    Raises:
        BadInput: The body is not JSON.
        EventRefused: As ``from_cloudevent``.
    """
    fields: dict[str, Any] = {
        name.lower()[3:]: unquote(value)
        for name, value in headers.items()
        if name.lower().startswith("ce-")
    }
    try:
        fields["data"] = msgspec.json.decode(body) if body else {}
    except NOT_JSON as error:
        raise BadInput(not_json(error)) from error
    return from_cloudevent(fields)


def to_cloudevent(entry: Entry) -> dict[str, Any]:
    """Return an entry as a CloudEvent in its JSON form; a damaged one says ``corrupt``."""
    event = entry.event
    fields: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.event_id,
        # A source must not be empty there.
        "source": event.source or "rtevents",
        "type": event.type,
        "time": datetime.fromtimestamp(event.timestamp, UTC).isoformat(),
        "datacontenttype": "application/json",
        "data": event.data,
    }
    if event.project_id is not None:
        fields["project"] = event.project_id
    if entry.is_corrupt:
        fields["corrupt"] = True
    if event.extensions is not msgspec.UNSET:
        fields.update(
            (name, value) for name, value in event.extensions.items() if name not in fields
        )
    return fields


def _timestamp(text: object) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError):
        raise EventRefused(
            f"time: expected RFC 3339, got {str(text)[:60]!r}", field="time"
        ) from None
