"""python -m tests.benchmarks.hook: what the hook adds to a commit."""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rtevents.core.filter import Filter
from rtevents.producers import hook
from tests.conftest import Daemon, wait_for

LIMIT_MS = 3.0
"""Milliseconds that the hook may add to a commit, as the median of the pairs."""


def main() -> int:
    """Commit in pairs, with the hook and without it; the exit code is 1 when it costs too much."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.hook", description=__doc__)
    parser.add_argument("--pairs", type=int, default=200, help="pairs of commits (default 200)")
    pairs = parser.parse_args().pairs
    costs = []
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(Path(folder))
        repository = daemon.home / "web"
        _git(daemon, "init", "-q", str(repository))
        _git(daemon, "-C", str(repository), "commit", "-q", "--allow-empty", "-m", "Begin")
        daemon.start(str(repository))
        hook.install(repository, way="file")
        costs.append(_cost(daemon, repository, pairs, "up"))
        _signal(daemon, signal.SIGSTOP)
        costs.append(_cost(daemon, repository, pairs, "stopped by a signal"))
        _signal(daemon, signal.SIGCONT)
        daemon.stop()
        costs.append(_cost(daemon, repository, pairs, "down"))
        daemon.start(str(repository))
        wait_for(lambda: _told(daemon) == 6 * pairs, "every commit is told, once", 120)
        print(f"all {6 * pairs} commits are told")
        daemon.stop()
    return 1 if max(costs) > LIMIT_MS else 0


def _cost(daemon: Daemon, repository: Path, pairs: int, state: str) -> float:
    seconds: dict[str, list[float]] = {"0": [], "1": []}
    for number in range(pairs):
        # In turns, so that what slows the machine down slows both.
        for switch in ("0", "1") if number % 2 else ("1", "0"):
            seconds[switch].append(_commit(daemon, repository, switch))
    differences: list[float] = [(b - a) * 1000 for a, b in zip(*seconds.values(), strict=True)]
    without, beside = (statistics.median(times) * 1000 for times in seconds.values())
    cost = float(statistics.median(differences))
    print(
        f"daemon {state}: {cost:.2f} ms (without {without:.2f}, with {beside:.2f}; "
        f"p95 of the differences {statistics.quantiles(differences, n=20)[-1]:.1f}; {pairs} pairs)"
    )
    return cost


def _commit(daemon: Daemon, repository: Path, switch: str) -> float:
    """Return the seconds that a commit took, with the hook where `switch` is 1."""
    file = repository / ".git" / "hooks" / "post-commit"
    aside = file.with_name("post-commit.off")
    present, absent = (file, aside) if switch == "1" else (aside, file)
    if absent.exists():
        absent.rename(present)
    begun = time.perf_counter()
    _git(daemon, "-C", str(repository), "commit", "-q", "--allow-empty", "-m", "Change")
    return time.perf_counter() - begun


def _git(daemon: Daemon, *arguments: str) -> None:
    subprocess.run(["git", *arguments], env=daemon.env, check=True, capture_output=True)


def _signal(daemon: Daemon, number: int) -> None:
    assert daemon.process is not None
    os.kill(daemon.process.pid, number)


def _told(daemon: Daemon) -> int:
    """Return how many commits are in the log."""
    found, after = 0, "0"
    commits = Filter(types=frozenset({"COMMIT"}))
    with daemon.client() as client:
        while page := client.history(commits, after=after, limit=1000).events:
            found += len(page)
            after = str(page[-1].seq)
    return found


if __name__ == "__main__":
    sys.exit(main())
