"""Payloads that nobody should send: F34."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Daemon
from tests.faults.checker import everything
from tests.security.wire import Answer, Peer, request

MIB = 1024 * 1024


def around(raw: bytes) -> bytes:
    """Return the JSON of an event in whose data a value stands as it is."""
    return b'{"type":"RISK_ALERT","data":{"severity":"low","message":"m","x":%b}}' % raw


REFUSED: dict[str, tuple[bytes, int, str]] = {
    "too large": (around(b'"%b"' % (b"a" * MIB)), 413, "bytes"),
    "nothing": (b"", 400, "it ends too early"),
    "half": (around(b"1")[:-1], 400, "it ends too early"),
    "more": (around(b"1") + b"x", 400, "trailing characters"),
    "deep": (around(b"[" * 200_000 + b"]" * 200_000), 400, "nested too deeply"),
    "deep and open": (around(b"[" * 200_000), 400, "nested too deeply"),
    "deep objects": (around(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), 400, "nested too deeply"),
    "NaN": (around(b"NaN"), 400, "invalid character (byte 64)"),
    "Infinity": (around(b"-Infinity"), 400, "invalid character (byte 65)"),
    "1e999": (around(b"1e999"), 422, "data.*: number out of range"),
    "5,000 digits": (around(b"9" * 5000), 422, "data.*: integer value out of range"),
    "a lone surrogate": (around(rb'"\ud800"'), 400, "half of a surrogate pair"),
    "a lone low surrogate": (around(rb'"\udc00 and more"'), 400, "invalid utf-16 surrogate pair"),
    "a raw surrogate": (around(b'"\xed\xa0\x80"'), 400, "not UTF-8"),
    "no UTF-8": (around(b'"\xff"'), 400, "not UTF-8"),
    "an overlong slash": (around(b'"\xc0\xaf"'), 400, "not UTF-8"),
    "UTF-16": (around(b"1").decode().encode("utf-16"), 400, "invalid character (byte 0)"),
    "a byte order mark": (b"\xef\xbb\xbf" + around(b"1"), 400, "invalid character (byte 0)"),
    "a raw NUL": (around(b'"\0"'), 400, "invalid character"),
    "a raw line end": (around(b'"\n"'), 400, "invalid character"),
    "no escape": (around(rb'"\x41"'), 400, "invalid escape"),
    "no object": (b'"RISK_ALERT"', 422, "expected object"),
    "a time beyond all": (b'{"type":"RISK_ALERT","data":{},"timestamp":1e300}', 422, "timestamp"),
    "an unknown field": (b'{"type":"RISK_ALERT","data":{},"__proto__":1}', 422, "__proto__"),
    "an evil type": (b'{"type":"RISK_ALERT\\ndata: x","data":{}}', 422, "type"),
}
"""A body, the status of its refusal, and what that says."""

ACCEPTED = [
    b"-0.0", b"0.1", b"1.0", b"1.7976931348623157e308", b"5e-324", b"9007199254740993",
    b"-9223372036854775808", b"18446744073709551615", b"true", b"null", b"[]", b"{}",
    rb'"\u0000"', '"ünï, 😀"'.encode(), rb'"\\\""', b'{"__proto__":{"a":1}}', b'""',
    b"[" * 50 + b"]" * 50,
]  # fmt: skip
"""Values that come back as they went, byte by byte."""


def by_express(body: bytes) -> bytes:
    """Return a publish request that is served straight from the socket."""
    return _post(body)


def by_aiohttp(body: bytes) -> bytes:
    """Return one that aiohttp serves."""
    return _post(body, "Accept-Language: en")


def _post(body: bytes, *headers: str) -> bytes:
    length = f"Content-Length: {len(body)}"
    kind = "Content-Type: application/json"
    return request("POST /v1/events", kind, length, *headers) + body


def memory_kib(daemon: Daemon) -> int:
    """Return the resident memory of a daemon."""
    assert daemon.process is not None
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def answer_to(daemon: Daemon, sent: bytes) -> Answer:
    """Return what a request is answered."""
    with Peer(daemon.socket) as peer:
        peer.send(sent)
        return peer.answer()


@pytest.mark.parametrize("way", [by_express, by_aiohttp])
def test_what_is_no_event_is_refused_with_the_reason(
    shared_daemon: Daemon, way: Callable[[bytes], bytes]
) -> None:
    """F34: each refusal is one line that says what is wrong; nothing is stored, memory is flat."""
    daemon, before = shared_daemon, 0
    for _ in range(3):
        for name, (body, status, detail) in REFUSED.items():
            answer = answer_to(daemon, way(body))
            assert answer.status == status, name
            assert answer.headers["content-type"] == "application/problem+json"
            assert detail in answer.json["detail"], (name, answer.json["detail"])
            assert len(answer.body) < 500, name
        # What the first time leaves behind are the allocator's own reserves.
        before = before or memory_kib(daemon)

    assert memory_kib(daemon) - before < 8 * 1024
    with daemon.client() as client:
        assert everything(client) == []
    assert b"Traceback" not in daemon.log.read_bytes()


@pytest.mark.parametrize("way", [by_express, by_aiohttp])
def test_what_is_accepted_comes_back_as_it_went(
    daemon: Daemon, way: Callable[[bytes], bytes]
) -> None:
    """F34: no number is rounded, no text is changed; live, from the window, and from the store."""
    with Peer(daemon.socket) as reader:
        reader.send(request("GET /v1/events/stream", "Accept: application/x-ndjson"))
        live = b""
        while b'"control":"live"' not in live:
            live += reader.socket.recv(65536)
        for raw in ACCEPTED:
            assert answer_to(daemon, way(around(raw))).status == 201, raw
        while live.count(b'"seq":') < len(ACCEPTED):
            live += reader.socket.recv(65536)
    windowed = answer_to(daemon, request("GET /v1/events?limit=1000")).body
    assert daemon.stop() == 0
    daemon.start()
    stored = answer_to(daemon, request("GET /v1/events?limit=1000")).body

    for raw in ACCEPTED:
        for where in (live, windowed, stored):
            assert b'"x":%b}' % raw in where, raw


def test_a_name_that_is_given_twice_is_read_in_one_way(daemon: Daemon) -> None:
    """F34: the last one counts, for the check and for what is stored alike."""
    twice = (
        b'{"type":"NOPE","type":"RISK_ALERT","data":{"severity":7,"severity":"low","message":"m"}}'
    )
    assert answer_to(daemon, by_express(twice)).status == 201
    other = twice.replace(b'7,"severity":"low"', b'"low","severity":7')
    assert answer_to(daemon, by_express(other)).status == 422

    with daemon.client() as client:
        (entry,) = everything(client)
    assert entry.wire.count(b"severity") == entry.wire.count(b'"type"') == 1
    assert entry.event.data["severity"] == "low"


BOMBS: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: gzip.compress(b" " * 50_000_000),
    "deflate": lambda: zlib.compress(b" " * 50_000_000),
    "br": lambda: b"\xff" * 100,
}


@pytest.mark.parametrize("coding", BOMBS)
def test_a_compressed_body_is_not_unpacked(shared_daemon: Daemon, coding: str) -> None:
    """F34: 415 at once, on every route that takes a body, and memory is flat."""
    before, bomb = memory_kib(shared_daemon), BOMBS[coding]()
    for path in ("/v1/events", "/v1/tokens", "/v1/projects", "/v1/login", "/v1/commits"):
        sent = request(f"POST {path}", f"Content-Encoding: {coding}", body=bomb)
        answer = answer_to(shared_daemon, sent)
        assert answer.status == 415, path
        assert json.loads(answer.body)["status"] == answer.status
    assert memory_kib(shared_daemon) - before < 8 * 1024
