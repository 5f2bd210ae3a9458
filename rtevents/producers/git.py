"""GitProducer: every new commit of a repository, and every move of its refs, once."""

from __future__ import annotations

import asyncio
import os.path
import time
from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from rtevents.core.event import Event
from rtevents.core.keep import load, save_aside
from rtevents.core.names import new_event_id
from rtevents.producers import Watched, batches, squash
from rtevents.producers.branches import Branches, Refs
from rtevents.producers.commit import SOURCE, build, build_one, event_id, short
from rtevents.producers.origins import Origins
from rtevents.producers.refs import REF_UPDATE, Move, moves
from rtevents.producers.refwatch import RefWatch
from rtevents.producers.replacements import replacements
from rtevents.producers.repository import Repository
from rtevents.producers.spool import Spool
from rtevents.producers.squash import Squashes

MAX_TIPS = 5000
"""Most object ids of former tips that are remembered: a commit below one is not new."""

PAUSE = 2.0
"""Seconds between two looks for a repository where there is none yet."""

MAX_ASKED = 64
"""Most moves of one look of which it is worked out which commits they dropped."""

SLACK = 2.0
"""Seconds by which a look at the reflog begins before the last one: its times are whole seconds."""


class _Place(msgspec.Struct, frozen=True):
    """
    What is kept between runs.

    Args:
        tips: Every tip that was seen, the newest last; None before the first look.
        refs: The refs that were told; None before the first look.
        moves: Moves that are being told: each is in the log, or will be told again by the same id.
        looked_at: When the last look began, in unix seconds.
    """

    tips: list[str] | None = None
    refs: dict[str, str] | None = None
    moves: list[Move] = []
    looked_at: float = 0.0


class _Look(msgspec.Struct, frozen=True):
    """
    What one look at a repository found.

    Args:
        refs: Where the refs are.
        tips: Every object id that is known now.
        noted: Commits that may be in no ref any more, those that were seen left out.
        moves: Every move that is to be told.
        squashes: What rebases squashed.
    """

    refs: Refs
    tips: set[str]
    noted: list[str]
    moves: list[Move]
    squashes: Squashes


