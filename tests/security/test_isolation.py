"""Who is limited to a project makes, sees and ends nothing of another; X7, X8."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from rtevents.core.event import Event
from tests.conftest import Daemon, shared, wait_for

from .attacker import Answer, Caller, caller, port_of, token


def fill(daemon: Daemon) -> Daemon:
    """Have a daemon's log hold events of the projects `a` and `b`."""
    with daemon.client() as client:
        for number, project in enumerate("abbab", 1):
            client.publish(risk(project, f"{project}:{number}"))
    return daemon


@pytest.fixture
def two(daemon: Daemon) -> Daemon:
    """Return a daemon whose log holds events of the projects `a` and `b`."""
    return fill(daemon)


@pytest.fixture(scope="module")
def shared_two(shared_daemon: Daemon) -> Daemon:
    """Return one that others use too, and that holds no more than that."""
    return fill(shared_daemon)


@pytest.fixture(scope="module")
def watched() -> Iterator[Daemon]:
    """Return a daemon that watches the project `a`, for several tests."""
    with shared() as daemon:
        with daemon.client() as client:
            client.add_project(daemon.repository("a"))
        yield daemon


def risk(project: str, event_id: str) -> Event:
    """Return a RISK_ALERT."""
    data = {"severity": "high", "message": f"of {project}"}
    return Event(type="RISK_ALERT", data=data, project_id=project, event_id=event_id)


def body(project: str, event_id: str, message: str = "x") -> dict[str, Any]:
    """Return an event as JSON."""
    data = {"severity": "high", "message": message}
    return {"type": "RISK_ALERT", "data": data, "project_id": project, "event_id": event_id}


def test_a_limited_owner_makes_no_token_beyond_his_own_grant(shared_two: Daemon) -> None:
    """X7: an owner of one project makes no token for another, nor one that outlives his own."""
    mine = caller(shared_two, "owner", projects=["a"], types=["RISK_ALERT"], expires_in=600)

    made = mine.post("/v1/tokens", {"role": "owner"}).json
    wider = [
        mine.post("/v1/tokens", {"role": "viewer", "projects": ["b"]}),
        mine.post("/v1/tokens", {"role": "viewer", "projects": ["a", "b"]}),
        mine.post("/v1/tokens", {"role": "viewer", "types": ["COMMIT"]}),
    ]
    longer = mine.post("/v1/tokens", {"role": "viewer", "expires_in": 1e9}).json

    assert (made["projects"], made["types"]) == (["a"], ["RISK_ALERT"])
    assert made["expires"] <= time.time() + 600
    assert longer["expires"] <= time.time() + 600
    assert [answer.status for answer in wider] == [403] * 3
    events = Caller(shared_two, made["token"]).get("/v1/events").json["events"]
    assert {event["project_id"] for event in events} == {"a"}


def test_a_limited_owner_sees_and_ends_no_token_of_others(two: Daemon) -> None:
    """X7: tokens beyond the grant are not listed, and not to be told from what is not there."""
    token(two, "viewer", projects=["b"], name="of b")
    everything = token(two, "owner", name="of all")
    mine = caller(two, "owner", projects=["a"], name="mine")
    with two.client() as client:
        ids = {each["name"]: each["id"] for each in client.tokens()}

    listed = [each["name"] for each in mine.get("/v1/tokens").json["tokens"]]
    refused = [mine.ask("DELETE", f"/v1/tokens/{ids[name]}") for name in ("of b", "of all")]
    unknown = mine.ask("DELETE", "/v1/tokens/00000000")

    assert listed == ["mine"]
    for answer, name in zip(refused, ("of b", "of all"), strict=True):
        assert answer.status == unknown.status == 404
        assert answer.detail.replace(ids[name], "00000000") == unknown.detail
    assert Caller(two, everything).get("/v1/tokens").status == 200
    assert mine.ask("DELETE", f"/v1/tokens/{ids['mine']}").status == 204


