"""
How far many daemons on Redis carry: a simulation with the costs that ``several`` measured.

``python -m tests.benchmarks.scale [--costs FILE] [--gbit N]``: 100 daemons, a million subscribers,
100,000 events a second. Each daemon and each Redis is a machine with one processor that does one
thing after the other, and a network that sends one byte after the other. The load is raised until
something cannot follow: that is the first bottleneck. Then the log is divided among more Redis
servers, and again.

What is simulated, event for event of the queues (Poisson arrivals, one append and one look of a
daemon at a time, batches that grow by themselves): a daemon takes events in and appends what waits;
a Redis does all that waits in one round, and writes to the disk once in a round with appends; who
follows a log fetches what came, at most 500 entries; then finds who wants which, and writes to each
of whom some are; what a Redis sends to daemons and a daemon to subscribers takes its network's
time. What is not: what is lost and sent again, the publishers, and the subscribers' own machines.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import sys
from collections import Counter, deque
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from statistics import quantiles

import msgspec

from tests.benchmarks.several import Costs

CHUNK = 500
"""Entries of an append or of a look, at most."""

WIRE = 0.0001
"""Seconds from a daemon to Redis, one way."""

WARM = 0.3
"""Share of the time after which it is measured."""

MEASURED = Costs(
    publish=12.667, request=232.153, append=382.68, follow=9.292, follow_call=248.208, store=7.667,
    fetch=0.833, call=12.917, sync=831.822, deliver=0.082, write=1.811, match=12.73,
)  # fmt: skip
"""What ``several cost`` found on two cores of a virtual machine, Python 3.11, Redis 7.0."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is simulated.

    Args:
        daemons, subscribers: How many; each daemon has as many subscribers.
        logs: Redis servers, each with a log; every event is in one of them.
        rate: Events a second, of all together.
        together: Events of a publisher's request.
        projects: Every event is of one of them, and every subscriber wants one.
        is_near: Whether a daemon has the subscribers of few logs, and follows these alone.
        pause: Seconds for which a subscriber lets events gather (`max_latency`).
        gbit: Gigabits a second that a machine's network sends, and takes at the same time.
        seconds: Time that is simulated.
    """

    daemons: int = 100
    subscribers: int = 1_000_000
    logs: int = 1
    rate: float = 100_000
    together: int = 10
    projects: int = 1_000
    is_near: bool = False
    pause: float = 0.0
    gbit: float = 10.0
    seconds: float = 3.0


class Outcome(msgspec.Struct, frozen=True):
    """
    What came of it.

    Args:
        busy: Share of its time for which the busiest of each kind does what, by both.
        p50, p99: Milliseconds from a publisher's request to the write to a subscriber.
        behind: Events that wait at the end for who lags most, in milliseconds of arrivals.
        rows: Events that were appended, and fetched, after the start.
    """

    busy: dict[str, float]
    p50: float
    p99: float
    behind: float
    rows: tuple[int, int]

    @property
    def is_enough(self) -> bool:
        """Whether everything follows."""
        return self.behind < 250 and max(map(self.load, KINDS)) < 0.98

    def load(self, kind: str) -> float:
        """Return the share of its time for which one of this kind does anything."""
        return sum(share for what, share in self.busy.items() if what.startswith(f"{kind}:"))

    @property
    def bottleneck(self) -> str:
        """What the busiest does most, and the share of that."""
        kind = max(KINDS, key=self.load)
        mine = [one for one in self.busy if one.startswith(f"{kind}:")]
        what = max(mine, key=self.busy.__getitem__)
        return f"{what} ({self.busy[what] / self.load(kind):.0%})"


KINDS = ("redis", "daemon", "network of redis", "network of a daemon")
"""What may be busy."""


class _Processor:
    """Does one thing after the other, and notes for how long it did what; a network, too."""

    def __init__(self, since: float) -> None:
        self._free = 0.0
        self._since = since
        self.spent: Counter[str] = Counter()
        """Seconds, by what it did."""

    def do(self, now: float, **micros: float) -> float:
        """Return when something that comes now is done; what it costs, by what it is."""
        self._free = max(now, self._free) + sum(micros.values()) / 1e6
        if now >= self._since:
            self.spent.update({what: cost / 1e6 for what, cost in micros.items()})
        return self._free


class _Log:
    """A Redis and the log there: everything that waits is done in one round."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self.processor = _Processor(sim.warm)
        self.network = _Processor(sim.warm)
        self._waiting: list[Callable[[], tuple[float, bool, Callable[[float], None]]]] = []
        self._is_busy = False
        self.entries: list[float] = []
        """When each was published."""
        self.sleepers: list[_Reader] = []

    def ask(
        self, now: float, what: Callable[[], tuple[float, bool, Callable[[float], None]]]
    ) -> None:
        """Have something done: what it costs, whether it writes, and what follows."""
        self._waiting.append(what)
        if not self._is_busy:
            self._round(now)

    def _round(self, now: float) -> None:
        todo, self._waiting = self._waiting, []
        self._is_busy = bool(todo)
        if not todo:
            return
        done = [what() for what in todo]
        end = self.processor.do(
            now,
            append=sum(cost for cost, writes, _ in done if writes),
            fetch=sum(cost for cost, writes, _ in done if not writes),
            sync=self._sim.costs.sync if any(writes for _, writes, _ in done) else 0.0,
        )
        for _, _, answer in done:
            self._sim.at(end + WIRE, answer)
        self._sim.at(end, self._round)

    def add(self, born: Sequence[float], now: float) -> None:
        """Append, and wake who waits."""
        self.entries += born
        sleepers, self.sleepers = self.sleepers, []
        for reader in sleepers:
            self._sim.at(now, reader.look)


