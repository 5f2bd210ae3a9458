"""The load generator: compiled once, run against one server, its findings as a value."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
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


class Found(msgspec.Struct, frozen=True):
    """
    What the load generator found.

    Args:
        ok: Whether every subscriber got every event once, in order.
        ev_s: Events a second.
        del_s: Deliveries a second.
        lat_ms: End to end, p50, p95 and p99, in milliseconds.
        ack_ms: Publish to answer, the same.
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
    ack_ms: list[float]
    cpu_us_per_del: float
    cpu_us_per_ev: float
    lg_cpu: float
    s: float
    rss_mb: float


class Idle(msgspec.Struct, frozen=True):
    """
    What idle connections cost.

    Args:
        conn_per_s: Connections set up in a second.
        kb_per_conn: The server's memory for each, in KiB.
    """

    conn_per_s: float
    kb_per_conn: float


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
    program = Path(tempfile.mkdtemp(prefix="rtevents-bench-")) / name
    source = HERE / f"{name}.c"
    subprocess.run([compiler, "-O2", "-o", program, source, "-lpthread"], check=True)
    return program


def run(target: Target, work: Work) -> Found:
    """
    Put a server to work.

    Raises:
        RuntimeError: The generator gave up; the text has its words.
    """
    return msgspec.json.decode(_run(target, work, []), type=Found, strict=False)


def idle(target: Target, work: Work, seconds: int = 2) -> Idle:
    """Connect the subscribers of `work` and let them be."""
    return msgspec.json.decode(_run(target, work, ["-p", "none", "-i", str(seconds)]), type=Idle)


def _run(target: Target, work: Work, extra: Sequence[str]) -> bytes:
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
    done = subprocess.run(command, env=env, capture_output=True, timeout=TIMEOUT, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace").strip()[-500:])
    return done.stdout
