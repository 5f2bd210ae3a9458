"""Odd bytes in a request's line and headers: S3 and S13."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rtevents
from tests.conftest import Daemon

from .wire import Answer, Peer, port_of, request

ODD = st.binary(min_size=1, max_size=60).map(
    lambda raw: bytes(byte if byte >= 0x21 else 0x21 + byte for byte in raw)
)
"""The bytes 0x21 to 0xff, as many as one likes."""

HOSTILE = st.one_of(
    ODD,
    st.sampled_from(
        [
            b"[", b"]", b"[::1", b"::1]", b"[::1]:x", b"//", b"http://[", b"http://]/", b"a:b:c",
            b"127.0.0.1:99999999999999999999", b"http://127.0.0.1:99999", b"http://\xff:1",
            b"http://%zz", b"null", b"http://a@b:c@d", b":", b"@", b"http://:1", b"\xc0\xaf",
            b"http://127.0.0.1:-1", b"http://\xe2\x84\xa9:1", b"[v1.x]:1", b"http://[v1.x]:1",
        ]
    ),
)  # fmt: skip
"""What parsers of hosts and origins have stumbled over."""


class Asker:
    """Asks over TCP, again and again."""

    def __init__(self, daemon: Daemon) -> None:
        self.address = port_of(daemon)
        self.host = f"{self.address[0]}:{self.address[1]}"
        with daemon.client() as client:
            self.bearer = f"Authorization: Bearer {client.create_token('viewer')['token']}"

    def ask(self, sent: bytes) -> Answer:
        """Return what a request is answered."""
        with Peer(self.address) as peer:
            peer.send(sent)
            return peer.answer()


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(odd=HOSTILE)
def _try_host_and_origin(asker: Asker, odd: bytes) -> None:
    for start in ("GET /v1/stats", "GET /v1/events/stream", "GET /", "POST /v1/events"):
        body = b"{}" if start.startswith("POST") else b""
        as_host = request(start, asker.bearer, host="ODD", body=body)
        answer = asker.ask(as_host.replace(b"ODD", odd))
        assert answer.status in (400, 421), (odd, answer)
        as_origin = request(start, asker.bearer, "Origin: ODD", host=asker.host, body=body)
        answer = asker.ask(as_origin.replace(b"ODD", odd))
        assert answer.status in (400, 403), (odd, answer)
        assert answer.headers["content-type"] == "application/problem+json"


def test_no_byte_of_host_or_origin_breaks_anything(shared_daemon: Daemon) -> None:
    """S3: each is refused as what it is not, by a shared_daemon that lives on."""
    asker = Asker(shared_daemon)
    _try_host_and_origin(asker)

    assert asker.ask(request("GET /v1/health/live", host=asker.host)).status == 200
    assert b"Traceback" not in shared_daemon.log.read_bytes()
    assert shared_daemon.answers()


CANARY = "what no stranger may read"

PLACES = (
    "etc/passwd", "config.yaml", "canary.txt", "events.db", "tokens.json", "index.html", "app.py",
)  # fmt: skip

STEPS = (
    "../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..\\", "..%5c", "%2e%2e%5c", "....//", "..;/",
    "%252e%252e%252f", "..%c0%af", "%c0%ae%c0%ae/", "..%00/", "%2e./", ".%2e/", "//", "\\\\host\\",
    "..%u2215", "file:///", "./../",
)  # fmt: skip


@pytest.mark.parametrize("start", ["/", "/app.js/", "/static/", "/dashboard/", "/v1/types/"])
def test_no_path_leads_out_of_the_table(shared_daemon: Daemon, start: str) -> None:
    """S13: files are found by name in a table; no way of writing `..` names another."""
    state = shared_daemon.home / "state" / "rtevents"
    for folder in (shared_daemon.home, state, shared_daemon.home / "run"):
        (folder / "canary.txt").write_text(CANARY)
    asker = Asker(shared_daemon)
    for step in STEPS:
        for place in PLACES:
            for times in (1, 6):
                path = start + step * times + place
                for sent in (f"GET {path}", f"GET http://{asker.host}{path}", f"GET {path}.gz"):
                    answer = asker.ask(request(sent, asker.bearer, host=asker.host))
                    assert answer.status in (400, 404), (sent, answer)
                    assert answer.headers["content-type"] == "application/problem+json"
                    assert CANARY.encode() not in answer.body
    assert b"Traceback" not in shared_daemon.log.read_bytes()


def test_no_byte_after_a_name_finds_the_file(shared_daemon: Daemon) -> None:
    """S13: a name is the whole name."""
    asker = Asker(shared_daemon)
    for odd in (b"/app.js\0.html", b"/\0", b"/app.js\xff", b"/%", b"/app.js%00", b"/app.js/"):
        sent = request("GET ODD", asker.bearer, host=asker.host)
        assert asker.ask(sent.replace(b"ODD", odd)).status in (400, 404), odd
    assert asker.ask(request("GET /app.js", host=asker.host)).status == 200
    assert b"Traceback" not in shared_daemon.log.read_bytes()


def test_no_link_among_the_pages_is_followed(stopped_daemon: Daemon) -> None:
    """S13: a file is found by a name that is written in the code, whatever lies beside it."""
    daemon = stopped_daemon
    package = Path(rtevents.__file__).parent
    copy = daemon.home / "lib" / "rtevents"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    secret = daemon.home / "canary.txt"
    secret.write_text(CANARY)
    pages = copy / "server" / "dashboard"
    (pages / "leak.js").symlink_to(secret)
    (pages / "leak").symlink_to(daemon.home)
    daemon.start(env={"PYTHONPATH": str(copy.parent)})
    asker = Asker(daemon)
    served = {}
    for path in ("/", "/app.js", "/style.css"):
        served[path] = asker.ask(request(f"GET {path}", host=asker.host)).body
    # What is there when the daemon starts is what it serves.
    (pages / "app.js").unlink()
    (pages / "app.js").symlink_to(secret)

    for path in ("/leak.js", "/leak", "/leak/canary.txt", "/dashboard/leak.js", "/./leak.js"):
        answer = asker.ask(request(f"GET {path}", asker.bearer, host=asker.host))
        assert answer.status in (400, 404), path
        assert CANARY.encode() not in answer.body
    again = asker.ask(request("GET /app.js", host=asker.host)).body

    assert again == served["/app.js"] == (package / "server/dashboard/app.js").read_bytes()
    assert served["/"] == (package / "server/dashboard/index.html").read_bytes()
