"""
How well it is foretold what changes together, on the history of repositories.

``python -m tests.benchmarks.forecast [REPOSITORY…]``: this one by default. The first 60 % of the
commits are learned; then, commit for commit before it is learned as well, each file of a commit
is asked for the others, and what is answered is compared with the files that change most often,
which is what one would guess who knows nothing (the base rate).
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from rtevents.core.together import MOST_TOGETHER, Together

LEARNED = 0.6
"""Share of the commits that are learned before anything is asked."""

ASKED = 5
"""Files of a commit that are asked for, and files of an answer."""


class Scores(msgspec.Struct):
    """
    How many guesses were right.

    Args:
        first, top: The first guess, and the first five, as shares of those that were made.
        asked, answered: Questions, and those to which there was an answer.
    """

    first: float = 0.0
    top: float = 0.0
    asked: int = 0
    answered: int = 0


def history(repository: Path) -> list[list[str]]:
    """Return the files of each commit, oldest first; merges are left out."""
    said = subprocess.run(
        ["git", "log", "--reverse", "--no-merges", "--name-only", "-z", "--pretty=format:%x01"],
        cwd=repository, capture_output=True, check=True,
    ).stdout.decode(errors="replace")  # fmt: skip
    commits = [each.replace("\n", "\0").split("\0") for each in said.split("\1")[1:]]
    return [[file for file in files if file] for files in commits]


def hold_out(commits: Sequence[Sequence[str]]) -> tuple[Scores, Scores]:
    """Return how well the model does, and how well the base rate."""
    model, guesses = Together(), []
    begin = int(LEARNED * len(commits))
    for number, files in enumerate(commits):
        if number >= begin and 2 <= len(files) <= MOST_TOGETHER:
            common = model.commonest(ASKED + 1)
            for file in files[:ASKED]:
                likely = [each.path for each in model.likely([file], ASKED)]
                usual = [each for each in common if each != file][:ASKED]
                guesses.append((set(files) - {file}, likely, usual))
        model.learn(files)
    rest = [wanted for wanted, _, _ in guesses]
    return (
        _score(rest, [likely for _, likely, _ in guesses]),
        _score(rest, [usual for _, _, usual in guesses]),
    )


def _score(wanted: Sequence[set[str]], answers: Sequence[Sequence[str]]) -> Scores:
    given = [(right, answer) for right, answer in zip(wanted, answers, strict=True) if answer]
    guesses = sum(len(answer) for _, answer in given)
    return Scores(
        first=sum(answer[0] in right for right, answer in given) / max(1, len(given)),
        top=sum(each in right for right, answer in given for each in answer) / max(1, guesses),
        asked=len(wanted),
        answered=len(given),
    )


def main() -> int:
    """Print a line for each repository."""
    print(f"{'repository':<20}{'commits':>9}{'asked':>8}{'answered':>10}"
          f"{'first':>8}{'base':>8}{'top 5':>8}{'base':>8}{'us/commit':>11}")  # fmt: skip
    for repository in map(Path, sys.argv[1:] or ["."]):
        commits = history(repository)
        begun = time.process_time()
        model, base = hold_out(commits)
        took = (time.process_time() - begun) / max(1, len(commits)) * 1e6
        print(
            f"{repository.resolve().name[:19]:<20}{len(commits):>9,}{model.asked:>8,}"
            f"{model.answered:>10,}{model.first:>8.2f}{base.first:>8.2f}{model.top:>8.2f}"
            f"{base.top:>8.2f}{took:>11.0f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
