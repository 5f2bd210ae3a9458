"""What only a newer git can: hooks of the configuration, and refs in a table."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from rtevents.errors import BadInput
from rtevents.producers import hook
from rtevents.producers.spool import Spool
from tests.producers.conftest import World, commit, git, watched
from tests.producers.newer_git import newer_git

__all__ = ["newer_git"]

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _newer(newer_git: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", f"{newer_git}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))


@pytest.fixture
def repository(tmp_path: Path, newer_git: Path) -> Path:
    """Return a repository of the newer git, which a daemon watches."""
    assert newer_git.is_dir()
    root = tmp_path.resolve() / "web"
    root.mkdir()
    git(root, "init", "-q")
    commit(root, "Begin")
    Spool(root / ".git").mark()
    return root


def files(repository: Path) -> Mapping[str, bytes]:
    """Return what of a repository an installed hook may change."""
    places = [repository / ".git" / "config", *(repository / ".git" / "hooks").iterdir()]
    return {place.name: place.read_bytes() for place in places}


def test_the_hook_is_a_line_of_the_configuration(repository: Path) -> None:
    before = files(repository)

    done = hook.install(repository)

    assert (done.ways, done.problems) == (["config"], [])
    assert done.describe() == "installed: the repository's configuration"
    sha = commit(repository)
    assert Spool(repository / ".git").noted() == [sha]
    once = files(repository)
    assert hook.install(repository).ways == ["config"]
    assert files(repository) == once
    assert hook.uninstall(repository).ways == []
    assert files(repository) == before


@pytest.mark.parametrize("path", ["/dev/null", ".husky/_", "elsewhere"])
def test_it_runs_wherever_the_other_hooks_are(repository: Path, path: str) -> None:
    git(repository, "config", "core.hooksPath", path)
    hook.install(repository)

    sha = commit(repository)

    assert Spool(repository / ".git").noted() == [sha]


def test_it_runs_beside_another_hook_which_is_left_alone(repository: Path) -> None:
    other = repository / ".git" / "hooks" / "post-commit"
    other.write_text("#!/bin/sh\necho other >> ran\n")
    other.chmod(0o755)
    before = other.read_bytes()
    hook.install(repository)
    sha = commit(repository)

    assert other.read_bytes() == before
    assert (repository / "ran").read_text() == "other\n"
    assert Spool(repository / ".git").noted() == [sha]


def test_what_an_older_git_installed_gives_way(repository: Path) -> None:
    before = files(repository)
    hook.install(repository, way="file")
    assert hook.install(repository).ways == ["config"]

    sha = commit(repository)
    assert (repository / ".git" / "rtevents" / "spool").read_text() == f"{sha}\n"
    assert hook.uninstall(repository).ways == []
    assert files(repository) == before


def test_an_older_git_is_told_what_it_cannot_run(
    repository: Path, monkeypatch: pytest.MonkeyPatch, newer_git: Path
) -> None:
    hook.install(repository)
    monkeypatch.setenv("PATH", os.environ["PATH"].removeprefix(f"{newer_git}{os.pathsep}"))
    if subprocess.check_output(["git", "version"], text=True) >= "git version 2.54":
        pytest.skip("this machine's git runs hooks of the configuration")

    problems = hook.status(repository).problems

    assert problems[0].text.endswith("does not run hooks of the configuration")
    assert problems[0].remedy == "rtevents hook install --way file"
    with pytest.raises(BadInput, match="--way file"):
        hook.install(repository, way="config")
    assert hook.install(repository, way="file").problems == []


def test_a_linked_work_tree_has_it_too(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", str(tmp_path / "linked"))
    hook.install(tmp_path / "linked")

    sha = commit(tmp_path / "linked")

    assert Spool(repository / ".git").noted() == [sha]


async def test_refs_in_a_table_are_followed_as_any(world: World, tmp_path: Path) -> None:
    root = tmp_path.resolve() / "table"
    git(tmp_path, "init", "-q", "--ref-format=reftable", str(root))
    first = commit(root, "Begin")
    async with watched(world, root) as commits:
        hook.install(root)
        made = commit(root, "One")
        git(root, "commit", "-q", "--amend", "-m", "Two")
        amended = git(root, "rev-parse", "HEAD")
        git(root, "tag", "v1")
        git(root, "branch", "topic")
        git(root, "branch", "-D", "topic")
        await commits.watching.until(lambda: "refs/tags/v1" in [ref for ref, *_ in commits.moves])
        await commits.watching.until(lambda: {made, amended} <= set(commits.told))

        assert sorted(commits.told) == sorted([made, amended])
        assert commits.data(amended)["rewritten_from"] == made
        mains = [move[1:] for move in commits.moves if move[0] == "refs/heads/main"]
        assert mains == [(first, made), (made, amended)]


def test_a_repository_that_was_moved_has_its_hook(repository: Path, tmp_path: Path) -> None:
    hook.install(repository)
    moved = tmp_path.resolve() / "it's moved"
    repository.rename(moved)

    sha = commit(moved)

    assert Spool(moved / ".git").noted() == [sha]


def test_a_hook_that_was_switched_off_is_told(repository: Path) -> None:
    hook.install(repository)
    git(repository, "config", "hook.rtevents.enabled", "false")

    commit(repository)

    assert Spool(repository / ".git").noted() == []
    assert [problem.remedy for problem in hook.status(repository).problems] == [
        "git config hook.rtevents.enabled true"
    ]


def test_hooks_that_other_repositories_share_are_left_to_them(
    repository: Path, tmp_path: Path
) -> None:
    git(repository, "config", "core.hooksPath", str(tmp_path / "hooks"))
    hook.install(repository, way="file", force=True)
    before = (tmp_path / "hooks" / "post-commit").read_bytes()

    hook.install(repository)

    assert (tmp_path / "hooks" / "post-commit").read_bytes() == before
