"""Repository: the few questions that are put to git about commits."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from rtevents.errors import BadInput, RteventsError
from rtevents.producers.commitdata import FORMAT, CommitData, parse
from rtevents.producers.rewrites import Written
from rtevents.producers.sealed import SHA, SealedGit
from rtevents.producers.snapshot import shown

logger = logging.getLogger(__name__)

PLAIN = (
    "--no-renames", "--no-ext-diff", "--no-textconv", "--ignore-submodules=none", "--no-relative",
)  # fmt: skip
"""Compares commits in one way, whatever a repository's own configuration says."""

WRITTEN = "%H%x00%an%x00%ae%x00%at%x00%s%x00%T%x00%ct%x00"
"""The fields of ``Written``, with the time of the commit."""

LATEST = 1000
"""How many commits of a branch, or moves of a ref, are looked through for one: a long history takes
seconds."""

YOUNG = 5.0
"""Seconds in which a repository that is being made may not be one yet."""


class Repository(SealedGit):
    """
    A git repository, opened once, in a folder of it: what its commits are.

    Every method waits for git: call it in a thread.
    """

    def common_dir(self) -> Path | None:
        """
        Return the folder that holds the refs of all work trees; None for no repository.

        Raises:
            RteventsError: git does not say: the repository is another user's, for example.
        """
        if not self.root.is_dir():
            return None
        try:
            told = self.ask("rev-parse", "--git-common-dir")
        except RteventsError as error:
            if "fatal: not a git repository" in str(error) and not self._seems_one():
                return None
            raise
        return (self.root / os.fsdecode(told.removesuffix(b"\n"))).resolve()

    def _seems_one(self) -> bool:
        """Tell whether there is what a repository has, and not since a moment ago."""
        try:
            return time.time() - (self.root / ".git").lstat().st_mtime > YOUNG
        except OSError:
            return False

    def new(
        self, tips: Iterable[str], old: Iterable[str], noted: Iterable[str] = ()
    ) -> dict[str, list[str]]:
        """
        Return the parents of each commit that `tips` and `noted` reach and `old` do not.

        A commit comes after its parents.

        Args:
            noted: Object ids of which some may not be there, as in `old`.
        Raises:
            RteventsError: One of `tips` is not there: it must not be taken for seen.
        """
        tips = [*tips]
        if gone := self._gone(tips):
            raise RteventsError(f"git: a ref names an object that is not there: {min(gone)}")
        wanted = "\n".join([*tips, *noted, *(f"^{sha}" for sha in old)])
        told = self.ask(
            "rev-list", "--ignore-missing", "--topo-order", "--reverse", "--parents", "--stdin",
            given=wanted,
        )  # fmt: skip
        lines = [line.split() for line in told.decode().splitlines()]
        return {sha: parents for sha, *parents in lines}

    def parent(self, sha: str) -> str | None:
        """Return the first parent of a commit; None for one without, or that is not there."""
        return self.commit_of(f"{sha}^")

    def parents(self, shas: Sequence[str]) -> dict[str, list[str]]:
        """Return the parents of each of these commits; one that is not there is left out."""
        told = self._log(shas, "--no-patch", "--format=%H %P")
        return {sha: parents for sha, *parents in map(str.split, told.decode().splitlines())}

    def lost(self, old: str, new: str) -> list[str] | None:
        """
        Return the commits that `old` reaches and `new` does not, newest first and at most `LATEST`.

        Returns:
            None when one of them is there no more.
        """
        limit = f"--max-count={LATEST}"
        try:
            told = self.ask("rev-list", "--topo-order", limit, "--end-of-options", old, f"^{new}")
        except RteventsError:
            return None
        return told.decode().split()

    def written(self, shas: Iterable[str]) -> list[Written]:
        """Return by what each of these commits is known, in the order given."""
        told = self._log(shas, "--no-patch", f"--format={WRITTEN}")
        fields = iter(told.decode(errors="replace").split("\0"))
        return [
            Written(sha.strip(), (name, address, when), subject, tree, when != committed)
            for sha, name, address, when, subject, tree, committed in zip(
                *[fields] * 7, strict=False
            )
        ]

    def changes(self, shas: Sequence[str]) -> dict[str, object]:
        """Return what each commit changes, to be compared; one of which it is unknown is absent."""
        return _changes(self.describe(shas))

    def differences(self, pairs: Mapping[str, str]) -> dict[str, object]:
        """Return in what each commit differs from another one, as ``changes`` from its parent."""
        told = self.ask(
            "diff-tree", "--stdin", "--always", "-r", "-z", "--numstat", *PLAIN,
            f"--format={FORMAT}", given="".join(f"{new} {old}\n" for new, old in pairs.items()),
        )  # fmt: skip
        return _changes(parse(told.split(b"\0"), is_counted=True))

    def describe(self, shas: Sequence[str]) -> list[CommitData]:
        """Return what the commits are, in the order given; one that is not there is left out."""
        try:
            found = self._describe(shas, "--numstat")
        except RteventsError as error:
            # A partial clone has not every file, and none is to be fetched for this.
            logger.debug("commits are told without statistics: %s", error)
            found = self._describe(shas, "--no-patch")
        folder = self.folder() if found else ""
        return [msgspec.structs.replace(each, folder=folder) for each in found] if folder else found

    def folder(self) -> str:
        """Return where the root is in the repository; empty for its top, and for a bare one."""
        told = self.ask("rev-parse", "--show-prefix", check=False)
        return shown(os.fsdecode(told.removesuffix(b"\n"))).removesuffix("/")

    def _describe(self, shas: Sequence[str], statistics: str) -> list[CommitData]:
        told = self._log(
            shas, "-z", statistics, "--diff-merges=first-parent", *PLAIN, f"--format={FORMAT}",
        )  # fmt: skip
        return [*parse(told.split(b"\0"), is_counted=statistics == "--numstat")]

    def _log(self, shas: Iterable[str], *arguments: str) -> bytes:
        """Return what `git log` says of commits; those that are not there are left out."""
        left = [*shas]
        while left:
            try:
                return self.ask(
                    "log", "--stdin", "--no-walk=unsorted", "--ignore-missing", "--encoding=UTF-8",
                    *arguments, given="\n".join(left),
                )  # fmt: skip
            except RteventsError:
                # A commit that was amended a moment ago may have been pruned since.
                gone = self._gone(left)
                if not gone:
                    raise
                left = [sha for sha in left if sha not in gone]
        return b""

    def existing(self, shas: Sequence[str]) -> list[str]:
        """Return those of some object ids that are commits, and there, in their order."""
        told = self.ask("cat-file", "--batch-check=%(objectname) %(objecttype)",
                        given="\n".join(sha for sha in shas if SHA.match(sha)))  # fmt: skip
        there = {line.split()[0] for line in told.decode().splitlines() if line.endswith(" commit")}
        return [sha for sha in shas if sha in there]

    def _gone(self, shas: Iterable[str]) -> set[str]:
        """Return the objects that are not there."""
        told = self.ask("cat-file", "--batch-check=%(objectname)", given="\n".join(shas))
        lines = told.decode().splitlines()
        return {line.split()[0] for line in lines if line.endswith(" missing")}

    def resolve(self, revision: str) -> str:
        """
        Return the commit that a revision names.

        Raises:
            BadInput: It names none.
        """
        sha = self.commit_of(revision)
        if sha is None:
            raise BadInput(f"revision: no commit {revision[:80]!r} there", field="revision")
        return sha


def _changes(commits: Iterable[CommitData]) -> dict[str, object]:
    return {
        commit.commit_hash: (commit.insertions, commit.deletions, tuple(commit.files))
        for commit in commits
        if commit.files is not None
    }
