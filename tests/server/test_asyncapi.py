"""The reference of the streams: what really comes is what it says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from rtevents.core.payloads import PAYLOADS
from rtevents.server.asyncapi import SEEN_ASIDE
from rtevents.server.commands import _COMMANDS
from rtevents.server.stream import CLOSE_CODES, STREAM_KEYS
from tests.fetched import npm

from .conftest import Houses, Server, risk, task
from .readers import Object
from .test_reference import references


async def document(server: Server) -> Object:
    """Return what the daemon tells of its streams."""
    answer = await server.owner.get("/asyncapi.json")
    assert answer.status == 200, answer.body
    found: Object = answer.json
    return found


def judge(found: Object, message: str) -> Callable[[Any], Any]:
    """Return what judges a message by its description, of which no field may be missing."""
    place = found["components"]["messages"][message]["payload"]["$ref"]
    name = place.rpartition("/")[2]
    schema = found["components"]["schemas"][name]
    schema["additionalProperties"] = False
    check: Callable[[Any], Any] = fastjsonschema.compile(
        {"$ref": place, "components": found["components"]}
    )
    return check


async def test_nothing_is_referred_to_that_is_not_there(server: Server) -> None:
    own = {
        "type": "object",
        "properties": {"where": {"$ref": "#/$defs/Place"}},
        "$defs": {"Place": {"type": "string"}},
    }
    assert (await server.owner.post("/v1/types", {"name": "DEPLOY", "schema": own})).status == 201
    found = await document(server)

    for reference in references(found):
        part: Any = found
        for name in reference.removeprefix("#/").split("/"):
            assert name in part, reference
            part = part[name]
    assert "DeployEvent" in found["channels"]["sse"]["messages"]
    assert "#/$defs/" not in json.dumps(found)


async def test_every_type_and_every_command_is_told(server: Server) -> None:
    found = await document(server)

    kinds = {
        schema["properties"]["type"]["const"]
        for name, schema in found["components"]["schemas"].items()
        if name.endswith("Event") and "const" in schema["properties"].get("type", {})
    }
    assert kinds == PAYLOADS.keys()
    received = {name for name, each in found["operations"].items() if each["action"] == "receive"}
    assert received == {*_COMMANDS, "auth"}
    assert found["servers"]["ws"]["host"] == f"127.0.0.1:{server.tcp[1]}"


async def test_what_a_stream_may_be_asked_for_is_told(server: Server) -> None:
    """A binding of a channel for HTTP is empty by its specification (0.3.0): operations have it."""
    found = await document(server)

    asked = {
        "sse": found["operations"]["follow_sse"]["bindings"]["http"]["query"],
        "ndjson": found["operations"]["follow_ndjson"]["bindings"]["http"]["query"],
        "websocket": found["channels"]["websocket"]["bindings"]["ws"]["query"],
    }
    for name, query in asked.items():
        assert set(query["properties"]) == STREAM_KEYS
        assert all(each["description"] for each in query["properties"].values())
        if name != "websocket":
            words = found["channels"][name]["description"]
            assert f"`follow_{name}`" in words
            assert {key for key in STREAM_KEYS if f"`{key}`" in words} == STREAM_KEYS


async def test_what_an_sse_stream_says_is_what_is_told(houses: Houses) -> None:
    server = await houses.open(heartbeat_interval=0.05, dashboard_interval=0.05, event_retention=10)
    await server.fill(30)
    await server.service.log.retain(10, 0, 0)
    found = await document(server)
    stream = await server.stream(f"?since={server.service.log.epoch}-1&max_latency=10ms")
    messages = await stream.until("live")
    stream = await server.stream("?type=DASHBOARD_UPDATE")
    messages += await stream.until("DASHBOARD_UPDATE")
    messages += await stream.until("HEALTH_CHECK")
    await server.stop()
    messages += await stream.end()

    seen = set()
    for message in messages:
        if not message.data:
            continue  # it moves the bookmark, and nothing else
        name = {"message": "TaskUpdateEvent"}.get(message.event, message.event)
        if message.event in SEEN_ASIDE:
            name = "".join(part.title() for part in message.event.split("_")) + "Event"
        judge(found, name)(message.json | ({} if "Event" in name else {"control": name}))
        seen.add(name)
    assert {"hello", "gap", "live", "bye", "TaskUpdateEvent", "HealthCheckEvent"} <= seen
    assert "DashboardUpdateEvent" in seen


async def test_what_a_websocket_says_is_what_is_told(houses: Houses) -> None:
    server = await houses.open(heartbeat_interval=0.05)
    await server.publish(task(), risk(extensions={"traceparent": "00-1"}))
    found = await document(server)
    ws = await server.ws("?since=all")
    messages = await ws.until("bookmark")
    published = [{"type": "TASK_UPDATE", "data": task().data}]
    commands: list[Object] = [
        {"op": "subscribe", "ref": 1, "type": ["COMMIT"], "since": "all"},
        {"op": "publish", "ref": 2, "events": published},
        {"op": "publish", "ref": 3, "events": [{"type": "TASK_UPDATE", "data": {}}]},
        {"op": "ping", "ref": 4},
        {"op": "unsubscribe"},
    ]
    for command in commands:
        judge(found, command["op"])(command)
        messages.append(await ws.ask(**command))

    kinds = {"TASK_UPDATE": "TaskUpdateEvent", "RISK_ALERT": "RiskAlertEvent"}
    seen = set()
    for message in messages:
        if message.get("type") == "HEALTH_CHECK":
            continue
        name = message.get("control") or kinds[message["type"]]
        judge(found, name)(message)
        seen.add(name)
    assert seen == {"hello", "live", "bookmark", "ok", "error", *kinds.values()}


async def test_every_reason_to_end_a_stream_is_told(server: Server) -> None:
    bye = (await document(server))["components"]["schemas"]["ByeFrame"]

    told = bye["properties"]["reason"]["description"]
    assert [reason for reason in (*CLOSE_CODES, "error") if f"`{reason}`" not in told] == []


PARSE = """
import { readFileSync } from 'node:fs';
import parser from '@asyncapi/parser';
const { document, diagnostics } = await new parser.Parser().parse(readFileSync(0, 'utf8'));
console.log(JSON.stringify({
  channels: document?.channels().all().map((channel) => channel.id()),
  wrong: diagnostics.filter((each) => each.severity < 2).map((each) => each.message),
}));
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_the_parser_of_asyncapi_accepts_it(server: Server, tmp_path: Path) -> None:
    npm("@asyncapi/parser@3", tmp_path)
    (tmp_path / "parse.mjs").write_text(PARSE)
    assert (await server.owner.post("/v1/types", {"name": "DEPLOY", "schema": None})).status == 201

    said = subprocess.run(
        ["node", "parse.mjs"], input=json.dumps(await document(server)),
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    assert json.loads(said) == {"channels": ["sse", "ndjson", "websocket"], "wrong": []}
