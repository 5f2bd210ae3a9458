"""Status, statistics, connections, projects, types, tokens, tickets, health and pages."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from rtevents import __version__
from rtevents.core.node import together
from rtevents.core.payloads import PAYLOADS

from .conftest import ROOMY, Answer, Caller, Houses, Server, StagedStore, risk, task
from .readers import Object, read_head, request_head, until


async def get(server: Server, path: str) -> Any:
    """Ask as the owner; return what is answered."""
    answer = await server.owner.get(path)
    assert answer.status == 200, answer.body
    return answer.json


def refusal(answer: Answer) -> tuple[int, str]:
    """Return the status and the words of a refusal."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status, answer.json["detail"]


# How it is


async def test_the_status_tells_what_this_daemon_is(server: Server) -> None:
    await server.publish(task(), risk())
    await get(server, "/v1/status")  # that is written in the audit log, once

    assert await get(server, "/v1/status") == {
        "version": __version__,
        "listen": f"127.0.0.1:{server.tcp[1]}",
        "url": f"http://127.0.0.1:{server.tcp[1]}",
        "epoch": server.service.log.epoch,
        "oldest": 1,
        "newest": 2,
        "missing": 0,
        "bookmark": server.bookmark,
        "health": {"status": "ok", "reasons": []},
        "thresholds": msgspec.to_builtins(ROOMY),
        "projects": [],
        "sinks": [],
        "audit": server.guard.audit.state(),
        "nodes": msgspec.to_builtins(together([]).total),
    }


async def test_the_statistics_count_what_happened(server: Server) -> None:
    await (await server.stream()).live()
    await server.publish(task(), risk(), risk())
    [connection] = server.service.connections.values()
    await until(lambda: connection.delivered == 3, "they are delivered")

    stats = await get(server, "/v1/stats")

    assert stats["events"]["published"] == 3
    assert stats["events"]["delivered"] == 3
    assert stats["events"]["by_type"] == {"RISK_ALERT": 2, "TASK_UPDATE": 1}
    assert stats["queue"] == {"size": 0, "max_size": 2000, "bytes": 0, "max_bytes": 64 * 1024**2}
    assert stats["connections"] == {"current": 1, "total": 1, "cleaned_up": 0}
    assert stats["log"]["newest"] == 3
    assert stats["uptime"] > 0
    assert stats["memory_bytes"] is None or stats["memory_bytes"] > 1_000_000


async def test_a_daemon_that_is_well_is_live_and_ready(server: Server) -> None:
    assert await get(server, "/v1/health/live") == {"status": "ok"}
    assert await get(server, "/v1/health/ready") == {"status": "ok", "reasons": []}


async def test_a_daemon_that_cannot_store_is_live_and_not_ready(houses: Houses) -> None:
    store = StagedStore()
    server = await houses.open(store)
    store.failure = "database or disk is full"
    await server.owner.post("/v1/events", {"type": "RISK_ALERT", "data": risk().data})

    ready = await server.owner.get("/v1/health/ready")
    assert ready.status == 503
    assert ready.json == {
        "status": "failed",
        "reasons": ["events cannot be stored: database or disk is full"],
    }
    assert (await server.owner.get("/v1/health/live")).status == 200
    store.failure = None
    await server.publish(risk())
    assert (await get(server, "/v1/health/ready"))["status"] == "ok"


async def test_a_stranger_is_told_why_nothing_is_stored_and_no_more(houses: Houses) -> None:
    store = StagedStore()
    server = await houses.open(store)
    server.service.warnings["files of secret"] = "too many watches"
    store.failure = "database or disk is full"
    await server.owner.post("/v1/events", {"type": "RISK_ALERT", "data": risk().data})

    ready = await server.caller().get("/v1/health/ready")

    assert ready.status == 503
    assert ready.json["reasons"] == ["events cannot be stored: database or disk is full"]


async def test_a_degraded_daemon_is_ready_and_tells_why(houses: Houses) -> None:
    server = await houses.open(thresholds=msgspec.structs.replace(ROOMY, connections=1))
    server.service.warnings["files of web"] = "too many watches"
    for _ in range(2):
        await (await server.stream()).live()

    ready = await get(server, "/v1/health/ready")

    assert ready["status"] == "degraded"
    assert ready["reasons"] == ["files of web: too many watches", "connections: 2, above 1"]


