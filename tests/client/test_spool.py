"""What waits on disk, delivered by a publisher; `tests/daemon` shows the daemon's own way."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtevents.client.spool import count, deliver, keep
from rtevents.client.sync import Client
from rtevents.core.event import Event
from rtevents.errors import EventRefused, NotReachable
from tests.client.conftest import risk, wrong
from tests.conftest import Daemon


def test_what_waits_is_delivered_in_order_with_the_time_of_its_making(
    daemon: Daemon, tmp_path: Path
) -> None:
    events = [risk("b", timestamp=1.5), risk("a"), risk("job:web:c")]
    for event in events:
        keep(tmp_path, event)
    with daemon.client() as client:
        deliver(client, tmp_path)
        found = [entry.event for entry in client.history().events]

    assert found == events
    assert list(tmp_path.iterdir()) == []


def test_what_is_refused_is_set_aside_and_holds_nothing_up(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "0-a.json").write_bytes(wrong("a").body)
    (tmp_path / "0-garbage.json").write_text("{")
    keep(tmp_path, risk("b"))
    with daemon.client() as client:
        client.publish(risk("c", timestamp=1.0))
        keep(tmp_path, risk("c", timestamp=2.0))
        deliver(client, tmp_path)
        stored = [entry.event_id for entry in client.history().events]

    assert stored == ["c", "b"]
    assert sorted({file.suffix for file in tmp_path.iterdir()}) == [".bad"]
    assert len(list(tmp_path.iterdir())) == 3


def test_what_cannot_be_read_keeps_nothing_back(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "0-folder.json").mkdir()
    keep(tmp_path, risk("a"))
    with daemon.client() as client:
        deliver(client, tmp_path)

        assert [entry.event_id for entry in client.history().events] == ["a"]


def test_what_nobody_dated_is_delivered_as_a_duplicate(daemon: Daemon, tmp_path: Path) -> None:
    first = risk("a")
    for event in (first, risk("a"), risk("b", timestamp=5.0), risk("b")):
        keep(tmp_path, event)
    with daemon.client() as client:
        deliver(client, tmp_path)
        found = [entry.event for entry in client.history().events]

    assert [event.timestamp for event in found] == [first.timestamp, 5.0]
    assert list(tmp_path.iterdir()) == []


def test_without_a_daemon_everything_stays(stopped_daemon: Daemon, tmp_path: Path) -> None:
    keep(tmp_path, risk("a"))
    with stopped_daemon.client() as client, pytest.raises(NotReachable):
        deliver(client, tmp_path)

    assert len(list(tmp_path.glob("*.json"))) == 1


def test_what_another_grant_may_publish_stays_for_it(daemon: Daemon, tmp_path: Path) -> None:
    keep(tmp_path, Event(type="TASK_UPDATE", data={"task_id": "a", "status": "b"}))
    keep(tmp_path, risk("a"))
    with daemon.client() as owner:
        token = owner.create_token("publisher", types=["RISK_ALERT"])["token"]
        url = f"http://{owner.status()['listen']}"
        with Client(url, token=token) as client:
            deliver(client, tmp_path)
        stored = [entry.event_id for entry in owner.history().events]

    assert stored == ["a"]
    assert len(list(tmp_path.glob("*.json"))) == 1


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (wrong("a"), "data.severity: invalid enum value 'huge'"),
        (risk("a b"), "event_id: expected 1 to 128"),
        (risk("a", source="rtevents/git"), "source: names that begin with rtevents/"),
        (risk("git:web:c"), "event_id: names that begin with git:"),
        (Event(type="HEALTH_CHECK", data={}), "HEALTH_CHECK is the daemon's own heartbeat"),
        (Event(type="no such", data={}), "type: expected a letter"),
    ],
)
def test_what_no_daemon_would_store_is_not_kept(tmp_path: Path, event: Event, said: str) -> None:
    with pytest.raises(EventRefused, match=said):
        keep(tmp_path, event)

    assert list(tmp_path.iterdir()) == []


def test_a_type_of_ones_own_is_kept(tmp_path: Path) -> None:
    keep(tmp_path, Event(type="DEPLOY", data={"version": 1}))

    assert count(tmp_path) == (1, 0)
