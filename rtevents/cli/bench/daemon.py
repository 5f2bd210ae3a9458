"""The daemon that is measured: a private one that leaves nothing behind, or the one that runs."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from rtevents.cli.output import notice
from rtevents.client.sync import Client
from rtevents.config.paths import find_paths, find_target
from rtevents.errors import BadInput, RteventsError

START_SECONDS = 20.0
"""How long a private daemon may take to listen, in seconds."""

STOP_SECONDS = 10.0
"""How long it may take to end, in seconds; then it is killed."""

FILES = 1100
"""Files that are open besides the streams: at most 1,000 publishers, and what a process has."""

KEEPER = """
home=$1 run=$2
shift 2
"$@" </dev/null &
exec >/dev/null 2>&1
read -r line
kill $!
wait $!
rm -rf "$home" "$run"
"""
"""Ends the daemon and removes its folders when the pipe is closed: if we are killed, even then."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a report says of the daemon.

    Args:
        address: Path of its Unix socket, or ``http://host:port``.
        pid: Its process; None when it may be on another machine.
        is_private: Whether it is there for this measurement alone.
        store: Where it keeps its log.
        durability: When an event counts as stored.
    """

    address: str
    pid: int | None
    is_private: bool
    store: str
    durability: str

    def __str__(self) -> str:
        whose = "a private daemon" if self.is_private else "the daemon that runs"
        way = "TCP" if "://" in self.address else "a Unix socket"
        return f"{whose} over {way}, store {self.store}, durability {self.durability}"


class Server(msgspec.Struct, frozen=True):
    """
    The daemon that is measured.

    Args:
        address: Path of its Unix socket, or ``http://host:port``.
        token: The credential for TCP; None for none.
        about: What a report says of it.
    """

    address: str
    token: str | None
    about: About

    def head(self, request: str) -> str:
        """Return the beginning of a request, up to where other fields may follow."""
        host = urlsplit(self.address).netloc if "://" in self.address else "localhost"
        token = f"Authorization: Bearer {self.token}\r\n" if self.token else ""
        return f"{request} HTTP/1.1\r\nHost: {host}\r\n{token}"


@contextmanager
def measured(*, live: bool, streams: int = 1) -> Iterator[Server]:
    """
    Have a daemon to measure.

    Args:
        live: Whether it is the one that runs, else one is started, and removed at the end.
        streams: How many it is to serve.
    Raises:
        BadInput: This user may not open so many.
        NotReachable: None runs.
        RteventsError: None can be started; the text says why.
    """
    _allow_files(streams + FILES)
    if live:
        target = find_target()
        server = _server(target.address, target.token, is_private=False)
        notice("the daemon that runs is measured: its log keeps the events, as project bench")
        yield server
        return
    with _private() as socket:
        yield _server(str(socket), None, is_private=True)


def _allow_files(count: int) -> None:
    """Let this process, and the daemon that it starts, open so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        if hard != resource.RLIM_INFINITY and hard < count:
            raise BadInput(f"--clients: {count} files are needed, {hard} at most (ulimit -Hn)")
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def _server(address: str, token: str | None, *, is_private: bool) -> Server:
    with Client(address, token=token) as client:
        status: dict[str, Any] = client.status()
    about = About(
        address=address,
        pid=None if "://" in address else status["pid"],
        is_private=is_private,
        store=status["store"],
        durability=status["durability"],
    )
    return Server(address, token, about)


@contextmanager
def _private() -> Iterator[Path]:
    """Run a daemon with the user's settings but without projects; yield its socket."""
    state = find_paths().state
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    # On the disk of the user's own log: elsewhere, an fsync may cost nothing at all.
    home = Path(tempfile.mkdtemp(prefix="bench-", dir=state))
    # Elsewhere, since the path of a socket must be short.
    run = Path(tempfile.mkdtemp(prefix="rte"))
    try:
        _write_config(home)
        with (home / "log").open("wb") as log:
            process = _start(home, run, log.fileno())
        try:
            _wait(process, home / "log")
            yield run / "rtevents" / "rtevents.sock"
        finally:
            _stop(process)
    finally:
        for folder in (home, run):
            shutil.rmtree(folder, ignore_errors=True)


def _write_config(home: Path) -> None:
    from rtevents.config.load import load
    from rtevents.config.render import to_yaml
    from rtevents.core.keep import write_whole

    config = load(find_paths())
    config.listen = "none"
    config.projects = []
    (home / "rtevents").mkdir(mode=0o700)
    write_whole(home / "rtevents" / "config.yaml", to_yaml(config).encode())


def _start(home: Path, run: Path, log: int) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-m", "rtevents", "serve", "--no-project", "--quiet"]
    # The settings in the environment are in the file already.
    env = {k: v for k, v in os.environ.items() if not k.startswith(("RTEVENTS_", "XDG_"))}
    env |= {"XDG_STATE_HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_RUNTIME_DIR": str(run)}
    return subprocess.Popen(
        ["sh", "-c", KEEPER, "sh", home, run, *program],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        start_new_session=True,  # Ctrl-C is for us: the daemon ends after what it is asked
    )


def _wait(process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the daemon listens; tell why when it does not."""
    said = b""
    if process.stdout and select.select([process.stdout], [], [], START_SECONDS)[0]:
        said = process.stdout.readline()
    if not said.startswith(b"listening on"):
        lines = log.read_text(errors="replace").splitlines() or ["it says nothing"]
        reason = lines[-1].removeprefix("rtevents: ")
        raise RteventsError(f"no private daemon could be started: {reason}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
