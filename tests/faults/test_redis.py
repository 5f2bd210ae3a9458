"""Daemons that share a log: what their users see when Redis, or the way to it, fails (F39, F40)."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rtevents.client.sync import Client
from rtevents.core.event import Entry, Event, Gap, Stored
from rtevents.errors import Unavailable
from rtevents.stores.redis_server import ANSWER_SECONDS
from tests.conftest import Daemon, folder_with_a_short_path, lodging, wait_for
from tests.faults.network import Link
from tests.redis import RedisServer, trim

QUICK = {
    "RTEVENTS_NODE_INTERVAL": "0.3",
    "RTEVENTS_HEALTH__DASHBOARD_INTERVAL": "0.2",
    "RTEVENTS_HEALTH__SERVICE_INTERVAL": "0.5",
    # What is older is read from Redis.
    "RTEVENTS_EVENT_RETENTION": "10",
}
"""What makes a daemon notice, and tell, sooner."""


class Reader:
    """
    A subscriber in a thread of its own, that comes back when its stream ends.

    Args:
        daemon: Whose stream it reads.
        since: Where it begins.
    """

    def __init__(self, daemon: Daemon, since: str = "new") -> None:
        self.frames: list[Any] = []
        self._daemon = daemon
        self._since = since
        self._is_over = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        begun = "live" if since == "new" else "hello"
        wait_for(lambda: self.named(begun), "a stream has begun")

    def _read(self) -> None:
        with self._daemon.client() as client:
            for frame in client.stream(since=self._since, control=True):
                self.frames.append(frame)
                if self._is_over:
                    return

    def named(self, name: str) -> list[Any]:
        """Return the control frames of this name."""
        return [each for each in self.frames if getattr(each, "name", None) == name]

    @property
    def entries(self) -> list[tuple[int, str]]:
        """The seq and the id of what the log told."""
        found = [each for each in self.frames if isinstance(each, Entry) and each.seq]
        return [(each.seq, each.event_id) for each in found]

    @property
    def gaps(self) -> list[Gap]:
        """What it was told to be missing."""
        return [each for each in self.frames if isinstance(each, Gap)]

    @property
    def health(self) -> dict[str, Any]:
        """What the last HEALTH_CHECK said."""
        beats = [each for each in self.frames if isinstance(each, Entry) and not each.seq]
        return beats[-1].event.data if beats else {}

    def has(self, *events: Stored) -> bool:
        """Tell whether it got these."""
        return {(each.seq, each.event_id) for each in events} <= set(self.entries)

    def end(self) -> None:
        """Read no more after the next frame."""
        self._is_over = True


class Cluster:
    """Two daemons that reach one Redis by a link, and whoever comes beside them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._stack = stack
        self.redis = RedisServer(folder / "redis")
        self.redis.start()
        stack.callback(self.redis.stop)
        self.link = self.link_to(self.redis)
        self.daemons = [self.start(name, self.link) for name in ("one", "two")]

    def link_to(self, redis: RedisServer) -> Link:
        """Return a way to a Redis."""
        link = Link(redis.port)
        self._stack.callback(link.close)
        return link

    def lodge(self) -> Daemon:
        """Return a daemon that is not started."""
        home = self._stack.enter_context(folder_with_a_short_path())
        return self._stack.enter_context(lodging(home))

    def start(self, name: str, link: Link, *arguments: str) -> Daemon:
        """Start a daemon on the shared log."""
        daemon = self.lodge()
        self.start_in(daemon, name, link, *(arguments or ["--no-project"]))
        return daemon

    @staticmethod
    def start_in(daemon: Daemon, name: str, link: Link, *arguments: str) -> None:
        """Start a daemon that has a place on the shared log."""
        url = f"redis://127.0.0.1:{link.port}/0?log=team"
        daemon.env |= QUICK | {"RTEVENTS_STORE": url, "RTEVENTS_NODE": name}
        daemon.start(*arguments)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return two daemons on one Redis; each test leaves them well, on a Redis that is."""
    with ExitStack() as stack:
        yield Cluster(tmp_path_factory.mktemp("cluster"), stack)


@pytest.fixture
def readers(cluster: Cluster) -> Iterator[list[Reader]]:
    """Return a subscriber of each of the two."""
    found = [Reader(daemon) for daemon in cluster.daemons]
    yield found
    for reader in found:
        reader.end()
    publish(cluster.daemons[0])


def event(name: str = "x") -> Event:
    return Event(type="TASK_UPDATE", data={"task_id": name, "status": "open"}, source="test")


def publish(daemon: Daemon, told: Event | None = None) -> Stored:
    """Publish an event until it is stored: a client that repeats it stores it once."""
    told = told or event()
    stored: list[Stored] = []

    def is_stored() -> bool:
        with Client(daemon.socket, retry_for=0) as client:
            try:
                stored.append(client.publish(told))
            except Unavailable:
                return False
        return True

    wait_for(is_stored, "an event is stored")
    return stored[0]


def refusal(daemon: Daemon) -> str:
    """Return why an event is not stored."""
    try:
        with Client(daemon.socket, retry_for=0) as client:
            client.publish(event())
    except Unavailable as error:
        return str(error)
    return ""


def history(daemon: Daemon) -> list[Entry]:
    """Return all that the log has: a page ends where some is missing."""
    with daemon.client() as client:
        page = client.history(since="all", limit=1000)
        found = list(page.events)
        while page.next.seq < page.newest:
            page = client.history(after=str(page.next), limit=1000)
            found += page.events
    return found


def told(daemon: Daemon, what: str, node: str | None = None) -> list[Entry]:
    """Return the SYSTEM_STATUS events that tell something, of one node perhaps."""
    found = [each for each in history(daemon) if each.type == "SYSTEM_STATUS"]
    return [
        each
        for each in found
        if each.event.data["event"] == what and node in (None, each.event.data.get("node"))
    ]


def losses(daemon: Daemon, words: str) -> list[Entry]:
    """Return where the stream tells a loss of the store in these words."""
    return [each for each in told(daemon, "store.lost") if words in str(each.event.data)]


def status(daemon: Daemon) -> dict[str, Any]:
    with daemon.client() as client:
        return client.status()


def waiting(daemon: Daemon, text: str) -> bool:
    """Tell whether something waits in the spool: in the log of its database, or in itself."""
    files = (daemon.home / "state" / "rtevents").glob("spool.db*")
    return any(text.encode() in file.read_bytes() for file in files)


def connections(daemon: Daemon) -> list[dict[str, Any]]:
    with daemon.client() as client:
        return client.connections()


def nodes(daemon: Daemon) -> dict[str, Any]:
    with daemon.client() as client:
        return client.nodes()


def state(daemon: Daemon, name: str) -> bool | None:
    """Tell whether a node is lost; None for one that is not there."""
    found = [each["is_lost"] for each in nodes(daemon)["nodes"] if each["name"] == name]
    return found[0] if found else None


def check_order(readers: list[Reader], *stored: Stored) -> None:
    """Check that every subscriber got these once, and all in the same order."""
    wait_for(lambda: all(each.has(*stored) for each in readers), "all have all")
    last = max(each.seq for each in stored)
    first = max(each.entries[0][0] for each in readers)
    got = [[(seq, name) for seq, name in each.entries if first <= seq <= last] for each in readers]

    assert all(each == got[0] for each in got)
    seqs = [seq for seq, _ in got[0]]
    assert seqs == list(range(first, last + 1))
    assert len({name for _, name in got[0]}) == len(seqs)


def test_all_nodes_are_counted_together(cluster: Cluster, readers: list[Reader]) -> None:
    one, two = cluster.daemons

    def is_heard() -> bool:
        found = {each["name"]: each for each in nodes(one)["nodes"]}
        return "two" in found and found["two"]["connections"] >= 1

    wait_for(is_heard, "the other node is heard")
    found = nodes(one)
    assert [each["name"] for each in found["nodes"]] == ["one", "two"]
    assert [each["is_here"] for each in found["nodes"]] == [True, False]
    assert found["total"]["nodes"] == 2
    assert found["total"]["connections"] == sum(each["connections"] for each in found["nodes"])
    said = two.run("status", "--all").stdout
    assert said.startswith("ok  2 nodes, ")
    rows = re.findall(r"^node     (\w+)  ok +(this one|heard 0s ago)( +)up", said, re.MULTILINE)
    assert [(name, heard) for name, heard, _ in rows] == [
        ("one", "heard 0s ago"),
        ("two", "this one"),
    ]
    assert len({len(heard + gap) for _, heard, gap in rows}) == 1  # the columns are aligned
    assert "1 connections" not in said
    [started] = told(one, "node.started", "two")
    assert started.event.data["status"] == "ok"
    assert set(started.event.data["metrics"]) >= {"connections", "rate", "delivered"}


def test_a_redis_that_is_killed_and_started_again_has_all_that_was_answered(
    cluster: Cluster, readers: list[Reader]
) -> None:
    one, two = cluster.daemons
    epoch = status(one)["epoch"]
    before = [publish(each) for each in (one, two) for _ in range(10)]
    tail = two.popen("tail")
    wait_for(lambda: tail.pid in [each["pid"] for each in connections(two)], "tail is there")
    wait_for(lambda: readers[1].has(*before), "the other daemon has all")
    cluster.redis.kill()
    assert "redis at 127.0.0.1" in refusal(one)
    wait_for(lambda: readers[1].health.get("status") == "failed", "a subscriber is told")
    assert "events cannot be stored: redis at" in readers[1].health["reasons"][0]
    assert status(two)["health"]["status"] == "failed"
    # What it wants is not in memory.
    late = Reader(two, since="all")
    unread = "what comes next cannot be read: redis at"
    wait_for(lambda: unread in str(late.health.get("reasons")), "it is told why nothing comes")
    newest = [f'"seq":{each.seq},' for each in before[-3:]]
    for command in (
        ["history", "--order", "desc", "--limit", "3", "--type", "TASK_UPDATE"],
        ["tail", "-n", "3", "-T", "--type", "TASK_UPDATE"],
        ["tail", "--since", "last", "-T", "--type", "TASK_UPDATE"],
    ):
        seen = two.run(*command).stdout.splitlines()
        wanted = newest[-len(seen) :]
        wanted = wanted[::-1] if command[0] == "history" else wanted
        assert len(seen) == (1 if "last" in command else 3)
        assert all(seq in line for seq, line in zip(wanted, seen, strict=True))
    cluster.redis.start()
    after = [publish(each) for each in (one, two)]

    check_order(readers, *before, *after)
    check_order([late], *before, *after)
    assert [len(late.named(each)) for each in ("hello", "lost", "live")] == [1, 0, 1]
    late.end()
    wait_for(lambda: readers[1].health.get("status") != "failed", "a subscriber is told the end")
    assert "reasons" not in readers[1].health
    assert [each.gaps for each in readers] == [[], []]
    assert status(two)["epoch"] == epoch
    assert status(two)["durability"] == "full"
    assert tail.stderr is not None
    assert "events cannot be stored: redis at" in tail.stderr.readline()
    assert tail.stderr.readline() == "rtevents: events can be stored and read again\n"
    tail.terminate()
    tail.communicate()


def test_a_redis_that_stands_still_stores_what_it_was_told_once(
    cluster: Cluster, readers: list[Reader]
) -> None:
    one, two = cluster.daemons
    assert cluster.redis.process is not None
    waiting = event("waiting")
    os.kill(cluster.redis.process.pid, signal.SIGSTOP)
    try:
        with (
            Client(one.socket, retry_for=0) as client,
            pytest.raises(Unavailable, match="does not answer in time"),
        ):
            client.publish(waiting)
        # From here on it is known: nobody waits until it times out for them as well.
        wait_for(lambda: status(one)["health"]["status"] == "failed", "it is known")
        begun = time.monotonic()
        refusals = [refusal(one) for _ in range(3)]
        took = time.monotonic() - begun
        assert all("does not answer in time" in each for each in refusals)
        # Each would take as long as an answer may take, and they would come after one another.
        assert took < ANSWER_SECONDS
        # By now for longer than three heartbeats, and longer than one waits for its answer.
        all_said = one.run("status", "--all")
        found = nodes(one)
    finally:
        os.kill(cluster.redis.process.pid, signal.SIGCONT)
    assert all_said.returncode == 1
    summed, *rows = all_said.stdout.splitlines()
    assert summed.startswith("failed  2 nodes, 1 not known while the log is away, ")
    assert any(each.startswith("node     two  not known  while the log is away, ") for each in rows)
    assert "           events cannot be stored: redis at" in all_said.stdout
    assert (found["is_away"], found["total"]["lost"], found["total"]["unknown"]) == (True, 0, 1)
    stored = publish(one, waiting)
    last = publish(two)

    check_order(readers, stored, last)
    assert [each.gaps for each in readers] == [[], []]


@pytest.mark.slow
def test_nodes_that_are_well_are_not_lost_while_redis_stands_still(cluster: Cluster) -> None:
    """However long that takes, and however much is refused meanwhile: it is one trouble."""
    interval, url = 1.5, cluster.redis.url("still")
    pair = [cluster.lodge() for _ in range(2)]
    for name, daemon in zip(("ada", "bob"), pair, strict=True):
        own = {"RTEVENTS_STORE": url, "RTEVENTS_NODE": name}
        daemon.env |= QUICK | own | {"RTEVENTS_NODE_INTERVAL": str(interval)}
        daemon.start("--no-project")
    ada, _ = pair
    wait_for(lambda: state(ada, "bob") is False, "it is heard")
    assert cluster.redis.process is not None
    os.kill(cluster.redis.process.pid, signal.SIGSTOP)
    seen = []

    def is_long_ago() -> bool:
        [bob] = [each for each in nodes(ada)["nodes"] if each["name"] == "bob"]
        seen.append(bob["is_lost"])
        return bool(bob["age"] > 4 * interval)

    try:
        wait_for(lambda: status(ada)["health"]["status"] == "failed", "it is noticed")
        assert all(refusal(ada) for _ in range(2))
        wait_for(is_long_ago, "three heartbeats are left out")
        assert ada.run("status", "--all").stdout.startswith("failed  2 nodes, 1 not known while ")
    finally:
        os.kill(cluster.redis.process.pid, signal.SIGCONT)

    def is_well() -> bool:
        found = nodes(ada)
        seen.append(bool(found["total"]["lost"]))
        return not found["is_away"] and found["total"]["status"] == "ok"

    wait_for(is_well, "all is well again")
    publish(ada)
    assert not any(seen)
    assert told(ada, "node.lost") == []
    assert told(ada, "threshold_crossed") == []
    for daemon in pair:
        daemon.stop()


def test_a_slow_redis_keeps_the_order(cluster: Cluster, readers: list[Reader]) -> None:
    cluster.link.delay = 0.1
    stored = [publish(each) for each in cluster.daemons for _ in range(3)]
    cluster.link.delay = 0.0

    check_order(readers, *stored)


def test_a_full_redis_refuses_and_says_why(cluster: Cluster, readers: list[Reader]) -> None:
    one, two = cluster.daemons
    before = publish(one)
    cluster.redis.ask("CONFIG", "SET", "maxmemory", "1")
    assert "is full: give it a larger maxmemory" in refusal(two)
    cluster.redis.ask("CONFIG", "SET", "maxmemory", "0")

    check_order(readers, before, publish(two))


def test_what_was_trimmed_by_others_is_told_as_a_gap(cluster: Cluster) -> None:
    one, two = cluster.daemons
    with two.client() as client:
        bookmark = client.history(since="new", limit=1).next
    seqs = [publish(one).seq for _ in range(20)]
    trim(cluster.redis, "team", seqs[-1])

    with two.client() as client:
        frames = client.stream(since=str(bookmark))
        gap, last = next(frames), next(frames)

    assert isinstance(gap, Gap)
    assert isinstance(last, Entry)
    assert (gap.after, gap.before, gap.reason) == (bookmark.seq, last.seq, "trimmed")
    assert last.seq >= seqs[-1]


@pytest.mark.parametrize("kept", [1, 0])
def test_what_was_trimmed_before_a_daemon_saw_it_is_told_by_it(cluster: Cluster, kept: int) -> None:
    """As on a laptop that slept; with nothing kept it goes on with what comes next."""
    one, two = cluster.daemons
    reader = Reader(two)
    before = publish(one)
    wait_for(lambda: reader.has(before), "it follows")
    assert two.process is not None
    two.process.send_signal(signal.SIGSTOP)
    missed = [publish(one) for _ in range(20)]
    trim(cluster.redis, "team", missed[-1].seq + 1 - kept)
    two.process.send_signal(signal.SIGCONT)
    wait_for(lambda: status(two)["newest"] >= missed[-1].seq, "it has come as far")
    after = publish(one)

    wait_for(lambda: reader.has(after), "it goes on")
    seen = {seq for seq, _ in reader.entries}
    assert reader.gaps
    assert {gap.reason for gap in reader.gaps} == {"trimmed"}
    told = {seq for gap in reader.gaps for seq in range(gap.after + 1, gap.before)}
    assert {one.seq for one in missed} <= seen | told
    assert not seen & told
    reader.end()


def test_a_policy_that_evicts_is_said_aloud(cluster: Cluster) -> None:
    one, _ = cluster.daemons
    cluster.redis.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    cluster.link.lead_to(cluster.redis.port)
    wait_for(lambda: "allkeys-lru" in str(status(one)["health"]), "it is said")
    said = one.run("status").stdout
    cluster.redis.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    cluster.link.lead_to(cluster.redis.port)
    wait_for(lambda: status(one)["durability"] == "full", "it is over")

    assert "store.weak: `maxmemory-policy` is allkeys-lru" in said
    assert ", durability weak" in said


def test_a_wrong_password_is_refused_and_no_password_is_ever_said(cluster: Cluster) -> None:
    secret = "kNock-kNock"
    cluster.redis.ask("ACL", "SETUSER", "ada", "on", f">{secret}", "~{secret}:*", "+@all")
    url = f"redis://ada:%s@127.0.0.1:{cluster.redis.port}/0?log=secret"
    daemon = cluster.lodge()
    daemon.env |= QUICK | {"RTEVENTS_STORE": url % "wr0ng-0ne"}
    done = daemon.run("serve", "--no-project")
    assert done.returncode == 1
    assert "refuses the user or the password" in done.stderr
    assert "Traceback" not in done.stderr
    daemon.env["RTEVENTS_STORE"] = url % secret
    daemon.start("--no-project")
    publish(daemon)
    (daemon.home / "config" / "rtevents").mkdir()

    said = "".join(
        ran.stdout + ran.stderr
        for ran in (
            daemon.run(*words)
            for words in (
                ["config", "show"],
                ["config", "check"],
                ["status"],
                ["status", "--json"],
                ["status", "--all", "--json"],
                ["check"],
                ["reload"],
                ["stats", "--once"],
                ["history"],
            )
        )
    )
    for wrong in (f"redis://ada:{secret}/x@h/0", f"redis://ada:{secret}@h/0: x", f"{url}["):
        said += daemon.run("config", "check", env={"RTEVENTS_STORE": wrong}).stderr
    said += done.stderr + daemon.log.read_text()
    assert "store: redis://***@127.0.0.1" in said
    for word in (secret, "wr0ng-0ne"):
        assert word not in said
        for file in (daemon.home / "state").rglob("*"):
            assert not file.is_file() or word.encode() not in file.read_bytes()
    daemon.stop()


def test_an_old_replica_that_takes_over_is_told_by_a_gap(
    cluster: Cluster, readers: list[Reader], tmp_path: Path
) -> None:
    one, two = cluster.daemons
    epoch = status(one)["epoch"]
    replica = RedisServer(tmp_path / "replica", replicaof=f"127.0.0.1 {cluster.redis.port}")
    replica.start()
    try:
        there = publish(one)
        wait_for(lambda: b"master_link_status:up" in replica.ask_all("INFO", "replication"), "up")
        assert cluster.redis.ask("WAIT", "1", "10000") == b":1"
        # It is behind from here on, and takes over all the same.
        assert replica.ask("REPLICAOF", "NO", "ONE") == b"+OK"
        lost = publish(two)
        wait_for(lambda: all(each.has(lost) for each in readers), "all have it")
        cluster.link.lead_to(replica.port)
        after = publish(one)

        wait_for(lambda: all(each.has(after) for each in readers), "all have it")
        assert {status(each)["epoch"] for each in (one, two)} != {epoch}
        for reader in readers:
            [gap] = reader.gaps
            assert (gap.reason, gap.before) == ("other-epoch", after.seq) or gap.before < after.seq
            assert reader.entries.index((lost.seq, lost.event_id)) < reader.entries.index(
                (after.seq, after.event_id)
            )
        kept = [each.event_id for each in history(one)]
        assert there.event_id in kept
        assert lost.event_id not in kept
        words = f"it goes on as {status(one)['epoch']}"
        wait_for(lambda: all(words in str(status(each)) for each in (one, two)), "both say it")
        wait_for(lambda: losses(two, words), "it is told in the stream")
        assert len(losses(one, words)) == 1
    finally:
        cluster.link.lead_to(cluster.redis.port)
        publish(one)
        replica.stop()


def test_a_redis_that_comes_back_empty_is_another_log_told_once(
    cluster: Cluster, readers: list[Reader]
) -> None:
    one, two = cluster.daemons
    before = publish(one)
    wait_for(lambda: all(each.has(before) for each in readers), "all have it")
    told_before = [len(each.gaps) for each in readers]
    epoch = status(one)["epoch"]
    tail = one.popen("tail")
    wait_for(lambda: tail.pid in [each["pid"] for each in connections(one)], "tail is there")
    cluster.redis.kill()
    for file in cluster.redis.folder.rglob("appendonly*"):
        if file.is_file():
            file.unlink()
    cluster.redis.start()
    after = publish(two)

    wait_for(lambda: all(each.has(after) for each in readers), "all have it")
    assert status(one)["epoch"] == status(two)["epoch"] != epoch
    for reader, count in zip(readers, told_before, strict=True):
        [gap] = reader.gaps[count:]
        assert gap.reason == "other-epoch"
        assert gap.after >= before.seq
    assert tail.stderr is not None
    assert tail.stdout is not None
    lines = iter(tail.stdout.readline, "")
    assert any(after.event_id in line for line in lines)
    tail.terminate()
    said = tail.communicate()[1]
    words = (
        r"gap: what came after entry \d+, if anything did, was lost \(other-epoch\); the log goes "
    )
    assert re.search(words + r"on at \d+\n", said)
    assert "can no longer be read" not in said
    # Both have seen it; the stream has it once.
    words = f"it goes on as {status(one)['epoch']}"
    wait_for(lambda: all(words in str(status(each)) for each in (one, two)), "both say it")
    wait_for(lambda: losses(one, words), "the stream has it")
    assert len(losses(one, words)) == 1


def test_a_log_that_was_begun_anew_and_came_further_is_told_by_those_before(
    tmp_path: Path,
) -> None:
    """Nobody's connection ends, and the seqs that are known are there: they are of others."""
    with ExitStack() as stack:
        cluster = Cluster(tmp_path, stack)
        one, two = cluster.daemons
        readers = [Reader(one), Reader(two)]
        before = publish(one)
        wait_for(lambda: all(each.has(before) for each in readers), "all have it")
        epoch = status(one)["epoch"]
        assert cluster.redis.ask("FLUSHALL") == b"+OK"
        three = cluster.start("three", cluster.link)
        with three.client() as client:
            client.publish_many([event() for _ in range(100)])
        after = publish(one)

        wait_for(lambda: all(each.has(after) for each in readers), "all go on")
        assert len({status(each)["epoch"] for each in (one, two, three)} - {epoch}) == 1
        for reader in readers:
            assert "other-epoch" in {gap.reason for gap in reader.gaps}
            assert all(gap.after >= before.seq for gap in reader.gaps)
            reader.end()


