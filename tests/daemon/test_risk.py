"""Risks and causes in a daemon: real files, real commits, kill -9."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from rtevents.core.causes import CAUSATION, CORRELATION, extensions_of
from rtevents.core.event import Entry
from rtevents.core.filter import Filter
from rtevents.core.helpers import publish_risk_alert, publish_task_update
from tests.conftest import Daemon, wait_for

RULES = """\
risks:
  rules:
    - name: two-reds
      type: TASK_UPDATE
      where: data.status == "red"
      until: data.status == "green"
      per: data.task_id
      count: 2
      message: "{data.task_id} is red again"
"""

OWN = """\
risks:
  rules:
    - {name: no-docs, type: FILE_CHANGE, where: 'path matches "docs/**"', message: "{path} changed"}
"""


def configure(daemon: Daemon, text: str) -> None:
    """Write the daemon's configuration."""
    folder = daemon.home / "config" / "rtevents"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(text)
    (folder / "config.yaml").chmod(0o600)


def entries(daemon: Daemon, *types: str) -> list[Entry]:
    """Return what the log holds."""
    with daemon.client() as client:
        return client.history(Filter(types=frozenset(types)), limit=1000).events


def alerts(daemon: Daemon, rule: str) -> list[tuple[str, str]]:
    """Return the state and the message of what a rule found."""
    data = [entry.event.data for entry in entries(daemon, "RISK_ALERT")]
    return [(each["state"], each["message"]) for each in data if each.get("rule") == rule]


@pytest.fixture
def auto(stopped_daemon: Daemon) -> tuple[Daemon, Path]:
    """Return a daemon that commits project ``web`` by itself, and the project's folder."""
    daemon = stopped_daemon
    root = daemon.repository()
    configure(
        daemon,
        f"auto_commit: {{quiet: 0.2}}\nprojects: [{{path: {root}, id: web, auto_commit: true}}]\n"
        + RULES,
    )
    daemon.start()
    return daemon, root


def test_a_change_is_followed_to_the_risk_that_it_led_to(auto: tuple[Daemon, Path]) -> None:
    daemon, root = auto
    (root / "SECURITY.md").write_text("Tell us.\n")
    wait_for(lambda: alerts(daemon, "protected"), "a risk")
    wait_for(lambda: entries(daemon, "AUTO_COMMIT_RESULT"), "the end of the commit")

    chain = entries(daemon, "FILE_CHANGE", "AUTO_COMMIT_START", "AUTO_COMMIT_RESULT",
                    "COMMIT", "RISK_ALERT")  # fmt: skip
    by_type = {entry.type: entry for entry in chain}
    change, start = by_type["FILE_CHANGE"], by_type["AUTO_COMMIT_START"]
    causes = {kind: extensions_of(entry).get(CAUSATION) for kind, entry in by_type.items()}
    assert causes == {
        "FILE_CHANGE": None,
        "AUTO_COMMIT_START": change.event_id,
        "AUTO_COMMIT_RESULT": start.event_id,
        "COMMIT": start.event_id,
        "RISK_ALERT": by_type["COMMIT"].event_id,
    }
    stories = {extensions_of(entry).get(CORRELATION) for entry in chain} - {None}
    assert stories == {change.event_id}

    # The same, whichever event is asked for, by its id or its seq; and what others add to it.
    with daemon.client() as client:
        seen = publish_task_update(client, "T-1", "done", caused_by=client.find(start.event_id))
    told = daemon.run("publish", "risk", "odd", "--caused-by", seen.event_id)
    added = json.loads(told.stdout)
    asked = [change.event_id, str(by_type["RISK_ALERT"].seq), added["event_id"]]
    for name in asked:
        trace = json.loads(daemon.run("trace", name, "-o", "json").stdout)
        assert trace["is_whole"]
        lines = [(each["event"]["type"], each["depth"]) for each in trace["events"]]
        assert lines[0] == ("FILE_CHANGE", 0)
        assert sorted(lines[1:]) == [
            ("AUTO_COMMIT_RESULT", 2), ("AUTO_COMMIT_START", 1), ("COMMIT", 2), ("RISK_ALERT", 3),
            ("RISK_ALERT", 3), ("TASK_UPDATE", 2),
        ]  # fmt: skip
        assert all(each["seconds"] >= 0 for each in trace["events"])

    shown = daemon.run("trace", asked[0], "-o", "pretty").stdout
    assert "FILE_CHANGE  created SECURITY.md" in shown
    assert "7 events in" in shown
    lines_shown = [line for line in shown.splitlines() if "── " in line]
    assert len(lines_shown) == 6
    assert all(re.search(r"── \d+  \+[\d.]+ m?s  [A-Z_]+  ", line) for line in lines_shown)
    few = daemon.run("trace", asked[0], "-n", "2", "-o", "json")
    assert (len(json.loads(few.stdout)["events"]), "--limit" in few.stderr) == (2, True)


