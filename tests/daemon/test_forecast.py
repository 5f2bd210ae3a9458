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


def test_a_project_in_a_folder_of_its_repository_has_one_path_for_a_file(
    stopped_daemon: Daemon,
) -> None:
    """In what is foretold from the history, and in the report: a save and its commit are one."""
    daemon = stopped_daemon
    whole = daemon.repository()
    root = whole / "apps" / "web"
    root.mkdir(parents=True)
    for number in range(25):
        for path in (root / "app.py", root / "test_app.py", whole / "notes"):
            path.write_text(f"{number}\n")
        daemon.git("add", "-A", cwd=whole)
        daemon.git("commit", "-qm", f"Change {number}", cwd=whole)
    daemon.start(str(root))

    def likely() -> list[dict[str, Any]]:
        told = daemon.run("predict", "--project", "web", "app.py", "-o", "json").stdout
        found: list[dict[str, Any]] = json.loads(told)["likely"]
        return found

    wait_for(likely, "what is likely")
    assert sorted(each["path"] for each in likely()) == [":/notes", "test_app.py"]
    (root / "app.py").write_text("x\n")

    def report() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(daemon.run("report", "-o", "json").stdout)
        return found

    wait_for(lambda: report()["files"], "the save")
    (whole / "notes").write_text("x\n")
    daemon.git("add", "-A", cwd=whole)
    daemon.git("commit", "-qm", "Last", cwd=whole)
    wait_for(lambda: report()["commits"]["count"], "the commit")
    files = {each["name"]: each["count"] for each in report()["files"]}
    assert files == {"app.py": 1, ":/notes": 1}
