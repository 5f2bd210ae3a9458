"""rtevents report and predict, on a daemon that watches a real repository."""

from __future__ import annotations

import json
import re

import pytest

from rtevents.cli.report import BLOCKS, _over_time, blocks
from rtevents.core.event import Event
from tests.conftest import Daemon, wait_for

COMMITS = 24


@pytest.mark.parametrize(
    ("row", "drawn"), [([], ""), ([0], " "), ([1], "█"), ([0, 1, 8], " ▁█"), ([7, 0, 100], "▁ █")]
)
def test_numbers_become_blocks(row: list[int], drawn: str) -> None:
    assert blocks(row) == drawn


@pytest.mark.parametrize(("columns", "drawn"), [("20", 24), ("80", 48), ("132", 100), ("500", 168)])
def test_a_picture_is_as_wide_as_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: str, drawn: int
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    spans = [{"start": hour * 3600, "by_type": {"COMMIT": 1}} for hour in range(168)]

    *_, row = _over_time({"span_seconds": 3600, "spans": spans, "by_type": {"COMMIT": 168}})
    assert sum(map(row.count, BLOCKS.strip())) == drawn
    assert len(row) <= max(56, int(columns))


def test_it_is_learned_from_what_happens_and_told(daemon: Daemon) -> None:
    """Real commits: counted, drawn, foretold, and the odd one is the surprise."""
    root = daemon.repository("web")
    assert daemon.run("project", "add", str(root), "--id", "web").returncode == 0

    def change(*names: str) -> None:
        for name in names:
            with (root / name).open("a") as file:
                file.write("line\n")
        daemon.git("add", ".", cwd=root)
        daemon.git("commit", "-qm", f"Change {', '.join(names)}", cwd=root)

    def commits() -> int:
        with daemon.client() as client:
            return int(client.analytics()["commits"]["count"])

    for number in range(COMMITS):
        change("app.py", "test_app.py", *(["app.css"] if number % 8 == 0 else []))
    wait_for(lambda: commits() == COMMITS, "they are told")
    with daemon.client() as client:
        seen = COMMITS - 1  # they fade a little
        wait_for(
            lambda: (
                [each["seen"] > seen for each in client.predictions("web", ["app.py"])["likely"]][
                    :1
                ]
                == [True]
            ),
            "they are learned from",
        )
    change("app.py", "odd.sh")
    wait_for(lambda: commits() == COMMITS + 1, "it is told")

    said = daemon.run("report", "--since", "1h", "-o", "pretty").stdout
    assert re.search(rf"^{COMMITS + 1} commits, \+\d+ -0 lines$", said, re.MULTILINE)
    assert re.search(rf"^ +{COMMITS} times \(100%\)  app.py  test_app.py$", said, re.MULTILINE)
    assert re.search(r"^  COMMIT +█ 25$", said, re.MULTILINE)
    assert "25 Ada" in said
    found = json.loads(daemon.run("report").stdout)
    assert found["files"][0]["name"] == "app.py"
    likely = json.loads(daemon.run("predict", "app.py", cwd=root).stdout)["likely"]
    assert likely[0]["path"] == "test_app.py"
    (root / "inner").mkdir()
    likely = json.loads(daemon.run("predict", "../app.py", cwd=root / "inner").stdout)["likely"]
    assert likely[0]["path"] == "test_app.py"
    said = daemon.run("predict", "--project", "web", "app.py", "-n", "1", "-o", "pretty").stdout
    assert re.fullmatch(r" +\d\d%  test_app.py  \(\d+ times as often as usual\)\n", said)
    done = daemon.run("history", "-t", "COMMIT", "-w", "surprise > 0.9", "-o", "ndjson")
    assert [json.loads(line)["data"]["message"] for line in done.stdout.splitlines()][-1] == (
        "Change app.py, odd.sh"
    )


def test_files_of_the_same_name_are_counted_in_each_project(daemon: Daemon) -> None:
    def commit(project: str, number: int) -> Event:
        files = [{"path": "README.md"}, {"path": "src/a.py"}]
        data = {"commit_hash": f"{number:040x}", "message": "m", "author": "A", "files": files}
        return Event(type="COMMIT", project_id=project, data=data)

    with daemon.client() as client:
        client.publish_many([commit("web", number) for number in range(3)])
        one = daemon.run("report", "-o", "pretty").stdout
        client.publish_many([commit("api", number) for number in range(3, 5)])

    said = daemon.run("report", "-o", "pretty").stdout
    assert re.search(r"^ +3 █+ README.md$", one, re.MULTILINE)
    for count, project in (3, "web"), (2, "api"):
        assert re.search(rf"^ +{count} [█ ]+ {project}: README.md$", said, re.MULTILINE)
        assert re.search(rf"^ +{count} [█ ]+ {project}: src$", said, re.MULTILINE)
        assert f"{count} times (100%)  {project}: README.md  src/a.py\n" in said
    found = json.loads(daemon.run("report").stdout)
    assert [
        (each["project_id"], each["count"])
        for each in found["files"]
        if each["name"] == "README.md"
    ] == [("web", 3), ("api", 2)]


def test_a_daemon_learns_from_its_log_when_it_starts(stopped_daemon: Daemon) -> None:
    daemon = stopped_daemon
    daemon.start()
    files = [{"path": "a.py"}, {"path": "b.py"}]
    with daemon.client() as client:
        for number in range(5):
            data = {"commit_hash": f"{number:040x}", "message": "m", "author": "A", "files": files}
            client.publish(Event(type="COMMIT", project_id="web", data=data))
    daemon.stop()
    daemon.start()

    with daemon.client() as client:
        wait_for(lambda: client.predictions("web", ["a.py"])["likely"], "it is learned")


def test_nothing_is_told_of_nothing(daemon: Daemon) -> None:
    assert daemon.run("report", "-o", "pretty").stdout == "no event in that time\n"
    assert json.loads(daemon.run("report").stdout)["events"] == 0
    done = daemon.run("predict", "README.md", "Other.py", cwd=daemon.home)
    assert done.returncode == 2
    assert done.stderr.startswith(
        "rtevents: README.md, Other.py: in no project that is watched; name one with --project"
    )
    said = daemon.run("predict", "--project", "x", "a", "-o", "pretty").stdout
    assert said == "nothing is known to change together with that\n"
    assert daemon.run("report", "--since", "yesterday-ish").returncode == 2
