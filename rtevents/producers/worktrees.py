"""WorkTrees: the work trees of git that a project's files are in."""

from __future__ import annotations

from collections.abc import Iterable, Set
from pathlib import Path

from rtevents.producers.ignore import above
from rtevents.producers.operation import Operation, Operations, git_folder, own_git_folder


class WorkTrees:
    """
    Tells where git is at work, and what it has done there: in the work tree around a project, and
    in those in it, as of submodules and of clones in a plain folder.

    Args:
        root: The project's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        # By their folders; the one around the root is empty.
        self._trees: dict[str, Operations] = {}
        self._inner: Set[str] = frozenset()
        if (place := git_folder(root)) is not None:
            self._trees[""] = Operations(place)

    def know(self, folders: Set[str]) -> None:
        """Take up those in the project; what git did in a new one before is not told."""
        if folders == self._inner:
            return
        for gone in self._inner - folders:
            self._trees.pop(gone, None)
        for folder in folders - self._inner:
            if (place := own_git_folder(self._root / folder)) is not None:
                self._trees[folder] = Operations(place)
        self._inner = frozenset(folders)

    def around(self, paths: Iterable[str]) -> set[str]:
        """Return the work trees of some paths, and the one around them all."""
        return {"", *map(self.of, paths)} if self._inner else {""}

    def of(self, path: str) -> str:
        """Return the work tree that a path is in."""
        return next((each for each in above(path) if each in self._trees), "")

    def is_running(self, trees: Iterable[str]) -> bool:
        """Tell whether git is changing files in one of these right now."""
        running = {each: self._trees[each].is_running() for each in trees if each in self._trees}
        # Each was asked: it notes when it was seen at work first.
        return any(running.values())

    def finished(self, trees: Iterable[str]) -> dict[str, Operation]:
        """Return what was done in each since the last call, where it may have changed files."""
        told = {each: self._trees[each].finished() for each in trees if each in self._trees}
        return {each: operation for each, operation in told.items() if operation is not None}
