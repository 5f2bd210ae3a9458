"""Hundreds of readers at once, on the real daemon: everything comes once and in order."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import pytest

from rtevents.core.event import Event

from .conftest import PATIENCE, Daemon, wait_for

SEQ = re.compile(rb'\{"seq":([0-9]+),"event_id"')


class Reader:
    """An NDJSON stream of which only the seqs are looked at."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._rest = b""
        self._is_live = False
        # Hundreds of readers in one process: eight bytes a seq, not forty.
        self.seqs: array[int] = array("q")

    @classmethod
    async def open(cls, daemon: Daemon, query: str = "since=all") -> Self:
        """Ask for a stream and return when it is live."""
        reader, writer = await asyncio.open_unix_connection(str(daemon.socket))
        writer.write(
            f"GET /v1/events/stream?{query} HTTP/1.1\r\nHost: localhost\r\n"
            "Accept: application/x-ndjson\r\n\r\n".encode()
        )
        opened = cls(reader, writer)
        async with asyncio.timeout(PATIENCE):
            while not opened._is_live:
                await opened._read()
        return opened

    async def until(self, count: int) -> array[int]:
        """Read until there are so many entries, and return the seqs of all."""
        async with asyncio.timeout(2 * PATIENCE):
            while len(self.seqs) < count:
                await self._read()
        return self.seqs

    async def _read(self) -> None:
        data = await self._reader.read(256 * 1024)
        assert data, "the stream has ended"
        self._rest += data
        self._is_live = self._is_live or b'"control":"live"' in self._rest
        end = 0
        for match in SEQ.finditer(self._rest):
            self.seqs.append(int(match[1]))
            end = match.end()
        # What a seq may begin in stays, and the frames before the first event.
        self._rest = self._rest[max(end, len(self._rest) - 200) :]

    def close(self) -> None:
        """Hang up."""
        self._writer.transport.abort()


def events(count: int, projects: int = 1, size: int = 150) -> list[Event]:
    """Return events of several projects in turns; of each, `size` characters are filling."""
    return [
        Event(
            type="TASK_UPDATE",
            data={"task_id": f"T-{number}", "status": "open", "title": "x" * size},
            project_id=f"p{number % projects}",
        )
        for number in range(count)
    ]


async def publish(daemon: Daemon, batch: Sequence[Event]) -> None:
    """Publish from a thread, in chunks."""

    def send() -> None:
        with daemon.client() as client:
            for at in range(0, len(batch), 250):
                client.publish_many(batch[at : at + 250])

    await asyncio.to_thread(send)


def seqs_of(seqs: range) -> array[int]:
    """Return what a reader has read who missed nothing."""
    return array("q", seqs)


def memory(daemon: Daemon) -> int:
    """Return the daemon's resident memory, in bytes."""
    assert daemon.process is not None
    pages = int(Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[1])
    return pages * 4096


async def test_events_published_during_a_replay_come_once_and_in_order(daemon: Daemon) -> None:
    await publish(daemon, events(5000))
    publishing = asyncio.create_task(publish(daemon, events(5000)))
    readers = [await Reader.open(daemon) for _ in range(50)]

    for seqs in await asyncio.gather(*(reader.until(10_000) for reader in readers)):
        assert seqs == seqs_of(range(1, 10_001))
    await publishing
    for reader in readers:
        reader.close()


async def test_a_thousand_readers_with_different_filters_get_what_is_theirs(
    daemon: Daemon,
) -> None:
    readers = [
        await Reader.open(daemon, f"project=p{number % 100}&project=x{number}")
        for number in range(1000)
    ]
    await publish(daemon, events(2000, projects=100))

    found = await asyncio.gather(*(reader.until(20) for reader in readers))
    for number, seqs in enumerate(found):
        assert seqs == seqs_of(range(number % 100 + 1, 2001, 100))
    for reader in readers:
        reader.close()


