"""What Prometheus reads."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rtevents import __version__
from tests.conftest import Daemon, wait_for

from .conftest import Houses, Server, StagedStore, risk, task
from .readers import until


async def figures(server: Server) -> dict[str, float]:
    """Return every sample by its name and labels: ``rtevents_connections{kind=sse}``."""
    answer = await server.owner.get("/metrics")
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return parsed(answer.body.decode())


def parsed(text: str) -> dict[str, float]:
    """Return the samples of a text."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
            found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


async def test_what_happened_is_counted(server: Server) -> None:
    stream = await server.stream()
    await stream.live()
    event = task()
    await server.publish(event, risk(), risk())
    await server.publish(event)
    refused = await server.owner.post("/v1/events", {"type": "NO_SUCH", "data": {}})
    assert refused.status == 422
    delays = server.service.counters.delays.histogram
    await until(lambda: sum(delays.counts) == 1, "it is delivered")

    found = await figures(server)

    assert found["rtevents_events_published_total{type=RISK_ALERT}"] == 2
    assert found["rtevents_events_published_total{type=TASK_UPDATE}"] == 1
    assert found["rtevents_events_duplicates_total"] == 1
    assert found["rtevents_events_refused_total"] == 1
    assert found["rtevents_events_delivered_total"] == 3
    assert found["rtevents_connections{kind=sse}"] == 1
    assert found["rtevents_connections{kind=ws}"] == 0
    assert found["rtevents_connections_opened_total"] == 1
    assert found["rtevents_log_newest_seq"] == 3
    assert found["rtevents_log_window_events"] == 3
    assert found["rtevents_queue_events"] == 0
    assert found["rtevents_queue_capacity_events"] == 2000
    assert found["rtevents_queue_capacity_bytes"] == 64 * 1024**2
    assert found["rtevents_store_append_seconds_count"] == 2
    assert found["rtevents_delivery_seconds_count"] == 1
    assert found["rtevents_delivery_seconds_sum"] > 0
    version = [name for name in found if name.startswith("rtevents_build_info{")]
    assert f"version={__version__}" in version[0]


async def test_a_group_counts_a_transaction_once_however_many_follow(server: Server) -> None:
    for _ in range(20):
        await (await server.stream()).live()
    await (await server.stream("?type=COMMIT")).live()
    await server.publish(*(task(number) for number in range(50)))
    await until(lambda: server.service.counters.delivered == 1000, "it is delivered")

    found = await figures(server)

    assert found["rtevents_delivery_seconds_count"] == 1


async def test_what_nobody_wants_is_not_delivered(server: Server) -> None:
    stream = await server.stream("?type=COMMIT")
    await stream.live()
    await server.publish(task())
    [connection] = server.service.connections.values()
    await until(lambda: connection.position == 1, "it is passed over")

    assert (await figures(server))["rtevents_delivery_seconds_count"] == 0


async def test_who_lags_and_who_is_cut_off_is_told(server: Server) -> None:
    await (await server.stream()).live()
    await server.publish(task())
    [connection] = server.service.connections.values()
    await until(lambda: connection.position == 1, "it is delivered")
    name = "rtevents_connections_closed_total{reason="
    before = await figures(server)
    connection.position = 0
    behind = await figures(server)
    server.service.disconnect(connection, "slow")
    server.service.disconnect(connection)
    after = await figures(server)

    lags = [each["rtevents_connections_lag_events"] for each in (before, behind, after)]
    assert lags == [0, 1, 0]
    assert before[f"{name}slow}}"] == 0
    assert after[f"{name}slow}}"] == 1
    assert after[f"{name}closed}}"] == 0


async def test_the_verdict_is_one_of_three_states(houses: Houses) -> None:
    store = StagedStore()
    server = await houses.open(store)
    name = "rtevents_health_status{rtevents_health_status="
    assert (await figures(server))[f"{name}ok}}"] == 1
    store.failure = "database or disk is full"
    await server.owner.post("/v1/events", {"type": "RISK_ALERT", "data": risk().data})

    found = await figures(server)

    assert {key: value for key, value in found.items() if key.startswith(name)} == {
        f"{name}ok}}": 0, f"{name}degraded}}": 0, f"{name}failed}}": 1,
    }  # fmt: skip
    assert found["rtevents_errors_total"] == 1


async def test_a_log_is_told_by_its_name_even_where_it_is_alone(houses: Houses) -> None:
    store = StagedStore()
    server = await houses.open(store)
    await server.publish(task(), task())
    before = await figures(server)
    store.failure = "database or disk is full"
    await server.owner.post("/v1/events", {"type": "RISK_ALERT", "data": risk().data})

    found = await figures(server)

    assert found["rtevents_log_newest_seq"] == found["rtevents_logs_newest_seq{log=main}"] == 2
    assert found["rtevents_logs_events_published_total{log=main}"] == 2
    assert found["rtevents_logs_events_refused_total{log=main}"] == 1
    assert before["rtevents_logs_store_up{log=main}"] == 1
    assert found["rtevents_logs_store_up{log=main}"] == 0
    for name in ("spooled_events", "spooled_bytes", "spool_capacity_bytes"):
        assert found[f"rtevents_logs_{name}{{log=main}}"] == 0


async def test_no_label_grows_with_what_others_name(server: Server) -> None:
    before = await figures(server)
    for number in range(30):
        await server.publish(task(number, project_id=f"p{number}", source=f"s{number}"))
        await (await server.stream(f"?project=p{number}")).live()

    after = await figures(server)

    new = after.keys() - before.keys()
    assert new == {"rtevents_events_published_total{type=TASK_UPDATE}"}


@pytest.mark.parametrize(
    ("role", "grant", "status"),
    [
        ("admin", {}, 200),
        ("viewer", {}, 403),
        ("publisher", {}, 403),
        ("admin", {"projects": ["web"]}, 403),
        ("admin", {"types": ["COMMIT"]}, 403),
    ],
)
async def test_the_figures_are_for_who_may_see_all(
    server: Server, role: str, grant: dict[str, list[str]], status: int
) -> None:
    held = {name: frozenset(values) for name, values in grant.items()}

    assert (await server.bearer(role, **held).get("/metrics")).status == status


async def test_openmetrics_is_given_where_it_is_asked_for(server: Server) -> None:
    answer = await server.owner.get("/metrics", Accept="application/openmetrics-text;version=1.0.0")

    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")
    assert b"# TYPE rtevents_health_status stateset" in answer.body


def test_promtool_has_nothing_to_say_about_the_figures_of_a_daemon(daemon: Daemon) -> None:
    if not (promtool := shutil.which("promtool")):
        pytest.skip("prometheus is not installed")
    root = daemon.repository()
    assert daemon.run("project", "add", str(root), "--id", "web").returncode == 0
    assert daemon.run("publish", "risk", "disk full").returncode == 0
    with daemon.client() as client:
        wait_for(lambda: client.stats()["events"]["delivered"] > 0, "serve prints it")
        token = client.create_token("admin")["token"]
        url = client.status()["url"]
    text = subprocess.run(
        ["curl", "-sSf", "-H", f"Authorization: Bearer {token}", f"{url}/metrics"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    found = parsed(text)
    assert found["rtevents_producers{kind=git,state=watching}"] == 1
    assert found["process_resident_memory_bytes"] > 10**7
    assert found["process_open_fds"] > 5
    assert found["process_cpu_seconds_total"] > 0
