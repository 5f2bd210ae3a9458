"""rtevents tail: what it prints, how it ends, and what it lives through."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rtevents.core.event import Event
from tests.conftest import PATIENCE, Daemon, wait_for


def risk(message: str, **fields: Any) -> Event:
    """Return a RISK_ALERT."""
    data = {"severity": "low", "message": message}
    return Event(**({"type": "RISK_ALERT", "data": data, "event_id": message} | fields))


def task(name: str, **fields: Any) -> Event:
    """Return a TASK_UPDATE."""
    data = {"task_id": name, "status": "open"}
    return Event(**({"type": "TASK_UPDATE", "data": data, "event_id": name} | fields))


def publish(daemon: Daemon, *events: Event) -> None:
    """Store events."""
    with daemon.client() as client:
        client.publish_many(events)


def ids(text: str) -> list[str]:
    """Return the event ids of NDJSON."""
    return [json.loads(line)["event_id"] for line in text.splitlines()]


def told(daemon: Daemon, *arguments: str) -> list[str]:
    """Return the ids that `tail -T` with these arguments prints."""
    done = daemon.run("tail", "-T", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return ids(done.stdout)


@contextmanager
def following(daemon: Daemon, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a tail, from the moment at which it is connected."""
    process = daemon.popen("tail", *arguments)
    with process:
        with daemon.client() as client:
            wait_for(
                lambda: any(each["pid"] == process.pid for each in client.connections()),
                "the tail is connected",
            )
        try:
            yield process
        finally:
            process.kill()


def next_id(process: subprocess.Popen[str]) -> str:
    """Return the id of the next line."""
    assert process.stdout
    return str(json.loads(process.stdout.readline())["event_id"])


@pytest.fixture
def filled(daemon: Daemon) -> Daemon:
    """Return a daemon that holds six events."""
    return fill(daemon)


@pytest.fixture(scope="module")
def shared_filled(shared_daemon: Daemon) -> Daemon:
    """Return one that others use too: nobody publishes there."""
    return fill(shared_daemon)


def fill(daemon: Daemon) -> Daemon:
    """Store six events."""
    publish(
        daemon,
        risk("r1", project_id="web", source="ci", timestamp=1000.0),
        task("t1", project_id="api", timestamp=2000.0),
        risk("r2", project_id="api", source="ci"),
        task("t2", project_id="web", data={"task_id": "t2", "status": "open", "path": "doc/a.md"}),
        Event(
            type="FILE_CHANGE",
            event_id="f1",
            data={"file_path": "src/deep/a.py", "change_type": "modified"},
        ),
        risk("r3"),
    )
    return daemon


def test_filters_are_or_within_a_key_and_and_between_keys(shared_filled: Daemon) -> None:
    def shown(*words: str) -> list[str]:
        return told(shared_filled, "--since", "all", *words)

    assert shown() == ["r1", "t1", "r2", "t2", "f1", "r3"]
    assert shown("-t", "RISK_ALERT") == ["r1", "r2", "r3"]
    assert shown("-t", "risk-alert", "--type", "FILE_CHANGE") == ["r1", "r2", "f1", "r3"]
    assert shown("-t", "risk_alert,task_update", "--project", "web") == ["r1", "t2"]
    assert shown("--not-type", "RISK_ALERT") == ["t1", "t2", "f1"]
    assert shown("--source", "ci", "--project", "api") == ["r2"]
    assert shown("--path", "src/**", "--path", "doc/*") == ["t2", "f1"]


def test_a_place_is_a_word_a_time_a_bookmark_or_an_event(shared_filled: Daemon) -> None:
    with shared_filled.client() as client:
        epoch = client.history(limit=1).next.epoch

    assert told(shared_filled, "--since", f"{epoch}-4") == ["f1", "r3"]
    assert told(shared_filled, "--since", "id:t2") == ["f1", "r3"]
    assert told(shared_filled, "--since", "1h")[-1] == "r3"
    assert told(shared_filled, "--since", "new") == []
    assert told(shared_filled, "--since", "last") == ["r3"]
    assert set(told(shared_filled, "--since", "last-per-type")) == {"t2", "f1", "r3"}
    assert told(shared_filled, "--since", "all", "--until", f"{epoch}-2") == ["r1", "t1"]
    assert told(shared_filled, "--since", f"{epoch}-1", "--until", f"{epoch}-3") == ["t1", "r2"]
    assert told(shared_filled, "--until", f"{epoch}-2", "--count", "1") == ["r1"]


def test_until_a_past_place_shows_what_was_before_it(filled: Daemon) -> None:
    middle = str(time.time())
    publish(filled, task("t3", timestamp=5.0))

    assert told(filled, "--until", middle) == ["r1", "t1", "r2", "t2", "f1", "r3"]
    assert told(filled, "--until", middle, "-n", "1") == ["r3"]
    assert told(filled, "--since", middle) == ["t3"]
    assert told(filled, "--until", "1h", "-t", "TASK_UPDATE") == []
    assert told(filled, "--since", "id:f1", "--until", "id:t1") == []
    assert told(filled, "--until", "2033-05-18", "--count", "2") == ["r1", "t1"]


