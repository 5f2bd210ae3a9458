"""GitProducer: every new commit of a repository, once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from rtevents.core.event import Event, EventType
from rtevents.core.keep import load, save
from rtevents.errors import BadInput, StoreError
from rtevents.producers import Watched
from rtevents.producers.repository import SHA, CommitData, Refs, Repository
from rtevents.producers.watch import Watch

logger = logging.getLogger(__name__)

SOURCE = "rtevents/git"

BATCH = 500
"""Most events of one batch."""

MAX_TIPS = 5000
"""Most object ids of former tips that are remembered: a commit below one is not new."""

SETTLE_MS = 20
"""Milliseconds of quiet after which a change of the refs is looked at."""

MAX_SETTLE_MS = 500
"""Milliseconds after which they are looked at without waiting for quiet."""

PAUSE = 2.0
"""Seconds between two looks for a repository where there is none yet."""

NAMED_BRANCHES = 64
"""Most moved refs for which it is worked out which commits they brought."""

SPOOL = Path("rtevents", "spool")
"""Where the hook notes commits, below the git common directory."""


class _Place(msgspec.Struct):
    """
    What is kept between runs.

    Args:
        tips: Every tip that was seen, the newest last; None before the first look.
    """

    tips: list[str] | None = None


class GitProducer:
    """
    Watches the refs of a project's repository.

    The hook and the watch are hints; the truth are the refs: what a ref reaches that no ref seen
    before reached is new, however it got there. The present refs of a repository that is watched
    for the first time are its past.

    Args:
        watched: The project.

    Attributes:
        ready: Set while changes are seen.
    """

    def __init__(self, watched: Watched) -> None:
        self.ready = asyncio.Event()
        self._root = watched.root
        self._project_id = watched.project.id
        self._find = watched.find
        self._settings = watched.config.git
        self._file = watched.places / "git.json"
        self._repository = Repository(watched.root, self._settings.timeout)
        self._common: Path | None = None
        self._hinted = asyncio.Event()
        self._watches: list[asyncio.Task[None]] = []
        self._trees: list[tuple[Path, int]] = []

    async def events(self) -> AsyncGenerator[list[Event], None]:
        """
        Yield COMMIT events for ever; a folder that is no repository yet is waited for.

        Raises:
            RteventsError: git fails.
        """
        seen = load(self._file, _Place, _Place()).tips
        is_first = True
        try:
            while True:
                self._common = await asyncio.to_thread(self._repository.common_dir)
                if self._common is None:
                    await self._unwatch()
                    if self._root.is_dir():
                        # Whatever is committed there from now on is new.
                        seen = seen or []
                        is_first = False
                        self.ready.set()
                    await asyncio.sleep(PAUSE)
                    continue
                self._hinted.clear()
                await self._watch(self._common)
                refs = await asyncio.to_thread(self._repository.refs)
                seen = sorted(refs.all) if seen is None else seen
                async for batch in self._news(refs, seen, reconciled=is_first):
                    yield batch
                seen = await self._keep(seen, refs)
                await asyncio.to_thread(self._forget_spool)
                is_first = False
                self.ready.set()
                await self._wait()
        finally:
            await self._unwatch()

    def hint(self) -> None:
        """Look at the refs now: somebody said that they moved."""
        self._hinted.set()

    async def owns(self, path: Path) -> bool:
        """Tell whether a folder belongs to this repository, in whichever of its work trees."""
        theirs = await asyncio.to_thread(common_dir, path)
        return theirs is not None and theirs == self._common

    async def commit(self, revision: str) -> Event:
        """
        Return the COMMIT event of a revision.

        Raises:
            BadInput: There is no such commit.
        """
        return await _build_one(self._repository, revision, self._project_id)

    async def _news(
        self, refs: Refs, seen: Sequence[str], *, reconciled: bool
    ) -> AsyncGenerator[list[Event], None]:
        """Yield the commits that no tip in `seen` reaches, parents first."""
        known = set(seen)
        moved = {name: sha for name, sha in refs.tips.items() if sha not in known}
        heads = [sha for sha in refs.heads if sha not in known]
        spooled = await asyncio.to_thread(self._spooled)
        if not moved and not heads and not spooled:
            return
        # A commit that was made and dropped while nobody looked is in no ref, but was noted.
        tips = sorted({*moved.values(), *heads})
        new = await asyncio.to_thread(self._repository.new, tips, seen, spooled)
        branches = await asyncio.to_thread(self._branches, refs.branch, moved, seen)
        for at in range(0, len(new), BATCH):
            unknown = [
                sha
                for sha in new[at : at + BATCH]
                if await self._find(event_id(self._project_id, sha)) is None
            ]
            if not unknown:
                continue
            commits = await asyncio.to_thread(self._repository.describe, unknown)
            yield [
                build(
                    commit,
                    self._project_id,
                    branch=branches.get(commit.commit_hash),
                    reconciled=reconciled,
                )
                for commit in commits
            ]

    def _branches(
        self, current: str | None, moved: dict[str, str], old: Sequence[str]
    ) -> dict[str, str]:
        """Return the branch that brought each new commit: the current one before all others."""
        names = [name for name in moved if not name.startswith("refs/tags/")]
        names.sort(key=lambda name: (name != current, not name.startswith("refs/heads/"), name))
        found: dict[str, str] = {}
        for name in names[:NAMED_BRANCHES]:
            short = name.removeprefix("refs/heads/").removeprefix("refs/remotes/")
            for sha in self._repository.new([moved[name]], old):
                found.setdefault(sha, _text(short))
        return found

    async def _keep(self, seen: Sequence[str], refs: Refs) -> list[str]:
        """Remember the refs as seen: what they reach is stored by now."""
        now = refs.all
        tips = [*(sha for sha in seen if sha not in now), *sorted(now)]
        kept = tips[-max(MAX_TIPS, len(now)) :]
        if kept != seen or not self._file.exists():
            await asyncio.to_thread(save, self._file, _Place(kept))
        return kept

    def _spooled(self) -> list[str]:
        """Return the commits that the hook noted. They stay noted until ``_forget_spool``."""
        if self._common is None:
            return []
        spool = self._common / SPOOL
        taken = spool.with_name("spool.taken")
        if not taken.exists():
            # Renamed first: what the hook notes from now on is in another file.
            with contextlib.suppress(FileNotFoundError):
                spool.rename(taken)
        try:
            lines = taken.read_text(errors="replace").split()
        except FileNotFoundError:
            return []
        return [sha for sha in lines if SHA.match(sha)]

    def _forget_spool(self) -> None:
        if self._common is not None:
            (self._common / SPOOL).with_name("spool.taken").unlink(missing_ok=True)

    async def _wait(self) -> None:
        """Return at the next hint, or after the interval."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.interval):
                await self._hinted.wait()

    async def _watch(self, common: Path) -> None:
        """Watch where refs are written: the folder itself, and the trees of refs in it."""
        names = ("refs", "reftable", "worktrees", "rtevents")
        trees = [path for name in names if (path := common / name).is_dir()]
        # A repository that was made anew has the same paths, and no watch.
        now = [(path, path.stat().st_ino) for path in (common, *trees)]
        if now == self._trees and all(not task.done() for task in self._watches):
            return
        await self._unwatch()
        self._trees = now
        for paths, recursive in (([common], False), (trees, True)):
            try:
                watch = await Watch.open(
                    paths, recursive=recursive, settle_ms=SETTLE_MS, max_settle_ms=MAX_SETTLE_MS
                )
            except (OSError, StoreError) as error:
                # The watch is a hint: without it, refs are looked at every `interval` seconds.
                logger.warning("refs of %s are not watched: %s", self._project_id, error)
                continue
            self._watches.append(asyncio.create_task(self._pass_hints(watch, paths)))

    async def _pass_hints(self, watch: Watch, paths: Sequence[Path]) -> None:
        """Set ``_hinted`` for as long as the watched folders are the same."""
        tops = set(map(str, paths))
        told: set[str] = set()
        try:
            while tops.isdisjoint(told):
                told = await watch.next(self._settings.interval)
                if any(map(_is_about_refs, told)):
                    self._hinted.set()
        except (UnicodeError, ValueError, OSError, RuntimeError) as error:
            logger.debug("the watch of %s ended: %s", self._project_id, error)
        finally:
            await watch.close()
        # Not before: who is woken by it looks whether this task is done.
        self._hinted.set()

    async def _unwatch(self) -> None:
        tasks, self._watches, self._trees = self._watches, [], []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def event_id(project_id: str, sha: str) -> str:
    """Return the id of a commit's event (DESIGN section 5)."""
    # An id may hold less than a project's id may: what it may not is written as its code.
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else f"_{ord(c):x}_"
                   for c in project_id)  # fmt: skip
    return f"git:{name}:{sha}"[:128] if len(name) < 80 else f"git:{name[:50]}:{sha}"


