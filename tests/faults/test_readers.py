"""Readers that stop, come back all at once, or ask for odd places: F11, F21, F22."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from rtevents.client.sync import Client
from rtevents.core.event import Entry
from rtevents.errors import RteventsError
from rtevents.server.wire import RETRY_MS, RETRY_SPREAD_MS
from tests.conftest import PATIENCE, Daemon, wait_for
from tests.faults.checker import everything, risk
from tests.security.wire import Peer, port_of, request
from tests.server.readers import Chunks, Message, SSEParser

HANDSHAKE = (
    "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip

STREAMS = {
    "sse": request("GET /v1/events/stream"),
    "ndjson": request("GET /v1/events/stream", "Accept: application/x-ndjson"),
    "ws": request("GET /v1/events/ws", *HANDSHAKE),
}
"""How each kind of stream is asked for."""


class Counter(threading.Thread):
    """A reader that keeps up, and notes the seqs that it was given."""

    def __init__(self, daemon: Daemon) -> None:
        super().__init__(daemon=True)
        self._client = Client(daemon.socket)
        self.seqs: list[int] = []

    def run(self) -> None:
        """Read until the daemon ends."""
        with suppress(RteventsError):
            for item in self._client.stream(since="all", reconnect=False):
                assert isinstance(item, Entry)
                self.seqs.append(item.seq)


def memory_kib(pid: int) -> int:
    """Return the resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def publish(client: Client, count: int, *, size: int = 50_000) -> None:
    """Publish so many events of that size, twenty at a time."""
    for at in range(0, count, 20):
        client.publish_many([risk(f"{at + number} " + "x" * size) for number in range(20)])


@pytest.mark.parametrize("kind", STREAMS)
def test_a_reader_that_stops_costs_its_buffer_and_is_cut_off(
    stopped_daemon: Daemon, kind: str
) -> None:
    """
    F11: 100 MB pass by; its lag is told, memory stays, and it comes back to all of them.

    It is told no reason, for there is no room left to tell it in: the daemon's log has that.
    """
    daemon = stopped_daemon
    daemon.start(
        "--no-project", "--quiet",
        env={
            "RTEVENTS_WINDOW_BYTES": str(8 * 1024**2),
            "RTEVENTS_SEND_TIMEOUT": "3",
            "RTEVENTS_DURABILITY": "normal",
        },
    )  # fmt: skip
    assert daemon.process is not None
    quick = Counter(daemon)
    with daemon.client() as client, Peer(daemon.socket, receive_buffer=4096) as frozen:
        publish(client, 400)  # the window is full
        frozen.send(STREAMS[kind])
        wait_for(lambda: len(client.connections()) == 1, "one reads")
        [name] = [one["connection_id"] for one in client.connections()]
        quick.start()
        wait_for(lambda: len(client.connections()) == 2, "both read")
        wait_for(lambda: len(quick.seqs) == 400, "one has caught up")
        before = memory_kib(daemon.process.pid)
        lag = 0
        for _ in range(10):
            publish(client, 200)
            lags = [one["lag"] for one in client.connections() if one["kind"] == kind]
            lag = max(lag, *lags, 0)
        wait_for(lambda: len(quick.seqs) == 2400, "who reads has everything")
        grown = memory_kib(daemon.process.pid) - before
        wait_for(lambda: len(client.connections()) == 1, "who does not is cut off")
        assert len(everything(client)) == 2400
        assert b"bye" not in frozen.rest()

    said = f"cut off {name}: no byte accepted"
    wait_for(lambda: said in daemon.log.read_text(), "the log says why")
    assert lag > 150
    assert grown < 20 * 1024
    assert quick.seqs == list(range(1, 2401))


ID = re.compile(rb"^id: (\S+)$", re.MULTILINE)


