"""Watch: the kernel's word that something changed below some folders."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import threading
from collections.abc import Callable, Container, Sequence
from pathlib import Path

# Its documented backend: armed when it is made.
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

logger = logging.getLogger(__name__)

WAKE_MS = 1000
"""Milliseconds after which the thread looks whether it is to end."""

LAST_MS = 5
"""Milliseconds in which a backend that is to end tells what it still knows of."""

POLL_MS = 300
"""Milliseconds between two looks where the system has to be polled."""

DELETED = 3
"""How the backend writes that a path was deleted."""

NO_MORE_WATCHES = (
    "the system allows no more watches: raise fs.inotify.max_user_watches "
    "(sudo sysctl fs.inotify.max_user_watches=524288)"
)

NO_WATCH_AT_ALL = (
    "the system allows no watch at all: raise fs.inotify.max_user_instances "
    "(sudo sysctl fs.inotify.max_user_instances=1024)"
)

NOT_UTF8 = "the name of a folder is not UTF-8, and cannot be watched: rename it, or ignore it"

UNNAMED = re.compile(r'Unable to decode path "(.*)/.*" to string', re.DOTALL)
"""What the backend says, for good, when it has a hint whose path is not UTF-8."""

ESCAPED = re.compile(r"\\(?:x([0-9A-F]{2})|u\{([0-9a-f]+)\}|(.))")
"""How it writes what cannot be shown."""

SHORT = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}

MOST_RETURNS = 10
"""How often a folder may be gone when it is to be watched, and there when it is looked for."""

MERGE = 4
"""Backends from which on they are made one: each wakes up all the time."""


class Watch:
    """
    Collects hints; whatever happens after ``open`` returned is hinted at.

    A thread of its own waits for the kernel, so that many projects do not wait for one another.

    Args:
        paths: What is watched.
        recursive: Whether all that is below is watched too, links followed.
        settle_ms: Milliseconds of quiet after which a burst is told.
        max_settle_ms: Milliseconds after which it is told without waiting for quiet.
        blind: Paths that are left out, also later: see ``unnamed``.

    Attributes:
        gap: Why some changes are not hinted at: who wants them has to look. None when all are.
        is_lost: Whether the first path was said to be deleted itself.
        unnamed: The folder of a name that is not UTF-8, where that ended the watch.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        recursive: bool,
        settle_ms: int,
        max_settle_ms: int,
        blind: Container[str] = (),
    ) -> None:
        self.gap: str | None = None
        self.is_lost = False
        self.unnamed: str | None = None
        self._blind = blind
        self._tops = [*paths]
        self._recursive = recursive
        self._settle_ms = settle_ms
        self._max_settle_ms = max_settle_ms
        self._loop = asyncio.get_running_loop()
        self._told = asyncio.Event()
        self._paths: set[str] = set()
        self._has_ended = False
        self._backends: list[_Backend] = []
        # Those that are not needed any more, but may know of what has not been told yet.
        self._former: list[_Backend] = []

    @classmethod
    async def open(
        cls,
        paths: Sequence[Path],
        *,
        recursive: bool,
        settle_ms: int,
        max_settle_ms: int,
        blind: Container[str] = (),
    ) -> Watch:
        """
        Arm a watch of as much as the system lets be watched.

        Raises:
            FileNotFoundError: The first of the paths is not there.
        """
        if not await asyncio.to_thread(paths[0].exists):
            raise FileNotFoundError(f"{paths[0]} is not there")
        watch = cls(
            paths,
            recursive=recursive,
            settle_ms=settle_ms,
            max_settle_ms=max_settle_ms,
            blind=blind,
        )
        await watch._arm(paths)
        return watch

    @property
    def is_split(self) -> bool:
        """Whether there are several backends, where one would do."""
        return len(self._backends) + len(self._former) > 1

    async def extend(self, paths: Sequence[Path], every: Callable[[], Sequence[Path]]) -> None:
        """
        Watch more.

        Args:
            paths: What is new.
            every: Returns all that is to be watched by now.
        """
        if len(self._backends) < MERGE:
            await self._arm(paths)
        else:
            await self.replace(every())

    async def replace(self, paths: Sequence[Path]) -> None:
        """Watch these instead; what was watched before still hints until ``tidy``."""
        before, self._backends = self._backends, []
        self._former += before
        self.gap = None
        await self._arm(paths)

    async def tidy(self) -> bool:
        """End what is not needed any more, when there was quiet; tell whether there was any."""
        former, self._former = self._former, []
        await asyncio.to_thread(_end, former)
        return bool(former)

    async def next(self, wait: float) -> set[str] | None:
        """
        Return the paths that were hinted at since the last call; none when none came in time.

        Args:
            wait: Seconds.
        Returns:
            None when the watch ended, as at a name that is not UTF-8: open another, and look at
            everything.
        """
        if not self._told.is_set():
            try:
                async with asyncio.timeout(wait):
                    await self._told.wait()
            except TimeoutError:
                return set()
        if self.is_split:
            # One thing may be told by several backends, each in its own time.
            await asyncio.sleep(1.2 * self._settle_ms / 1000)
        if self._has_ended:
            return None
        self._told.clear()
        paths, self._paths = self._paths, set()
        return paths

    async def close(self) -> None:
        """End the threads."""
        await asyncio.to_thread(_end, [*self._former, *self._backends])

    async def _arm(self, paths: Sequence[Path]) -> None:
        paths = [path for path in paths if str(path) not in self._blind]
        notify, gap = await asyncio.to_thread(_arm, paths, self._recursive)
        self.gap = self.gap or gap
        if notify is not None:
            self._backends.append(_Backend(notify, self._run))

    def _run(self, notify: RustNotify, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                self._tell(notify.watch(self._max_settle_ms, self._settle_ms, WAKE_MS, stop))
            # What it knows of and has not told yet: another backend may not have seen it.
            self._tell(notify.watch(1, LAST_MS, LAST_MS, None))
        except Exception as error:  # noqa: BLE001 - whatever it is, the watch is over
            logger.debug("a watch ended: %s", error)
            if not stop.is_set():
                self.unnamed = _unnamed(str(error)) or self.unnamed
                self._say(set(), has_ended=True)
        notify.close()

    def _tell(self, found: set[tuple[int, str]] | str) -> None:
        if isinstance(found, set):
            self.is_lost = self.is_lost or (DELETED, str(self._tops[0])) in found
            self._say({path for _, path in found}, has_ended=False)

    def _say(self, paths: set[str], *, has_ended: bool) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._note, paths, has_ended)

    def _note(self, paths: set[str], has_ended: bool) -> None:
        self._paths |= paths
        self._has_ended = self._has_ended or has_ended
        self._told.set()