class GitProducer:
    """
    Watches the refs of a project's repository.

    The hook and the watch are hints; the truth are the refs: what a ref reaches that no ref seen
    before reached is new, however it got there, and so is what the reflog says that a ref reached
    in between. The present refs of a repository that is watched for the first time are its past.

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
        self._origins = Origins(watched.places)
        self._place = _Place()
        self._repository = Repository(watched.root, self._settings.timeout)
        self._branches = Branches(self._repository)
        self._common: Path | None = None
        self._watch = RefWatch(self._project_id, self._settings.interval)

    async def events(self) -> AsyncGenerator[list[Event], None]:
        """
        Yield COMMIT and REF_UPDATE events for ever; a folder that is no repository is waited for.

        Raises:
            RteventsError: git fails.
        """
        self._place = load(self._file, _Place, _Place())
        is_first = True
        try:
            while True:
                self._common = await asyncio.to_thread(self._repository.common_dir)
                if self._common is None:
                    await self._watch.close()
                    if self._root.is_dir():
                        if self._place.tips is None:
                            # What is committed there from now on is new, also after a restart.
                            await self._keep(_Place([], {}, [], time.time()))
                        is_first = False
                        self.ready.set()
                    await asyncio.sleep(PAUSE)
                    continue
                self._watch.hinted.clear()
                spool = Spool(self._common)
                await asyncio.to_thread(spool.mark)
                await self._watch.follow(self._common)
                begun = time.time()
                # Before the refs, which then reach it: it would be told without its branch else.
                noted = await asyncio.to_thread(spool.take)
                look = await asyncio.to_thread(self._look, self._common, noted)
                if look.moves != self._place.moves:
                    await self._keep(msgspec.structs.replace(self._place, moves=look.moves))
                async for batch in self._news(look, reconciled=is_first):
                    yield batch
                await self._settle(look, begun)
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

    async def forget(self) -> None:
        """Leave nothing in the repository: it is watched no more."""
        if self._common is not None:
            await asyncio.to_thread(Spool(self._common).clear)

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
        return await build_one(
            self._repository, revision, self._project_id, origins=self._origins.all()
        )

    def _look(self, common: Path, noted: Iterable[str]) -> _Look:
        """Ask git where the refs are, and how they got there."""
        place = self._place
        # Before the refs, for the same reason as the notes.
        since = (place.looked_at or time.time()) - SLACK
        logs = self._branches.head_logs(common, since)
        heads = [
            line.new for log in logs.values() for line in log if line.new and line.when >= since
        ]
        refs = self._branches.refs()
        known = set(place.tips or ())
        squashes = Squashes()
        if not {*refs.all, *noted, *heads} <= known:
            # After the refs: what makes way for another commit is known when that one is there.
            logs = self._branches.head_logs(common, since)
            squashes = squash.find(logs, self._repository.parents)
            refs = self._without(refs, squashes.passing)
        named = {name: sha for name, sha in refs.tips.items() if name not in refs.links}
        told = named if place.refs is None else _after(place.refs, place.moves)
        found = [
            msgspec.structs.replace(move, event_id=new_event_id())
            for move in moves(told, named, lambda ref: self._branches.reflog(common, ref))
        ]
        for at, move in enumerate(found[:MAX_ASKED]):
            if move.old is not None and move.new is not None:
                is_forced = self._repository.lost(move.old, move.new) != []
                found[at] = msgspec.structs.replace(move, forced=is_forced)
        between = [move.new for move in found if move.new and refs.tips.get(move.ref) != move.new]
        seen = [sha for sha in (*noted, *heads) if sha not in squashes.passing]
        noted = dict.fromkeys([*seen, *between])
        tips = {*refs.all, *noted}
        # Before the first look, what there is is the past.
        new = [] if place.tips is None else [sha for sha in noted if sha not in known]
        return _Look(refs, tips, new, [*place.moves, *found], squashes)

    def _without(self, refs: Refs, passing: Collection[str]) -> Refs:
        """Return the refs as they were before a rebase began what it has checked out now."""
        found = {sha: self._repository.parent(sha) for sha in refs.checked_out if sha in passing}
        if not found:
            return refs
        heads = [found.get(sha, sha) for sha in refs.heads]
        return msgspec.structs.replace(
            refs,
            heads=[sha for sha in heads if sha is not None],
            rebased=found.get(refs.rebased, refs.rebased) if refs.rebased else None,
        )

    async def _news(self, look: _Look, *, reconciled: bool) -> AsyncGenerator[list[Event], None]:
        """Yield the commits that no tip seen before reaches, parents first, then the moves."""
        async for batch in self._new_commits(look, reconciled=reconciled):
            yield batch
        for some in batches(look.moves):
            # On the first look some may be in the log: the daemon ended before it was noted.
            untold = [
                move for move in some if not reconciled or await self._find(move.event_id) is None
            ]
            if untold:
                yield [self._update(move, reconciled=reconciled) for move in untold]

    async def _new_commits(
        self, look: _Look, *, reconciled: bool
    ) -> AsyncGenerator[list[Event], None]:
        seen = self._place.tips
        if seen is None:
            return
        known = set(seen)
        tips = sorted(look.refs.all - known)
        if not tips and not look.noted:
            return
        new = await asyncio.to_thread(self._repository.new, tips, seen, look.noted)
        branches = _branches(look, known, new)
        replaced = await asyncio.to_thread(self._replaced, look) if new else {}
        for some in batches([*new]):
            unknown = [
                sha for sha in some if await self._find(event_id(self._project_id, sha)) is None
            ]
            if not unknown:
                continue
            commits = await asyncio.to_thread(self._repository.describe, unknown)
            origins = self._origins.all()
            yield [
                build(
                    commit,
                    self._project_id,
                    branch=branches.get(commit.commit_hash),
                    replaces=replaced.get(commit.commit_hash, ()),
                    reconciled=reconciled,
                    extensions=origins.get(commit.commit_hash),
                )
                for commit in commits
            ]

    def _replaced(self, look: _Look) -> dict[str, list[str]]:
        """Return which commits each new one replaces: of those that a branch dropped meanwhile."""
        found: dict[str, list[str]] = {}
        for old, new, reason in [*_rewrites(look)][:MAX_ASKED]:
            dropped, brought = (self._repository.lost(*pair) for pair in ((old, new), (new, old)))
            if not dropped or not brought:
                continue
            if reason.startswith("commit (amend)"):
                found[new] = [old]
                continue
            ways = {sha: look.squashes.way(sha) for sha in brought[::-1]}
            found |= replacements(
                self._repository, dropped[::-1], ways, unsure=look.squashes.unsure
            )
        return found | look.squashes.rewritten

    def _update(self, move: Move, *, reconciled: bool) -> Event:
        return Event(
            type=REF_UPDATE,
            data=move.as_data(reconciled=reconciled),
            source=SOURCE,
            project_id=self._project_id,
            event_id=move.event_id,
        )

    async def _settle(self, look: _Look, begun: float) -> None:
        """Remember what was seen: what it reaches is stored by now."""
        tips = [*(sha for sha in self._place.tips or () if sha not in look.tips)]
        tips += sorted(look.tips)
        refs = {name: sha for name, sha in look.refs.tips.items() if name not in look.refs.links}
        await self._keep(_Place(tips[-max(MAX_TIPS, len(look.tips)) :], refs, [], begun))

    async def _keep(self, place: _Place) -> None:
        """Remember a place; one in which nothing but the time is new is not worth a write."""
        before, self._place = self._place, place
        if msgspec.structs.replace(before, looked_at=place.looked_at) != place:
            await save_aside(self._file, place)


def _after(refs: Mapping[str, str], done: Iterable[Move]) -> dict[str, str]:
    """Return where the refs are after some moves."""
    found = dict(refs)
    for move in done:
        found.pop(move.ref, None)
        if move.new is not None:
            found[move.ref] = move.new
    return found


def _branches(
    look: _Look, known: Collection[str], new: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """
    Return the branch that brought each new commit: the current one before all others.

    Args:
        look: Tells where the branches are, and where they were in between.
        known: Object ids at which a branch brings nothing.
        new: The parents of each new commit.
    """
    moved = {
        name: [sha]
        for name, sha in look.refs.branches.items()
        if sha not in known and name not in look.refs.links and not name.startswith("refs/tags/")
    }
    for move in look.moves:
        if move.new is not None and not move.ref.startswith("refs/tags/"):
            moved.setdefault(move.ref, []).append(move.new)
    found: dict[str, str] = {}
    for name in sorted(
        moved,
        key=lambda name: (name != look.refs.branch, not name.startswith("refs/heads/"), name),
    ):
        waiting = moved[name]
        while waiting:
            sha = waiting.pop()
            if sha in new and sha not in found:
                found[sha] = short(name)
                waiting += new[sha]
    return found


def _rewrites(look: _Look) -> Iterator[tuple[str, str, str]]:
    """Yield the moves that dropped commits of a branch, and what a rebase is about to do."""
    for move in look.moves:
        if move.forced and move.old and move.new and not move.ref.startswith("refs/tags/"):
            yield move.old, move.new, move.reason
    branch, rebased = look.refs.branch, look.refs.rebased
    if branch in look.refs.tips and rebased:
        yield look.refs.tips[branch], rebased, ""


def common_dir(path: Path, timeout: float = 10.0) -> Path | None:
    """Return the folder that holds the refs of the repository around `path`; None for none."""
    # Not Path.is_dir: that raises where a name is too long.
    folder = path if os.path.isdir(path) else path.parent  # noqa: PTH112
    return Repository(folder, timeout).common_dir() if os.path.isdir(folder) else None  # noqa: PTH112