async def test_a_daemon_that_stops_is_not_ready(server: Server) -> None:
    await server.service.stop()

    ready = await server.owner.get("/v1/health/ready")

    assert (ready.status, ready.json["reasons"]) == (503, ["the daemon is stopping"])


# Connections


async def test_connections_are_listed_with_what_the_specification_names(server: Server) -> None:
    before = time.time()
    await (await server.stream("?type=RISK_ALERT&project=web")).live()
    await (await server.ws()).live()
    await server.publish(task())

    sse, ws = (await get(server, "/v1/connections"))["connections"]

    assert before <= sse["connected_at"] <= sse["last_activity"] <= time.time()
    assert (sse["kind"], ws["kind"]) == ("sse", "ws")
    assert (sse["subscriptions"], sse["project_filter"]) == (["RISK_ALERT"], ["web"])
    assert sse["filter"] == {"type": ["RISK_ALERT"], "project": ["web"]}
    assert sse["connection_id"] != ws["connection_id"]
    assert sse["last_event_id"].startswith(server.service.log.epoch)
    assert sse["principal"].startswith("local:")
    assert sse["bytes"] > 0


async def test_the_lag_of_a_reader_that_stalls_is_shown(server: Server) -> None:
    await (await server.stream()).live()
    for number in range(100):
        await server.publish(risk("x" * 20_000, event_id=f"e{number}"))

    [listed] = (await get(server, "/v1/connections"))["connections"]

    assert listed["lag"] > 10
    assert listed["delivered"] + listed["lag"] == 100


async def test_a_changed_subscription_holds_from_where_the_stream_is(server: Server) -> None:
    stream = await (await server.stream("?type=COMMIT")).live()
    [connection] = server.service.connections
    await server.publish(task())
    await until(lambda: server.service.connections[connection].position == 1, "it is there")

    answer = await server.owner.ask(
        "PATCH", f"/v1/connections/{connection}", {"type": ["risk-alert"], "project": ["web"]}
    )
    await server.publish(risk(), risk(project_id="web"))

    assert answer.json == {
        "bookmark": f"{server.service.log.epoch}-1",
        "filter": {"type": ["RISK_ALERT"], "project": ["web"]},
    }
    assert await stream.seqs(1) == [3]


async def test_a_changed_subscription_can_begin_elsewhere(server: Server) -> None:
    await server.publish(task(), risk(), task())
    stream = await (await server.stream()).live()
    [connection] = server.service.connections

    told = await server.owner.ask("PATCH", f"/v1/connections/{connection}", {"since": "all"})

    messages = await stream.until("live")
    assert [message.json.get("seq") for message in messages] == [1, 2, 3, None]
    assert told.json["verdict"] == "complete"
    lost = await server.owner.ask("PATCH", f"/v1/connections/{connection}", {"since": "no-such-id"})
    gap, *messages = await stream.until("live")
    assert (lost.json["verdict"], gap.json["reason"]) == ("unknown-id", "unknown-id")
    assert [message.json.get("seq") for message in messages] == [1, 2, 3, None]


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({"type": ["COMIT"]}, 400, "unknown event type 'COMIT', did you mean COMMIT?"),
        ({"type": "COMMIT"}, 400, "type: expected array, got str"),
        ({"kind": []}, 400, "kind: unknown field"),
        ({"since": "a b"}, 400, "not a time, a bookmark or an event id: 'a b'"),
        (b"{", 400, "not JSON: it ends too early, or with half of a surrogate pair"),
        ([], 400, "expected object, got array"),
    ],
)
async def test_a_change_that_cannot_be_read_changes_nothing(
    server: Server, body: Any, status: int, detail: str
) -> None:
    stream = await (await server.stream("?type=TASK_UPDATE")).live()
    [connection] = server.service.connections

    answer = await server.owner.ask(
        "PATCH", f"/v1/connections/{connection}", body, {"Content-Type": "application/json"}
    )
    await server.publish(risk(), task())

    assert refusal(answer) == (status, detail)
    assert await stream.seqs(1) == [2]