def test_until_a_time_to_come_follows_to_then(filled: Daemon) -> None:
    end = time.time() + 2
    with following(filled, "-n", "1", "--until", f"{end:.3f}") as process:
        publish(filled, risk("r4"))
        out, err = process.communicate(timeout=20)

    assert time.time() >= end
    assert (process.returncode, ids(out), err) == (0, ["r3", "r4"], "")


def test_a_gap_after_the_end_is_not_told(shared_filled: Daemon) -> None:
    with shared_filled.client() as client:
        epoch = client.history(limit=1).next.epoch

    done = shared_filled.run(
        "tail", "--since", "0badc0de-1", "--until", f"{epoch}-2", "--fail-on-gap"
    )

    assert done.returncode == 6
    done = shared_filled.run(
        "tail", "--since", f"{epoch}-9", "--until", f"{epoch}-2", "--fail-on-gap"
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("timeout", ["nan", "inf", "-1", "1e9", "5x", ""])
def test_a_time_that_is_none_is_misuse(shared_daemon: Daemon, timeout: str) -> None:
    done = shared_daemon.run("tail", "--timeout", timeout)

    assert done.returncode == 2
    assert f"--timeout: expected a duration such as 30s, got {timeout!r}" in done.stderr


def test_the_last_events_come_oldest_first(shared_filled: Daemon) -> None:
    assert told(shared_filled, "-n", "2") == ["f1", "r3"]
    assert told(shared_filled, "-n", "0") == []
    assert told(shared_filled, "-n", "99", "-t", "TASK_UPDATE") == ["t1", "t2"]


def test_more_last_events_than_a_page_holds(daemon: Daemon) -> None:
    for start in range(0, 2500, 500):
        publish(daemon, *(task(f"t{n}") for n in range(start, start + 500)))

    assert told(daemon, "-n", "2100") == [f"t{n}" for n in range(400, 2500)]


def test_a_count_ends_it(shared_filled: Daemon) -> None:
    done = shared_filled.run("tail", "--since", "all", "--count", "2")

    assert (done.returncode, ids(done.stdout)) == (0, ["r1", "t1"])
    assert ids(shared_filled.run("tail", "-n", "3", "--count", "3").stdout) == ["t2", "f1", "r3"]


def test_what_does_not_come_in_time_exits_with_124(shared_filled: Daemon) -> None:
    done = shared_filled.run("tail", "-n", "1", "--timeout", "300ms")

    assert done.returncode == 124
    assert ids(done.stdout) == ["r3"]
    assert done.stderr == "rtevents: nothing more within 0.3 s\n"


def test_an_unknown_type_is_misuse_with_the_nearest(shared_daemon: Daemon) -> None:
    done = shared_daemon.run("tail", "-t", "COMIT")

    assert done.returncode == 2
    assert done.stderr == "rtevents: unknown event type 'COMIT', did you mean COMMIT?\n"


@pytest.mark.parametrize("words", [["tail", "--since"], ["history", "--until"]])
def test_a_place_that_is_none_is_misuse(stopped_daemon: Daemon, words: list[str]) -> None:
    done = stopped_daemon.run(*words, "10min")

    assert done.returncode == 2
    assert done.stderr == ("rtevents: not a time, a bookmark or an event id: '10min' (write 10m)\n")


def test_a_gap_is_told_once_and_fails_on_request(shared_filled: Daemon) -> None:
    words = ["tail", "--since", "00000000-3", "-T"]
    with shared_filled.client() as client:
        epoch = client.history(limit=1).next.epoch
    words[2] = "".join("1" if letter == "0" else "0" for letter in epoch) + "-3"

    going_on = shared_filled.run(*words)
    failing = shared_filled.run(*words, "--fail-on-gap")

    assert going_on.returncode == 0
    assert [line for line in going_on.stderr.splitlines() if "gap: " in line] == [
        going_on.stderr.strip()
    ]
    assert len(ids(going_on.stdout)) == 6
    assert failing.returncode == 6
    assert failing.stdout == ""
    assert failing.stderr == going_on.stderr


def test_a_pipe_gets_ndjson_and_a_person_who_asks_gets_lines(shared_filled: Daemon) -> None:
    piped = shared_filled.run("tail", "-T", "-n", "1").stdout
    pretty = shared_filled.run("tail", "-T", "-n", "1", "-o", "pretty").stdout

    assert json.loads(piped)["data"] == {"severity": "low", "message": "r3"}
    assert pretty.split()[1:] == ["-", "RISK_ALERT", "low:", "r3"]
    assert "\x1b" not in pretty


def test_what_it_prints_is_there_at_once(daemon: Daemon) -> None:
    with following(daemon, "-t", "RISK_ALERT") as process:
        for name in ("r1", "r2"):
            publish(daemon, task(f"t-{name}"), risk(name))

            assert next_id(process) == name


def test_it_lives_through_kill_and_restart_without_loss_or_repeat(daemon: Daemon) -> None:
    with following(daemon) as process:
        for number in range(3):
            publish(daemon, risk(f"before{number}"))
            assert next_id(process) == f"before{number}"
            daemon.stop(signal.SIGKILL)
            daemon.start()
            publish(daemon, risk(f"after{number}"))
            assert next_id(process) == f"after{number}"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)

    lost = "rtevents: connection lost (it was cut); reconnecting"
    assert said.splitlines() == [lost] * 3
    assert process.returncode == 130


