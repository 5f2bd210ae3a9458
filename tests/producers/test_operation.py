"""What git does to files is told as one thing, with its cause."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rtevents.config.settings import Config, FilesSettings
from rtevents.producers import files
from rtevents.producers.operation import Operations, own_git_folder
from rtevents.producers.worktrees import WorkTrees
from tests.producers.conftest import Watching, World, commit, git


class Tree:
    """A watched work tree with two branches that differ in 30 files."""

    def __init__(self, root: Path, watching: Watching) -> None:
        self.root = root
        self.watching = watching
        self._seen = 0

    async def told(self, count: int) -> list[dict[str, Any]]:
        """Return the next changes that are told, and fail when it is not this number of them."""
        await self.watching.until(lambda: len(self._new()) >= count)
        # Whatever is told too much is told before this.
        (self.root / "mark").write_text(str(self._seen))
        await self.watching.until(lambda: self._new()[-1]["file_path"] == "mark")
        new = self._new()
        self._seen += len(new)
        return [data for data in new if data["file_path"] != "mark"]

    def _new(self) -> list[dict[str, Any]]:
        events = self.watching.events
        return [event.data for event in events if event.type == "FILE_CHANGE"][self._seen :]

    async def causes(self, count: int) -> set[tuple[str | None, str | None, str | None]]:
        """Return which causes the next changes have."""
        told = await self.told(count)
        assert len(told) == count, told
        return {(data.get("cause"), data.get("cause_from"), data.get("cause_to")) for data in told}

    def head(self, revision: str = "HEAD") -> str:
        """Return the commit that a revision names."""
        return git(self.root, "rev-parse", revision)


def branch_off(root: Path) -> None:
    """Make a branch ``other`` with 30 files more, and one commit more on ``main``."""
    git(root, "checkout", "-qb", "other")
    for number in range(30):
        (root / f"other-{number}.txt").write_text("other\n")
    git(root, "add", ".")
    git(root, "commit", "-qm", "Other")
    git(root, "checkout", "-q", "main")
    commit(root, "Main", "main.txt")


@pytest.fixture
async def tree(repository: Path, world: World) -> AsyncIterator[Tree]:
    """Return the watched work tree, on ``main``."""
    branch_off(repository)
    async with world.watch("files", repository) as watching:
        yield Tree(repository, watching)


async def test_a_disk_that_hangs_does_not_hold_the_event_loop(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, set[threading.Thread]] = {}

    def note(owner: object, name: str) -> None:
        act = getattr(owner, name)

        def ask(*given: Any) -> Any:
            asked.setdefault(name, set()).add(threading.current_thread())
            return act(*given)

        monkeypatch.setattr(owner, name, ask)

    note(files, "_inode")
    note(WorkTrees, "is_running")
    note(WorkTrees, "finished")
    git(tree.root, "checkout", "-q", "other")
    await tree.told(31)

    assert asked.keys() == {"_inode", "is_running", "finished"}
    assert threading.main_thread() not in set().union(*asked.values())


async def test_a_checkout_is_one_batch_with_its_cause(tree: Tree) -> None:
    main, other = tree.head("main"), tree.head("other")

    git(tree.root, "checkout", "-q", "other")

    # 30 files appear, and main.txt goes.
    assert await tree.causes(31) == {("checkout", main, other)}
    assert len([batch for batch in tree.watching.batches if batch[0].data.get("cause")]) == 1


async def test_what_a_user_edits_has_no_cause(tree: Tree) -> None:
    (tree.root / "main.txt").write_text("edited\n")
    assert await tree.causes(1) == {(None, None, None)}

    git(tree.root, "commit", "-qam", "Edit")
    git(tree.root, "branch", "new")
    git(tree.root, "checkout", "-qb", "newer")
    (tree.root / "file.txt").write_text("edited\n")

    assert await tree.causes(1) == {(None, None, None)}


async def test_a_commit_at_once_after_an_edit_is_not_its_cause(tree: Tree) -> None:
    (tree.root / "main.txt").write_text("edited\n")
    git(tree.root, "commit", "-qam", "Edit")

    assert await tree.causes(1) == {(None, None, None)}


async def test_merges_and_pulls_are_causes(tree: Tree) -> None:
    main = tree.head()
    git(tree.root, "merge", "-q", "--no-ff", "-m", "Merge", "other")
    assert await tree.causes(30) == {("merge", main, tree.head())}

    git(tree.root, "reset", "-q", "--hard", main)
    assert await tree.causes(30) == {("reset", tree.head("HEAD@{1}"), main)}

    git(tree.root, "pull", "-q", "--no-rebase", ".", "other")
    assert await tree.causes(30) == {("pull", main, tree.head())}


async def test_a_merge_that_leaves_the_commit_to_its_user_is_a_cause(tree: Tree) -> None:
    here = tree.head()

    git(tree.root, "merge", "-q", "--squash", "other")

    assert await tree.causes(30) == {("merge", here, here)}

    (tree.root / "main.txt").write_text("edited\n")
    git(tree.root, "commit", "-qam", "All of it")
    assert await tree.causes(1) == {(None, None, None)}


async def test_a_merge_that_stops_is_a_cause(tree: Tree) -> None:
    git(tree.root, "checkout", "-q", "other")
    await tree.told(31)
    (tree.root / "main.txt").write_text("conflict\n")
    git(tree.root, "add", "main.txt")
    git(tree.root, "commit", "-qm", "Conflict")
    await tree.told(1)
    here = tree.head()

    merge = subprocess.run(
        ["git", "merge", "-q", "main"], cwd=tree.root, capture_output=True, check=False
    )

    assert merge.returncode == 1
    assert await tree.causes(1) == {("merge", here, here)}


async def test_a_rebase_is_one_batch_from_where_it_was_to_where_it_is(tree: Tree) -> None:
    git(tree.root, "checkout", "-q", "other")
    await tree.told(31)
    for number in range(5):
        (tree.root / f"other-{number}.txt").write_text(f"change {number}\n")
        git(tree.root, "commit", "-qam", f"Change {number}")
    await tree.told(5)
    before = tree.head()

    git(tree.root, "rebase", "-q", "main")

    # main.txt appears, and the others are written anew.
    assert await tree.causes(31) == {("rebase", before, tree.head())}


async def test_a_stash_and_its_return_are_causes(tree: Tree) -> None:
    (tree.root / "main.txt").write_text("edited\n")
    (tree.root / "file.txt").write_text("edited\n")
    await tree.told(2)
    here = tree.head()

    git(tree.root, "stash", "-q")
    assert await tree.causes(2) == {("stash", here, here)}

    git(tree.root, "stash", "pop", "-q")
    assert await tree.causes(2) == {("stash", here, here)}


@pytest.mark.parametrize("verb", ["cherry-pick", "revert"])
async def test_commits_that_are_applied_are_causes(tree: Tree, verb: str) -> None:
    here = tree.head()
    revision = "other" if verb == "cherry-pick" else "HEAD~1"

    git(tree.root, verb, *(["--no-edit"] if verb == "revert" else []), revision)

    count = 30 if verb == "cherry-pick" else 1
    assert await tree.causes(count) == {(verb, here, tree.head())}


async def test_patches_that_are_applied_are_causes(tree: Tree) -> None:
    here = tree.head()
    patch = git(tree.root, "format-patch", "-1", "--stdout", "other")

    git(tree.root, "am", "-q", given=patch + "\n")

    assert await tree.causes(30) == {("am", here, tree.head())}


async def test_changes_are_held_while_git_has_its_lock(tree: Tree) -> None:
    lock = tree.root / ".git" / "index.lock"
    lock.touch()
    (tree.root / "a.txt").write_text("x")
    await asyncio.sleep(1.0)  # longer than anything waits that is not held
    assert tree.watching.events == []

    lock.unlink()

    assert await tree.causes(1) == {(None, None, None)}


async def test_a_lock_that_nobody_removes_holds_nothing_for_ever(tree: Tree) -> None:
    lock = tree.root / ".git" / "index.lock"
    lock.touch()
    os.utime(lock, (1e9, 1e9))
    (tree.root / "a.txt").write_text("x")

    assert await tree.causes(1) == {(None, None, None)}


async def test_a_rebase_that_waits_for_its_user_holds_nothing(tree: Tree) -> None:
    git(tree.root, "checkout", "-q", "other")
    await tree.told(31)
    git(
        tree.root, "rebase", "-q", "-i", "HEAD~1",
        env={"GIT_SEQUENCE_EDITOR": "sed -i s/^pick/edit/"},
    )  # fmt: skip
    assert (tree.root / ".git" / "rebase-merge").is_dir()
    await tree.told(30)  # they are written anew
    (tree.root / "edited.txt").write_text("x")

    told = await tree.told(1)

    assert [data["file_path"] for data in told] == ["edited.txt"]


async def test_a_linked_work_tree_has_operations_of_its_own(
    repository: Path, world: World, tmp_path: Path
) -> None:
    branch_off(repository)
    linked = tmp_path / "linked"
    git(repository, "worktree", "add", "-q", "--detach", str(linked), "main")
    async with world.watch("files", linked) as watching:
        tree = Tree(linked, watching)
        here = tree.head()
        git(linked, "checkout", "-q", "--detach", "other")

        told = [data async for data in _until(tree, 31)]

    assert {data.get("cause") for data in told} == {"checkout"}
    assert {data.get("cause_from") for data in told} == {here}


async def _until(tree: Tree, count: int) -> AsyncIterator[dict[str, Any]]:
    await tree.watching.until(lambda: len(tree._new()) >= count)
    for data in tree._new():
        yield data


@pytest.mark.parametrize("kind", ["submodule", "clone", "later"])
async def test_a_work_tree_in_the_project_has_operations_of_its_own(
    repository: Path, world: World, tmp_path: Path, kind: str
) -> None:
    branch_off(repository)
    root = tmp_path / "outer"
    root.mkdir()
    if kind == "submodule":
        git(root, "init", "-q")
        git(root, "submodule", "add", "-q", str(repository), "sub")
        git(root, "commit", "-qm", "Add it")
    elif kind == "clone":
        git(root, "clone", "-q", str(repository), "sub")
    async with world.watch("files", root) as watching:
        tree = Tree(root, watching)
        if kind == "later":
            git(root, "clone", "-q", str(repository), "sub")
            await tree.told(2)
        main = git(root / "sub", "rev-parse", "HEAD")
        other = git(root / "sub", "rev-parse", "origin/other")
        git(root / "sub", "checkout", "-q", "other")

        assert await tree.causes(31) == {("checkout", main, other)}
        assert len([batch for batch in watching.batches if batch[0].data.get("cause")]) == 1
        (root / "sub" / "file.txt").write_text("edited\n")
        assert await tree.causes(1) == {(None, None, None)}


async def test_changes_are_held_while_git_has_the_lock_of_a_work_tree_in_the_project(
    repository: Path, world: World
) -> None:
    inner = repository / "inner"
    git(repository, "clone", "-q", ".", "inner")
    async with world.watch("files", repository) as watching:
        tree = Tree(repository, watching)
        lock = inner / ".git" / "index.lock"
        lock.touch()
        (inner / "a.txt").write_text("x")
        await asyncio.sleep(1.0)  # longer than anything waits that is not held
        assert watching.events == []
        lock.unlink()

        assert await tree.causes(1) == {(None, None, None)}


async def test_raw_tells_changes_as_they_come(repository: Path, world: World) -> None:
    branch_off(repository)
    config = Config(files=FilesSettings(vcs="raw"))
    async with world.watch("files", repository, config=config) as watching:
        (repository / ".git" / "index.lock").touch()
        (repository / "a.txt").write_text("x")
        await watching.until(lambda: watching.events)
        (repository / ".git" / "index.lock").unlink()
        git(repository, "checkout", "-q", "other")
        await watching.until(lambda: len(watching.events) >= 31)

    assert not any("cause" in event.data for event in watching.events)


def test_a_git_folder_is_named_no_further_than_a_nul(tmp_path: Path) -> None:
    (tmp_path / ".git").write_bytes(b"gitdir: theirs\0more\n")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "commondir").write_bytes(b"..\0\n")

    folder = own_git_folder(tmp_path)

    assert folder == tmp_path / "theirs"
    assert not Operations(folder).is_running()
