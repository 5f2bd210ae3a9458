"""The names that an event carries, and what each may look like: its id, its type, its project."""

from __future__ import annotations

import os
import re
import time
from functools import lru_cache

MAX_EVENT_ID = 128
"""Longest id of an event, in characters."""

MAX_SOURCE = 256
"""Longest name of a source, in characters."""

PROJECT_ID = re.compile(r"[^\x00-\x1f\x7f-\x9f:]{1,48}\Z")
"""A project's id: `:` is kept out because it separates the parts of a commit's event id."""

NAMES = 4096
"""Names of types, projects and sources of which it is remembered whether they are well formed."""

MAX_NAME = 256
"""Longest name that is worth remembering, in characters; none that is well formed is longer."""


def type_name(text: str) -> str:
    """Return an event type as it is written: upper case, `_` for `-`."""
    return _spelled(text) if len(text) <= MAX_NAME else text.upper()


@lru_cache(NAMES)
def _spelled(text: str) -> str:
    return text.strip().upper().replace("-", "_")


def is_type_name(text: str) -> bool:
    """Tell whether `text` can be a type's name: a letter and up to 63 of ``A-Z 0-9 _``."""
    return len(text) <= MAX_NAME and _is_type_name(text)


@lru_cache(NAMES)
def _is_type_name(text: str) -> bool:
    return _TYPE.match(text) is not None


def new_event_id() -> str:
    """Return a fresh UUIDv7 (RFC 9562, section 5.7): unique, and in the order of its making."""
    value = bytearray((time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(10))
    value[6] = value[6] & 0x0F | 0x70
    value[8] = value[8] & 0x3F | 0x80
    digits = value.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def is_text(value: object) -> bool:
    """Tell whether a value is text that UTF-8 can carry: a lone surrogate cannot."""
    return isinstance(value, str) and (value.isascii() or not _SURROGATE.search(value))


def is_event_id(text: str) -> bool:
    """Tell whether `text` can be an event's id: 1 to 128 of ``A-Z a-z 0-9 . _ : -``."""
    return _EVENT_ID.match(text) is not None


def is_project_id(text: str) -> bool:
    """Tell whether `text` can be a project's id: 1 to 48 printable characters without ``:``."""
    return len(text) <= MAX_NAME and _is_project_id(text)


@lru_cache(NAMES)
def _is_project_id(text: str) -> bool:
    return is_text(text) and PROJECT_ID.match(text) is not None


_SURROGATE = re.compile("[\ud800-\udfff]")
_EVENT_ID = re.compile(rf"[A-Za-z0-9._:-]{{1,{MAX_EVENT_ID}}}\Z")
_TYPE = re.compile(r"[A-Z][A-Z0-9_]{0,63}\Z")
