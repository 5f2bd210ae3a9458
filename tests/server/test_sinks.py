"""GET /v1/sinks and what is about their dead letters: who may ask, and what is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rtevents.config.paths import Paths
from rtevents.config.settings import Config
from rtevents.config.sinks import CommandSettings, SinkSettings
from rtevents.daemon.sinks import Sinks

from .conftest import Server, risk
from .readers import until


@pytest.fixture
async def failing(server: Server, tmp_path: Path) -> AsyncIterator[Server]:
    """Return a server one of whose sinks gave up two events."""
    run = CommandSettings(run=["sh", "-c", "test -e ok || exit 3"], cwd=str(tmp_path))
    settings = SinkSettings(name="s", type="risk-alert", command=run, retries=0, breaker=0)
    paths = Paths(tmp_path, tmp_path / "state", tmp_path / "c")
    sinks = Sinks(server.service, Config(sinks=[settings]), paths, list)
    server.house.sinks = sinks
    sinks.start()
    await until(lambda: sinks.one("s")["bookmark"], "it has its place")
    await server.publish(risk("one"), risk("two"))
    await until(lambda: sinks.one("s")["dead"] == 2, "both are given up")
    await until(lambda: sinks.one("s")["lag"] == 0, "it has looked at all")
    yield server
    await sinks.stop()


async def test_sinks_are_told_with_lag_and_what_is_amiss(failing: Server) -> None:
    (sink,) = (await failing.owner.get("/v1/sinks")).json["sinks"]

    assert (sink["name"], sink["kind"], sink["project"]) == ("s", "command", None)
    assert sink["filter"] == {"type": ["RISK_ALERT"]}
    assert (sink["state"], sink["dead"], sink["failures"]) == ("running", 2, 2)
    assert sink["last_error"] == "sh failed, exit 3"
    assert (await failing.owner.get("/v1/status")).json["sinks"] == [sink]


async def test_dead_letters_are_told_replayed_and_discarded(
    failing: Server, tmp_path: Path
) -> None:
    found = (await failing.owner.get("/v1/sinks/s/dead")).json
    assert found["total"] == 2
    assert [each["event"]["data"]["message"] for each in found["letters"]] == ["one", "two"]
    first, second = (each["id"] for each in found["letters"])

    (tmp_path / "ok").touch()
    done = await failing.owner.post("/v1/sinks/s/replay", {"id": first})
    assert (done.status, done.json) == (200, {"count": 1})
    await until(lambda: failing.house.sinks.one("s")["dead"] == 1, "it is done")
    assert (await failing.owner.post("/v1/sinks/s/discard", {"id": second})).json == {"count": 1}
    assert (await failing.owner.get("/v1/sinks/s/dead")).json == {"letters": [], "total": 0}
    assert (await failing.owner.post("/v1/sinks/s/replay", {"id": first})).status == 404
    assert (await failing.owner.post("/v1/sinks/s/replay", {})).json == {"count": 0}
    assert (await failing.owner.post("/v1/sinks/s/resume", {})).json["state"] == "running"


async def test_the_metrics_tell_of_sinks(failing: Server) -> None:
    text = (await failing.owner.get("/metrics")).body.decode()

    for line in ("delivered_total", "failures_total", "lag_events", "dead_letters"):
        value = 0.0 if line in ("delivered_total", "lag_events") else 2.0
        assert f'rtevents_sink_{line}{{sink="s"}} {value}' in text


@pytest.mark.parametrize("path", ["dead", "replay", "discard", "resume"])
async def test_a_sink_that_is_not_there_is_404(failing: Server, path: str) -> None:
    method = "GET" if path == "dead" else "POST"
    for name in ("nonesuch", "..", "%2e%2e%2fs", "s%00"):
        done = await failing.owner.ask(
            method, f"/v1/sinks/{name}/{path}", None if method == "GET" else {}
        )
        assert done.status == 404


async def test_who_may_ask(failing: Server) -> None:
    """What a sink sends where is for who may see everything; to have it done is the owner's."""
    for role, status in (("viewer", 403), ("publisher", 403), ("admin", 200)):
        caller = failing.bearer(role)
        assert (await caller.get("/v1/sinks")).status == status
        assert (await caller.get("/v1/sinks/s/dead")).status == status
        assert (await caller.post("/v1/sinks/s/replay", {})).status == 403
        assert (await caller.post("/v1/sinks/s/discard", {})).status == 403
        assert (await caller.post("/v1/sinks/s/resume", {})).status == 403
    limited = failing.bearer("admin", projects=frozenset({"web"}))
    assert (await limited.get("/v1/sinks")).status == 403
    assert (await limited.get("/v1/sinks/s/dead")).status == 403
    assert "sinks" not in (await limited.get("/v1/status")).json
