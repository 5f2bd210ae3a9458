"""The reference of the interface: complete, valid, and true."""

from __future__ import annotations

import json
from typing import Any

from rtevents.core.filter import FILTER_KEYS
from rtevents.server.app import ROUTES
from rtevents.server.history import HISTORY_KEYS
from rtevents.server.stream import STREAM_KEYS

from .conftest import Server


async def document(server: Server) -> dict[str, Any]:
    """Return what the daemon tells of itself."""
    answer = await server.owner.get("/openapi.json")
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def references(part: Any) -> set[str]:
    """Return every place that a part of the document refers to."""
    if isinstance(part, dict):
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*map(references, part.values()))
    return set().union(*map(references, part)) if isinstance(part, list) else set()


async def test_every_route_is_told_with_what_it_does(server: Server) -> None:
    paths = (await document(server))["paths"]

    told = {(method.upper(), path) for path, row in paths.items() for method in row}
    assert told == {(route.method, route.path) for route in ROUTES}
    operations = [operation for row in paths.values() for operation in row.values()]
    assert all(operation["summary"].endswith(".") for operation in operations)
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)


async def test_nothing_is_referred_to_that_is_not_there(server: Server) -> None:
    """A type of the user's own whose schema has parts is told with them."""
    own = {
        "type": "object",
        "properties": {"where": {"$ref": "#/$defs/Place"}},
        "$defs": {"Place": {"type": "string"}},
    }
    assert (await server.owner.post("/v1/types", {"name": "DEPLOY", "schema": own})).status == 201
    found = await document(server)

    schemas = found["components"]["schemas"]
    assert {"Deploy", "Place"} <= schemas.keys()
    assert references(found) <= {f"#/components/schemas/{name}" for name in schemas}
    assert "#/$defs/" not in json.dumps(found)


async def test_the_keys_of_a_query_string_are_those_that_are_taken(server: Server) -> None:
    paths = (await document(server))["paths"]

    for path, keys in (("/v1/events", HISTORY_KEYS), ("/v1/events/stream", STREAM_KEYS)):
        parameters = paths[path]["get"]["parameters"]
        assert {each["name"] for each in parameters} == keys
        assert all(each["description"] for each in parameters)
        assert {each["name"] for each in parameters} >= FILTER_KEYS


async def test_each_type_that_may_be_published_is_told_with_its_data(server: Server) -> None:
    found = (await document(server))["components"]["schemas"]

    kinds = {each["properties"]["type"]["const"] for each in found["NewEvent"]["anyOf"]}
    assert "HEALTH_CHECK" not in kinds
    assert {"COMMIT", "RISK_ALERT", "DASHBOARD_UPDATE"} <= kinds
    assert found["RiskAlert"]["required"] == ["severity", "message"]


async def test_a_whole_number_may_be_written_with_a_point(server: Server) -> None:
    """JSON Schema 2020-12, section 4.2.3: 1.0 is an integer."""
    body = {"type": "AUTO_COMMIT_START", "data": {"changes_count": 3.0}}
    wrong = {"type": "AUTO_COMMIT_START", "data": {"changes_count": 3.5}}

    assert (await server.owner.post("/v1/events", body)).status == 201
    assert (await server.owner.post("/v1/events", wrong)).status == 422