class Follower:
    """An EventSource: it notes its last id and its pause, and comes back to the first."""

    def __init__(self, daemon: Daemon) -> None:
        self._path = str(daemon.socket)
        self.last_id = ""
        self.pauses: list[int] = []
        self.seqs: list[int] = []
        self.controls: list[str] = []

    async def follow(self, until: str) -> None:
        """Read from the last id on until a control frame of that name has come."""
        place = [f"Last-Event-ID: {self.last_id}"] if self.last_id else []
        reader, writer = await asyncio.open_unix_connection(self._path)
        writer.write(request("GET /v1/events/stream", *place))
        await reader.readuntil(b"\r\n\r\n")
        chunks, parser = Chunks(), SSEParser()
        while until not in self.controls:
            data = await reader.read(65536)
            assert data, self.controls
            for message in parser.feed(chunks.feed(data)):
                self._note(message)
        self.pauses.append(parser.retry or 0)
        writer.close()

    def _note(self, message: Message) -> None:
        if message.event == "message":
            self.seqs.append(int(message.id.rpartition("-")[2]))
        else:
            self.controls.append(message.event)
        self.last_id = message.id or self.last_id


async def test_five_hundred_come_back_at_once_and_miss_nothing(stopped_daemon: Daemon) -> None:
    """F21: after a restart, with events that came meanwhile and one that comes with them."""
    daemon = stopped_daemon
    daemon.start("--no-project", "--quiet")
    followers = [Follower(daemon) for _ in range(500)]
    with daemon.client() as client:
        async with asyncio.timeout(2 * PATIENCE), asyncio.TaskGroup() as group:
            client.publish_many([risk(f"{number}") for number in range(100)])
            for follower in followers:
                group.create_task(follower.follow("bye"))
            while len(client.connections()) < 500:
                await asyncio.sleep(0.05)
            client.publish(risk("before the end"))
            daemon.stop()
        daemon.start("--no-project", "--quiet")
        client.publish_many([risk(f"{number} " + "x" * 1000) for number in range(200)])
        async with asyncio.timeout(2 * PATIENCE), asyncio.TaskGroup() as group:
            for follower in followers:
                follower.controls.clear()
                group.create_task(follower.follow("live"))
            stored = await asyncio.to_thread(client.publish, risk("among them"))

    assert stored.seq == 302
    for follower in followers:
        assert "gap" not in follower.controls
        assert follower.seqs[:201] == list(range(101, 302))
    pauses = [pause for follower in followers for pause in follower.pauses]
    assert min(pauses) >= RETRY_MS
    assert max(pauses) < RETRY_MS + RETRY_SPREAD_MS
    # They are told to come back at times of their own, not all in the same moment.
    assert len(set(pauses)) > 100


def first_frames(daemon: Daemon, place: bytes, *headers: str) -> list[Message] | int:
    """Return the first frames of a stream from a place, up to ``live``; or the refusal's status."""
    address = port_of(daemon) if headers else daemon.socket
    host = f"{address[0]}:{address[1]}" if isinstance(address, tuple) else "h"
    sent = request("GET /v1/events/stream", *headers, "Last-Event-ID: PLACE", host=host)
    with Peer(address) as peer:
        peer.send(sent.replace(b"PLACE", place))
        answer = peer.answer()
        if answer.status != 200:
            assert answer.headers["content-type"] == "application/problem+json"
            return answer.status
        chunks, parser = Chunks(), SSEParser()
        frames: list[Message] = []
        data = peer.given()
        while not frames or frames[-1].event != "live":
            frames += parser.feed(chunks.feed(data))
            data = b"" if frames and frames[-1].event == "live" else peer.socket.recv(65536)
        return frames


def told(frames: Sequence[Message]) -> tuple[str, list[str], int]:
    """Return the verdict, what follows it before the first event, and how many events come."""
    hello, *rest, live = frames
    events = sum(frame.event == "message" for frame in rest)
    before = [frame.event for frame in rest[: len(rest) - events]]
    assert (hello.event, live.event) == ("hello", "live")
    return hello.json["verdict"], before, events


