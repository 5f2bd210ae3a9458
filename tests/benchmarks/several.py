"""
Several daemons on one log in Redis: one order, what it costs, and what one more daemon brings.

``python -m tests.benchmarks.several [PART…]``, with the parts ``order``, ``cost`` and ``growth``:

- ``order``: three daemons with 1,000 subscribers each, 500 events/s, while a publisher on each
  daemon publishes as well; what each daemon delivers is compared, event for event.
- ``cost``: the CPU of an event, of the daemon that takes it in, of each that follows and of Redis,
  with one, two and three daemons; and of a delivery. ``--json FILE`` writes it for ``scale.py``.
- ``growth``: deliveries a second with 1 to 4 daemons, each held to a part of a processor, as if it
  were a machine of its own (control groups of version 1, as root).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median

import msgspec
from redis import Redis

from rtevents.client.sync import Client
from rtevents.core.event import Event
from rtevents.core.filter import Filter
from rtevents.stores.redis import RedisStore
from tests.benchmarks import peers
from tests.benchmarks.load import Found, Target, Work, run

SHARE = 0.05
"""Of a processor, that each daemon of ``growth`` has: so four leave room for who loads them."""

PERIOD = 20_000
"""Microseconds in which it has its share."""

GROUPS = Path("/sys/fs/cgroup/cpu")
"""Where processes are held to a part of a processor."""


class Costs(msgspec.Struct):
    """
    CPU in microseconds.

    Args:
        publish: An event, of the daemon that takes it in, among many of a request.
        request: A request, of the same daemon.
        append: An append, of the same daemon, whatever it appends.
        follow: An event, of each other daemon, among many.
        follow_call: A look at what has come, of each other daemon.
        store: An event, of Redis, among many.
        fetch: An event, of Redis, for each daemon that follows, among many.
        call: An append or a look, of Redis.
        sync: A write to the disk, in which Redis does nothing else: of time, not CPU.
        deliver: An event to one subscriber, among many.
        write: A write to one subscriber.
        match: An event for each filter that wants it; those that do not are not looked at.
        event_bytes: Of an event as it is stored.
    """

    publish: float
    request: float
    append: float
    follow: float
    follow_call: float
    store: float
    fetch: float
    call: float
    sync: float
    deliver: float
    write: float
    match: float
    event_bytes: int = 220


@contextmanager
def daemons(count: int, work: Work) -> Iterator[tuple[list[Target], int]]:
    """Run so many daemons on one log; yield them, and the pid of the Redis that has it."""
    with peers.log_on_redis() as (url, pid), ExitStack() as stack:
        env = {"RTEVENTS_STORE": url, "RTEVENTS_RETENTION__MAX_EVENTS": "0"}
        yield (
            [
                stack.enter_context(peers.rtevents(work, tcp=False, env=env))
                for _ in range(count)
            ],
            pid,
        )  # fmt: skip


def load(
    targets: Sequence[Target],
    work: Work,
    at_live: Callable[[], None] = lambda: None,
    *,
    is_read: bool = True,
) -> list[Found]:
    """
    Publish to the first daemon, and have the subscribers of all read it.

    Args:
        work: Of each daemon.
        at_live: Called when all subscribers are there, as the first event is published.
        is_read: Whether the first daemon has subscribers, too.
    """
    first, *others = targets
    live = threading.Semaphore(0)

    def follow(target: Target) -> Found:
        return run(msgspec.structs.replace(target, publisher="none"), work, live.release)

    with ThreadPoolExecutor(len(targets)) as pool:
        following = [pool.submit(follow, target) for target in others]
        for _ in others:
            live.acquire()
        # Its own subscribers are there before it publishes.
        own = work if is_read else msgspec.structs.replace(work, subscribers=0)
        return [run(first, own, at_live), *(one.result() for one in following)]


class Witness(threading.Thread):
    """
    Publishes to a daemon, and notes the order in which it delivers what all publish.

    Args:
        target: The daemon.
        published: How many this one publishes, 20 a second.
        awaited: How many all publish together.
    """

    def __init__(self, target: Target, published: int, awaited: int) -> None:
        super().__init__()
        self._socket = Path(target.address)
        self._published = published
        self._awaited = awaited
        self.seen: list[tuple[int, str]] = []

    def publish(self) -> None:
        """Publish, one by one."""
        with Client(self._socket) as client:
            for number in range(self._published):
                data = {"severity": "low", "message": f"{number}"}
                client.publish(Event(type="RISK_ALERT", data=data, source="witness"))
                time.sleep(0.05)

    def run(self) -> None:
        """Read all of it."""
        wanted = Filter(sources=frozenset({"witness"}))
        with Client(self._socket) as client:
            for frame in client.stream(wanted, since="all"):
                if event_id := getattr(frame, "event_id", None):
                    self.seen.append((frame.seq, event_id))  # type: ignore[union-attr]
                if len(self.seen) == self._awaited:
                    return


def order() -> bool:
    """Tell whether three daemons deliver in one order, and how late."""
    is_right = True
    for latency in ("", "max_latency=100ms"):
        work = Work(subscribers=1000, events=5_000, rate=500, query=latency)
        with daemons(3, work) as (targets, redis):
            witnesses = [Witness(target, 100, 300) for target in targets]
            publishers = [threading.Thread(target=one.publish) for one in witnesses]

            def begin(some: Sequence[threading.Thread] = (*witnesses, *publishers)) -> None:
                for thread in some:
                    thread.start()

            cpu = _Cpu([target.pids[0] for target in targets] + [redis])
            found = load(targets, work, begin)
            for thread in (*publishers, *witnesses):
                thread.join()
            of_redis = cpu.spent()[-1] * 1e6 / work.events
        is_same = witnesses[0].seen == witnesses[1].seen == witnesses[2].seen
        is_right = is_right and is_same and all(one.ok for one in found)
        print(f"three daemons, 1,000 subscribers each, 500 events/s {latency}")
        for number, one in enumerate(found):
            print(
                f"  daemon {number + 1}: {'every event, in order' if one.ok else 'LOST'}, "
                f"{one.del_s:,.0f} deliveries/s, p50 {one.lat_ms[0]:.1f}, p95 {one.lat_ms[1]:.1f}, "
                f"p99 {one.lat_ms[2]:.1f} ms, {one.cpu_us_per_del:.2f} us/delivery"
            )
        print(
            f"  redis: {of_redis:.0f} us/event; "
            f"{len(witnesses[0].seen)} events of three publishers are in "
            + ("one order at all daemons" if is_same else "ANOTHER ORDER")
        )
    return is_right


def cost(rounds: int) -> Costs:
    """Measure what an event costs each process, among many and alone."""
    many = [_spent(count, Work(events=60_000, batch=100), rounds) for count in (1, 3)]
    alone = [_spent(count, Work(events=2_000, rate=400), rounds) for count in (1, 3)]
    fetch = max(0.0, (many[1].redis - many[0].redis) / 2)
    call = max(0.0, (alone[1].redis - alone[0].redis) / 2 - fetch)
    with daemons(1, Work()) as (targets, _):
        deliver = run(targets[0], Work(subscribers=1000, events=10_000, batch=50)).cpu_us_per_del
    with daemons(1, Work()) as (targets, _):
        single = run(targets[0], Work(subscribers=1000, events=1_000, rate=100)).cpu_us_per_del
    filters = Work(
        subscribers=1000, events=2_000, rate=400, groups=100,
        query="project=proj-{g}&project=x-{i}",
    )  # fmt: skip
    with daemons(1, filters) as (targets, _):
        matched = run(targets[0], filters).cpu_us_per_ev
    write = max(0.0, single - deliver - alone[0].publish / 1000)
    append = asyncio.run(_append_micros())
    found = Costs(
        publish=many[0].publish,
        request=max(0.0, alone[0].publish - many[0].publish - append),
        append=append,
        follow=many[1].follow,
        follow_call=max(0.0, alone[1].follow - many[1].follow),
        store=many[0].redis,
        fetch=fetch,
        call=call,
        sync=_sync_micros(),
        deliver=deliver,
        write=write,
        # Ten of them get the event, each for itself.
        match=max(0.0, (matched - alone[0].publish) / 10 - single),
    )
    found = Costs(**{
        name: round(value, 3) for name, value in msgspec.structs.asdict(found).items()
    })  # fmt: skip
    print(found)
    return found


class _Spent(msgspec.Struct):
    """CPU of an event in microseconds: of who takes it in, who follows (0: nobody), and Redis."""

    publish: float
    follow: float
    redis: float


def _spent(count: int, work: Work, rounds: int) -> _Spent:
    found = []
    for _ in range(rounds):
        with daemons(count, work) as (targets, redis):
            cpu = _Cpu([*(target.pids[0] for target in targets), redis])
            if not run(targets[0], work).ok:
                raise RuntimeError("not every event was stored")
            _wait_for(targets, work.events)
            first, *others, last = [seconds * 1e6 / work.events for seconds in cpu.spent()]
        found.append(_Spent(first, median(others) if others else 0.0, last))
        print(
            f"{count} daemons, {work.batch} a request: publish {first:.1f}, follow "
            f"{found[-1].follow:.1f}, redis {last:.1f} us/event"
        )
    return _Spent(
        *(median(getattr(one, name) for one in found) for name in found[0].__struct_fields__)
    )


async def _append_micros() -> float:
    """Return the CPU of an append of one event, and of learning that it is there."""
    times = 1000
    event = {"severity": "low", "message": "hello"}
    with peers.log_on_redis() as (url, _):
        store = await RedisStore.open(url)
        await store.grown(0, 0)
        begun = time.process_time()
        for _ in range(times):
            await store.append([[Event(type="RISK_ALERT", data=event)]])
        spent = time.process_time() - begun
        await store.close()
    return spent / times * 1e6


def _sync_micros() -> float:
    """Return for how long Redis does nothing else when it writes to the disk."""
    took = {}
    with peers.log_on_redis() as (url, _), Redis.from_url(url) as redis:
        for how in ("always", "no"):
            redis.config_set("appendfsync", how)
            times = []
            for number in range(500):
                begun = time.perf_counter()
                redis.set("probe", number)
                times.append(time.perf_counter() - begun)
            took[how] = median(times)
    return max(0.0, took["always"] - took["no"]) * 1e6


def growth() -> bool:
    """Tell whether deliveries a second grow with the daemons."""
    counts = (1, 2, 3, 4)
    work = Work(subscribers=1000, events=6_000, rate=1_000, batch=20)
    rates = []
    for count in counts:
        # One more takes the events in, and has no subscriber.
        with daemons(1 + count, work) as ((intake, *targets), _), ExitStack() as stack:
            for number, target in enumerate(targets):
                stack.enter_context(_held(f"daemon-{number}", target.pids[0]))
            found = load([intake, *targets], work, is_read=False)[1:]
        # All of them, as long as the slowest took.
        rates.append(
            sum(work.subscribers * work.events for _ in found) / max(one.s for one in found)
        )
        lost = [] if all(one.ok for one in found) else ["LOST"]
        print(
            f"{count} daemons of {SHARE:.0%} of a processor: {rates[-1]:,.0f} deliveries/s, "
            f"{rates[-1] / rates[0]:.2f} times one",
            *lost,
        )
    return all(rate > 0.75 * count * rates[0] for count, rate in zip(counts, rates, strict=True))


class _Cpu:
    """What processes spend, from now on, in seconds."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._before = [_seconds(pid) for pid in pids]

    def spent(self) -> list[float]:
        now = [_seconds(pid) for pid in self._pids]
        return [after - before for after, before in zip(now, self._before, strict=True)]