class _Backend:
    """
    An armed backend, and the thread that waits for it.

    Args:
        notify: The backend.
        run: What the thread does, until its event is set.
    """

    def __init__(
        self, notify: RustNotify, run: Callable[[RustNotify, threading.Event], None]
    ) -> None:
        self.stop = threading.Event()
        self.thread = threading.Thread(
            target=run, args=(notify, self.stop), name="rtevents-watch", daemon=True
        )
        self.thread.start()


def _end(backends: Sequence[_Backend]) -> None:
    for backend in backends:
        backend.stop.set()
    for backend in backends:
        backend.thread.join()


def _arm(paths: Sequence[Path], recursive: bool) -> tuple[RustNotify | None, str | None]:
    """Arm what can be armed; return that, and why something is not watched."""
    named = [path for path in paths if _is_utf8(path)]
    gap = None if len(named) == len(paths) else NOT_UTF8
    paths = named
    returns = 0
    while paths:
        try:
            return _notify(paths, recursive, is_partial=gap is not None), gap
        except FileNotFoundError:
            there = [path for path in paths if path.exists()]
            # One that went may be there anew by now, as where git checks another commit out.
            returns += len(there) == len(paths)
            if returns > MOST_RETURNS:
                raise
            # What went since it was seen is told by the folder around it.
            paths = there
        except WatchfilesRustInternalError as error:
            if "Too many open files" not in str(error):
                raise
            return None, NO_WATCH_AT_ALL
        except OSError as error:
            if recursive and gap not in (None, NOT_UTF8):
                raise
            gap = _gap(error)
            if not recursive and gap == NO_MORE_WATCHES:
                # Nobody says how many there may be.
                paths = paths[: len(paths) * 3 // 4]
    return None, gap


def _unnamed(words: str) -> str | None:
    """Return the folder of the name that the backend cannot tell; None for another error."""
    found = UNNAMED.fullmatch(words)
    return None if found is None else ESCAPED.sub(_unescaped, found[1])


def _unescaped(escaped: re.Match[str]) -> str:
    byte, code, short = escaped.groups()
    if byte is not None:
        return os.fsdecode(bytes.fromhex(byte))
    return chr(int(code, 16)) if code is not None else SHORT.get(short, short)


def _is_utf8(path: Path) -> bool:
    """Tell whether the backend can be told of a path: it takes text."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _gap(error: OSError) -> str:
    """Return in words why something is not watched."""
    if isinstance(error, PermissionError):
        return f"a folder cannot be read: {error}"
    if "limit" in str(error):
        return NO_MORE_WATCHES
    raise error


def _notify(paths: Sequence[Path], recursive: bool, *, is_partial: bool = False) -> RustNotify:
    return RustNotify([str(path) for path in paths], False, False, POLL_MS, recursive, is_partial)
