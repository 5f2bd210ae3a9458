"""Repository: the few questions that are put to git, and the environment they are put in."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from rtevents.errors import BadInput, RteventsError

# GitPython looks for git when it is imported, and fails then; a missing git is told when used.
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

import git

logger = logging.getLogger(__name__)

OPTIONS = (
    "--no-optional-locks",
    "--literal-pathspecs",
    "-c", "core.fsmonitor=false",
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.pager=cat",
    "-c", "protocol.allow=never",
    "-c", "log.showSignature=false",
    "-c", "log.showRoot=true",
)  # fmt: skip
"""Switches off whatever a repository's own configuration could run (S15)."""

ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    # Unlike protocol.allow, no configuration overrides it.
    "GIT_ALLOW_PROTOCOL": "none",
    "LC_ALL": "C",
}

FORMAT = "%x00%H%x00%P%x00%an%x00%ae%x00%ct%x00%B%x00"
"""Seven fields a commit, the last being what `--shortstat` adds; none can hold a NUL."""

SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")

LATEST = 1000
"""How many commits of a branch are looked through for one: a long history takes seconds."""

MAX_MESSAGE = 100_000
"""Most characters of a message: an event's bytes are limited, and one may be six bytes."""

MAX_NAME = 1000
"""Most characters of an author's name or address."""


class CommitData(msgspec.Struct, frozen=True, kw_only=True):
    """
    A commit as git tells it; see ``payloads.Commit`` for what each field means.

    The counts are None where git cannot tell them.
    """

    commit_hash: str
    message: str
    author: str
    author_email: str
    parents: list[str]
    committed_at: float
    files_changed: int | None
    insertions: int | None
    deletions: int | None


class Refs(msgspec.Struct, frozen=True):
    """
    Where a repository's refs are.

    Args:
        tips: Object id by the name of each branch, remote branch and tag.
        heads: Object ids of the HEAD of each work tree.
        branch: The branch of the work tree that was asked, also while that is being rebased; None
            on a detached HEAD.
        rebased: Object id of what that branch has become so far, in a rebase; None in none.
    """

    tips: dict[str, str]
    heads: list[str]
    branch: str | None
    rebased: str | None

    @property
    def all(self) -> set[str]:
        """Every object id."""
        return {*self.branches.values(), *self.tips.values(), *self.heads}

    @property
    def branches(self) -> dict[str, str]:
        """The tips, with a branch that is being rebased where it will be put."""
        if self.branch is None or self.rebased is None:
            return self.tips
        return self.tips | {self.branch: self.rebased}


