"""What is measured, and what must be reached: the claims of the README, each with its peers."""

from __future__ import annotations

import msgspec

from tests.benchmarks import peers
from tests.benchmarks.claims import Claim, cpu, figure, ratio, took, within
from tests.benchmarks.hook import pairs
from tests.benchmarks.load import Work, idle
from tests.benchmarks.measure import Line, Row, Run
from tests.benchmarks.revoked import revoked
from tests.benchmarks.watched import watched


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
        Line(
            text="1,000 subscribers, flat out: µs/delivery",
            claims=[
                cpu("redis", 0.5), cpu("nats", 0.3), cpu("nchan", 0.05), cpu("sse-starlette", 0.01),
                cpu("limit.c", 1.5), cpu("rtevents", 1.2, of="rtevents ws"),
            ],
        )
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
        Line(
            text="1,000 subscribers, 500 events/s: µs/delivery · p99 ms",
            fields=["cpu_del", "p99"],
            claims=[
                cpu("redis", 0.7), cpu("nats", 0.5), within("p99", 50),
                cpu("redis", 0.3, of="rtevents 100ms"),
            ],
        )
    ],
)  # fmt: skip

HUNDRED_FLAT_OUT = Row(
    "100 subscribers, NDJSON publisher, as fast as it goes",
    [
        Run("rtevents", peers.rtevents, _fan_out(100, "sse", 60_000, batch=50)),
        Run("redis", peers.redis, _fan_out(100, "sse", 60_000)),
    ],
    [Line(text="100 subscribers, flat out: µs/delivery", claims=[cpu("redis", 0.8)])],
)

HUNDRED_STEADY = Row(
    "100 subscribers, 500 events/s by single POST",
    [
        Run("rtevents", peers.rtevents, _fan_out(100, "sse", 3_000, **_AT_500)),
        Run("redis", peers.redis, _fan_out(100, "sse", 3_000, **_AT_500)),
    ],
    [
        Line(
            text="100 subscribers, 500 events/s: µs/delivery · p99 ms",
            fields=["cpu_del", "p99"],
            claims=[cpu("redis", 1.2), within("p99", 5)],
        )
    ],
)

ONE = Row(
    "1 subscriber, 500 events/s by single POST, durable",
    [
        Run("rtevents", peers.rtevents, _fan_out(1, "sse", 3_000, **_AT_500)),
        Run("redis", peers.redis, _fan_out(1, "sse", 3_000, **_AT_500)),
    ],
    [
        Line(
            text="1 subscriber, 500 events/s: µs/delivery · p50 · p99 ms",
            fields=["cpu_del", "p50", "p99"],
            claims=[within("p50", 2), within("p99", 6)],
        )
    ],
)

LINES = Row(
    "publish only, durable: NDJSON by the hundred",
    [
        Run("rtevents", peers.rtevents, Work(events=300_000, batch=100, in_flight=64)),
        Run("redis XADD", peers.redis_streams, Work(events=300_000, in_flight=64)),
    ],
    [
        Line(
            text="publish NDJSON by the hundred: events/s · µs/event",
            fields=["ev_s", "cpu_ev"],
            claims=[
                Claim("events/s >= redis XADD", ratio("ev_s", "rtevents", "redis XADD"), 1.0, True),
                cpu("redis XADD", 1.2, field="cpu_ev"),
            ],
        )
    ],
)

SINGLES = Row(
    "publish only, durable: single POST, 64 connections",
    [
        Run("rtevents", peers.rtevents, Work(events=60_000, publishers=64, in_flight=1)),
        Run("starlette", peers.starlette, Work(events=60_000, publishers=64, in_flight=1)),
    ],
    [
        Line(
            text="publish by POST, 64 connections: events/s · answer p99 ms",
            fields=["ev_s", "ack_p99"],
            claims=[
                Claim(
                    "events/s >= 0.75 x starlette",
                    ratio("ev_s", "rtevents", "starlette"),
                    0.75,
                    True,
                ),
                within("ack_p99", 10),
            ],
        )
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
        Line(
            text="1,000 subscribers with 1,000 filters, 500 events/s: µs/event",
            fields=["cpu_ev"],
            claims=[
                cpu("one filter", 2, of="match all", field="cpu_ev"),
                cpu("one filter", 0.2, of="match 10", field="cpu_ev"),
            ],
        )
    ],
)

IDLE = Row(
    "10,000 idle connections",
    [
        Run("sse", peers.rtevents, _fan_out(10_000, "sse", 0), idle),
        Run("ws", peers.rtevents, _fan_out(10_000, "ws", 0), idle),
    ],
    [
        Line(
            text="10,000 idle connections: KiB each · set up a second",
            fields=["kib", "set_up"],
            claims=[
                Claim("sse: KiB <= 12", figure("kib", "sse"), 12),
                Claim("ws: KiB <= 14", figure("kib", "ws"), 14),
                Claim("sse: set up a second >= 3,000", figure("set_up", "sse"), 3000, True),
                Claim("ws: set up a second >= 3,000", figure("set_up", "ws"), 3000, True),
            ],
        )
    ],
)


