"""Daemons that share a log, one of them on a network that is cut off: F40."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from rtevents.client.sync import Client
from rtevents.core.event import Event, Stored
from rtevents.errors import Unavailable
from tests.conftest import Daemon, folder_with_a_short_path, lodging, wait_for
from tests.faults.network import Way, namespace
from tests.faults.test_redis import (
    QUICK,
    Reader,
    check_order,
    connections,
    event,
    history,
    publish,
    status,
    told,
)
from tests.redis import RedisServer

logger = logging.getLogger(__name__)

FIN_WAIT1 = "04"
"""In /proc/net/tcp: closed here, and the other end has not confirmed all that was sent."""


class Apart:
    """
    Two daemons beside their Redis, and a third that gets there by a way that can be cut.

    Args:
        interval: Seconds between two heartbeats of the third: each may tell it how far the log is.
    """

    def __init__(self, stack: ExitStack, interval: float) -> None:
        self._stack = stack
        near, far, between = (stack.enter_context(namespace()) for _ in range(3))
        self.way = Way(near, far, between)
        folder = stack.enter_context(folder_with_a_short_path())
        self.redis = RedisServer(
            folder,
            through=("ip", "netns", "exec", near),
            unixsocket=str(folder / "redis.sock"),
            bind=f"127.0.0.1 {Way.NEAR}",
            # Who is on these networks is of this test.
            **{"protected-mode": "no"},
        )
        self.redis.start()
        stack.callback(self.redis.stop)
        self.beside = [self._lodge(), self._lodge()]
        for name, daemon in zip(("one", "two"), self.beside, strict=True):
            self._start(daemon, name, near, "127.0.0.1", "--no-project")
        self.far = self._lodge()
        self.repository = self.far.repository()
        self.far.env["RTEVENTS_NODE_INTERVAL"] = str(interval)
        self._start(self.far, "three", far, Way.NEAR, str(self.repository))
        self.readers = [Reader(each) for each in (*self.beside, self.far)]
        for reader in self.readers:
            stack.callback(reader.end)

    def _lodge(self) -> Daemon:
        home = self._stack.enter_context(folder_with_a_short_path())
        return self._stack.enter_context(lodging(home))

    def _start(self, daemon: Daemon, name: str, space: str, address: str, *what: str) -> None:
        url = f"redis://{address}:{self.redis.port}/0?log=team"
        daemon.env = QUICK | {"RTEVENTS_STORE": url, "RTEVENTS_NODE": name} | daemon.env
        daemon.start(*what, through=("ip", "netns", "exec", space))

    @property
    def subscriber(self) -> Reader:
        """The subscriber of the daemon that can be cut off."""
        return self.readers[-1]

    def tail(self) -> subprocess.Popen[str]:
        """Start `rtevents tail` there; nobody reads its output, so that it has none."""
        tail = self.far.popen("tail", "--type", "PROGRESS_UPDATE")
        self._stack.callback(tail.communicate)
        self._stack.callback(tail.kill)
        return tail

    def commit(self, name: str) -> None:
        """Make a file there and commit it."""
        (self.repository / name).write_text(f"{name}\n")
        self.far.git("add", name, cwd=self.repository)
        self.far.git("commit", "-qm", name, cwd=self.repository)

    def check_commits(self, *names: str) -> None:
        """Check that the log has what changed there once, in the order in which it did."""
        kept = history(self.beside[0])
        changes = [each.path for each in kept if each.type == "FILE_CHANGE"]
        commits = [each.event.data["message"] for each in kept if each.type == "COMMIT"]
        assert changes == list(names)
        assert [each.strip() for each in commits] == list(names)

    def is_followed_from(self, address: str) -> bool:
        """Tell whether a daemon there waits for what others append."""
        clients = self.redis.ask_all("CLIENT", "LIST").decode().splitlines()
        waiting = [each for each in clients if " flags=b " in each and " cmd=xread " in each]
        return any(f" addr={address}:" in each for each in waiting)

    def is_sending(self) -> bool:
        """Tell whether the other end has not confirmed yet all that was sent from there."""
        return any(count for _, count in self._sockets())

    def is_sending_for_nobody(self) -> bool:
        """Tell whether some of that is of who has closed the connection."""
        # The end of a stream counts as a byte.
        return any(state == FIN_WAIT1 and count > 1 for state, count in self._sockets())

    def _sockets(self) -> list[tuple[str, int]]:
        """Return of each of its TCP sockets the state, and the bytes that are not confirmed."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.way.far, "cat", "/proc/net/tcp"],
            capture_output=True,
            text=True,
            check=True,
        )
        lines = [line.split() for line in done.stdout.splitlines()[1:]]
        return [(words[3], int(words[4].partition(":")[0], 16)) for words in lines]


@contextmanager
def apart(interval: float) -> Iterator[Apart]:
    """Have three daemons on one log, and a subscriber of each."""
    with ExitStack() as stack:
        yield Apart(stack, interval)


@pytest.fixture(scope="module")
def quiet() -> Iterator[Apart]:
    """Return daemons for several tests: each leaves them connected, wherever the third is then."""
    with apart(interval=3600) as each:
        yield each


def refuse(daemon: Daemon, told: Event) -> None:
    """Check that an event is refused since Redis does not answer."""
    with (
        Client(daemon.socket, retry_for=0) as client,
        pytest.raises(Unavailable, match=f"redis at {Way.NEAR}:.* does not answer in time"),
    ):
        client.publish(told)


