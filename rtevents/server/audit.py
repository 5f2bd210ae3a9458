"""The audit log: who was let in to do what, and who was refused; a chain, see ``chain``."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import stat
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from rtevents.errors import Unavailable
from rtevents.server.chain import LOST, hash_of, older, older_files
from rtevents.server.limits import Budget
from rtevents.server.principal import Principal

logger = logging.getLogger(__name__)

ALLOWED_SECONDS = 3600.0
"""Seconds within which what a peer is allowed to read or publish is written once."""

REFUSED_SECONDS = 60.0
"""Seconds within which the same refusal is written once, and counted: it must push nothing out."""

MOST_KEYS = 4096
"""What was written lately, at most: what was written first is forgotten first."""

MOST_REFUSALS = 30
"""Different refusals of one principal that are written at once: all that show no credential are
one, and loopback alone has 16 million addresses."""

REFUSAL_SECONDS = 60.0
"""Seconds after which one more is: 1,440 a day push nothing out in months."""

ABOUT = 200
"""Most characters of what something was done to."""

MORE = "more"
"""Stands for the actions and rules of refusals that are not told one by one."""

SECRET = re.compile(r"rte_[A-Za-z0-9_-]+")
"""What a token looks like: none may be written, wherever somebody put it."""


class _Lately:
    """What was written within so many seconds, and how often it came since."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._counts: OrderedDict[tuple[Any, ...], list[float]] = OrderedDict()

    def knows(self, key: tuple[Any, ...]) -> bool:
        """Tell whether that was written, or is counted; it is counted then."""
        if (known := self._counts.get(key)) is None:
            return False
        known[1] += 1
        return True

    def learn(self, key: tuple[Any, ...], count: int = 0) -> None:
        """Know that from now on; it came `count` times that are not written."""
        self._counts[key] = [time.monotonic() + self._seconds, count]

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
        self.loss: str | None = None
        """That lines are missing which this daemon wrote; None as long as none are."""
        self._trouble: str | None = None
        # Whether a new file is to be begun, since the one before was full.
        self._is_due = False
        # The number of the first line of each file that is kept, this one the last.
        self._starts: list[int] = []
        self._budget = Budget(MOST_REFUSALS, REFUSAL_SECONDS)
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
        self._tell_repeated()
        if always:
            self._note(who, action, "allowed", about=about)
            if self._trouble is not None:
                raise Unavailable(
                    f"the audit log cannot be written, so this is not done: {self._trouble}"
                )
            return
        # Not by the port: each connection has another.
        key = (who.name, who.place, action)
        if not self._allowed.knows(key):
            self._allowed.learn(key)
            self._note(who, action, "allowed", about=about)

    def refuse(self, who: Principal, action: str, rule: str, *, about: str = "") -> None:
        """
        Write that somebody was refused, and by which rule.

        The same again is counted, and so is what is beyond ``MOST_REFUSALS``: who is refused must
        not push out what others did.
        """
        self._tell_repeated()
        about = _fitting(about)
        key = (who.name, who.uid, who.place, action, rule, about)
        if self._refused.knows(key):
            return
        if self._budget.take(who.name):
            self._refused.learn(key)
            self._note(who, action, "refused", rule=rule, about=about)
        elif not self._refused.knows(rest := (who.name, None, None, MORE, MORE, "")):
            self._refused.learn(rest, 1)

    def state(self) -> dict[str, Any]:
        """Return the number and the hash of the last line, and why none can be written."""
        if self._fd >= 0:
            try:
                self._open()  # whoever asks wants to know whether it is still there
            except OSError as error:
                self._fail(error)
        return {"number": self.number, "hash": self.head, "trouble": self._trouble}

    async def sync(self) -> None:
        """
        Return when what is written by now survives a power cut.

        Raises:
            Unavailable: It cannot be.
        """
        try:
            # By a number of its own: the file may be full, and closed, before that is done.
            with os.fdopen(os.dup(self._fd), "rb", buffering=0) as opened:
                await asyncio.to_thread(os.fsync, opened)
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
        past = self._refused.past(everything=everything)
        for (name, uid, place, action, rule, about), count in past:
            is_address = isinstance(place, str)
            self._write(
                {
                    "principal": name,
                    "uid": uid,
                    "pid": None if is_address else place,
                    "address": place if is_address else None,
                    "action": action,
                    "about": about,
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
            "about": _fitting(about),
            "projects": sorted(who.grant.projects),
            "decision": decision,
            "rule": rule or f"role {who.grant.role}",
        }
        self._write(fields)

    def _write(self, fields: dict[str, Any]) -> None:
        fields = {name: value for name, value in fields.items() if value not in (None, "", [])}
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
                self.on_trouble(self.loss)

    def _fail(self, error: OSError) -> None:
        self._shut()
        trouble = f"{self._file}: {error.strerror or error}"
        if self._trouble != trouble:
            logger.error("the audit log cannot be written: %s", trouble)
        self._trouble = trouble
        self.on_trouble(trouble)

    def _open(self) -> None:
        """Open the file at its end, and know the chain so far; begin a file that is not there."""
        is_gone, has_written = False, bool(self.number)
        if self._fd >= 0:
            if self._is_there():
                return
            self._shut()
            is_gone = True
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
        if is_gone or (has_written and not self._size and not self._is_due):
            self._tell_loss()
        elif not self._size:
            self._begin("audit.begin")
        self._is_due = False
        if is_cut:
            self._append({"action": "audit.cut", "about": "the last line was not whole"})

    def _is_there(self) -> bool:
        """Tell whether what is written is what is found by its name: it may have been moved."""
        try:
            found = self._file.lstat()
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(self._fd))

    def _tell_loss(self) -> None:
        """Begin again where somebody removed or moved the file, and let the health tell."""
        self.loss = (
            f"{self._file} was removed or moved away while it was written: lines up to "
            f"{self.number} are missing; see: rtevents audit --verify"
        )
        logger.error("%s", self.loss)
        self._begin(LOST)
        self.on_trouble(self.loss)

    def _recall(self) -> None:
        """Go on where the chain ended: in this file, or in the one before."""
        for file in (self._file, older(self._file, 1)):
            if (last := _last_line(file)) is None:
                continue
            try:
                fields = msgspec.json.decode(last, type=dict[str, Any])
                self.number, self.head = int(fields["n"]), str(fields["hash"])
                with file.open("rb") as opened:
                    begin = msgspec.json.decode(opened.readline(), type=dict[str, Any])
                self._starts = [int(each) for each in begin.get("starts", [begin["n"]])]
            except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
                logger.error("%s does not hold lines of the audit log", file)
            return

    def _begin(self, action: str) -> None:
        """
        Write the first line of a file: what the chain goes on from, and where each file begins.

        The latter tells files that were removed from those that made room.
        """
        self._starts = [*self._starts, self.number + 1][-(self._files + 1) :]
        self._append({"action": action, "previous": self.head, "starts": self._starts})

    def _append(self, fields: dict[str, Any]) -> None:
        body = msgspec.json.encode({"n": self.number + 1, "time": round(time.time(), 3), **fields})
        if b"rte_" in body:
            body = SECRET.sub("rte_…", body.decode()).encode()
        head = hash_of(self.head, body)
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
        for number, file in [*older_files(self._file), (0, self._file)]:
            if number >= self._files:
                file.unlink()
            else:
                file.replace(older(self._file, number + 1))
        self._is_due = True
        self._open()

    def _shut(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


def _fitting(about: str) -> str:
    """Return text of somebody else's as a line of the log can hold it: it may be no UTF-8."""
    return about[:ABOUT].encode(errors="backslashreplace").decode()[:ABOUT]


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