def test_an_odd_last_event_id_has_a_defined_answer(stopped_daemon: Daemon) -> None:
    """F22: a gap that says what is lost, or a refusal; never 500, and never a start from now."""
    daemon = stopped_daemon
    daemon.start(
        "--no-project",
        env={"RTEVENTS_RETENTION__MAX_EVENTS": "10", "RTEVENTS_RETENTION__INTERVAL": "0.1"},
    )
    with daemon.client() as client:
        events = [risk(f"{n}", project_id="ab"[n % 2], event_id=f"e{n}") for n in range(1, 31)]
        client.publish_many(events)
        wait_for(lambda: client.stats()["log"]["oldest"] == 21, "it is trimmed")
        epoch = client.history(limit=1).next.epoch
        viewer = client.create_token("viewer", projects=["a"])["token"]
    places: dict[bytes, object] = {
        f"{epoch}-25".encode(): ("complete", [], 5),
        b"e25": ("complete", [], 5),
        f"{epoch}-30".encode(): ("complete", [], 0),
        b"5": ("complete", [], 10),  # unix time 5
        b"": ("new", [], 0),  # the HTML standard's way to have none
        f"{epoch}-3".encode(): ("truncated", ["gap"], 10),
        b"e3": ("unknown-id", ["gap"], 10),  # trimmed, so unknown
        f"{epoch}-31".encode(): ("truncated", ["gap"], 0),
        f"{epoch}-9007199254740993".encode(): ("truncated", ["gap"], 0),
        b"00000000-25": ("other-epoch", ["gap"], 10),
        b"-5": ("unknown-id", ["gap"], 10),
        b"garbage": ("unknown-id", ["gap"], 10),
        f"a{epoch[1:]}".encode(): ("unknown-id", ["gap"], 10),
        f"{epoch}--25".encode(): ("unknown-id", ["gap"], 10),
        f"{epoch}-25x".encode(): ("unknown-id", ["gap"], 10),
        b"99999999999999999999999": ("unknown-id", ["gap"], 10),
        b"a b": 400,
        b"\xff\xfe": 400,
        "zwölf".encode(): 400,
        b"'; DROP TABLE entry; --": 400,
        b"../../etc/passwd": 400,
        b"a\tb": 400,
        b"x" * 129: 400,
        b"x" * 10_000: 400,
        b"\0": 400,
    }
    found = {}
    for place in places:
        frames = first_frames(daemon, place)
        found[place] = frames if isinstance(frames, int) else told(frames)
    # An event of another project tells a viewer no more than one that never was.
    bearer = f"Authorization: Bearer {viewer}"
    hidden, never = (first_frames(daemon, place, bearer) for place in (b"e25", b"e-25"))

    assert found == places
    assert not isinstance(hidden, int)
    assert not isinstance(never, int)
    assert told(hidden) == told(never)
    assert daemon.answers()


def test_the_gap_says_what_is_lost(stopped_daemon: Daemon) -> None:
    """F22: a place that was trimmed: from where to where, and on from there."""
    daemon = stopped_daemon
    daemon.start(
        "--no-project",
        env={"RTEVENTS_RETENTION__MAX_EVENTS": "10", "RTEVENTS_RETENTION__INTERVAL": "0.1"},
    )
    with daemon.client() as client:
        client.publish_many([risk(f"{number}") for number in range(1, 31)])
        wait_for(lambda: client.stats()["log"]["oldest"] == 21, "it is trimmed")
        epoch = client.history(limit=1).next.epoch
    frames = first_frames(daemon, f"{epoch}-3".encode())

    assert not isinstance(frames, int)
    gap = frames[1].json
    assert (gap["after"], gap["before"], gap["bookmark"]) == (3, 21, f"{epoch}-20")
    assert [frame.json["seq"] for frame in frames[2:-1]] == list(range(21, 31))
