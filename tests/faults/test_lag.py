"""What blocks everybody is seen: F41."""

from __future__ import annotations

import signal
import time

from tests.conftest import Daemon, wait_for

HELD_SECONDS = 1.5


def test_an_event_loop_that_was_held_is_told_and_forgotten(daemon: Daemon) -> None:
    """F41: the whole process stands still; the lag says so, and the health, and all goes on."""
    root = daemon.repository()
    assert daemon.run("project", "add", str(root)).returncode == 0
    assert daemon.process is not None
    with daemon.client() as client:
        assert client.stats()["loop_lag_ms"] < HELD_SECONDS * 1000
        daemon.process.send_signal(signal.SIGSTOP)
        time.sleep(HELD_SECONDS)
        (root / "meanwhile.txt").write_text("x\n")
        daemon.process.send_signal(signal.SIGCONT)

        wait_for(lambda: client.stats()["loop_lag_ms"] > 1000, "the lag is seen")
        health = client.status()["health"]
        assert health["status"] == "degraded"
        assert "milliseconds of lag" in health["reasons"][0]
        wait_for(
            lambda: "meanwhile.txt" in daemon.run("history", "-t", "FILE_CHANGE").stdout,
            "what happened meanwhile is told",
        )
