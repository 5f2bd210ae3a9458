"""Requests that are none, or that a proxy reads differently: S20."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Daemon, wait_for
from tests.faults.checker import everything

from .wire import Address, Peer, port_of, request, risk

SECRET = b"rte_0123abcd_A-secret_that_nobody_may_repeat"

HEAD = b"GET /v1/health/live HTTP/1.1\r\nHost: h\r\n"
POST = b"POST /v1/events HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
HANDSHAKE = (
    "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip

MALFORMED = {
    "NUL in a value": HEAD + b"Authorization: Bearer \0" + SECRET + b"\r\n\r\n",
    "escape in a value": HEAD + b"X: \x1b[2J" + SECRET + b"\r\n\r\n",
    "bare CR": HEAD + b"X: a\r" + SECRET + b"\r\n\r\n",
    "bare LF": b"GET /" + SECRET + b" HTTP/1.1\nHost: h\n\n",
    "folded line": HEAD + b"X: a\r\n " + SECRET + b"\r\n\r\n",
    "no colon": HEAD + SECRET + b"\r\n\r\n",
    "space before the colon": HEAD + SECRET + b" : a\r\n\r\n",
    "empty name": HEAD + b": " + SECRET + b"\r\n\r\n",
    "two hosts": HEAD + b"Host: " + SECRET + b"\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\nX: " + SECRET + b"\r\n\r\n",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + SECRET,
    "length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative length": POST + b"Content-Length: -5\r\n\r\n" + SECRET,
    "length with a sign": POST + b"Content-Length: +5\r\n\r\n" + SECRET,
    "length in words": POST + b"Content-Length: " + SECRET + b"\r\n\r\n",
    "list of lengths": POST + b"Content-Length: 5, 5\r\n\r\n" + SECRET,
    "unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n" + SECRET,
    "chunked is not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
    "no size of a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n" + SECRET + b"\r\n\r\n",
    "chunk that is too long": POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n" + SECRET + b"\r\n",
    "no method": b"/" + SECRET + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    "unknown version": b"GET /" + SECRET + b" HTTP/9.9\r\nHost: h\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + SECRET,
    "no address": b"GET http://[" + SECRET + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    "long address": b"GET /" + SECRET * 400 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    "long value": HEAD + b"X: " + SECRET * 400 + b"\r\n\r\n",
    "many headers": HEAD + (b"X: " + SECRET + b"\r\n") * 200 + b"\r\n",
}  # fmt: skip
"""Requests that are none, each with something that must not be repeated."""


def test_what_is_malformed_is_answered_by_us_and_repeated_nowhere(daemon: Daemon) -> None:
    """S20: problem+json, no Server header, nothing of the input in the answer or in the log."""
    for address in (daemon.socket, port_of(daemon)):
        for name, sent in MALFORMED.items():
            with Peer(address) as peer:
                peer.send(sent)
                answer = peer.answer()
                assert answer.status == 400, name
                assert answer.headers["content-type"] == "application/problem+json", name
                assert answer.headers["connection"] == "close", name
                assert "server" not in answer.headers, name
                assert answer.json["status"] == 400, name
                assert SECRET[:12] not in answer.body, name
                assert peer.rest() == b"", name

    log = daemon.log.read_bytes()
    assert SECRET[4:] not in log
    assert b"Traceback" not in log
    assert len(log.splitlines()) < 10
    assert daemon.answers()


@pytest.mark.parametrize("path", ["/v1/events", "/v1/tokens", "/v1/health/live"])
def test_a_body_that_becomes_malformed_is_answered_once(shared_daemon: Daemon, path: str) -> None:
    """S20: who reads the body is not left waiting for the rest of it."""
    head = request(f"POST {path}", "Content-Type: application/json", "Transfer-Encoding: chunked")
    with Peer(shared_daemon.socket) as peer:
        peer.send(head + b"2\r\n{}\r\n")
        # Only when the head was read, and somebody waits for the body.
        if path == "/v1/health/live":
            assert peer.answer().status == 405
        else:
            with Peer(shared_daemon.socket) as other:
                other.send(request("GET /v1/health/live"))
                assert other.answer().status == 200
        peer.send(SECRET + b"\r\n\r\n")
        said = peer.rest()

    assert said.count(b"HTTP/1.1 400 Bad Request") == (path != "/v1/health/live")
    assert SECRET not in said
    assert SECRET not in shared_daemon.log.read_bytes()


INNER = request("POST /v1/events", body=risk("smuggled"))
"""A request that nobody has made: it is in the body of another."""

SIZE = len(INNER)

SMUGGLED = {
    "CL.TE": POST + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % (SIZE + 5)
    + b"0\r\n\r\n" + INNER,
    "TE.CL": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"
    + b"%x\r\n%b\r\n0\r\n\r\n" % (SIZE, INNER),
    "CL.0": POST + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % SIZE + INNER,
    "0.CL": POST + b"Content-Length: %d\r\nContent-Length: 0\r\n\r\n" % SIZE + INNER,
    "hidden TE": POST + b"Content-Length: %d\r\nTransfer-Encoding:\x0bchunked\r\n\r\n" % (SIZE + 5)
    + b"0\r\n\r\n" + INNER,
    "folded TE": POST + b"Content-Length: %d\r\nTransfer-Encoding:\r\n chunked\r\n\r\n" % (SIZE + 5)
    + b"0\r\n\r\n" + INNER,
    "spaced TE": POST + b"Content-Length: %d\r\nTransfer-Encoding : chunked\r\n\r\n" % (SIZE + 5)
    + b"0\r\n\r\n" + INNER,
    "bare LF": POST + b"X: a\nTransfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n" % (SIZE + 5)
    + b"0\r\n\r\n" + INNER,
    "chunk size in LF": POST + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n" + INNER,
    "chunk extension": POST
    + b"Transfer-Encoding: chunked\r\n\r\n2;a\nx=b\r\n{}\r\n0\r\n\r\n" + INNER,
    "hexadecimal prefix": POST + b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n" + INNER,
    "overflow": POST + b"Transfer-Encoding: chunked\r\n\r\n1%b\r\n\r\n" % (b"0" * 16) + INNER,
    "body of a handshake": request("GET /v1/events/ws", *HANDSHAKE, body=INNER),
    "body of a refused upgrade": request("GET /v1/health/live", *HANDSHAKE, body=INNER),
    "body of a GET": request("GET /v1/health/live", body=INNER),
    "body of what is nowhere": request("POST /nowhere", body=INNER),
    "body after 100": request("POST /nowhere", "Expect: 100-continue", body=INNER),
}  # fmt: skip
"""Requests whose body, if it is taken for another request, is stored."""


def test_no_body_is_obeyed_as_a_request(daemon: Daemon) -> None:
    """S20: whoever counts the bytes of a body in another way, what is in it is not done."""
    for name, sent in SMUGGLED.items():
        with Peer(daemon.socket) as peer:
            peer.send(sent)
            peer.send(request("GET /v1/status", "Connection: close"))
            peer.rest()
        with daemon.client() as client:
            assert everything(client) == [], name
    assert b"Traceback" not in daemon.log.read_bytes()


@contextlib.contextmanager
def in_front(command: list[str], ready: Callable[[], bool]) -> Iterator[None]:
    """Run a proxy until it is not needed any more."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as proxy:
        try:
            wait_for(lambda: ready() or proxy.poll() is not None, "the proxy listens")
            assert proxy.poll() is None
            yield
        finally:
            proxy.terminate()
            proxy.wait()


