"""How a daemon begins and ends when something is in its way: F15 to F20."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from rtevents.client.sync import Client
from rtevents.core.filter import Filter
from rtevents.errors import RteventsError, Unavailable
from tests.conftest import PATIENCE, Daemon, wait_for
from tests.faults.checker import everything, risk
from tests.faults.test_kill import integrity

STREAMS = 1000
READERS = 50
QUEUED = 1000
EACH = 20
SOCKETS = 50
GOING_AWAY = b"\x88\x02\x03\xe9"
"""A close frame of a server, with 1001 (RFC 6455, section 7.4.1)."""
BYE = re.compile(rb'\nevent: bye\nid: \S+\nretry: \d+\ndata: {"reason":"shutdown"')

STRACE = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


def killed(daemon: Daemon) -> None:
    """End it so that it cannot clean up."""
    assert daemon.process is not None
    daemon.process.kill()
    daemon.process.wait()


def test_a_socket_that_a_dead_daemon_left_is_taken_over_and_told_once(daemon: Daemon) -> None:
    """F15: kill -9 leaves the socket; the next daemon has it, and one line says so."""
    killed(daemon)
    assert daemon.socket.is_socket()
    before = daemon.log.stat().st_size

    daemon.start()

    told = daemon.log.read_bytes()[before:].decode()
    assert told.count("its socket is replaced") == 1
    assert told.count("WARNING") == 1


def test_a_lock_file_with_somebody_elses_pid_is_nobodys(daemon: Daemon) -> None:
    """F16: the pid in the file belongs to another process by now; the flock tells the truth."""
    killed(daemon)
    for folder in (daemon.socket.parent, daemon.home / "state" / "rtevents"):
        (folder / "rtevents.lock").write_text(f"{os.getpid()}\n")

    stop = daemon.run("stop")
    assert (stop.returncode, stop.stderr) == (3, "rtevents: no daemon runs\n")
    daemon.start()
    assert daemon.stop() == 0


def test_a_second_daemon_on_the_same_database_is_refused(daemon: Daemon) -> None:
    """F17: another XDG_RUNTIME_DIR does not hide the daemon that has the state directory."""
    assert daemon.process is not None
    elsewhere = daemon.home / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    with daemon.client() as client:
        client.publish(risk("before"))

        second = daemon.run("serve", "--no-project", env={"XDG_RUNTIME_DIR": str(elsewhere)})

        client.publish(risk("after"))
    assert stored(daemon) == ["before", "after"]
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr == (
        f"rtevents: a daemon is running already, pid {daemon.process.pid} on {daemon.socket}: "
        "set XDG_RUNTIME_DIR as it has it\n"
    )
    assert not (elsewhere / "rtevents" / "rtevents.sock").exists()


def stored(daemon: Daemon) -> list[str]:
    """Return what the stored risks say."""
    with daemon.client() as client:
        return [json.loads(entry.wire)["data"]["message"] for entry in everything(client)]


def race(daemon: Daemon) -> None:
    """Start two at once; see one win, and the other say so."""
    both = [daemon.popen("serve", "--no-project") for _ in range(2)]
    wait_for(lambda: any(each.poll() is not None for each in both), "one of them gives way")
    loser, winner = sorted(both, key=lambda each: each.poll() is None)
    with loser, winner:
        try:
            text, error = loser.communicate(timeout=PATIENCE)
            wait_for(lambda: daemon.run("status").returncode == 0, "the other one answers")
            with daemon.client() as client:
                assert client.status()["pid"] == winner.pid
            assert f"a daemon is running already, pid {winner.pid}" in text + error
            assert loser.returncode == (0 if text else 1)
        finally:
            for each in both:
                each.terminate()
            assert winner.wait(PATIENCE) == 0


def test_of_two_that_start_at_once_one_wins(stopped_daemon: Daemon) -> None:
    """F18: three times."""
    for _ in range(3):
        race(stopped_daemon)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_of_two_that_start_at_once_one_wins_a_hundred_times(stopped_daemon: Daemon) -> None:
    """F18."""
    for _ in range(100):
        race(stopped_daemon)


def through_strace(expression: str) -> list[str]:
    """Return the command that does something to the system calls of what follows it."""
    return ["strace", "-qq", "-f", "--seccomp-bpf", "-o", os.devnull, "-e", expression]


def of(tracer: subprocess.Popen[bytes] | None) -> int:
    """Return the pid of what strace runs."""
    assert tracer is not None
    children = Path(f"/proc/{tracer.pid}/task/{tracer.pid}/children").read_text().split()
    return int(children[0])


async def listen(daemon: Daemon, wanted: str) -> bytes:
    """Open a stream of one type; return all that came until its end."""
    reader, writer = await asyncio.open_unix_connection(str(daemon.socket))
    writer.write(f"GET /v1/events/stream?type={wanted} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    try:
        return await reader.read()
    finally:
        writer.close()


async def converse(daemon: Daemon) -> bytes:
    """Open a WebSocket of one type, and answer its goodbye; return all that came."""
    reader, writer = await asyncio.open_unix_connection(str(daemon.socket))
    writer.write(
        b"GET /v1/events/ws?type=RISK_ALERT HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n"
        b"upgrade: websocket\r\nsec-websocket-version: 13\r\n"
        b"sec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    )
    given = b""
    try:
        while not given.endswith(GOING_AWAY) and (data := await reader.read(65536)):
            given += data
        writer.write(b"\x88\x82\0\0\0\0" + GOING_AWAY[2:])
        return given + await reader.read()
    finally:
        writer.close()


async def publish(daemon: Daemon, count: int = 1) -> list[bytes]:
    """Publish on a connection of its own, all at once; return the answers."""
    reader, writer = await asyncio.open_unix_connection(str(daemon.socket))
    body = b'{"type":"RISK_ALERT","data":{"severity":"low","message":"x"}}'
    head = f"host: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write((b"POST /v1/events HTTP/1.1\r\n" + head.encode() + body) * count)
    answers = []
    try:
        for _ in range(count):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
            answers.append(head.encode() + await reader.readexactly(length))
    finally:
        writer.close()
    return answers


def waiting(daemon: Daemon) -> int:
    """Return how many events wait to be stored."""
    with Client(daemon.socket, retry_for=0) as client:
        return int(client.stats()["queue"]["size"])


def is_closed(daemon: Daemon) -> bool:
    """Tell whether a new stream is refused."""
    try:
        with Client(daemon.socket, retry_for=0) as client:
            next(client.stream(Filter(types=frozenset({"COMMIT"})), control=True))
    except Unavailable:
        return True
    return False


@STRACE
def test_told_to_end_it_stores_what_waits_refuses_what_comes_and_says_goodbye(
    stopped_daemon: Daemon,
) -> None:
    """F19: a thousand streams, a thousand events that wait and fifty take; over in five seconds."""
    daemon = stopped_daemon
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # The disk takes its time: what is published meanwhile waits.
    slow = through_strace("inject=fdatasync:delay_enter=300000")
    daemon.start("--no-project", "--quiet", through=slow)

    async def scene() -> None:
        streams = [
            asyncio.create_task(listen(daemon, "RISK_ALERT" if i < READERS else "COMMIT"))
            for i in range(STREAMS)
        ]
        await until(lambda: connections(daemon) == STREAMS, "the streams are there")
        publishers = [asyncio.create_task(publish(daemon, EACH)) for _ in range(QUEUED // EACH)]
        await until(lambda: waiting(daemon) > QUEUED // 2, "the events wait")
        sockets = [asyncio.create_task(converse(daemon)) for _ in range(SOCKETS)]
        await until(lambda: connections(daemon) == STREAMS + SOCKETS, "all are there")
        begun = time.monotonic()
        os.kill(of(daemon.process), signal.SIGTERM)
        await until(lambda: "stopping" in daemon.log.read_text(), "it has been told")

        (refused,) = await publish(daemon)
        answers = [answer for each in publishers for answer in await each]
        ends = await asyncio.gather(*streams)
        goodbyes = await asyncio.gather(*sockets)
        assert daemon.process is not None
        assert await asyncio.to_thread(daemon.process.wait, PATIENCE) == 0
        took = time.monotonic() - begun

        assert refused.startswith(b"http/1.1 503")
        assert b"stopping" in refused
        assert [answer[:12] for answer in answers] == [b"http/1.1 201"] * QUEUED
        assert all(BYE.search(end) for end in ends)
        assert [end.count(b'"type":"RISK_ALERT"') for end in ends[:READERS]] == [QUEUED] * READERS
        assert [each[-4:] for each in goodbyes] == [GOING_AWAY] * SOCKETS
        assert [each.count(b'"seq":') for each in goodbyes] == [QUEUED] * SOCKETS
        assert took < 5, took
        assert not daemon.socket.exists()

    asyncio.run(scene())
    daemon.process = None
    daemon.start()
    assert len(stored(daemon)) == QUEUED


def connections(daemon: Daemon) -> int:
    """Return how many streams are open."""
    with Client(daemon.socket, retry_for=0) as client:
        return int(client.stats()["connections"]["current"])


async def until(condition: object, what: str) -> None:
    """Wait for a condition beside everything else."""
    await asyncio.to_thread(wait_for, condition, what)  # type: ignore[arg-type]


def try_to_publish(daemon: Daemon) -> None:
    """Publish to who may go away meanwhile."""
    with suppress(RteventsError), Client(daemon.socket, retry_for=0) as client:
        client.publish(risk("perhaps"))


@STRACE
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_told_a_second_time_it_ends_at_once_and_breaks_nothing(
    stopped_daemon: Daemon, second: int
) -> None:
    """F20: the second signal comes while what waits is stored."""
    daemon = stopped_daemon
    daemon.start("--no-project")
    with daemon.client() as client:
        client.publish(risk("safe"))
    daemon.stop()
    slow = through_strace("inject=fdatasync:delay_enter=3000000")
    daemon.start("--no-project", "--quiet", through=slow)
    publisher = threading.Thread(target=try_to_publish, args=(daemon,))
    publisher.start()
    wait_for(lambda: waiting(daemon) == 1, "the event waits")
    os.kill(of(daemon.process), signal.SIGTERM)
    wait_for(lambda: daemon.log.read_text().count("stopping") == 2, "it has been told")
    os.kill(of(daemon.process), second)
    assert daemon.process is not None
    assert daemon.process.wait(PATIENCE) == 130
    publisher.join()

    daemon.process = None
    assert integrity(daemon) == "ok"
    daemon.start()
    assert stored(daemon)[0] == "safe"