def test_a_daemon_that_stays_away_is_told_once(daemon: Daemon) -> None:
    with following(daemon) as process:
        daemon.stop()
        assert process.stderr
        first = process.stderr.readline()
        daemon.start()
        publish(daemon, risk("r1"))
        assert next_id(process) == "r1"
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=PATIENCE)

    assert first == "rtevents: connection lost (shutdown); reconnecting\n"
    assert rest == ""


def test_without_reconnecting_a_lost_connection_exits_with_7(daemon: Daemon) -> None:
    with following(daemon, "--no-reconnect") as process:
        daemon.stop(signal.SIGKILL)
        _, said = process.communicate(timeout=PATIENCE)

    assert process.returncode == 7
    assert said == "rtevents: the connection is lost: it was cut\n"


def test_a_stream_ended_on_purpose_does_not_come_back(daemon: Daemon) -> None:
    with following(daemon) as process:
        with daemon.client() as client:
            (connection,) = [each for each in client.connections() if each["pid"] == process.pid]
        closed = daemon.run("connections", "close", connection["connection_id"])
        _, said = process.communicate(timeout=PATIENCE)

    assert closed.stdout == f"ended {connection['connection_id']}\n"
    assert process.returncode == 7
    assert "ended on purpose" in said
    assert len(said.splitlines()) == 1


def test_a_reader_who_has_had_enough_ends_it_cleanly(shared_filled: Daemon) -> None:
    tail = subprocess.Popen(
        [sys.executable, "-m", "rtevents", "tail", "--since", "all"],
        env=shared_filled.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with tail:
        head = subprocess.run(
            ["head", "-1"], stdin=tail.stdout, capture_output=True, text=True, check=True
        )
        assert tail.stdout
        assert tail.stderr
        # Now nobody reads, and no event comes that would show it.
        tail.stdout.close()

        assert tail.stderr.read() == b""
        assert tail.wait(PATIENCE) == 0
    assert ids(head.stdout) == ["r1"]


@pytest.mark.parametrize(("words", "shown"), [([], False), (["-t", "HEALTH_CHECK"], True)])
def test_heartbeats_are_shown_to_who_asks(
    stopped_daemon: Daemon, words: list[str], shown: bool
) -> None:
    stopped_daemon.start(env={"RTEVENTS_HEARTBEAT_INTERVAL": "0.1"})

    patience = "20s" if shown else "1s"
    done = stopped_daemon.run("tail", *words, "--count", "1", "--timeout", patience)

    assert done.returncode == (0 if shown else 124)
    assert ('"HEALTH_CHECK"' in done.stdout) == shown


def test_ctrl_c_is_silent(shared_daemon: Daemon) -> None:
    with following(shared_daemon) as process:
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=PATIENCE)

    assert (process.returncode, out, said) == (130, "", "")


def on_a_terminal(daemon: Daemon, *arguments: str, until: Callable[[str], bool]) -> str:
    """Return what a command prints on a terminal."""
    pty = pytest.importorskip("pty", reason="no pseudo-terminals here")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "rtevents", *arguments],
        env=daemon.env | {"TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    text = ""
    deadline = time.monotonic() + 10
    with process:
        while not until(text) and time.monotonic() < deadline:
            try:
                text += os.read(ours, 65536).decode()
            except OSError:
                break  # Linux: nobody holds the other end
        process.kill()
    os.close(ours)
    return text


def test_a_terminal_gets_colours_and_no_foreign_escapes(daemon: Daemon) -> None:
    publish(daemon, risk("x", data={"severity": "high", "message": "a\x1b]52;c;eA==\x07\x9bz"}))

    text = on_a_terminal(daemon, "tail", "-T", "-n", "1", until=lambda text: "\n" in text)

    assert "\x1b[31mRISK_ALERT" in text
    assert r"high: a\x1b]52;c;eA==\x07\x9bz" in text
    assert "\x1b]" not in text
