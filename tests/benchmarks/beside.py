"""What is done beside the load: a probe that measures, a reader that is frozen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import fmean, quantiles

import msgspec

from tests.benchmarks.load import HERE, Latency, Target, Work

TIMES = 20
"""How often a second the probe does each thing: it is to measure, not to load."""

PATIENCE = 60.0
"""Seconds in which a program must come up, and must be done after the load is."""


class Beside:
    """
    A program beside the load; it begins when the subscribers are there.

    Args:
        process: The program; it has said that it is ready.
        is_frozen: Whether it is stopped while the load runs, rather than told to begin.
    """

    def __init__(self, process: subprocess.Popen[bytes], *, is_frozen: bool) -> None:
        self._process = process
        self._is_frozen = is_frozen

    def begin(self) -> None:
        """Freeze it, or let it begin."""
        if self._is_frozen:
            self._process.send_signal(signal.SIGSTOP)
            return
        assert self._process.stdin is not None
        self._process.stdin.write(b"begin\n")
        self._process.stdin.flush()

    def end(self) -> tuple[bool, dict[str, Latency]]:
        """
        Let it come to its end.

        Returns:
            Whether it missed nothing, and what it measured.
        """
        if self._is_frozen:
            self._process.send_signal(signal.SIGCONT)
        try:
            said, complaint = self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            return False, {}
        if self._process.returncode:
            words = complaint.decode(errors="replace").strip()[-500:]
            if not self._is_frozen:
                raise RuntimeError(words)
            print(words, file=sys.stderr)
            return False, {}
        took = msgspec.json.decode(said, type=dict[str, list[float]])
        return True, {name: latency(some) for name, some in took.items()}


@contextmanager
def beside(target: Target, work: Work) -> Iterator[Beside]:
    """
    Run what the work wants beside it, and end it.

    Raises:
        RuntimeError: It did not come up; the text has its words.
    """
    is_frozen = work.beside == "frozen"
    more = [str(work.events)] if is_frozen else [*RTEVENTS_PATHS, str(TIMES)]
    program = HERE / "apps" / f"{work.beside}.py"
    process = subprocess.Popen(
        [sys.executable, program, target.address, target.subscribe, *more],
        env={**os.environ, "RTLOAD_HEADER": target.headers, "PYTHONPATH": str(HERE.parent.parent)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                complaint = process.communicate(timeout=PATIENCE)[1]
                raise RuntimeError(complaint.decode(errors="replace").strip()[-500:])
            yield Beside(process, is_frozen=is_frozen)
        finally:
            process.kill()


RTEVENTS_PATHS = ("/v1/events/ws", "/v1/connections")
"""What the probe asks, besides the stream: no peer has its like."""


def latency(took: list[float]) -> Latency:
    """Sum up what was measured, in milliseconds."""
    parts = quantiles(took, n=100, method="inclusive")
    return Latency(fmean(took), parts[49], parts[94], parts[98], len(took))
