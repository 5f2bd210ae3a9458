"""
Saver: commits what changed in a work tree, as its user would, and leaves no trace when it cannot.

What git would add is put into an index of its own, and becomes a commit that no ref names, while
the user works on. Only then, for a moment, the repository's index is locked as git itself locks
it: if that still holds nothing but HEAD, and HEAD is where it was, HEAD moves and the index
follows.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from rtevents.config.settings import AutoCommitSettings
from rtevents.errors import RteventsError
from rtevents.producers.ask import environment
from rtevents.producers.mark import mark
from rtevents.producers.operation import LOCK
from rtevents.producers.secrets import looks_secret
from rtevents.producers.snapshot import shown

UNFINISHED = {
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase or an am",
    "BISECT_LOG": "a bisect",
    "sequencer": "a cherry-pick or a revert",
}
"""What stands in a work tree's git folder in the middle of something."""

LOCK_SECONDS = 5.0
"""How long a locked index is waited for."""

SECRET_BYTES = 1024**2
"""Bytes of a file that are searched for secrets: longer ones are no text that somebody wrote."""

CHUNK_BYTES = 16 * 1024**2
"""Bytes that are read from git at once."""

SUBMODULE = "160000"
"""The mode of an entry that is another repository's commit."""

MAX_DETAILS = 2000
"""Most characters of what a failing program said; its last ones."""


