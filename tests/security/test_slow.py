"""Peers that keep their place and do not ask: S19."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.conftest import Daemon, shared, wait_for
from tests.faults import checker

from .wire import Address, Peer, port_of, request, risk

SHORT = {
    "RTEVENTS_HEAD_TIMEOUT": "0.6",
    "RTEVENTS_BODY_TIMEOUT": "0.6",
    "RTEVENTS_KEEP_ALIVE": "0.6",
    "RTEVENTS_SEND_TIMEOUT": "0.6",
}
"""Deadlines that a test can wait for."""

PLAIN = request("POST /v1/events", body=risk("slow"))
"""A request that is served without aiohttp."""

BY_AIOHTTP = request("POST /v1/events", "Accept-Language: en", body=risk("slow"))
"""One that aiohttp serves."""


@pytest.fixture
def hasty(stopped_daemon: Daemon) -> Daemon:
    """Return a daemon that answers, and is soon out of patience."""
    stopped_daemon.start("--no-project", env=SHORT)
    return stopped_daemon


@pytest.fixture(scope="module")
def shared_hasty() -> Iterator[Daemon]:
    """Return one that others use too."""
    with shared(SHORT) as daemon:
        yield daemon


def places(daemon: Daemon) -> Iterator[Address]:
    """Yield every address of a daemon."""
    yield daemon.socket
    yield port_of(daemon)


def drip(peer: Peer, data: bytes) -> None:
    """Say one byte after the other until the peer hangs up; fail when it never does."""
    peer.socket.settimeout(0.05)
    given = b""
    for byte in data:
        peer.send(bytes([byte]))
        try:
            if not (came := peer.socket.recv(65536)):
                break
        except TimeoutError:
            continue
        except ConnectionResetError:
            break
        given += came
    else:
        pytest.fail(f"it waited for all {len(data)} bytes")
    peer._given = given


@pytest.mark.parametrize("sent", [PLAIN, BY_AIOHTTP], ids=["express", "aiohttp"])
@pytest.mark.parametrize("what", ["head", "body"])
def test_a_request_that_drips_in_is_answered_408(
    shared_hasty: Daemon, sent: bytes, what: str
) -> None:
    """S19: however often a byte comes, the whole head and the whole body have their time."""
    whole = sent.index(b"\r\n\r\n") + 4
    if what == "head":
        begun, rest = sent[:30], b"a" * 2000
        if sent == BY_AIOHTTP:
            begun = sent[: sent.index(b"Accept-L") + 5]
    else:
        begun, rest = sent[:whole], b" " * (len(sent) - whole - 1)
    # On TCP, who has no credential is told that before the body is read.
    for address in places(shared_hasty) if what == "head" else [shared_hasty.socket]:
        with Peer(address) as peer:
            peer.send(begun)
            drip(peer, rest)
            answer = peer.answer()
            assert answer.status == 408
            assert answer.headers["connection"] == "close"
            assert answer.json["detail"] == f"the {what} did not come within 0.6 seconds"
            assert peer.rest() == b""


@pytest.mark.parametrize("before", [PLAIN, BY_AIOHTTP], ids=["express", "aiohttp"])
@pytest.mark.parametrize("sent", [PLAIN, BY_AIOHTTP], ids=["express", "aiohttp"])
def test_a_second_request_has_no_more_time_than_the_first(
    shared_hasty: Daemon, before: bytes, sent: bytes
) -> None:
    """S19: a connection that asked once is no licence to ask slowly."""
    with Peer(shared_hasty.socket) as peer:
        peer.send(before)
        assert peer.answer().status == 201
        peer.send(sent[:25])
        assert peer.answer().status == 408
        assert peer.rest() == b""


@pytest.mark.parametrize("sent", [b"", PLAIN, BY_AIOHTTP], ids=["nothing", "express", "aiohttp"])
def test_who_asks_for_nothing_is_let_go_without_a_word(shared_hasty: Daemon, sent: bytes) -> None:
    """S19: a connection that is kept alive is closed after that time, as is one that was silent."""
    for address in places(shared_hasty):
        with Peer(address) as peer:
            peer.send(sent)
            said = peer.rest()
            assert said.count(b"HTTP/1.1 ") == (sent != b"")
            assert b" 408 " not in said


def test_who_waits_for_us_is_not_hurried(shared_hasty: Daemon) -> None:
    """S19: a long poll takes its time, with the next request half said behind it."""
    second = request("GET /v1/health/live")
    with Peer(shared_hasty.socket) as peer:
        peer.send(request("GET /v1/events?since=new&wait=2") + second[:20])
        answer = peer.answer()
        assert (answer.status, answer.json["events"]) == (200, [])
        peer.send(second[20:])
        assert peer.answer().status == 200
        assert peer.rest() == b""


def sockets(daemon: Daemon) -> int:
    """Return how many sockets the daemon has open."""
    assert daemon.process is not None
    count = 0
    for file in Path(f"/proc/{daemon.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            count += file.readlink().name.startswith("socket:")
    return count


@pytest.mark.parametrize("sent", [PLAIN, request("GET /v1/events")], ids=["express", "aiohttp"])
def test_who_takes_no_answers_is_cut_off(hasty: Daemon, sent: bytes) -> None:
    """S19: a peer that asks and asks and reads nothing has its place for `send_timeout`."""
    with hasty.client() as client:
        client.publish_many([checker.risk("x" * 10_000) for _ in range(100)])
    at_rest = sockets(hasty)
    with Peer(hasty.socket) as peer:
        peer.socket.settimeout(0.05)
        with suppress(TimeoutError, ConnectionError):
            while True:
                peer.socket.sendall(sent)
        wait_for(lambda: sockets(hasty) == at_rest, "it is cut off")
    assert hasty.answers()


def test_the_command_line_answers_among_slow_peers(stopped_daemon: Daemon) -> None:
    """S19: hundreds that keep their place with half a request harm nobody; streams live on."""
    daemon = stopped_daemon
    daemon.start("--no-project", env={"RTEVENTS_HEAD_TIMEOUT": "3", "RTEVENTS_BODY_TIMEOUT": "3"})
    address = port_of(daemon)
    with ExitStack() as stack:
        reader = stack.enter_context(Peer(daemon.socket))
        reader.send(request("GET /v1/events/stream"))
        peers = [stack.enter_context(Peer(address)) for _ in range(300)]
        for number, peer in enumerate(peers):
            whole = (PLAIN, BY_AIOHTTP)[number % 2]
            peer.send(whole[: (20, len(whole) - 1)[number // 2 % 2]])
        done = daemon.run("publish", "risk", "hello", "--severity", "low")
        assert done.returncode == 0, done.stderr
        # Where a body is missing and a credential too, it is that which is told.
        assert {peer.answer().status for peer in peers} == {408, 421}
        for peer in peers:
            assert peer.rest() == b""
        # Its head was read long ago: a stream has no deadline but that of its own silence.
        done = daemon.run("publish", "risk", "good bye", "--severity", "low")
        assert done.returncode == 0, done.stderr
        seen = b""
        while b"good bye" not in seen:
            seen += reader.socket.recv(65536)
    assert len(daemon.log.read_text().splitlines()) < 20


@pytest.mark.slow
@pytest.mark.parametrize("attack", [["-H"], ["-B"], ["-X", "-w", "10", "-y", "20", "-n", "5"]])
def test_slowhttptest_does_not_keep_the_command_line_waiting(
    daemon: Daemon, attack: list[str]
) -> None:
    """S19: 500 connections with slow heads, slow bodies, or slowly taken answers."""
    if shutil.which("slowhttptest") is None:
        pytest.skip("slowhttptest is not installed")
    host, port = port_of(daemon)
    url = f"http://{host}:{port}/v1/health/live"
    command = ["slowhttptest", *attack, "-c", "500", "-r", "250", "-l", "15", "-i", "2", "-u", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        answered = 0
        while process.poll() is None:
            assert daemon.run("status", timeout=5).returncode == 0
            answered += 1
        assert answered > 10
        assert process.stdout is not None
        assert process.returncode == 0, process.stdout.read()
    assert daemon.answers()
