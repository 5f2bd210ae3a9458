"""What tests share: a real daemon in a home of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from rtevents.client.sync import Client
from rtevents.errors import RteventsError

# A shell's background job, or nohup, ignores some and hands that down: here they are what they are.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# What is compiled is kept, whatever the shell says: a run starts hundreds of daemons, and each
# takes a third longer when it has to compile its code anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


# How long an example takes depends on what else the machine does.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


def pytest_xdist_auto_num_workers() -> int:
    """Return how many workers `-n auto` means: a test waits for its daemon half of the time."""
    return (os.cpu_count() or 1) + 2


LOOP = os.environ.get("TEST_LOOP", "asyncio")
"""
What daemons and coroutines run on: Python's event loop, as most users have it, though uvloop is
there. `TEST_LOOP=uvloop pytest` runs all on that; `test_event_loops.py` always runs on both.
"""

if LOOP == "uvloop":

    def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
        """Have pytest-asyncio run coroutines on uvloop."""
        import uvloop

        return {LOOP: uvloop.new_event_loop}


PATIENCE = 30.0
"""Seconds after which a condition that has not come true is a failure."""


def wait_for(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Return when `condition` is true; fail with `what` when it does not become so."""
    asked = time.monotonic()
    deadline = asked + patience
    while not condition():
        now = time.monotonic()
        assert now < deadline, f"did not happen within {patience} s: {what}"
        # Who asks for much asks seldom: what is waited for needs the processor more.
        time.sleep(min(max(0.01, 2 * (now - asked)), 0.25))
        asked = time.monotonic()


class Daemon:
    """
    A daemon of one's own, with its own home, configuration, state and sockets.

    Args:
        home: An empty folder whose path is short: a Unix socket's may have 107 bytes.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.process: subprocess.Popen[bytes] | None = None
        self.env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RTEVENTS", "XDG_", "GIT_"))
        } | {
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home / "run"),
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "RTEVENTS_LISTEN": "127.0.0.1:0",
            "RTEVENTS_EVENT_LOOP": LOOP,
            # How busy the machine is with other tests is no event in a test's stream.
            "RTEVENTS_HEALTH__INTERVAL": "86400",
            "GIT_CONFIG_GLOBAL": str(home / "gitconfig"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "120",
            # No test asks a server of elsewhere, and to read 150 certificates takes 50 ms.
            "SSL_CERT_FILE": os.devnull,
            "SSL_CERT_DIR": os.devnull,
        }
        for folder in ("run", "state", "config"):
            (home / folder).mkdir(mode=0o700)
        (home / "gitconfig").write_text(
            "[user]\nname = Ada\nemail = ada@example.org\n[init]\ndefaultBranch = main\n"
            # It has nothing to do in a repository of some commits, and is a program after each.
            "[maintenance]\nauto = false\n"
        )
        self.socket = home / "run" / "rtevents" / "rtevents.sock"
        self.log = home / "daemon.log"

    def start(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        through: Sequence[str] = (),
    ) -> None:
        """Start it and return when it answers; see ``spawn``."""
        said = self.log.stat().st_size if self.log.exists() else 0
        self.spawn(*arguments, env=env, through=through)
        # It says so when its projects are watched.
        wait_for(lambda: b"listening on" in self.log.read_bytes()[said:] or not self.is_up(), "up")
        assert self.answers()

    def spawn(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        through: Sequence[str] = (),
    ) -> None:
        """
        Start it; without arguments it watches nothing.

        Args:
            through: A command that runs what follows it.
        """
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*through, sys.executable, "-m", "rtevents", "serve", *arguments],
                env=self.env | dict(env or {}),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def is_up(self) -> bool:
        """Tell whether its process runs."""
        return self.process is not None and self.process.poll() is None

    def answers(self) -> bool:
        """Tell whether the daemon answers; fail when it has ended."""
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text(errors="replace")[-2000:]
        try:
            with self.client() as client:
                client.status()
        except RteventsError:
            return False
        return True

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it with a signal; return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self.process = None
        return code

    def client(self) -> Client:
        """Return a client on its socket."""
        return Client(self.socket)

    def run(
        self,
        *arguments: str,
        stdin: str | bytes | None = None,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = PATIENCE,
    ) -> subprocess.CompletedProcess[str]:
        """Run `rtevents` with these arguments and return what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "rtevents", *arguments],
            env=self.env | dict(env or {}),
            cwd=cwd or self.home,
            input=stdin.encode() if isinstance(stdin, str) else stdin or b"",
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        return subprocess.CompletedProcess(
            done.args,
            done.returncode,
            done.stdout.decode(errors="surrogateescape"),
            done.stderr.decode(errors="surrogateescape"),
        )

    def popen(self, *arguments: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        """Start `rtevents` with these arguments, its output to be read line by line."""
        return subprocess.Popen(
            [sys.executable, "-m", "rtevents", *arguments],
            env=self.env,
            cwd=cwd or self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def git(self, *arguments: str, cwd: Path, check: bool = True) -> str:
        """Run git and return what it printed."""
        command: Sequence[str] = ["git", *arguments]
        done = subprocess.run(
            command, cwd=cwd, env=self.env, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def repository(self, name: str = "web") -> Path:
        """Make a git repository with one commit."""
        root = self.home / name
        root.mkdir()
        self.git("init", "-q", cwd=root)
        (root / "README.md").write_text("hello\n")
        self.git("add", ".", cwd=root)
        self.git("commit", "-qm", "Begin", cwd=root)
        return root


@contextmanager
def folder_with_a_short_path() -> Iterator[Path]:
    """Have an empty folder."""
    folder = Path(tempfile.mkdtemp(prefix="rth"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def home() -> Iterator[Path]:
    """Return an empty folder with a short path."""
    with folder_with_a_short_path() as folder:
        yield folder


@contextmanager
def lodging(home: Path) -> Iterator[Daemon]:
    """Have a daemon, not started yet, that is gone in the end."""
    daemon = Daemon(home)
    try:
        yield daemon
    finally:
        if daemon.process is not None:
            daemon.process.kill()
            daemon.process.wait()


@pytest.fixture
def stopped_daemon(home: Path) -> Iterator[Daemon]:
    """Return a daemon that is not started yet."""
    with lodging(home) as daemon:
        yield daemon


@pytest.fixture
def daemon(stopped_daemon: Daemon) -> Daemon:
    """Return a daemon that answers."""
    stopped_daemon.start()
    return stopped_daemon


@contextmanager
def shared(env: Mapping[str, str] | None = None) -> Iterator[Daemon]:
    """
    Have a daemon that answers, for several tests.

    To start one takes longer than most tests. Whoever shares one leaves it as it was: running,
    with the same projects and configuration; and looks for nothing that others may have done.
    """
    with folder_with_a_short_path() as folder, lodging(folder) as daemon:
        daemon.start(env=env)
        yield daemon


@pytest.fixture(scope="module")
def shared_daemon() -> Iterator[Daemon]:
    """Return a daemon that answers, and that other tests of the module use too; see ``shared``."""
    with shared() as daemon:
        yield daemon
