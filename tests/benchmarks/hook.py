"""What the git hook adds to a commit: the same commit with it and without, in turns."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import msgspec

from rtevents.client.sync import Client
from rtevents.core.filter import Filter
from rtevents.producers.spool import Spool
from tests.benchmarks.load import Target, Work
from tests.conftest import wait_for

SETTINGS = """\
[user]
name = Ada
email = ada@example.org
[gc]
auto = 0
[maintenance]
auto = false
"""

COMMIT = ("commit", "--quiet", "--allow-empty", "--message=Change")

WITHOUT = ("-c", "core.hooksPath=/dev/null", "-c", "hook.rtevents.enabled=false")
"""Switches off the hook, be it a file or a line of the configuration."""

WITH = ("-c", "core.hooksPath=.git/hooks", "-c", "hook.rtevents.enabled=true")

COMMITS = Filter(types=frozenset({"COMMIT"}))


class Pairs(msgspec.Struct, frozen=True):
    """
    What commits took, in milliseconds.

    Args:
        ok: Whether the daemon was told of every commit, or finds the note of each with the hook.
        plain, hooked: The medians without and with the hook.
        cost: The median of what the two of a pair differ by.
    """

    ok: bool
    plain: float
    hooked: float
    cost: float


def pairs(target: Target, work: Work) -> Pairs:
    """
    Commit with the hook and without, in turns, in a repository of its own.

    Args:
        target: The daemon, by its socket.
        work: How many pairs, and what the daemon does meanwhile.
    Raises:
        RuntimeError: git fails.
    """
    with tempfile.TemporaryDirectory(prefix="rtb-", ignore_cleanup_errors=True) as name:
        repository = _Repository(Path(name), Path(target.address))
        if work.daemon != "elsewhere":
            with Client(target.address) as client:
                client.add_project(repository.root, id="web", files=False)
        with _daemon(target, work.daemon):
            plain, hooked = zip(*map(repository.pair, range(work.pairs)), strict=True)
        return Pairs(
            ok=repository.is_told(work),
            plain=median(plain),
            hooked=median(hooked),
            cost=median(b - a for a, b in zip(plain, hooked, strict=True)),
        )


@contextmanager
def _daemon(target: Target, state: str) -> Iterator[None]:
    """Bring the daemon into a state, and back if it is only stopped."""
    (pid,) = target.pids
    if state == "stopped":
        os.kill(pid, signal.SIGSTOP)
    elif state == "down":
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not Path(target.address).exists(), "the daemon has ended")
    yield
    if state == "stopped":
        os.kill(pid, signal.SIGCONT)


class _Repository:
    """
    A repository with one commit and the hook.

    Args:
        home: An empty folder.
        socket: The daemon's.
    """

    def __init__(self, home: Path, socket: Path) -> None:
        self.root = home / "web"
        self._socket = socket
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        self._env = kept | {
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(socket.parent.parent),
            "GIT_CONFIG_GLOBAL": str(home / "gitconfig"),
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        (home / "gitconfig").write_text(SETTINGS)
        self.root.mkdir()
        self._run("git", "init", "--quiet")
        self._run("git", *COMMIT)
        self._run(sys.executable, "-P", "-m", "rtevents", "hook", "install")

    def pair(self, number: int) -> tuple[float, float]:
        """Return the milliseconds of a commit without and with the hook; every other way round."""
        if number % 2:
            plain = self._commit(WITHOUT)
            return plain, self._commit(WITH)
        hooked = self._commit(WITH)
        return self._commit(WITHOUT), hooked

    def is_told(self, work: Work) -> bool:
        """Tell whether nothing is lost."""
        if work.daemon == "elsewhere":
            return True  # each is told by a program of its own, some time later
        if work.daemon == "down":
            return len(Spool(self.root / ".git").noted()) == work.pairs
        wait_for(lambda: self._count() >= 2 * work.pairs, "every commit is told", 120)
        return self._count() == 2 * work.pairs

    def _count(self) -> int:
        """Return how many commits are in the log."""
        found, after = 0, "0"
        with Client(self._socket) as client:
            while page := client.history(COMMITS, after=after, limit=1000).events:
                found += len(page)
                after = str(page[-1].seq)
        return found

    def _commit(self, options: Sequence[str]) -> float:
        begun = time.perf_counter()
        self._run("git", *options, *COMMIT)
        return (time.perf_counter() - begun) * 1000

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, cwd=self.root, env=self._env, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