def _seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _wait_for(targets: Sequence[Target], events: int) -> None:
    """Wait until all daemons have so many."""
    deadline = time.monotonic() + peers.PATIENCE
    for target in targets:
        with Client(Path(target.address)) as client:
            while int(client.status()["newest"]) < events:
                if time.monotonic() > deadline:
                    raise RuntimeError("a daemon does not follow")
                time.sleep(0.05)


@contextmanager
def _held(name: str, pid: int) -> Iterator[None]:
    """Hold a process to its share of a processor."""
    group = GROUPS / f"rtevents-{os.getpid()}-{name}"
    group.mkdir()
    try:
        (group / "cpu.cfs_period_us").write_text(str(PERIOD))
        (group / "cpu.cfs_quota_us").write_text(str(int(PERIOD * SHARE)))
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        with suppress(OSError):
            (GROUPS / "cgroup.procs").write_text(str(pid))
        group.rmdir()


def main() -> int:
    """Run what the arguments name; the exit code is 1 when something is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.several", description=__doc__)
    parser.add_argument("parts", nargs="*", help="order, cost, growth; all by default")
    parser.add_argument("--rounds", type=int, default=3, help="of cost (default 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the costs there")
    arguments = parser.parse_args()
    parts = arguments.parts or ["order", "cost", "growth"]
    is_right = True
    if "order" in parts:
        is_right &= order()
    if "cost" in parts:
        costs = cost(arguments.rounds)
        if arguments.json:
            arguments.json.write_bytes(msgspec.json.encode(costs) + b"\n")
    if "growth" in parts:
        is_right &= growth()
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
