"""Which commit a new one replaces: told by what git keeps of it, and never wrongly."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.producers.conftest import Commits, World, commit, git, tip, watched

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
        event.data["commit_hash"]: event.data["rewritten_from"]
        for event in commits.events
        if "rewritten_from" in event.data
    }
    assert links
    for new, old in links.items():
        # Each commit has a file of its own: what replaces it has that one too.
        assert names(root, old) <= names(root, new)


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
