"""What `data` holds for each event type."""

from __future__ import annotations

from typing import Any

import pytest

from rtevents.core.event import Event, EventType
from rtevents.core.payloads import PAYLOADS, EventTypes
from rtevents.core.reference import reference, schema, summary
from rtevents.errors import EventRefused

GOOD: dict[str, dict[str, Any]] = {
    "FILE_CHANGE": {"file_path": "a", "change_type": "renamed", "old_path": "b", "size": 0},
    "COMMIT": {"commit_hash": "0a1b2c3", "message": "", "author": "Ada", "parents": []},
    "PROGRESS_UPDATE": {"done": 1, "total": 2.5, "percent": 40},
    "RISK_ALERT": {"severity": "critical", "message": "m", "evidence": ["a"], "state": "open"},
    "TASK_UPDATE": {"task_id": "T", "status": "done", "line": 1, "exit_code": -9},
    "SYSTEM_STATUS": {"status": "ok", "reasons": [], "metrics": {"a": [1]}},
    "DASHBOARD_UPDATE": {"metrics": {}},
    "HEALTH_CHECK": {"status": "failed", "timestamp": 1.5},
    "AUTO_COMMIT_START": {"changes_count": 0},
    "AUTO_COMMIT_RESULT": {"success": False, "changes_count": 1, "message": ""},
    "AUTO_COMMIT_ERROR": {"error": "e", "details": None},
}


def check(kind: str, data: dict[str, Any]) -> None:
    """Check an event's data."""
    EventTypes().check(Event(type=kind, data=data))


def test_every_type_has_a_payload_and_a_reference() -> None:
    assert set(PAYLOADS) == {kind.value for kind in EventType} == set(GOOD)
    for kind in PAYLOADS:
        assert summary(kind).endswith(".")
        for field in reference(kind):
            assert field.meaning.endswith(".")


@pytest.mark.parametrize("kind", GOOD)
def test_good_data_passes_and_may_hold_more(kind: str) -> None:
    check(kind, GOOD[kind])
    check(kind, GOOD[kind] | {"something": {"else": 1}})


@pytest.mark.parametrize("kind", GOOD)
def test_every_required_field_is_required(kind: str) -> None:
    for field in reference(kind):
        data = {name: value for name, value in GOOD[kind].items() if name != field.name}
        if field.required:
            with pytest.raises(EventRefused, match="missing field") as caught:
                check(kind, data)
            assert caught.value.field == f"data.{field.name}"
        else:
            check(kind, data)


@pytest.mark.parametrize("kind", GOOD)
def test_every_field_has_a_type(kind: str) -> None:
    for field in reference(kind):
        with pytest.raises(EventRefused) as caught:
            check(kind, GOOD[kind] | {field.name: {1: object()}.values})
        assert caught.value.field in (f"data.{field.name}", "data")
        if field.type != "object":
            with pytest.raises(EventRefused) as caught:
                check(kind, GOOD[kind] | {field.name: {"an": "object"}})
            assert caught.value.field == f"data.{field.name}"


@pytest.mark.parametrize(
    ("kind", "data", "field"),
    [
        ("FILE_CHANGE", {"change_type": "touched"}, "data.change_type"),
        ("FILE_CHANGE", {"file_path": ""}, "data.file_path"),
        ("FILE_CHANGE", {"size": -1}, "data.size"),
        ("COMMIT", {"commit_hash": "HEAD"}, "data.commit_hash"),
        ("COMMIT", {"commit_hash": "0a1b2c3d\n"}, "data.commit_hash"),
        ("COMMIT", {"parents": ["a", 1]}, "data.parents[1]"),
        ("PROGRESS_UPDATE", {"percent": 101}, "data.percent"),
        ("RISK_ALERT", {"severity": "HIGH"}, "data.severity"),
        ("TASK_UPDATE", {"line": 0}, "data.line"),
    ],
)
def test_a_value_out_of_its_range_is_refused(kind: str, data: dict[str, Any], field: str) -> None:
    with pytest.raises(EventRefused) as caught:
        check(kind, GOOD[kind] | data)

    assert caught.value.field == field


def test_an_unknown_type_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(EventRefused, match=r"unknown event type 'COMIT', did you mean COMMIT\?"):
        check("COMIT", {})
    with pytest.raises(EventRefused, match=r"unknown event type 'QQQ'$"):
        check("QQQ", {})


def test_a_type_of_ones_own_is_known_and_checked() -> None:
    seen: list[dict[str, Any]] = []
    types = EventTypes({"deploy": None, "RELEASE": seen.append})
    types.check(Event(type="DEPLOY", data={"anything": 1}))
    types.check(Event(type="RELEASE", data={"version": 1}))
    types.add("later", None)

    assert seen == [{"version": 1}]
    assert "DEPLOY" in types
    assert "NOTHING" not in types
    assert types.names() == [*PAYLOADS, "DEPLOY", "RELEASE", "LATER"]
    assert types.nearest("deplyo") == "DEPLOY"


@pytest.mark.parametrize("name", ["commit", "1ST", "", "A" * 65])
def test_a_name_that_is_taken_or_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(EventRefused):
        EventTypes().add(name, None)


@pytest.mark.parametrize("kind", GOOD)
def test_the_schema_requires_what_the_struct_requires(kind: str) -> None:
    required = [field.name for field in reference(kind) if field.required]

    assert schema(kind)["required"] == required


def test_types_that_cannot_be_known_leave_those_that_are() -> None:
    types = EventTypes({"DEPLOY": None})
    with pytest.raises(EventRefused):
        types.replace({"RELEASE": None, "no name": None})

    assert "DEPLOY" in types
    assert "RELEASE" not in types


def test_a_whole_number_may_be_written_with_a_point_wherever_it_stands() -> None:
    files = [{"path": "a", "insertions": 3.0, "deletions": 0.0}]
    data = {"commit_hash": "0" * 40, "message": "", "author": "", "files": files, "insertions": 3.0}
    EventTypes().check(Event(type="COMMIT", data=data))

    files[0]["insertions"] = 0.5
    with pytest.raises(EventRefused, match="insertions: expected"):
        EventTypes().check(Event(type="COMMIT", data=data))
