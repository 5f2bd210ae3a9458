"""Reflog: what git wrote down of each move of a ref."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

TAIL = 64 * 1024
"""Bytes of a reflog that are read at first: a long rebase writes a line for each commit."""

MAX_TAIL = 64 * TAIL
"""Bytes of a reflog that are read at most, to come to a time: some 25,000 moves."""

_LINE = re.compile(rb"([0-9a-f]{40,64}) ([0-9a-f]{40,64}) .*> (\d+) [+-]\d{4}(?:\t(.*))?")


class Line(msgspec.Struct, frozen=True):
    """
    One move.

    Args:
        old: The object id before; None for none.
        new: The one after; None for none.
        when: Unix seconds.
        words: What git says of it, such as `commit: Fix it`.
    """

    old: str | None
    new: str | None
    when: int
    words: str

    @classmethod
    def parse(cls, line: bytes) -> Line | None:
        """Return what a line says; None when it is none, or not whole."""
        match = _LINE.match(line)
        if match is None:
            return None
        words = (match[4] or b"").decode(errors="replace")
        return cls(sha(match[1].decode()), sha(match[2].decode()), int(match[3]), words)


def sha(text: str) -> str | None:
    """Return an object id; None for the one that stands for no object."""
    return text if text.strip("0") else None


def read(file: Path, start: int = 0, tail: int = TAIL) -> Iterator[Line]:
    """Yield the lines in the last bytes of a reflog, none before `start`, the oldest first."""
    try:
        with file.open("rb") as log:
            log.seek(max(start, log.seek(0, 2) - tail))
            lines = log.read(tail).split(b"\n")
    except OSError:
        return
    for line in lines:
        if (parsed := Line.parse(line)) is not None:
            yield parsed


def back_to(file: Path, when: float) -> list[Line]:
    """Return the last lines of a reflog, back to that time at least, in unix seconds."""
    tail = TAIL
    lines = [*read(file)]
    while lines and lines[0].when >= when and tail < min(MAX_TAIL, file.stat().st_size):
        tail *= 8
        lines = [*read(file, tail=tail)]
    return lines
