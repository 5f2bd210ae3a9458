"""rtevents bench: it measures, it notices what is wrong, and it leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from rtevents.cli import run
from rtevents.cli.bench.check import Checker, Order
from rtevents.cli.bench.daemon import About, Server
from rtevents.cli.bench.exchange import Answer, Events, Exchange
from rtevents.cli.bench.fanout import Run
from rtevents.cli.bench.figures import Clock, Latencies, cpu_seconds
from rtevents.cli.bench.latency import Arrivals
from rtevents.cli.bench.load import Pace
from rtevents.cli.bench.subscriber import PING, PONG, Subscriber
from rtevents.cli.bench.work import Work
from rtevents.core.event import Bookmark, Entry, Event
from rtevents.errors import RteventsError
from rtevents.server.wire import NDJSON, SSE, Encoding, WebSocket
from tests.conftest import Daemon, wait_for

SHORT = ("--duration", "0.3s")

HEADS = {"sse": b"HTTP/1.1 200 OK\r\n\r\n", "ws": b"HTTP/1.1 101 Switching\r\n\r\n"}
ENCODINGS: dict[str, Encoding] = {"sse": SSE(), "ws": WebSocket(), "ndjson": NDJSON()}


@pytest.fixture
def benched(stopped_daemon: Daemon) -> Daemon:
    """Return a daemon that is not started, in whose home every temporary file is."""
    (stopped_daemon.home / "t").mkdir()
    stopped_daemon.env["TMPDIR"] = str(stopped_daemon.home / "t")
    return stopped_daemon


def left_behind(daemon: Daemon) -> list[Path]:
    """Return what a private daemon has left: folders, and with them its processes."""
    state = daemon.home / "state" / "rtevents"
    return [*(daemon.home / "t").iterdir(), *state.glob("*")]


def bench(daemon: Daemon, *words: str) -> dict[str, Any]:
    """Return what `rtevents bench … --json` found in a short time."""
    done = daemon.run("bench", *words, *SHORT, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def steady(daemon: Daemon, events: int, *words: str) -> dict[str, Any]:
    """Return what ``bench`` found in a run in which this machine had time for so many events."""
    for _ in range(9):
        found = bench(daemon, *words)
        assert found["events"] <= events
        if found["events"] == events:
            break
    return found


def is_ascending(quantiles: dict[str, float]) -> bool:
    """Tell whether p50, p95, p99 and max are there, in order, and more than nothing."""
    values = [quantiles[name] for name in ("p50", "p95", "p99", "max")]
    return values[0] > 0 and values == sorted(values)


@pytest.mark.parametrize("batch", [1, 20])
def test_publish_tells_events_a_second_and_latency(benched: Daemon, batch: int) -> None:
    found = bench(benched, "publish", "--clients", "3", "--batch", str(batch))

    assert found["bench"] == "publish"
    assert found["work"] == {
        "clients": 3, "batch": batch, "size": 100, "seconds": 0.3, "rate": 0.0,
    }  # fmt: skip
    assert found["events"] == found["requests"] * batch > 0
    assert found["events_per_second"] > 0
    assert found["refused"] == 0
    assert is_ascending(found["latency_ms"])
    assert set(found) == {
        "bench", "daemon", "work", "seconds", "events", "events_per_second", "requests",
        "refused", "latency_ms", "daemon_us_per_event", "client_busy",
    }  # fmt: skip
    assert left_behind(benched) == []


@pytest.mark.parametrize(
    ("over", "batch"), [("sse", "50"), ("ws", "50"), ("ndjson", "50"), ("sse", "1")]
)
def test_fanout_delivers_everything_to_everybody(benched: Daemon, over: str, batch: str) -> None:
    found = bench(benched, "fanout", "--clients", "7", "--over", over, "--batch", batch)

    assert found["verified"] is True
    assert found["events"] > 0
    assert found["deliveries"] == 7 * found["events"]
    assert found["deliveries_per_second"] > 0
    assert found["work"]["over"] == over
    assert is_ascending(found["latency_ms"])
    assert (found["daemon_us_per_delivery"] is not None) == Path("/proc/self/stat").exists()
    assert left_behind(benched) == []


@pytest.mark.parametrize("over", ["sse", "ws", "ndjson"])
def test_latency_is_measured_at_a_rate(benched: Daemon, over: str) -> None:
    found = steady(benched, 60, "latency", "--rate", "200/s", "--over", over)

    assert found["events"] == 60
    assert found["verified"] is True
    assert is_ascending(found["latency_ms"])
    assert left_behind(benched) == []


def test_a_rate_is_kept(benched: Daemon) -> None:
    published = steady(benched, 30, "publish", "--rate", "100/s", "--batch", "10")
    delivered = steady(benched, 30, "fanout", "--clients", "2", "--rate", "100", "--batch", "10")

    assert published["events"] == 30
    assert delivered["deliveries"] == 60
    # The last ones are not the end of the time that was asked for.
    assert published["seconds"] >= 0.3
    assert published["events_per_second"] <= 100
    assert delivered["deliveries_per_second"] <= 200


def test_a_batch_is_no_more_than_a_tenth_of_a_second_brings(benched: Daemon) -> None:
    found = steady(benched, 6, "publish", "--rate", "20/s")

    assert (found["work"]["batch"], found["events"]) == (2, 6)


def test_the_settings_are_the_users_own(benched: Daemon) -> None:
    folder = benched.home / "config" / "rtevents"
    folder.mkdir()
    (folder / "config.yaml").write_text("store: memory\ndurability: normal\nprojects: [{path: /}]")
    benched.env["RTEVENTS_DURABILITY"] = "full"

    about = bench(benched, "publish")["daemon"]

    assert about["is_private"] is True
    assert (about["store"], about["durability"]) == ("memory", "full")


def test_what_is_refused_is_counted_or_sent_again(benched: Daemon) -> None:
    benched.env |= {"RTEVENTS_MAX_QUEUE_SIZE": "1", "RTEVENTS_QUEUE_TIMEOUT": "0.0001"}

    published = bench(benched, "publish", "--clients", "30", "--batch", "1")

    assert published["refused"] > 0
    assert published["events"] > 0
    assert published["requests"] == published["events"] + published["refused"]


class Refusing(Exchange):
    """A connection to a daemon that refuses every second request, and fails with 400 at the end."""

    def __init__(self) -> None:
        about = About(address="x", pid=None, is_private=True, store="memory", durability="full")
        super().__init__(Server("x", None, about))
        self.bodies: list[bytes] = []

    async def post(self, lines: bytes, count: int) -> Answer:
        """Answer at once."""
        self.bodies.append(lines)
        if len(self.bodies) % 2:
            return Answer(503, 0.001, b'{"status":503}\n{"status":503}\n')
        return Answer(201 if len(self.bodies) < 6 else 400, 0.0, b'{"detail":"enough"}')


async def test_a_batch_that_is_refused_is_sent_again_before_the_next() -> None:
    asked = Work(clients=1, batch=2, size=100, seconds=60.0, rate=1e6)
    publishing, exchange = Run(asked), Refusing()

    with pytest.raises(RteventsError, match="enough"):
        await publishing.publish(exchange)

    bodies = exchange.bodies
    assert (bodies[0], bodies[2], bodies[4]) == (bodies[1], bodies[3], bodies[5])
    assert len(set(bodies)) == 3
    assert (publishing.published, publishing.refused) == (4, 6)


def test_a_person_gets_a_table(benched: Daemon) -> None:
    published, delivered, timed = (
        benched.run("bench", *words, *SHORT)
        for words in (["publish"], ["fanout", "--clients", "3"], ["latency"])
    )

    assert (published.stderr, delivered.stderr, timed.stderr) == ("", "", "")
    assert re.search(r"^stored +[\d,]+ events/s: ", published.stdout, re.MULTILINE)
    assert re.search(r"^answered +p50 [\d.]+ ms, p95 ", published.stdout, re.MULTILINE)
    assert re.search(r"^delivered +[\d,]+ a second: ", delivered.stdout, re.MULTILINE)
    assert re.search(r"^checked +each of 3 subscribers got each", delivered.stdout, re.MULTILINE)
    assert re.search(r"^end to end +p50 [\d.]+ ms, ", timed.stdout, re.MULTILINE)
    assert "a private daemon over a Unix socket, store sqlite, durability full" in timed.stdout


def on_a_terminal(daemon: Daemon, *words: str) -> str:
    """Return what a command says on stderr when that is a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "rtevents", *words]
    env = daemon.env | {"TERM": "xterm"}
    with subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=theirs, cwd=daemon.home
    ) as process:
        os.close(theirs)
        said = b""
        try:
            while data := os.read(ours, 65536):
                said += data
        except OSError:  # how Linux tells the end of a terminal
            pass
        assert process.wait() == 0
    os.close(ours)
    return said.decode()


