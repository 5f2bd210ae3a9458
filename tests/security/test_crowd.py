"""Many connections of one principal: S19."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.conftest import Daemon, wait_for
from tests.faults import network

from .wire import port_of

FAR = "192.0.2.1"
"""An address of another machine, as far as the daemon can tell (RFC 5737)."""

CLIENT = """
import json, socket, sys
host, port, source, count, *tokens = sys.argv[1:]
peers, statuses = [], []
for number in range(int(count)):
    token = tokens[number % len(tokens)] if tokens else ""
    peer = socket.socket()
    peer.settimeout(30)
    peer.bind((source, 0))
    peer.connect((host, int(port)))
    if tokens:
        peer.sendall(f"GET /v1/events/stream HTTP/1.1\\r\\nHost: {host}:{port}\\r\\n"
                     f"Authorization: Bearer {token}\\r\\n\\r\\n".encode())
        statuses.append(int(peer.recv(65536).split()[1]))
    peers.append(peer)
for peer in peers:
    if not tokens:
        peer.sendall(f"GET /v1/health/live HTTP/1.1\\r\\nHost: {host}:{port}\\r\\n\\r\\n".encode())
        statuses.append(int(peer.recv(65536).split()[1]))
print(json.dumps(statuses), flush=True)
sys.stdin.read()
"""
"""Opens connections from an address, keeps them, and says how each was answered."""


class Crowd:
    """Connections from an address, each with the next of some tokens; without any, no stream."""

    def __init__(self, daemon: Daemon, space: str, source: str, count: int, *tokens: str) -> None:
        host, port = port_of(daemon)
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", space, sys.executable, "-c", CLIENT, host, str(port), source,
             str(count), *tokens],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    def __enter__(self) -> list[int]:
        assert self._process.stdout is not None
        statuses: list[int] = json.loads(self._process.stdout.readline())
        return statuses

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


@pytest.fixture
def space(stopped_daemon: Daemon) -> Iterator[str]:
    """Return a network in which the daemon runs, and in which somebody is far away."""
    with network.namespace() as name:
        network.ip(name, f"addr add {FAR}/32 dev lo")
        stopped_daemon.start(
            "--no-project", "--quiet",
            through=("ip", "netns", "exec", name),
            env={"RTEVENTS_MAX_CONNECTIONS_EACH": "10"},
        )  # fmt: skip
        yield name


def test_a_principal_far_away_has_only_so_many_connections(
    stopped_daemon: Daemon, space: str
) -> None:
    """S19: the surplus of one is refused, others come in, and who leaves makes room."""
    daemon = stopped_daemon
    with daemon.client() as client:
        one, other = (client.create_token("viewer")["token"] for _ in range(2))
        with Crowd(daemon, space, FAR, 16, one) as statuses:
            assert sorted(statuses) == [200] * 10 + [429] * 6
            with Crowd(daemon, space, FAR, 4, other) as others:
                assert others == [200] * 4
            assert len(client.connections()) >= 10
        wait_for(lambda: not client.connections(), "they have left")
        with Crowd(daemon, space, FAR, 10, one) as statuses:
            assert statuses == [200] * 10


def test_an_address_far_away_has_no_more_before_it_shows_a_credential(
    stopped_daemon: Daemon, space: str
) -> None:
    """S19: who only connects takes nobody else's place."""
    daemon = stopped_daemon
    with daemon.client() as client:
        token = client.create_token("viewer")["token"]
    with Crowd(daemon, space, FAR, 16) as statuses:
        assert sorted(statuses) == [200] * 10 + [503] * 6
        with Crowd(daemon, space, "127.0.0.1", 16, token) as near:
            assert near == [200] * 16


def test_a_thousand_on_this_machine_are_normal(stopped_daemon: Daemon, space: str) -> None:
    """S19: the limit is for other machines."""
    daemon = stopped_daemon
    with daemon.client() as client:
        token = client.create_token("viewer")["token"]
    with Crowd(daemon, space, "127.0.0.1", 100, token) as statuses:
        assert statuses == [200] * 100
