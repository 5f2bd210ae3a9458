"""Repository: the few questions that are put to git, and the environment they are put in."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from rtevents.errors import BadInput, RteventsError
from rtevents.producers import reflog
from rtevents.producers.commitdata import FORMAT, CommitData, parse
from rtevents.producers.reflog import Line
from rtevents.producers.rewrites import Written
from rtevents.producers.snapshot import shown

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
    # A commit has the parents that are written in it.
    "GIT_NO_REPLACE_OBJECTS": "1",
    # Unlike protocol.allow, no configuration overrides it.
    "GIT_ALLOW_PROTOCOL": "none",
    "LC_ALL": "C",
}

PLAIN = (
    "--no-renames", "--no-ext-diff", "--no-textconv", "--ignore-submodules=none", "--no-relative",
)  # fmt: skip
"""Compares commits in one way, whatever a repository's own configuration says."""

WRITTEN = "%H%x00%an%x00%ae%x00%at%x00%s%x00%T%x00%ct%x00"
"""The fields of ``Written``, with the time of the commit."""

SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")

LATEST = 1000
"""How many commits of a branch are looked through for one: a long history takes seconds."""

MOST_TRIES = 5
"""How often the refs are looked at when the current branch is another one each time."""

PIECE = 64 * 1024
"""Bytes that are read at once of what git prints for long."""

MOMENT = 0.05
"""Seconds between the end of a rebase and the move of its branch."""

OVER = (b"rebase (finish)", b"rebase (abort)")
"""What git writes down of HEAD when the branch is where it is to be."""

YOUNG = 5.0
"""Seconds in which a repository that is being made may not be one yet."""


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


class Repository:
    """
    A git repository, opened once. Every method waits for git: call it in a thread.

    Args:
        root: A folder of it.
        timeout: Seconds after which a command is given up.
    """

    def __init__(self, root: Path, timeout: float) -> None:
        # GitPython looks for git when it is imported, and fails then; a missing git is told when
        # used. And that takes a while: a start with nothing to watch does without it.
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        from git import Git

        self._root = root
        self._timeout = timeout
        self._git = Git(str(root))
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
            told = self.ask("rev-parse", "--git-common-dir")
        except RteventsError as error:
            if "fatal: not a git repository" in str(error) and not self._seems_one():
                return None
            raise
        return (self._root / os.fsdecode(told.removesuffix(b"\n"))).resolve()

    def _seems_one(self) -> bool:
        """Tell whether there is what a repository has, and not since a moment ago."""
        try:
            return time.time() - (self._root / ".git").lstat().st_mtime > YOUNG
        except OSError:
            return False

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
        words = self.ask("reflog", "--max-count=1", "--format=%gs", "HEAD", check=False)
        return words.startswith(b"rebase (") and not words.startswith(OVER)

    def _refs(self, branch: str | None, is_rebased: bool) -> Refs:
        # After the branch: whatever one answer has of one that moves meanwhile, the next has too.
        heads = []
        for line in self.ask("worktree", "list", "--porcelain", "-z").split(b"\0"):
            word, _, sha = os.fsdecode(line).partition(" ")
            if word == "HEAD" and SHA.match(sha) and set(sha) != {"0"}:
                heads.append(sha)
        tips, links = {}, set()
        patterns = ("refs/heads", "refs/remotes", "refs/tags")
        told = self.ask("for-each-ref", "--format=%(objectname) %(refname) %(symref)", *patterns)
        for line in told.splitlines():
            sha, name, link = shown(os.fsdecode(line)).split(" ")
            if SHA.match(sha):
                tips[name] = sha
            if link:
                links.add(name)
        branch = shown(branch) if branch else None
        return Refs(tips, links, heads, branch, self._sha_of("HEAD") if is_rebased else None)

    def current_branch_of(self, sha: str) -> str | None:
        """Return the full name of the current branch if this commit is one of its latest."""
        branch, is_rebased = self._branch()
        if branch is None:
            return None
        tip, branch = self._sha_of("HEAD" if is_rebased else branch), shown(branch)
        if tip is None or tip == sha:
            return branch
        latest = self.ask("rev-list", f"--max-count={LATEST}", "--end-of-options", tip)
        return branch if sha in latest.decode().split() else None

    def _branch(self) -> tuple[str | None, bool]:
        """Return the full name of the current branch, and whether it is being rebased."""
        told = os.fsdecode(self.ask("symbolic-ref", "-q", "HEAD", check=False).strip())
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
        told = self.ask("rev-parse", "--absolute-git-dir")
        return Path(os.fsdecode(told.removesuffix(b"\n")))

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
        told = self.ask(
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

    def parent(self, sha: str) -> str | None:
        """Return the first parent of a commit; None for one without, or that is not there."""
        return self._sha_of(f"{sha}^")

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
        sha = self._sha_of(revision)
        if sha is None:
            raise BadInput(f"revision: no commit {revision[:80]!r} there", field="revision")
        return sha

    def _sha_of(self, revision: str) -> str | None:
        if "\0" in revision:
            return None  # no program can be given that
        told = self.ask(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}",
            check=False,
        )  # fmt: skip
        sha = told.decode(errors="replace").strip()
        return sha if SHA.match(sha) else None

    def ask(self, *arguments: str, given: str | None = None, check: bool = True) -> bytes:
        """
        Run git; return what it printed.

        Raises:
            RteventsError: It failed, and that was to be an error.
        """
        from git import GitCommandError, GitCommandNotFound

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
            except GitCommandError as error:
                if not check:
                    return b""
                text = str(error.stderr).strip().removeprefix("stderr: ").strip("'")
                raise RteventsError(f"git {arguments[0]}: {' '.join(text.split())}") from error
            except (GitCommandNotFound, OSError, subprocess.SubprocessError) as error:
                raise RteventsError(f"git cannot be run: {error}") from error
        return told if isinstance(told, bytes) else b""

    def ask_for(self, most: int, seconds: float, *arguments: str, given: str) -> bytes:
        """
        Run git, and return the beginning of what it prints: so many bytes, in so many seconds.

        Raises:
            RteventsError: It cannot be run.
        """
        from git import GitCommandNotFound

        told = bytearray()
        with tempfile.TemporaryFile() as istream:
            istream.write(given.encode())
            istream.seek(0)
            try:
                process = self._git.execute(
                    ["git", "-C", str(self._root), *OPTIONS, *arguments],
                    istream=istream,
                    as_process=True,
                )
            except (GitCommandNotFound, OSError) as error:
                raise RteventsError(f"git cannot be run: {error}") from error
            running = process.proc
            if running is None or running.stdout is None:
                raise RteventsError("git has ended at once")
            ending = threading.Timer(min(seconds, self._timeout), running.kill)
            ending.start()
            try:
                while len(told) < most and (some := running.stdout.read(PIECE)):
                    told += some
            finally:
                ending.cancel()
                running.kill()
                running.communicate()
        return bytes(told[:most])


def _changes(commits: Iterable[CommitData]) -> dict[str, object]:
    return {
        commit.commit_hash: (commit.insertions, commit.deletions, tuple(commit.files))
        for commit in commits
        if commit.files is not None
    }
