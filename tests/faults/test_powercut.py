"""What is left when the power goes: F3."""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from rtevents.core.event import Entry
from rtevents.stores import open_store
from tests.conftest import Daemon, wait_for
from tests.faults.checker import risk
from tests.faults.powercut import TRACE, Disk, calls

ACKNOWLEDGED = re.compile(rb'"event_id":"(e[0-9]+)","seq":([0-9]+)')

KEPT = 150
"""Entries that the daemon keeps: trimming is at work as well."""

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


def trace(daemon: Daemon, durability: str, events: int, chance: random.Random) -> Path:
    """Publish to a new daemon, with a restart on the way; return what system calls it made."""
    written = daemon.home / "trace"
    command = ["strace", "-D", "-q", "-f", "-y", "-xx", "-s", "200000", "-e", f"trace={TRACE}"]
    number = 0
    parts = [daemon.home / "trace.a", daemon.home / "trace.b"]
    for part in parts:
        daemon.start(
            env={
                "RTEVENTS_DURABILITY": durability,
                "RTEVENTS_RETENTION__MAX_EVENTS": str(KEPT),
                "RTEVENTS_RETENTION__INTERVAL": "0.2",
            },
            through=[*command, "-o", str(part)],
        )
        with daemon.client() as client:
            for _ in range(events // 2):
                size = chance.choice([1, 1, 1, 20])
                batch = []
                for _ in range(size):
                    filling = "x" * chance.choice([10, 300, 9000])
                    batch.append(risk(filling, event_id=f"e{number}"))
                    number += 1
                client.publish_many(batch)
        assert daemon.process is not None
        end = re.compile(rb"^%d +\+\+\+ exited with 0" % daemon.process.pid, re.MULTILINE)
        daemon.stop()
        wait_for(partial(_has, part, end), "all is traced")
    with written.open("wb") as whole:
        for part in parts:
            whole.write(part.read_bytes())
    return written


def _has(file: Path, wanted: re.Pattern[bytes]) -> bool:
    return wanted.search(file.read_bytes()) is not None


def acknowledged_in(sent: bytes, first: int) -> dict[str, int]:
    """Return the seq of each event that was answered, of those from `first` on."""
    found = ACKNOWLEDGED.findall(sent)
    return {key.decode(): int(seq) for key, seq in found if int(seq) >= first}


async def look(folder: Path) -> tuple[list[Entry], int]:
    """Open what is left as the daemon does; return every entry, and the first seq kept."""
    file = folder / "events.db"
    store = await open_store("sqlite", path=file, durability="full")
    try:
        page = await store.read(0, 10**6)
        entries = list(page.entries)
        last = (await store.bounds()).last
        while page.looked < last:
            page = await store.read(page.looked, 10**6)
            entries += page.entries
        first = (await store.bounds()).first
    finally:
        await store.close()
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return entries, first


async def cut(daemon: Daemon, durability: str, events: int, images: int) -> None:
    """Cut the power at many moments of a daemon's life, and see what is left each time."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    log = trace(daemon, durability, events, chance)
    # Its path holds no link: the trace tells the real one.
    disk = Disk((daemon.home / "state" / "rtevents").resolve())
    count = sum(1 for _ in calls(log))
    moments = Counter(chance.randrange(count) for _ in range(images))
    into = daemon.home / "image"
    for moment, (call, arguments) in enumerate(calls(log)):
        disk.do(call, arguments)
        for _ in range(moments[moment]):
            disk.cut(chance, into)
            entries, first = await look(into)
            place = f"seed {seed}, moment {moment}"
            acknowledged = acknowledged_in(disk.sent, first)
            kept = {entry.event_id: entry.seq for entry in entries}
            assert [entry.seq for entry in entries] == sorted(kept.values()), place
            assert first <= max(1, entries[-1].seq - KEPT + 1 if entries else 1), place
            if durability == "full":
                assert acknowledged.items() <= kept.items(), place
            else:
                # The window that is documented: what came since the WAL was synced, for a
                # checkpoint. It was written before it was acknowledged.
                assert acknowledged_in(disk.secured, first).items() <= kept.items(), place
                lost = {seq for seq in acknowledged.values() if seq not in kept.values()}
                assert all(seq > max(kept.values(), default=0) for seq in lost), place
    assert len(ACKNOWLEDGED.findall(disk.sent)) > events
    assert disk.secured


@pytest.mark.parametrize("durability", ["full", "normal"])
async def test_what_was_acknowledged_is_there_after_a_power_cut(
    stopped_daemon: Daemon, durability: str
) -> None:
    """F3: at fifty moments of a short life, for each way to keep events."""
    await cut(stopped_daemon, durability, 60, 50)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("durability", ["full", "normal"])
async def test_what_was_acknowledged_is_there_after_a_thousand_power_cuts(
    stopped_daemon: Daemon, durability: str
) -> None:
    """F3: a thousand moments, on a daemon that trims and checkpoints."""
    await cut(stopped_daemon, durability, 400, 1000)
