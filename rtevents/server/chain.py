"""
The chain of the audit log: its lines read back, and what does not fit found.

Each line is JSON and ends with the hash of the line before and of itself: a line that is changed,
put in or taken out later does not fit. The first line of a file says where each file that is kept
begins, so that one that was removed shows. What was cut off at the end shows only against a hash
that was noted elsewhere: the running daemon knows its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

LOST = "audit.lost"
"""The first line of a file that was begun because the one before had gone."""


class Verdict(NamedTuple):
    """
    What became of a chain.

    Args:
        lines: How many lines fit.
        number: The number of the last of them; lines are numbered from 1.
        head: Its hash.
        problem: The first thing that does not fit, in words; None when all does.
    """

    lines: int
    number: int
    head: str
    problem: str | None


def lines(file: Path) -> Iterator[tuple[Path, int, bytes]]:
    """Yield each line of an audit log, the oldest first: its file, its place there, itself."""
    files = [path for _, path in older_files(file)] + ([file] if file.exists() else [])
    with ExitStack() as stack:
        # All of them first: one that is full meanwhile gets another name.
        parts = [(each, stack.enter_context(each.open("rb"))) for each in files]
        for each, part in parts:
            for place, line in enumerate(part, 1):
                if line.endswith(b"\n"):  # else it is being written
                    yield each, place, line[:-1]


def read(
    file: Path, since: float = 0.0, *, on_bad: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """
    Yield what an audit log holds from a time on, the oldest first.

    Args:
        on_bad: Called with the place of what is no line of the log; what follows is read on.
    """
    for each, place, line in lines(file):
        try:
            fields = msgspec.json.decode(line, type=dict[str, Any])
            is_wanted = float(fields["time"]) >= since and bool(fields["action"])
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
            on_bad(f"{each}:{place}")
            continue
        if is_wanted:
            yield fields


def verify(file: Path, known: tuple[int, str] | None = None) -> Verdict:
    """
    Follow the chain of an audit log.

    Args:
        known: The number and the hash of a line that is known to have been written.
    """
    walk = _Walk(known)
    problem = None
    for each, place, line in lines(file):
        problem = walk.go(each, f"{each}:{place}", line)
        if problem is not None:
            break
    return Verdict(walk.count, walk.number, walk.head, problem or walk.missing())


class _Walk:
    """The way along a chain, line by line."""

    def __init__(self, known: tuple[int, str] | None) -> None:
        self.count = 0
        self.number = 0
        self.head = ""
        self._known = known
        self._begun: Path | None = None
        # The number of the first line that is there, and of the first that has to be.
        self._first = 0
        self._oldest: int | None = None

    def go(self, file: Path, place: str, line: bytes) -> str | None:
        """Take the next line; return what is wrong with it, in words."""
        body, _, rest = line.rpartition(b',"hash":"')
        body += b"}"
        is_new = file != self._begun
        try:
            fields = msgspec.json.decode(body, type=dict[str, Any])
            previous = str(fields.get("previous", self.head)) if is_new else self.head
            if hash_of(previous, body) != rest[:-2].decode() or rest[-2:] != b'"}':
                return f"{place} was changed, or one before it"
            number = int(fields["n"])
            is_next = number == self.number + 1 and previous == self.head
            if self.count and not is_next:
                return f"lines are missing before {place}"
            if not self.count:
                self._first = number
            if is_new:
                self._oldest = int(fields["starts"][0]) if "starts" in fields else None
        except (msgspec.MsgspecError, LookupError, TypeError, ValueError):
            return f"{place} is no line of the audit log"
        self._begun, self.number, self.head = file, number, rest[:-2].decode()
        self.count += 1
        known = self._known
        if known is not None and known[0] == number and known[1] != self.head:
            return f"{place} is not what the daemon wrote"
        return None

    def missing(self) -> str | None:
        """Return which lines are not there, in words; None when all are that should be."""
        if self._oldest is not None and self._oldest < self._first:
            return f"lines {self._oldest} to {self._first - 1} are missing, a file was removed"
        if self._known is not None and self._known[0] > self.number:
            count = self._known[0] - self.number
            return f"the daemon wrote {self._known[0]} lines, the last {count} are missing"
        return None


def hash_of(previous: str, body: bytes) -> str:
    """Return the hash of a line that comes after one with the hash `previous`."""
    return blake2b(previous.encode() + body, digest_size=20).hexdigest()


def older(file: Path, number: int) -> Path:
    """Return where an older part is; the newest of them is number 1."""
    return file.with_name(f"{file.stem}.{number}{file.suffix}")


def older_files(file: Path) -> list[tuple[int, Path]]:
    """Return the older parts that are there with their numbers, the oldest first."""
    found = [
        (int(match[1]), each)
        for each in file.parent.glob(f"{file.stem}.*{file.suffix}")
        if (match := re.fullmatch(rf"{re.escape(file.stem)}\.(\d+){file.suffix}", each.name))
    ]
    return sorted(found, reverse=True)
