"""Event types of the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtevents.config.settings import Config, TypeSettings
from rtevents.core.event import Event
from rtevents.daemon.types import OwnTypes, compile_schema
from rtevents.errors import BadInput, EventRefused, Taken
from rtevents.producers import DECLARED

SCHEMA = {"type": "object", "required": ["version"], "properties": {"version": {"type": "string"}}}


async def test_a_type_of_the_configuration_is_checked_by_its_schema(tmp_path: Path) -> None:
    config = Config(event_types=["DEPLOY", TypeSettings(name="release", schema=SCHEMA)])
    own = OwnTypes(config, tmp_path / "types.json")

    own.types.check(Event(type="DEPLOY", data={"anything": 1}))
    own.types.check(Event(type="RELEASE", data={"version": "1"}))
    with pytest.raises(EventRefused, match=r"data.version must be string") as caught:
        own.types.check(Event(type="RELEASE", data={"version": 1}))
    assert caught.value.field == "data.version"


async def test_an_added_type_is_there_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "types.json"
    own = OwnTypes(Config(), file)
    await own.add("deploy", SCHEMA)
    await own.add("DEPLOY", SCHEMA)

    again = OwnTypes(Config(), file)
    assert again.schemas == {**DECLARED, "DEPLOY": SCHEMA}
    with pytest.raises(EventRefused):
        again.types.check(Event(type="DEPLOY", data={}))


async def test_what_a_producer_declares_is_checked_as_ones_own(tmp_path: Path) -> None:
    own = OwnTypes(Config(), tmp_path / "types.json")
    data = {"ref": "refs/heads/main", "kind": "branch", "change": "created", "old": None}

    own.types.check(Event(type="REF_UPDATE", data={**data, "new": "0" * 40}))
    with pytest.raises(EventRefused, match="new"):
        own.types.check(Event(type="REF_UPDATE", data=data))
    with pytest.raises(Taken, match="REF_UPDATE is a type already"):
        await own.add("ref-update", SCHEMA)


async def test_a_name_that_a_producer_has_is_refused_and_an_older_one_gives_way(
    tmp_path: Path,
) -> None:
    with pytest.raises(BadInput, match="REF_UPDATE is a producer's type: choose another name"):
        OwnTypes(Config(event_types=["ref_update"]), tmp_path / "types.json")
    (tmp_path / "types.json").write_text('{"REF_UPDATE": null, "DEPLOY": null}')

    own = OwnTypes(Config(), tmp_path / "types.json")

    assert own.schemas == {**DECLARED, "DEPLOY": None}


async def test_another_schema_for_a_type_that_is_there_is_refused(tmp_path: Path) -> None:
    own = OwnTypes(Config(event_types=["DEPLOY"]), tmp_path / "types.json")
    with pytest.raises(Taken, match="DEPLOY is a type already, with another schema"):
        await own.add("deploy", SCHEMA)


@pytest.mark.parametrize("name", ["COMMIT", "1ST", "", "A" * 65, "ÄÖ"])
async def test_a_name_that_cannot_be_a_type_is_refused(tmp_path: Path, name: str) -> None:
    own = OwnTypes(Config(), tmp_path / "types.json")
    with pytest.raises(EventRefused):
        await own.add(name, None)

    assert not (tmp_path / "types.json").exists()


def test_what_is_no_schema_is_refused() -> None:
    assert compile_schema(None) is None
    with pytest.raises(BadInput, match="not a JSON Schema"):
        compile_schema({"type": "nothing"})


@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": "["},
        {"properties": 5},
        {"items": 5},
        {"$ref": "nope.json"},
        {"$ref": "http://127.0.0.1:1/x"},
        {"$ref": "file:///etc/passwd"},
    ],
)
def test_what_the_library_stumbles_over_is_no_schema(schema: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="not a JSON Schema: "):
        compile_schema(schema)