@pytest.mark.parametrize("name", ["nobody", "..%2f", "%00", "%ff", "a%20b"])
async def test_a_connection_that_is_not_there_is_not_found(server: Server, name: str) -> None:
    for method, body in (("PATCH", {}), ("DELETE", None)):
        answer = await server.owner.ask(method, f"/v1/connections/{name}", body)
        assert answer.status == 404


async def test_a_connection_within_the_process_is_not_changed_from_outside(server: Server) -> None:
    connection, _ = await server.service.connect()

    answer = await server.owner.ask("PATCH", f"/v1/connections/{connection.connection_id}", {})

    assert answer.status == 404
    server.service.disconnect(connection)


async def test_nobody_widens_a_stream_beyond_its_own_grant(server: Server) -> None:
    """An administrator changes what others see, and not what they may see."""
    secret = server.token("viewer", projects=["web"], types=["RISK_ALERT"])
    stream = await server.tcp_stream("", Authorization=f"Bearer {secret}")
    await stream.live()
    [connection] = server.service.connections
    path = f"/v1/connections/{connection}"

    everything = await server.owner.ask("PATCH", path, {})
    beyond = await server.owner.ask("PATCH", path, {"project": ["api"]})
    await server.publish(task(project_id="web"), risk(), risk(project_id="web"))

    assert everything.json["filter"] == {"type": ["RISK_ALERT"], "project": ["web"]}
    assert refusal(beyond) == (403, "the grant does not hold project 'api'")
    assert await stream.seqs(1) == [3]


async def test_an_administrator_changes_a_stream_within_his_own_grant(server: Server) -> None:
    await (await server.stream("?project=web")).live()
    [connection] = server.service.connections
    admin = server.bearer("admin", projects=["web"])

    answer = await admin.ask("PATCH", f"/v1/connections/{connection}", {})

    assert answer.json["filter"] == {"project": ["web"]}


# Projects


async def test_projects_are_added_once_listed_and_removed(server: Server) -> None:
    added = await server.owner.post("/v1/projects", {"path": "/srv/web", "files": False})
    again = await server.owner.post("/v1/projects", {"path": "/srv/web", "files": False})
    taken = await server.owner.post("/v1/projects", {"path": "/srv/other", "id": "web"})
    listed = await get(server, "/v1/projects")
    in_status = (await get(server, "/v1/status"))["projects"]
    removed = await server.owner.ask("DELETE", "/v1/projects/web")
    gone = await server.owner.ask("DELETE", "/v1/projects/web")

    web = {
        "id": "web",
        "path": "/srv/web",
        "files": False,
        "git": True,
        "tasks": ["TODO.md"],
        "auto_commit": False,
        "ignore": [],
    }
    assert (added.status, added.json) == (201, web)
    assert (again.status, again.json) == (200, web)
    assert taken.status == 409
    assert listed == {"projects": [web]}
    assert in_status == [web]
    assert (removed.status, removed.body) == (204, b"")
    assert gone.status == 404


async def test_the_rules_for_risks_are_those_of_all_and_of_what_the_grant_holds(
    server: Server,
) -> None:
    everything = (await get(server, "/v1/risks/rules"))["rules"]
    held = await server.bearer("admin", projects=frozenset({"web"})).get("/v1/risks/rules")
    refused = await server.bearer("viewer").get("/v1/risks/rules")

    assert [each["name"] for each in everything] == ["secret", "web-own", "api-own"]
    assert [each["name"] for each in held.json["rules"]] == ["secret", "web-own"]
    assert refused.status == 403


async def test_a_projects_id_may_hold_what_a_path_must_quote(server: Server) -> None:
    name = "a/b c?é"
    await server.owner.post("/v1/projects", {"path": "/srv/x", "id": name})

    removed = await server.owner.ask("DELETE", f"/v1/projects/{quote(name, safe='')}")

    assert removed.status == 204


@pytest.mark.parametrize("path", ["web", "", "./web", "~/web", "/srv/\0"])
async def test_a_path_must_be_absolute(server: Server, path: str) -> None:
    for route in ("/v1/projects", "/v1/commits"):
        answer = await server.owner.post(route, {"path": path})
        assert refusal(answer) == (400, f"path: expected an absolute path, got {path!r}")
        assert answer.json["field"] == "path"


