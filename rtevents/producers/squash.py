"""Squash: which commits a rebase squashed into others, and made only on the way there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from rtevents.producers.reflog import Line

COMMANDS = frozenset((b"squash", b"s", b"fixup", b"f"))
"""What stands before a commit, in the list of a rebase, that goes into the one before it."""

FOLDER = "rebase-merge"
"""Where, below a work tree's git folder, a rebase keeps what it did and is to do."""

_STEP = re.compile(r"[^:]*\((squash|fixup|continue)\):")
"""
What git writes down of a squashing; when it goes on after a conflict, it says no more than that.
"""


class Squashes(msgspec.Struct, frozen=True):
    """
    What rebases squashed.

    Args:
        before: By each commit that a squashing made: the one whose place it took.
        unsure: Those of them that may as well have been edited than squashed.
        passing: Commits that a rebase put others in the place of, or is about to.
        rewritten: By each commit of a rebase that goes on, what it replaces, as git noted it.
    """

    before: dict[str, str] = {}
    unsure: set[str] = set()
    passing: set[str] = set()
    rewritten: dict[str, list[str]] = {}

    def way(self, sha: str) -> list[str]:
        """Return the commits that led to one, which comes last; that one alone if none did."""
        way = [sha]
        while (before := self.before.get(way[0])) is not None and before not in way:
            way.insert(0, before)
        return way


def find(
    logs: Mapping[Path, Sequence[Line]],
    parents_of: Callable[[Sequence[str]], Mapping[str, Sequence[str]]],
) -> Squashes:
    """
    Return what was squashed.

    Args:
        logs: What git wrote down of the HEAD of each work tree, by its git folder; oldest first.
        parents_of: Returns the parents of each of these commits that is there.
    """
    before: dict[str, str] = {}
    unsure: dict[str, str] = {}
    passing: set[str] = set()
    rewritten: dict[str, list[str]] = {}
    for folder, lines in logs.items():
        for line in lines:
            step = _STEP.match(line.words)
            if step and line.old and line.new and line.old != line.new:
                (unsure if step[1] == "continue" else before)[line.new] = line.old
        if lines and lines[-1].new and _is_squashing(folder / FOLDER):
            passing.add(lines[-1].new)
        for old, new in _pairs(folder / FOLDER / "rewritten-list"):
            rewritten.setdefault(new, []).append(old)
    if unsure:
        # What goes on with a pick is a child of what was there before.
        parents = parents_of([*unsure])
        unsure = {
            new: old for new, old in unsure.items() if new in parents and old not in parents[new]
        }
    before |= unsure
    return Squashes(before, {*unsure}, passing | {*before.values()}, rewritten)


def _is_squashing(folder: Path) -> bool:
    """Tell whether the next thing that a rebase does is to squash, or it is at that now."""
    # In this order: what is to be done leaves the one list before it enters the other.
    left, done = _commands(folder / "git-rebase-todo"), _commands(folder / "done")
    return not COMMANDS.isdisjoint((*left[:1], *done[-1:]))


def _commands(file: Path) -> list[bytes]:
    return [words[0] for words in _lines(file) if not words[0].startswith(b"#")]


def _pairs(file: Path) -> Iterable[tuple[str, str]]:
    for words in _lines(file):
        if len(words) == 2:
            yield words[0].decode(errors="replace"), words[1].decode(errors="replace")


def _lines(file: Path) -> list[list[bytes]]:
    """Return the words of each line that has any; none of a file that is not there."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError:
        return []
    return [words for line in lines if (words := line.split())]