def _promised(name: str, mean: float, p95: float) -> Line:
    """Return the line of a latency: what is specified, and the mean's limit for the p99 as well."""
    return Line(
        text=f"{_BUSY_WORDS[name]}: p50 · p95 · p99 ms",
        latency=name,
        claims=[
            took(name, "mean", mean),
            took(name, "p95", p95),
            took(name, "p99", mean, is_beyond=True),
        ],
    )


_BUSY_WORDS = {
    "registration": "1,000 connections, 500 events/s: SSE request to `hello`",
    "subscribe": "… WebSocket `subscribe` to its `ok`",
    "PATCH": "… `PATCH` of an SSE stream to its answer",
    "publish": "… publish to its answer",
    "delivery": "… publish to delivery",
}

BUSY = Row(
    "1,000 connections and 500 events/s, and what else is asked meanwhile",
    [Run("rtevents", peers.rtevents, _fan_out(1000, "sse", 10_000, beside="probe", **_AT_500))],
    [
        _promised("registration", 5, 20), _promised("subscribe", 2, 10), _promised("PATCH", 2, 10),
        _promised("publish", 10, 50), _promised("delivery", 100, 500),
    ],
)  # fmt: skip

# The window is full before, so that what grows is not that: it holds 10,000 events.
_AMONG_500: dict[str, int] = {"rate": 500, "stored": 12_000}

FROZEN = Row(
    "500 subscribers, 500 events/s, without and with a frozen one among them",
    [
        Run("none frozen", peers.rtevents, _fan_out(500, "sse", 10_000, **_AMONG_500)),
        Run(
            "one frozen",
            peers.rtevents,
            _fan_out(499, "sse", 10_000, beside="frozen", **_AMONG_500),
        ),
    ],
    [
        Line(
            text="500 subscribers, 500 events/s, one frozen for 20 s: "
            "p99 ms of the others · MiB of growth",
            fields=["p99", "grown"],
            claims=[
                Claim("p99 <= 1.5 x none frozen", ratio("p99", "one frozen", "none frozen"), 1.5),
                Claim("growth <= 20 MiB", figure("grown", "one frozen"), 20),
            ],
        )
    ],
)  # fmt: skip

_SUBSCRIBERS = {10: 60_000, 100: 60_000, 1_000: 20_000, 10_000: 2_000}
"""Events by the number of subscribers: enough for a few seconds of the server's CPU."""

GROWTH_SUBSCRIBERS = Row(
    "10 to 10,000 subscribers, NDJSON publisher, as fast as it goes",
    [
        Run(f"{count:,}", peers.rtevents, _fan_out(count, "sse", events, batch=50))
        for count, events in _SUBSCRIBERS.items()
    ],
    [
        Line(
            text="10, 100, 1,000, 10,000 subscribers, flat out: µs/delivery",
            plot="µs CPU per delivery, by subscribers",
            claims=[
                Claim(
                    "10,000 subscribers: CPU <= 1.2 x 10 subscribers",
                    ratio("cpu_del", "10,000", "10"),
                    1.2,
                ),
                Claim(
                    "10,000 subscribers: CPU <= 1.2 x 1,000 subscribers",
                    ratio("cpu_del", "10,000", "1,000"),
                    1.2,
                    is_beyond=True,
                ),
            ],
        )
    ],
)

_STORED = (0, 100_000, 1_000_000, 10_000_000)

_WARM_UP = 5_000
"""Events that even an empty store gets before: what is done first is slower in any program."""


def _at(stored: int) -> list[Run]:
    """Return what is measured at a size; all of it together stays below the next one."""
    lines = Work(events=60_000, batch=100, in_flight=64, stored=max(stored, _WARM_UP))
    singles = Work(events=20_000, publishers=64, in_flight=1)
    return [
        Run(_name("NDJSON", stored), peers.rtevents_unlimited, lines),
        Run(_name("POST", stored), peers.rtevents_unlimited, singles),
    ]


def _afresh() -> list[Run]:
    """Return the same on a server of its own: it shows what the machine alone has changed."""
    return [msgspec.structs.replace(run, name=f"{run.name} again", is_alone=True) for run in _at(0)]


def _name(way: str, stored: int) -> str:
    return f"{way}, {stored:,}" if stored else f"{way}, empty"


def _published(way: str, text: str) -> Line:
    names = [*(_name(way, stored) for stored in _STORED), f"{way}, empty again"]
    return Line(
        text=f"{text} into a store of 0, 100,000, 1 million, 10 million, "
        "then into another of 0: µs/event",
        fields=["cpu_ev", "ev_s"],
        runs=names,
        plot=f"{text}: µs CPU per event · events/s, by events in the store",
        claims=[
            Claim(
                f"{way}, 10 million: CPU <= 1.2 x empty again",
                ratio("cpu_ev", names[-2], names[-1]),
                1.2,
            ),
        ],
    )