def test_a_limited_owner_changes_nothing_that_is_everybodys(shared_two: Daemon) -> None:
    """X7: event types, watched folders and commits concern all: a limited grant is not enough."""
    mine = caller(shared_two, "owner", projects=["a"])
    root = shared_two.repository()

    answers = [
        mine.post("/v1/types", {"name": "DEPLOY"}),
        mine.post("/v1/projects", {"path": str(root), "id": "a"}),
        mine.ask("DELETE", "/v1/projects/a"),
        mine.post("/v1/commits", {"path": str(root)}),
    ]

    assert [answer.status for answer in answers] == [403] * 4
    with shared_two.client() as client:
        assert client.projects() == []
        assert client.history().newest == 5


def test_a_limited_owners_browser_sees_what_he_sees(shared_two: Daemon) -> None:
    """X7: the ticket of a limited token logs in a browser that is limited alike."""
    mine = caller(shared_two, "owner", projects=["a"])
    ticket = mine.post("/v1/tickets").json["url"].partition("#t=")[2]
    logged = Caller(shared_two).post("/v1/login", {"ticket": ticket})
    page = Caller(shared_two, Cookie=logged.headers["Set-Cookie"].partition(";")[0])

    events = page.get("/v1/events").json["events"]
    stats = page.get("/v1/stats").json

    assert [event["project_id"] for event in events] == ["a", "a"]
    assert stats["events"]["published"] == 2
    assert page.get("/v1/events?project=b").status == 403


@pytest.mark.parametrize("role", ["admin", "owner"])
def test_statistics_connections_and_projects_are_within_the_grant(two: Daemon, role: str) -> None:
    """X7: what a limited administrator is told is what his grant holds, by the same function."""
    root = two.repository("a")
    other = two.repository("b")
    with two.client() as client:
        client.add_project(root)
        client.add_project(other)
    wait_for(lambda: len(two_projects(two)) == 2, "both are watched")
    everybody = caller(two, "viewer")
    with (
        everybody.stream("?project=a"),
        everybody.stream("?project=b"),
        everybody.stream(),
    ):
        wait_for(lambda: connections(two) == 3, "all are connected")
        mine = caller(two, role, projects=["a"])

        told = {name: mine.get(f"/v1/{name}") for name in ("status", "stats", "connections")}
        listed = told["connections"].json["connections"]
        with two.client() as client:
            hidden = [
                each["connection_id"]
                for each in client.connections()
                if each["principal"].startswith("token:") and each["filter"] != {"project": ["a"]}
            ]
        ended = [mine.ask("DELETE", f"/v1/connections/{each}") for each in hidden]
        changed = [mine.ask("PATCH", f"/v1/connections/{each}", {}) for each in hidden]

        assert [each["filter"] for each in listed] == [{"project": ["a"]}]
        assert told["stats"].json["connections"] == {"current": 1}
        assert set(told["stats"].json["events"]["by_type"]) >= {"RISK_ALERT"}
        assert told["stats"].json["events"]["by_type"]["RISK_ALERT"] == 2
        assert "queue" not in told["stats"].json
        assert [each["id"] for each in told["status"].json["projects"]] == ["a"]
        assert [each["id"] for each in mine.get("/v1/projects").json["projects"]] == ["a"]
        assert len(hidden) == 2
        assert [answer.status for answer in [*ended, *changed]] == [404] * 4
        assert connections(two) == 3
        assert all(b'"b"' not in answer.body for answer in told.values())


def two_projects(daemon: Daemon) -> list[dict[str, Any]]:
    """Return what is watched."""
    with daemon.client() as client:
        return client.projects()


def connections(daemon: Daemon) -> int:
    """Return how many are connected by TCP."""
    with daemon.client() as client:
        return sum(each["principal"].startswith("token:") for each in client.connections())


