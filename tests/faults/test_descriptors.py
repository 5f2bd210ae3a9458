"""More connections than there are files for: F14."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import Daemon, wait_for
from tests.security.wire import Address, Answer, Peer, port_of, request

FEW = ("prlimit", "--nofile=64:64")
"""Runs a command that may have 64 open files."""


def ask(address: Address) -> bytes:
    """Return a request that needs no credential."""
    host = "h" if isinstance(address, Path) else f"{address[0]}:{address[1]}"
    return request("GET /v1/health/live", host=host)


@contextmanager
def crowd(address: Address, count: int) -> Iterator[list[Peer]]:
    """Open so many connections, which wait to be accepted or to be refused."""
    peers = [Peer(address) for _ in range(count)]
    try:
        yield peers
    finally:
        for peer in peers:
            peer.socket.close()


def refusals(address: Address, peers: list[Peer]) -> list[Answer]:
    """Ask on every connection; return the answers of those that are refused."""
    answers = []
    for peer in peers:
        peer.send(ask(address))
    for peer in peers:
        answer = peer.answer()
        if answer.status != 200:
            answers.append(answer)
            assert peer.rest() == b""
    return answers


def has_room(address: Address, count: int = 1) -> bool:
    """Tell whether so many more connections are accepted."""
    with crowd(address, count) as peers:
        return refusals(address, peers) == []


def log_lines(daemon: Daemon) -> list[str]:
    """Return the lines of the daemon's log."""
    return daemon.log.read_text().splitlines()


def test_a_crowd_is_told_to_come_back_and_the_owner_is_served(stopped_daemon: Daemon) -> None:
    """F14: 300 connections and 64 files: a clean 503 for the surplus, and the socket answers."""
    daemon = stopped_daemon
    daemon.start(str(daemon.repository()), through=FEW)
    address = port_of(daemon)
    with crowd(address, 300) as peers:
        refused = refusals(address, peers)
        assert 300 - 64 < len(refused) < 300
        for answer in refused:
            assert (answer.status, answer.headers["connection"]) == (503, "close")
            assert int(answer.headers["retry-after"]) > 0
            assert answer.headers["content-type"] == "application/problem+json"
            assert "as many connections are open as there may be" in answer.json["detail"]
        # Nobody has left yet.
        done = daemon.run("publish", "risk", "hello", "--severity", "low")
        assert done.returncode == 0, done.stderr
        with daemon.client() as client:
            assert client.status()["listen"] == f"{address[0]}:{address[1]}"
    wait_for(lambda: has_room(address), "it has recovered")

    told = [line for line in log_lines(daemon) if "refused" in line]
    assert 1 <= len(told) <= 2, told
    assert len(log_lines(daemon)) < 20


def test_a_crowd_on_the_unix_socket_recovers_as_well(stopped_daemon: Daemon) -> None:
    """F14: its places are as many as there are, and no file is taken for more."""
    daemon = stopped_daemon
    daemon.start("--no-project", through=FEW)
    with crowd(daemon.socket, 300) as peers:
        assert 300 - 64 < len(refusals(daemon.socket, peers)) < 300
    wait_for(lambda: has_room(daemon.socket), "it has recovered")
    done = daemon.run("publish", "risk", "hello", "--severity", "low")

    assert done.returncode == 0, done.stderr
    assert len(log_lines(daemon)) < 20


def test_readers_on_the_unix_socket_leave_room_for_its_owner(stopped_daemon: Daemon) -> None:
    """F14: however many streams are asked for there, its questions are answered."""
    daemon = stopped_daemon
    daemon.start("--no-project", "--quiet", through=FEW)
    with crowd(daemon.socket, 60) as readers:
        heads = []
        for reader in readers:
            reader.send(request("GET /v1/events/stream"))
            heads.append(reader.socket.recv(65536).split(b"\r\n")[0])
        assert set(heads) == {b"HTTP/1.1 200 OK", b"HTTP/1.1 503 Service Unavailable"}
        for command in (["status"], ["connections"], ["publish", "risk", "hello"]):
            done = daemon.run(*command)
            assert done.returncode == 0, done.stderr


def test_streams_keep_their_places_and_events_in_a_crowd(stopped_daemon: Daemon) -> None:
    """F14: a setting says how many there may be; a stream counts, until it ends."""
    daemon = stopped_daemon
    daemon.start("--no-project", "--quiet", env={"RTEVENTS_MAX_CONNECTIONS": "40"})
    address = port_of(daemon)
    with crowd(daemon.socket, 20) as readers:
        for reader in readers:
            reader.send(request("GET /v1/events/stream"))
        seen = [reader.socket.recv(65536) for reader in readers]
        with crowd(address, 10) as peers:
            # 24 are not for the Unix socket alone, and 20 are taken.
            assert len(refusals(address, peers)) == 6
        done = daemon.run("publish", "risk", "hello", "--severity", "low")
        assert done.returncode == 0, done.stderr
        for number, reader in enumerate(readers):
            while b"hello" not in seen[number]:
                seen[number] += reader.socket.recv(65536)
        wait_for(lambda: has_room(address), "who has left makes room")
    wait_for(lambda: has_room(address, 24), "the streams have left")


def test_a_burst_larger_than_the_queue_of_the_socket_is_accepted(daemon: Daemon) -> None:
    """F14: few are accepted at once, and many may wait: none is turned away by the system."""
    peers = []
    for _ in range(900):
        peer = socket.socket(socket.AF_UNIX)
        peer.setblocking(False)
        assert peer.connect_ex(str(daemon.socket)) == 0
        peers.append(peer)
    for peer in peers:
        peer.close()
    assert daemon.answers()