async def test_a_commit_is_told_with_its_place(server: Server) -> None:
    answer = await server.owner.post("/v1/commits", {"path": "/srv/web"})

    assert answer.status == 201
    assert answer.json == {
        "events": [{"event_id": "git:web:HEAD", "seq": 1, "duplicate": True}],
        "bookmark": f"{server.service.log.epoch}-1",
    }


# Types


async def test_the_types_are_the_event_reference(server: Server) -> None:
    types = (await get(server, "/v1/types"))["types"]

    assert [each["name"] for each in types] == list(PAYLOADS)
    alert = types[list(PAYLOADS).index("RISK_ALERT")]
    assert alert["own"] is False
    assert alert["fields"][0] == {
        "name": "severity",
        "type": "low medium high critical",
        "required": True,
        "meaning": "How bad it is.",
    }
    assert alert["schema"]["required"] == ["severity", "message"]


@pytest.mark.parametrize("name", ["RISK_ALERT", "risk-alert", "Risk_Alert"])
async def test_one_type_is_found_by_any_writing_of_its_name(server: Server, name: str) -> None:
    assert (await get(server, f"/v1/types/{name}"))["name"] == "RISK_ALERT"


async def test_a_type_that_is_not_there_is_told_with_the_nearest(server: Server) -> None:
    answer = await server.owner.get("/v1/types/COMIT")

    assert refusal(answer) == (404, "unknown event type 'COMIT', did you mean COMMIT?")


async def test_a_type_of_ones_own_is_known_at_once(server: Server) -> None:
    schema = {"description": "A release went out.", "type": "object"}
    deploy = {"type": "DEPLOY", "data": {"version": "1.2"}}
    before = await server.owner.post("/v1/events", deploy)

    added = await server.owner.post("/v1/types", {"name": "deploy", "schema": schema})

    assert before.status == 422
    assert added.status == 201
    assert added.json == {
        "name": "DEPLOY",
        "summary": "A release went out.",
        "own": True,
        "fields": [],
        "schema": schema,
    }
    assert (await server.owner.post("/v1/events", deploy)).status == 201
    assert (await get(server, "/v1/types"))["types"][-1]["name"] == "DEPLOY"


@pytest.mark.parametrize("name", ["COMMIT", "1", "", "A" * 65, "A\nB"])
async def test_a_name_that_cannot_be_a_types_is_refused(server: Server, name: str) -> None:
    answer = await server.owner.post("/v1/types", {"name": name})

    assert answer.status == 422
    assert answer.json["field"] == "type"


# Tokens and the browser


async def test_a_token_is_told_once_and_kept_without_its_secret(server: Server) -> None:
    before = time.time()
    made = await server.owner.post(
        "/v1/tokens",
        {
            "role": "viewer",
            "projects": ["web"],
            "types": ["risk-alert"],
            "name": "wall",
            "expires_in": 60,
        },
    )
    secret = made.json["token"]

    assert made.status == 201
    assert secret.startswith(f"rte_{made.json['id']}_")
    assert len(secret) > 50
    [listed] = (await get(server, "/v1/tokens"))["tokens"]
    assert listed == {name: value for name, value in made.json.items() if name != "token"}
    assert (listed["role"], listed["name"]) == ("viewer", "wall")
    assert (listed["projects"], listed["types"]) == (["web"], ["RISK_ALERT"])
    assert before + 60 <= listed["expires"] <= time.time() + 60


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({}, "role: missing field"),
        ({"role": "king"}, "role: expected one of owner, admin, publisher, viewer, got 'king'"),
        ({"role": "browser"}, "role: expected one of owner, admin, publisher, viewer"),
        ({"role": "viewer", "types": ["COMIT"]}, "unknown event type 'COMIT', did you mean"),
        ({"role": "viewer", "types": ["COMMIT,RISK_ALERT"]}, "unknown event type 'COMMIT,"),
        ({"role": "viewer", "types": [""]}, "unknown event type ''"),
        ({"role": "viewer", "projects": [""]}, "projects: not a project's id: ''"),
        ({"role": "viewer", "projects": ["a:b"]}, "projects: not a project's id: 'a:b'"),
        ({"role": "viewer", "expires_in": 0}, "expires_in: expected float > 0.0"),
        ({"role": "viewer", "expires_in": -5}, "expires_in: expected float > 0.0"),
        ({"role": "viewer", "expires_in": "1d"}, "expires_in: expected float"),
        ({"role": "viewer", "more": 1}, "more: unknown field"),
    ],
)
async def test_a_token_that_cannot_be_is_not_made(
    server: Server, fields: Object, detail: str
) -> None:
    answer = await server.owner.post("/v1/tokens", fields)

    status, words = refusal(answer)
    assert (status, words[: len(detail)]) == (400, detail)
    assert server.guard.tokens.all() == []