def build(
    commit: CommitData, project_id: str, *, branch: str | None, reconciled: bool = False
) -> Event:
    """Return the COMMIT event of a commit: the only place where one is made."""
    data: dict[str, Any] = {
        "commit_hash": commit.commit_hash,
        "message": commit.message,
        "author": commit.author,
        "author_email": commit.author_email,
        "parents": commit.parents,
        "committed_at": commit.committed_at,
    }
    for name in ("files_changed", "insertions", "deletions"):
        if (count := getattr(commit, name)) is not None:
            data[name] = count
    if branch:
        data["branch"] = branch
    if reconciled:
        data["reconciled"] = True
    return Event(
        type=EventType.COMMIT,
        data=data,
        source=SOURCE,
        project_id=project_id,
        event_id=event_id(project_id, commit.commit_hash),
    )


async def build_commit(
    root: Path,
    revision: str,
    project_id: str,
    *,
    timeout: float,  # noqa: ASYNC109 - git's, per command
) -> Event:
    """
    Return the COMMIT event of a revision of a repository that is no project.

    Raises:
        BadInput: There is no such commit.
    """
    return await _build_one(Repository(root, timeout), revision, project_id)


async def _build_one(repository: Repository, revision: str, project_id: str) -> Event:
    def describe() -> tuple[list[CommitData], str | None]:
        sha = repository.resolve(revision)
        refs = repository.refs()
        branch = refs.branch if refs.branch and refs.tips.get(refs.branch) == sha else None
        return repository.describe([sha]), branch

    commits, branch = await asyncio.to_thread(describe)
    if not commits:
        raise BadInput(f"revision: no commit {revision[:80]!r} there", field="revision")
    short = _text(branch.removeprefix("refs/heads/")) if branch else None
    return build(commits[0], project_id, branch=short)


def common_dir(path: Path, timeout: float = 10.0) -> Path | None:
    """Return the folder that holds the refs of the repository around `path`; None for none."""
    folder = path if path.is_dir() else path.parent
    return Repository(folder, timeout).common_dir() if folder.is_dir() else None


def _is_about_refs(path: str) -> bool:
    name = os.path.basename(path)  # noqa: PTH119 - called for every change
    return not name.endswith(".lock") and name not in _NOISE


_NOISE = frozenset(
    ("index", "FETCH_HEAD", "COMMIT_EDITMSG", "objects", "logs", "lfs", "gc.pid", "description")
)


def _text(name: str) -> str:
    """Return a ref's name as text: refs are bytes."""
    return os.fsencode(name).decode(errors="replace")
