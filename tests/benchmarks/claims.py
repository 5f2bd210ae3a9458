"""What the runs found, and what must be reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

import msgspec

from tests.benchmarks.hook import Pairs
from tests.benchmarks.load import Found, Idle, Latency
from tests.benchmarks.revoked import Ended
from tests.benchmarks.watched import Watched

Measured = Found | Idle | Pairs | Ended | Watched
"""What a run found: the load's findings, or figures that have their names in ``Medians``."""


class Medians(msgspec.Struct):
    """
    The median of each figure over the rounds of one run; nothing where none was found.

    Args:
        kib, set_up: The server's memory for an idle connection, and how many it sets up a second.
        plain, hooked, cost: Milliseconds of a commit without and with the hook, and what it adds.
        grown: MiB that the server's memory grew by.
        share, warm: Percent of a core that watching takes, and seconds of the next start.
        ended: Milliseconds until a revoked token's streams have ended.
        beside: What was measured beside the load.
    """

    ok: bool = True
    del_s: float = 0.0
    ev_s: float = 0.0
    cpu_del: float = 0.0
    cpu_ev: float = 0.0
    mean: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    ack_mean: float = 0.0
    ack_p50: float = 0.0
    ack_p95: float = 0.0
    ack_p99: float = 0.0
    kib: float = 0.0
    set_up: float = 0.0
    grown: float = 0.0
    plain: float = 0.0
    hooked: float = 0.0
    cost: float = 0.0
    share: float = 0.0
    warm: float = 0.0
    ended: float = 0.0
    beside: dict[str, Latency] = {}

    @classmethod
    def of(cls, found: Sequence[Measured]) -> Medians:
        """Return the medians of what the rounds found."""
        if not isinstance(found[0], Found):
            names = [name for name in found[0].__struct_fields__ if name != "ok"]
            return cls(
                ok=all(one.ok for one in found),
                **{name: median(getattr(one, name) for one in found) for name in names},
            )
        runs = [one for one in found if isinstance(one, Found)]
        return cls(
            ok=all(one.ok for one in runs),
            del_s=median(one.del_s for one in runs),
            ev_s=median(one.ev_s for one in runs),
            cpu_del=median(one.cpu_us_per_del for one in runs),
            cpu_ev=median(one.cpu_us_per_ev for one in runs),
            mean=median(one.lat_mean for one in runs),
            p50=median(one.lat_ms[0] for one in runs),
            p95=median(one.lat_ms[1] for one in runs),
            p99=median(one.lat_ms[2] for one in runs),
            ack_mean=median(one.ack_mean for one in runs),
            ack_p50=median(one.ack_ms[0] for one in runs),
            ack_p95=median(one.ack_ms[1] for one in runs),
            ack_p99=median(one.ack_ms[2] for one in runs),
            grown=median(one.grown_mib for one in runs),
            beside={
                name: _median([one.beside[name] for one in runs if name in one.beside])
                for name in runs[0].beside
            },
        )

    @property
    def latencies(self) -> dict[str, Latency]:
        """Every latency that was measured, by what it is of."""
        return {
            "delivery": Latency(self.mean, self.p50, self.p95, self.p99),
            "publish": Latency(self.ack_mean, self.ack_p50, self.ack_p95, self.ack_p99),
            **self.beside,
        }


def _median(some: Sequence[Latency]) -> Latency:
    return Latency(
        median(one.mean for one in some),
        median(one.p50 for one in some),
        median(one.p95 for one in some),
        median(one.p99 for one in some),
        sum(one.count for one in some),
    )


Value = Callable[[Mapping[str, Medians]], float]
"""What is compared, from the medians of each run by name; KeyError where a run is missing."""


class Claim(msgspec.Struct, frozen=True):
    """
    What must be reached.

    Args:
        text: In words, with the limit.
        value: What is compared with it.
        limit: The greatest value that will do; the least one when `is_least`.
        is_beyond: Whether it is more than is asked for: told, and no failure where it is missed.
    """

    text: str
    value: Value
    limit: float
    is_least: bool = False
    is_beyond: bool = False

    def judge(self, found: Mapping[str, Medians]) -> tuple[float, bool] | None:
        """Return the value, and whether it is reached; None where a run is missing."""
        try:
            value = self.value(found)
        except KeyError:
            return None
        return value, value >= self.limit if self.is_least else value <= self.limit

    def is_failed(self, found: Mapping[str, Medians]) -> bool:
        """Tell whether it was asked for, judged, and not reached."""
        verdict = self.judge(found)
        return verdict is not None and not verdict[1] and not self.is_beyond


def ratio(field: str, of: str, to: str) -> Value:
    """Return what divides a figure of one run by that of another."""

    def value(found: Mapping[str, Medians]) -> float:
        below: float = getattr(found[to], field)
        above: float = getattr(found[of], field)
        return above / below if below else float("nan")

    return value


def figure(field: str, of: str) -> Value:
    """Return what takes one figure of one run."""

    def value(found: Mapping[str, Medians]) -> float:
        taken: float = getattr(found[of], field)
        return taken

    return value


def cpu(to: str, limit: float, of: str = "rtevents", field: str = "cpu_del") -> Claim:
    """Claim that rtevents takes at most so much of a peer's CPU."""
    who = "" if of == "rtevents" else f"{of}: "
    return Claim(f"{who}CPU <= {limit:g} x {to}", ratio(field, of, to), limit)


def within(field: str, limit: float, of: str = "rtevents") -> Claim:
    """Claim that a latency is within a limit, in milliseconds."""
    return Claim(f"{field.replace('_', ' ')} <= {limit:g} ms", figure(field, of), limit)


def took(name: str, field: str, limit: float, *, is_beyond: bool = False) -> Claim:
    """Claim that one of ``Medians.latencies`` is within a limit, in milliseconds."""

    def value(found: Mapping[str, Medians]) -> float:
        taken: float = getattr(found["rtevents"].latencies[name], field)
        return taken

    return Claim(f"{name}: {field} <= {limit:g} ms", value, limit, is_beyond=is_beyond)
