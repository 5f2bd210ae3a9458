"""What those who wait for an event are told while the log in Redis is away."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rtevents.stores.redis import JUMP
from tests.conftest import PATIENCE, Daemon, folder_with_a_short_path, lodging, wait_for
from tests.faults.test_redis import QUICK, event, publish
from tests.redis import RedisServer, running, save, set_back


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that the test may harm."""
    with running(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def daemon(redis: RedisServer) -> Iterator[Daemon]:
    """A daemon on it, that has more events than it holds in memory."""
    with ExitStack() as stack:
        home = stack.enter_context(folder_with_a_short_path())
        daemon = stack.enter_context(lodging(home))
        daemon.env |= QUICK | {"RTEVENTS_STORE": redis.url("team")}
        daemon.env |= {"RTEVENTS_RETENTION__MAX_EVENTS": "0"}
        daemon.start("--no-project")
        for number in range(12):
            publish(daemon, event(str(number)))
        yield daemon


def is_failed(daemon: Daemon) -> bool:
    with daemon.client() as client:
        return bool(client.status()["health"]["status"] == "failed")


def test_who_waits_is_told_why_nothing_comes(redis: RedisServer, daemon: Daemon) -> None:
    redis.stop()
    wait_for(lambda: is_failed(daemon), "it is seen")
    new = daemon.run("wait", "-t", "COMMIT", "--timeout", "2s")
    old = daemon.run("wait", "-t", "COMMIT", "--since", "all", "--timeout", "1s")

    for done in (new, old):
        why, late = done.stderr.splitlines()
        assert done.returncode == 124
        assert "redis at 127.0.0.1:" in why
        assert late == "rtevents: it did not happen in time"


def test_what_is_started_while_it_is_away_goes_on_when_it_is_back(
    redis: RedisServer, daemon: Daemon
) -> None:
    redis.stop()
    wait_for(lambda: is_failed(daemon), "it is seen")
    words = ("-t", "TASK_UPDATE", "--since", "all")
    waiting = daemon.popen("wait", *words, "--count", "13")
    acting = daemon.popen("on", *words, "--", "cat")
    try:
        for process in (waiting, acting):
            assert process.stderr is not None
            assert "redis at 127.0.0.1:" in process.stderr.readline()
        redis.start()
        publish(daemon, event("last"))

        said, _ = waiting.communicate(timeout=PATIENCE)
        assert waiting.returncode == 0
        assert tasks(said.splitlines()) == [*map(str, range(12)), "last"]
        assert acting.stdout is not None
        assert tasks([acting.stdout.readline() for _ in range(13)])[-1] == "last"
        acting.terminate()
        assert acting.wait(PATIENCE) == 128 + 15
    finally:
        end(waiting, acting)


def test_a_log_that_was_set_back_while_no_daemon_ran_is_told(
    redis: RedisServer, daemon: Daemon
) -> None:
    copy = save(redis)
    last = [publish(daemon, event(f"lost-{number}")) for number in range(20)][-1]
    bookmark = daemon.run("status", "--bookmark").stdout.strip()
    daemon.stop(signal.SIGKILL)
    set_back(redis, copy)
    daemon.start("--no-project")
    new = [publish(daemon, event(f"new-{number}")) for number in range(30)]

    done = daemon.run("tail", "-t", "TASK_UPDATE", "--since", bookmark, "-T")
    said = daemon.run("status").stdout

    assert new[0].seq > last.seq + JUMP
    assert "gap: it is not known what was missed (other-epoch)" in done.stderr
    assert tasks(done.stdout.splitlines())[-30:] == [f"new-{number}" for number in range(30)]
    [(held, oldest, newest)] = re.findall(r"(\d+) entries, (\d+) to (\d+)", said)
    assert 42 < int(held) < 10_000
    assert int(newest) - int(oldest) > JUMP
    assert "store.lost: redis lost the end of the log" in said


def tasks(lines: list[str]) -> list[str]:
    """Return the tasks of which lines of JSON tell."""
    return [json.loads(line)["data"]["task_id"] for line in lines]


def end(*processes: subprocess.Popen[str]) -> None:
    """End what a failed test has left."""
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()
