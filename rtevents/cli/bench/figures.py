"""What is measured: latencies, and the processor's time."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

EXACT_BITS = 10
"""Binary digits of a latency that are kept: it is then right to a thousandth."""


class Quantiles(msgspec.Struct, frozen=True):
    """Latencies in milliseconds: half of them, 95 and 99 of 100, and all are no longer."""

    p50: float
    p95: float
    p99: float
    max: float

    def __str__(self) -> str:
        return f"p50 {self.p50:.2f} ms, p95 {self.p95:.2f}, p99 {self.p99:.2f}, max {self.max:.2f}"


class Latencies:
    """Latencies, counted: a million of them take no more room than a thousand."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def add(self, seconds: float, count: int = 1) -> None:
        """Count a latency that so many events had."""
        value = int(seconds * 1e6)
        # What is beyond the first binary digits is rounded up: long ones share their place.
        step = value.bit_length() - EXACT_BITS
        if step > 0:
            value = -(-value >> step) << step
        self._counts[value] = self._counts.get(value, 0) + count

    def quantiles(self) -> Quantiles | None:
        """Return how long they were; None when there is none."""
        if not self._counts:
            return None
        return Quantiles(*(self._at(share) for share in (0.5, 0.95, 0.99, 1.0)))

    def _at(self, share: float) -> float:
        wanted = share * sum(self._counts.values())
        seen = 0
        value = 0
        for value in sorted(self._counts):
            seen += self._counts[value]
            if seen >= wanted:
                break
        return value / 1000


class Clock:
    """
    The time that passes from its making on, and the processor's time of this process and another.

    Args:
        pid: The other process; None for none that can be seen.
    """

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self.begin = time.perf_counter()
        self._own = time.process_time()
        self._other = cpu_seconds(pid)

    def share_of_client(self) -> float:
        """Return which part of the time this process was busy: near 1, it is what was measured."""
        return round((time.process_time() - self._own) / (time.perf_counter() - self.begin), 2)

    def us_per(self, count: int) -> float | None:
        """Return the other process's microseconds for each of `count`; None when unknown."""
        now = cpu_seconds(self._pid)
        if now is None or self._other is None or not count:
            return None
        return round((now - self._other) * 1e6 / count, 3)


def cpu_seconds(pid: int | None) -> float | None:
    """Return the processor's time of a process, in seconds; None where there is no Linux /proc."""
    if pid is None:
        return None
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # Behind the program's name, which may hold anything: utime and stime (`man 5 proc_pid_stat`).
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
