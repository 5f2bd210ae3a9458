"""A daemon foretells what changes together from the first day: the repository knows."""

from __future__ import annotations

import json
from typing import Any

from rtevents.core.filter import Filter
from tests.conftest import Daemon, wait_for


def test_a_project_that_is_added_is_foretold_by_its_history(stopped_daemon: Daemon) -> None:
    daemon = stopped_daemon
    first, second = daemon.repository(), daemon.repository("later")
    for root in (first, second):
        for number in range(25):
            for name in ("app.py", "test_app.py"):
                (root / name).write_text(f"{number}\n")
            daemon.git("add", "-A", cwd=root)
            daemon.git("commit", "-qm", f"Change {number}", cwd=root)
    daemon.start(str(first))

    def likely(project: str) -> list[dict[str, Any]]:
        told = daemon.run("predict", "--project", project, "app.py", "-o", "json").stdout
        found: list[dict[str, Any]] = json.loads(told)["likely"]
        return found

    wait_for(lambda: likely("web"), "what is likely")
    assert likely("web")[0]["path"] == "test_app.py"
    assert likely("web")[0]["probability"] > 0.8
    daemon.run("project", "add", str(second))
    wait_for(lambda: likely("later"), "what is likely in the one that was added")

    (first / "app.py").write_text("x\n")
    (first / "odd.bin").write_text("x\n")
    daemon.git("add", "-A", cwd=first)
    daemon.git("commit", "-qm", "Odd", cwd=first)

    def commits() -> list[Any]:
        with daemon.client() as client:
            return client.history(Filter(types=frozenset({"COMMIT"}))).events

    wait_for(commits, "the commit")
    (entry,) = commits()
    assert float(entry.event.extensions["surprise"]) > 0.9