def test_a_daemon_that_is_cut_off_tells_its_subscribers_and_misses_nothing(
    cluster: Cluster, readers: list[Reader], tmp_path: Path
) -> None:
    one, two = cluster.daemons
    link = cluster.link_to(cluster.redis)
    folder = tmp_path / "web"
    folder.mkdir()
    three = cluster.start("three", link, str(folder))
    readers.append(Reader(three))
    wait_for(lambda: state(one, "three") is False, "the third node is heard")
    before = [publish(each) for each in (one, two, three)]
    wait_for(lambda: all(each.has(*before) for each in readers), "all have it")
    link.cut()

    (folder / "a.txt").write_text("a\n")
    during = [publish(each) for each in (one, two) for _ in range(5)]
    wait_for(lambda: readers[2].health.get("status") == "failed", "its subscriber is told")
    assert "does not answer in time" in readers[2].health["reasons"][0]
    assert "redis at" in refusal(three)
    wait_for(lambda: status(three)["spooled"], "what changes there waits on disk")
    (folder / "b.txt").write_text("b\n")
    wait_for(lambda: status(three)["spooled"] >= 2, "what changes later waits behind it")
    reasons = status(three)["health"]["reasons"]
    assert any("events of this machine wait for the log" in reason for reason in reasons)
    assert "of the daemon's own waiting for the store" in three.run("status").stdout
    wait_for(lambda: state(one, "three") and told(two, "node.lost", "three"), "it is missed")
    assert nodes(two)["total"]["lost"] == 1
    said = one.run("status", "--all").stdout
    assert said.startswith("degraded  3 nodes, 1 lost, ")
    assert re.search(r"^node     three  lost +last heard ", said, re.MULTILINE)
    assert not readers[2].has(*during)
    link.mend()

    wait_for(lambda: status(three)["spooled"] == 0, "what waited is published")
    wait_for(lambda: state(one, "three") is False, "it is heard again")
    after = [publish(each) for each in (three, one)]
    check_order(readers, *before, *during, *after)
    assert readers[2].gaps == []
    wait_for(lambda: readers[2].health.get("status") != "failed", "its subscriber is told the end")
    changes = [each for each in history(one) if each.type == "FILE_CHANGE"]
    assert [each.path for each in changes] == ["a.txt", "b.txt"]
    assert len(told(one, "node.lost", "three")) == 1
    three.stop()
    wait_for(lambda: state(one, "three") is None, "one that was stopped is not missed")
    assert told(two, "node.stopped", "three")


