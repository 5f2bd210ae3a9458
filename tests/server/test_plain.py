"""What a plain request is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rtevents.server.plain import MAX_BODY, read_head


def head(*lines: str) -> bytes:
    """Return a head, up to and including the line end of its last header."""
    return "".join(f"{line}\r\n" for line in ("POST /v1/events HTTP/1.1", *lines)).encode()


GOOD = ("Host: h", "Content-Type: application/json", "Content-Length: 2")


def test_a_usual_head_is_plain() -> None:
    plain = read_head(head(*GOOD, "user-agent: x", "ACCEPT: */*", "Connection: Keep-Alive"))

    assert plain is not None
    assert (plain.content_type, plain.length) == ("application/json", 2)
    assert plain.headers["User-Agent"] == "x"


@pytest.mark.parametrize(
    "lines",
    [
        (*GOOD, "Origin: http://evil"), (*GOOD, "Cookie: a=b"), (*GOOD, "Sec-Fetch-Site: none"),
        (*GOOD, "Transfer-Encoding: chunked"), (*GOOD, "Expect: 100-continue"),
        (*GOOD, "Upgrade: websocket"), (*GOOD, "Content-Encoding: gzip"),
        (*GOOD, "ce-specversion: 1.0"), (*GOOD, "Connection: close"), (*GOOD, "Host: other"),
        (*GOOD, "Content-Length: 2"), (*GOOD, "X: y\nZ: a"), (*GOOD, " folded"),
        (*GOOD, "no colon"),
        (*GOOD, "Accept: \x01"), (*GOOD, "Accept : a"), GOOD[1:], GOOD[:2],
        ("Host: h", "Content-Type: text/plain", "Content-Length: 2"),
        ("Host: h", "Content-Type: application/json", "Content-Length: +2"),
        ("Host: h", "Content-Type: application/json", "Content-Length: -2"),
        ("Host: h", "Content-Type: application/json", f"Content-Length: {MAX_BODY + 1}"),
    ],
)  # fmt: skip
def test_anything_unusual_is_left_to_aiohttp(lines: Sequence[str]) -> None:
    assert read_head(head(*lines)) is None
