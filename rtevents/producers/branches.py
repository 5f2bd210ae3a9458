"""Branches: where the refs and the work trees of a repository are, and how they came there."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from rtevents.producers import reflog
from rtevents.producers.reflog import Line
from rtevents.producers.repository import LATEST, Repository
from rtevents.producers.sealed import SHA
from rtevents.producers.snapshot import shown

MOST_TRIES = 5
"""How often the refs are looked at when the current branch is another one each time."""

MOMENT = 0.05
"""Seconds between the end of a rebase and the move of its branch."""

OVER = (b"rebase (finish)", b"rebase (abort)")
"""What git writes down of HEAD when the branch is where it is to be."""


class Refs(msgspec.Struct, frozen=True):
    """
    Where a repository's refs are.

    Args:
        tips: Object id by the name of each branch, remote branch and tag.
        links: Names of those that only stand for another one, such as `refs/remotes/origin/HEAD`.
        heads: Object ids of the HEAD of each work tree.
        branch: The branch of the work tree that was asked, also while that is being rebased; None
            on a detached HEAD.
        rebased: Object id of what that branch has become so far, in a rebase; None in none.
    """

    tips: dict[str, str]
    links: set[str]
    heads: list[str]
    branch: str | None
    rebased: str | None

    @property
    def all(self) -> set[str]:
        """Every object id."""
        return {*self.branches.values(), *self.tips.values(), *self.heads}

    @property
    def checked_out(self) -> set[str]:
        """The object ids at which work trees are."""
        return {*self.heads, *([self.rebased] if self.rebased else [])}

    @property
    def branches(self) -> dict[str, str]:
        """The tips, with a branch that is being rebased where it will be put."""
        if self.branch is None or self.rebased is None:
            return self.tips
        return self.tips | {self.branch: self.rebased}


class Branches:
    """
    The refs of a repository. Every method waits for git: call it in a thread.

    Args:
        repository: The repository, opened in one of its work trees.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def refs(self) -> Refs:
        """Return where the refs are."""
        # A rebase that begins or ends meanwhile would make commits new that replace others.
        for _ in range(MOST_TRIES):
            branch, is_rebased = self._branch()
            refs = self._refs(branch, is_rebased)
            if self._branch() == (branch, is_rebased):
                if branch is not None or not self._is_between():
                    break
                time.sleep(MOMENT)
        return refs

    def _is_between(self) -> bool:
        """Tell whether a rebase is over whose branch is not yet where it is to be."""
        words = self._repository.ask("reflog", "--max-count=1", "--format=%gs", "HEAD", check=False)
        return words.startswith(b"rebase (") and not words.startswith(OVER)

    def _refs(self, branch: str | None, is_rebased: bool) -> Refs:
        # After the branch: whatever one answer has of one that moves meanwhile, the next has too.
        heads = []
        for line in self._repository.ask("worktree", "list", "--porcelain", "-z").split(b"\0"):
            word, _, sha = os.fsdecode(line).partition(" ")
            if word == "HEAD" and SHA.match(sha) and set(sha) != {"0"}:
                heads.append(sha)
        tips, links = {}, set()
        patterns = ("refs/heads", "refs/remotes", "refs/tags")
        told = self._repository.ask(
            "for-each-ref", "--format=%(objectname) %(refname) %(symref)", *patterns
        )
        for line in told.splitlines():
            sha, name, link = shown(os.fsdecode(line)).split(" ")
            if SHA.match(sha):
                tips[name] = sha
            if link:
                links.add(name)
        branch = shown(branch) if branch else None
        return Refs(
            tips, links, heads, branch, self._repository.commit_of("HEAD") if is_rebased else None
        )

    def current_of(self, sha: str) -> str | None:
        """Return the full name of the current branch if this commit is one of its latest."""
        branch, is_rebased = self._branch()
        if branch is None:
            return None
        tip, branch = self._repository.commit_of("HEAD" if is_rebased else branch), shown(branch)
        if tip is None or tip == sha:
            return branch
        latest = self._repository.ask("rev-list", f"--max-count={LATEST}", "--end-of-options", tip)
        return branch if sha in latest.decode().split() else None

    def _branch(self) -> tuple[str | None, bool]:
        """Return the full name of the current branch, and whether it is being rebased."""
        told = os.fsdecode(self._repository.ask("symbolic-ref", "-q", "HEAD", check=False).strip())
        if told:
            return told, False
        folder = self._folder()
        for way in ("rebase-merge", "rebase-apply"):
            try:
                name = os.fsdecode((folder / way / "head-name").read_bytes().strip())
            except OSError:
                continue
            if name.startswith("refs/heads/"):
                return name, True
        return None, False

    def _folder(self) -> Path:
        """Return the work tree's own git folder."""
        told = self._repository.ask("rev-parse", "--absolute-git-dir")
        return Path(os.fsdecode(told.removesuffix(b"\n")))

    def reflog(self, common: Path, ref: str) -> Iterator[Line]:
        """
        Yield what git wrote down of a ref's moves, the newest first; nothing where it does not.

        Args:
            common: The repository's git common directory.
            ref: Its full name.
        """
        if not (common / "reftable").is_dir():
            yield from reversed([*reflog.read(common / "logs" / ref)])
            return
        told = self._repository.ask(
            "log", "--walk-reflogs", "--date=unix", f"--max-count={LATEST}",
            "--format=%H%x00%gd%x00%gs%x00", "--end-of-options", ref, check=False,
        )  # fmt: skip
        fields = told.decode(errors="replace").split("\0")
        news = [sha.strip() for sha in fields[:-1:3]]
        for new, old, place, words in zip(
            news, [*news[1:], None], fields[1::3], fields[2::3], strict=False
        ):
            yield Line(old, new, int(place.rpartition("{")[2].rstrip("}") or 0), words)

    def head_logs(self, common: Path, since: float) -> dict[Path, list[Line]]:
        """
        Return what git wrote down of the HEAD of each work tree, by its git folder.

        Args:
            common: The repository's git common directory.
            since: Unix seconds: so far back at least. The oldest line comes first.
        """
        if (common / "reftable").is_dir():
            return {self._folder(): [*self.reflog(common, "HEAD")][::-1]}
        folders = (common, *common.glob("worktrees/*"))
        return {folder: reflog.back_to(folder / "logs" / "HEAD", since) for folder in folders}
