"""Replacements: which commits the new ones of a branch replace, as its repository tells."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

from rtevents.producers.repository import Repository
from rtevents.producers.rewrites import squashed, successors


def replacements(
    repository: Repository,
    dropped: Sequence[str],
    ways: Mapping[str, Sequence[str]],
    *,
    unsure: Collection[str],
) -> dict[str, list[str]]:
    """
    Return the commits that each new one replaces, as far as it is sure.

    Args:
        repository: Where they are.
        dropped: The commits that are in the branch no more, the oldest first.
        ways: By each commit that came for them, the oldest first: those that a rebase made on the
            way to it by squashing, from the one into which was squashed to itself.
        unsure: Those of them that may have been edited instead.
    """
    starts = {way[0]: sha for sha, way in ways.items()}
    found = {starts[sha]: [sha] for sha in dropped if sha in starts}
    olds = repository.written(sha for sha in dropped if sha not in starts)
    news = repository.written(sha for sha in starts if sha not in dropped)
    pairs = successors(olds, news, repository.changes)
    found |= {starts[new]: [old] for new, old in pairs.items()}
    left = [old.sha for old in olds if old.sha not in pairs.values()]
    for old, new in _squashed(repository, left, ways, unsure).items():
        found.setdefault(new, []).append(old)
    return found


def _squashed(
    repository: Repository,
    left: Sequence[str],
    ways: Mapping[str, Sequence[str]],
    unsure: Collection[str],
) -> dict[str, str]:
    """Return into which new commit each of the dropped ones that are left was squashed."""
    before = {new: old for way in ways.values() for old, new in pairwise(way)}
    if not left or not before:
        return {}
    ends = {step: sha for sha, way in ways.items() for step in way[1:]}
    changes = {**repository.changes(left), **repository.differences(before)}
    trees = {
        each.sha: (changes[each.sha], each.tree)
        for each in repository.written([*left, *before])
        if each.sha in changes
    }
    # Where every step squashed, and what is left went into one commit, it need not look alike.
    alike = dict.fromkeys([*left, *before], None) if not {*before} & {*unsure} else {}
    return squashed(left, ends, (trees, changes, alike))
