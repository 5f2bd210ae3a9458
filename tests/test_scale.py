"""The simulation of many daemons: it keeps what it is told, and names what gives way."""

from __future__ import annotations

import msgspec
import pytest

from tests.benchmarks.scale import MEASURED, Plan, Simulation, most

SMALL = Plan(daemons=4, subscribers=400, rate=400, projects=10, seconds=2.0)


def test_every_event_is_appended_and_fetched_by_all_and_costs_what_it_costs() -> None:
    found = Simulation(SMALL, MEASURED).run()

    appended, delivered = found.rows
    assert appended == pytest.approx(800, rel=0.25)
    # All but those of the first 30 % of the time, at each of four daemons.
    assert delivered == pytest.approx(4 * 0.7 * appended, rel=0.2)
    assert found.is_enough
    # A quarter of the requests, each with ten events.
    publish = 100 * (MEASURED.request / 10 + MEASURED.publish) / 1e6
    assert found.busy["daemon: publish"] == pytest.approx(publish, rel=0.6)
    matched = 400 * MEASURED.match / 1e6
    assert found.busy["daemon: match"] == pytest.approx(matched, rel=0.25)


def test_what_costs_more_gives_way_first() -> None:
    plan = msgspec.structs.replace(SMALL, rate=20_000, seconds=2.0)
    slow_disk = msgspec.structs.replace(MEASURED, store=500.0)
    many_filters = msgspec.structs.replace(MEASURED, match=2000.0)

    assert most(plan, slow_disk)[2].startswith("redis: append")
    rate, found, first = most(plan, many_filters)
    assert first.startswith("daemon: match")
    assert 0 < rate < 1e6 / 2000
    assert found.is_enough


def test_a_network_gives_way_at_the_bytes_that_it_carries() -> None:
    plan = msgspec.structs.replace(SMALL, rate=20_000, seconds=2.0)
    slow = msgspec.structs.replace(plan, gbit=0.1)
    crowded = msgspec.structs.replace(slow, subscribers=4_000)

    # Every event leaves Redis for each of four daemons, and a daemon for ten of its subscribers.
    rate, found, first = most(slow, MEASURED)
    assert first.startswith("network of a daemon: events")
    assert rate == pytest.approx(0.1e9 / 8 / MEASURED.event_bytes / 10, rel=0.2)
    assert found.load("network of redis") == pytest.approx(4 / 10, rel=0.3)
    assert most(crowded, MEASURED)[0] == pytest.approx(rate / 10, rel=0.2)
    few = msgspec.structs.replace(slow, subscribers=40)
    assert most(few, MEASURED)[2].startswith("network of redis: events")
    assert Simulation(msgspec.structs.replace(plan, rate=rate), MEASURED).run().is_enough
