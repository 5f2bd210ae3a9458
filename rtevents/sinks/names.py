"""Names: the places that `rtevents on --as NAME` keeps, one process at a time each."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import msgspec

from rtevents.config.sinks import NAME
from rtevents.errors import NotFound, Taken
from rtevents.sinks.place import DeadLetters, Place

LOCK = "lock"
"""The file whose lock a process has that runs a name; its process id is in it."""


class Name(msgspec.Struct, frozen=True, kw_only=True):
    """
    A name.

    Args:
        bookmark: Everything up to there is done, among the dead letters, or not wanted; empty for
            nowhere yet. Past what is not wanted it moves while the name runs, every few seconds.
        pid: The process that runs it; None while none does.
        since: Since when it runs, or when it last did something; unix seconds.
        dead: Dead letters that are kept.
    """

    name: str
    bookmark: str
    pid: int | None
    since: float
    dead: int


@contextmanager
def held(folder: Path, name: str) -> Iterator[Path]:
    """
    Return the folder of a name, which is ours alone meanwhile.

    Args:
        folder: That of all names.
    Raises:
        Taken: Another process runs it.
    """
    own = folder / name
    # mkdir gives the mode to the last folder alone, and a daemon wants its state folder closed.
    for each in (folder.parent, folder):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(own) as lock:
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield own


def all_names(folder: Path) -> list[Name]:
    """Return every name, in alphabetical order."""
    found = [each.name for each in folder.glob("*") if NAME.match(each.name) and each.is_dir()]
    names = []
    for name in sorted(found):
        with suppress(FileNotFoundError):  # somebody forgets it right now
            names.append(_look(folder / name))
    return names


def letters(folder: Path, name: str) -> DeadLetters | None:
    """Return the dead letters of a name; None when there is no such name."""
    own = folder / name
    return DeadLetters(own) if NAME.match(name) and own.is_dir() else None


def forget(folder: Path, name: str) -> None:
    """
    Forget a name: its place, and its dead letters.

    Raises:
        NotFound: There is none.
        Taken: It runs.
    """
    own = folder / name
    if not NAME.match(name) or not own.is_dir():
        raise NotFound(f"no name {name[:80]!r}; see: rtevents sinks")
    with _locked(own):
        shutil.rmtree(own)


@contextmanager
def _locked(own: Path) -> Iterator[IO[str]]:
    while True:
        own.mkdir(mode=0o700, exist_ok=True)
        try:
            lock = (own / LOCK).open("a+")
        except FileNotFoundError:
            continue  # it was forgotten in between
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                words = f"--as {own.name} runs already, pid {_pid(lock)}: choose another name"
                raise Taken(words) from None
            if _is_there(own / LOCK, lock):  # else the lock is of a name that is forgotten by now
                yield lock
                return


def _is_there(file: Path, lock: IO[str]) -> bool:
    try:
        return os.path.samestat(file.stat(), os.fstat(lock.fileno()))
    except FileNotFoundError:
        return False


def _look(own: Path) -> Name:
    """Return how a name is, without a trace."""
    place = own / "place.json"
    changed = [file.stat().st_mtime for file in (place, own / LOCK) if file.exists()]
    pid = None
    with suppress(FileNotFoundError), (own / LOCK).open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = int(_pid(lock) or 0)
            changed = [os.fstat(lock.fileno()).st_mtime]
    return Name(
        name=own.name,
        bookmark=str(Place(own).bookmark or ""),
        pid=pid,
        since=max(changed, default=own.stat().st_mtime),
        dead=len(DeadLetters(own)),
    )


def _pid(lock: IO[str]) -> str:
    lock.seek(0)
    text = lock.read(20).strip()
    return text if text.isascii() and text.isdigit() else ""
