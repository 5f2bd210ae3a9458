"""What changes together: counted as it happens, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

MOST_TOGETHER = 50
"""Most files of one change whose pairs are counted: a change of everything says nothing of any."""

MOST_FILES = 5000
"""Most files that are counted; beyond it the rarest half is forgotten."""

MOST_PARTNERS = 64
"""Most files that are kept for one of them; beyond it the rarest half is forgotten."""

HALF_LIFE = 500
"""Changes after which what was seen counts half."""

DOUBT = 1.0
"""How many changes of a file must speak for its partners before they are believed half."""


class Likely(NamedTuple):
    """
    A file that is likely to change as well.

    Args:
        path: Which one.
        probability: How likely, from 0 to 1.
        lift: How many times as likely as it is in any change.
        seen: In about how many changes it was there together with what was asked for.
    """

    path: str
    probability: float
    lift: float
    seen: float


class Together:
    """
    Which files of a project change together, and how often each one does.

    Counts fade, so that what a project was like long ago does not outweigh what it is now.
    """

    def __init__(self) -> None:
        self._weight = 1.0
        # What the first change weighed.
        self._birth = 1.0
        self._changes = 0.0
        self._files: dict[str, float] = {}
        self._partners: dict[str, dict[str, float]] = {}

    def learn(self, paths: Iterable[str], weight: float = 1.0) -> None:
        """
        Count files that changed together.

        Args:
            weight: How much that says: 1 for a commit.
        """
        files = sorted(set(paths))
        if not files:
            return
        # Instead of fading all that was seen, what is new weighs more.
        self._weight *= 2 ** (weight / HALF_LIFE)
        step = self._weight * weight
        self._changes += step
        for file in files:
            self._files[file] = self._files.get(file, 0.0) + step
        if len(files) <= MOST_TOGETHER:
            for one, other in combinations(files, 2):
                self._pair(one, other, step)
                self._pair(other, one, step)
        if len(self._files) > MOST_FILES:
            self._forget()
        if self._weight > 1e9:
            self._scale(1 / self._weight)

    def _pair(self, one: str, other: str, step: float) -> None:
        partners = self._partners.setdefault(one, {})
        partners[other] = partners.get(other, 0.0) + step
        if len(partners) > MOST_PARTNERS:
            self._partners[one] = _commonest(partners, MOST_PARTNERS // 2)

    def _forget(self) -> None:
        self._files = _commonest(self._files, MOST_FILES // 2)
        self._partners = {
            file: {other: count for other, count in partners.items() if other in self._files}
            for file, partners in self._partners.items()
            if file in self._files
        }

    def learn_past(self, past: Together) -> None:
        """Count what another one has counted as what came before all that this one has."""
        factor = self._birth / past._weight
        self._birth *= 1 / past._weight
        self._changes += past._changes * factor
        for file, count in past._files.items():
            self._files[file] = self._files.get(file, 0.0) + count * factor
        for file, counts in past._partners.items():
            partners = self._partners.setdefault(file, {})
            for other, count in counts.items():
                partners[other] = partners.get(other, 0.0) + count * factor
            if len(partners) > MOST_PARTNERS:
                self._partners[file] = _commonest(partners, MOST_PARTNERS // 2)
        if len(self._files) > MOST_FILES:
            self._forget()

    def _scale(self, factor: float) -> None:
        self._weight *= factor
        self._birth *= factor
        self._changes *= factor
        self._files = {file: count * factor for file, count in self._files.items()}
        for partners in self._partners.values():
            for other in partners:
                partners[other] *= factor

    def base(self, path: str) -> float:
        """Return in what share of all changes a file is; never 0, for there are always new ones."""
        count = self._files.get(path, 0.0) / self._weight
        return (count + 0.5) / (self._changes / self._weight + len(self._files) + 1)

    def given(self, path: str, others: Sequence[str]) -> float:
        """Return how likely a file is to change where others did: by the one that tells most."""
        most = self.base(path)
        for other in others:
            seen = self._files.get(other, 0.0) / self._weight
            both = self._partners.get(other, {}).get(path, 0.0) / self._weight
            most = max(most, (both + DOUBT * self.base(path)) / (seen + DOUBT))
        return min(1.0, most)

    def likely(self, paths: Sequence[str], limit: int) -> list[Likely]:
        """
        Return which files are likely to change as well, the likeliest first.

        Args:
            paths: What has changed.
            limit: Most files to return.
        """
        known = set(paths)
        near = {
            other for path in paths for other in self._partners.get(path, ()) if other not in known
        }
        found = [self._likely(other, paths) for other in near]
        found.sort(key=lambda each: (-each.probability, each.path))
        return found[:limit]

    def _likely(self, path: str, others: Sequence[str]) -> Likely:
        probability, base = self.given(path, others), self.base(path)
        seen = max(self._partners.get(other, {}).get(path, 0.0) for other in others) / self._weight
        return Likely(path, probability, probability / base, seen)

    def commonest(self, limit: int) -> list[str]:
        """Return the files that change most often, whatever else does."""
        return sorted(self._files, key=lambda file: (-self._files[file], file))[:limit]


def _commonest(counts: dict[str, float], number: int) -> dict[str, float]:
    kept = sorted(counts, key=counts.__getitem__, reverse=True)[:number]
    return {name: counts[name] for name in kept}