async def test_a_revoked_token_is_forgotten_and_its_streams_end(server: Server) -> None:
    token, secret = server.guard.tokens.create("viewer")
    other = server.token("viewer")
    stream = await server.tcp_stream("", Authorization=f"Bearer {secret}")
    await stream.live()
    kept = await server.tcp_stream("", Authorization=f"Bearer {other}")
    await kept.live()

    revoked = await server.owner.ask("DELETE", f"/v1/tokens/{token.id}")
    [bye] = await stream.end()

    assert revoked.status == 204
    assert bye.json["reason"] == "ended"
    assert (await server.caller(Authorization=f"Bearer {secret}").get("/v1/events")).status == 401
    assert (await server.owner.ask("DELETE", f"/v1/tokens/{token.id}")).status == 404
    await server.publish(task())
    assert await kept.seqs(1) == [1]


async def log_in(server: Server, **wanted: Any) -> tuple[str, Answer]:
    """Log a browser in; return its cookie and the answer."""
    made = await server.owner.post("/v1/tickets", *([wanted] if wanted else []))
    ticket = made.json["url"].partition("#t=")[2]
    assert made.status == 201
    answer = await browser(server).post("/v1/login", {"ticket": ticket})
    return answer.headers["Set-Cookie"].partition(";")[0], answer


def browser(server: Server, **headers: str) -> Caller:
    """Return a caller that says what a browser says on a page of this server's own."""
    origin = f"http://127.0.0.1:{server.tcp[1]}"
    return server.caller(Origin=origin, **{"Sec-Fetch-Site": "same-origin"}, **headers)


async def test_a_browser_may_be_let_see_less(server: Server) -> None:
    """A screen on the wall: one project's stream, no connections, no statistics."""
    await server.publish(task(project_id="web"), task(project_id="api"), risk(project_id="web"))
    cookie, _ = await log_in(server, role="viewer", projects=["web"], types=["task-update"])
    page = browser(server, Cookie=cookie)

    seen = (await page.get("/v1/events")).json["events"]
    assert [each["seq"] for each in seen] == [1]
    for path in ("stats", "status", "connections"):
        assert (await page.get(f"/v1/{path}")).status == 403
    assert (await page.post("/v1/events", {"type": "TASK_UPDATE", "data": {}})).status == 403
    [session] = (await server.owner.get("/v1/tokens")).json["sessions"]
    assert (session["role"], session["projects"]) == ("viewer", ["web"])
    for wrong in ({"role": "owner"}, {"types": ["NOPE"]}, {"projects": ["a:b"]}, {"more": 1}):
        assert (await server.owner.post("/v1/tickets", wrong)).status == 400
    mine = server.bearer("owner", projects=["api"])
    assert (await mine.post("/v1/tickets", {"projects": ["web"]})).status == 403


async def test_a_change_is_made_whole_though_who_asked_for_it_hangs_up(server: Server) -> None:
    begun, may_go_on, is_done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def reload() -> dict[str, Any]:
        begun.set()
        await may_go_on.wait()
        is_done.set()
        return {"changed": [], "warnings": []}

    server.house.reload = reload
    async with await server.wire() as wire:
        await wire.send(request_head("POST", "/v1/reload", {"Content-Length": "0"}))
        await begun.wait()
    await until(lambda: not server._entrance.door.open, "it has hung up")
    may_go_on.set()

    await until(is_done.is_set, "it is done")


