"""Real `redis-server` processes for the tests: alone, with sentinels, as a cluster."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from rtevents.stores.redis_scripts import TRIM
from rtevents.stores.redis_server import KEYS
from tests.conftest import PATIENCE, wait_for


class RedisServer:
    """
    A Redis that keeps what it answered, on the loopback.

    Args:
        folder: Where it keeps it.
        through: A command that runs what follows it.
        options: Further settings; with a ``unixsocket``, that is where it is asked.
    """

    def __init__(self, folder: Path, *, through: Sequence[str] = (), **options: str) -> None:
        self.folder = folder
        self.through = through
        self.port = free_port()
        self.settings = {
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            **options,
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it is."""
        return f"127.0.0.1:{self.port}"

    def url(self, log: str = "rtevents") -> str:
        """Return the address of a log there."""
        return f"redis://127.0.0.1:{self.port}/0?log={log}"

    def start(self, **options: str) -> None:
        """Start it, and wait until it answers."""
        binary = shutil.which("redis-server")
        if binary is None:
            pytest.skip("redis-server is not installed")
        self.folder.mkdir(exist_ok=True)
        asked = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "logfile": "redis.log",
            **self.settings,
            **options,
        }
        words = [word for name, value in asked.items() for word in (f"--{name}", *value.split(" "))]
        command = [*self.through, binary, *self.first_words(), *words]
        process = self.process = subprocess.Popen(command)
        wait_for(lambda: self.answers() or process.poll() is not None, "redis answers")
        assert process.poll() is None, (self.folder / "redis.log").read_text()

    def first_words(self) -> list[str]:
        """Return what comes before the options."""
        return []

    def answers(self) -> bool:
        """Tell whether it takes commands."""
        try:
            return self.ask("PING") == b"+PONG"
        except OSError:
            return False

    def ask(self, *words: str) -> bytes:
        """Send one command and return the first line of its answer."""
        return self.ask_all(*words).partition(b"\r\n")[0]

    def ask_all(self, *words: str) -> bytes:
        """Send one command and return its answer, where that is one line or one text."""
        command = b"*%d\r\n" % len(words)
        for word in words:
            command += b"$%d\r\n%b\r\n" % (len(word.encode()), word.encode())
        with self._connect() as peer:
            peer.sendall(command)
            with peer.makefile("rb") as answer:
                line = answer.readline()
                size = int(line[1:]) if line[:1] == b"$" else 0
                return line + answer.read(size)

    def tells(self, what: bytes, *words: str) -> bool:
        """Tell whether the answer to a command has something in it."""
        return what in self.ask_all(*words)

    def _connect(self) -> socket.socket:
        if "unixsocket" not in self.settings:
            return socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(PATIENCE)
        try:
            peer.connect(self.settings["unixsocket"])
        except OSError:
            peer.close()
            raise
        return peer

    def kill(self) -> None:
        """End it as a crash does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE)

    def stop(self) -> None:
        """End it, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.kill()


def save(redis: RedisServer) -> Path:
    """Copy what a Redis has on its disk, as a backup does."""
    copy = redis.folder.with_name(f"{redis.folder.name}.{uuid4().hex}")
    shutil.copytree(redis.folder / "appendonlydir", copy)
    return copy


def set_back(redis: RedisServer, copy: Path) -> None:
    """End a Redis, and start it on a copy."""
    redis.stop()
    shutil.rmtree(redis.folder / "appendonlydir", ignore_errors=True)
    shutil.copytree(copy, redis.folder / "appendonlydir")
    redis.start()


class RedisSentinel(RedisServer):
    """
    A sentinel that watches one master, under the name ``team``.

    Args:
        folder: Where it keeps what it knows.
        master: The server to watch.
        quorum: How many sentinels have to miss it before another server takes over.
        options: Further settings; with a ``tls-port``, its master is asked at that of its own.
    """

    def __init__(self, folder: Path, master: RedisServer, quorum: int, **options: str) -> None:
        super().__init__(folder)
        self.settings = options
        port = master.settings["tls-port"] if options else master.port
        self.folder.mkdir()
        (self.folder / "sentinel.conf").write_text(
            f"sentinel monitor team 127.0.0.1 {port} {quorum}\n"
            "sentinel down-after-milliseconds team 500\n"
            "sentinel failover-timeout team 3000\n"
        )

    def first_words(self) -> list[str]:
        """Return what makes it a sentinel, and its file."""
        return [str(self.folder / "sentinel.conf"), "--sentinel"]


class RedisNode(RedisServer):
    """
    A node of a cluster.

    Args:
        folder: Where it keeps what it knows.
        options: Further settings.
    """

    def __init__(self, folder: Path, **options: str) -> None:
        node = {"cluster-enabled": "yes", "cluster-node-timeout": "1000", "save": ""}
        super().__init__(folder, **node, **options)
        self.port = node_port()

    @property
    def node_id(self) -> str:
        """What it is called in the cluster."""
        return self.ask_all("CLUSTER", "MYID").splitlines()[1].decode()


@contextmanager
def running(folder: Path, **options: str) -> Iterator[RedisServer]:
    """Have a Redis that runs; see ``RedisServer``."""
    server = RedisServer(folder, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def trim(server: RedisServer, log: str, keep: int) -> None:
    """Delete what a log has before a seq, as the retention of another daemon does."""
    keys = [f"{{{log}}}:{part}" for part in KEYS]
    asked = ["EVAL", TRIM, str(len(keys)), *keys, str(keep), "1000"]
    assert server.ask(*asked).startswith(b":")


def free_port() -> int:
    """Return a port that is free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def node_port() -> int:
    """Return a port that is free, as is the one 10,000 higher, where nodes talk to one another."""
    while not ((port := free_port()) <= 55_535 and _is_free(port + 10_000)):
        pass
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