def test_what_is_not_there_has_no_trace(daemon: Daemon) -> None:
    for name, said in [
        ("999", "no event 999 is kept: 1 to"),
        ("0199-none", "no event '0199-none' is kept"),
        ("10m", "no event '10m' is kept"),
        ("a b", "not an event id: 'a b'"),
    ]:
        done = daemon.run("trace", name)
        assert done.stderr.startswith(f"rtevents: {said}"), name
        assert done.returncode in (1, 2)
    done = daemon.run("publish", "risk", "x", "--caused-by", "nobody")
    assert (done.returncode, done.stderr) == (1, "rtevents: no event 'nobody' is kept\n")
    kept = daemon.run("publish", "task", "10m", "--status", "x", "--id", "10m")
    assert kept.returncode == 0
    assert json.loads(daemon.run("trace", "10m", "-o", "json").stdout)["event_id"] == "10m"


def test_thousands_in_a_circle_are_bounded(daemon: Daemon) -> None:
    lines = "".join(
        json.dumps(
            {
                "type": "TASK_UPDATE",
                "event_id": f"e{number}",
                "data": {"task_id": "\x1b[31mT", "status": "x"},
                "extensions": {"causation_id": f"e{(number or 3000) - 1}"},
            }
        )
        + "\n"
        for number in range(3000)
    )
    daemon.run("publish", "--stdin", stdin=lines)
    trace = json.loads(daemon.run("trace", "e1500", "-n", "5000", "-o", "json").stdout)
    shown = daemon.run("trace", "e1", "-n", "60", "-o", "pretty").stdout

    assert len(trace["events"]) == 3000
    assert trace["events"][-1]["depth"] == 2999
    assert "\\x1b[31mT" in shown
    assert "\x1b[31mT" not in shown


def test_risks_outlive_kill_9_and_are_told_once(auto: tuple[Daemon, Path]) -> None:
    daemon, root = auto
    (root / ".rtevents.yaml").write_text(OWN)
    wait_for(lambda: "no-docs" in daemon.run("risks", "rules").stdout, "the project's own rule")

    def red() -> None:
        with daemon.client() as client:
            publish_task_update(client, "T", "red", project_id="web")

    red()
    daemon.stop(signal.SIGKILL)
    daemon.start()
    red()
    wait_for(lambda: alerts(daemon, "two-reds"), "a risk")
    daemon.stop(signal.SIGKILL)
    daemon.start()
    (root / "docs").mkdir()
    (root / "docs" / "a\x1b[31m.md").write_text("x\n")
    wait_for(lambda: alerts(daemon, "no-docs"), "a risk of the project's own")
    assert alerts(daemon, "two-reds") == [("open", "T is red again")]
    assert "\x1b" not in alerts(daemon, "no-docs")[0][1]

    with daemon.client() as client:
        publish_risk_alert(client, "critical", "disk full", fingerprint="disk")
        opened = json.loads(daemon.run("risks", "--severity", "medium").stdout)
        assert (opened[0]["severity"], opened[0]["rule"]) == ("critical", None)
        assert {"two-reds", "no-docs"} < {each["rule"] for each in opened}
        publish_risk_alert(client, "critical", "disk full", fingerprint="disk", state="closed")
        publish_task_update(client, "T", "green", project_id="web")
    daemon.stop(signal.SIGKILL)
    daemon.start()
    wait_for(lambda: len(alerts(daemon, "two-reds")) == 2, "its end")
    rules = {each["rule"] for each in json.loads(daemon.run("risks").stdout)}
    everything = json.loads(daemon.run("risks", "--all").stdout)

    assert not rules & {"two-reds", None}
    assert {each["state"] for each in everything if each["rule"] == "two-reds"} == {"closed"}
    shown = daemon.run("risks", "--all", "-o", "pretty").stdout
    assert "over T is red again" in shown
    assert "large_file_bytes=52428800" in daemon.run("risks", "rules", "-o", "pretty").stdout


