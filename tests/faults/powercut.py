"""
What a disk may hold after the power went, rebuilt from the system calls of a process.

A file holds what was synced, and of what was written since any part, in pieces as small as a
sector. A name is where it was when its folder was synced, and of what was done to names since a
beginning is done. That is what POSIX promises, and no more (SQLite's test6.c, and ALICE, do so).
"""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

TRACE = "openat,pwrite64,write,ftruncate,fsync,fdatasync,unlink,rename,sendto"
"""What must be traced, with ``strace -f -y -xx -s 200000``."""

SECTOR = 512
"""Bytes that a disk writes whole or not at all."""

_LINE = re.compile(r"(?P<pid>\d+) +(?P<rest>.*)")
_CALL = re.compile(r"(?P<name>\w+)\((?P<args>.*)")
_RESUMED = re.compile(r"<\.\.\. (?P<name>\w+) resumed>(?P<args>.*)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FD = re.compile(r"\d+<((?:\\x[0-9a-f]{2})*)>")
_NUMBERS = re.compile(r"(?:, (-?\d+))?(?:, (-?\d+))? *\) += (-?\d+)")


class File:
    """
    A file's bytes.

    Attributes:
        synced: What is there whatever happens.
        pending: What was written since: place and bytes; or the length that it was cut to.
    """

    def __init__(self) -> None:
        self.synced = bytearray()
        self.pending: list[tuple[int, bytes | None]] = []

    def sync(self, count: int) -> None:
        """Make sure of the first `count` of what is pending."""
        for place, data in self.pending[:count]:
            _apply(self.synced, place, data)
        del self.pending[:count]

    def after(self, chance: random.Random) -> bytes:
        """Return what may be there after the power went."""
        image = bytearray(self.synced)
        share = chance.choice([0.0, 0.5, 0.9, 1.0])
        for place, data in self.pending:
            if data is None:
                if chance.random() < share:
                    _apply(image, place, None)
                continue
            if chance.random() < 0.8:  # mostly all of a write or nothing of it
                if chance.random() < share:
                    _apply(image, place, data)
                continue
            for at in range(0, len(data), SECTOR):
                if chance.random() < share:
                    _apply(image, place + at, data[at : at + SECTOR])
        return bytes(image)


def _apply(image: bytearray, place: int, data: bytes | None) -> None:
    if data is None:
        del image[place:]
        image.extend(bytes(place - len(image)))
        return
    image.extend(bytes(max(0, place - len(image))))
    image[place : place + len(data)] = data


Names = dict[str, File]


class Disk:
    """
    One folder, as a traced process leaves it.

    Args:
        folder: Its path; what happens elsewhere is not looked at.

    Attributes:
        sent: What the process sent to sockets.
        secured: What it had sent when it last synced a WAL.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._names: Names = {}
        self._synced: Names = {}
        self._changes: list[Names] = []
        self.sent = b""
        self.secured = b""

    def do(self, call: str, arguments: str) -> None:
        """Follow a system call that has returned."""
        if (done := _NUMBERS.search(arguments[arguments.rfind('"') + 1 :])) is None:
            return
        answer = int(done[3])
        if answer < 0:
            return
        texts = [bytes.fromhex(each.replace("\\x", "")) for each in _TEXT.findall(arguments)]
        if call == "sendto":
            self.sent += texts[0]
        elif call in ("unlink", "rename", "openat"):
            self._rename(call, [text.decode() for text in texts], arguments)
        elif (path := _path(arguments)) == self._folder:
            self._synced = dict(self._names)
            self._changes.clear()
        elif (file := self._names.get(self._name(path) or "")) is not None:
            self._write(file, call, texts, done)
            if call in ("fsync", "fdatasync") and path.endswith("-wal"):
                self.secured = self.sent

    def _rename(self, call: str, paths: Sequence[str], arguments: str) -> None:
        old, *new = map(self._name, paths)
        if old is None:
            return
        if call == "openat":
            if old in self._names or "O_CREAT" not in arguments:
                if old in self._names and "O_TRUNC" in arguments:
                    self._names[old].pending.append((0, None))
                return
            self._names[old] = File()
        elif call == "unlink":
            self._names.pop(old, None)
        elif new[0] is not None and old in self._names:
            self._names[new[0]] = self._names.pop(old)
        self._changes.append(dict(self._names))

    def _write(self, file: File, call: str, texts: list[bytes], done: re.Match[str]) -> None:
        if call == "pwrite64":
            file.pending.append((int(done[2]), texts[0][: int(done[3])]))
        elif call == "write":
            # These begin at the beginning and go on: small files that are written at once.
            end = sum(len(data or b"") for _, data in file.pending)
            file.pending.append((end, texts[0][: int(done[3])]))
        elif call == "ftruncate":
            file.pending.append((int(done[1]), None))
        else:
            file.sync(len(file.pending))

    def _name(self, path: str) -> str | None:
        folder, _, name = path.rpartition("/")
        # The index of the WAL is memory that processes share: it is made anew.
        return name if folder == self._folder and not name.endswith("-shm") else None

    def cut(self, chance: random.Random, into: Path) -> None:
        """Write to a folder what may be there when the power goes now."""
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir()
        states = [self._synced, *self._changes]
        for name, file in chance.choice(states).items():
            (into / name).write_bytes(file.after(chance))


def _path(arguments: str) -> str:
    """Return the path of a call's descriptor; nothing for a file that has no name any more."""
    found = _FD.match(arguments)
    if found is None or arguments.startswith("(deleted)", found.end()):
        return ""
    return bytes.fromhex(found[1].replace("\\x", "")).decode()


def calls(trace: Path) -> Iterator[tuple[str, str]]:
    """Yield the calls of a trace as they returned: name and arguments with the answer."""
    begun: dict[str, str] = {}
    with trace.open(errors="replace") as lines:
        for line in lines:
            if (found := _LINE.match(line)) is None:
                continue
            pid, rest = found["pid"], found["rest"]
            if rest.endswith("<unfinished ...>"):
                begun[pid] = rest.removesuffix("<unfinished ...>")
                continue
            if (resumed := _RESUMED.match(rest)) and pid in begun:
                rest = begun.pop(pid) + resumed["args"]
            if call := _CALL.match(rest):
                yield call["name"], call["args"]
