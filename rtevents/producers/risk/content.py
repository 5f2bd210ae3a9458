"""What is in the files that commits change, asked of git; nothing of the repository is run."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path

import msgspec

from rtevents.producers.repository import Repository
from rtevents.producers.secrets import looks_secret
from rtevents.producers.snapshot import shown

MOST_FILES = 2000
"""Files of the commits of one look, at most: an import of another project is no commit to read."""

MOST_BYTES = 32 * 1024**2
"""Bytes of their contents that are read, at most."""

SECRET_BYTES = 256 * 1024
"""Longest file that is searched, in bytes: longer ones are no text that somebody wrote."""

MOST_ASKED = 50
"""Files of a commit that are asked for one by one, at most."""

MOST_DROPPED = 10_000
"""Commits that are dropped at once, at most, to be told from others."""

ELSEWHERE = (b"lfs", b"annex")
"""Filters that put a file elsewhere, and into the commit no more than where it is."""

FILES = ("100644", "100755")
"""The modes of files: not of links, nor of other repositories."""


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """
    A file that a commit changes.

    Args:
        path: Relative to the top of the repository.
        size: Its bytes; None for one that is gone.
        secret: What looks like a secret in the lines that are new; None for nothing.
        has_secret: Whether anything in it does; None where nobody asked, or it was not read.
    """

    path: str
    size: int | None
    secret: str | None = None
    has_secret: bool | None = False


class _Row(msgspec.Struct, frozen=True):
    """A file of a commit, by its object ids; None for none."""

    sha: str
    path: str
    old: str | None
    new: str | None


def changed(
    repository: Repository, shas: Sequence[str], asked: Set[str] = frozenset()
) -> dict[str, list[Changed]]:
    """
    Return what is in the files that commits change from their first parents; waits for git.

    A commit that is there no more, or that changes too much to be read, is left out.

    Args:
        asked: The files of which is asked whether they have a secret still.

    Raises:
        RteventsError: git fails.
    """
    there = repository.existing(shas)
    if not there:
        return {}
    told = repository.ask(
        "diff-tree", "--stdin", "-r", "-z", "--root", "--no-renames", "--raw", "--no-abbrev",
        "--ignore-submodules=none", given="".join(f"{sha}\n" for sha in there),
    )  # fmt: skip
    rows = [*_rows(told.split(b"\0"))]
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.sha] = counts.get(row.sha, 0) + 1
    read, room = set[str](), MOST_FILES
    for sha, count in counts.items():
        if count <= room:
            read.add(sha)
            room -= count
    rows = [row for row in rows if row.sha in read]
    sizes = _sizes(repository, {oid for row in rows for oid in (row.old, row.new) if oid})
    contents = _contents(repository, rows, sizes)
    found: dict[str, list[Changed]] = {sha: [] for sha in there}
    asked = set(asked)
    for row in rows:
        look = _look(row, sizes, contents, asked)
        if look.secret is not None:  # a later one of these commits may take it out
            asked.add(row.path)
        found[row.sha].append(look)
    return {sha: files for sha, files in found.items() if sha in read or sha not in counts}


def without_secret(repository: Repository, sha: str, paths: Sequence[str]) -> list[str]:
    """
    Return those of some files that have no secret in a commit, or are not in it.

    Raises:
        RteventsError: git fails.
    """
    found = []
    for path in [each for each in paths if "\n" not in each][:MOST_ASKED]:
        name = f"{sha}:{path}"
        told = repository.ask("cat-file", "--batch-check=%(objecttype)", given=f"{name}\n")
        if told.endswith(b" missing\n"):
            found.append(path)
        elif told == b"blob\n":
            text = repository.ask("cat-file", "blob", name)
            if len(text) <= SECRET_BYTES and looks_secret(path, text) is None:
                found.append(path)
    return found


def _rows(fields: Sequence[bytes]) -> Iterator[_Row]:
    """Yield what `diff-tree --stdin -z --raw` tells."""
    sha, at = "", 0
    while at < len(fields):
        field = os.fsdecode(fields[at]).strip("\n")
        if not field.startswith(":"):
            sha, at = field, at + 1
            continue
        old_mode, new_mode, old, new, _ = field[1:].split(" ")
        path = shown(os.fsdecode(fields[at + 1]))
        yield _Row(
            sha, path, old if old_mode in FILES else None, new if new_mode in FILES else None
        )
        at += 2


def _sizes(repository: Repository, oids: Iterable[str]) -> dict[str, int]:
    """Return the bytes of each of these objects that is there."""
    told = repository.ask(
        "cat-file", "--batch-check=%(objectname) %(objectsize)", given="\n".join(oids)
    )
    pairs = (line.split() for line in told.decode().splitlines())
    return {oid: int(size) for oid, size in pairs if size.isdigit()}


def _contents(
    repository: Repository, rows: Iterable[_Row], sizes: Mapping[str, int]
) -> dict[str, bytes]:
    """Return the contents of files, as many as there is room for."""
    wanted: dict[str, int] = {}
    room = MOST_BYTES
    for row in rows:
        if row.new is None or not 0 < sizes.get(row.new, 0) <= SECRET_BYTES:
            continue
        for oid in (row.new, row.old):
            if oid is not None and oid not in wanted and sizes.get(oid, room) < room:
                wanted[oid] = sizes[oid]
                room -= sizes[oid]
    if not wanted:
        return {}
    told = repository.ask("cat-file", "--batch=%(objectsize)", given="\n".join(wanted))
    found, at = {}, 0
    for oid in wanted:
        end = told.index(b"\n", at)
        size = int(told[at:end])
        found[oid] = told[end + 1 : end + 1 + size]
        at = end + size + 2
    return found


def _look(
    row: _Row, sizes: Mapping[str, int], contents: Mapping[str, bytes], asked: Set[str]
) -> Changed:
    if row.new is None:
        return Changed(path=row.path, size=None)
    size, new = sizes.get(row.new), contents.get(row.new)
    if new is None:
        return Changed(path=row.path, size=size, has_secret=False if size == 0 else None)
    if b"\0" in new[:8000]:
        return Changed(path=row.path, size=size)
    has_secret = looks_secret(row.path, new) is not None if row.path in asked else None
    return Changed(
        path=row.path, size=size, secret=_added(row, new, contents), has_secret=has_secret
    )


def _added(row: _Row, new: bytes, contents: Mapping[str, bytes]) -> str | None:
    """Return what looks like a secret in what is new in a file; None for nothing."""
    if row.old is None:
        return looks_secret(row.path, new)
    if (old := contents.get(row.old)) is None:  # it cannot be told what is new
        return None
    before = set(old.splitlines())
    added = b"\n".join(line for line in new.splitlines() if line not in before)
    # Not by its name: the file had that before.
    return looks_secret(f"x{os.path.splitext(row.path)[1]}", added)  # noqa: PTH122 - text


def dropped(repository: Repository, shas: Sequence[str]) -> set[str]:
    """
    Return those of some commits that no branch, tag, stash or work tree reaches any more.

    Raises:
        RteventsError: git fails.
    """
    there = repository.existing(shas)
    if not there:
        return {*shas}
    told = repository.ask("rev-list", f"--max-count={MOST_DROPPED}", *there, "--not", "--all")
    return ({*shas} - {*there}) | ({*there} & {*told.decode().split()})


def kept(repository: Repository, root: Path, paths: Sequence[str]) -> dict[str, int]:
    """
    Return the bytes of those of some files that are there, and that git keeps or would keep.

    What is ignored, and what is kept elsewhere (git-lfs, git-annex), is left out.

    Args:
        root: The project's folder, to which the files are relative.
    Raises:
        RteventsError: git fails.
    """
    sizes = {path: size for path in paths if (size := _size(root, path)) is not None}
    if not sizes:
        return {}
    listed = repository.ask(
        "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *sizes
    )
    names = {shown(os.fsdecode(path)) for path in listed.split(b"\0")}
    told = repository.ask("check-attr", "-z", "--stdin", "filter", given="\0".join(sizes))
    fields = told.split(b"\0")
    elsewhere = {
        shown(os.fsdecode(path))
        for path, value in zip(fields[:-1:3], fields[2::3], strict=False)
        if value in ELSEWHERE
    }
    return {path: size for path, size in sizes.items() if path in names - elsewhere}


def _size(root: Path, path: str) -> int | None:
    try:
        status = (root / path).lstat()
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
