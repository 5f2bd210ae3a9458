"""Nodes: the daemons that share a log, and all of them together."""

from __future__ import annotations

from typing import Any

import pytest

from rtevents.core.node import LOST_AFTER, Ear, Heard, Node, differ, here, together


def node(name: str, **fields: Any) -> Node:
    """Return a node that is well."""
    figures = {"connections": 2, "published": 10, "delivered": 20, "rate": 0.5, "spooled": 1}
    about = {"run": "r", "beat": 1, "version": "1", "started_at": 1.0, "interval": 30.0}
    given = {"name": name, **about, "status": "ok", "reasons": [], **figures, **fields}
    return Node(**given)


def heard(node: Node, age: float = 0.0, silent: float = 0.0, *, is_deaf: bool = False) -> Heard:
    """Return a node that was heard so many seconds ago."""
    return Ear(node, age, 100.0, silent).heard(100.0, is_deaf=is_deaf, logs=None)


def test_figures_are_summed_over_those_that_are_heard() -> None:
    found = together([heard(node("b"), 89.0), here(node("a"))])

    assert [each.name for each in found.nodes] == ["a", "b"]
    total = found.total
    assert (total.nodes, total.lost, total.unknown, total.status) == (2, 0, 0, "ok")
    assert (total.connections, total.published, total.delivered) == (4, 20, 40)
    assert (total.rate, total.spooled) == (1.0, 2)


def test_one_that_left_out_its_heartbeats_is_lost_and_counts_no_more() -> None:
    age = LOST_AFTER * 30.0
    found = together([here(node("a")), heard(node("b", status="failed"), age, age)])

    assert [each.is_lost for each in found.nodes] == [False, True]
    assert (found.total.nodes, found.total.lost, found.total.connections) == (2, 1, 2)
    assert found.total.status == "degraded"


def test_while_the_log_is_away_the_others_are_not_known_and_no_reason_for_anything() -> None:
    other = heard(node("b", status="failed"), is_deaf=True)
    found = together([here(node("a")), other], is_away=True)

    assert (other.is_known, other.is_lost) == (False, False)
    total = found.total
    assert (total.nodes, total.lost, total.unknown, total.connections) == (2, 0, 1, 2)
    assert total.status == "ok"


def test_time_in_which_nobody_could_be_heard_is_no_silence() -> None:
    ear = Ear(node("b"), 0.0, 0.0)
    ear = ear.again(ear.node, 30.0, 30.0, was_deaf=False)
    assert ear.silent == 30.0
    ear = ear.again(ear.node, 500.0, 500.0, was_deaf=True)
    assert ear.silent == 30.0
    # Whoever slept did not hear either: a look counts for one heartbeat at most.
    ear = ear.again(ear.node, 9000.0, 9000.0, was_deaf=False)
    assert ear.silent == 60.0
    told = ear.heard(9000.0, is_deaf=False, logs=None)
    assert (told.is_lost, told.is_known) == (False, False)
    ear = ear.again(ear.node, 9030.0, 9030.0, was_deaf=False)

    assert ear.heard(9030.0, is_deaf=False, logs=None).is_lost
    ear = ear.again(ear.node, 1.0, 9060.0, was_deaf=False)
    assert ear.silent == 1.0
    assert ear.heard(9060.0, is_deaf=False, logs=None).is_known


def test_logs_differ_by_name_by_project_and_by_their_order() -> None:
    logs = {"web": ["web", "web-*"], "team": ["*"]}

    assert not differ(logs, dict(logs))
    assert not differ(logs, None)  # an older version does not tell
    assert differ(logs, {})
    assert differ(logs, {"web": ["web"], "team": ["*"]})
    assert differ(logs, {"team": ["*"], "web": ["web", "web-*"]})


@pytest.mark.parametrize("status", ["degraded", "failed"])
def test_all_are_as_well_as_the_worst_of_them(status: str) -> None:
    found = together([heard(node("a")), heard(node("b", status=status))])

    assert found.total.status == status


def test_the_one_that_is_asked_is_never_lost() -> None:
    assert not here(node("a")).is_lost
