"""RefWatch: the kernel's word that the refs of a repository may have moved."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from rtevents.producers.watch import Watch

logger = logging.getLogger(__name__)

SETTLE_MS = 40
"""Milliseconds of quiet after which a change of the refs is looked at: a wake-up each, all day."""

MAX_SETTLE_MS = 500
"""Milliseconds after which they are looked at without waiting for quiet."""

TREES = ("refs", "reftable", "worktrees", "rtevents")
"""Folders, below the git common directory, in which refs and notes of them are written."""

NOISE = frozenset(
    ("index", "FETCH_HEAD", "COMMIT_EDITMSG", "objects", "logs", "lfs", "gc.pid", "description")
)
"""Names whose change says nothing about refs."""


class RefWatch:
    """
    Watches where refs are written. It is a hint: refs are looked at every `interval` all the same.

    Args:
        project_id: Named in the log.
        interval: Seconds.

    Attributes:
        hinted: Set when refs may have moved; who looks at them clears it before.
    """

    def __init__(self, project_id: str, interval: float) -> None:
        self.hinted = asyncio.Event()
        self._project_id = project_id
        self._interval = interval
        self._tasks: list[asyncio.Task[None]] = []
        self._folders: list[tuple[Path, int]] = []

    async def follow(self, common: Path) -> None:
        """Watch this git common directory: itself, and the trees of refs in it."""
        trees, now = await asyncio.to_thread(_look, common)
        if now == self._folders and not any(task.done() for task in self._tasks):
            return
        await self.close()
        self._folders = now
        for paths, recursive in (([common], False), (trees, True)):
            try:
                watch = await Watch.open(
                    paths, recursive=recursive, settle_ms=SETTLE_MS, max_settle_ms=MAX_SETTLE_MS
                )
            except OSError as error:
                logger.warning("refs of %s are not watched: %s", self._project_id, error)
                self._folders = []  # so that the next look tries again
                continue
            if watch.gap is not None:
                logger.warning(
                    "refs of %s are looked at every %.0f s: %s",
                    self._project_id,
                    self._interval,
                    watch.gap,
                )
            self._tasks.append(asyncio.create_task(self._pass_hints(watch, paths)))

    async def wait(self) -> None:
        """Return at the next hint, or after the interval."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._interval):
                await self.hinted.wait()

    async def close(self) -> None:
        """Watch no more."""
        tasks, self._tasks, self._folders = self._tasks, [], []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pass_hints(self, watch: Watch, paths: Sequence[Path]) -> None:
        """Set ``hinted`` for as long as the watched folders are the same."""
        tops = set(map(str, paths))
        told: set[str] | None = set()
        try:
            while told is not None and tops.isdisjoint(told):
                told = await watch.next(self._interval)
                if any(map(_is_about_refs, told or ())):
                    self.hinted.set()
        finally:
            await watch.close()
        # Not before: who is woken by it looks whether this task is done.
        self.hinted.set()


def _look(common: Path) -> tuple[list[Path], list[tuple[Path, int]]]:
    """Return the trees of refs, and the folders that are watched with their inodes."""
    trees = [path for name in TREES if (path := common / name).is_dir()]
    # A repository that was made anew has the same paths, and no watch.
    inodes = []
    for path in (common, *trees):
        with contextlib.suppress(OSError):
            inodes.append((path, path.stat().st_ino))
    return trees, inodes


def _is_about_refs(path: str) -> bool:
    name = os.path.basename(path)  # noqa: PTH119 - called for every change
    return not name.endswith(".lock") and name not in NOISE
