"""
The audit log: who was let in to do what, and who was refused; a chain that shows what was changed.

Each line is JSON and ends with the hash of the line before and of itself: a line that is changed,
put in or taken out later does not fit. What was cut off at the end shows only against a hash that
was noted elsewhere: the running daemon knows its own.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from rtevents.errors import BadInput, Unavailable
from rtevents.server.principal import Principal

logger = logging.getLogger(__name__)

ALLOWED_SECONDS = 3600.0
"""Seconds within which what a peer is allowed to read or publish is written once."""

REFUSED_SECONDS = 60.0
"""Seconds within which the same refusal is written once, and counted: it must push nothing out."""

MOST_KEYS = 4096
"""What was written lately, at most: what was written first is forgotten first."""

SECRET = re.compile(r"rte_[A-Za-z0-9_-]+")
"""What a token looks like: none may be written, wherever somebody put it."""


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


class _Lately:
    """What was written within so many seconds, and how often it came since."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._counts: OrderedDict[tuple[Any, ...], list[float]] = OrderedDict()

    def knows(self, key: tuple[Any, ...]) -> bool:
        """Tell whether that was written; it is counted then, and known from now on if not."""
        if (known := self._counts.get(key)) is not None:
            known[1] += 1
            return True
        self._counts[key] = [time.monotonic() + self._seconds, 0]
        return False

    def past(self, *, everything: bool = False) -> list[tuple[tuple[Any, ...], int]]:
        """Forget what is too long ago; return what came again, and how often."""
        now = time.monotonic()
        found = []
        while self._counts:
            key, (ends, count) = next(iter(self._counts.items()))
            if not everything and ends > now and len(self._counts) <= MOST_KEYS:
                break
            del self._counts[key]
            if count:
                found.append((key, int(count)))
        return found


