"""Nodes: the daemons that share a log, and all of them together."""

from __future__ import annotations

from typing import Any

import pytest

from rtevents.core.node import LOST_AFTER, Node, heard, together


def node(name: str, **fields: Any) -> Node:
    """Return a node that is well."""
    figures = {"connections": 2, "published": 10, "delivered": 20, "rate": 0.5, "spooled": 1}
    about = {"run": "r", "beat": 1, "version": "1", "started_at": 1.0, "interval": 30.0}
    given = {"name": name, **about, "status": "ok", "reasons": [], **figures, **fields}
    return Node(**given)


def test_figures_are_summed_over_those_that_are_heard() -> None:
    found = together([heard(node("b"), 89.0), heard(node("a"), 0.0, is_here=True)])

    assert [each.name for each in found.nodes] == ["a", "b"]
    total = found.total
    assert (total.nodes, total.lost, total.status) == (2, 0, "ok")
    assert (total.connections, total.published, total.delivered) == (4, 20, 40)
    assert (total.rate, total.spooled) == (1.0, 2)


def test_one_that_left_out_its_heartbeats_is_lost_and_counts_no_more() -> None:
    age = LOST_AFTER * 30.0 + 1
    found = together([heard(node("a"), 0.0, is_here=True), heard(node("b", status="failed"), age)])

    assert [each.is_lost for each in found.nodes] == [False, True]
    assert (found.total.nodes, found.total.lost, found.total.connections) == (2, 1, 2)
    assert found.total.status == "degraded"


@pytest.mark.parametrize("status", ["degraded", "failed"])
def test_all_are_as_well_as_the_worst_of_them(status: str) -> None:
    found = together([heard(node("a"), 0.0), heard(node("b", status=status), 0.0)])

    assert found.total.status == status


def test_the_one_that_is_asked_is_never_lost() -> None:
    assert not heard(node("a"), 1e9, is_here=True).is_lost
