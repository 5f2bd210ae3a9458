"""GitProducer: every new commit of a repository, once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from rtevents.core.event import Event, EventType
from rtevents.core.keep import load, save
from rtevents.errors import BadInput
from rtevents.producers import Watched
from rtevents.producers.refwatch import RefWatch
from rtevents.producers.repository import CommitData, Refs, Repository
from rtevents.producers.spool import Spool

SOURCE = "rtevents/git"

BATCH = 500
"""Most events of one batch."""

MAX_TIPS = 5000
"""Most object ids of former tips that are remembered: a commit below one is not new."""

PAUSE = 2.0
"""Seconds between two looks for a repository where there is none yet."""

NAMED_BRANCHES = 64
"""Most moved refs for which it is worked out which commits they brought."""


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
        gap: None: what the watch does not see, the next look does.
    """

    def __init__(self, watched: Watched) -> None:
        self.ready = asyncio.Event()
        self.gap: str | None = None
        self._root = watched.root
        self._project_id = watched.project.id
        self._find = watched.find
        self._settings = watched.config.git
        self._file = watched.places / "git.json"
        self._repository = Repository(watched.root, self._settings.timeout)
        self._common: Path | None = None
        self._watch = RefWatch(self._project_id, self._settings.interval)

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
                    await self._watch.close()
                    if self._root.is_dir():
                        # Whatever is committed there from now on is new, also after a restart.
                        seen = seen or await self._keep([], set())
                        is_first = False
                        self.ready.set()
                    await asyncio.sleep(PAUSE)
                    continue
                self._watch.hinted.clear()
                await self._watch.follow(self._common)
                spool = Spool(self._common)
                # Before the refs, which then reach it: it would be told without its branch else.
                noted = await asyncio.to_thread(spool.take)
                refs = await asyncio.to_thread(self._repository.refs)
                now = {*refs.all, *noted}
                seen = sorted(now) if seen is None else seen
                async for batch in self._news(refs, seen, noted, reconciled=is_first):
                    yield batch
                seen = await self._keep(seen, now)
                await asyncio.to_thread(spool.forget)
                is_first = False
                self.ready.set()
                await self._watch.wait()
        finally:
            self.ready.clear()
            await self._watch.close()

    def hint(self) -> None:
        """Look at the refs now: somebody said that they moved."""
        self._watch.hinted.set()

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
        self, refs: Refs, seen: Sequence[str], noted: Sequence[str], *, reconciled: bool
    ) -> AsyncGenerator[list[Event], None]:
        """Yield the commits that no tip in `seen` reaches, parents first."""
        known = set(seen)
        tips = sorted(refs.all - known)
        # A commit that was made and dropped while nobody looked is in no ref, but was noted.
        noted = [sha for sha in noted if sha not in known]
        if not tips and not noted:
            return
        new = await asyncio.to_thread(self._repository.new, tips, seen, noted)
        branches = await asyncio.to_thread(self._branches, refs, seen)
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

    def _branches(self, refs: Refs, seen: Sequence[str]) -> dict[str, str]:
        """Return the branch that brought each new commit: the current one before all others."""
        known = set(seen)
        moved = {
            name: sha
            for name, sha in refs.branches.items()
            if sha not in known and not name.startswith("refs/tags/")
        }
        names = sorted(
            moved, key=lambda name: (name != refs.branch, not name.startswith("refs/heads/"), name)
        )
        found: dict[str, str] = {}
        for name in names[:NAMED_BRANCHES]:
            for sha in self._repository.new([moved[name]], seen):
                found.setdefault(sha, _short(name))
        return found

    async def _keep(self, seen: Sequence[str], now: set[str]) -> list[str]:
        """Remember what was seen `now`: what it reaches is stored by now."""
        tips = [*(sha for sha in seen if sha not in now), *sorted(now)]
        kept = tips[-max(MAX_TIPS, len(now)) :]
        if kept != seen or not self._file.exists():
            await asyncio.to_thread(save, self._file, _Place(kept))
        return kept


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
        return repository.describe([sha]), repository.current_branch_of(sha)

    commits, branch = await asyncio.to_thread(describe)
    if not commits:
        raise BadInput(f"revision: no commit {revision[:80]!r} there", field="revision")
    return build(commits[0], project_id, branch=_short(branch) if branch else None)


def common_dir(path: Path, timeout: float = 10.0) -> Path | None:
    """Return the folder that holds the refs of the repository around `path`; None for none."""
    folder = path if path.is_dir() else path.parent
    return Repository(folder, timeout).common_dir() if folder.is_dir() else None


def _short(name: str) -> str:
    """Return a branch's name without what all have in common, as text: refs are bytes."""
    short = name.removeprefix("refs/heads/").removeprefix("refs/remotes/")
    return os.fsencode(short).decode(errors="replace")
