"""What is told of an entry whose bytes are not those that were written."""

from __future__ import annotations

import re
from collections.abc import Collection

import msgspec

from rtevents.core.event import Entry, corrupt_entry
from rtevents.core.names import is_event_id

_HEAD = re.compile(rb'\{"event_id":("[^"\\]*"),"type":("[^"\\]*"),"data":\{')
_TAIL = re.compile(
    rb',"source":("(?:[^"\\]|\\.)*"),"project_id":("(?:[^"\\]|\\.)*"|null)(?:,"extensions":\{.*\})?\}\Z',
    re.DOTALL,
)


def damaged_entry(
    seq: int, event_id: object, stored_at: object, body: object, held: Collection[tuple[str, str]]
) -> Entry:
    """
    Return what stands in the place of a damaged entry.

    A key is believed where what is left of the body has it and its block is known to hold it; a
    type also where its block holds no other. A project is never guessed: it says who may see it.

    Args:
        seq: Its place.
        event_id: The id that the table has: bytes, unless that is damaged too.
        stored_at: When it was stored, in unix seconds, likewise.
        body: What is left of the wire form, likewise.
        held: What its block holds, as key and value.
    """
    body = body if isinstance(body, bytes) else b""
    head, tail = _HEAD.match(body), _TAIL.search(body)
    source, project = _text(tail and tail[1]), _text(tail and tail[2])
    kind = _text(head and head[2])
    types = [value for key, value in held if key == "type"]
    if kind not in types:
        kind = types[0] if len(types) == 1 else None
    return corrupt_entry(
        seq,
        _id(event_id) or _id(head and head[1].strip(b'"')) or "",
        type=kind or "",
        timestamp=stored_at if isinstance(stored_at, float) else 0.0,
        source=source if source and ("source", source) in held else "",
        project_id=project if project and ("project_id", project) in held else None,
    )


def _id(value: object) -> str | None:
    text = value.decode(errors="replace") if isinstance(value, bytes) else ""
    return text if is_event_id(text) else None


def _text(raw: bytes | None) -> str | None:
    try:
        return msgspec.json.decode(raw or b"null", type=str | None)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
