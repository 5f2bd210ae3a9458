"""What is measured, and what must be reached: the claims of the README, each with its peers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from statistics import median

import msgspec

from tests.benchmarks import peers
from tests.benchmarks.load import Found, Idle, Target, Work, idle, run

Peer = Callable[[Work], AbstractContextManager[Target]]


class Run(msgspec.Struct, frozen=True):
    """A server at a work; `is_idle` when its connections are to do nothing."""

    name: str
    peer: Peer
    work: Work
    is_idle: bool = False

    def once(self) -> Found | Idle:
        """Start the server, put it to work, stop it."""
        with self.peer(self.work) as target:
            return idle(target, self.work) if self.is_idle else run(target, self.work)


class Claim(msgspec.Struct, frozen=True):
    """
    What must be reached.

    Args:
        text: In words, with the limit.
        value: What is compared with it, from the medians of each run by name.
        limit: The greatest value that will do; the least one when `is_least`.
    """

    text: str
    value: Callable[[Mapping[str, Medians]], float]
    limit: float
    is_least: bool = False


class Medians(msgspec.Struct):
    """The median of each figure over the rounds of one run; nothing where none was found."""

    ok: bool = True
    del_s: float = 0.0
    ev_s: float = 0.0
    cpu_del: float = 0.0
    cpu_ev: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    ack_p95: float = 0.0
    ack_p99: float = 0.0
    kib: float = 0.0
    set_up: float = 0.0

    @classmethod
    def of(cls, found: Sequence[Found | Idle]) -> Medians:
        """Return the medians of what the rounds found."""
        idle = [one for one in found if isinstance(one, Idle)]
        if idle:
            return cls(
                kib=median(one.kb_per_conn for one in idle),
                set_up=median(one.conn_per_s for one in idle),
            )
        runs = [one for one in found if isinstance(one, Found)]
        return cls(
            ok=all(one.ok for one in runs),
            del_s=median(one.del_s for one in runs),
            ev_s=median(one.ev_s for one in runs),
            cpu_del=median(one.cpu_us_per_del for one in runs),
            cpu_ev=median(one.cpu_us_per_ev for one in runs),
            p50=median(one.lat_ms[0] for one in runs),
            p95=median(one.lat_ms[1] for one in runs),
            p99=median(one.lat_ms[2] for one in runs),
            ack_p95=median(one.ack_ms[1] for one in runs),
            ack_p99=median(one.ack_ms[2] for one in runs),
        )


class Row(msgspec.Struct, frozen=True):
    """One line of work: who does it, and what must be reached."""

    title: str
    runs: Sequence[Run]
    claims: Sequence[Claim]


def ratio(field: str, of: str, to: str) -> Callable[[Mapping[str, Medians]], float]:
    """Return what divides a figure of one run by that of another."""

    def value(found: Mapping[str, Medians]) -> float:
        below: float = getattr(found[to], field)
        above: float = getattr(found[of], field)
        return above / below if below else float("nan")

    return value


def figure(field: str, of: str) -> Callable[[Mapping[str, Medians]], float]:
    """Return what takes one figure of one run."""

    def value(found: Mapping[str, Medians]) -> float:
        taken: float = getattr(found[of], field)
        return taken

    return value


def cpu(to: str, limit: float, of: str = "rtevents", field: str = "cpu_del") -> Claim:
    """Claim that rtevents takes at most so much of a peer's CPU."""
    return Claim(f"CPU <= {limit:g} x {to}", ratio(field, of, to), limit)


def within(field: str, limit: float, of: str = "rtevents") -> Claim:
    """Claim that a latency is within a limit, in milliseconds."""
    return Claim(f"{of}: {field.replace('_', ' ')} <= {limit:g} ms", figure(field, of), limit)


def _fan_out(subscribers: int, over: str, events: int, **work: int | str) -> Work:
    return Work(subscribers=subscribers, over=over, events=events, **work)  # type: ignore[arg-type]


FLAT_OUT = Row(
    "1,000 subscribers, NDJSON publisher, as fast as it goes",
    [
        Run("rtevents", peers.rtevents, _fan_out(1000, "sse", 20_000, batch=50)),
        Run("rtevents ws", peers.rtevents, _fan_out(1000, "ws", 20_000, batch=50)),
        Run("limit.c", peers.limit, _fan_out(1000, "sse", 20_000, batch=50)),
        Run("redis", peers.redis, _fan_out(1000, "sse", 10_000)),
        Run("nats", peers.nats, _fan_out(1000, "sse", 10_000, batch=50)),
        Run("nchan", peers.nchan, _fan_out(1000, "sse", 1_000)),
        Run("sse-starlette", peers.sse_starlette, _fan_out(1000, "sse", 200, batch=50)),
        Run("aiohttp send_str", peers.aiohttp_send, _fan_out(1000, "ws", 200, batch=50)),
    ],
    [
        cpu("redis", 0.5), cpu("nats", 0.3), cpu("nchan", 0.05), cpu("sse-starlette", 0.01),
        cpu("limit.c", 1.5), cpu("rtevents", 1.2, of="rtevents ws"),
    ],
)  # fmt: skip

_AT_500: dict[str, int] = {"rate": 500}