def nginx(daemon: Daemon, file: Path) -> tuple[list[str], Address]:
    """Return how nginx is started, and its socket."""
    (file / "nginx.conf").write_text(
        f"""daemon off; master_process off; pid {file}/nginx.pid; error_log {file}/nginx.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {file}/b; proxy_temp_path {file}/p; fastcgi_temp_path {file}/f;
  uwsgi_temp_path {file}/u; scgi_temp_path {file}/s;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  upstream rtevents {{ server unix:{daemon.socket}; keepalive 4; }}
  server {{
    listen unix:{file}/nginx;
    location / {{
      proxy_pass http://rtevents; proxy_http_version 1.1; proxy_request_buffering off;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
      proxy_buffering off; proxy_ignore_client_abort on;
    }}
  }}
}}
"""
    )
    command = ["nginx", "-e", f"{file}/nginx.log", "-p", str(file), "-c", f"{file}/nginx.conf"]
    return command, file / "nginx"


def haproxy(daemon: Daemon, file: Path) -> tuple[list[str], Address]:
    """Return how haproxy is started, and its socket."""
    (file / "haproxy.cfg").write_text(
        f"""defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  option http-no-delay
  http-reuse always
frontend front
  bind unix@{file}/haproxy
  default_backend back
backend back
  server rtevents unix@{daemon.socket}
"""
    )
    return ["haproxy", "-db", "-f", f"{file}/haproxy.cfg"], file / "haproxy"


