"""The files that are shipped for Prometheus and Grafana: what they ask for is there."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
import yaml

from rtevents.config.settings import HealthSettings
from rtevents.core.health import Thresholds

from .conftest import Daemon, wait_for

CONFIG = Path(__file__).parent.parent / "config"
RULES = CONFIG / "rtevents.rules.yml"


def promtool(*arguments: str | Path) -> str:
    """Run promtool; return what it said."""
    if not (command := shutil.which("promtool")):
        pytest.skip("prometheus is not installed")
    done = subprocess.run(
        [command, *arguments], capture_output=True, text=True, check=False, cwd=CONFIG
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def expressions() -> list[str]:
    """Return every query of the dashboard, as Grafana sends it."""
    dashboard = json.loads((CONFIG / "grafana.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [query.replace("$__rate_interval", "30s") for query in queries]


def alerts() -> dict[str, dict[str, Any]]:
    """Return every alert by its name."""
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def test_promtool_has_nothing_to_say_about_the_files(tmp_path: Path) -> None:
    assert f"SUCCESS: {len(alerts())} rules found" in promtool("check", "rules", RULES)
    for name in ("prometheus.yml", "rtevents.rules.yml"):
        shutil.copy(CONFIG / name, tmp_path)
    (tmp_path / "rtevents.token").write_text("rte_x")
    assert "SUCCESS" in promtool("check", "config", tmp_path / "prometheus.yml")


DEFAULTS = Thresholds()

STAGED = {
    "RteventsDown": ([("up{", "{}")], 1, 0),
    "RteventsFailed": ([('rtevents_health_status{rtevents_health_status="failed",', "{}")], 0, 1),
    "RteventsDegraded": (
        [('rtevents_health_status{rtevents_health_status="degraded",', "{}")], 0, 1,
    ),
    "RteventsManyConnections": (
        [('rtevents_connections{kind="sse",', "400"), ('rtevents_connections{kind="ws",', "{}")],
        DEFAULTS.connections - 400, DEFAULTS.connections - 399,
    ),
    "RteventsQueueFull": (
        [("rtevents_queue_events{", "{}"), ("rtevents_queue_capacity_events{", "1000")],
        1000 * DEFAULTS.queue_share, 1000 * DEFAULTS.queue_share + 1,
    ),
    "RteventsSlow": (
        [
            ('rtevents_delivery_seconds_bucket{le="0.5",', "0+{}x100"),
            ('rtevents_delivery_seconds_bucket{le="1.0",', "0+100x100"),
            ('rtevents_delivery_seconds_bucket{le="+Inf",', "0+100x100"),
        ],
        95, 90,
    ),
    # By so much the counter grows in the quarter of a minute between two looks.
    "RteventsErrors": (
        [("rtevents_errors_total{", "0+{}x100")],
        DEFAULTS.errors_per_minute / 4, DEFAULTS.errors_per_minute / 4 + 0.25,
    ),
    "RteventsMemory": (
        [("process_resident_memory_bytes{", "{}")],
        DEFAULTS.memory_bytes, DEFAULTS.memory_bytes + 1,
    ),
    "RteventsLate": (
        [("rtevents_event_loop_lag_seconds{", "{}")],
        DEFAULTS.loop_lag_ms / 1000, DEFAULTS.loop_lag_ms / 1000 + 0.001,
    ),
    "RteventsProducerFailed": ([('rtevents_producers{kind="git",state="failed",', "{}")], 0, 1),
    "RteventsStoreAway": ([('rtevents_logs_store_up{log="team",', "{}")], 1, 0),
    "RteventsSpoolFilling": (
        [
            ('rtevents_logs_spooled_bytes{log="team",', "{}"),
            ('rtevents_logs_spool_capacity_bytes{log="team",', "1000"),
            # Where nothing is kept so, nothing can be full.
            ('rtevents_logs_spooled_bytes{log="main",', "0"),
            ('rtevents_logs_spool_capacity_bytes{log="main",', "0"),
        ],
        500, 501,
    ),
    "RteventsNodeLost": ([("rtevents_nodes_lost{", "{}")], 0, 1),
}  # fmt: skip
"""Of each alert the series that it looks at, what is at its limit, and what is beyond."""


def test_each_alert_fires_beyond_its_limit_and_not_at_it(tmp_path: Path) -> None:
    """The limits are the daemon's own, by default."""
    tests = []
    for name, (series, *values) in STAGED.items():
        for value, firing in zip(values, (0, 1), strict=True):
            given = [
                {
                    "series": metric + 'job="rtevents",instance="here"}',
                    "values": form.format(value) + ("" if "x" in form else "x100"),
                }
                for metric, form in series
            ]
            query = f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)'
            expected = [{"labels": "{}", "value": firing}]
            check = {"expr": query, "eval_time": "20m", "exp_samples": expected}
            tests.append({"interval": "15s", "input_series": given, "promql_expr_test": [check]})
    file = tmp_path / "tests.yml"
    rules = {"rule_files": [str(RULES)], "evaluation_interval": "15s", "tests": tests}
    file.write_text(json.dumps(rules))

    assert STAGED.keys() == alerts().keys()
    assert "SUCCESS" in promtool("test", "rules", file)


