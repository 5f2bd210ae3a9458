"""The panels beside the feed, each on real things."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from rtevents.core.event import Event
from tests.conftest import Daemon, wait_for

from .conftest import SHOWN, Screen, publish, risk

RISKS = """[...document.querySelectorAll('#risks li')].map(item =>
  [...item.children].map(part => part.textContent))"""


def task(task_id: str, status: str, project: str = "web", **data: Any) -> Event:
    """Return a TASK_UPDATE."""
    data |= {"task_id": task_id, "status": status}
    return Event(type="TASK_UPDATE", data=data, project_id=project)


def progress(done: int, total: int, project: str = "web", **data: Any) -> Event:
    """Return a PROGRESS_UPDATE."""
    data |= {"done": done, "total": total}
    return Event(type="PROGRESS_UPDATE", data=data, project_id=project)


def test_files_and_commits_of_a_real_repository_are_shown(screen: Screen, daemon: Daemon) -> None:
    root = daemon.repository("web")
    assert daemon.run("project", "add", str(root), "--id", "web").returncode == 0
    screen.open()
    (root / "notes.txt").write_text("one\ntwo\n")
    daemon.git("add", ".", cwd=root)
    daemon.git("commit", "-qm", "Take notes\n\nIn a file of their own.", cwd=root)

    screen.until(f"{SHOWN}.some(text => text === 'created notes.txt')")
    screen.until_text("#commits li", "Take notes")
    head = screen.text("#commits summary")
    assert "Ada" in head
    assert "web" in head
    assert "main" in head
    assert "1 file" in head
    assert "+2" in head
    assert "−0" in head
    assert not screen.page.locator("#commits .files").is_visible()
    screen.page.locator("#commits summary").click()
    assert "notes.txt" in screen.text("#commits .files")
    screen.page.get_by_role("button", name="Whole event").click()
    assert "In a file of their own." in screen.text("#detail-json")
    assert screen.complaints == []


def test_open_details_and_focus_outlive_what_comes(screen: Screen, daemon: Daemon) -> None:
    def commit(name: str) -> Event:
        data = {"commit_hash": "a" * 40, "message": name, "author": "Ada", "files": []}
        return Event(type="COMMIT", data=data)

    publish(daemon, commit("first"))
    screen.open()
    screen.until_text("#commits li", "first")
    screen.page.locator("#commits summary").click()
    publish(daemon, commit("second"))
    screen.until_text("#commits ol", "second")

    assert screen.ask("document.activeElement.innerText").startswith("first")
    assert screen.ask("document.querySelectorAll('#commits details[open]').length") == 1


def test_open_risks_stand_by_severity_until_they_are_closed(screen: Screen, daemon: Daemon) -> None:
    publish(
        daemon,
        risk("a", "low", fingerprint="a"),
        risk("b", "critical", fingerprint="b", project_id="web", rule="disk"),
        risk("c", "medium"),
    )
    screen.open()
    screen.until(f"{RISKS}.length === 3")
    assert [each[:2] for each in screen.ask(RISKS)] == [
        ["critical", "b"],
        ["medium", "c"],
        ["low", "a"],
    ]
    assert screen.ask(RISKS)[0][2].startswith("web · disk · ")
    assert screen.text("#risks .note") == "1 critical · 1 medium · 1 low"
    publish(
        daemon,
        risk("a", "high", fingerprint="a", state="updated"),
        risk("b", "critical", fingerprint="b", state="closed", project_id="web"),
        risk("c", "medium"),
    )

    screen.until(f"{RISKS}.length === 2")
    screen.until(f"{RISKS}[0][0]", "high")
    found = screen.ask(RISKS)
    assert found[0][2].endswith("2 times")
    assert found[1][:2] == ["medium", "c"]
    screen.page.reload()
    screen.until(f"{RISKS}.map(risk => risk[0]).join()", "high,medium")


def test_what_was_imported_is_no_open_risk_and_closes_none(screen: Screen, daemon: Daemon) -> None:
    def before(name: str, state: str) -> Event:
        told = risk(name, fingerprint=name, state=state)
        return msgspec.structs.replace(told, extensions={"imported": "true"})

    own = risk("a", fingerprint="a")
    publish(daemon, before("x", "open"), own, before("a", "closed"), before("y", "open"))
    screen.open()

    screen.until(f"{RISKS}.map(risk => risk[1]).join()", "a")
    publish(daemon, before("z", "open"), risk("b", "high"))
    screen.until(f"{RISKS}.map(risk => risk[1]).join()", "b,a")


def test_a_risk_of_another_project_is_another_one(screen: Screen, daemon: Daemon) -> None:
    screen.open()
    publish(
        daemon,
        risk("a", fingerprint="a", project_id="web"),
        risk("a", fingerprint="a", project_id="api"),
        risk("a", fingerprint="a", project_id="api", state="closed"),
    )

    screen.until(f"{RISKS}.map(risk => risk[2].split(' ')[0]).join()", "web")


def test_a_panel_says_since_when_it_knows_and_what_it_leaves_out(
    screen: Screen, daemon: Daemon
) -> None:
    """Else a risk that many others came after would be thought to be over."""
    publish(daemon, risk("first", "critical"), *[risk(f"r {number}") for number in range(1000)])
    publish(
        daemon, *[task(f"T-{number}", "failed", project=f"p{number // 6}") for number in range(90)]
    )
    screen.open()
    with daemon.client() as client:
        first, second = client.history(limit=2).events

    screen.until_text("#risks .note", "1000 low · the first 60 are shown · known since ")
    clock = "new Date({} * 1000).toTimeString().slice(0, 8)"
    since = {screen.ask(clock.format(each.event.timestamp)) for each in (first, second)}
    assert screen.text("#risks .note")[-8:] in since
    assert screen.text("#tasks .note") == "the newest 12 of 15 projects"
    assert "and 2 more" in screen.text("#tasks")
    publish(daemon, *[risk(f"later {number}") for number in range(4001)])
    screen.until_text("#risks .note", "5000 low")
    screen.until_text("#risks ol", "later 4000")


def test_tasks_and_progress_of_each_project_are_bars(screen: Screen, daemon: Daemon) -> None:
    publish(daemon, task("T-1", "open"), task("T-2", "done"), task("T-1", "done"))
    screen.open()
    publish(
        daemon,
        task("T-3", "failed", title="Fix it"),
        task("T-4", "open"),
        task("T-1", "open", project="api"),
        progress(30, 120, label="Build", unit="files", eta=60),
        progress(60, 120, label="Build", unit="files", eta=30),
    )
    bars = """[...document.querySelectorAll('#tasks .projects > li')].map(project => [
      project.querySelector('h3').textContent,
      ...[...project.querySelectorAll('progress')].map(bar => `${bar.value}/${bar.max}`)])"""

    screen.until(f"JSON.stringify({bars})", '[["web","2/4","50/100"],["api","0/1"]]')
    text = screen.text("#tasks")
    assert "2 of 4 done" in text
    assert "50 % · 60 of 120 files, 30 s left" in text
    assert "failed" in text
    assert "Fix it" in text
    screen.page.get_by_role("button", name="Build").click()
    assert '"label": "Build"' in screen.text("#detail-json")


def test_each_type_has_its_rate_and_shows_itself_alone(screen: Screen, daemon: Daemon) -> None:
    publish(daemon, risk("before"), task("T-1", "open"))
    screen.open()
    publish(daemon, risk("one"), risk("two"))
    rates = """[...document.querySelectorAll('#rates li')].map(item => item.innerText
      .replace(/\\s+/g, ' '))"""

    screen.until(f"{rates}.join()", "RISK_ALERT 3/min,TASK_UPDATE 1/min")
    assert screen.ask("document.querySelector('#rates path').getAttribute('d')").count("V") > 100
    screen.page.get_by_role("button", name="TASK_UPDATE").click()
    screen.until_shown("T-1 open")
    screen.page.get_by_role("button", name="TASK_UPDATE").click()
    screen.until(f"{SHOWN}.length === 4")


def test_a_high_rate_stays_in_its_column(screen: Screen, daemon: Daemon) -> None:
    screen.open()
    publish(daemon, *[risk("many") for _ in range(12_000)])

    screen.until_text("#rates .figure", "12K/min")
    sizes = (
        "(each => [each.scrollWidth, each.clientWidth])(document.querySelector('#rates .figure'))"
    )
    needed, there = screen.ask(sizes)
    assert needed <= there


def pids(daemon: Daemon) -> set[int]:
    """Return the processes that listen."""
    with daemon.client() as client:
        return {each["pid"] for each in client.connections()}


def test_connections_are_shown_with_what_they_want(screen: Screen, daemon: Daemon) -> None:
    rows = "[...document.querySelectorAll('#connections tr')].map(row => row.innerText).join(';')"
    reader = daemon.popen("tail", "--type", "COMMIT", "--project", "web")
    try:
        wait_for(lambda: reader.pid in pids(daemon), "the reader is there")
        screen.open()
        screen.until(f"{rows}.includes('pid {reader.pid} · ndjson\ttype COMMIT · project web\t0')")
        screen.until(f"{rows}.includes('this browser · sse\tall\t0')")
        cells = "[...document.querySelectorAll('#connections td')]"
        cut = f"{cells}.filter(cell => cell.scrollWidth > cell.clientWidth)"
        assert screen.ask(f"{cut}.map(cell => cell.innerText)") == [], "each can be read"
    finally:
        reader.kill()
        reader.communicate()

    screen.until(f"!{rows}.includes('pid {reader.pid}')")


def test_a_reader_that_lags_stands_on_top_with_its_lag(screen: Screen, daemon: Daemon) -> None:
    reader = daemon.popen("tail")  # nobody reads what it prints
    try:
        wait_for(lambda: reader.pid in pids(daemon), "the reader is there")
        screen.open()
        publish(daemon, *[risk("x" * 2000) for _ in range(6000)])
        lag = "Number(document.querySelector('#connections td:nth-child(3)')?.textContent"
        screen.until(f"{lag}.replace(',', '')) > 0")
    finally:
        reader.kill()
        reader.communicate()


def test_the_health_is_told_with_its_reasons(screen: Screen, daemon: Daemon) -> None:
    root = daemon.repository("web")
    assert daemon.run("project", "add", str(root), "--id", "web").returncode == 0
    screen.open()
    screen.until_text("#health .verdict", "ok")
    text = screen.text("#health")
    for label in ("Connections", "Queue", "Time to store", "Memory", "Store", "sqlite, full"):
        assert label in text
    assert f"web · watching · {root}" in text
    config = daemon.home / "config" / "rtevents" / "config.yaml"
    config.parent.mkdir(exist_ok=True)
    config.write_text("no_such_setting: 1\n")
    assert daemon.run("reload").returncode == 2

    screen.until_text("#health .verdict", "degraded")
    screen.until_text("#health .reasons", "no_such_setting")
    assert screen.page.title() == "degraded · rtevents"
    screen.page.set_viewport_size({"width": 400, "height": 800})
    top = "document.getElementById('{}').getBoundingClientRect().top"
    assert screen.ask(top.format("help-open")) == screen.ask(top.format("pause")), "one line"
    screen.page.get_by_role("button", name="degraded").click()
    screen.until("document.getElementById('health').getBoundingClientRect().top < innerHeight / 2")
    daemon.stop()
    screen.until("document.title", "reconnecting · rtevents")
    assert not screen.page.locator("#verdict").is_visible()
    assert screen.text("#health .verdict") == "", "nobody knows"


def test_figures_stand_beside_their_thresholds(screen: Screen, daemon: Daemon) -> None:
    with daemon.client() as client:
        if "thresholds" not in client.status():
            pytest.skip("this daemon does not tell its thresholds")
    screen.open()

    screen.until_text("#health .figures", " of 800")
    assert screen.ask("document.querySelectorAll('#health progress').length") == 6


def test_statistics_come_with_the_stream_and_are_not_asked_for(
    screen: Screen, stopped_daemon: Daemon
) -> None:
    daemon = stopped_daemon
    daemon.stop()
    daemon.start(env={"RTEVENTS_HEALTH__DASHBOARD_INTERVAL": "0.2"})
    asked: list[str] = []
    screen.open()
    screen.page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    publish(daemon, risk("one"), risk("two"))

    screen.until_text("#health .facts", "1 to 2")
    wait_for(lambda: (screen.ask("1"), asked.count("connections") > 3)[1], "it goes on")
    assert "stats" not in asked


def test_the_last_days_are_counted_when_somebody_asks(screen: Screen, daemon: Daemon) -> None:
    files = [{"path": "src/<b>a</b>.py"}, {"path": "src/b.py"}]
    commits = [
        Event(
            type="COMMIT",
            timestamp=time.time() - 3600 * hours,
            data={"commit_hash": "a" * 40, "message": "m", "author": "Ada", "files": files},
        )
        for hours in (50, 2, 1)
    ]
    publish(daemon, *commits, risk("one"))
    screen.open()
    screen.page.locator("#activity summary").click()

    screen.until_text("#activity .note", "4 events · 3 commits · 0 tasks")
    assert screen.text("#activity ol >> nth=0") == "3 × src/<b>a</b>.py\n3 × src/b.py"
    assert screen.text("#activity ol >> nth=1") == "3 × src/<b>a</b>.py + src/b.py"
    drawn = "[...document.querySelectorAll('#activity path')].map(path => path.getAttribute('d'))"
    assert [path.count("M") for path in screen.ask(drawn)] == [4, 4]
    assert screen.complaints == []
