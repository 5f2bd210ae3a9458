"""Globs: patterns for the paths of files."""

from __future__ import annotations

import fnmatch
import re

from rtevents.errors import FilterError

MAX_GLOB = 1024
"""Longest path glob, in characters."""


class Glob:
    """
    A pattern for paths: ``*``, ``?`` and ``[a-z]`` stay within a folder, ``**`` crosses folders.

    A glob that ends in ``/`` means everything below. Matching takes time linear in the pattern for
    each part of a path, whatever the pattern: a filter comes from outside.

    Attributes:
        hint: Bytes that are in the JSON of whatever has a path of this pattern; empty where none
            are known.
    Raises:
        FilterError: It is empty or longer than ``MAX_GLOB``.
    """

    def __init__(self, text: str) -> None:
        if not 0 < len(text) <= MAX_GLOB:
            raise FilterError(
                f"path: a glob of {len(text)} characters, expected 1 to {MAX_GLOB}", field="path"
            )
        text = text + "**" if text.endswith("/") else text
        self.hint = _hint(text)
        parts = text.split("/")
        if parts[-1] == "**":
            parts.append("*")
        self._parts = [
            None if part == "**" else re.compile(fnmatch.translate(part)).match for part in parts
        ]

    def matches(self, path: str) -> bool:
        """Tell whether the whole of `path` is of this pattern."""
        wanted, given = self._parts, path.split("/")
        at = place = 0
        # The last `**` seen and how many parts it has taken: going back to it alone is enough.
        star, taken = -1, 0
        while place < len(given):
            part = wanted[at] if at < len(wanted) else _END
            if part is None:
                star, taken = at, place
                at += 1
            elif part(given[place]):
                at, place = at + 1, place + 1
            elif star >= 0:
                taken += 1
                at, place = star + 1, taken
            else:
                return False
        return all(part is None for part in wanted[at:])


def _hint(text: str) -> bytes:
    """Return how a path of this pattern begins or ends in JSON, whichever says more."""
    begin = _SPECIAL.split(text, maxsplit=1)[0]
    if begin == text:
        return b'"%b"' % text.encode() if is_plain(text) else b""
    # `**/` may stand for nothing at all.
    end = _SPECIAL.split(text)[-1].lstrip("/")
    first = b'"' + begin.encode() if begin and is_plain(begin) else b""
    last = end.encode() + b'"' if end and is_plain(end) else b""
    return max(first, last, key=len)


def is_plain(text: str) -> bool:
    """Tell whether JSON writes a text as it is, and never in another way."""
    return text.isascii() and text.isprintable() and not {'"', "\\"} & {*text}


_SPECIAL = re.compile(r"[*?[\]]")


def _END(part: str) -> None:  # noqa: N802 - stands among the compiled parts of a glob
    """Match nothing: the pattern has no part left."""