def test_what_is_amiss_with_a_project_is_told_to_nobody_else(stopped_daemon: Daemon) -> None:
    """X7: the reasons of a health that is degraded name projects: only an administrator sees."""
    (stopped_daemon.home / "config" / "rtevents").mkdir()
    file = stopped_daemon.home / "config" / "rtevents" / "config.yaml"
    file.write_text("projects: [{path: /nonexistent/secret-project, id: secret}]\n")
    stopped_daemon.start()

    health = Caller(stopped_daemon).get("/v1/health/ready")
    limited = caller(stopped_daemon, "admin", projects=["a"]).get("/v1/status")
    full = caller(stopped_daemon, "admin").get("/v1/status")

    assert (health.status, health.json) == (200, {"status": "degraded", "reasons": []})
    assert b"secret" not in limited.body
    assert "secret" in str(full.json["health"]["reasons"])


def same(one: Answer, other: Answer, names: tuple[str, str]) -> bool:
    """Tell whether two answers differ in nothing but the id that was asked for."""
    return (
        one.status == other.status
        and one.body.replace(names[0].encode(), names[1].encode()) == other.body
    )


@pytest.mark.parametrize("key", ["since", "until"])
def test_the_id_of_another_projects_event_is_as_unknown_as_any(
    shared_two: Daemon, key: str
) -> None:
    """X8: a viewer of `a` who guesses the id of an event of `b` learns nothing."""
    mine = caller(shared_two, "viewer", projects=["a"])

    there, nowhere = (mine.get(f"/v1/events?{key}={each}") for each in ("b:2", "b:9"))
    own = mine.get(f"/v1/events?{key}=a:1")

    assert same(there, nowhere, ("b:2", "b:9"))
    assert own.status == 200
    assert own.body != there.body


def test_a_stream_does_not_tell_whether_another_projects_event_is_there(shared_two: Daemon) -> None:
    """X8: the verdict on a guessed id, by `since`, `last_event_id` and `Last-Event-ID`."""
    mine = caller(shared_two, "viewer", projects=["a"])

    def verdicts(event_id: str) -> list[str]:
        frames = [
            mine.first_frame(f"?since={event_id}"),
            mine.first_frame(f"?last_event_id={event_id}"),
            mine.first_frame("", Last_Event_ID=event_id),
        ]
        return [json.dumps(frame | {"connection_id": ""}) for frame in frames]

    assert verdicts("b:2") == verdicts("b:9")
    assert all('"unknown-id"' in text for text in verdicts("b:2"))
    assert all('"complete"' in text for text in verdicts("a:1"))


def test_a_viewer_of_some_types_learns_nothing_of_others(shared_two: Daemon) -> None:
    """X8: the same for a grant of event types."""
    mine = caller(shared_two, "viewer", types=["COMMIT"])

    there, nowhere = (mine.get(f"/v1/events?until={each}") for each in ("b:2", "b:9"))

    assert same(there, nowhere, ("b:2", "b:9"))