GROWTH_STORE = Row(
    "publish only, durable, into a store that grows to 10,000,000 events",
    [*(run for stored in _STORED for run in _at(stored)), *_afresh()],
    [_published("NDJSON", "publish NDJSON by the hundred"), _published("POST", "publish by POST")],
    is_one_log=True,
)

_PAIRS = 200

HOOK = Row(
    "git commit with the hook and without, in turns",
    [
        Run(state, peers.rtevents_by_socket, Work(pairs=_PAIRS, daemon=state), pairs)
        for state in ("up", "stopped", "down", "elsewhere")
    ],
    [
        Line(
            text="git commit with the hook, the daemon up, stopped, down, watching elsewhere: "
            "ms more than without",
            fields=["cost"],
            claims=[
                Claim(f"{state}: cost <= 3 ms", figure("cost", state), 3, is_beyond=is_beyond)
                for state, is_beyond in (
                    ("up", False), ("stopped", False), ("down", False), ("elsewhere", True),
                )
            ],
        )
    ],
)  # fmt: skip

WATCHED = Row(
    "50,000 files watched, nothing happens",
    [Run("rtevents", peers.rtevents_by_socket, Work(files=50_000), watched)],
    [
        Line(
            text="50,000 files watched, nothing happens: % of a core · seconds of a warm start",
            fields=["share", "warm"],
            claims=[
                Claim("share <= 1 %", figure("share", "rtevents"), 1),
                Claim("warm <= 3 s", figure("warm", "rtevents"), 3),
            ],
        )
    ],
)

REVOKED = Row(
    "a token with 1,000 streams is revoked",
    [Run("rtevents", peers.rtevents_by_socket, Work(subscribers=1000), revoked)],
    [
        Line(
            text="a token with 1,000 streams is revoked: ms until the last of them has ended",
            fields=["ended"],
            claims=[within("ended", 1000)],
        )
    ],
)

_PAGE: dict[str, int] = {"rate": 5_000, "batch": 50, "stored": 12_000}

DASHBOARD = Row(
    "a reader of 5,000 events/s, without and with the dashboard open in Chromium",
    [
        Run("alone", peers.rtevents, _fan_out(1, "sse", 40_000, **_PAGE)),
        Run("rtevents", peers.rtevents, _fan_out(1, "sse", 40_000, beside="dashboard", **_PAGE)),
    ],
    [
        Line(
            text="5,000 events/s, without and with the dashboard open: p99 ms of a reader",
            fields=["p99"],
            claims=[Claim("p99 <= 1.5 x alone", ratio("p99", "rtevents", "alone"), 1.5)],
        ),
        Line(
            text="the dashboard, from its address to the first event on the screen",
            latency="first event",
            runs=["rtevents"],
            claims=[took("first event", "p50", 500)],
        ),
    ],
)

_SHARED = [
    cpu("sqlite", 1.5, of="redis", field="cpu_ev"),
    msgspec.structs.replace(cpu("sqlite", 1.5, of="both", field="cpu_ev"), is_beyond=True),
]

SHARED_PUBLISH = Row(
    "publish only, durable, NDJSON by the hundred: the log in SQLite, and in Redis",
    [
        Run("sqlite", peers.rtevents, Work(events=100_000, batch=100, in_flight=64)),
        Run("redis", peers.rtevents_on_redis, Work(events=100_000, batch=100, in_flight=64)),
        Run("both", peers.rtevents_and_redis, Work(events=100_000, batch=100, in_flight=64)),
    ],
    [
        Line(
            text="publish, the log in Redis: µs/event; `both`: with what Redis takes",
            fields=["cpu_ev"],
            claims=_SHARED,
        )
    ],
)

SHARED_DELIVER = Row(
    "100 subscribers, 500 events/s by single POST: the log in SQLite, and in Redis",
    [
        Run("sqlite", peers.rtevents, _fan_out(100, "sse", 5_000, **_AT_500)),
        Run("redis", peers.rtevents_on_redis, _fan_out(100, "sse", 5_000, **_AT_500)),
        Run("both", peers.rtevents_and_redis, _fan_out(100, "sse", 5_000, **_AT_500)),
    ],
    [
        Line(
            text="100 subscribers, the log in Redis: µs/event · p99 ms; `both` as above",
            fields=["cpu_ev", "p99"],
            claims=_SHARED,
        )
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
    "busy": BUSY,
    "frozen": FROZEN,
    "growth-subscribers": GROWTH_SUBSCRIBERS,
    "growth-store": GROWTH_STORE,
    "hook": HOOK,
    "watched": WATCHED,
    "revoked": REVOKED,
    "dashboard": DASHBOARD,
    "shared-publish": SHARED_PUBLISH,
    "shared-deliver": SHARED_DELIVER,
}
"""The rows by the names that the command line knows."""
