"""Plain requests: the usual way to publish, told by its head alone; and how one is answered."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from rtevents.core.event import Stored
from rtevents.server.keys import House
from rtevents.server.publish import PLAIN_TYPES, stored_fields
from rtevents.server.raw import date

START = b"POST /v1/events HTTP/1.1\r\n"
"""How a plain request begins (RFC 9112, section 3)."""

MAX_HEAD = 2048
"""Longest head of a plain request, in bytes."""

MAX_BODY = 1024 * 1024
"""Longest body of a plain request, in bytes: it lies in memory until it is whole."""


class Plain(msgspec.Struct, frozen=True):
    """
    The head of a plain request.

    Args:
        headers: Its headers, their names in title case.
        content_type: The body's media type, without parameters.
        length: The body's length, in bytes.
    """

    headers: Mapping[str, str]
    content_type: str
    length: int


def is_begun(given: bytes) -> bool:
    """Tell whether a plain request may begin with these bytes."""
    return START.startswith(given)


@lru_cache(1024)
def read_head(head: bytes) -> Plain | None:
    """
    Read a request's head, up to and including the line end of its last header.

    Returns:
        None for a request that is not plain: any line, header or value but the usual ones.
    """
    if not head.startswith(START):
        return None
    headers: dict[str, str] = {}
    for line in head[len(START) :].split(b"\r\n")[:-1]:
        match = _HEADER.fullmatch(line)
        if match is None:
            return None
        name, value = match[1].decode().title(), match[2].decode()
        if name in headers or not _USUAL.get(name, _NOTHING).fullmatch(value):
            return None
        headers[name] = value
    content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    length = int(headers.get("Content-Length", MAX_BODY + 1))
    if content_type not in PLAIN_TYPES or length > MAX_BODY or "Host" not in headers:
        return None
    return Plain(headers, content_type, length)


_HEADER = re.compile(rb"([A-Za-z-]{1,40}):[ \t]*([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)[ \t]*")
_ANYTHING = re.compile(r".*")
_NOTHING = re.compile(r"(?!)")
_USUAL = {
    "Host": _ANYTHING,
    "User-Agent": _ANYTHING,
    "Accept": _ANYTHING,
    "Accept-Encoding": _ANYTHING,
    "Authorization": _ANYTHING,
    "Content-Type": _ANYTHING,
    "Content-Length": re.compile(r"[0-9]{1,8}"),
    "Connection": re.compile(r"(?i:keep-alive)"),
}
"""The headers that a plain request may have, and their values."""


def encode_stored(house: House, stored: list[Stored], *, is_lines: bool) -> bytes:
    """Return the answer to a plain request whose events are stored."""
    if is_lines:
        kind, body = b"x-ndjson", _json.encode_lines(stored)
    else:
        kind, body = b"json", _json.encode(stored_fields(house, stored))
    return (
        b"HTTP/1.1 201 Created\r\nContent-Type: application/%b\r\nContent-Length: %d\r\n"
        b"Date: %b\r\n\r\n%b" % (kind, len(body), date(int(time.time())), body)
    )


_json = msgspec.json.Encoder()
