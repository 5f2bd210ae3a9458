"""A recording: a file with an event a line, in the wire form or as CloudEvents."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from rtevents.core.cloudevents import from_cloudevent, to_cloudevent
from rtevents.core.draft import check_event
from rtevents.core.event import MAX_EVENT_BYTES, NOT_JSON, Entry, Event, decode_entry
from rtevents.core.names import MAX_EVENT_ID
from rtevents.errors import BadInput, EventRefused

OWN = "rtevents/"
"""How the sources of the daemon's own producers begin; nobody else may publish by such a name."""

FORMS = ("ndjson", "cloudevents")
"""What a line can be: an event in the wire form, or a CloudEvent."""

BEGINS = (b'{"seq":', b'{"specversion":')
"""How a line of each form begins that was exported."""

MAX_LINE = 2 * MAX_EVENT_BYTES
"""Longest line that can be an event, in bytes: a CloudEvent is somewhat longer than its event."""

STANDARD_INPUT = Path("-")


class Line(msgspec.Struct, frozen=True):
    """
    A line of a recording.

    Args:
        number: Which one, from 1.
        end: How many bytes of the recording it ends with.
        event: What stands there.
    """

    number: int
    end: int
    event: Event


def encode(entry: Entry, form: str) -> bytes:
    """Return an entry as a line of a recording; `form` is ``ndjson`` or ``cloudevents``."""
    if form == "ndjson":
        return entry.wire + b"\n"
    return msgspec.json.encode(to_cloudevent(entry)) + b"\n"


def read(file: Path, skip: Callable[[BadInput], None] | None = None) -> Iterator[Line]:
    """
    Read a recording, a line at a time.

    Args:
        file: Where it is; ``-`` for standard input.
        skip: Is told of each line that is no event, which is left out then.
    Raises:
        BadInput: A line is no event, and nobody is told; the text has its number.
    """
    with _open(file) as source:
        end = 0
        for number, line in enumerate(iter(lambda: source.readline(MAX_LINE), b""), 1):
            end += len(line)
            if not line.strip():
                continue
            try:
                yield Line(number, end, _decode(line, number))
            except BadInput as error:
                if skip is None:
                    raise
                skip(error)
            # A longer line is no event: it is judged by its first part, and never held as a whole.
            while len(line) == MAX_LINE and not line.endswith(b"\n"):
                line = source.readline(MAX_LINE)
                end += len(line)


def is_readable(file: Path) -> bool:
    """Tell whether a recording can be read there: from a file, a pipe or a device."""
    return file == STANDARD_INPUT or (file.exists() and not file.is_dir())


def size(file: Path) -> int | None:
    """Return the bytes of a recording; None where that cannot be told."""
    return None if file == STANDARD_INPUT or not file.is_file() else file.stat().st_size


def last(file: Path, form: str | None = None) -> tuple[Event | None, str]:
    """
    Return the last event of a recording, and cut off what was written of a next one.

    Args:
        form: What its lines are to be, as for ``encode``; None for what they are.
    Returns:
        The event, None for a recording without a whole line; and what its lines are.
    Raises:
        BadInput: What stands last is no event, nor the beginning of one, or the lines are not what
            they are to be: nothing is cut off.
    """
    with file.open("r+b") as recording:
        end = recording.seek(0, os.SEEK_END)
        # The longest line there is, and the beginning of another.
        start = max(0, end - 4 * MAX_EVENT_BYTES)
        recording.seek(start)
        *lines, half = recording.read().split(b"\n")
        event = _decode(lines[-1], None) if lines else None
        if not any(begin.startswith(half[: len(begin)]) for begin in BEGINS):
            raise BadInput(f"the last line of {file}: neither an event nor the beginning of one")
        found = _form(lines[-1] if lines else half) or form or FORMS[0]
        if form not in (None, found):
            raise BadInput(
                f"{file} has {found}: go on without --format {form}, or write another file"
            )
        recording.truncate(end - len(half))
    return event, found


def _form(line: bytes) -> str | None:
    """Return what an event's line is, or its beginning; None where that cannot be told yet."""
    try:
        return FORMS["specversion" in msgspec.json.decode(line)]
    except NOT_JSON:
        found = [form for form, begin in zip(FORMS, BEGINS, strict=True) if line[:4] == begin[:4]]
        return found[0] if found else None


def outside(event: Event, word: str, **changed: object) -> Event:
    """
    Return an event as somebody else may publish it: under another name if it is the daemon's own.

    Args:
        word: Stands for ``rtevents`` in the source, and before an id of the git producer.
        changed: What else is to be another.
    """
    fields: dict[str, object] = {}
    if event.source.startswith(OWN):
        fields["source"] = f"{word}/{event.source.removeprefix(OWN)}"
    if event.event_id.startswith("git:"):
        fields["event_id"] = f"{word}:{event.event_id}"[:MAX_EVENT_ID]
    return msgspec.structs.replace(event, **{**fields, **changed})


def _open(file: Path) -> BinaryIO:
    return sys.stdin.buffer if file == STANDARD_INPUT else file.open("rb")


def _decode(line: bytes, number: int | None) -> Event:
    try:
        return _read_line(line)
    except (BadInput, EventRefused, *NOT_JSON) as error:
        where = "the last line" if number is None else f"line {number}"
        raise BadInput(f"{where}: {error}") from error


def _read_line(line: bytes) -> Event:
    if b'"specversion"' in line:
        fields = msgspec.json.decode(line)
        if isinstance(fields, dict) and "specversion" in fields:
            return from_cloudevent(fields)
    entry = decode_entry(line.strip())
    event = entry.event
    if not entry.is_corrupt:
        check_event(event)
    return event