class _Writer:
    """A daemon's appends to one log: one at a time, with all that waits."""

    def __init__(self, sim: Simulation, daemon: _Processor, log: _Log, rate: float) -> None:
        self._sim = sim
        self._daemon = daemon
        self._log = log
        self._rate = rate
        self._waiting: deque[float] = deque()
        self._is_busy = False

    def arrive(self, now: float) -> None:
        """Take a request in, and know when the next one comes."""
        costs, together = self._sim.costs, self._sim.plan.together
        taken = self._daemon.do(now, publish=costs.request + costs.publish * together)
        self._waiting += [now] * together
        self._sim.at(now + self._sim.random.expovariate(self._rate / together), self.arrive)
        if not self._is_busy:
            self._is_busy = True
            self._sim.at(taken, self._append)

    def _append(self, now: float) -> None:
        self._is_busy = bool(self._waiting)
        if not self._waiting:
            return
        costs = self._sim.costs
        born = [self._waiting.popleft() for _ in range(min(CHUNK, len(self._waiting)))]
        ready = self._daemon.do(now, append=costs.append)

        def store() -> tuple[float, bool, Callable[[float], None]]:
            return costs.call + costs.store * len(born), True, self._append

        def send(now: float) -> None:
            self._log.ask(now, store)
            self._sim.at(now, lambda at: self._log.add(born, at))

        self._sim.at(ready + WIRE, send)


class _Reader:
    """A daemon that follows one log, and delivers what its subscribers want."""

    def __init__(
        self,
        sim: Simulation,
        daemon: _Processor,
        network: _Processor,
        log: _Log,
        subscribers: float,
    ) -> None:
        self._sim = sim
        self._daemon = daemon
        self._network = network
        self._log = log
        self._subscribers = subscribers
        self.place = 0

    def look(self, now: float) -> None:
        """Fetch what came; or be woken when something comes."""
        if self.place >= len(self._log.entries):
            self._log.sleepers.append(self)
            return
        costs = self._sim.costs
        got: list[float] = []

        def fetch() -> tuple[float, bool, Callable[[float], None]]:
            got.extend(self._log.entries[self.place : self.place + CHUNK])
            self.place += len(got)
            return costs.call + costs.fetch * len(got), False, send

        def send(now: float) -> None:
            sent = self._log.network.do(now, events=self._sim.micros(len(got)))
            self._sim.at(sent, lambda at: self._deliver(at, got))

        self._log.ask(now, fetch)

    def _deliver(self, now: float, born: Sequence[float]) -> None:
        costs, share = self._sim.costs, self._sim.share
        writes = self._subscribers * (1 - (1 - share) ** len(born))
        deliveries = self._subscribers * share * len(born)
        end = self._daemon.do(
            now,
            follow=costs.follow_call + len(born) * costs.follow,
            match=len(born) * costs.match * min(1.0, self._subscribers * share),
            deliver=writes * costs.write + deliveries * costs.deliver,
        )
        sent = self._network.do(end, events=self._sim.micros(deliveries))
        if now >= self._sim.warm:
            self._sim.took += [sent - one for one in born]
        # Who has more to fetch goes on.
        pause = self._sim.plan.pause if len(born) < CHUNK else 0.0
        self._sim.at(max(end + WIRE, now + pause), self.look)