class Audit:
    """
    The audit log of a daemon.

    Args:
        file: Where it is written; older parts are beside it, ``audit.1.jsonl`` the newest of them.
        max_bytes: Size after which a file is full.
        files: How many full ones are kept.
        on_trouble: Called with why it cannot be written, and with None when it can be again.
    """

    def __init__(
        self,
        file: Path,
        *,
        max_bytes: int = 8 * 1024**2,
        files: int = 8,
        on_trouble: Callable[[str | None], None] = lambda trouble: None,
    ) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._files = files
        self.on_trouble = on_trouble
        self._fd = -1
        self._size = 0
        self.number = 0
        """The number of the last line."""
        self.head = ""
        """The hash of the last line; what was cut off later does not lead to it."""
        self._trouble: str | None = None
        self._allowed = _Lately(ALLOWED_SECONDS)
        self._refused = _Lately(REFUSED_SECONDS)

    def allow(self, who: Principal, action: str, *, about: str = "", always: bool = False) -> None:
        """
        Write that somebody was let in to do something.

        Args:
            about: What it is done to, such as a token's id.
            always: Whether it is an act of administration, which is written each time.
        Raises:
            Unavailable: It cannot be written, and `always` is set: it must not be done then.
        """
        self._allowed.past()
        if always:
            self._note(who, action, "allowed", about=about)
            if self._trouble is not None:
                raise Unavailable(
                    f"the audit log cannot be written, so this is not done: {self._trouble}"
                )
        elif not self._allowed.knows((who, action)):
            self._note(who, action, "allowed", about=about)

    def refuse(self, who: Principal, action: str, rule: str) -> None:
        """Write that somebody was refused, and by which rule; the same again is counted."""
        self._tell_repeated()
        peer = who.pid if who.address is None else who.peer
        if not self._refused.knows((who.name, who.uid, peer, action, rule)):
            self._note(who, action, "refused", rule=rule)

    def state(self) -> dict[str, Any]:
        """Return the number and the hash of the last line, and why none can be written."""
        return {"number": self.number, "hash": self.head, "trouble": self._trouble}

    def sync(self) -> None:
        """
        Return when what is written survives a power cut.

        Raises:
            Unavailable: It cannot be.
        """
        try:
            os.fsync(self._fd)
        except OSError as error:
            self._fail(error)
            raise Unavailable(
                f"the audit log cannot be written, so this is not done: {self._trouble}"
            ) from error

    def close(self) -> None:
        """Write what was only counted, and close the file."""
        self._tell_repeated(everything=True)
        self._shut()

    def _tell_repeated(self, *, everything: bool = False) -> None:
        for (name, uid, peer, action, rule), count in self._refused.past(everything=everything):
            where = {"address": peer} if isinstance(peer, str) else {"uid": uid, "pid": peer}
            self._write(
                {
                    "principal": name,
                    **where,
                    "action": action,
                    "decision": "refused",
                    "rule": rule,
                    "repeated": count,
                }
            )

    def _note(
        self, who: Principal, action: str, decision: str, *, rule: str = "", about: str = ""
    ) -> None:
        fields: dict[str, Any] = {
            "principal": who.name,
            "uid": who.uid,
            "pid": who.pid,
            "address": who.address,
            "action": action,
            "about": about[:80],
            "projects": sorted(who.grant.projects),
            "decision": decision,
            "rule": rule or f"role {who.grant.role}",
        }
        self._write({name: value for name, value in fields.items() if value not in (None, "", [])})

    def _write(self, fields: dict[str, Any]) -> None:
        try:
            self._open()
            if self._size >= self._max_bytes:
                self._rotate()
            self._append(fields)
        except OSError as error:
            self._fail(error)
        else:
            if self._trouble is not None:
                self._trouble = None
                self.on_trouble(None)

    def _fail(self, error: OSError) -> None:
        self._shut()
        trouble = f"{self._file}: {error.strerror or error}"
        if self._trouble != trouble:
            logger.error("the audit log cannot be written: %s", trouble)
        self._trouble = trouble
        self.on_trouble(trouble)

    def _open(self) -> None:
        """Open the file at its end, and know the chain so far; begin a file that is not there."""
        if self._fd >= 0:
            if os.fstat(self._fd).st_nlink:
                return
            self._shut()  # somebody removed it: what follows says that lines are missing
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        self._fd = os.open(self._file, flags, 0o600)
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        self._size = status.st_size
        whole = _end_of_last_line(self._fd, self._size)
        is_cut = whole < self._size
        if is_cut:
            os.ftruncate(self._fd, whole)
            self._size = whole
        if not self.number:
            self._recall()
        if not self._size:
            self._begin()
        if is_cut:
            self._append({"action": "audit.cut", "about": "the last line was not whole"})

    def _recall(self) -> None:
        """Go on where the chain ended: in this file, or in the one before."""
        for file in (self._file, _older(self._file, 1)):
            if (last := _last_line(file)) is not None:
                try:
                    fields = msgspec.json.decode(last, type=dict[str, Any])
                    self.number, self.head = int(fields["n"]), str(fields["hash"])
                except (msgspec.MsgspecError, KeyError, ValueError):
                    logger.error("%s does not end with a line of the audit log", file)
                return

    def _begin(self) -> None:
        """Write the first line of a file: it says what the chain goes on from."""
        self._append({"action": "audit.begin", "previous": self.head})

    def _append(self, fields: dict[str, Any]) -> None:
        body = msgspec.json.encode({"n": self.number + 1, "time": round(time.time(), 3), **fields})
        if b"rte_" in body:
            body = SECRET.sub("rte_…", body.decode()).encode()
        head = _hash(self.head, body)
        line = b'%b,"hash":"%b"}\n' % (body[:-1], head.encode())
        written = os.write(self._fd, line)
        if written < len(line):
            os.ftruncate(self._fd, self._size)
            raise OSError(errno.ENOSPC, "no room left on the disk")
        self._size += written
        self.number += 1
        self.head = head

    def _rotate(self) -> None:
        self._shut()
        for number in range(self._files - 1, 0, -1):
            if (file := _older(self._file, number)).exists():
                file.replace(_older(self._file, number + 1))
        if self._files:
            self._file.replace(_older(self._file, 1))
        else:
            self._file.unlink()
        self._open()

    def _shut(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


def lines(file: Path) -> Iterator[tuple[Path, int, bytes]]:
    """Yield each line of an audit log, the oldest first: its file, its place there, itself."""
    older = sorted(
        (int(found[1]), each)
        for each in file.parent.glob(f"{file.stem}.*{file.suffix}")
        if (found := re.fullmatch(rf"{re.escape(file.stem)}\.(\d+){file.suffix}", each.name))
    )
    for each in [*(path for _, path in reversed(older)), *([file] if file.exists() else [])]:
        with each.open("rb") as opened:
            for place, line in enumerate(opened, 1):
                if line.endswith(b"\n"):  # else it is being written
                    yield each, place, line[:-1]


def read(file: Path, since: float = 0.0) -> Iterator[dict[str, Any]]:
    """
    Yield what an audit log holds from a time on, the oldest first.

    Raises:
        BadInput: A line is none of the log's.
    """
    for each, place, line in lines(file):
        try:
            fields = msgspec.json.decode(line, type=dict[str, Any])
            is_wanted = float(fields["time"]) >= since
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
            raise BadInput(
                f"{each}:{place} is no line of the audit log; see: rtevents audit --verify"
            ) from None
        if is_wanted:
            yield fields


def verify(file: Path, known: tuple[int, str] | None = None) -> Verdict:
    """
    Follow the chain of an audit log.

    Args:
        known: The number and the hash of a line that is known to have been written.
    """
    count, number, head = 0, 0, ""
    begun: Path | None = None
    for each, place, line in lines(file):
        body, _, rest = line.rpartition(b',"hash":"')
        try:
            fields = msgspec.json.decode(body + b"}", type=dict[str, Any])
            previous = str(fields.get("previous", head)) if each != begun else head
            if _hash(previous, body + b"}") != rest[:-2].decode() or rest[-2:] != b'"}':
                return Verdict(count, number, head, f"{each}:{place} was changed, or one before it")
            if each != begun and count and previous != head:
                return Verdict(count, number, head, f"lines are missing before {each}:{place}")
            if count and fields.get("n") != number + 1:
                return Verdict(count, number, head, f"lines are missing before {each}:{place}")
            number = int(fields["n"])
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, ValueError):
            return Verdict(count, number, head, f"{each}:{place} is no line of the audit log")
        begun, head, count = each, rest[:-2].decode(), count + 1
        if known is not None and known[0] == number and known[1] != head:
            return Verdict(count, number, head, f"{each}:{place} is not what the daemon wrote")
    if known is not None and known[0] > number:
        text = f"the daemon wrote {known[0]} lines, the last {known[0] - number} are missing"
        return Verdict(count, number, head, text)
    return Verdict(count, number, head, None)


def _hash(previous: str, body: bytes) -> str:
    return blake2b(previous.encode() + body, digest_size=20).hexdigest()


def _older(file: Path, number: int) -> Path:
    return file.with_name(f"{file.stem}.{number}{file.suffix}")


def _end_of_last_line(fd: int, size: int) -> int:
    """Return how many bytes of a file are whole lines."""
    at = size
    while at:
        start = max(0, at - 65536)
        if (found := os.pread(fd, at - start, start).rfind(b"\n")) >= 0:
            return start + found + 1
        at = start
    return 0


def _last_line(file: Path) -> bytes | None:
    """Return the last whole line of a file; None when there is none."""
    try:
        with file.open("rb") as opened:
            size = opened.seek(0, os.SEEK_END)
            end = _end_of_last_line(opened.fileno(), size)
            start = _end_of_last_line(opened.fileno(), max(0, end - 1))
            return os.pread(opened.fileno(), end - start, start) if end else None
    except FileNotFoundError:
        return None