class Repository:
    """
    A git repository, opened once. Every method waits for git: call it in a thread.

    Args:
        root: A folder of it.
        timeout: Seconds after which a command is given up.
    """

    def __init__(self, root: Path, timeout: float) -> None:
        self._root = root
        self._timeout = timeout
        self._git = git.Git(str(root))
        self._git.update_environment(**ENVIRONMENT)

    def common_dir(self) -> Path | None:
        """
        Return the folder that holds the refs of all work trees; None for no repository.

        Raises:
            RteventsError: git does not say: the repository is another user's, for example.
        """
        if not self._root.is_dir():
            return None
        try:
            told = self._ask("rev-parse", "--git-common-dir")
        except RteventsError as error:
            if "fatal: not a git repository" in str(error):
                return None
            raise
        return (self._root / os.fsdecode(told.removesuffix(b"\n"))).resolve()

    def refs(self) -> Refs:
        """Return where the refs are."""
        # In this order: whatever one answer has of a branch that moves meanwhile, the next has too.
        branch, is_rebased = self._branch()
        heads = []
        for line in self._ask("worktree", "list", "--porcelain", "-z").split(b"\0"):
            word, _, sha = os.fsdecode(line).partition(" ")
            if word == "HEAD" and SHA.match(sha) and set(sha) != {"0"}:
                heads.append(sha)
        tips = {}
        patterns = ("refs/heads", "refs/remotes", "refs/tags")
        told = self._ask("for-each-ref", "--format=%(objectname) %(refname)", *patterns)
        for line in told.splitlines():
            sha, _, name = os.fsdecode(line).partition(" ")
            if SHA.match(sha):
                tips[name] = sha
        return Refs(tips, heads, branch, self._sha_of("HEAD") if is_rebased else None)

    def current_branch_of(self, sha: str) -> str | None:
        """Return the full name of the current branch if this commit is one of its latest."""
        branch, is_rebased = self._branch()
        tip = self._sha_of("HEAD" if is_rebased else branch) if branch else None
        if tip is None or tip == sha:
            return branch
        latest = self._ask("rev-list", f"--max-count={LATEST}", "--end-of-options", tip)
        return branch if sha in latest.decode().split() else None

    def _branch(self) -> tuple[str | None, bool]:
        """Return the full name of the current branch, and whether it is being rebased."""
        told = os.fsdecode(self._ask("symbolic-ref", "-q", "HEAD", check=False).strip())
        if told:
            return told, False
        folder = os.fsdecode(self._ask("rev-parse", "--absolute-git-dir").removesuffix(b"\n"))
        for way in ("rebase-merge", "rebase-apply"):
            try:
                name = os.fsdecode(Path(folder, way, "head-name").read_bytes().strip())
            except OSError:
                continue
            if name.startswith("refs/heads/"):
                return name, True
        return None, False

    def new(self, tips: Iterable[str], old: Iterable[str], noted: Iterable[str] = ()) -> list[str]:
        """
        Return the commits that `tips` and `noted` reach and `old` do not, parents first.

        Args:
            noted: Object ids of which some may not be there, as in `old`.
        Raises:
            RteventsError: One of `tips` is not there: it must not be taken for seen.
        """
        tips = [*tips]
        checked = self._ask("cat-file", "--batch-check=%(objectname)", given="\n".join(tips))
        for line in checked.decode().splitlines():
            if line.endswith(" missing"):
                raise RteventsError(f"git: a ref names an object that is not there: {line[:64]}")
        wanted = "\n".join([*tips, *noted, *(f"^{sha}" for sha in old)])
        told = self._ask(
            "rev-list", "--ignore-missing", "--topo-order", "--reverse", "--stdin", given=wanted
        )
        return [sha for sha in told.decode().split() if SHA.match(sha)]

    def describe(self, shas: Sequence[str]) -> list[CommitData]:
        """Return what the commits are, in the order given; one that is not there is left out."""
        try:
            return self._describe(shas, "--shortstat")
        except RteventsError as error:
            # A partial clone has not every file, and none is to be fetched for this.
            logger.debug("commits are told without statistics: %s", error)
            return self._describe(shas, "--no-patch")

    def _describe(self, shas: Sequence[str], statistics: str) -> list[CommitData]:
        told = self._ask(
            "log", "--stdin", "--no-walk=unsorted", "--ignore-missing", statistics,
            "--diff-merges=first-parent", "--no-renames", "--no-ext-diff", "--no-textconv",
            "--ignore-submodules", "--no-relative", "--encoding=UTF-8", f"--format={FORMAT}",
            given="\n".join(shas),
        )  # fmt: skip
        fields = told.decode(errors="replace").split("\0")[1:]
        is_counted = statistics == "--shortstat"
        return [_commit(fields[at : at + 7], is_counted) for at in range(0, len(fields), 7)]

    def resolve(self, revision: str) -> str:
        """
        Return the commit that a revision names.

        Raises:
            BadInput: It names none.
        """
        sha = self._sha_of(revision)
        if sha is None:
            raise BadInput(f"revision: no commit {revision[:80]!r} there", field="revision")
        return sha

    def _sha_of(self, revision: str) -> str | None:
        told = self._ask(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}",
            check=False,
        )  # fmt: skip
        sha = told.decode(errors="replace").strip()
        return sha if SHA.match(sha) else None

    def _ask(self, *arguments: str, given: str | None = None, check: bool = True) -> bytes:
        """
        Run git; return what it printed.

        Raises:
            RteventsError: It failed, and that was to be an error.
        """
        with tempfile.TemporaryFile() as istream:
            if given is not None:
                istream.write(given.encode())
                istream.seek(0)
            try:
                told = self._git.execute(
                    # -C: GitPython runs git wherever the daemon is once the folder is gone.
                    ["git", "-C", str(self._root), *OPTIONS, *arguments],
                    istream=istream,
                    stdout_as_string=False,
                    strip_newline_in_stdout=False,
                    kill_after_timeout=self._timeout,
                )
            except git.GitCommandError as error:
                if not check:
                    return b""
                text = str(error.stderr).strip().removeprefix("stderr: ").strip("'")
                raise RteventsError(f"git {arguments[0]}: {' '.join(text.split())}") from error
            except (git.GitCommandNotFound, OSError, subprocess.SubprocessError) as error:
                raise RteventsError(f"git cannot be run: {error}") from error
        return told if isinstance(told, bytes) else b""


def _commit(fields: Sequence[str], is_counted: bool) -> CommitData:
    sha, parents, author, email, committed, message, statistics = fields
    return CommitData(
        commit_hash=sha,
        message=_cut(message.rstrip("\n"), MAX_MESSAGE),
        author=_cut(author, MAX_NAME),
        author_email=_cut(email, MAX_NAME),
        parents=parents.split(),
        # A commit that was not made by git may lack its committer.
        committed_at=float(committed or 0),
        files_changed=_count("file", statistics) if is_counted else None,
        insertions=_count("insertion", statistics) if is_counted else None,
        deletions=_count("deletion", statistics) if is_counted else None,
    )


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _count(what: str, statistics: str) -> int:
    found = re.search(rf"(\d+) {what}", statistics)
    return int(found[1]) if found else 0
