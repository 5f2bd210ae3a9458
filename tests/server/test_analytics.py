"""GET /v1/analytics and /v1/predictions: what is counted, within the grant and within bounds."""

from __future__ import annotations

from typing import Any

import pytest

from rtevents.core.event import Entry, Event
from rtevents.server import analytics

from .conftest import Server, task


def commit(number: int, *files: str, project: str = "web") -> Event:
    data = {"commit_hash": f"{number:040x}", "message": "m", "author": "Ada",
            "files": [{"path": path} for path in files]}  # fmt: skip
    return Event(type="COMMIT", project_id=project, data=data)


@pytest.fixture
async def filled(server: Server) -> Server:
    """Return a server whose log has commits of two projects, and tasks."""
    events = [commit(n, "a.py", "b.py") for n in range(30)]
    events += [commit(100 + n, "x.py", "y.py", project="api") for n in range(10)]
    events += [task(n) for n in range(5)]
    await server.publish(*events)
    for seq, event in enumerate(events, 1):
        server.house.forecast.learn(Entry.of(event, seq))
    return server


async def counted(server: Server, query: str = "") -> Any:
    answer = await server.owner.get(f"/v1/analytics?{query}")
    assert answer.status == 200, answer.body
    return answer.json


async def test_what_a_filter_and_a_place_leave_is_counted(filled: Server) -> None:
    whole = await counted(filled)
    assert (whole["events"], whole["is_cut"]) == (45, False)
    assert whole["commits"]["count"] == 40
    assert whole["together"][0] == {
        "files": ["a.py", "b.py"], "count": 30, "share": 1.0, "project_id": "web",
    }  # fmt: skip
    assert (await counted(filled, "project=api"))["commits"]["count"] == 10
    assert (await counted(filled, "type=TASK_UPDATE"))["by_type"] == {"TASK_UPDATE": 5}
    assert (await counted(filled, "where=seq+%3E+44"))["events"] == 1
    epoch = filled.service.log.epoch
    assert (await counted(filled, f"since={epoch}-42"))["events"] == 3
    assert (await counted(filled, "since=new"))["events"] == 0


async def test_no_more_than_the_newest_is_looked_at(
    filled: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analytics, "MOST_EVENTS", 20)

    found = await counted(filled)

    assert (found["events"], found["is_cut"]) == (20, True)


@pytest.mark.parametrize(
    ("path", "field", "words"),
    [
        ("analytics?since=%2C", "since", "since: "),
        ("analytics?until=1h", None, "unknown parameter 'until'"),
        ("analytics?type=NOPE", "type", "unknown event type"),
        ("predictions?path=a", "project", "project: expected one"),
        ("predictions?project=a&project=b&path=a", "project", "project: expected one"),
        ("predictions?project=web", "path", "path: expected 1 to 16, got 0"),
        ("predictions?project=web&path=a&limit=0", "limit", "limit: expected 1 to 100"),
        ("predictions?project=web&path=a&limit=1000", "limit", "limit: expected 1 to 100"),
        ("predictions?project=web&path=a&limit=-1", "limit", "limit: expected 1 to 100"),
        ("predictions?project=web&path=a&type=x", None, "unknown parameter 'type'"),
    ],
)
async def test_what_cannot_be_asked_is_refused(
    server: Server, path: str, field: str | None, words: str
) -> None:
    answer = await server.owner.get(f"/v1/{path}")

    assert answer.status == 400
    assert answer.json["detail"].startswith(words)
    assert answer.json.get("field") == field


async def test_a_prediction_is_what_changed_together(filled: Server) -> None:
    answer = await filled.owner.get("/v1/predictions?project=web&path=a.py&limit=3")

    found = answer.json
    assert (found["project"], found["paths"]) == ("web", ["a.py"])
    [likely] = found["likely"]
    assert likely["path"] == "b.py"
    assert likely["probability"] > 0.9
    none = await filled.owner.get("/v1/predictions?project=none&path=a.py")
    assert none.json["likely"] == []


async def test_a_grant_holds_for_both(filled: Server) -> None:
    """A viewer of one project learns nothing of another."""
    secret = filled.token("viewer", projects=["api"])
    viewer = filled.caller(Authorization=f"Bearer {secret}")

    mine = (await viewer.get("/v1/analytics")).json
    assert (mine["events"], mine["together"][0]["files"]) == (10, ["x.py", "y.py"])
    assert (await viewer.get("/v1/analytics?project=web")).status == 403
    assert (await viewer.get("/v1/predictions?project=api&path=x.py")).json["likely"]
    assert (await viewer.get("/v1/predictions?project=web&path=a.py")).status == 403
    risks = filled.caller(Authorization=f"Bearer {filled.token('viewer', types=['RISK_ALERT'])}")
    assert (await risks.get("/v1/analytics")).json["events"] == 0
    assert (await risks.get("/v1/predictions?project=web&path=a.py")).status == 403
    assert (await filled.caller().get("/v1/analytics")).status == 401