def test_a_publisher_cannot_try_the_ids_of_another_project(two: Daemon) -> None:
    """X8: one log has one set of ids: who could try them would learn which are there."""
    mine = caller(two, "publisher", projects=["a"])

    there, nowhere = (mine.post("/v1/events", body("a", each)) for each in ("b:2", "b:9"))
    lines = [
        mine.ask(
            "POST",
            "/v1/events",
            json.dumps(body("a", each)).encode(),
            {"Content-Type": "application/x-ndjson"},
        )
        for each in ("b:2", "b:9")
    ]
    own = mine.post("/v1/events", body("a", "a:42"))
    again = mine.post("/v1/events", body("a", "a:42", "another"))
    random = mine.post("/v1/events", body("a", "018f2b5c-5b0a-7cc3-9a3f-0123456789ab"))

    assert (there.status, there.body) == (nowhere.status, nowhere.body) == (422, there.body)
    assert "begin with the event's project, such as a:42" in there.detail
    assert (lines[0].status, lines[0].body) == (lines[1].status, lines[1].body)
    assert (own.status, again.status, random.status) == (201, 409, 201)


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson", "slow", "array"])
def test_a_conflict_does_not_tell_where_another_projects_event_is(two: Daemon, kind: str) -> None:
    """X8: an id that somebody else gave to an event of `b`: that it is taken, and no more."""
    shared = "018f2b5c-5b0a-7cc3-9a3f-0123456789ab"
    with two.client() as client:
        client.publish(risk("b", shared))
        client.publish(risk("b", "a:77"))
    mine, all_of_it = caller(two, "publisher", projects=["a"]), caller(two, "publisher")
    headers = {"Content-Type": "application/json" if kind in ("slow", "array") else kind}
    headers |= {"Accept-Language": "en"} if kind == "slow" else {}

    for event_id in (shared, "a:77"):
        sent = [body("a", event_id)] if kind == "array" else body("a", event_id)
        answers = [
            each.ask("POST", "/v1/events", json.dumps(sent).encode(), headers)
            for each in (mine, all_of_it)
        ]

        assert [answer.status for answer in answers] == [409, 409]
        assert answers[0].detail == f"event_id {event_id!r} is stored already with another body"
        assert answers[0].json["seq"] == 0
        assert answers[1].json["seq"] in (6, 7)


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson", "cloudevent"])
@pytest.mark.parametrize("type_", ["COMMIT", "commit", "REF_UPDATE", "ref-update"])
def test_nobody_else_tells_the_commits_of_a_watched_repository(
    watched: Daemon, kind: str, type_: str
) -> None:
    """DESIGN 5: its git producer alone does; of what is not watched, whoever may publish."""
    commit = {"commit_hash": "a" * 40, "message": "forged", "author": "Mallory"}
    ref = {"ref": "refs/heads/main", "kind": "branch", "old": None, "new": "a" * 40}
    data = commit if type_.lower() == "commit" else ref

    def attempt(mine: Caller, project: str) -> Answer:
        event: dict[str, Any] = {"type": type_, "data": data, "project_id": project}
        content_type = kind
        if kind == "cloudevent":
            content_type = "application/cloudevents+json"
            common = {"specversion": "1.0", "id": f"{project}:{time.time_ns()}", "source": "x"}
            event = {**common, "type": type_, "data": data, "project": project}
        raw = json.dumps(event).encode()
        return mine.ask("POST", "/v1/events", raw, {"Content-Type": content_type})

    for role, grant in (("publisher", ["a"]), ("publisher", []), ("admin", ["a"])):
        answer = attempt(caller(watched, role, projects=grant), "a")
        assert answer.status == 422
        assert "rtevents publish commit" in answer.detail
    elsewhere = attempt(caller(watched, "publisher"), "unwatched")
    assert elsewhere.status == 201 or "rtevents publish commit" not in elsewhere.detail
    with watched.client() as client:
        told = [entry.event for entry in client.history(limit=1000).events]
    assert not [each for each in told if "forged" in str(each.data) and each.project_id == "a"]


def test_errors_name_nothing_that_the_grant_does_not_hold(shared_two: Daemon) -> None:
    """X8: a project that is there and one that is not are refused with the same words."""
    mine = caller(shared_two, "viewer", projects=["a"])
    publisher = caller(shared_two, "publisher", projects=["a"])

    there, nowhere = (mine.get(f"/v1/events?project={each}") for each in ("b", "z"))
    sent, unsent = (publisher.post("/v1/events", body(each, "a:1")) for each in ("b", "z"))

    assert same(there, nowhere, ("'b'", "'z'"))
    assert same(sent, unsent, ("'b'", "'z'"))
    assert (there.status, sent.status) == (403, 403)


def test_the_port_is_the_daemons_own(shared_two: Daemon) -> None:
    """S5: without a credential the port tells nothing but that somebody is well."""
    anybody = Caller(shared_two)

    statuses = {
        path: anybody.get(path).status
        for path in ("/v1/events", "/v1/stats", "/v1/tokens", "/v1/nothing", "/v1/health/live")
    }

    assert port_of(shared_two) > 0
    assert list(statuses.values()) == [401, 401, 401, 401, 200]