STEADY = Row(
    "1,000 subscribers, 500 events/s by single POST",
    [
        Run("rtevents", peers.rtevents, _fan_out(1000, "sse", 3_000, **_AT_500)),
        Run(
            "rtevents 100ms",
            peers.rtevents,
            _fan_out(1000, "sse", 3_000, query="max_latency=100ms", **_AT_500),
        ),
        Run("redis", peers.redis, _fan_out(1000, "sse", 3_000, **_AT_500)),
        Run("nats", peers.nats, _fan_out(1000, "sse", 3_000, **_AT_500)),
    ],
    [
        cpu("redis", 0.7), cpu("nats", 0.5), within("p99", 50),
        cpu("redis", 0.3, of="rtevents 100ms"),
    ],
)  # fmt: skip

HUNDRED_FLAT_OUT = Row(
    "100 subscribers, NDJSON publisher, as fast as it goes",
    [
        Run("rtevents", peers.rtevents, _fan_out(100, "sse", 60_000, batch=50)),
        Run("redis", peers.redis, _fan_out(100, "sse", 60_000)),
    ],
    [cpu("redis", 0.8)],
)

HUNDRED_STEADY = Row(
    "100 subscribers, 500 events/s by single POST",
    [
        Run("rtevents", peers.rtevents, _fan_out(100, "sse", 3_000, **_AT_500)),
        Run("redis", peers.redis, _fan_out(100, "sse", 3_000, **_AT_500)),
    ],
    [cpu("redis", 1.2), within("p99", 5)],
)

ONE = Row(
    "1 subscriber, 500 events/s by single POST, durable",
    [
        Run("rtevents", peers.rtevents, _fan_out(1, "sse", 3_000, **_AT_500)),
        Run("redis", peers.redis, _fan_out(1, "sse", 3_000, **_AT_500)),
    ],
    [within("p50", 2), within("p99", 6)],
)

LINES = Row(
    "publish only, durable: NDJSON by the hundred",
    [
        Run("rtevents", peers.rtevents, Work(events=300_000, batch=100, in_flight=64)),
        Run("redis XADD", peers.redis_streams, Work(events=300_000, in_flight=64)),
    ],
    [
        Claim("events/s >= redis XADD", ratio("ev_s", "rtevents", "redis XADD"), 1.0, True),
        cpu("redis XADD", 1.2, field="cpu_ev"),
    ],
)

SINGLES = Row(
    "publish only, durable: single POST, 64 connections",
    [
        Run("rtevents", peers.rtevents, Work(events=60_000, publishers=64, in_flight=1)),
        Run("starlette", peers.starlette, Work(events=60_000, publishers=64, in_flight=1)),
    ],
    [
        Claim(
            "events/s >= 0.75 x starlette that stores nothing",
            ratio("ev_s", "rtevents", "starlette"),
            0.75,
            True,
        ),
        within("ack_p99", 10),
    ],
)

FILTERS = Row(
    "1,000 subscribers with 1,000 different filters, 500 events/s",
    [
        Run("one filter", peers.rtevents, _fan_out(1000, "sse", 3_000, **_AT_500)),
        Run(
            "match all",
            peers.rtevents,
            _fan_out(1000, "sse", 3_000, query="project=proj-0&project=x-{i}", **_AT_500),
        ),
        Run(
            "match 10",
            peers.rtevents,
            _fan_out(
                1000, "sse", 3_000, query="project=proj-{g}&project=x-{i}", groups=100, **_AT_500
            ),
        ),
    ],
    [
        cpu("one filter", 2, of="match all", field="cpu_ev"),
        cpu("one filter", 0.2, of="match 10", field="cpu_ev"),
    ],
)

IDLE = Row(
    "10,000 idle connections",
    [
        Run("sse", peers.rtevents, _fan_out(10_000, "sse", 0), True),
        Run("ws", peers.rtevents, _fan_out(10_000, "ws", 0), True),
    ],
    [
        Claim("KiB of an SSE connection <= 12", figure("kib", "sse"), 12),
        Claim("KiB of a WebSocket <= 14", figure("kib", "ws"), 14),
        Claim("SSE set up a second >= 3,000", figure("set_up", "sse"), 3000, True),
        Claim("WebSockets set up a second >= 3,000", figure("set_up", "ws"), 3000, True),
    ],
)

ROWS: dict[str, Row] = {
    "flat-out": FLAT_OUT,
    "steady": STEADY,
    "hundred-flat-out": HUNDRED_FLAT_OUT,
    "hundred-steady": HUNDRED_STEADY,
    "one": ONE,
    "lines": LINES,
    "singles": SINGLES,
    "filters": FILTERS,
    "idle": IDLE,
}
"""The rows by the names that the command line knows."""


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
    found: dict[str, list[Found | Idle]] = {}
    missing: dict[str, str] = {}
    for number in range(rounds):
        for one in row.runs:
            if one.name in missing:
                continue
            tell(f"{row.title}: {one.name}, round {number + 1} of {rounds}")
            try:
                found.setdefault(one.name, []).append(one.once())
            except (peers.MissingError, RuntimeError) as error:
                missing[one.name] = f"{one.name} is left out: {error}"
                found.pop(one.name, None)
    return {name: Medians.of(some) for name, some in found.items()}, list(missing.values())


def judge(row: Row, found: Mapping[str, Medians]) -> Iterator[tuple[Claim, float | None, bool]]:
    """Yield each claim with its value and whether it is reached; None where a peer is missing."""
    for claim in row.claims:
        try:
            value = claim.value(found)
        except KeyError:
            yield claim, None, False
            continue
        is_reached = value >= claim.limit if claim.is_least else value <= claim.limit
        yield claim, value, is_reached
