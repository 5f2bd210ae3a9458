"""rtevents history: a page of what is kept."""

from __future__ import annotations

import json

import pytest

from rtevents.core.event import Event
from tests.conftest import Daemon


@pytest.fixture
def filled(daemon: Daemon) -> Daemon:
    """Return a daemon that holds five events."""
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
    assert seqs(filled.run("history", "--since", "1h").stdout) == [1, 2, 3, 4, 5]


def test_a_full_page_tells_how_to_go_on(filled: Daemon) -> None:
    first = filled.run("history", "--limit", "3")
    bookmark = first.stderr.split()[-1]

    second = filled.run("history", "--after", bookmark)

    assert first.stderr == f"rtevents: there may be more: --after {bookmark}\n"
    assert (seqs(first.stdout), seqs(second.stdout)) == ([1, 2, 3], [4, 5])
    assert seqs(filled.run("history", "--until", bookmark).stdout) == [1, 2, 3]


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