async def test_a_token_is_revoked_with_its_browsers_or_not_at_all(server: Server) -> None:
    made = await server.bearer("owner").post("/v1/tickets", {})
    await browser(server).post("/v1/login", {"ticket": made.json["url"].partition("#t=")[2]})
    [token] = server.guard.tokens.all()
    in_the_way = Path(server.socket).with_name(".sessions.json.tmp")
    in_the_way.mkdir()

    refused = await server.owner.ask("DELETE", f"/v1/tokens/{token.id}")
    in_the_way.rmdir()
    done = await server.owner.ask("DELETE", f"/v1/tokens/{token.id}")

    assert (refused.status, done.status) == (503, 204)
    assert server.guard.browsers.all() == []


async def test_a_ticket_becomes_a_cookie_with_which_a_browser_looks(server: Server) -> None:
    url = (await server.owner.post("/v1/tickets")).json["url"]
    cookie, answer = await log_in(server)

    assert url.startswith(f"http://127.0.0.1:{server.tcp[1]}/#t=")
    assert answer.status == 200
    name = f"rtevents_{server.tcp[1]}"
    assert cookie.startswith(f"{name}=")
    attributes = answer.headers["Set-Cookie"].split("; ")[1:]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)
    assert answer.json["until"] > time.time()
    assert cookie.partition("=")[2] not in answer.body.decode()

    await server.publish(risk())
    page = browser(server, Cookie=cookie)
    assert (await page.get("/v1/events")).json["events"][0]["type"] == "RISK_ALERT"
    assert (await page.get("/v1/stats")).status == 200
    stream = await server.tcp_stream(
        "?since=all", Cookie=cookie, **{"Sec-Fetch-Site": "same-origin"}
    )
    assert await stream.seqs(1) == [1]


async def test_a_browser_publishes_nothing(server: Server) -> None:
    cookie, _ = await log_in(server)
    page = browser(server, Cookie=cookie)

    answer = await page.post("/v1/events", {"type": "RISK_ALERT", "data": risk().data})

    assert refusal(answer)[0] == 403
    assert server.service.log.last == 0


# The pages


async def test_the_page_comes_without_a_credential_and_keeps_to_itself(server: Server) -> None:
    page = await server.caller().get("/")
    again = await server.caller(**{"If-None-Match": page.headers["ETag"]}).get("/")
    script = await server.caller().get("/app.js")

    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert (again.status, again.body) == (304, b"")
    assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/index.html",
        "/..%2f..%2fetc/passwd",
        "/%2e%2e/app.py",
        "/static/app.js",
        "/app.js%00",
        "//app.js",
        "/./app.js",
        "/x/../app.js",
        "/v1",
        "/v1/events/",
        "/v2/events",
    ],
)
async def test_nothing_else_is_there(server: Server, path: str) -> None:
    wire = await server.wire()
    await wire.send(request_head("GET", path, {}))
    head = await read_head(wire)

    assert (head.status, head.headers["content-type"]) == (404, "application/problem+json")


async def test_a_method_that_is_not_taken_is_told_with_those_that_are(server: Server) -> None:
    answer = await server.owner.ask("PUT", "/v1/events")

    assert refusal(answer) == (405, "/v1/events takes GET, POST")
    assert answer.headers["Allow"] == "GET, POST"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/types"),
        ("POST", "/v1/projects"),
        ("POST", "/v1/commits"),
        ("POST", "/v1/tokens"),
        ("POST", "/v1/login"),
    ],
)
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
async def test_what_a_form_could_send_is_not_taken(
    server: Server, method: str, path: str, kind: str
) -> None:
    answer = await server.owner.ask(method, path, b"{}", {"Content-Type": kind})

    assert refusal(answer)[0] == 415


async def test_a_bug_of_ours_is_told_in_the_log_and_not_to_the_peer(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("a secret of ours")

    monkeypatch.setattr(server.service, "statistics", fail)

    answer = await server.owner.get("/v1/stats")

    assert refusal(answer) == (500, "the daemon failed to answer; its log tells why")
    assert "a secret of ours" in caplog.text


async def test_many_ask_at_once(server: Server) -> None:
    answers = await asyncio.gather(*(server.owner.get("/v1/status") for _ in range(100)))

    assert {answer.status for answer in answers} == {200}
