"""A daemon that the service manager starts when somebody knocks."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys

import pytest

from tests.conftest import PATIENCE, Daemon, wait_for


@pytest.mark.skipif(
    shutil.which("systemd-socket-activate") is None, reason="systemd is not installed"
)
def test_who_knocks_first_is_answered(stopped_daemon: Daemon) -> None:
    """The socket is there before the daemon; the first command starts it, and is served."""
    daemon = stopped_daemon
    daemon.socket.parent.mkdir(mode=0o700)
    names = [f"--setenv={name}" for name in daemon.env]
    with daemon.log.open("ab") as log:
        waiting = subprocess.Popen(
            [
                "systemd-socket-activate", "--listen", str(daemon.socket), *names,
                sys.executable, "-m", "rtevents", "serve", "--no-project", "--quiet",
            ],
            env=daemon.env, cwd=daemon.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    daemon.process = waiting
    wait_for(daemon.socket.is_socket, "it listens")

    done = daemon.run("publish", "risk", "knock knock")

    assert (done.returncode, done.stderr) == (0, "")
    assert "knock knock" in daemon.run("history", "-o", "ndjson").stdout
    waiting.send_signal(signal.SIGTERM)
    assert waiting.wait(PATIENCE) == 0
    daemon.process = None
    assert daemon.socket.is_socket()  # it is the service manager's