class Simulation:
    """
    A plan, and what it comes to.

    Args:
        plan: What is simulated.
        costs: What each thing costs.
        seed: Of the arrivals.
    """

    def __init__(self, plan: Plan, costs: Costs, seed: int = 1) -> None:
        self.plan = plan
        self.costs = costs
        self.random = random.Random(seed)
        self.warm = plan.seconds * WARM
        self.took: list[float] = []
        self._later: list[tuple[float, int, Callable[[float], None]]] = []
        self._number = count()
        self._logs = [_Log(self) for _ in range(plan.logs)]
        self._daemons = [_Processor(self.warm) for _ in range(plan.daemons)]
        self._networks = [_Processor(self.warm) for _ in range(plan.daemons)]
        # Of the events of a log that it follows, a subscriber wants those of its project.
        self.share = plan.logs / plan.projects
        self._readers: list[_Reader] = []
        for number, daemon in enumerate(self._daemons):
            self._furnish(number, daemon)

    def _furnish(self, number: int, daemon: _Processor) -> None:
        plan = self.plan
        logs = [self._logs[number % plan.logs]] if plan.is_near else self._logs
        subscribers = plan.subscribers / plan.daemons / len(logs)
        for log in logs:
            reader = _Reader(self, daemon, self._networks[number], log, subscribers)
            self._readers.append(reader)
            self.at(0.0, reader.look)
        rate = plan.rate / plan.daemons / plan.logs
        for log in self._logs:
            writer = _Writer(self, daemon, log, rate)
            self.at(self.random.expovariate(rate), writer.arrive)

    def micros(self, events: float) -> float:
        """Return the microseconds that a network takes to send so many events."""
        return events * self.costs.event_bytes * 8 / (self.plan.gbit * 1e3)

    def at(self, when: float, what: Callable[[float], None]) -> None:
        """Have something happen at a moment."""
        heapq.heappush(self._later, (when, next(self._number), what))

    def run(self) -> Outcome:
        """Let time pass."""
        plan = self.plan
        while self._later and self._later[0][0] < plan.seconds:
            when, _, what = heapq.heappop(self._later)
            what(when)
        span = plan.seconds - self.warm
        arrived = plan.rate * plan.seconds / plan.logs
        behind = max(arrived - reader.place for reader in self._readers)
        parts = quantiles(self.took, n=100) if len(self.took) > 1 else [0.0] * 99
        return Outcome(
            busy={
                f"{kind}: {what}": seconds / span
                for kind, processors in (
                    ("redis", [log.processor for log in self._logs]),
                    ("daemon", self._daemons),
                    ("network of redis", [log.network for log in self._logs]),
                    ("network of a daemon", self._networks),
                )
                for what, seconds in max(
                    (one.spent for one in processors), key=Counter.total
                ).items()
            },
            p50=parts[49] * 1000,
            p99=parts[98] * 1000,
            behind=behind / plan.rate * plan.logs * 1000,
            rows=(sum(len(log.entries) for log in self._logs), len(self.took)),
        )


def most(plan: Plan, costs: Costs) -> tuple[float, Outcome, str]:
    """Return the highest rate of a plan that everything follows, and what cannot follow beyond."""
    low, high = plan.rate / 1000, plan.rate
    best = Simulation(msgspec.structs.replace(plan, rate=high), costs).run()
    if best.is_enough:
        return high, best, ""
    limit = best
    for _ in range(8):
        rate = math.sqrt(low * high)
        found = Simulation(msgspec.structs.replace(plan, rate=rate), costs).run()
        if found.is_enough:
            low, best = rate, found
        else:
            high, limit = rate, found
    return low, best, limit.bottleneck


def wire_bytes(plan: Plan, costs: Costs, rate: float) -> tuple[float, float]:
    """Return the bytes a second that leave a Redis, and a daemon."""
    followed = plan.daemons / (plan.logs if plan.is_near else 1)
    of_redis = rate / plan.logs * followed * costs.event_bytes
    of_daemon = plan.subscribers / plan.daemons * rate / plan.projects * costs.event_bytes
    return of_redis, of_daemon


def main() -> int:
    """Raise the load, and name what gives way."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale")
    parser.add_argument("--costs", type=Path, metavar="FILE", help="what `several cost` wrote")
    parser.add_argument("--projects", type=int, default=1000, help="every subscriber wants one")
    parser.add_argument("--gbit", type=float, default=10.0, help="of each machine's network")
    arguments = parser.parse_args()
    costs = MEASURED
    if arguments.costs:
        costs = msgspec.json.decode(arguments.costs.read_bytes(), type=Costs)
    base = Plan(projects=arguments.projects, gbit=arguments.gbit)
    print(
        f"{base.daemons} daemons, {base.subscribers:,} subscribers, {base.rate:,.0f} events/s "
        f"wanted; each subscriber wants one of {base.projects:,} projects; {base.gbit:g} Gbit/s\n"
        f"{'logs':>5} {'of a daemon':<12}{'pause':>6} {'events/s':>9} {'redis':>6} {'daemon':>7} "
        f"{'p50 ms':>7} {'p99 ms':>7} {'MB/s of redis, daemon':>22}  gives way"
    )
    steps = [
        (1, False, 0.0), (1, False, 0.1), (4, False, 0.1), (16, False, 0.1), (4, True, 0.1),
        (16, True, 0.1), (50, True, 0.1),
    ]  # fmt: skip
    for logs, is_near, pause in steps:
        plan = msgspec.structs.replace(base, logs=logs, is_near=is_near, pause=pause)
        rate, found, first = most(plan, costs)
        sent = wire_bytes(plan, costs, rate)
        print(
            f"{logs:>5} {'one' if is_near else 'all':<12}{pause:>5.1f}s {rate:>9,.0f} "
            f"{found.load('redis'):>6.0%} {found.load('daemon'):>7.0%} "
            f"{found.p50:>7.1f} {found.p99:>7.1f} {sent[0] / 1e6:>12.1f}, {sent[1] / 1e6:>8.1f}  "
            f"{first or 'nothing'}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
