"""Message: the words of a risk, with what an event says put in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from rtevents.core.event import Entry
from rtevents.core.where import MISSING, value_of
from rtevents.core.where_text import FIELDS, WITH_PARTS
from rtevents.errors import FilterError

MOST = 200
"""Most characters of one field: a message is one line."""

LONGEST = 1000
"""Most characters of a message."""

_PLACE = re.compile(r"\{([A-Za-z_][\w-]*(?:\.[\w-]+)*)\}")


class Message:
    """
    A text with `{data.file_path}` and the like in it.

    Args:
        text: The text.
        counted: The names besides fields that it may hold.
    Raises:
        FilterError: What stands in braces is no field of an event.
    """

    def __init__(self, text: str, counted: tuple[str, ...] = ()) -> None:
        self._text = text
        for name in _PLACE.findall(text):
            if name not in counted:
                field_of(name)

    def fill(self, entry: Entry | None, counted: Mapping[str, object]) -> str:
        """Return the text with what an entry says; what it does not say is a `-`."""

        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name in counted:
                return plain(counted[name])
            return "-" if entry is None else plain(value_of(entry, tuple(name.split("."))))

        return cut(_PLACE.sub(value, self._text), LONGEST).strip() or "-"


def field_of(name: str) -> tuple[str, ...]:
    """
    Return the parts of a field's name.

    Raises:
        FilterError: No event has such a field.
    """
    root, *rest = parts = tuple(name.split("."))
    if root not in FIELDS or bool(rest) != (root in WITH_PARTS) or not all(parts):
        raise FilterError(
            f"{name[:60]!r} is no field of an event, expected data.NAME, extensions.NAME or one of "
            f"{', '.join(sorted(set(FIELDS) - WITH_PARTS))}"
        )
    return parts


def plain(value: Any) -> str:
    """Return a value as a few characters that a terminal shows and none that it obeys."""
    if value is MISSING or value is None:
        return "-"
    text = (
        value
        if isinstance(value, str)
        else msgspec.json.encode(value)[: 4 * MOST].decode(errors="replace")
    )
    text = text[: 4 * MOST]
    return cut(
        "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text), MOST
    )


def cut(text: str, most: int) -> str:
    """Return a text, its end left out where it is too long."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