async def test_five_hundred_readers_come_back_at_once_and_miss_nothing(daemon: Daemon) -> None:
    with daemon.client() as client:
        epoch = client.history(limit=1).next.epoch
    readers = [await Reader.open(daemon) for _ in range(500)]
    publishing = asyncio.create_task(publish(daemon, events(3000)))
    await asyncio.gather(*(reader.until(700 + number) for number, reader in enumerate(readers)))
    for reader in readers:
        reader.close()

    async def come_back(before: Reader) -> array[int]:
        again = await Reader.open(daemon, f"since={epoch}-{before.seqs[-1]}")
        again.seqs = before.seqs + again.seqs
        seqs = await again.until(3000)
        again.close()
        return seqs

    for seqs in await asyncio.gather(*map(come_back, readers)):
        assert seqs == seqs_of(range(1, 3001))
    await publishing


FOLLOW = """
import re, socket, sys
wire = socket.socket(socket.AF_UNIX)
wire.connect(sys.argv[1])
wire.sendall(b"GET /v1/events/stream?since=all HTTP/1.1\\r\\nHost: localhost\\r\\n"
             b"Accept: application/x-ndjson\\r\\n\\r\\n")
rest, expected, last, is_live = b"", 1, int(sys.argv[2]), False
while expected <= last:
    data = wire.recv(1 << 16)
    if not data:
        sys.exit("the stream has ended")
    rest += data
    if b'"live"' in rest and not is_live:
        is_live = True
        print("live", flush=True)
    end = 0
    for match in re.finditer(rb'\\{"seq":([0-9]+),"event_id"', rest):
        if int(match[1]) != expected:
            sys.exit(f"got {int(match[1])} for {expected}")
        expected += 1
        end = match.end()
    rest = rest[max(end, len(rest) - 200):]
print("complete", flush=True)
"""


async def test_a_frozen_reader_among_many_costs_no_memory_and_comes_back_complete(
    stopped_daemon: Daemon,
) -> None:
    daemon = stopped_daemon
    # What a reader that stopped has to catch up with is soon out of the window.
    daemon.start(env={"RTEVENTS_WINDOW_BYTES": str(4 * 1024 * 1024)})
    total, warm = 28_000, 12_000
    readers = [await Reader.open(daemon) for _ in range(20)]
    frozen = subprocess.Popen(
        [sys.executable, "-c", FOLLOW, str(daemon.socket), str(total)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert frozen.stdout is not None
    try:
        assert frozen.stdout.readline() == "live\n"
        # The window is full before it is measured what comes on top; and the others are waited
        # for, so that none of them lags beside the frozen one.
        before = 0
        for at in range(0, total, 4000):
            if at == warm:
                frozen.send_signal(signal.SIGSTOP)
            if at <= warm:
                # How far it goes up for all of them depends on how they come to run.
                before = max(before, memory(daemon))
            await publish(daemon, events(4000, size=2000))
            for seqs in await asyncio.gather(*(reader.until(at + 4000) for reader in readers)):
                assert seqs == seqs_of(range(1, at + 4001))
        # What was published meanwhile is 32 MB, of which nothing is kept back for one reader.
        assert memory(daemon) - before < 20 * 1024 * 1024
        frozen.send_signal(signal.SIGCONT)
        line = await asyncio.wait_for(asyncio.to_thread(frozen.stdout.readline), 2 * PATIENCE)
        assert line == "complete\n"
    finally:
        frozen.kill()
        frozen.wait()
        frozen.stdout.close()
        for reader in readers:
            reader.close()


async def test_a_reader_that_hardly_reads_is_cut_off_and_resumes_complete(
    stopped_daemon: Daemon,
) -> None:
    daemon = stopped_daemon
    daemon.start(env={"RTEVENTS_SEND_TIMEOUT": "1"})
    slow = await Reader.open(daemon)
    slow._reader._transport.pause_reading()  # type: ignore[attr-defined]
    await publish(daemon, events(10_000))

    with daemon.client() as client:
        # The daemon's own lines are a stream as well.
        wait_for(
            lambda: os.getpid() not in [one["pid"] for one in client.connections()],
            "it is cut off",
        )
        epoch = client.history(limit=1).next.epoch
    after = slow.seqs[-1] if slow.seqs else 0
    slow.close()
    again = await Reader.open(daemon, f"since={epoch}-{after}")
    assert slow.seqs + await again.until(10_000 - after) == seqs_of(range(1, 10_001))
    again.close()


pytestmark = pytest.mark.timeout(240)
