"""SYSTEM_STATUS: how the daemon itself is, told when that changes."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from rtevents.core.filter import Filter
from tests.conftest import Daemon, wait_for

TOLD = Filter(types=frozenset({"SYSTEM_STATUS"}))

QUICK = {
    "RTEVENTS_HEALTH__INTERVAL": "0.05",
    # How busy the machine is with other tests.
    "RTEVENTS_HEALTH__LATENCY_MS": "1000000",
    "RTEVENTS_HEALTH__LOOP_LAG_MS": "1000000",
}


def told(daemon: Daemon) -> list[dict[str, Any]]:
    """Return what the stream told of the daemon."""
    with daemon.client() as client:
        return [entry.event.data for entry in client.history(TOLD).events]


def end(tail: subprocess.Popen[str]) -> None:
    """End a subscriber."""
    tail.kill()
    tail.communicate()


def start(daemon: Daemon, **settings: str) -> None:
    """Start it with these settings of `health`."""
    named = {f"RTEVENTS_HEALTH__{name.upper()}": value for name, value in settings.items()}
    daemon.start("--no-project", "--quiet", env=QUICK | named)


def test_a_crossed_threshold_is_told_once_and_when_it_is_over(stopped_daemon: Daemon) -> None:
    daemon = stopped_daemon
    start(daemon, connections="2")
    tails: list[subprocess.Popen[str]] = []
    try:
        tails = [daemon.popen("tail", "-t", "COMMIT") for _ in range(3)]
        wait_for(lambda: told(daemon), "it is told")
        with daemon.client() as client:
            assert client.status()["health"]["status"] == "degraded"
            wait_for(lambda: len(client.connections()) == 3, "all are connected")
        [crossed] = told(daemon)
        end(tails.pop())
        with daemon.client() as client:
            wait_for(lambda: len(client.connections()) == 2, "one has gone")
        end(tails.pop())
        wait_for(lambda: len(told(daemon)) == 2, "that it is over is told")
    finally:
        for tail in tails:
            end(tail)

    assert (crossed["status"], crossed["event"]) == ("degraded", "threshold_crossed")
    assert crossed["reasons"] == ["connections: 3, above 2"]
    assert crossed["metrics"]["connections"] == 3
    cleared = told(daemon)[1]
    assert (cleared["status"], cleared["event"]) == ("ok", "threshold_cleared")
    assert cleared["reasons"] == []
    assert cleared["metrics"]["connections"] == 1, "at two, it was not below nine tenths of two"


def test_each_threshold_is_a_setting(stopped_daemon: Daemon) -> None:
    start(stopped_daemon, memory_bytes="1")

    wait_for(lambda: told(stopped_daemon), "the memory is told")

    [only] = told(stopped_daemon)
    assert only["reasons"][0].startswith("bytes of memory: ")
    assert only["metrics"]["memory_bytes"] > 10**7


def test_a_change_of_the_verdict_without_a_figure_is_told(stopped_daemon: Daemon) -> None:
    """A configuration that is refused is a warning; it is gone when one is taken on."""
    daemon = stopped_daemon
    file = daemon.home / "config" / "rtevents" / "config.yaml"
    file.parent.mkdir(mode=0o700)
    file.write_text("log_level: info\n")
    start(daemon)
    file.write_text("log_level: loud\n")
    assert daemon.run("reload").returncode != 0

    def changes() -> list[dict[str, Any]]:
        return [each for each in told(daemon) if each["event"] == "verdict_changed"]

    wait_for(lambda: len(changes()) == 1, "the warning is told")
    file.write_text("log_level: info\n")
    assert daemon.run("reload").returncode == 0
    wait_for(lambda: len(changes()) == 2, "its end is told")

    assert [each["status"] for each in changes()] == ["degraded", "ok"]


def test_a_verdict_that_a_restart_has_changed_is_told(stopped_daemon: Daemon) -> None:
    """Else the newest word on a daemon that is well would be that it is not."""
    daemon = stopped_daemon
    start(daemon, memory_bytes="1")
    wait_for(lambda: told(daemon), "the memory is told")
    daemon.stop()
    start(daemon)
    wait_for(lambda: len(told(daemon)) == 2, "that all is well is told")
    daemon.stop()
    start(daemon, errors_per_minute="11")
    daemon.run("publish", "system", "ok")
    with daemon.client() as client:
        wait_for(lambda: client.stats()["uptime"] > 0.5, "it has looked several times")

    assert [(each["status"], each.get("event")) for each in told(daemon)] == [
        ("degraded", "threshold_crossed"),
        ("ok", "verdict_changed"),
        ("ok", None),
    ]


@pytest.mark.parametrize("asked", ["tail", "tail --type DASHBOARD_UPDATE"])
def test_a_dashboard_update_is_shown_to_who_asks_for_it(stopped_daemon: Daemon, asked: str) -> None:
    daemon = stopped_daemon
    start(daemon, dashboard_interval="0.05")
    tail = daemon.popen(*asked.split(), "--timeout", "20s")
    try:
        with daemon.client() as client:
            wait_for(client.connections, "it follows")
            client_is_first = asked == "tail"
            if client_is_first:
                daemon.run("publish", "risk", "full")
        assert tail.stdout is not None
        line = tail.stdout.readline()
    finally:
        end(tail)

    assert ('"type":"DASHBOARD_UPDATE"' in line) is not client_is_first
    with daemon.client() as client:
        assert client.status()["newest"] == int(client_is_first), "it is not stored"