def test_deleted_files_are_a_risk_unless_git_deleted_them(stopped_daemon: Daemon) -> None:
    daemon = stopped_daemon
    root = daemon.repository()
    daemon.start(str(root))

    def deleted() -> int:
        changes = entries(daemon, "FILE_CHANGE")
        return [entry.event.data["change_type"] for entry in changes].count("deleted")

    def made() -> None:
        for number in range(60):
            (root / f"{number}.py").write_text(f"{number}\n")
        wait_for(lambda: len(entries(daemon, "FILE_CHANGE")) - deleted() >= 60, "new files")

    daemon.git("checkout", "-qb", "other", cwd=root)
    made()
    daemon.git("add", "-A", cwd=root)
    daemon.git("commit", "-qm", "Add", cwd=root)
    daemon.git("checkout", "-q", "main", cwd=root)
    wait_for(lambda: deleted() == 60, "what git deletes")
    with daemon.client() as client:  # what comes after it is looked at after it
        for _ in range(3):
            publish_task_update(client, "T", "failed", project_id="web")
    wait_for(lambda: alerts(daemon, "failing"), "another risk")
    assert alerts(daemon, "deletions") == []
    daemon.git("checkout", "-q", "other", cwd=root)
    wait_for(lambda: len(entries(daemon, "FILE_CHANGE")) >= 180, "what git brings back")
    # What git never had may go.
    (root / "build").mkdir()
    for number in range(70):
        (root / "build" / f"{number}.o").write_text("x\n")
    wait_for(lambda: len(entries(daemon, "FILE_CHANGE")) >= 250, "what was built")
    before = deleted()
    shutil.rmtree(root / "build")
    wait_for(lambda: deleted() - before == 70, "what was built goes")
    with daemon.client() as client:
        publish_task_update(client, "T", "done", project_id="web")
    wait_for(lambda: len(alerts(daemon, "failing")) == 2, "the end of the other risk")
    assert alerts(daemon, "deletions") == []

    for file in root.glob("*.py"):
        file.unlink()
    wait_for(lambda: alerts(daemon, "deletions"), "a risk")
    assert [state for state, _ in alerts(daemon, "deletions")] == ["open"]
    daemon.git("commit", "-qam", "Remove", cwd=root)
    wait_for(lambda: len(alerts(daemon, "deletions")) == 2, "its end")
    assert [state for state, _ in alerts(daemon, "deletions")] == ["open", "closed"]

    # And a secret that a reset takes out is over.
    (root / "conf.py").write_text("key = 'ghp_" + "a1B2" * 9 + "'\n")
    daemon.git("add", "-A", cwd=root)
    daemon.git("commit", "-qm", "Configure", cwd=root)
    wait_for(lambda: alerts(daemon, "secret"), "a secret")
    daemon.git("reset", "-q", "--hard", "HEAD~1", cwd=root)
    wait_for(lambda: len(alerts(daemon, "secret")) == 2, "its end")
    assert alerts(daemon, "secret")[1][0] == "closed"


def test_a_command_that_fails_again_and_again_is_a_risk(daemon: Daemon) -> None:
    for _ in range(3):
        assert daemon.run("run", "--task", "T-9", "--", "false").returncode == 1
    wait_for(lambda: alerts(daemon, "failing"), "a risk")
    assert daemon.run("run", "--task", "T-9", "--", "true").returncode == 0
    wait_for(lambda: len(alerts(daemon, "failing")) == 2, "its end")

    message = "T-9 failed 3 times or more within 24 h"
    assert alerts(daemon, "failing") == [("open", message), ("closed", message)]


def told_of_reload(daemon: Daemon) -> str:
    """Have the configuration read again; return what is said of it."""
    done = daemon.run("reload")
    return done.stdout + done.stderr


def test_rules_change_while_the_daemon_runs(auto: tuple[Daemon, Path]) -> None:
    daemon, root = auto
    text = (daemon.home / "config" / "rtevents" / "config.yaml").read_text()
    configure(daemon, text.replace('data.status == "red"', "data.status ="))
    assert "config.yaml:7: risks.rules[0].where: column 13" in told_of_reload(daemon)
    configure(daemon, text.replace("two-reds", "secret"))
    assert "risks.rules[0].name: there is a rule 'secret' already" in told_of_reload(daemon)
    configure(daemon, text.replace("{data.task_id} is", "{task} is"))
    assert "risks.rules[0].message: 'task' is no field of an event" in told_of_reload(daemon)
    configure(daemon, text.replace("count: 2", "count: 1"))
    assert "risks" in told_of_reload(daemon)
    with daemon.client() as client:
        publish_task_update(client, "T", "red", project_id="web")
    wait_for(lambda: alerts(daemon, "two-reds"), "a risk")

    # What a repository says of itself is not trusted: it cannot end anything but its own rules.
    (root / ".rtevents.yaml").write_text("listen: 0.0.0.0:1\n")

    def reasons() -> list[Any]:
        with daemon.client() as client:
            return client.status()["health"]["reasons"]  # type: ignore[no-any-return]

    wait_for(
        lambda: any("listen: no setting of a project" in each for each in reasons()), "a warning"
    )
    (root / ".rtevents.yaml").unlink()
    (root / ".rtevents.yaml").symlink_to("/etc/passwd")
    wait_for(lambda: any(".rtevents.yaml: Too many" in each for each in reasons()), "a link")
    (root / ".rtevents.yaml").unlink()
    wait_for(lambda: not reasons(), "nothing amiss")
