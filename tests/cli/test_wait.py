"""rtevents wait: until something happens."""

from __future__ import annotations

import json

from tests.conftest import PATIENCE, Daemon, wait_for


def test_what_happened_since_a_bookmark_is_not_missed(shared_daemon: Daemon) -> None:
    """The idiom: take the place, cause it, wait for it."""
    shared_daemon.run("publish", "risk", "before")
    bookmark = shared_daemon.run("status", "--bookmark").stdout.strip()
    shared_daemon.run("publish", "risk", "after")
    done = shared_daemon.run("wait", "-t", "RISK_ALERT", "--since", bookmark, "--timeout", "30s")

    assert done.returncode == 0
    assert json.loads(done.stdout)["data"]["message"] == "after"
    assert done.stderr == ""


def test_it_waits_and_ends_when_enough_has_happened(shared_daemon: Daemon) -> None:
    waiting = shared_daemon.popen("wait", "-w", 'data.message == "now"', "--count", "2")
    with shared_daemon.client() as client:
        wait_for(lambda: waiting.poll() is None and client.stats()["uptime"], "it runs")

    def happened() -> bool:
        shared_daemon.run("publish", "risk", "now")
        return waiting.poll() is not None

    wait_for(happened, "it ends")
    said, _ = waiting.communicate(timeout=PATIENCE)
    assert waiting.returncode == 0
    assert len(said.splitlines()) == 2


def test_what_does_not_happen_in_time_is_124(shared_daemon: Daemon) -> None:
    done = shared_daemon.run("wait", "-t", "COMMIT", "--timeout", "0.2s")

    assert done.returncode == 124
    assert done.stderr == "rtevents: it did not happen in time\n"
    assert done.stdout == ""


def test_no_time_at_all_only_looks(shared_daemon: Daemon) -> None:
    shared_daemon.run("publish", "risk", "there")

    look = ("wait", "--since", "all", "--timeout", "0s")
    assert shared_daemon.run(*look).returncode == 0
    assert shared_daemon.run(*look, "-t", "COMMIT").returncode == 124


def test_a_daemon_that_restarts_is_waited_for(daemon: Daemon) -> None:
    daemon.run("publish", "risk", "before")
    waiting = daemon.popen("wait", "-t", "RISK_ALERT", "--since", "all", "--count", "2")
    assert waiting.stdout is not None
    assert "before" in waiting.stdout.readline()
    daemon.stop()
    daemon.start()
    daemon.run("publish", "risk", "after")
    said, _ = waiting.communicate(timeout=PATIENCE)

    assert (waiting.returncode, json.loads(said)["data"]["message"]) == (0, "after")


def test_a_gap_is_told_and_may_be_an_error(shared_daemon: Daemon) -> None:
    shared_daemon.run("publish", "risk", "there")
    other = ["wait", "--since", "00000000-1", "--timeout", "5s"]
    done = shared_daemon.run(*other)

    assert done.returncode == 0
    assert "gap: " in done.stderr
    assert shared_daemon.run(*other, "--fail-on-gap").returncode == 6


def test_a_viewer_may_know_where_the_log_ends(shared_daemon: Daemon) -> None:
    url = json.loads(shared_daemon.run("status", "--json").stdout)["url"]
    token = shared_daemon.run("token", "create", "--role", "viewer").stdout.strip()
    env = {"RTEVENTS_URL": url, "RTEVENTS_TOKEN": token}
    done = shared_daemon.run("status", "--bookmark", env=env)

    assert done.returncode == 0
    assert done.stdout == shared_daemon.run("status", "--bookmark").stdout


def test_without_a_daemon_it_says_so(stopped_daemon: Daemon) -> None:
    assert stopped_daemon.run("wait").returncode == 3
