"""A peer that is connected and dead: no byte comes, and nothing says so."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from rtevents.client import asyncio as awaited
from rtevents.client import sync as waiting
from rtevents.client.frames import Control
from rtevents.core.event import Entry
from rtevents.errors import ConnectionLost, NotReachable
from tests.client.conftest import risk

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HELLO = {"control": "hello", "epoch": "0123abcd", "verdict": "new", "filter": {}}


def chunk(line: bytes) -> bytes:
    """Return a line as a chunk."""
    return b"%x\r\n%b\n\r\n" % (len(line) + 1, line)


def hello(seq: int) -> bytes:
    """Return the first frame of a stream."""
    return chunk(json.dumps(HELLO | {"bookmark": f"0123abcd-{seq}"}).encode())


class Dying:
    """A daemon that sends what is next for each connection, and then nothing, for ever."""

    def __init__(self, path: Path, *answers: bytes) -> None:
        self.path = path
        self.requests: list[str] = []
        self._answers = list(answers)
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._opened: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while self._answers:
            try:
                accepted, _ = self._listening.accept()
            except OSError:
                return  # shut down below: nobody came for the rest
            self._opened.append(accepted)
            self.requests.append(accepted.recv(65536).decode().partition("\r\n")[0])
            accepted.sendall(self._answers.pop(0))

    def is_left(self) -> bool:
        """Return when the first peer has closed, or after five seconds."""
        self._opened[0].settimeout(5)
        return self._opened[0].recv(1) == b""

    def close(self) -> None:
        """End it, and its thread before the descriptor can be another's."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for opened in (*self._opened, self._listening):
            opened.close()


@pytest.fixture
def dying(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dying]:
    """Return a daemon whose first stream dies after one entry; the second one has the next."""
    for module in (waiting, awaited):
        monkeypatch.setattr(module, "SILENCE", 0.2)
    first = HEAD + hello(3) + chunk(b'{"seq":4,' + risk("a").body[1:])
    second = HEAD + hello(4) + chunk(b'{"seq":5,' + risk("b").body[1:])
    with closing(Dying(home / "s", first, second)) as peer:
        yield peer


def test_a_dead_stream_is_left_and_goes_on_elsewhere(dying: Dying) -> None:
    stream = waiting.Client(dying.path).stream(control=True)
    frames = [next(stream) for _ in range(5)]

    check(dying, frames)


async def test_a_dead_awaited_stream_is_left_and_goes_on_elsewhere(dying: Dying) -> None:
    frames: list[object] = []
    async with awaited.Client(dying.path) as client, asyncio.timeout(10):
        async for frame in client.stream(control=True):
            frames.append(frame)
            if len(frames) == 5:
                break

    check(dying, frames)


def check(dying: Dying, frames: Sequence[object]) -> None:
    """Hold the five frames to hello, an entry, the loss, hello, the next entry."""
    lost = frames[2]
    assert isinstance(lost, Control)
    assert (lost.name, lost.fields["reason"]) == ("lost", "no byte for 0.2 seconds")
    assert [frame.seq for frame in frames if isinstance(frame, Entry)] == [4, 5]
    assert dying.requests[1] == "GET /v1/events/stream?since=0123abcd-4 HTTP/1.1"


def test_who_does_not_come_back_is_told_of_the_silence(dying: Dying) -> None:
    stream = waiting.Client(dying.path).stream(reconnect=False)
    next(stream)

    with pytest.raises(ConnectionLost, match=r"^the connection is lost: no byte for 0.2 seconds$"):
        next(stream)


@pytest.fixture
def mute(home: Path) -> Iterator[Dying]:
    """Return a daemon that takes requests and answers none."""
    with closing(Dying(home / "s", b"", b"", b"")) as peer:
        yield peer


def test_an_answer_that_does_not_come_is_told(mute: Dying) -> None:
    client = waiting.Client(mute.path, timeout=0.1)

    with pytest.raises(NotReachable, match=rf"^no answer from {mute.path} within 0.1 s$"):
        client.publish(risk("a"))
    assert len(mute.requests) == 1


async def test_an_awaited_answer_that_does_not_come_is_told(mute: Dying) -> None:
    async with awaited.Client(mute.path, timeout=0.1) as client:
        with pytest.raises(NotReachable, match=rf"^no answer from {mute.path} within 0.1 s$"):
            await client.publish(risk("a"))
    assert len(mute.requests) == 1


async def test_closing_an_awaited_stream_closes_its_connection_at_once(dying: Dying) -> None:
    async with awaited.Client(dying.path) as client:
        stream = client.stream()
        await anext(stream)
        await stream.aclose()

        assert await asyncio.to_thread(dying.is_left)
