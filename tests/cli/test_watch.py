"""rtevents watch explain: which rule, in which line, and what was published last."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Daemon, wait_for


@pytest.fixture
def root(stopped_daemon: Daemon) -> Path:
    """Return a project with rules, which a daemon watches."""
    root = stopped_daemon.repository()
    (root / ".gitignore").write_text("build/\n*.log\n!keep.log\n")
    (root / "src").mkdir()
    (root / "link").symlink_to("src")
    stopped_daemon.start(str(root))
    return root


def explained(daemon: Daemon, root: Path, *paths: str) -> list[dict[str, Any]]:
    """Return what is told of some paths."""
    said = daemon.run("watch", "explain", "--json", *paths, cwd=root)
    found: list[dict[str, Any]] = json.loads(said.stdout)
    assert said.returncode == (0 if all(each["is_watched"] for each in found) else 1)
    return found


def test_a_rule_is_told_with_file_line_and_text(stopped_daemon: Daemon, root: Path) -> None:
    said = stopped_daemon.run("watch", "explain", "a.log", "keep.log", "build/deep/x", cwd=root)

    rules = root / ".gitignore"
    assert said.returncode == 1
    assert said.stdout.splitlines() == [
        "a.log  not watched  project web",
        "  a rule hides it",
        f"  {rules}:2: *.log",
        "keep.log  watched  project web",
        "  a rule shows it",
        f"  {rules}:3: !keep.log",
        "  no event of it is kept",
        "build/deep/x  not watched  project web",
        "  its folder build/ is hidden, with all that is in it",
        f"  {rules}:1: build/",
    ]


def test_the_last_event_is_told_of_exactly_that_path(stopped_daemon: Daemon, root: Path) -> None:
    (root / "src" / "[ab]*.py").write_text("x")
    wait_for(lambda: explained(stopped_daemon, root, "src/[ab]*.py")[0]["last"], "it is told")
    (root / "src" / "a.py").write_text("x")
    wait_for(lambda: explained(stopped_daemon, root, "src/a.py")[0]["last"], "the other as well")

    first, second = explained(stopped_daemon, root, "src/[ab]*.py", "src/a.py")
    assert (first["last"]["change"], second["last"]["change"]) == ("created", "created")
    assert first["last"]["seq"] < second["last"]["seq"]


@pytest.mark.parametrize(
    ("path", "is_watched", "reason"),
    [
        (".", True, "it is the project's folder"),
        ("not/there", True, "no rule hides it"),
        ("link", True, "no rule hides it"),
        ("link/x", False, "link is a link, which is not followed"),
        (".git/config", False, "it is git's own"),
        ("/etc/passwd", False, "it is in no project: rtevents project add FOLDER"),
        ("src/../a.log", False, "a rule hides it"),
    ],
)
def test_the_reason_is_told(
    stopped_daemon: Daemon, root: Path, path: str, is_watched: bool, reason: str
) -> None:
    (report,) = explained(stopped_daemon, root, path)

    assert (report["is_watched"], report["reason"]) == (is_watched, reason)


def test_what_git_tracks_is_watched_against_a_rule(stopped_daemon: Daemon, root: Path) -> None:
    (root / "a.log").write_text("x")
    stopped_daemon.git("add", "-f", "a.log", cwd=root)

    (report,) = explained(stopped_daemon, root, "a.log")

    assert report["reason"] == "a rule hides it, but git tracks it"
    assert report["rule"]["line"] == 2


def test_without_a_daemon_the_rules_are_told(stopped_daemon: Daemon, root: Path) -> None:
    stopped_daemon.run("project", "add", str(root))
    stopped_daemon.stop()

    said = stopped_daemon.run("watch", "explain", "a.log", cwd=root)

    assert "no daemon runs" in said.stderr
    assert said.stdout.splitlines()[1] == "  a rule hides it"


def test_a_name_that_would_move_the_cursor_is_made_safe(stopped_daemon: Daemon, root: Path) -> None:
    said = stopped_daemon.run("watch", "explain", "a\x1b[2J.log", cwd=root)

    assert "\x1b[2J" not in said.stdout