def test_a_daemon_that_is_killed_keeps_what_waits(cluster: Cluster, readers: list[Reader]) -> None:
    one, _ = cluster.daemons
    link = cluster.link_to(cluster.redis)
    four = cluster.lodge()
    folder = four.repository("api")
    cluster.start_in(four, "four", link, str(folder))
    link.lead_to(1)
    (folder / "kept.txt").write_text("first\n")
    wait_for(lambda: status(four)["spooled"], "it waits on disk")
    # Its net effect is none: only the spool knows of it.
    (folder / "kept.txt").unlink()
    four.git("commit", "-q", "--allow-empty", "-m", "Cut off", cwd=folder)
    wait_for(lambda: waiting(four, "COMMIT") and waiting(four, "deleted"), "all waits on disk")
    four.stop(signal.SIGKILL)
    link.lead_to(cluster.redis.port)
    four.start(str(folder))

    def found(kind: str) -> list[Entry]:
        mine = [each for each in history(one) if each.project_id == "api"]
        return [each for each in mine if each.type == kind]

    wait_for(lambda: status(four)["spooled"] == 0 and found("COMMIT"), "all is published")
    changes = [each.event.data["change_type"] for each in found("FILE_CHANGE")]
    assert changes == ["created", "deleted"]
    assert [each.event.data["message"].strip() for each in found("COMMIT")] == ["Cut off"]
    four.stop()
