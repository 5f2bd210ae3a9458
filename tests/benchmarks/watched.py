"""What a daemon takes that watches many files in which nothing happens, and its next start."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path

import msgspec

from rtevents.client.sync import Client
from rtevents.core.filter import Filter
from tests.benchmarks import peers
from tests.benchmarks.load import Target, Work, memory_mib
from tests.conftest import wait_for

CHANGES = Filter(types=frozenset({"FILE_CHANGE"}))

FILES_OF_A_FOLDER = 50

SECONDS = 60.0
"""How long it is looked at."""

SETTLED = 5.0
"""Seconds that a start's last work may take after it watches."""


class Watched(msgspec.Struct, frozen=True):
    """
    What was found.

    Args:
        ok: Whether it told of a new file after the start, and of nothing else.
        share: Its CPU, in percent of one core.
        grown: MiB that it has in memory.
        warm: Seconds of a start with what it knew of the files, until it watches.
    """

    ok: bool
    share: float
    grown: float
    warm: float


def watched(target: Target, work: Work) -> Watched:
    """
    Have a daemon watch many files, let it be, and start it again.

    Args:
        target: The daemon, by its socket.
        work: How many files.
    """
    home = Path(target.address).parent.parent
    (pid,) = target.pids
    with tempfile.TemporaryDirectory(prefix="rtb-", ignore_cleanup_errors=True) as name:
        root = Path(name) / "web"
        for number in range(work.files):
            folder = root / f"{number // FILES_OF_A_FOLDER:04}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}.txt").write_text(f"{number}\n")
        with Client(Path(target.address)) as client:
            client.add_project(root, id="web")
        _until_watching(Path(target.address))
        time.sleep(SETTLED)
        before = _cpu(pid)
        time.sleep(SECONDS)
        share = (_cpu(pid) - before) / SECONDS * 100
        grown = memory_mib(target)
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not Path(target.address).exists(), "the daemon has ended")
        begun = time.perf_counter()
        with peers.rtevents(work, tcp=False, state=home / "state") as again:
            _until_watching(Path(again.address))
            warm = time.perf_counter() - begun
            ok = _tells(Path(again.address), folder / "new.txt")
    return Watched(ok=ok, share=share, grown=grown, warm=warm)


def _until_watching(path: Path) -> None:
    """Return when the project is watched."""
    with Client(path) as client:
        wait_for(lambda: client.projects()[0]["state"] == "watching", "it is watched", 300)


def _tells(path: Path, file: Path) -> bool:
    """Tell whether a new file is the one thing that is told."""
    file.write_text("new\n")
    with Client(path) as client:
        wait_for(lambda: client.history(CHANGES).events, "the file is told")
        return [
            Path(entry.event.data["file_path"]).name for entry in client.history(CHANGES).events
        ] == [file.name]


def _cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has taken (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
