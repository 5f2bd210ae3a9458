"""What a monitoring program reads."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from contextlib import suppress

import pytest

from rtevents.cli.check import FIGURES
from rtevents.client.sync import Client
from rtevents.core.health import Thresholds
from rtevents.errors import Unavailable
from tests.conftest import Daemon, wait_for
from tests.faults.checker import risk

FORMATS = ("nagios", "json", "prometheus", "text")

# Monitoring Plugins' guidelines, section 2.6: 'label'=value[UOM];[warn];[crit];[min];[max]
DATA = re.compile(r"[a-z]+=[0-9.]+(?:ms|B|%)?;[0-9.]+;;0\Z")


def test_every_threshold_has_a_figure_here() -> None:
    assert FIGURES.keys() == set(Thresholds.__struct_fields__)


def test_all_is_well(daemon: Daemon) -> None:
    daemon.run("publish", "risk", "full")

    done = daemon.run("check")

    assert done.returncode == 0, done.stdout
    said, _, data = done.stdout.strip().partition(" | ")
    assert said == "RTEVENTS OK - ok, 1 events"
    assert all(DATA.match(each) for each in data.split(" ")), data
    assert data.startswith("connections=")
    assert "connections=1;800;;0" in data
    assert "queue=0%;80;;0" in data


def test_a_daemon_that_is_degraded_is_a_warning_with_the_reason(stopped_daemon: Daemon) -> None:
    stopped_daemon.start(env={"RTEVENTS_HEALTH__MEMORY_BYTES": "1000"})

    for form in FORMATS:
        assert stopped_daemon.run("check", "--format", form).returncode == 1
    assert "WARNING - bytes of memory: " in stopped_daemon.run("check").stdout
    found = json.loads(stopped_daemon.run("check", "--format", "json").stdout)
    assert (found["status"], found["code"]) == ("warning", 1)
    assert found["metrics"]["memory_bytes"]["warning"] == 1000
    assert "memory" in stopped_daemon.run("check", "--format", "text").stdout


def test_no_daemon_is_critical_in_every_format(stopped_daemon: Daemon) -> None:
    for form in FORMATS:
        done = stopped_daemon.run("check", "--format", form)
        assert done.returncode == 2, form
        assert done.stderr == ""
    assert stopped_daemon.run("check").stdout.startswith("RTEVENTS CRITICAL - no daemon")


def test_a_daemon_that_is_frozen_is_critical(daemon: Daemon) -> None:
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        done = daemon.run("check", "--timeout", "300ms")
    finally:
        daemon.process.send_signal(signal.SIGCONT)

    assert done.returncode == 2
    assert done.stdout.startswith("RTEVENTS CRITICAL - ")


def test_what_may_not_be_asked_is_unknown(shared_daemon: Daemon) -> None:
    with shared_daemon.client() as client:
        url, token = client.status()["url"], client.create_token("viewer")["token"]

    done = shared_daemon.run("check", env={"RTEVENTS_URL": url, "RTEVENTS_TOKEN": token})

    assert done.returncode == 3
    assert done.stdout.startswith("RTEVENTS UNKNOWN - ")
    for wrong in (
        ["--format", "xml"],
        ["--fromat", "nagios"],
        ["--format"],
        ["now"],
        ["--timeout", "soon"],
    ):
        done = shared_daemon.run("check", *wrong)
        assert (done.returncode, done.stdout[:19]) == (3, "RTEVENTS UNKNOWN - "), wrong
    assert shared_daemon.run("check", "--help").returncode == 0


def test_a_limited_token_is_told_the_verdict_and_no_figure(shared_daemon: Daemon) -> None:
    with shared_daemon.client() as client:
        url = client.status()["url"]
        token = client.create_token("admin", projects=["web"])["token"]

    done = shared_daemon.run("check", env={"RTEVENTS_URL": url, "RTEVENTS_TOKEN": token})

    assert (done.returncode, done.stdout) == (0, "RTEVENTS OK - ok, 0 events\n")


def test_a_daemon_that_cannot_store_is_critical(stopped_daemon: Daemon) -> None:
    """The file system of its log takes no byte more."""
    daemon = stopped_daemon
    daemon.start(env={"RTEVENTS_STORE": "sqlite"})
    assert daemon.process is not None
    limit = ["prlimit", f"--pid={daemon.process.pid}", "--fsize=0"]
    if not shutil.which("prlimit"):
        pytest.skip("util-linux is not installed")
    subprocess.run(limit, check=True)

    def is_refused() -> bool:
        # The command would try again for ten seconds.
        with Client(daemon.socket, retry_for=0) as client, suppress(Unavailable):
            client.publish(risk("x"))
            return False
        return True

    wait_for(is_refused, "it cannot be stored")

    assert daemon.run("check").returncode == 2


def test_promtool_has_nothing_to_say(shared_daemon: Daemon) -> None:
    if not (promtool := shutil.which("promtool")):
        pytest.skip("prometheus is not installed")
    text = shared_daemon.run("check", "--format", "prometheus").stdout

    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "rtevents_check_status 0\n" in text
    assert "rtevents_check_queue_ratio 0\n" in text
