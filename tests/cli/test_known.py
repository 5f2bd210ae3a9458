"""A project that is none is told, whatever command names it; one that has an event is one."""

from __future__ import annotations

import json

import pytest

from rtevents.core.event import Event
from tests.conftest import Daemon

TOLD = "rtevents: no project 'wbe' is watched, and no event of it is kept: did you mean web?\n"


@pytest.fixture
def watched(daemon: Daemon) -> Daemon:
    """Return a daemon that watches `web`, and has an event of `api`, which has no folder."""
    root = daemon.repository("web")
    assert daemon.run("project", "add", str(root), "--id", "web").returncode == 0
    with daemon.client() as client:
        client.publish(Event(type="DASHBOARD_UPDATE", data={"metrics": {}}, project_id="api"))
    return daemon


def test_a_project_that_is_none_is_told_and_is_no_error(watched: Daemon) -> None:
    for command, code in {
        "history --project wbe": 0,
        "tail --project wbe --timeout 0.2s": 124,
        "tail --project wbe --since all -T": 0,
        "wait --project wbe --timeout 0.2s": 124,
        "report --project wbe": 0,
        "risks --project wbe": 0,
        "risks rules --project wbe": 0,
        "predict --project wbe a.py": 0,
        "export - --project wbe": 0,
        "replay --project wbe --speed max": 0,
        "run --project wbe -- true": 0,
    }.items():
        done = watched.run(*command.split())
        assert done.returncode == code, command
        assert done.stderr.startswith(TOLD), command
        assert done.stderr.count("no project") == 1
    # Now it is one: its task was told.
    assert watched.run("history", "--project", "wbe").stderr == ""
    assert watched.run("run", "--project", "wbe", "--", "true").stderr == ""


def test_a_project_that_is_watched_or_has_an_event_is_one(watched: Daemon) -> None:
    for projects in ("web", "api", "web,api"):
        done = watched.run("history", "--project", projects, "-o", "ndjson")
        assert (done.returncode, done.stderr) == (0, "")
    done = watched.run("history", "--project", "api,nothing-like-it", "-o", "ndjson")
    assert [json.loads(line)["project_id"] for line in done.stdout.splitlines()] == ["api"]
    assert done.stderr == (
        "rtevents: no project 'nothing-like-it' is watched, and no event of it is kept\n"
    )


def test_a_reaction_to_a_project_that_is_none_is_told(watched: Daemon) -> None:
    with watched.popen("on", "--project", "wbe", "--", "true") as running:
        assert running.stderr is not None
        assert running.stderr.readline() == TOLD
        running.terminate()
