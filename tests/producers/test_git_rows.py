"""Each new commit and each move of a ref once, whatever git does, seen or found afterwards."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from tests.producers.conftest import Commits, World, git, watched
from tests.producers.git_rows import LINKS, ROWS, Row
from tests.producers.newer_git import newer_git

__all__ = ["newer_git"]

SLOW = pytest.mark.slow

OTHERS = ("stash", "notes/*", "replace/*", "original/*", "hidden/*", "bisect/*")
"""Refs that are neither a branch nor a tag."""


@pytest.fixture(
    params=["this", pytest.param("newer", marks=SLOW), pytest.param("reftable", marks=SLOW)],
    autouse=True,
)
def _git(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use this machine's git, a newer one, and that one with refs in a table."""
    if request.param != "this":
        folder = request.getfixturevalue("newer_git")
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    if request.param == "reftable":
        monkeypatch.setenv("GIT_DEFAULT_REF_FORMAT", "reftable")


@pytest.mark.parametrize("row", ROWS, ids=[row.__name__ for row in ROWS])
async def test_what_is_done_while_the_producer_looks_is_told_once(
    world: World, repository: Path, tmp_path: Path, row: Row
) -> None:
    steps = row(repository, aside(tmp_path))
    root = next(steps)
    refs, old = refs_of(root), commits_of(root)
    async with watched(world, root) as commits:
        while await asyncio.to_thread(next, steps, None):
            await is_told(commits, refs, old)
        await is_told(commits, refs, old)

    assert links(commits) == LINKS.get(row, set())


@pytest.mark.parametrize("row", ROWS, ids=[row.__name__ for row in ROWS])
async def test_what_is_done_while_it_is_down_is_told_once_and_as_found(
    world: World, repository: Path, tmp_path: Path, row: Row
) -> None:
    steps = row(repository, aside(tmp_path))
    root = next(steps)
    refs, old = refs_of(root), commits_of(root)
    async with watched(world, root):
        pass
    while await asyncio.to_thread(next, steps, None):
        pass
    async with watched(world, root) as commits:
        await is_told(commits, refs, old)

    assert all(event.data["reconciled"] for event in commits.watching.events)
    assert links(commits) <= LINKS.get(row, set())


def aside(tmp_path: Path) -> Path:
    """Return an empty folder."""
    folder = tmp_path.resolve() / "aside"
    folder.mkdir()
    return folder


def refs_of(root: Path) -> dict[str, str]:
    """Return what each branch and tag names, those that stand for another one left out."""
    told = git(
        root, "for-each-ref",
        "--format=%(if)%(symref)%(then)%(else)%(refname) %(objectname)%(end)",
        "refs/heads", "refs/tags", "refs/remotes",
    )  # fmt: skip
    return dict(line.split() for line in told.splitlines() if line)


def commits_of(root: Path, excluding: Iterable[str] = OTHERS) -> set[str]:
    """Return the commits that a ref reaches or that are checked out."""
    refs = [f"--exclude=refs/{name}" for name in excluding]
    return set(git(root, "--no-replace-objects", "rev-list", *refs, "--all").split())


async def is_told(commits: Commits, refs: Mapping[str, str], old: set[str]) -> None:
    """Return when the events lead from the refs to those there are; fail if one is too much."""
    root = commits.root
    await commits.watching.until(lambda: moved(refs, commits) == refs_of(root))
    new = commits_of(root) - old
    await commits.watching.until(lambda: new <= set(commits.told))
    assert len(commits.told) == len(set(commits.told))
    elsewhere = commits_of(root, excluding=()) - commits_of(root)
    assert not set(commits.told) & (old | elsewhere)
    for sha in commits.told:
        assert git(root, "cat-file", "-t", sha) == "commit"


def moved(refs: Mapping[str, str], commits: Commits) -> dict[str, str]:
    """Return where the moves that were told lead; fail if one does not begin where it should."""
    now = dict(refs)
    for ref, before, after in commits.moves:
        assert now.pop(ref, None) == before != after
        if after is not None:
            now[ref] = after
    return now


def links(commits: Commits) -> set[tuple[str, str]]:
    """Return which subjects replace which."""
    return {
        (event.data["message"].splitlines()[0],
         git(commits.root, "log", "-1", "--format=%s", event.data["rewritten_from"]))
        for event in commits.events if "rewritten_from" in event.data
    }  # fmt: skip