class SaveError(RteventsError):
    """
    What changed is left to the user.

    Args:
        reason: Why, in one line.
        details: More of it, such as what a hook said.
        is_lasting: Whether it stays so until something changes; False for what passes by itself.
    """

    def __init__(self, reason: str, details: str = "", *, is_lasting: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.details = details[-MAX_DETAILS:].strip()
        self.is_lasting = is_lasting


class Change(msgspec.Struct, frozen=True):
    """
    A path that differs from HEAD.

    Args:
        path: Relative to the top of the work tree.
        before: Mode and object id in HEAD.
        after: The same in the index that is to be committed.
    """

    path: str
    before: tuple[str, str]
    after: tuple[str, str]

    @property
    def is_submodule(self) -> bool:
        """Whether it is another repository's commit."""
        return SUBMODULE in (self.before[0], self.after[0])


class Draft(msgspec.Struct, frozen=True):
    """
    What is to be committed.

    Args:
        base: The commit that HEAD names; None on a branch that is not born.
        tree: The tree of what is to be committed.
        changes: What differs.
    """

    base: str | None
    tree: str
    changes: list[Change]


class Made(msgspec.Struct, frozen=True):
    """
    A commit that is there, and that HEAD may not name yet.

    Args:
        commit: Its object id.
        base: The commit that HEAD named before.
        message: Its message.
    """

    commit: str
    base: str | None
    message: str


class Saver:
    """
    Commits what changed in a project. Every method waits for git: call it in a thread.

    Args:
        root: The project's folder.
        settings: How it is done.
    """

    def __init__(self, root: Path, settings: AutoCommitSettings) -> None:
        self._root = root
        self._settings = settings

    def waiting(self) -> int:
        """
        Return how many paths git would commit; 0 where there is no repository.

        Raises:
            SaveError: git fails.
        """
        if not self._git_folder():
            return 0
        told = self._git(
            "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all",
            "--ignore-submodules=all", "--", ".",
        )  # fmt: skip
        return told.count(b"\0")

    def draft(self) -> Draft | None:
        """
        Put what git would add into an index of its own; None when nothing differs from HEAD.

        Raises:
            SaveError: It is left to the user.
        """
        folder = self._git_folder()
        if not folder:
            return None
        self._refuse_unfinished(Path(folder))
        base = self._base()
        index = self._index(Path(folder))
        self._refuse_staged(base)
        index.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            index.unlink()
        with contextlib.suppress(FileNotFoundError):
            # With its time: by that git knows which files it must not trust to be unchanged.
            shutil.copy2(Path(folder, "index"), index)
        self._git("-c", "advice.addEmbeddedRepo=false", "add", "-A", "--", ".", index=index)
        changes = [*self._changes(base, index)]
        if others := [change for change in changes if change.is_submodule]:
            self._put_back(others, index)
            changes = [change for change in changes if not change.is_submodule]
        if not changes:
            return None
        self._refuse_many(changes)
        self._refuse_secrets(changes)
        return Draft(base, self._line("write-tree", index=index), changes)

    def make(self, draft: Draft) -> Made | None:
        """
        Make the commit, which no ref names yet; None when a hook left nothing to commit.

        Raises:
            SaveError: A hook refuses it, or it cannot be signed.
        """
        folder = Path(self._git_folder())
        index = self._index(folder)
        self._hook("pre-commit", index=index)
        tree = self._line("write-tree", index=index)
        if draft.base and tree == self._line("rev-parse", f"{draft.base}^{{tree}}"):
            return None
        message = index.with_name("auto-commit.message")
        message.write_text(self._message(draft), errors="replace")
        self._hook("prepare-commit-msg", str(message), "message", index=index)
        self._hook("commit-msg", str(message), index=index)
        parents = ["-p", draft.base] if draft.base else []
        signed = ["-S"] if self._is_set("commit.gpgsign") else []
        commit = self._line("commit-tree", *signed, tree, *parents, "-F", str(message))
        text = message.read_text(errors="replace").strip()
        return Made(commit, draft.base, text)

    def finish(self, made: Made) -> None:
        """
        Let HEAD name the commit, and the index follow.

        Raises:
            SaveError: The user staged or committed something meanwhile.
        """
        folder = Path(self._git_folder())
        subject = made.message.partition("\n")[0]
        old = made.base or "0" * len(made.commit)
        try:
            # Asked before it is locked, so that it is locked for a few milliseconds only.
            before = mark(folder / "index")
            self._refuse_staged(made.base)
            self._lock(folder)
            try:
                if mark(folder / "index") != before:
                    raise SaveError("the index changed meanwhile")
                self._git("update-ref", "-m", f"commit: {subject}", "HEAD", made.commit, old)
            except SaveError:
                (folder / LOCK).unlink(missing_ok=True)
                raise
        except SaveError as error:
            raise SaveError(error.reason, error.details, is_lasting=False) from error
        (folder / LOCK).replace(folder / "index")
        with contextlib.suppress(SaveError):
            self._hook("post-commit")

    def repair(self, made: Made) -> bool:
        """Tell whether HEAD has the commit, and end what was interrupted."""
        folder = Path(self._git_folder())
        try:
            self._git("merge-base", "--is-ancestor", made.commit, "HEAD")
            is_there = True
        except SaveError:
            is_there = False
        lock = folder / LOCK
        with contextlib.suppress(OSError):
            if lock.samefile(self._index(folder)):
                is_current = is_there and self._base() == made.commit
                lock.replace(folder / "index") if is_current else lock.unlink()
        return is_there

    def clear(self) -> None:
        """Remove what was needed on the way."""
        with contextlib.suppress(OSError, SaveError):
            for file in self._index(Path(self._git_folder())).parent.glob("auto-commit.*"):
                file.unlink()

    def _git_folder(self) -> str:
        try:
            return self._line("rev-parse", "--absolute-git-dir") if self._root.is_dir() else ""
        except SaveError as error:
            if "not a git repository" in error.details:
                return ""
            raise

    @staticmethod
    def _index(folder: Path) -> Path:
        return folder / "rtevents" / "auto-commit.index"

    def _base(self) -> str | None:
        try:
            return self._line("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        except SaveError:
            return None

    def _refuse_unfinished(self, folder: Path) -> None:
        for name, what in UNFINISHED.items():
            if (folder / name).exists():
                raise SaveError(f"in the middle of {what}: finish or abort it")
        if (folder / LOCK).exists():
            raise SaveError(f"the index is locked by another git ({LOCK})", is_lasting=False)
        if self._git("ls-files", "--unmerged", "-z"):
            raise SaveError("there are conflicts: resolve them")
        try:
            branch = self._line("symbolic-ref", "--quiet", "--short", "HEAD")
        except SaveError:
            raise SaveError("HEAD is detached: check out a branch") from None
        if not any(fnmatch.fnmatchcase(branch, each) for each in self._settings.branches):
            raise SaveError(f"the branch {branch} is not one of auto_commit.branches")

    def _refuse_staged(self, base: str | None) -> None:
        told = self._git("diff-index", "--cached", "--name-only", "-z", self._tree(base))
        if told:
            path = shown(os.fsdecode(told.partition(b"\0")[0]))
            raise SaveError(f"you staged something ({path}): commit or unstage it")

    def _tree(self, base: str | None) -> str:
        return base or self._line("hash-object", "-t", "tree", "/dev/null")

    def _changes(self, base: str | None, index: Path) -> Iterator[Change]:
        told = self._git(
            "diff-index", "--cached", "--raw", "-z", "--no-renames", "--no-abbrev",
            self._tree(base), index=index,
        )  # fmt: skip
        fields = told.split(b"\0")
        for words, path in zip(fields[::2], fields[1::2], strict=False):
            mode, new_mode, sha, new_sha, _ = words.decode().removeprefix(":").split(" ")
            yield Change(os.fsdecode(path), (mode, sha), (new_mode, new_sha))

    def _put_back(self, changes: Iterable[Change], index: Path) -> None:
        """Leave other repositories as HEAD has them: they are not ours to commit."""
        lines = "".join(f"{' '.join(each.before)}\t{each.path}\0" for each in changes)
        self._git("update-index", "-z", "--index-info", index=index, given=os.fsencode(lines))

    def _refuse_many(self, changes: Sequence[Change]) -> None:
        if len(changes) > (most := self._settings.max_files):
            raise SaveError(
                f"{len(changes)} files changed, more than auto_commit.max_files: {most}"
            )
        for change, size in zip(changes, self._sizes(changes), strict=True):
            if size > self._settings.max_file_bytes:
                raise SaveError(
                    f"{shown(change.path)} has {size} bytes, more than auto_commit.max_file_bytes"
                )

    def _sizes(self, changes: Sequence[Change]) -> list[int]:
        """Return the bytes of each changed file; 0 for one that is gone."""
        shas = "\n".join(change.after[1] for change in changes)
        told = self._git("cat-file", "--batch-check=%(objectsize)", given=shas.encode())
        return [int(line) if line.isdigit() else 0 for line in told.splitlines()]

    def _refuse_secrets(self, changes: Sequence[Change]) -> None:
        if self._settings.secrets == "allow":
            return
        for change, content in self._contents(changes):
            if why := looks_secret(change.path, content):
                raise SaveError(
                    f"{shown(change.path)} looks like a secret ({why}): ignore it, or commit it "
                    "yourself"
                )

    def _contents(self, changes: Sequence[Change]) -> Iterator[tuple[Change, bytes]]:
        """Yield each file that is there with its content, nothing for a very long one."""
        some: list[Change] = []
        room = CHUNK_BYTES
        for change, size in zip(changes, self._sizes(changes), strict=True):
            if change.after[0] == "000000" or size > SECRET_BYTES:
                yield change, b""
                continue
            some.append(change)
            room -= size
            if room < 0:
                yield from self._read(some)
                some, room = [], CHUNK_BYTES
        yield from self._read(some)

    def _read(self, changes: Sequence[Change]) -> Iterator[tuple[Change, bytes]]:
        shas = "\n".join(change.after[1] for change in changes)
        told = self._git("cat-file", "--batch=%(objectsize)", given=shas.encode()) if shas else b""
        at = 0
        for change in changes:
            end = told.index(b"\n", at)
            size = int(told[at:end])
            yield change, told[end + 1 : end + 1 + size]
            at = end + size + 2

    def _message(self, draft: Draft) -> str:
        first, count = shown(draft.changes[0].path), len(draft.changes)
        paths = first if count == 1 else f"{first} and {count - 1} more"
        text = self._settings.message.replace("{paths}", paths).replace("{count}", str(count))
        return f"{text}\n"

    def _lock(self, folder: Path) -> None:
        """Lock the index as git does, with what is to be the next one."""
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                # At once: whoever is killed in the middle leaves no lock that nobody knows.
                (folder / LOCK).hardlink_to(self._index(folder))
                return
            except FileExistsError:
                if time.monotonic() > deadline:
                    raise SaveError(f"the index is locked by another git ({LOCK})") from None
                time.sleep(0.05)

    def _hook(self, name: str, *arguments: str, index: Path | None = None) -> None:
        """
        Run one of the repository's own hooks.

        Raises:
            SaveError: It refuses.
        """
        try:
            self._git("hook", "run", "--ignore-missing", name, "--", *arguments, index=index)
        except SaveError as error:
            raise SaveError(f"the {name} hook refuses it", error.details) from error

    def _is_set(self, name: str) -> bool:
        try:
            return self._line("config", "--type=bool", "--get", name) == "true"
        except SaveError:
            return False

    def _line(self, *arguments: str, index: Path | None = None) -> str:
        return os.fsdecode(self._git(*arguments, index=index).strip())

    def _git(self, *arguments: str, index: Path | None = None, given: bytes = b"") -> bytes:
        """
        Run git as its user would, but for questions: there is nobody to answer them.

        Raises:
            SaveError: It fails, or takes too long.
        """
        process = subprocess.Popen(
            ["git", *arguments],
            cwd=self._root,
            env=_environment(index),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            said, wrong = process.communicate(given, timeout=self._settings.timeout)
        except subprocess.TimeoutExpired:
            _kill(process)
            raise SaveError(
                f"git {_name(arguments)} took longer than {self._settings.timeout:g} s"
            ) from None
        if process.returncode:
            details = (wrong or said).decode(errors="replace")
            why = [line for line in details.splitlines() if line.startswith(("fatal:", "error:"))]
            raise SaveError(": ".join([f"git {_name(arguments)} failed", *why[-1:]]), details)
        return said


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End git and what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # Not until its output ends: a hook may have left somebody who holds that open.
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def _environment(index: Path | None) -> Mapping[str, str]:
    # Nobody is there to write a message.
    kept = environment() | {"GIT_EDITOR": "true"}
    return kept | ({"GIT_INDEX_FILE": str(index)} if index else {})


def _name(arguments: Sequence[str]) -> str:
    """Return the command of git that was run."""
    return arguments[2] if arguments[0] == "-c" else arguments[0]
