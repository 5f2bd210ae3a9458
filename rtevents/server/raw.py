"""Answers as bytes, where aiohttp does not write them."""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from aiohttp import web


def encode(response: web.Response, *, is_last: bool = False) -> bytes:
    """
    Return a response as aiohttp would write it.

    Args:
        is_last: Whether the connection is closed after it, and it says so.
    """
    status = HTTPStatus(response.status)
    body = response.body
    assert isinstance(body, bytes)  # noqa: S101 - all of ours are
    headers = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
    close = "Connection: close\r\n" if is_last else ""
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\n{headers}{close}"
    return b"%bContent-Length: %d\r\nDate: %b\r\n\r\n%b" % (
        head.encode(), len(body), date(int(time.time())), body,
    )  # fmt: skip


@lru_cache(1)
def date(second: int) -> bytes:
    """Return what a Date header says at a unix time."""
    return formatdate(second, usegmt=True).encode()