def lose_an_answer(apart: Apart) -> tuple[Event, int]:
    """Have an event stored from there whose answer gets lost, as all others do from then on."""
    for _ in range(10):
        lost = event("unheard")
        apart.way.mute()
        refuse(apart.far, lost)
        for seq, name in apart.readers[0].entries:
            if name == lost.event_id:
                return lost, seq
        # There was no connection free, and a new one needs answers first.
        apart.way.mend()
        publish(apart.far)
    pytest.fail("it was never stored")


def test_a_daemon_that_comes_back_with_another_address_follows_and_stores_all_once(
    quiet: Apart,
) -> None:
    """F40: what connected it before is never closed and never answers: only silence tells it."""
    one, two = quiet.beside
    before = [publish(daemon) for daemon in (one, two, quiet.far)]
    wait_for(lambda: all(reader.has(*before) for reader in quiet.readers), "all have it")

    wait_for(
        lambda: quiet.is_followed_from(Way.FAR) and not quiet.is_sending(),
        "it waits for growth, and Redis has confirmed that",
    )
    unheard, seq = lose_an_answer(quiet)
    wait_for(lambda: quiet.subscriber.health.get("status") == "failed", "its subscriber is told")
    assert "does not answer in time" in quiet.subscriber.health["reasons"][0]
    quiet.way.cut()
    quiet.commit("a.txt")
    during = [publish(daemon) for daemon in (one, two)]
    wait_for(lambda: status(quiet.far)["spooled"] >= 2, "what changes there waits on disk")
    assert not quiet.subscriber.has(during[0])
    quiet.way.move()
    quiet.way.mend()
    mended_at = time.monotonic()

    wait_for(lambda: quiet.subscriber.has(during[0]), "it follows again")
    logger.info("%.1f s until it followed", time.monotonic() - mended_at)
    wait_for(lambda: not status(quiet.far)["spooled"], "what waited is published")
    # Until then it hears how far the log is with answers to what it asks.
    wait_for(lambda: quiet.is_followed_from(Way.MOVED), "it waits for growth again", patience=20)
    logger.info("%.1f s until it waited for growth again", time.monotonic() - mended_at)
    after = [publish(daemon) for daemon in (one, two)]
    again = publish(quiet.far, unheard)
    assert (again.seq, again.duplicate) == (seq, True)
    check_order(quiet.readers, *before, *during, *after, again)
    quiet.check_commits("a.txt")
    assert [reader.gaps for reader in quiet.readers] == [[], [], []]
    wait_for(lambda: quiet.subscriber.health.get("status") != "failed", "it is told the end")


def test_what_was_refused_while_the_way_was_cut_is_not_stored_behind_what_came_later(
    quiet: Apart,
) -> None:
    """F40: what is sent into silence is given up with the answer to it."""
    publish(quiet.far)
    quiet.way.cut()
    refused = event("refused")
    refuse(quiet.far, refused)
    wait_for(lambda: not quiet.is_sending_for_nobody(), "it is sent no more")
    quiet.way.mend()
    later = publish(quiet.far)

    check_order(quiet.readers, later)
    assert refused.event_id not in [entry.event_id for entry in history(quiet.far)]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_minute_of_silence_is_told_and_nothing_is_missed() -> None:
    """F40: longer than each timeout; both ends go on, and are one log again."""
    with apart(interval=1) as each:
        one, two = each.beside
        tail = each.tail()
        wait_for(lambda: tail.pid in [c["pid"] for c in connections(each.far)], "tail is there")
        before = [publish(daemon) for daemon in (one, two, each.far)]
        wait_for(lambda: all(reader.has(*before) for reader in each.readers), "all have it")

        each.way.cut()
        cut_at = time.monotonic()
        refused = event("refused")
        refuse(each.far, refused)
        wait_for(lambda: each.subscriber.health.get("status") == "failed", "its subscriber is told")
        logger.info("%.1f s until the loss was told", time.monotonic() - cut_at)
        names: list[str] = []
        during: list[Stored] = []
        while time.monotonic() < cut_at + 60:
            names.append(f"{len(names)}.txt")
            each.commit(names[-1])
            during += [publish(daemon) for daemon in (one, two)]
            wait_for(
                lambda: status(each.far)["spooled"] >= 2 * len(names), "what changes waits on disk"
            )
            time.sleep(1)
        assert len(told(two, "node.lost", "three")) == 1
        assert not each.subscriber.has(during[0])
        assert each.subscriber.health["status"] == "failed"
        each.way.mend()
        mended_at = time.monotonic()

        wait_for(lambda: each.subscriber.has(during[0]), "it follows again")
        logger.info("%.1f s until it followed", time.monotonic() - mended_at)
        wait_for(lambda: not status(each.far)["spooled"], "what waited is published")
        logger.info("%.1f s until the spool was empty", time.monotonic() - mended_at)
        folder = each.far.home / "state" / "rtevents"
        wait_for(lambda: not list(folder.glob("spool.db*")), "the spool is gone")
        after = [publish(daemon) for daemon in (one, two, each.far)]
        check_order(each.readers, *before, *during, *after)
        each.check_commits(*names)
        assert refused.event_id not in [entry.event_id for entry in history(one)]
        assert [reader.gaps for reader in each.readers] == [[], [], []]
        wait_for(lambda: each.subscriber.health.get("status") != "failed", "it is told the end")
        assert "reasons" not in each.subscriber.health
        assert tail.stderr is not None
        assert "events cannot be stored: redis at" in tail.stderr.readline()
        assert tail.stderr.readline() == "rtevents: events can be stored and read again\n"
