"""Peers that vanish without a word: F12."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.conftest import Daemon, wait_for
from tests.faults import network
from tests.faults.checker import risk
from tests.security.wire import port_of

CLIENT = """
import socket, sys
host, port, token = sys.argv[1], int(sys.argv[2]), sys.argv[3]
head = f"Host: {host}:{port}\\r\\nAuthorization: Bearer {token}\\r\\n"
shake = ("Upgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Version: 13\\r\\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n")
peers = []
for path, more in (("stream", ""), ("stream", "Accept: application/x-ndjson\\r\\n"), ("ws", shake)):
    peer = socket.socket()
    peer.bind(("127.0.0.2", 0))
    peer.connect((host, port))
    peer.sendall(f"GET /v1/events/{path} HTTP/1.1\\r\\n{head}{more}\\r\\n".encode())
    assert peer.recv(12) in (b"HTTP/1.1 200", b"HTTP/1.1 101")
    peers.append(peer)
print("connected", flush=True)
sys.stdin.read()
"""
"""Opens a stream of each kind from 127.0.0.2, and reads nothing more."""


@pytest.fixture
def namespace() -> Iterator[str]:
    """Return a network of our own."""
    with network.namespace() as name:
        yield name


def drop(namespace: str, address: str) -> None:
    """Let nothing reach an address any more, without a word to who sends it."""
    network.ip(namespace, f"rule add pref 5 to {address} blackhole")
    # Where loopback's addresses are looked up comes first otherwise.
    network.ip(namespace, "rule add pref 6 lookup local")
    network.ip(namespace, "rule del pref 0")


@pytest.mark.parametrize("is_busy", [False, True])
def test_a_peer_behind_a_dropped_link_is_noticed(
    stopped_daemon: Daemon, namespace: str, is_busy: bool
) -> None:
    """F12: no reset and no answer, only silence: each kind of stream is given up."""
    daemon = stopped_daemon
    inside = ("ip", "netns", "exec", namespace)
    daemon.start(
        "--no-project", "--quiet",
        through=inside,
        env={
            "RTEVENTS_SEND_TIMEOUT": "1",
            "RTEVENTS_HEARTBEAT_INTERVAL": "0.5",
            "RTEVENTS_PONG_TIMEOUT": "1",
        },
    )  # fmt: skip
    host, port = port_of(daemon)
    with daemon.client() as client:
        token = client.create_token("viewer")["token"]
        command = [*inside, sys.executable, "-c", CLIENT, host, str(port), token]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as peer:
            try:
                assert peer.stdout is not None
                assert peer.stdout.readline() == "connected\n"
                kinds = sorted(each["kind"] for each in client.connections())
                assert kinds == ["ndjson", "sse", "ws"]
                drop(namespace, "127.0.0.2")

                def nobody_is_left() -> bool:
                    if is_busy:
                        client.publish(risk("x" * 1000))
                    return not client.connections()

                wait_for(nobody_is_left, "they are given up")
                assert client.stats()["connections"]["current"] == 0
                assert peer.poll() is None
            finally:
                peer.kill()
