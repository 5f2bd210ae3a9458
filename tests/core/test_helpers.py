"""The publishing helpers, on a service."""

from __future__ import annotations

import pytest

from rtevents.core import helpers
from rtevents.core.event import Event, Stored
from rtevents.core.payloads import PAYLOADS
from rtevents.core.service import EventService

from .conftest import TroubledStore

CALLS = [
    ("publish_file_change_event", ("src/a.py", "modified"), "FILE_CHANGE"),
    ("publish_commit_event", ("0a1b2c3d", "Fix it", "Ada"), "COMMIT"),
    ("publish_progress_update", (7, 10), "PROGRESS_UPDATE"),
    ("publish_risk_alert", ("high", "disk nearly full"), "RISK_ALERT"),
    ("publish_task_update", ("T-12", "done"), "TASK_UPDATE"),
    ("publish_system_status", ("ok",), "SYSTEM_STATUS"),
    ("publish_dashboard_update", ({"users": 3},), "DASHBOARD_UPDATE"),
    ("publish_auto_commit_start", (3,), "AUTO_COMMIT_START"),
    ("publish_auto_commit_result", (True, 3, "done"), "AUTO_COMMIT_RESULT"),
    ("publish_auto_commit_error", ("no identity",), "AUTO_COMMIT_ERROR"),
]


class Collector:
    """What is not awaited: as a synchronous client."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def publish(self, event: Event) -> int:
        """Keep the event."""
        self.events.append(event)
        return len(self.events)


@pytest.mark.parametrize(("name", "arguments", "kind"), CALLS)
async def test_each_helper_stores_an_event_of_its_type(
    store: TroubledStore, name: str, arguments: tuple[object, ...], kind: str
) -> None:
    async with EventService(store) as service:
        stored = await getattr(helpers, name)(service, *arguments, project_id="web", note="kept")
        entry = (await store.read(0, 1)).entries[0]

    assert isinstance(stored, Stored)
    assert (entry.type, entry.project_id) == (kind, "web")
    assert entry.event.data["note"] == "kept"


def test_every_type_but_the_heartbeat_has_a_helper() -> None:
    assert {kind for _, _, kind in CALLS} == set(PAYLOADS) - {"HEALTH_CHECK"}


def test_a_helper_returns_what_publish_returns() -> None:
    to = Collector()

    assert helpers.publish_risk_alert(to, "low", "look", event_id="one", source="me") == 1
    assert (to.events[0].event_id, to.events[0].source) == ("one", "me")


def test_the_percentage_is_worked_out_unless_it_is_given_or_cannot_be() -> None:
    to = Collector()
    helpers.publish_progress_update(to, 1, 3)
    helpers.publish_progress_update(to, 1, 3, percent=50)
    helpers.publish_progress_update(to, 0, 0)

    assert [event.data.get("percent") for event in to.events] == [33.33, 50, None]
