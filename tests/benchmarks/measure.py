"""Rows: servers at a work, in turns."""

from __future__ import annotations

import resource
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack

import msgspec

from tests.benchmarks import peers
from tests.benchmarks.beside import beside
from tests.benchmarks.claims import Claim, Measured, Medians
from tests.benchmarks.load import Target, Work, run

Peer = Callable[[Work], AbstractContextManager[Target]]

Task = Callable[[Target, Work], Measured]
"""Something other than the load that is asked of a server."""

OURS = (
    peers.rtevents, peers.rtevents_unlimited, peers.rtevents_by_socket, peers.rtevents_on_redis,
    peers.rtevents_and_redis,
)  # fmt: skip
"""The servers that are no peers."""

SPARE_FILES = 200
"""File descriptors that a process needs besides one for each subscriber."""

STORED_BYTES = 700
"""Disk that an event may take: it takes 500 bytes, and the write-ahead log some more."""

FILL, IN_FLIGHT = 500, 3
"""Events of a request that only fills the store, and such requests: the queue holds 2,000."""


class Run(msgspec.Struct, frozen=True):
    """
    A server at a work.

    Args:
        task: What is asked of it instead of the load.
        is_alone: Whether it has a server of its own where the row's others share one.
    """

    name: str
    peer: Peer
    work: Work
    task: Task | None = None
    is_alone: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether it is rtevents, rather than a peer."""
        return self.peer in OURS

    def on(self, target: Target, stored: int) -> Measured:
        """
        Put a server to work.

        Args:
            stored: Events that it holds already.
        Raises:
            RuntimeError: It failed; the text says how.
        """
        if self.task is not None:
            return self.task(target, self.work)
        if stored < self.work.stored:
            fill = Work(events=self.work.stored - stored, batch=FILL, in_flight=IN_FLIGHT)
            if not run(target, fill).ok:
                raise RuntimeError(f"the store could not be filled with {fill.events:,} events")
        if not self.work.beside:
            return run(target, self.work)
        with beside(target, self.work) as companion:
            found = run(target, self.work, companion.begin)
            is_complete, took = companion.end()
            return msgspec.structs.replace(found, ok=found.ok and is_complete, beside=took)


def _make_room(work: Work, stored: int) -> None:
    """
    Allow this process and those that it starts as many open files as the work needs.

    Raises:
        MissingError: So many files may not be open, or the disk has no room for the events.
    """
    files = work.subscribers + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < files:
        raise peers.MissingError(f"{files} open files are needed, `ulimit -Hn` is {hard}")
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    folder = tempfile.gettempdir()
    room = shutil.disk_usage(folder).free
    if room < (needed := STORED_BYTES * max(0, work.stored - stored)):
        raise peers.MissingError(
            f"{needed / 1e9:.1f} GB are needed in {folder}, {room / 1e9:.1f} GB are free"
        )


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """
    A line of the short table.

    Args:
        text: What was done, and what is shown of it, with the unit.
        fields: What is shown of each run.
        runs: Which runs; all of the row's when empty.
        latency: The latency that is shown instead, by its name in ``Medians.latencies``.
        claims: What must be reached.
        plot: The title of a plot of the first of `fields` over the runs; empty for none.
    """

    text: str
    fields: Sequence[str] = ("cpu_del",)
    runs: Sequence[str] = ()
    latency: str = ""
    claims: Sequence[Claim] = ()
    plot: str = ""


class Row(msgspec.Struct, frozen=True):
    """
    A set of runs that take turns.

    Args:
        lines: How the short table shows it, and what must be reached.
        is_one_log: Whether all runs of a round are made on one server that is not stopped
            between them, so that its log grows from one to the next.
    """

    title: str
    runs: Sequence[Run]
    lines: Sequence[Line]
    is_one_log: bool = False

    @property
    def claims(self) -> list[Claim]:
        """Everything that must be reached."""
        return [claim for line in self.lines for claim in line.claims]


def measure(
    row: Row, rounds: int, tell: Callable[[str], None]
) -> tuple[dict[str, Medians], list[str]]:
    """
    Run a row's servers in turns, so that whatever else the machine does meets all of them.

    Args:
        tell: Called with a line about what is being done.
    Returns:
        The medians by the run's name, and why some are missing.
    """
    found: dict[str, list[Measured]] = {}
    missing: dict[str, str] = {}
    for number in range(rounds):
        with ExitStack() as servers:
            turn = _Turn(row, servers)
            for one in row.runs:
                if one.name in missing:
                    continue
                tell(f"{row.title}: {one.name}, round {number + 1} of {rounds}")
                try:
                    found.setdefault(one.name, []).append(turn.take(one))
                except (peers.MissingError, RuntimeError) as error:
                    missing[one.name] = f"{one.name} is left out: {error}"
                    found.pop(one.name, None)
    return {name: Medians.of(some) for name, some in found.items()}, list(missing.values())


class _Turn:
    """One round of a row; holds the server that its runs share, if they do."""

    def __init__(self, row: Row, servers: ExitStack) -> None:
        self._is_one_log = row.is_one_log
        self._servers = servers
        self._target: Target | None = None
        self._stored = 0

    def take(self, one: Run) -> Measured:
        """
        Start the server, put it to work, stop it; or use the one that runs.

        Raises:
            MissingError: The server is not installed, or the machine too small for the work.
            RuntimeError: It failed; the text says how.
        """
        # Before the server starts: it inherits the limit.
        _make_room(one.work, self._stored)
        if one.is_alone or not self._is_one_log:
            with one.peer(one.work) as target:
                return one.on(target, 0)
        if self._target is None:
            self._target = self._servers.enter_context(one.peer(one.work))
        found = one.on(self._target, self._stored)
        self._stored = max(self._stored, one.work.stored) + one.work.events
        return found
