"""Events as publishers write them: read, checked, encoded."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec

from rtevents.core.event import MAX_EXTENSIONS, NOT_JSON, Event, Undated, columns
from rtevents.core.names import (
    MAX_EVENT_ID,
    MAX_SOURCE,
    NAMES,
    is_event_id,
    is_project_id,
    is_text,
    is_type_name,
    type_name,
)
from rtevents.errors import BadInput, EventRefused

END_OF_TIME = 253_402_300_800
"""Unix seconds of the year 10000: no calendar in use can write what comes after it."""

ENDS_EARLY = "it ends too early, or with half of a surrogate pair"
"""What is said of a text that msgspec finds truncated."""

IDS = string.ascii_letters.encode() + string.digits.encode() + b"._:-"
"""The bytes of which an event's id is made."""


def decode_event(raw: bytes) -> Event:
    """
    Read one published event.

    Raises:
        BadInput: It is not JSON.
        EventRefused: It is JSON but not an event: a field is missing, wrong or unknown.
    """
    try:
        event = _whole_decoder.decode(raw)
    except (msgspec.ValidationError, *NOT_JSON):
        return _decode_draft(raw)
    if (name := type_name(event.type)) != event.type:
        msgspec.structs.force_setattr(event, "type", name)
    return event


def decode_events(raws: Sequence[bytes]) -> list[Event]:
    """
    Read published events, each from a JSON text of its own.

    Raises:
        BadInput, EventRefused: As ``decode_event``; which one it was is not told.
    """
    events: list[Event]
    try:
        events = list(map(_whole_decoder.decode, raws))
    except (msgspec.ValidationError, *NOT_JSON):
        return list(map(_decode_draft, raws))
    spelled = {event.type: type_name(event.type) for event in events}
    if any(given != name for given, name in spelled.items()):
        for event in events:
            msgspec.structs.force_setattr(event, "type", spelled[event.type])
    return events


def _decode_draft(raw: bytes) -> Event:
    """Read an event in which something is left out, or wrong; raises as ``decode_event``."""
    try:
        draft = _draft_decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise refusal(error) from error
    except NOT_JSON as error:
        raise BadInput(not_json(error)) from error
    given = {name: value for name in _OPTIONAL if (value := getattr(draft, name)) is not None}
    kind = Event if "timestamp" in given else Undated
    return kind(type=type_name(draft.type), data=draft.data, **given)


def check_event(event: Event) -> None:
    """
    Check what every event must hold, whatever its type.

    Raises:
        EventRefused: A field has the wrong form; `field` names it.
        EventTooLarge: Its wire form is longer than ``MAX_EVENT_BYTES``.
    """
    if not isinstance(event.event_id, str) or not is_event_id(event.event_id):
        raise _wrong("event_id", event.event_id, "1 to 128 of A-Z a-z 0-9 . _ : -")
    if not isinstance(event.type, str) or not is_type_name(event.type):
        raise _wrong("type", event.type, "a letter and up to 63 of A-Z 0-9 _")
    if not isinstance(event.data, dict):
        raise _wrong("data", event.data, "an object")
    if not isinstance(event.timestamp, (float, int)) or not _is_time(event.timestamp):
        raise _wrong("timestamp", event.timestamp, "unix seconds, from 1970 to 9999")
    source = event.source
    if not isinstance(source, str) or len(source) > MAX_SOURCE or not _is_source(source):
        raise _wrong("source", source, f"at most {MAX_SOURCE} characters")
    if (project_id := event.project_id) is not None and (
        not isinstance(project_id, str) or not is_project_id(project_id)
    ):
        raise _wrong("project_id", project_id, "1 to 48 printable characters without ':'")
    if event.extensions is not msgspec.UNSET:
        _check_extensions(event.extensions)
    _ = event.body


def are_well_formed(events: Sequence[Event]) -> bool:
    """
    Tell whether all events would pass ``check_event``, their bodies aside.

    It goes by columns, and so takes a tenth of the time; what is wrong, ``check_event`` tells.

    Raises:
        TypeError, ValueError: Some field is not even of the right type.
    """
    ids, types, projects, sources = columns(events)
    return (
        max(map(len, ids)) <= MAX_EVENT_ID
        and min(map(len, ids)) > 0
        and "\n".join(ids).encode("ascii").translate(None, IDS) == b"\n" * (len(ids) - 1)
        and all(map(is_type_name, set(types)))
        and all(name is None or is_project_id(name) for name in set(projects))
        and all(len(name) <= MAX_SOURCE and _is_source(name) for name in set(sources))
        and all(map(_is_time, map(_timestamp, events)))
        and all(event.extensions is msgspec.UNSET for event in events)
    )


def _is_time(timestamp: float) -> bool:
    return 0 <= timestamp < END_OF_TIME


@lru_cache(NAMES)
def _is_source(text: str) -> bool:
    return is_text(text)


def refusal(error: msgspec.ValidationError, prefix: str = "") -> EventRefused:
    """Translate msgspec's words for a wrong field: the place first, then what is wrong."""
    text, _, place = str(error).partition(" - at `$")
    path = (prefix + place.rstrip("`")).lstrip(".")
    text = text.replace("Object missing required field", "missing field")
    text = text.replace("Object contains unknown field", "unknown field").replace("`", "")
    text = text[:1].lower() + text[1:]
    path = path.replace("[...]", ".*")  # some name in an object, msgspec does not say which
    if named := _NAMED_FIELD.match(text):
        path = f"{path}.{named[2]}".lstrip(".")
        text = f"{named[1]} field"
    return EventRefused(f"{path}: {text}" if path else text, field=path or None)


def not_json(error: Exception) -> str:
    """Return one line that says what is wrong with a text that should have been JSON."""
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8: {error.reason}"
    if isinstance(error, RecursionError):
        return "not acceptable JSON: nested too deeply"
    text = str(error).removeprefix("JSON is malformed: ")
    if "UTF-8" in text:
        return f"not UTF-8: {text}"  # so says msgspec 0.23
    # msgspec's words for both: it looks for the other half behind the end of the input.
    return f"not JSON: {text.replace('Input data was truncated', ENDS_EARLY)}"


class _Draft(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An event as a publisher may write it; `seq`, from an exported stream, is not looked at."""

    type: str
    data: dict[str, Any]
    event_id: str | None = None
    timestamp: float | None = None
    source: str | None = None
    project_id: str | None = None
    extensions: dict[str, str] | None = None
    seq: int | None = None


class _Whole(Event, frozen=True, kw_only=True, dict=True, forbid_unknown_fields=True):
    """An event of which its publisher left out nothing that would have to be made up."""

    event_id: str
    timestamp: float


_timestamp = attrgetter("timestamp")
_OPTIONAL = ("event_id", "timestamp", "source", "project_id", "extensions")
_NAMED_FIELD = re.compile(r"(missing|unknown) field (\S+)\Z")

_whole_decoder = msgspec.json.Decoder(_Whole)
_draft_decoder = msgspec.json.Decoder(_Draft)


def _check_extensions(extensions: dict[str, str]) -> None:
    if not isinstance(extensions, dict) or len(extensions) > MAX_EXTENSIONS:
        raise _wrong("extensions", extensions, f"at most {MAX_EXTENSIONS} names with text")
    for name, value in extensions.items():
        if not is_text(name) or not is_text(value):
            raise _wrong(f"extensions.{name}", value, "text")


def _wrong(field: str, value: object, wanted: str) -> EventRefused:
    shown = repr(value)
    return EventRefused(
        f"{field}: expected {wanted}, got {shown if len(shown) <= 60 else shown[:57] + '...'}",
        field=field,
    )
