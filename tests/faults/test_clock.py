"""What a clock that is set does: F13."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rtevents.client.frames import Control
from rtevents.core.event import Entry
from tests.conftest import Daemon, wait_for
from tests.faults.checker import everything, risk
from tests.security.attacker import Caller

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)

pytestmark = pytest.mark.skipif(LIBRARY is None, reason="faketime is not installed")

DAY = 86_400


@pytest.fixture
def clock(home: Path) -> Path:
    """Return the file that says how the daemon's wall clock is off, such as ``+3600``."""
    file = home / "clock"
    file.write_text("+0\n")
    return file


def faked(clock: Path, **settings: object) -> Mapping[str, str]:
    """Return the environment of a daemon whose wall clock that file sets."""
    return {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    } | {f"RTEVENTS_{name}": str(value) for name, value in settings.items()}


def jumps(daemon: Daemon) -> list[dict[str, Any]]:
    """Return what the stream tells of a clock that was set."""
    with daemon.client() as client:
        told = [e.event.data for e in everything(client) if e.type == "SYSTEM_STATUS"]
    return [data for data in told if data["event"] == "clock_jump"]


@pytest.mark.parametrize("seconds", [-3600, 365 * DAY])
def test_a_clock_that_is_set_while_it_runs_is_told_and_costs_nothing(
    stopped_daemon: Daemon, clock: Path, seconds: int
) -> None:
    """F13: seqs grow, heartbeats go on, nobody is cut off, and no entry is too old."""
    daemon = stopped_daemon
    daemon.start(
        env=faked(
            clock, RETENTION__MAX_AGE=DAY, RETENTION__INTERVAL="0.1", HEARTBEAT_INTERVAL="0.2",
            CLEANUP_TIMEOUT="2",
        )
    )  # fmt: skip
    with daemon.client() as client, daemon.client() as reader:
        client.publish_many([risk(f"{number}") for number in range(20)])
        frames = reader.stream(since="all", control=True)
        assert isinstance(next(frames), Control)
        clock.write_text(f"{seconds:+}\n")
        wait_for(lambda: jumps(daemon), "it is told")
        seq = client.publish(risk("after")).seq
        beats = 0
        for frame in itertools.islice(frames, 60):
            assert not isinstance(frame, Control) or frame.name != "lost"
            beats += isinstance(frame, Entry) and frame.type == "HEALTH_CHECK"
        kept = [entry.seq for entry in everything(client)]

    assert kept == list(range(1, seq + 1))
    assert beats > 10
    [jump] = jumps(daemon)
    assert abs(jump["metrics"]["seconds"] - seconds) < 5


def test_a_clock_that_is_set_back_makes_no_token_last_longer(
    stopped_daemon: Daemon, clock: Path
) -> None:
    """F13: a token ends by the clock that is never set as well."""
    daemon = stopped_daemon
    daemon.start(env=faked(clock))
    with daemon.client() as client:
        secret = client.create_token("viewer", expires_in=4)["token"]
    clock.write_text("-3600\n")
    viewer = Caller(daemon, secret)
    with viewer.stream() as stream:
        assert b"hello" in stream.readline()
        frames = list(stream)  # until it ends

    assert b'"reason":"ended"' in frames[-1]
    assert viewer.get("/v1/events").status == 401


def test_a_clock_that_was_set_ahead_while_it_was_down_does_not_trim_all_at_once(
    stopped_daemon: Daemon, clock: Path
) -> None:
    """F13: a pass deletes a thousand of what is too old, or a twentieth."""
    daemon = stopped_daemon
    settings = {"RETENTION__MAX_AGE": DAY, "RETENTION__INTERVAL": 3600}
    daemon.start(env=faked(clock, **settings))
    with daemon.client() as client:
        for _ in range(3):
            client.publish_many([risk(f"{number}") for number in range(500)])
    daemon.stop()
    clock.write_text(f"+{365 * DAY}\n")
    daemon.start(env=faked(clock, **settings))

    with daemon.client() as client:
        wait_for(lambda: client.stats()["log"]["oldest"] > 1, "the first pass")
        assert client.stats()["log"]["oldest"] == 1001
