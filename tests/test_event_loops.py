"""Both event loops of a daemon: Python's own, and uvloop's, whose transports differ."""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from rtevents.client.frames import Control
from rtevents.client.sync import Client
from rtevents.core.event import Entry
from rtevents.core.filter import Filter
from rtevents.daemon.process import loop_factory
from rtevents.errors import ConfigError
from tests.conftest import Daemon, wait_for
from tests.faults.checker import Subscriber, risk
from tests.security.test_tls import Secured
from tests.security.wire import Peer
from tests.test_promises import read_stream

EVENT = b'{"type":"RISK_ALERT","data":{"severity":"low","message":"piped %d"}}'
LOOPS = ("asyncio", "uvloop")


@pytest.fixture(params=LOOPS)
def daemon(request: pytest.FixtureRequest, stopped_daemon: Daemon) -> Daemon:
    """Return a daemon, not started yet, that will run on one of the loops."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop", reason="uvloop is not installed")
    stopped_daemon.env |= {
        "RTEVENTS_EVENT_LOOP": request.param,
        "RTEVENTS_HEARTBEAT_INTERVAL": "0.2",
    }
    return stopped_daemon


@pytest.fixture
def running(daemon: Daemon) -> Iterator[Daemon]:
    """Return one that runs, with a sink, and that ends in the end by itself."""
    config = daemon.home / "config" / "rtevents" / "config.yaml"
    config.parent.mkdir(mode=0o700)
    command = f"{{run: [sh, -c, 'cat >> {daemon.home}/seen']}}"
    config.write_text(f"sinks: [{{name: see, type: COMMIT, command: {command}}}]\n")
    root = daemon.repository()
    daemon.start(str(root))
    yield daemon
    assert daemon.stop() == 0


def test_it_runs_on_the_one_that_is_chosen(running: Daemon) -> None:
    assert running.process is not None
    loaded = Path(f"/proc/{running.process.pid}/maps")
    if not loaded.exists():
        pytest.skip("what a process has loaded is not told here")

    is_wanted = running.env["RTEVENTS_EVENT_LOOP"] == "uvloop"
    assert ("uvloop/loop." in loaded.read_text()) == is_wanted


def test_every_way_in_and_out_works(running: Daemon) -> None:
    """Requests one by one, pipelined, as lines; SSE, NDJSON, WebSocket; socket and TCP; a sink."""
    with running.client() as client:
        token, host = client.create_token("owner")["token"], client.status()["listen"]
        (running.home / "web" / "new.txt").write_text("x\n")
        running.git("add", ".", cwd=running.home / "web")
        running.git("commit", "-qm", "Second", cwd=running.home / "web")
        wait_for((running.home / "seen").exists, "the sink has run its command")
        risks = Filter(types=frozenset({"RISK_ALERT"}))
        stream = client.stream(risks, reconnect=False)
        with Client(f"http://{host}", token=token) as far:
            far_stream = far.stream(risks, reconnect=False, control=True)
            assert isinstance(next(far_stream), Control)
            lines = b"\n".join(EVENT % number for number in range(3))
            assert len(list(far.publish_lines(lines.split(b"\n")))) == 3
            far.publish(risk("alone"))
            _pipeline(running.socket, 100)
            assert _messages(stream, 104) == _messages(far_stream, 104)
        tail = running.run("tail", "--type", "RISK_ALERT", "--since", "all", "-n", "104")
        assert [json.loads(line)["data"]["message"] for line in tail.stdout.splitlines()] == [
            entry.event.data["message"] for entry in client.history(risks, limit=1000).events
        ]


def _pipeline(socket: Path, count: int) -> None:
    """Publish by one write; then ask for something that is not for ``Express``."""
    posts = []
    for number in range(count):
        body = EVENT % number
        posts.append(
            b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
    with Peer(socket) as peer:
        peer.send(b"".join(posts) + b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert [peer.answer().status for _ in range(count)] == [201] * count
        assert peer.answer().json["epoch"]


def _messages(stream: Iterator[object], count: int) -> list[str]:
    entries = (item for item in stream if isinstance(item, Entry))
    return [entry.event.data["message"] for entry in itertools.islice(entries, count)]


async def test_a_websocket_publishes_and_reads(running: Daemon) -> None:
    with running.client() as client:
        token, host = client.create_token("owner")["token"], client.status()["listen"]
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.ws_connect(f"http://{host}/v1/events/ws?type=RISK_ALERT") as ws,
    ):
        events = [json.loads(EVENT % number) for number in range(50)]
        await ws.send_json({"op": "publish", "ref": 1, "events": events})
        seen: list[str] = []
        is_answered = False
        while len(seen) < 50 or not is_answered:
            frame = await ws.receive_json()
            is_answered = is_answered or frame.get("ref") == 1
            if frame.get("type") == "RISK_ALERT":
                seen.append(frame["data"]["message"])

        assert seen == [event["data"]["message"] for event in events]


def test_a_slow_reader_harms_nobody_and_gets_everything_in_the_end(running: Daemon) -> None:
    count = 200
    quick = Subscriber(running)
    quick.start()
    with running.client() as client, Peer(running.socket, receive_buffer=4096) as slow:
        slow.send(
            b"GET /v1/events/stream?since=all&type=RISK_ALERT HTTP/1.1\r\nHost: localhost\r\n"
            b"Accept: application/x-ndjson\r\n\r\n"
        )
        for _ in range(count // 20):
            client.publish_many([risk("x" * 50_000) for _ in range(20)])
        wait_for(lambda: len(quick.entries) >= count, "the quick reader has all")
        lags = [each["lag"] for each in client.connections() if each["kind"] == "ndjson"]
        entries = list(itertools.islice(read_stream(slow.socket), count))

    assert max(lags) > count // 2
    assert len({entry.seq for entry in entries}) == count
    assert [entry.seq for entry in entries] == sorted(entry.seq for entry in entries)


def test_a_stream_that_only_hears_heartbeats_is_active(running: Daemon) -> None:
    """Else it would be taken for dead after ``cleanup_timeout``."""
    with running.client() as client, Client(running.socket) as reader:
        stream = reader.stream(Filter(types=frozenset({"DASHBOARD_UPDATE"})), control=True)
        with closing(stream):  # type: ignore[type-var] # a generator
            next(stream)

            def is_active() -> bool:
                (one,) = client.connections()
                return bool(one["last_activity"] - one["connected_at"] > 1)

            hearing = threading.Thread(target=lambda: list(itertools.islice(stream, 3)))
            hearing.start()
            wait_for(is_active, "heartbeats count as activity")
            running.stop()
            hearing.join()
    running.start()


def test_all_of_it_encrypted(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    secured = Secured(daemon)
    monkeypatch.setenv("SSL_CERT_FILE", os.fspath(secured.ca))
    daemon.start("--no-project", "--quiet")
    with Client(secured.url, token=secured.token()) as client:
        stream = client.stream(reconnect=False)
        client.publish_many([risk("x" * 50_000) for _ in range(100)])
        client.publish(risk("last"))
        entries = [entry for entry in itertools.islice(stream, 101) if isinstance(entry, Entry)]

        assert [entry.seq for entry in entries] == list(range(1, 102))
        assert entries[-1].event.data["message"] == "last"
    assert daemon.stop() == 0


def test_uvloop_that_is_wanted_and_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)

    assert loop_factory("auto") is None
    assert loop_factory("asyncio") is None
    with pytest.raises(ConfigError, match=r"event_loop: uvloop is not installed: pip install"):
        loop_factory("uvloop")