def caddy(daemon: Daemon, file: Path) -> tuple[list[str], Address]:
    """Return how caddy is started, and its socket."""
    (file / "Caddyfile").write_text(
        f"""{{
  admin off
  auto_https off
}}
http:// {{
  bind unix/{file}/caddy
  reverse_proxy unix/{daemon.socket}
}}
"""
    )
    return ["caddy", "run", "--config", f"{file}/Caddyfile"], file / "caddy"


def listens(file: Address) -> bool:
    """Tell whether somebody listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(file)) == 0


@pytest.mark.parametrize("proxy", [nginx, haproxy, caddy])
def test_no_body_is_obeyed_as_a_request_behind_a_proxy(
    daemon: Daemon, proxy: Callable[[Daemon, Path], tuple[list[str], Address]]
) -> None:
    """S20: the proxy and the daemon agree where a request ends; a stranger's answer is nobody's."""
    if shutil.which(proxy.__name__) is None:
        pytest.skip(f"{proxy.__name__} is not installed")
    command, address = proxy(daemon, daemon.home)
    stored = 0
    with in_front(command, lambda: listens(address)):
        for name, sent in (MALFORMED | SMUGGLED).items():
            with Peer(address) as peer, Peer(address) as other:
                peer.send(sent)
                other.send(request("GET /v1/status", "Connection: close"))
                told = other.answer()
                assert (told.status, "pid" in told.json) == (200, True), name
                peer.socket.shutdown(socket.SHUT_WR)
                said = peer.rest()
                assert b"Python" not in said, name
                assert b'"pid"' not in said, name
            # What a proxy takes for two requests it has answered twice; else nobody has asked.
            stored += said.count(b" 201 Created")
            with daemon.client() as client:
                assert len(everything(client)) == stored, name
    assert SECRET not in daemon.log.read_bytes()
    assert b"Traceback" not in daemon.log.read_bytes()


@pytest.mark.parametrize("proxy", [nginx, haproxy, caddy])
def test_streams_and_publishing_go_through_a_proxy(
    daemon: Daemon, proxy: Callable[[Daemon, Path], tuple[list[str], Address]]
) -> None:
    """S20: what is well-formed still passes, and an event comes at once."""
    if shutil.which(proxy.__name__) is None:
        pytest.skip(f"{proxy.__name__} is not installed")
    command, address = proxy(daemon, daemon.home)
    with in_front(command, lambda: listens(address)), Peer(address) as reader:
        reader.send(request("GET /v1/events/stream"))
        seen = b""
        while b"event: live" not in seen:
            seen += reader.socket.recv(65536)
        with Peer(address) as peer:
            peer.send(request("POST /v1/events", body=risk("through")))
            assert peer.answer().status == 201
        while b"through" not in seen:
            seen += reader.socket.recv(65536)


def test_without_the_parser_in_c_it_does_not_start(stopped_daemon: Daemon) -> None:
    """S20: the one in Python reads what proxies read otherwise; one line says what to do."""
    done = stopped_daemon.run("serve", "--no-project", env={"AIOHTTP_NO_EXTENSIONS": "1"})

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("rtevents: aiohttp's parser in C is missing or switched off: ")
    assert len(done.stderr.splitlines()) == 1
    assert not stopped_daemon.socket.exists()