@pytest.mark.parametrize("output", [[], ["--json"]])
def test_a_bar_moves_on_the_terminal(benched: Daemon, output: list[str]) -> None:
    assert "events" in on_a_terminal(benched, "bench", "publish", *output, *SHORT)


def test_live_measures_the_daemon_that_runs_and_says_what_stays(daemon: Daemon) -> None:
    done = daemon.run("bench", "fanout", "--live", "--json", "--clients", "2", *SHORT)
    found = json.loads(done.stdout)
    with daemon.client() as client:
        kept = client.stats()["events"]
        (newest,) = client.history(limit=1, order="desc").events

    assert daemon.process
    assert (found["daemon"]["pid"], found["daemon"]["is_private"]) == (daemon.process.pid, False)
    assert done.stderr == (
        "rtevents: the daemon that runs is measured: its log keeps the events, as project bench\n"
    )
    assert kept["published"] == found["events"]
    assert newest.project_id == "bench"
    assert found["work"]["rate"] == 1000, "what it kept before is not pushed out"


def test_over_tcp_a_token_is_used_and_never_told(daemon: Daemon) -> None:
    listen = json.loads(daemon.run("status", "--json").stdout)["listen"]
    tokens = [
        daemon.run("token", "create", "--role", role).stdout.strip() for role in ("owner", "viewer")
    ]
    env = {"RTEVENTS_URL": f"http://{listen}"}

    owner, viewer = (
        daemon.run(
            "bench", "fanout", "--live", "--json", "--clients", "2", *SHORT,
            env=env | {"RTEVENTS_TOKEN": token},
        )
        for token in tokens
    )  # fmt: skip

    assert owner.returncode == 0, owner.stderr
    assert json.loads(owner.stdout)["daemon_us_per_delivery"] is None
    assert tokens[0] not in owner.stdout + owner.stderr
    assert (viewer.returncode, viewer.stdout) == (4, "")


