"""History: which files the commits of a repository changed before anybody watched it."""

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec

from rtevents.producers.repository import Repository
from rtevents.producers.sealed import SHA
from rtevents.producers.snapshot import shown

MOST_COMMITS = 1000
"""Commits that are looked at, at most: the newest ones. What is older counts a quarter or less."""

MOST_BYTES = 8 * 1024**2
"""Bytes that git may say of them; what would come after that is older, and left out."""

MOST_SECONDS = 10.0
"""Seconds that git may take, each time it is asked; what it has not said by then is left out."""


class Past(msgspec.Struct, frozen=True):
    """A commit, and the files that it changes."""

    sha: str
    files: list[str]


def history(repository: Repository) -> list[Past]:
    """
    Return the newest commits of what is checked out, merges left out, the oldest first.

    It waits for git, for a while.
    """
    limit = f"--max-count={MOST_COMMITS}"
    told = repository.ask("rev-list", "--no-merges", limit, "HEAD", "--", check=False)
    if not told:
        return []
    rows = repository.ask_for(
        MOST_BYTES, MOST_SECONDS,
        "diff-tree", "--stdin", "-r", "-z", "--root", "--no-renames", "--raw", "--no-abbrev",
        "--ignore-submodules=all", given=told.decode(),
    )  # fmt: skip
    return parse(rows.split(b"\0"))[::-1]


def parse(fields: Sequence[bytes]) -> list[Past]:
    """
    Return what `diff-tree --stdin -z --raw` tells, in its order; the end may be missing.

    Of the last commit not everything may be there: it is left out, unless it is the only one.
    """
    found: list[Past] = []
    at = 0
    while at < len(fields) - 1:
        if fields[at].startswith(b":"):
            if found:
                found[-1].files.append(shown(os.fsdecode(fields[at + 1])))
            at += 2
        else:
            if SHA.match(sha := fields[at].decode(errors="replace")):
                found.append(Past(sha, []))
            at += 1
    # What is whole ends with a null, after which there is nothing.
    return found if fields[-1] == b"" or len(found) < 2 else found[:-1]
