"""Which commit a new one replaces: told by what git keeps of it, and never wrongly."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rtevents.producers.rewrites import squashed
from tests.producers.conftest import Commits, World, commit, git, tip, watched
from tests.producers.git_rows import fails

DATES = {"GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000"}
"""All of one second: what commits say of themselves does not tell them apart."""


async def test_a_rebase_links_each_commit_to_the_one_it_replaces(commits: Commits) -> None:
    git(commits.root, "checkout", "-qb", "topic")
    olds = [commit(commits.root, f"Topic {number}", f"t{number}") for number in range(3)]
    git(commits.root, "checkout", "-q", "main")
    upstream = commit(commits.root, "Upstream")
    await commits.watching.until(lambda: upstream in commits.told)
    git(commits.root, "rebase", "-q", "main", "topic")
    news = git(commits.root, "rev-list", "--reverse", "main..topic").split()
    await commits.watching.until(lambda: set(news) <= set(commits.told))

    assert [commits.data(sha)["rewritten_from"] for sha in news] == olds
    assert "rewritten_from" not in commits.data(upstream)


async def test_an_interactive_rebase_links_what_it_reorders_and_squashes(
    commits: Commits, tmp_path: Path
) -> None:
    base = tip(commits.root)
    first, second, third, dropped = (
        commit(commits.root, message, message, written=1_700_000_000 + number)
        for number, message in enumerate(("One", "Two", "Three", "Drop"))
    )
    await commits.watching.until(lambda: dropped in commits.told)
    todo = tmp_path / "todo"
    todo.write_text(f"pick {third}\npick {first}\nfixup {second}\ndrop {dropped}\n")
    env = {"GIT_SEQUENCE_EDITOR": f"cp {todo}", "GIT_EDITOR": "true"}
    git(commits.root, "rebase", "-q", "-i", base, env=env)
    news = git(commits.root, "rev-list", "--reverse", f"{base}..HEAD").split()
    await commits.watching.until(lambda: set(news) <= set(commits.told))

    assert [commits.data(sha)["rewritten_from"] for sha in news] == [third, first]


SQUASH = {"GIT_SEQUENCE_EDITOR": "sed -i '2,3s/^pick/squash/'", "GIT_EDITOR": "true"}


async def told_before(world: World, root: Path, files: str) -> list[str]:
    """Change files of one letter, each in a commit that is told; return the commits."""
    async with watched(world, root) as commits:
        shas = [commit(root, f"Change {number}", file) for number, file in enumerate(files)]
        await commits.watching.until(lambda: set(shas) <= set(commits.told))
    return shas


@asynccontextmanager
async def changed(
    world: World, root: Path, *steps: Callable[[], object], is_up: bool
) -> AsyncIterator[Commits]:
    """Return what is told of some steps, seen one by one or found afterwards."""
    for step in () if is_up else steps:
        step()
    async with watched(world, root) as commits:
        for number, step in enumerate(steps if is_up else ()):
            await asyncio.to_thread(step)
            # With this is told what there is now.
            git(root, "tag", f"after{number}", "main")
            await commits.watching.until(
                lambda n=number: f"refs/tags/after{n}" in [ref for ref, *_ in commits.moves]  # type: ignore[misc]
            )
        await commits.watching.until(lambda: tip(root) in commits.told)
        yield commits


@pytest.mark.parametrize("is_up", [True, False])
@pytest.mark.parametrize("files", ["aaaa", "abcd"])
@pytest.mark.parametrize("arguments", [(), ("--no-ff",)])
async def test_a_commit_into_which_others_were_squashed_replaces_them_all(
    world: World, repository: Path, is_up: bool, files: str, arguments: tuple[str, ...]
) -> None:
    olds = await told_before(world, repository, files)

    def change() -> None:
        git(repository, "rebase", "-q", "-i", *arguments, "HEAD~4", env=SQUASH)

    async with changed(world, repository, change, is_up=is_up) as commits:
        first, last = git(repository, "rev-list", "--reverse", "HEAD~2..").split()

        assert sorted(commits.told) == sorted([first, last])
        assert commits.data(first)["rewritten_from"] == olds[0]
        assert commits.data(first)["replaces"] == olds[:3]
        assert commits.data(last)["replaces"] == olds[3:]
        assert commits.data(first)["branch"] == "main"


@pytest.mark.parametrize("is_up", [True, False])
async def test_what_was_committed_to_be_squashed_is_replaced(
    world: World, repository: Path, is_up: bool
) -> None:
    git(repository, "branch", "upstream")
    olds = await told_before(world, repository, "ab")
    for way, target, file in (("fixup", 0, "a"), ("squash", 1, "b"), ("fixup", 0, "c")):
        (repository / file).write_text(f"{way} {file}\n")
        git(repository, "add", file)
        git(repository, "commit", "-qm", f"{way}! Change {target}")
        olds.append(tip(repository))
    git(repository, "switch", "-q", "upstream")
    commit(repository, "Upstream")
    git(repository, "switch", "-q", "main")
    async with watched(world, repository) as commits:
        await commits.watching.until(lambda: set(olds[2:]) <= set(commits.told))

    def change() -> None:
        env = {"GIT_SEQUENCE_EDITOR": "true", "GIT_EDITOR": "true"}
        git(repository, "rebase", "-q", "-i", "--autosquash", "upstream", env=env)

    async with changed(world, repository, change, is_up=is_up) as commits:
        first, second = git(repository, "rev-list", "--reverse", "upstream..").split()

        assert sorted(commits.told) == sorted([first, second])
        assert commits.data(first)["replaces"] == [olds[0], olds[2], olds[4]]
        assert commits.data(second)["replaces"] == [olds[1], olds[3]]


@pytest.mark.parametrize("is_up", [True, False])
async def test_a_squashing_that_stops_is_told_when_it_is_over(
    world: World, repository: Path, is_up: bool, tmp_path: Path
) -> None:
    base = commit(repository, "Begin", "a")
    olds = await told_before(world, repository, "abac")
    # What is in `a` does not fit any more: each squashing stops.
    lines = [f"{word} {olds[at]}" for word, at in (("p", 1), ("s", 2), ("s", 0), ("p", 3))]
    (tmp_path / "todo").write_text("\n".join([*lines, ""]))
    env = {"GIT_SEQUENCE_EDITOR": f"cp {tmp_path / 'todo'}", "GIT_EDITOR": "true"}

    def go_on() -> None:
        (repository / "a").write_text("Resolved\n" * len(git(repository, "reflog").splitlines()))
        git(repository, "add", "a")
        fails(repository, "rebase", "--continue", env=env)

    def end() -> None:
        (repository / "a").write_text("Resolved at last\n")
        git(repository, "add", "a")
        git(repository, "rebase", "--continue", env=env)

    steps = [lambda: fails(repository, "rebase", "-q", "-i", base, env=env), go_on, end]
    async with changed(world, repository, *steps, is_up=is_up) as commits:
        first, last = git(repository, "rev-list", "--reverse", f"{base}..").split()

        assert sorted(commits.told) == sorted([first, last])
        # What was squashed with other changes than it had is said if git's own note was seen.
        assert commits.data(first)["rewritten_from"] == olds[1]
        assert commits.data(first)["replaces"] in ([olds[1]], [olds[1], olds[2], olds[0]])
        assert commits.data(last)["replaces"] == olds[3:]


def test_which_of_many_commits_alike_was_squashed_is_not_said() -> None:
    steps = {"s1": "new1", "s2": "new2", "s3": "new2"}
    marks = {"old1": "x", "old2": "x", "s1": "x", "s2": "x", "old3": "y", "s3": "y"}

    assert squashed(["old1", "old2", "old3"], steps, [marks]) == {"old3": "new2"}


async def test_a_picked_commit_replaces_nothing(commits: Commits) -> None:
    git(commits.root, "checkout", "-qb", "topic")
    picked = commit(commits.root, "Picked", "other.txt")
    git(commits.root, "checkout", "-q", "main")
    commit(commits.root, "Before")
    git(commits.root, "cherry-pick", picked)
    new = tip(commits.root)
    await commits.watching.until(lambda: new in commits.told)

    assert "rewritten_from" not in commits.data(new)


async def test_a_commit_after_a_reset_replaces_nothing(world: World, repository: Path) -> None:
    commit(repository, "One")
    async with watched(world, repository):
        pass
    git(repository, "reset", "-q", "--hard", "HEAD~1")
    new = commit(repository, "Another thing")
    async with watched(world, repository) as commits:
        await commits.has(new)

        assert "rewritten_from" not in commits.data(new)


async def test_a_branch_that_is_filtered_links_each_of_its_commits(commits: Commits) -> None:
    olds = [commit(commits.root, str(number), str(number)) for number in range(3)]
    await commits.watching.until(lambda: set(olds) <= set(commits.told))
    env = {"FILTER_BRANCH_SQUELCH_WARNING": "1"}
    git(commits.root, "filter-branch", "-f", "--msg-filter", "sed s/^/X/", "HEAD~3..", env=env)
    news = git(commits.root, "rev-list", "--reverse", "HEAD~3..").split()
    await commits.watching.until(lambda: set(news) <= set(commits.told))

    assert [commits.data(sha)["rewritten_from"] for sha in news] == olds


async def test_commits_of_one_second_are_told_apart_by_what_they_change(
    commits: Commits, tmp_path: Path
) -> None:
    base = tip(commits.root)
    olds = [wip(commits.root, name) for name in "abcd"]
    await commits.watching.until(lambda: set(olds) <= set(commits.told))
    rebase(commits.root, base, [f"pick {olds[at]}" for at in (3, 1, 2)], tmp_path)
    news = git(commits.root, "rev-list", "--reverse", f"{base}..HEAD").split()
    await commits.watching.until(lambda: set(news) <= set(commits.told))

    assert [commits.data(sha)["rewritten_from"] for sha in news] == [olds[3], olds[1], olds[2]]


@pytest.mark.parametrize("seed", range(6))
async def test_no_rewriting_at_random_links_what_does_not_belong_together(
    commits: Commits, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    root, base, files = commits.root, tip(commits.root), 0
    for _ in range(4):
        for _ in range(dice.randrange(1, 4)):
            wip(root, f"file {files}", dice.choice(("wip", "work")))
            files += 1
        shas = git(root, "rev-list", "--reverse", f"{base}..HEAD").split()
        match dice.choice(("rebase", "reset", "pick", "amend")):
            case "rebase":
                dice.shuffle(shas)
                words = [dice.choice(("pick", "pick", "fixup", "drop")) for _ in shas]
                todo = [f"{word} {sha}" for word, sha in zip(words, shas, strict=True)]
                rebase(root, base, [f"pick {shas[0]}", *todo[1:]], tmp_path)
            case "reset":
                git(root, "reset", "-q", "--hard", "HEAD~1")
                wip(root, f"file {files}")
                files += 1
            case "pick":
                git(root, "checkout", "-q", "-B", f"other{files}", base)
                wip(root, f"file {files}")
                git(root, "cherry-pick", dice.choice(shas), env=DATES)
                files += 1
            case "amend":
                git(root, "commit", "-q", "--amend", "-m", f"Amended {files}", env=DATES)
        await commits.watching.until(lambda: tip(root) in commits.told)

    links = {
        event.data["commit_hash"]: event.data["replaces"]
        for event in commits.events
        if "replaces" in event.data
    }
    assert links
    for new, olds in links.items():
        # Each commit has a file of its own: what replaces it has that one too.
        assert {name for old in olds for name in names(root, old)} <= names(root, new)


def wip(root: Path, file: str, message: str = "wip") -> str:
    """Commit a file of its own, like every other commit else."""
    (root / file).write_text(f"{file}\n")
    git(root, "add", "--", file)
    git(root, "commit", "-qm", message, env=DATES)
    return tip(root)


def rebase(root: Path, base: str, todo: list[str], place: Path) -> None:
    """Rebase interactively."""
    (place / "todo").write_text("\n".join([*todo, ""]))
    env = {"GIT_SEQUENCE_EDITOR": f"cp {place / 'todo'}", "GIT_EDITOR": "true"}
    git(root, "rebase", "-q", "-i", base, env=env | DATES)


def names(root: Path, sha: str) -> set[str]:
    """Return the files that a commit changes."""
    return set(git(root, "show", "--format=", "--name-only", sha).splitlines())
