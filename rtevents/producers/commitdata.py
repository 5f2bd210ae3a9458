"""CommitData: a commit as `git log` tells it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import msgspec

from rtevents.producers.snapshot import shown

FORMAT = "%x00%H%x00%P%x00%an%x00%ae%x00%ct%x00%B%x00"
"""Six fields a commit, none of which can hold a NUL; what `--numstat -z` adds follows them."""

MAX_FILES = 200
"""Most files of a commit that are named."""

MAX_FILES_BYTES = 100_000
"""Most bytes of their names: an event's bytes are limited, and one may be six in JSON."""

MAX_MESSAGE = 100_000
"""Most characters of a message: an event's bytes are limited, and one may be six bytes."""

MAX_NAME = 1000
"""Most characters of an author's name or address."""


class FileCount(msgspec.Struct, frozen=True):
    """A file of a commit; the lines are None for one that is not text."""

    path: str
    insertions: int | None
    deletions: int | None


class CommitData(msgspec.Struct, frozen=True, kw_only=True):
    """
    A commit as git tells it; see ``payloads.Commit`` for what each field means.

    The counts and files are None where git cannot tell them. The folder is the project's, in the
    repository; empty for its top.
    """

    commit_hash: str
    message: str
    author: str
    author_email: str
    parents: list[str]
    committed_at: float
    files_changed: int | None
    insertions: int | None
    deletions: int | None
    files: list[FileCount] | None
    folder: str = ""


def parse(fields: Sequence[bytes], *, is_counted: bool) -> Iterator[CommitData]:
    """
    Yield the commits that `FORMAT` and `--numstat -z` tell.

    Args:
        fields: What stood between the NULs.
        is_counted: Whether there were statistics.
    """
    at = 0
    while at < len(fields):
        if not fields[at].strip():
            at += 1
            continue
        words = [field.decode(errors="replace") for field in fields[at : at + 6]]
        # The format ends in a NUL, and so does every commit.
        at = begin = at + 7
        while at < len(fields) and b"\t" in fields[at]:
            at += 1
        yield _commit(words, fields[begin:at] if is_counted else None)


def _commit(words: Sequence[str], counts: Sequence[bytes] | None) -> CommitData:
    sha, parents, author, email, committed, message = words
    files = None if counts is None else [_file(line) for line in counts]
    return CommitData(
        commit_hash=sha,
        message=_cut(message.rstrip("\n"), MAX_MESSAGE),
        author=_cut(author, MAX_NAME),
        author_email=_cut(email, MAX_NAME),
        parents=parents.split(),
        # A commit that was not made by git may lack its committer.
        committed_at=float(committed or 0),
        files_changed=None if files is None else len(files),
        insertions=None if files is None else sum(file.insertions or 0 for file in files),
        deletions=None if files is None else sum(file.deletions or 0 for file in files),
        files=None if files is None else _few(files),
    )


def _file(line: bytes) -> FileCount:
    insertions, deletions, path = line.lstrip(b"\n").split(b"\t", 2)
    if insertions == b"-":
        return FileCount(shown(os.fsdecode(path)), None, None)
    return FileCount(shown(os.fsdecode(path)), int(insertions), int(deletions))


def _few(files: Sequence[FileCount]) -> list[FileCount]:
    """Return the first files, as many as an event may name."""
    few, room = [], MAX_FILES_BYTES
    for file in files[:MAX_FILES]:
        room -= len(file.path.encode())
        if room < 0:
            break
        few.append(file)
    return few


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
