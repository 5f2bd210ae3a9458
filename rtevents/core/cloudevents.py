"""CloudEvents 1.0: to and from events; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import msgspec

from rtevents.core.causes import CAUSATION, CORRELATION
from rtevents.core.draft import not_json
from rtevents.core.event import NOT_JSON, Entry, Event, Undated
from rtevents.core.names import type_name
from rtevents.errors import BadInput, EventRefused

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

NAMES = {CAUSATION: "causationid", CORRELATION: "correlationid"}
"""Extensions that have another name there (CloudEvents extensions, correlation)."""

OTHERS = "rteventsextensions"
"""The attribute with the extensions that can be none there: a JSON object of text, by name."""

UNNAMED = "rtevents"
"""The source of what names none: it must not be empty there."""

_OWN = ("id", "source", "type", "specversion", "time", "data", "data_base64", "project", OTHERS)
_JSON = ("datacontenttype", "application/json")
_REQUIRED = ("id", "source", "type", "specversion")


def from_cloudevent(fields: Mapping[str, Any]) -> Event:
    """
    Read a CloudEvent in its JSON form (CloudEvents 1.0.2, JSON event format).

    ``id type source time data`` become those of the event, the extension ``project`` its
    ``project_id``, every other attribute an extension: what ``to_cloudevent`` returned is the
    same event again.

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
        _NAMES.get(name, name): value
        if isinstance(value, str)
        else msgspec.json.encode(value).decode()
        for name, value in fields.items()
        # That `data` is JSON is what every event says.
        if name not in _OWN and value is not None and (name, value) != _JSON
    } | _others(fields.get(OTHERS))
    common: dict[str, Any] = {
        "event_id": fields["id"],
        "type": type_name(fields["type"]),
        "data": data,
        "source": "" if fields["source"] == UNNAMED else fields["source"],
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
        "source": event.source or UNNAMED,
        "type": event.type,
        "time": _time(event.timestamp),
        "datacontenttype": "application/json",
        "data": event.data,
    }
    if event.project_id is not None:
        fields["project"] = event.project_id
    if entry.is_corrupt:
        fields["corrupt"] = True
    if event.extensions is not msgspec.UNSET:
        fields |= _attributes(event.extensions)
    return fields


def _attributes(extensions: Mapping[str, str]) -> dict[str, str]:
    """Return extensions as attributes that the specification allows."""
    found: dict[str, str] = {}
    others: dict[str, str] = {}
    for name, value in extensions.items():
        is_plain = _NAME.match(name) and name not in _TAKEN
        if (is_plain or name in NAMES) and _VALUE.match(value):
            found[NAMES.get(name, name)] = value
        else:
            others[name] = value
    if others:
        # JSON leaves this one control character as it is.
        found[OTHERS] = json.dumps(others).replace("\x7f", "\\u007f")
    return found


def _others(text: object) -> dict[str, str]:
    if text is None:
        return {}
    try:
        return msgspec.json.decode(text if isinstance(text, str) else b"", type=dict[str, str])
    except NOT_JSON as error:
        raise EventRefused(f"{OTHERS}: expected a JSON object of text", field=OTHERS) from error


_NAMES = {theirs: ours for ours, theirs in NAMES.items()}
_TAKEN = {*_OWN, *_NAMES, "datacontenttype"}
# CloudEvents 1.0.2, "Attribute Naming" and "Type System": a name, and text that is not empty.
_NAME = re.compile(r"[a-z0-9]+\Z")
_VALUE = re.compile(
    "[^\0-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | 0xFFFE) + chr(plane << 16 | 0xFFFF) for plane in range(17))
    + r"]+\Z"
)


def _time(timestamp: float) -> str:
    """Return RFC 3339 with as many digits as it takes to read the same number again."""
    whole, _, digits = f"{Decimal(repr(timestamp)):f}".partition(".")
    day, _, _ = datetime.fromtimestamp(int(whole), UTC).isoformat().partition("+")
    return f"{day}.{digits}+00:00" if digits.strip("0") else f"{day}+00:00"


def _timestamp(text: object) -> float:
    found = _TIME.match(str(text))
    try:
        if found is None:
            return datetime.fromisoformat(str(text)).timestamp()
        # A datetime has microseconds: the digits are for the number itself.
        whole = datetime.fromisoformat(found[1] + found[3]).timestamp()
        return float(f"{whole:.0f}.{found[2]}") if whole >= 0 else whole + float(f".{found[2]}")
    except (ValueError, OverflowError):
        raise EventRefused(
            f"time: expected RFC 3339, got {str(text)[:60]!r}", field="time"
        ) from None


_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)\.(\d{1,1000})(Z|z|[+-]\d\d:\d\d)\Z", re.ASCII
)
"""A time with a fraction of a second, as RFC 3339 has it."""
