"""rtevents watch explain: which rule, in which line, and what was published last."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from rtevents.core.filter import Filter
from tests.conftest import Daemon, wait_for


@pytest.fixture
def root(stopped_daemon: Daemon) -> Path:
    """Return a project with rules, which a daemon watches."""
    root = make_project(stopped_daemon)
    stopped_daemon.start(str(root))
    return root


@pytest.fixture(scope="module")
def shared_root(shared_daemon: Daemon) -> Path:
    """Return one that others look at too: nobody changes it."""
    root = make_project(shared_daemon)
    with shared_daemon.client() as client:
        client.add_project(root)
    return root


def make_project(daemon: Daemon) -> Path:
    """Make a repository with rules, a folder, and a link."""
    root = daemon.repository()
    (root / ".gitignore").write_text("build/\n*.log\n!keep.log\n")
    (root / "src").mkdir()
    (root / "link").symlink_to("src")
    return root


def explained(daemon: Daemon, root: Path, *paths: str) -> list[dict[str, Any]]:
    """Return what is told of some paths."""
    said = daemon.run("watch", "explain", "--json", *paths, cwd=root)
    found: list[dict[str, Any]] = json.loads(said.stdout)
    assert said.returncode == (0 if all(each["is_watched"] for each in found) else 1)
    return found


def test_a_rule_is_told_with_file_line_and_text(shared_daemon: Daemon, shared_root: Path) -> None:
    said = shared_daemon.run(
        "watch", "explain", "a.log", "keep.log", "build/deep/x", cwd=shared_root
    )

    rules = shared_root / ".gitignore"
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
    shared_daemon: Daemon, shared_root: Path, path: str, is_watched: bool, reason: str
) -> None:
    (report,) = explained(shared_daemon, shared_root, path)

    assert (report["is_watched"], report["reason"]) == (is_watched, reason)


def test_a_link_from_outside_leads_to_the_project(stopped_daemon: Daemon, root: Path) -> None:
    (stopped_daemon.home / "mine").symlink_to(root)
    (stopped_daemon.home / "source").symlink_to(root / "src")

    found = explained(
        stopped_daemon, stopped_daemon.home, "mine/a.log", "source/a.py", "mine/link", "mine"
    )

    assert [(each["is_watched"], each["path"]) for each in found] == [
        (False, str(root / "a.log")),
        (True, str(root / "src" / "a.py")),
        (True, str(root / "link")),
        (True, str(root)),
    ]


def test_a_name_that_is_not_utf8_is_explained_beside_others(
    stopped_daemon: Daemon, root: Path
) -> None:
    name = os.fsdecode(b"bad\xff\nname")
    (root / name).write_text("x")
    wait_for(lambda: explained(stopped_daemon, root, name)[0]["last"], "it is told")

    bad, good = explained(stopped_daemon, root, name, "a.log")
    said = stopped_daemon.run("watch", "explain", name, "a.log", cwd=root)

    assert (bad["relative"], bad["last"]["change"]) == ("bad%FF\nname", "created")
    assert good["reason"] == "a rule hides it"
    assert "a.log  not watched" in said.stdout


def test_what_is_rtevents_own_is_said_to_be(stopped_daemon: Daemon) -> None:
    """A project may hold the daemon's own folders: what is written there would be told for ever."""
    root = stopped_daemon.home
    stopped_daemon.start("--no-project")
    stopped_daemon.run("project", "add", str(root), "--id", "home", "--force")

    (root / "last").write_text("x")
    flt = Filter(types=frozenset({"FILE_CHANGE"}))

    def told() -> list[str | None]:
        with stopped_daemon.client() as client:
            return [entry.path for entry in client.history(flt).events]

    wait_for(lambda: "last" in told(), "a change is told")
    # Each event that was told before this one was written to the log, below the root.
    (root / "later").write_text("x")
    wait_for(lambda: "later" in told(), "another is told")
    assert set(told()) - {"daemon.log"} == {"last", "later"}
    for path in ("state/rtevents/events.db-wal", "run/rtevents"):
        (report,) = explained(stopped_daemon, root, path)
        assert (report["is_watched"], report["reason"]) == (False, "it is rtevents' own")


def test_a_bare_repository_is_gits_own(stopped_daemon: Daemon) -> None:
    work = stopped_daemon.repository()
    bare = stopped_daemon.home / "bare.git"
    stopped_daemon.git("clone", "-q", "--bare", str(work), str(bare), cwd=stopped_daemon.home)
    stopped_daemon.start(str(bare))
    stopped_daemon.git("commit", "-q", "--allow-empty", "-m", "More", cwd=work)
    stopped_daemon.git("push", "-q", str(bare), "HEAD:new", cwd=work)

    def told() -> set[str]:
        with stopped_daemon.client() as client:
            return {entry.type for entry in client.history().events}

    wait_for(lambda: {"COMMIT", "REF_UPDATE"} <= told(), "the push is told")
    (bare / "description").write_text("Ours\n")
    stopped_daemon.git("push", "-q", str(bare), "HEAD:newer", cwd=work)
    wait_for(lambda: len(_refs(stopped_daemon)) == 2, "another push is told")
    assert "FILE_CHANGE" not in told()
    (report,) = explained(stopped_daemon, bare, "refs/heads/new")
    assert (report["is_watched"], report["reason"]) == (False, "it is git's own")


def _refs(daemon: Daemon) -> list[str]:
    with daemon.client() as client:
        found = client.history(Filter(types=frozenset({"REF_UPDATE"}))).events
    return [entry.event.data["ref"] for entry in found]


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
