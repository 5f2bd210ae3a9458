"""Publishers that repeat themselves, die, or are too many: F35 to F37."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, suppress

import pytest

from rtevents.client.sync import Client
from rtevents.errors import EventConflict, Unavailable
from tests.conftest import PATIENCE, Daemon, wait_for
from tests.faults.checker import everything, risk

FULL = "the queue is full"

TRIM = {"RTEVENTS_RETENTION__MAX_EVENTS": "20", "RTEVENTS_RETENTION__INTERVAL": "0.1"}


def test_an_id_is_one_event_whoever_says_it_and_whenever(stopped_daemon: Daemon) -> None:
    """F35: the same body, another body, another source; across a restart, and after trimming."""
    daemon = stopped_daemon
    daemon.start()
    event = risk("one", event_id="once", source="ci")
    with daemon.client() as client:
        stored = client.publish(event)
        for _ in range(2):
            again = client.publish(event)
            assert (again.seq, again.duplicate) == (stored.seq, True)
            # Who says it is no part of what is said (promise P3).
            other = client.publish(risk("one", event_id="once", source="another"))
            assert (other.seq, other.duplicate) == (stored.seq, True)
            with pytest.raises(EventConflict, match=f"stored already as seq {stored.seq}"):
                client.publish(risk("two", event_id="once", source="ci"))
            assert daemon.stop() == 0
            daemon.start()
        # Another body refuses its whole batch; the rest of it is not stored either.
        with pytest.raises(EventConflict):
            client.publish_many([risk("x", event_id="x"), risk("two", event_id="once")])
        kept = everything(client)
    assert [(entry.event_id, entry.event.source) for entry in kept] == [("once", "ci")]


def test_an_id_that_was_trimmed_is_free(stopped_daemon: Daemon) -> None:
    """F35: the log knows what it keeps, and no more: that is how long an id is remembered."""
    daemon = stopped_daemon
    daemon.start(env=TRIM)
    with daemon.client() as client:
        client.publish(risk("one", event_id="once"))
        client.publish_many([risk(f"{number}") for number in range(30)])
        wait_for(lambda: client.stats()["log"]["oldest"] > 1, "it is trimmed")
        again = client.publish(risk("two", event_id="once"))

    assert (again.seq, again.duplicate) == (32, False)


def test_a_publisher_that_is_killed_and_tries_again_has_each_event_once(daemon: Daemon) -> None:
    """F36: somewhere between the first byte and the last answer, a dozen times."""
    chance = random.Random()
    lines = [
        json.dumps(
            {
                "event_id": f"e{number}",
                "type": "RISK_ALERT",
                "data": {"severity": "low", "message": f"{number}"},
                "timestamp": 1.0,
            }
        )
        for number in range(2000)
    ]
    command = [sys.executable, "-m", "rtevents", "publish", "--stdin"]
    killed = 0
    for _ in range(12):
        with subprocess.Popen(
            command, env=daemon.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            # It goes as far as it comes; who feeds it finds it gone.
            with suppress(BrokenPipeError):
                process.stdin.write("\n".join(lines[: chance.randrange(len(lines))]) + "\n")
                process.stdin.flush()
                process.stdout.read(chance.randrange(1, 500))
                process.kill()
                process.stdin.close()
            killed += process.wait(PATIENCE) == -signal.SIGKILL
    done = daemon.run("publish", "--stdin", stdin="\n".join(lines) + "\n")

    assert killed > 6
    assert done.returncode == 0, done.stderr
    with daemon.client() as client:
        kept = [entry.event_id for entry in everything(client)]
    assert sorted(kept) == sorted(f"e{number}" for number in range(2000))


def test_a_full_queue_refuses_with_the_time_to_come_back_and_keeps_every_publishers_order(
    stopped_daemon: Daemon,
) -> None:
    """F37: 503 and Retry-After; it is counted; a client that comes back gets through."""
    daemon = stopped_daemon
    daemon.start(env={"RTEVENTS_MAX_QUEUE_SIZE": "4", "RTEVENTS_QUEUE_TIMEOUT": "0.05"})
    refused: list[Unavailable] = []

    def publish(name: str, retry_for: float) -> None:
        with Client(daemon.socket, retry_for=retry_for) as client:
            for number in range(5):
                try:
                    client.publish(risk("x", event_id=f"{name}-{number}"))
                except Unavailable as error:
                    refused.append(error)

    patient = [threading.Thread(target=publish, args=(f"p{n}", PATIENCE)) for n in range(12)]
    hasty = [threading.Thread(target=publish, args=(f"h{n}", 0)) for n in range(12)]
    database = daemon.home / "state" / "rtevents" / "events.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        for thread in (*patient, *hasty):
            thread.start()
        wait_for(lambda: any(FULL in str(error) for error in refused), "it is full")
        with daemon.client() as client:
            counted = client.stats()["events"]["refused"]
        db.execute("ROLLBACK")
    for thread in (*patient, *hasty):
        thread.join(PATIENCE)

    full = [error for error in refused if FULL in str(error)]
    assert counted > 0
    assert all(error.retry_after >= 1 for error in full)
    with daemon.client() as client:
        kept = [entry.event_id for entry in everything(client)]
    for number in range(12):
        mine = [event_id for event_id in kept if event_id.startswith(f"p{number}-")]
        assert mine == [f"p{number}-{each}" for each in range(5)]
    assert len(kept) == len(set(kept)) == 120 - len(refused)