def get(url: str, head: dict[str, str]) -> bytes:
    """Return what is at an address on this machine."""
    with urlopen(Request(url, headers=head)) as answer:  # noqa: S310 - always http
        body: bytes = answer.read()
    return body


class Watched:
    """A daemon with a project, somebody who follows it, and a token."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        assert daemon.run("project", "add", str(daemon.repository()), "--id", "web").returncode == 0
        with daemon.client() as client:
            self.token: str = client.create_token("admin")["token"]
            self.url: str = client.status()["url"]
        self._number = 0

    def figures(self) -> str:
        """Return what Prometheus reads."""
        head = {"Authorization": f"Bearer {self.token}"}
        return get(f"{self.url}/metrics", head).decode()

    def publish(self) -> None:
        """Publish one event more."""
        self._number += 1
        self._daemon.run("publish", "task", f"T-{self._number}", "--status", "done")


@pytest.fixture
def watched(daemon: Daemon) -> Watched:
    """Return a daemon that is followed."""
    return Watched(daemon)


def test_every_figure_that_is_asked_for_is_one_of_the_daemons(watched: Watched) -> None:
    watched.publish()
    known = set(re.findall(r"^([a-z_]+)[{ ]", watched.figures(), re.MULTILINE))
    asked = [*expressions(), *(rule["expr"] for rule in alerts().values())]

    named = {name for text in asked for name in re.findall(r"\b(?:rtevents|process)_[a-z_]+", text)}
    named.discard("rtevents_health_status")  # a label is called so, too
    assert named <= known
    assert len(named) > 15


def test_the_pages_have_the_health_settings_as_they_are() -> None:
    """The thresholds and the checks in their tables, and how often a DASHBOARD_UPDATE comes."""
    root = CONFIG.parent
    monitoring = (root / "rtevents" / "docs" / "monitoring.md").read_text()
    settings = HealthSettings()
    for name in Thresholds.__struct_fields__:
        assert f"| `{name}` | {getattr(settings, name):.10g} |" in monitoring
    for name in ("connections", "queue", "memory", "service"):
        interval, timeout = (
            getattr(settings, f"{name}_{each}") for each in ("interval", "timeout")
        )
        assert f"| {name} | {interval:g} s | {timeout:g} s |" in monitoring
    often = f"{settings.dashboard_interval:g} seconds"
    assert f"`dashboard_interval` ({often})" in monitoring
    for page in (root / "README.md", root / "rtevents" / "docs" / "sse.md"):
        [row] = re.findall(r"^\| `?DASHBOARD_UPDATE.*", page.read_text(), re.MULTILINE)
        assert f"every {often}" in row


def test_the_dashboard_is_whole() -> None:
    dashboard = json.loads((CONFIG / "grafana.json").read_text())
    panels = dashboard["panels"]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels)


class Prometheus:
    """
    Debian's Prometheus, on loopback, with the configuration that is shipped.

    Args:
        folder: An empty folder.
        target: Where the daemon listens.
    """

    def __init__(self, folder: Path, watched: Watched) -> None:
        if not (command := shutil.which("prometheus")):
            pytest.skip("prometheus is not installed")
        shutil.copy(RULES, folder)
        (folder / "rtevents.token").write_text(f"{watched.token}\n")
        text = (CONFIG / "prometheus.yml").read_text()
        target = watched.url.removeprefix("http://")
        for before, after in (("127.0.0.1:8473", target), (": 15s", ": 1s")):
            assert before in text
            text = text.replace(before, after)
        (folder / "prometheus.yml").write_text(text)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            [
                command,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=self._log,
            stderr=self._log,
        )

    def ask(self, query: str) -> list[Any]:
        """Return what a query gives at this moment; nothing while it does not answer yet."""
        try:
            answer = get(f"{self.url}/api/v1/query?{urlencode({'query': query})}", {})
        except URLError:
            return []
        found: list[Any] = json.loads(answer)["data"]["result"]
        return found

    def has_data(self, query: str) -> bool:
        """Tell whether a query gives numbers."""
        found = self.ask(query)
        return bool(found) and all(each["value"][1] != "NaN" for each in found)

    def end(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        self._log.close()


@pytest.mark.slow
def test_a_real_prometheus_answers_every_query_with_data(watched: Watched, tmp_path: Path) -> None:
    prometheus = Prometheus(tmp_path, watched)
    try:
        wait_for(lambda: prometheus.has_data('up{job="rtevents"} == 1'), "it is scraped", 60)
        without = set(expressions())
        deadline = time.monotonic() + 90
        while without:
            assert time.monotonic() < deadline, without
            watched.publish()
            without = {query for query in without if not prometheus.has_data(query)}
        wait_for(
            lambda: prometheus.ask('rtevents_health_status{rtevents_health_status="ok"} == 1'),
            "the verdict is there",
        )
    finally:
        prometheus.end()
