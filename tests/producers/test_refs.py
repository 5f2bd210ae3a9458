"""REF_UPDATE: every move of a branch or a tag, once."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import pytest

from rtevents.core.event import Event
from rtevents.producers.reflog import Line
from rtevents.producers.refs import moves
from tests.producers.conftest import Commits, World, commit, git, tip, watched


async def test_a_commit_moves_its_branch_and_comes_before_that(commits: Commits) -> None:
    old = tip(commits.root)
    new = commit(commits.root)

    await commits.watching.until(lambda: commits.moves)

    assert commits.moves == [("refs/heads/main", old, new)]
    assert [event.type for event in commits.watching.events] == ["COMMIT", "REF_UPDATE"]
    assert commits.update("refs/heads/main") == {
        "ref": "refs/heads/main",
        "kind": "branch",
        "change": "moved",
        "old": old,
        "new": new,
        "forced": False,
        "reason": "commit: Change",
    }


async def test_branches_and_tags_come_and_go(commits: Commits) -> None:
    sha = tip(commits.root)
    git(commits.root, "branch", "topic")
    git(commits.root, "tag", "v1")
    git(commits.root, "tag", "-am", "Second", "v2")
    tag = tip(commits.root, "v2")
    await commits.watching.until(lambda: len(commits.moves) == 3)
    git(commits.root, "branch", "-D", "topic")
    git(commits.root, "tag", "-d", "v1")
    await commits.watching.until(lambda: len(commits.moves) == 5)

    assert sorted(commits.moves[:3]) == [
        ("refs/heads/topic", None, sha),
        ("refs/tags/v1", None, sha),
        ("refs/tags/v2", None, tag),
    ]
    assert sorted(commits.moves[3:]) == [
        ("refs/heads/topic", sha, None),
        ("refs/tags/v1", sha, None),
    ]
    assert commits.update("refs/tags/v2")["kind"] == "tag"
    assert commits.told == []


async def test_a_checkout_moves_no_ref(commits: Commits) -> None:
    git(commits.root, "branch", "topic")
    await commits.watching.until(lambda: commits.moves)
    git(commits.root, "checkout", "-q", "topic")
    git(commits.root, "checkout", "-q", "--detach")
    git(commits.root, "checkout", "-q", "main")
    commit(commits.root)
    await commits.watching.until(lambda: len(commits.moves) == 2)

    assert [ref for ref, _, _ in commits.moves] == ["refs/heads/topic", "refs/heads/main"]


async def test_each_step_of_a_quick_series_is_told(world: World, repository: Path) -> None:
    async with watched(world, repository):
        pass
    first = tip(repository)
    made = commit(repository, "One")
    git(repository, "commit", "-q", "--amend", "-m", "Two")
    amended = tip(repository)
    git(repository, "reset", "-q", "--hard", made)
    async with watched(world, repository) as commits:
        await commits.watching.until(lambda: len(commits.moves) == 3)

        assert commits.moves == [
            ("refs/heads/main", first, made),
            ("refs/heads/main", made, amended),
            ("refs/heads/main", amended, made),
        ]
        assert set(commits.told) == {made, amended}
        assert commits.data(amended)["rewritten_from"] == made
        assert commits.data(amended)["branch"] == "main"
        assert commits.update("refs/heads/main")["forced"] is True
        assert commits.update("refs/heads/main")["reconciled"] is True


def test_a_reflog_that_is_ahead_of_the_refs_hides_no_step() -> None:
    lines = [Line("c", "d", 0, "commit: D"), Line("b", "c", 0, "commit: C"),
             Line("a", "b", 0, "commit: B"), Line(None, "a", 0, "commit: A")]  # fmt: skip

    found = moves({"refs/heads/main": "a"}, {"refs/heads/main": "c"}, lambda _: lines)

    assert [(move.old, move.new, move.reason) for move in found] == [
        ("a", "b", "commit: B"),
        ("b", "c", "commit: C"),
    ]


def test_a_move_that_is_in_no_reflog_is_not_taken_for_an_earlier_one() -> None:
    lines = [Line("b", "a", 0, "reset: moving to a"), Line("a", "b", 0, "commit: B")]

    for new in ("b", "c"):
        found = moves({"refs/heads/main": "a"}, {"refs/heads/main": new}, lambda _: lines)

        assert [(move.old, move.new, move.reason) for move in found] == [("a", new, "")]


async def test_each_commit_of_a_burst_is_a_move(commits: Commits) -> None:
    shas = [tip(commits.root)]
    for number in range(60):
        await asyncio.to_thread(
            git, commits.root, "commit", "-q", "--allow-empty", "-m", str(number)
        )
        shas.append(tip(commits.root))
    await commits.watching.until(lambda: commits.moves and commits.moves[-1][2] == shas[-1])

    assert commits.moves == [("refs/heads/main", old, new) for old, new in pairwise(shas)]
    assert commits.told == shas[1:]


async def test_without_a_reflog_what_it_comes_to_is_told(world: World, repository: Path) -> None:
    async with watched(world, repository):
        pass
    first = tip(repository)
    commit(repository, "One")
    last = commit(repository, "Two")
    shutil.rmtree(repository / ".git" / "logs")
    async with watched(world, repository) as commits:
        await commits.watching.until(lambda: commits.moves)

        assert commits.moves == [("refs/heads/main", first, last)]


async def test_what_is_fetched_moves_the_branches_of_the_remote(
    commits: Commits, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(commits.root), str(other))
    theirs = commit(other, "Theirs")
    git(commits.root, "remote", "add", "origin", str(other))
    git(commits.root, "fetch", "-q")
    await commits.watching.until(lambda: commits.moves)
    git(other, "commit", "-q", "--amend", "-m", "Otherwise")
    forced = tip(other)
    git(commits.root, "fetch", "-q")
    await commits.watching.until(lambda: len(commits.moves) == 2)

    assert commits.moves == [
        ("refs/remotes/origin/main", None, theirs),
        ("refs/remotes/origin/main", theirs, forced),
    ]
    assert commits.update("refs/remotes/origin/main")["kind"] == "remote"
    assert commits.update("refs/remotes/origin/main")["forced"] is True
    assert commits.data(forced)["rewritten_from"] == theirs


async def test_packing_moves_nothing(commits: Commits) -> None:
    git(commits.root, "tag", "v1")
    await commits.watching.until(lambda: commits.moves)
    git(commits.root, "pack-refs", "--all")
    git(commits.root, "gc", "-q")
    commit(commits.root)
    await commits.watching.until(lambda: len(commits.moves) == 2)

    assert [ref for ref, _, _ in commits.moves] == ["refs/tags/v1", "refs/heads/main"]


async def test_a_renamed_branch_goes_and_comes(commits: Commits) -> None:
    first = tip(commits.root)
    second = commit(commits.root)
    await commits.watching.until(lambda: commits.moves)
    git(commits.root, "branch", "-m", "main", "trunk")
    await commits.watching.until(lambda: len(commits.moves) == 3)

    assert commits.moves == [
        ("refs/heads/main", first, second),
        ("refs/heads/main", second, None),
        ("refs/heads/trunk", None, second),
    ]


@pytest.mark.parametrize("is_stored", [True, False])
async def test_a_move_is_told_once_when_the_daemon_ends_before_it_is_noted(
    world: World, repository: Path, is_stored: bool
) -> None:
    async with watched(world, repository):
        pass
    first, second = tip(repository), commit(repository)
    told: list[Event] = []
    producer = world.producer("git", repository)
    async with aclosing(producer.events()) as batches:
        async for batch in batches:
            told += batch
            if is_stored:
                world.seqs |= {event.event_id: 1 for event in batch}
            if batch[-1].type == "REF_UPDATE":
                break
    third = commit(repository)

    async with watched(world, repository) as commits:
        await commits.watching.until(lambda: ("refs/heads/main", second, third) in commits.moves)

        again = [event.event_id for event in commits.watching.events]
        assert commits.moves[-1] == ("refs/heads/main", second, third)
        if is_stored:
            assert len(commits.moves) == 1
            assert not {event.event_id for event in told} & set(again)
        else:
            assert commits.moves[0] == ("refs/heads/main", first, second)
            # By the same id: whichever of the two was stored, it is there once.
            assert {event.event_id for event in told} <= set(again)


async def test_a_commit_tells_of_two_hundred_files_and_counts_them_all(commits: Commits) -> None:
    for number in range(250):
        (commits.root / f"{number:03}.txt").write_text("x\n")
    (commits.root / "000.bin").write_bytes(b"\0\1\2")
    with open(bytes(commits.root) + b"/000\xff", "w") as opened:  # noqa: PTH123 - a name in bytes
        opened.write("x\n")
    git(commits.root, "add", "-A")
    new = commit(commits.root)
    await commits.has(new)

    data = commits.data(new)
    assert (data["files_changed"], data["insertions"], len(data["files"])) == (253, 252, 200)
    assert data["files"][0] == {"path": "000.bin", "insertions": None, "deletions": None}
    assert data["files"][2] == {"path": "000%FF", "insertions": 1, "deletions": 0}


async def test_thousands_of_refs_are_told_at_once(commits: Commits) -> None:
    sha = tip(commits.root)
    given = "".join(f"create refs/tags/t{number} {sha}\n" for number in range(3000))
    git(commits.root, "update-ref", "--stdin", given=given)
    await commits.watching.until(lambda: len(commits.moves) == 3000)
    await asyncio.to_thread(git, commits.root, "tag", "-d", *[f"t{n}" for n in range(3000)])
    await commits.watching.until(lambda: len(commits.moves) == 6000)

    assert len(set(commits.moves)) == 6000