def test_without_a_daemon_live_exits_with_3(benched: Daemon) -> None:
    done = benched.run("bench", "publish", "--live", "--json")

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("rtevents: no daemon at ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("kind", ["publish", "fanout", "latency"])
def test_a_daemon_that_dies_is_one_line(daemon: Daemon, kind: str) -> None:
    with daemon.popen("bench", kind, "--live", "--json", "--duration", "60s") as process:
        with daemon.client() as client:
            wait_for(lambda: client.stats()["events"]["published"], "events")
        daemon.stop(signal.SIGKILL)
        out, err = process.communicate(timeout=30)

    assert process.returncode in (1, 3)
    assert out == ""
    assert len(err.splitlines()) == 2  # the first one says that the events stay
    assert "Traceback" not in err


@pytest.mark.parametrize("kind", ["publish", "fanout", "latency"])
def test_ctrl_c_ends_it_with_130_and_leaves_nothing(benched: Daemon, kind: str) -> None:
    with benched.popen("bench", kind, "--duration", "60s") as process:
        wait_for(lambda: list(benched.home.glob("t/rte*/rtevents/rtevents.sock")), "a daemon")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)

    assert (process.returncode, out, err) == (130, "", "")
    assert left_behind(benched) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_even_if_it_is_killed_the_private_daemon_goes(benched: Daemon, number: int) -> None:
    with benched.popen("bench", "publish", "--duration", "60s") as process:
        wait_for(lambda: list(benched.home.glob("t/rte*/rtevents/rtevents.sock")), "a daemon")
        (lock,) = benched.home.glob("t/rte*/rtevents/rtevents.lock")
        pid = int(lock.read_text())
        process.send_signal(number)
        process.communicate(timeout=30)

    wait_for(lambda: not left_behind(benched), "the folders go")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_private_daemon_that_cannot_start_says_why(benched: Daemon) -> None:
    long = benched.home / ("x" * 100)
    long.mkdir()
    benched.env["TMPDIR"] = str(long)

    done = benched.run("bench", "publish")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("rtevents: no private daemon could be started: ")
    assert "a socket's path of" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(long.iterdir()) == left_behind(benched) == []


