"""Rewrites: which commit a new one replaces, after an amend or a rebase."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

import msgspec


class Written(msgspec.Struct, frozen=True):
    """
    What a commit is known by when it was rewritten.

    Args:
        sha: Its object id.
        author: The name, the address and the time, which a rewriting keeps.
        subject: The first line of its message.
        tree: The object id of its files, all of them.
        is_later: Whether it was committed at another time than it was written.
    """

    sha: str
    author: tuple[str, str, str]
    subject: str
    tree: str
    is_later: bool


def successors(
    dropped: Iterable[Written],
    brought: Iterable[Written],
    changes_of: Callable[[Sequence[str]], Mapping[str, object]],
) -> dict[str, str]:
    """
    Return which dropped commit each new one replaces, by the new one's object id.

    An amend or a rebase keeps who wrote a commit and when, most often its subject too. Of those
    that agree in that, a pair belongs together that changes the same as no other commit does, or
    that also has the same tree. Of the rest, those that were committed later than they were written
    are taken as they come, if there are as many old ones: with one subject, or one alone. What is
    in doubt is left out.

    Args:
        dropped: The commits that are in no branch any more, the oldest first.
        brought: Those that came in that move.
        changes_of: Returns what each of these commits changes, as far as it can be told.
    """
    found: dict[str, str] = {}
    olds, news = [*dropped], [*brought]
    for is_same_subject in (True, False):
        olds = [old for old in olds if old.sha not in found.values()]
        news = [new for new in news if new.sha not in found]
        for old, new in _of_one_author(olds, news, is_same_subject=is_same_subject):
            found |= _pairs(old, new, changes_of, is_same_subject=is_same_subject)
    return found


def squashed(
    olds: Iterable[str], steps: Mapping[str, str], marks: Sequence[Mapping[str, object]]
) -> dict[str, str]:
    """
    Return into which commit each dropped one was squashed, by the dropped one's object id.

    A rebase squashes one commit after the other, and each step changes what that commit changed,
    save where there were conflicts. What is in doubt is left out.

    Args:
        olds: The commits that were dropped, and that nothing else replaces.
        steps: By the commit that each step made: the one that came of it in the end.
        marks: What may tell the commits and the steps apart, the surest first.
    """
    found: dict[str, str] = {}
    left = dict(steps)
    olds = [*olds]
    for known in marks:
        groups: dict[object, tuple[list[str], list[str]]] = {}
        for side, shas in enumerate((olds, left)):
            for sha in shas:
                if sha in known and sha not in found:
                    groups.setdefault(known[sha], ([], []))[side].append(sha)
        for same, made in groups.values():
            ends = [*{left[sha] for sha in made}]
            if len(same) == len(made) and len(ends) == 1:
                found |= dict.fromkeys(same, ends[0])
                left = {sha: end for sha, end in left.items() if sha not in made}
    return found


def _of_one_author(
    olds: Iterable[Written], news: Iterable[Written], *, is_same_subject: bool
) -> list[tuple[list[Written], list[Written]]]:
    """Return the old and the new commits that agree in who wrote them and when."""
    groups: dict[Hashable, tuple[list[Written], list[Written]]] = {}
    for side, commits in enumerate((olds, news)):
        for commit in commits:
            key = (commit.author, commit.subject if is_same_subject else None)
            groups.setdefault(key, ([], []))[side].append(commit)
    return [group for group in groups.values() if all(group)]


def _pairs(
    olds: Sequence[Written],
    news: Sequence[Written],
    changes_of: Callable[[Sequence[str]], Mapping[str, object]],
    *,
    is_same_subject: bool,
) -> dict[str, str]:
    """Return which of the new commits replaces which of the old ones."""
    is_one = len(olds) == len(news) == 1
    if is_one and news[0].is_later:
        return {news[0].sha: olds[0].sha}
    changes = changes_of([commit.sha for commit in (*olds, *news)])
    trees = {
        commit.sha: (changes[commit.sha], commit.tree)
        for commit in (*olds, *news)
        if commit.sha in changes
    }
    found = _alike(olds, news, changes) | _alike(olds, news, trees)
    if is_same_subject:
        left = [old.sha for old in olds if old.sha not in found.values()]
        others = [new for new in news if new.sha not in found]
        if len(left) == len(others) and all(new.is_later for new in others):
            found |= {new.sha: old for old, new in zip(left, others, strict=True)}
    return found


def _alike(
    olds: Sequence[Written], news: Sequence[Written], marks: Mapping[str, object]
) -> dict[str, str]:
    """Return the pairs of a new and an old commit that have a mark which no other one has."""
    shas = [commit.sha for commit in (*olds, *news)]
    found = {}
    for new in news:
        same = [sha for sha in shas if marks.get(sha, sha) == marks.get(new.sha, new.sha)]
        if len(same) == 2 and same[0] != new.sha and same[0] in shas[: len(olds)]:
            found[new.sha] = same[0]
    return found
