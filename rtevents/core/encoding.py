"""JSON as the log has it: a line for each event, which every reader takes for one."""

from __future__ import annotations

import math

import msgspec

encoder = msgspec.json.Encoder()
"""Writes what the log keeps; a text may still need ``one_line``."""


def is_finite(value: object) -> bool:
    """Tell whether JSON can carry every number in `value`."""
    match value:
        case float():
            return math.isfinite(value)
        case dict():
            return all(map(is_finite, value.values()))
        case list() | tuple() | set() | frozenset():
            return all(map(is_finite, value))
    return True


def one_line(body: bytes) -> bytes:
    """Escape U+0085, U+2028 and U+2029, which some readers of SSE take for line ends (S10)."""
    if not body.isascii() and (b"\xe2\x80" in body or b"\xc2\x85" in body):
        for raw, escaped in _LINE_ENDS:
            body = body.replace(raw, escaped)
    return body


_LINE_ENDS = (
    (b"\xc2\x85", b"\\u0085"),
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
)