MISUSE = {
    "publish --clients 0": "invalid value for '--clients': 0 is not in the range 1<=x<=1000",
    "publish --batch 0": "invalid value for '--batch': 0 is not in the range 1<=x<=10000",
    "publish --batch 10000 --size 1000": "--batch 10000 of --size 1000: a request of 12560000 "
    "bytes, 8388608 at most",
    "publish --size 10": "invalid value for '--size': 10 is not in the range 64<=x<=1000000",
    "publish --duration soon": "--duration: expected a duration such as 30s, got 'soon'",
    "publish --duration 0s": "--duration: expected more than nothing, got '0s'",
    "publish --rate fast": "--rate: expected events a second such as 500/s, got 'fast'",
    "publish --rate -1": "--rate: expected events a second such as 500/s, got '-1'",
    "fanout --over smoke": "invalid value for '--over': 'smoke' is not one of "
    "'sse', 'ws', 'ndjson'",
    "fanout --batch 501": "invalid value for '--batch': 501 is not in the range 1<=x<=500",
    "latency --rate 0": "--rate: expected more than nothing, got '0'",
    "latency --xyzzy 2": "no such option: --xyzzy",
}


@pytest.mark.parametrize("words", MISUSE)
def test_bad_options_are_told_before_anything_is_started(
    capsys: pytest.CaptureFixture[str], words: str
) -> None:
    code = run(["bench", *words.split()])
    out, err = capsys.readouterr()

    kind = words.split()[0]
    assert (code, out) == (2, "")
    assert err == f"rtevents: {MISUSE[words]}; see: rtevents bench {kind} --help\n"


def test_a_bad_configuration_exits_with_2(benched: Daemon) -> None:
    done = benched.run("bench", "publish", env={"RTEVENTS_DURABILITY": "some"})

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("rtevents: RTEVENTS_DURABILITY: ")
    assert left_behind(benched) == []


