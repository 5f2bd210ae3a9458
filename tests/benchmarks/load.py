"""The load generator: compiled once, run against one server, its findings as a value."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import msgspec

HERE = Path(__file__).parent

TIMEOUT = 600.0
"""Seconds after which a run is given up."""


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is asked of a server.

    Args:
        subscribers: Connections that follow; 0 for none.
        over: ``sse ws none``: how rtevents is followed. Peers have a way of their own.
        events: Events to publish.
        rate: Events a second; 0 for as fast as the mean subscriber follows.
        batch: Events of one request.
        publishers: Connections that publish.
        in_flight: Requests of a publisher that wait for their answers.
        ahead: Events by which the publisher may be ahead of the mean subscriber, at no rate.
        query: The query string of each subscriber; ``{i}`` its number, ``{g}`` its group's.
        groups: In how many parts the events fall, of which each subscriber wants one.
        stored: Events that the server holds before; they are published first.
        beside: What else is done meanwhile; a name that ``beside.py`` knows, empty for nothing.
        pairs: Commits with the git hook, and as many without.
        files: Files that are watched.
        daemon: What the daemon does meanwhile: it is ``up``, ``stopped`` by a signal, ``down``, or
            watches ``elsewhere``.
    """

    subscribers: int = 0
    over: str = "sse"
    events: int = 10_000
    rate: int = 0
    batch: int = 1
    publishers: int = 1
    in_flight: int = 64
    ahead: int = 512
    query: str = ""
    groups: int = 1
    stored: int = 0
    beside: str = ""
    pairs: int = 0
    files: int = 0
    daemon: str = "up"


class Latency(msgspec.Struct, frozen=True):
    """
    How long something took, in milliseconds.

    Args:
        count: How often it was measured; 0 for not told.
    """

    mean: float
    p50: float
    p95: float
    p99: float
    count: int = 0


class Found(msgspec.Struct, frozen=True):
    """
    What the load generator found.

    Args:
        ok: Whether every subscriber got every event once, in order.
        grown_mib: What the server's memory grew by, from before the first event to after the last.
        beside: What was measured beside it, by what it is.
        ev_s: Events a second.
        del_s: Deliveries a second.
        lat_ms, lat_mean: End to end, p50, p95 and p99, and the mean, in milliseconds.
        ack_ms, ack_mean: Publish to answer, the same.
        cpu_us_per_del: The server's CPU in microseconds per delivery.
        cpu_us_per_ev: The same per event.
        lg_cpu: The generator's own CPU, in seconds.
        s: Seconds that it took.
        rss_mb: The server's memory after it, in MiB.
    """

    ok: bool
    ev_s: float
    del_s: float
    lat_ms: list[float]
    lat_mean: float
    ack_ms: list[float]
    ack_mean: float
    cpu_us_per_del: float
    cpu_us_per_ev: float
    lg_cpu: float
    s: float
    rss_mb: float
    grown_mib: float = 0.0
    beside: Mapping[str, Latency] = {}


class Idle(msgspec.Struct, frozen=True):
    """
    What idle connections cost.

    Args:
        set_up: Connections set up in a second.
        kib: The server's memory for each, in KiB.
    """

    set_up: float = msgspec.field(name="conn_per_s")
    kib: float = msgspec.field(name="kb_per_conn")
    ok: bool = True


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """
    A server, as the load generator reaches it.

    Args:
        address: ``HOST:PORT`` or a socket's path.
        pids: Its processes.
        subscriber, publisher: Kinds that the generator knows.
        subscribe, publish: Paths.
        headers: Header lines of each request.
    """

    address: str
    pids: Sequence[int]
    subscriber: str
    publisher: str
    subscribe: str = ""
    publish: str = ""
    headers: str = ""

    @property
    def host(self) -> str:
        """What the Host header says."""
        return self.address if ":" in self.address else "localhost"


@cache
def compiled(name: str) -> Path:
    """
    Return the program that one of the C files here makes.

    Raises:
        FileNotFoundError: There is no C compiler.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise FileNotFoundError("the load generator needs a C compiler: install gcc or clang")
    folder = tempfile.mkdtemp(prefix="rtevents-bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    program = Path(folder) / name
    source = HERE / f"{name}.c"
    subprocess.run([compiler, "-O2", "-o", program, source, "-lpthread"], check=True)
    return program


def run(target: Target, work: Work, at_live: Callable[[], None] = lambda: None) -> Found:
    """
    Put a server to work.

    Args:
        at_live: Called when the subscribers are there and before the first event.
    Raises:
        RuntimeError: The generator gave up; the text has its words.
    """
    before = 0.0

    def note() -> None:
        nonlocal before
        before = memory_mib(target)
        at_live()

    found = msgspec.json.decode(_run(target, work, [], note), type=Found, strict=False)
    return msgspec.structs.replace(found, grown_mib=memory_mib(target) - before)


def idle(target: Target, work: Work) -> Idle:
    """Connect the subscribers of `work` and let them be for two seconds."""
    return msgspec.json.decode(_run(target, work, ["-p", "none", "-i", "2"]), type=Idle)


def memory_mib(target: Target) -> float:
    """Return what a server's processes have in memory, in MiB."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in target.pids)
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def _run(
    target: Target, work: Work, extra: Sequence[str], at_live: Callable[[], None] = lambda: None
) -> bytes:
    subscribe = target.subscribe + (f"?{work.query}" if work.query else "")
    command: list[str | Path] = [
        compiled("load"), "-a", target.address, "-P", ",".join(map(str, target.pids)),
        "-s", target.subscriber if work.subscribers else "none", "-p", target.publisher,
        "-x", subscribe, "-y", target.publish,
        "-N", str(work.subscribers), "-E", str(work.events), "-K", str(work.publishers),
        "-D", str(work.in_flight), "-B", str(work.batch), "-G", str(work.groups),
        "-r", str(work.rate), "-W", str(work.ahead), *extra,
    ]  # fmt: skip
    env = {**os.environ, "RTLOAD_HEADER": target.headers, "RTLOAD_HOST": target.host}
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=complaints) as process,
    ):
        assert process.stdout is not None
        guard = threading.Timer(TIMEOUT, process.kill)
        guard.start()
        try:
            if process.stdout.readline() == b"live\n":
                at_live()
            said = process.stdout.read()
        except BaseException:
            process.kill()
            raise
        finally:
            guard.cancel()
        if process.wait():
            complaints.seek(0)
            raise RuntimeError(complaints.read().decode(errors="replace").strip()[-500:])
    return said
