"""rtevents history: a page of what is kept."""

from __future__ import annotations

import json

import pytest

from rtevents.core.event import Event
from tests.conftest import Daemon, wait_for


@pytest.fixture(scope="module")
def filled(shared_daemon: Daemon) -> Daemon:
    """Return a daemon that holds five events, for several tests: nobody publishes there."""
    daemon = shared_daemon
    kinds = ["TASK_UPDATE", "RISK_ALERT", "TASK_UPDATE", "RISK_ALERT", "TASK_UPDATE"]
    data = {"task_id": "a", "status": "b", "severity": "low", "message": "m"}
    with daemon.client() as client:
        client.publish_many([Event(type=kind, data=data) for kind in kinds])
    return daemon


def seqs(text: str) -> list[int]:
    """Return the seqs of NDJSON."""
    return [json.loads(line)["seq"] for line in text.splitlines()]


def test_it_shows_what_is_kept_and_ends(filled: Daemon) -> None:
    done = filled.run("history")

    assert (done.returncode, done.stderr) == (0, "")
    assert seqs(done.stdout) == [1, 2, 3, 4, 5]


def test_it_takes_a_filter_an_order_and_a_limit(filled: Daemon) -> None:
    assert seqs(filled.run("history", "-t", "risk-alert").stdout) == [2, 4]
    assert seqs(filled.run("history", "--not-type", "RISK_ALERT").stdout) == [1, 3, 5]
    assert seqs(filled.run("history", "--order", "desc", "--limit", "2").stdout) == [5, 4]
    assert seqs(filled.run("history", "-n", "3").stdout) == [1, 2, 3]
    assert seqs(filled.run("history", "--since", "1h").stdout) == [1, 2, 3, 4, 5]


def test_a_full_page_tells_how_to_go_on(filled: Daemon) -> None:
    first = filled.run("history", "--limit", "3")
    bookmark = first.stderr.split()[-1]

    second = filled.run("history", "--after", bookmark)

    assert first.stderr == f"rtevents: there may be more: --after {bookmark}\n"
    assert (seqs(first.stdout), seqs(second.stdout)) == ([1, 2, 3], [4, 5])
    assert seqs(filled.run("history", "--until", bookmark).stdout) == [1, 2, 3]


def test_a_place_that_is_not_kept_is_told_as_a_gap(filled: Daemon) -> None:
    with filled.client() as client:
        epoch = client.history(limit=1).next.epoch
        known = client.history(limit=1).events[0].event_id
    gone = "gap: it is not known what was missed"
    said = {
        "id:xx": f"{gone} (unknown-id); going on with what is kept",
        "0badc0de-1": f"{gone} (other-epoch); going on with what is kept",
        f"{epoch}-9": "gap: the place 9 is beyond the end of the log, 5: it has lost its end, "
        "or the place was never in it",
    }
    for place, words in said.items():
        done = filled.run("history", "--since", place)
        failed = filled.run("history", "--since", place, "--fail-on-gap")

        assert (done.returncode, done.stderr) == (0, f"rtevents: {words}\n")
        assert (failed.returncode, failed.stdout, failed.stderr) == (6, "", done.stderr)
    for place in (known, f"{epoch}-0", f"{epoch}-5", "1h", "all"):
        assert filled.run("history", "--since", place, "--fail-on-gap").returncode == 0


def test_what_was_trimmed_is_told_as_a_gap(stopped_daemon: Daemon) -> None:
    limits = {"RTEVENTS_RETENTION__MAX_EVENTS": "2", "RTEVENTS_RETENTION__INTERVAL": "0.05"}
    stopped_daemon.start("--no-project", env=limits)
    with stopped_daemon.client() as client:
        for _ in range(5):
            client.publish(Event(type="AUTO_COMMIT_ERROR", data={"error": "x"}))
        wait_for(lambda: client.history().oldest == 4, "it is trimmed")
        epoch = client.history().next.epoch

    for words in (["--since", f"{epoch}-1"], ["--after", f"{epoch}-1"], ["--after", "1"]):
        done = stopped_daemon.run("history", *words)

        assert (done.returncode, seqs(done.stdout)) == (0, [4, 5])
        assert done.stderr == "rtevents: gap: entries 2 to 3 can no longer be read (trimmed)\n"
    assert stopped_daemon.run("history").stderr == ""


def test_it_has_lines_for_people(filled: Daemon) -> None:
    lines = filled.run("history", "-o", "pretty", "-t", "RISK_ALERT").stdout.splitlines()

    assert [line.split()[2:] for line in lines] == [["RISK_ALERT", "low:", "m"]] * 2


def test_what_it_cannot_use_is_misuse(daemon: Daemon) -> None:
    misuse = {
        "--limit 0": "0 is not in the range 1<=x<=1000",
        "--limit many": "'many' is not a valid int",
        "--order up": "'up' is not one of 'asc', 'desc'",
        "--after zz": "'zz'",
        "--since ,": "','",
        "-t NOPE": "unknown event type 'NOPE'",
    }
    for words, said in misuse.items():
        done = daemon.run("history", *words.split())

        assert done.returncode == 2, words
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_without_a_daemon_it_exits_with_3(stopped_daemon: Daemon) -> None:
    done = stopped_daemon.run("history")

    assert done.returncode == 3
    assert "start one with: rtevents serve" in done.stderr