def test_the_list_of_benches_imports_nothing_heavy(stopped_daemon: Daemon) -> None:
    code = (
        "import sys; from rtevents.cli import run; run(['bench', '--help']);"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=stopped_daemon.env, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert {"asyncio", "rich", "yaml", "aiohttp"} & set(done.stderr.split()) == set()


WRONG = {
    "subscriber 3 got event 1 twice, or late: as seq 13, after event 1": [
        (11, 0), (12, 1), (13, 1),
    ],
    "subscriber 3 got event 2 as seq 13 where event 1 was to come": [(11, 0), (13, 2)],
    "subscriber 3 got event 1 as seq 11, after seq 11": [(11, 0), (11, 1)],
    "subscriber 3 got event 1 as seq 10, after seq 11": [(11, 0), (10, 1)],
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_order_is_told(text: str) -> None:
    with pytest.raises(RteventsError) as failure:
        Order().check(3, 0, WRONG[text])

    assert str(failure.value) == text


def test_another_order_than_the_others_got_is_told() -> None:
    order = Order()
    order.check(0, 0, [(11, 0), (12, 1)])
    order.check(1, 0, [(11, 0)])
    order.check(1, 1, [(12, 1), (15, 2)])

    with pytest.raises(RteventsError, match="subscriber 2 got event 2 as seq 14, another one as"):
        order.check(2, 2, [(14, 2)])


class Wire(asyncio.Transport):
    """What a subscriber writes to in these tests."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_cut = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep what is written."""
        self.written += bytes(data)

    def abort(self) -> None:
        """Remember that it was cut."""
        self.is_cut = True


class Following:
    """
    Subscribers that are fed by hand.

    Args:
        over: How they follow.
        count: How many they are.
        events: How many are published.
    """

    def __init__(self, over: str, *, count: int = 1, events: int = 6) -> None:
        self.over = over
        self.encoding = ENCODINGS[over]
        self.failures: list[str] = []
        self.checker = Checker(2)
        self.checker.sent = [time.perf_counter()] * events
        self.wires = [Wire() for _ in range(count)]
        self.subscribers = [
            Subscriber(
                number, over, b"GET", take=self.checker.take,
                fail=lambda error: self.failures.append(str(error)),
            )
            for number in range(count)
        ]  # fmt: skip
        for subscriber, wire in zip(self.subscribers, self.wires, strict=True):
            subscriber.connection_made(wire)
            subscriber.data_received(HEADS["ws" if over == "ws" else "sse"])

    def block(self, *places: tuple[int, int]) -> bytes:
        """Return what the daemon writes for entries of these seqs and numbers."""
        maker = Events(100)
        entries = [Entry.of(read_event(maker.lines(number, 1)), seq) for seq, number in places]
        return self.encoding.block(self.encoding.frames(entries, "0a1b2c3d"))

    def control(self, name: str, **fields: Any) -> bytes:
        """Return a control frame of the daemon."""
        return self.encoding.control(name, fields)


def read_event(line: bytes) -> Event:
    """Return the event of a line, as the daemon reads it."""
    fields = json.loads(line)
    return Event(**fields)


def by_bytes(count: int) -> Callable[[bytes], list[bytes]]:
    """Return what cuts bytes into pieces of `count`."""
    return lambda data: [data[at : at + count] for at in range(0, len(data), count)]


@pytest.mark.parametrize("over", ENCODINGS)
@pytest.mark.parametrize("pieces", [1, 7, 300, 100_000])
def test_however_it_arrives_it_is_read_once(over: str, pieces: int) -> None:
    following = Following(over, count=2)
    (first, second), checker = following.subscribers, following.checker
    beat = following.encoding.heartbeat(
        Event(type="HEALTH_CHECK", data={"status": "ok", "timestamp": 1.0}), Bookmark("0a1b2c3d", 1)
    )
    stream = (
        following.control("hello", connection_id="a", bookmark="0a1b2c3d-10")
        + following.control("live", bookmark="0a1b2c3d-10")
        + following.block((11, 0), (12, 1), (14, 2))
        + beat
        + following.block((15, 3))
        + following.block((16, 4), (20, 5))
    )

    for piece in by_bytes(pieces)(stream):
        first.data_received(piece)
    second.data_received(stream)

    assert following.failures == []
    assert first.live.is_set()
    assert (first.received, second.received, checker.deliveries) == (6, 6, 12)
    checker.finish(following.subscribers, 6)
    if over == "ws":
        assert following.wires[0].written.endswith(PONG)
        assert PING in stream


SEQUENCES: list[tuple[Sequence[tuple[int, int]], str]] = [
    ([(11, 0), (12, 1), (12, 1)], "subscriber 1 got event 1 twice, or late: as seq 12"),
    ([(11, 0), (13, 2)], "subscriber 1 got event 2 as seq 13 where event 1 was to come"),
    ([(12, 1), (11, 0)], "subscriber 1 got event 1 as seq 12 where event 0 was to come"),
    ([(11, 0), (13, 1)], "subscriber 1 got event 1 as seq 13, another one as seq 12"),
]


@pytest.mark.parametrize("over", ENCODINGS)
@pytest.mark.parametrize(("wrong", "text"), SEQUENCES)
def test_one_subscriber_that_gets_something_else_is_found(
    over: str, wrong: Sequence[tuple[int, int]], text: str
) -> None:
    following = Following(over, count=2)
    first, second = following.subscribers
    first.data_received(following.block((11, 0), (12, 1), (13, 2)))

    second.data_received(following.block(*wrong))

    assert [failure[: len(text)] for failure in following.failures] == [text]
    assert following.wires[1].is_cut


def test_what_does_not_come_is_missed_in_the_end() -> None:
    following = Following("sse", count=2)
    for subscriber in following.subscribers:
        subscriber.data_received(following.block((11, 0)))
    following.subscribers[0].data_received(following.block((12, 1)))

    with pytest.raises(RteventsError, match=r"^subscriber 1 got 1 of 2 events$"):
        following.checker.finish(following.subscribers, 2)


@pytest.mark.parametrize("over", ENCODINGS)
def test_a_gap_and_an_end_are_told(over: str) -> None:
    gap, end = Following(over), Following(over)

    fields = {"after": 1, "before": 5, "reason": "trimmed", "bookmark": "0a1b2c3d-4"}
    gap.subscribers[0].data_received(gap.control("gap", **fields))
    end.subscribers[0].data_received(end.control("bye", reason="slow", bookmark="0a1b2c3d-4"))
    end.subscribers[0].connection_lost(None)

    (told,) = gap.failures
    assert told.startswith("subscriber 0 was told of a gap: {")
    assert '"reason":"trimmed"' in told
    assert end.failures == ["the stream of subscriber 0 ended: slow"]


def test_latency_notices_what_comes_twice_or_out_of_order() -> None:
    arrivals = Arrivals()
    for number in range(4):
        arrivals.send(number, 1.0)
    arrivals.refuse(3)
    arrivals.receive(11, 1, 1.5)
    arrivals.receive(12, 0, 1.5)

    with pytest.raises(RteventsError, match="the subscriber got event 1 twice, now as seq 13"):
        arrivals.receive(13, 1, 1.5)
    with pytest.raises(RteventsError, match="the subscriber got seq 10 after seq 12"):
        arrivals.receive(10, 2, 1.5)


@pytest.mark.parametrize("size", [64, 100, 5000])
@pytest.mark.parametrize("number", [0, 99_999])
def test_an_event_has_the_size_that_was_asked_for(size: int, number: int) -> None:
    line = Events(size).lines(number, 1)

    data = json.loads(line)["data"]
    assert len(json.dumps(data, separators=(",", ":"))) == size
    assert data["n"] == number


def test_quantiles_are_right_to_a_thousandth() -> None:
    latencies = Latencies()
    for milliseconds in range(1, 1001):
        latencies.add(milliseconds / 1000)
    found = latencies.quantiles()

    assert found
    assert found.p50 == pytest.approx(500, rel=0.002)
    assert found.p95 == pytest.approx(950, rel=0.002)
    assert found.p99 == pytest.approx(990, rel=0.002)
    assert Latencies().quantiles() is None


async def test_a_request_that_is_late_counts_from_when_it_was_due() -> None:
    pace = Pace(100.0, 10.0)
    begin = time.perf_counter()
    first = await pace.next()
    time.sleep(0.05)  # as if every publisher waited for an answer
    late = [await pace.next() for _ in range(2)]

    assert first is not None
    assert first <= begin
    assert late == [pytest.approx(first + 0.01), pytest.approx(first + 0.02)]


async def test_when_the_time_is_over_nothing_is_due() -> None:
    ended = Pace(0.0, 0.0)

    assert await ended.next() is None
    assert ended.is_over
    assert await Pace(10.0, 0.0).next() is None


def test_the_processor_time_of_nobody_is_unknown() -> None:
    assert cpu_seconds(None) is None
    assert Clock(None).us_per(5) is None
    assert Clock(os.getpid()).us_per(0) is None
