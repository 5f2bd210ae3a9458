"""Whatever git does to commits and refs: each row makes a repository, hands it out, and does it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.producers.conftest import commit, git, tip

Row = Callable[[Path, Path], Iterator[Path]]
"""
Given a repository of one commit and a folder; yields what is watched, then goes on. It yields again
where nothing but what is there says how it came there.
"""

EDIT = {"GIT_EDITOR": "true", "FILTER_BRANCH_SQUELCH_WARNING": "1"}
"""Accepts every message as it is."""


def plain(root: Path, _: Path) -> Iterator[Path]:
    yield root
    commit(root)
    git(root, "commit", "-q", "--allow-empty", "--no-verify", "-m", "Unverified")
    git(root, "-c", "core.hooksPath=/dev/null", "commit", "-q", "--allow-empty", "-m", "No hooks")


def amend(root: Path, _: Path) -> Iterator[Path]:
    commit(root, "One")
    yield root
    git(root, "commit", "-q", "--amend", "-m", "Other words")
    (root / "file.txt").write_text("other\n")
    git(root, "commit", "-qa", "--amend", "--no-edit", "--reset-author")


def rebase(root: Path, _: Path) -> Iterator[Path]:
    forked(root)
    yield root
    git(root, "rebase", "-q", "main", "topic")


def rebase_by_apply(root: Path, _: Path) -> Iterator[Path]:
    forked(root)
    yield root
    git(root, "rebase", "-q", "--apply", "main", "topic")


def rebase_that_conflicts(root: Path, _: Path) -> Iterator[Path]:
    forked(root, "file.txt")
    yield root
    fails(root, "rebase", "-q", "main", "topic")
    (root / "file.txt").write_text("both\n")
    git(root, "add", ".")
    fails(root, "rebase", "--continue", env=EDIT)
    git(root, "rebase", "--skip")


def rebase_that_is_given_up(root: Path, _: Path) -> Iterator[Path]:
    forked(root, "file.txt")
    yield root
    fails(root, "rebase", "-q", "main", "topic")
    git(root, "rebase", "--abort")


def autosquash(root: Path, _: Path) -> Iterator[Path]:
    first = commit(root, "One", "one.txt")
    commit(root, "Two", "two.txt")
    yield root
    (root / "one.txt").write_text("fixed\n")
    git(root, "commit", "-qa", "--fixup", first)
    git(root, "rebase", "-q", "-i", "--autosquash", "HEAD~3", env={"GIT_SEQUENCE_EDITOR": "true"})


def cherry_pick(root: Path, _: Path) -> Iterator[Path]:
    forked(root)
    yield root
    git(root, "cherry-pick", "main..topic")


def revert(root: Path, _: Path) -> Iterator[Path]:
    commit(root)
    yield root
    git(root, "revert", "--no-edit", "HEAD")


def merge_ff(root: Path, _: Path) -> Iterator[Path]:
    yield root
    git(root, "checkout", "-q", "-b", "topic")
    commit(root)
    git(root, "checkout", "-q", "main")
    git(root, "merge", "-q", "--ff-only", "topic")
    git(root, "branch", "-d", "topic")


def merge_no_ff(root: Path, _: Path) -> Iterator[Path]:
    forked(root)
    yield root
    git(root, "merge", "-q", "--no-edit", "topic")


def merge_squash(root: Path, _: Path) -> Iterator[Path]:
    forked(root)
    yield root
    git(root, "merge", "-q", "--squash", "topic")
    git(root, "commit", "-qm", "Squashed")


def merge_that_conflicts(root: Path, _: Path) -> Iterator[Path]:
    forked(root, "file.txt")
    yield root
    fails(root, "merge", "-q", "topic")
    (root / "file.txt").write_text("both\n")
    git(root, "commit", "-qam", "Merge")


def octopus(root: Path, _: Path) -> Iterator[Path]:
    forked(root)
    git(root, "checkout", "-q", "-b", "more", "main")
    commit(root, "More", "more.txt")
    git(root, "checkout", "-q", "main")
    yield root
    git(root, "merge", "-q", "-m", "All", "topic", "more")


def apply_mail(root: Path, aside: Path) -> Iterator[Path]:
    forked(root)
    git(root, "format-patch", "-q", "-o", str(aside), "main..topic")
    yield root
    git(root, "am", "-q", *map(str, sorted(aside.glob("*.patch"))))


def pull_ff(root: Path, aside: Path) -> Iterator[Path]:
    mine = cloned(root, aside)
    commit(root, "Theirs")
    yield mine
    git(mine, "pull", "-q", "--ff-only")


def pull_rebase(root: Path, aside: Path) -> Iterator[Path]:
    mine = cloned(root, aside)
    commit(root, "Theirs", "theirs.txt")
    commit(mine, "Mine", "mine.txt")
    yield mine
    git(mine, "pull", "-q", "--rebase")


def push(root: Path, aside: Path) -> Iterator[Path]:
    mine = cloned(root, aside)
    yield mine
    git(mine, "checkout", "-q", "-b", "topic")
    commit(mine)
    git(mine, "push", "-q", "-u", "origin", "topic")
    git(mine, "push", "-q", "origin", ":topic")


def received(root: Path, aside: Path) -> Iterator[Path]:
    bare = aside / "bare.git"
    git(root, "clone", "-q", "--bare", str(root), str(bare))
    git(root, "remote", "add", "origin", str(bare))
    yield bare
    commit(root, "Pushed")
    git(root, "tag", "v1")
    git(root, "push", "-q", "--tags", "origin", "main")
    yield bare
    git(root, "commit", "-q", "--amend", "-m", "Pushed otherwise")
    git(root, "push", "-q", "--force", "origin", "main")
    git(root, "push", "-q", "origin", ":v1")


def fetch_of_a_forced_push(root: Path, aside: Path) -> Iterator[Path]:
    git(root, "branch", "gone")
    mine = cloned(root, aside)
    commit(root, "Theirs")
    git(mine, "fetch", "-q")
    git(root, "commit", "-q", "--amend", "-m", "Theirs otherwise")
    git(root, "branch", "-D", "gone")
    git(root, "tag", "-am", "One", "v1")
    yield mine
    git(mine, "fetch", "-q", "--prune", "--tags")


def reset(root: Path, _: Path) -> Iterator[Path]:
    forked(root)
    yield root
    git(root, "reset", "-q", "--hard", "topic")
    git(root, "reset", "-q", "--soft", "HEAD~2")
    git(root, "commit", "-qm", "Both at once")


def plumbing(root: Path, _: Path) -> Iterator[Path]:
    yield root
    tree = tip(root, "HEAD^{tree}")
    made = [
        # Of one second they would be one commit under other words: as an amend makes it.
        git(root, "commit-tree", tree, "-p", "HEAD", "-m", text,
            env={"GIT_AUTHOR_DATE": f"{when} +0000"})
        for when, text in zip(range(1700000000, 1700000003), "abc", strict=True)
    ]  # fmt: skip
    git(root, "branch", "topic", made[0])
    git(root, "branch", "-f", "topic", made[1])
    git(root, "update-ref", "refs/heads/main", made[2])
    git(root, "update-ref", "-d", "refs/heads/topic")


def fast_import(root: Path, _: Path) -> Iterator[Path]:
    yield root
    person = "Ada <ada@example.org> 1700000000 +0000"
    git(root, "fast-import", "--quiet", given=(
        f"commit refs/heads/imported\nauthor {person}\ncommitter {person}\ndata 2\nA\n"
        f"commit refs/heads/imported\nauthor {person}\ncommitter {person}\ndata 2\nB\n"
        "tag v1\nfrom refs/heads/imported\ntagger " + person + "\ndata 2\nC\n"
    ))  # fmt: skip


def tags(root: Path, _: Path) -> Iterator[Path]:
    yield root
    git(root, "tag", "light")
    git(root, "tag", "-am", "Annotated", "heavy")
    git(root, "tag", "-f", "light", tip(root, "heavy"))
    git(root, "tag", "-d", "heavy")


def branches(root: Path, _: Path) -> Iterator[Path]:
    yield root
    git(root, "branch", "a/b")
    git(root, "branch", "-m", "a/b", "a")
    git(root, "branch", "-c", "a", "c")
    git(root, "symbolic-ref", "HEAD", "refs/heads/c")
    git(root, "branch", "-D", "a")


def worktree(root: Path, aside: Path) -> Iterator[Path]:
    yield root
    git(root, "worktree", "add", "-q", "-b", "other", str(aside / "other"))
    commit(aside / "other")
    git(aside / "other", "commit", "-q", "--amend", "-m", "Amended there")
    git(root, "worktree", "remove", "--force", str(aside / "other"))


def from_a_worktree(root: Path, aside: Path) -> Iterator[Path]:
    git(root, "worktree", "add", "-q", "-b", "other", str(aside / "other"))
    yield aside / "other"
    commit(root, "In the main one")
    commit(aside / "other", "In the linked one")


def with_submodule(root: Path, aside: Path) -> Iterator[Path]:
    inner = repository(aside / "inner")
    git(root, "submodule", "--quiet", "add", str(inner), "part")
    git(root, "commit", "-qm", "A part")
    yield root
    commit(root / "part", "Inside")
    git(root, "commit", "-qam", "Newer part")
    commit(root / "part", "Inside alone")


def of_a_submodule(root: Path, aside: Path) -> Iterator[Path]:
    inner = repository(aside / "inner")
    git(root, "submodule", "--quiet", "add", str(inner), "part")
    git(root, "commit", "-qm", "A part")
    yield root / "part"
    commit(root / "part", "Inside")
    git(root, "commit", "-qam", "Newer part")


def shallow(root: Path, aside: Path) -> Iterator[Path]:
    commit(root, "Two")
    git(aside, "clone", "-q", "--depth=1", f"file://{root}", "mine")
    yield aside / "mine"
    commit(aside / "mine", "Mine")
    commit(root, "Theirs")
    git(aside / "mine", "fetch", "-q", "--depth=1")


def detached(root: Path, _: Path) -> Iterator[Path]:
    git(root, "checkout", "-q", "--detach")
    yield root
    commit(root)
    git(root, "checkout", "-q", "-B", "named")
    commit(root)


def orphan(root: Path, _: Path) -> Iterator[Path]:
    yield root
    git(root, "switch", "-q", "--orphan", "new")
    commit(root, "Another beginning")


def unborn(_: Path, aside: Path) -> Iterator[Path]:
    git(aside, "init", "-q", "empty")
    yield aside / "empty"
    commit(aside / "empty", "The first")


def packing(root: Path, _: Path) -> Iterator[Path]:
    forked(root)
    git(root, "branch", "-D", "topic")
    yield root
    git(root, "pack-refs", "--all", "--prune")
    commit(root)
    git(root, "reflog", "expire", "--expire=now", "--all")
    git(root, "gc", "-q", "--prune=now")
    git(root, "repack", "-q", "-a", "-d", "-f")
    commit(root)


def stash(root: Path, _: Path) -> Iterator[Path]:
    yield root
    (root / "file.txt").write_text("stashed\n")
    git(root, "stash", "-q")
    git(root, "stash", "pop", "-q")
    git(root, "checkout", "-q", "file.txt")


def bisect(root: Path, _: Path) -> Iterator[Path]:
    bad = [commit(root, str(number)) for number in range(5)][-1]
    yield root
    git(root, "bisect", "start", bad, "HEAD~5")
    git(root, "bisect", "bad")
    git(root, "bisect", "reset")


def notes_and_replacements(root: Path, _: Path) -> Iterator[Path]:
    first, second = tip(root), commit(root)
    yield root
    git(root, "notes", "add", "-m", "Note", second)
    git(root, "replace", "--graft", second)
    git(root, "update-ref", "refs/hidden/one", first)


def filter_branch(root: Path, _: Path) -> Iterator[Path]:
    forked(root)
    yield root
    git(root, "filter-branch", "-f", "--msg-filter", "sed s/^/X/", "main", "topic", env=EDIT)


ROWS: tuple[Row, ...] = (
    plain, amend, rebase, rebase_by_apply, rebase_that_conflicts, rebase_that_is_given_up,
    autosquash, cherry_pick, revert, merge_ff, merge_no_ff, merge_squash, merge_that_conflicts,
    octopus, apply_mail, pull_ff, pull_rebase, push, received, fetch_of_a_forced_push, reset,
    plumbing, fast_import, tags, branches, worktree, from_a_worktree, with_submodule,
    of_a_submodule, shallow, detached, orphan, unborn, packing, stash, bisect,
    notes_and_replacements, filter_branch,
)  # fmt: skip
"""Everything that is known to make, move or lose commits and refs."""

LINKS: dict[Row, set[tuple[str, str]]] = {
    amend: {("Other words", "One"), ("Other words", "Other words")},
    rebase: {("Topic 1", "Topic 1"), ("Topic 2", "Topic 2")},
    rebase_by_apply: {("Topic 1", "Topic 1"), ("Topic 2", "Topic 2")},
    rebase_that_conflicts: {("Topic 1", "Topic 1")},
    autosquash: {("One", "One"), ("Two", "Two")},
    pull_rebase: {("Mine", "Mine")},
    received: {("Pushed otherwise", "Pushed")},
    fetch_of_a_forced_push: {("Theirs otherwise", "Theirs")},
    worktree: {("Amended there", "Change")},
    filter_branch: {("XTopic 1", "Topic 1"), ("XTopic 2", "Topic 2"), ("XMain", "Main"),
                    ("XBegin", "Begin")},
}  # fmt: skip
"""Which subjects replace which, of the rows in which a commit replaces another."""


def repository(root: Path) -> Path:
    """Make a repository of one commit."""
    root.mkdir()
    git(root, "init", "-q")
    commit(root, "Begin")
    return root


def forked(root: Path, file: str = "topic.txt") -> None:
    """Make a branch `topic` of two commits beside `main`, which has one more."""
    git(root, "checkout", "-q", "-b", "topic")
    for number in (1, 2):
        commit(root, f"Topic {number}", file, written=1_700_000_000 + number)
    git(root, "checkout", "-q", "main")
    commit(root, "Main", "file.txt")


def cloned(root: Path, aside: Path) -> Path:
    """Return a clone; what it came from may be pushed to."""
    git(aside, "clone", "-q", str(root), "mine")
    return aside / "mine"


def fails(cwd: Path, *arguments: str, env: dict[str, str] | None = None) -> None:
    """Run git, which is to fail."""
    try:
        git(cwd, *arguments, env=env)
    except AssertionError:
        return
    raise AssertionError(f"git {os.fspath(cwd)} {arguments} did not fail")
