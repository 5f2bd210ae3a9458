"""Watch: the kernel's word that something changed below some folders."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

# Its documented backend: armed when it is made.
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

logger = logging.getLogger(__name__)

WAKE_MS = 1000
"""Milliseconds after which the thread looks whether it is to end."""

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


class Watch:
    """
    Collects hints; whatever happens after ``open`` returned is hinted at.

    A thread of its own waits for the kernel, so that many projects do not wait for one another.

    Args:
        notify: The armed watch; None when there can be none.
        gap: Why something is not watched; None when all is.
        tops: What was to be watched.
        inotify: Where Linux tells what is; None where nobody tells it.
        settle_ms: Milliseconds of quiet after which a burst is told.
        max_settle_ms: Milliseconds after which it is told without waiting for quiet.

    Attributes:
        gap: Why some changes are not hinted at: who wants them has to look. None when all are.
        is_lost: Whether one of the paths was said to be deleted itself.
    """

    def __init__(
        self,
        notify: RustNotify | None,
        gap: str | None,
        tops: Sequence[Path],
        inotify: Path | None,
        settle_ms: int,
        max_settle_ms: int,
    ) -> None:
        self.gap = gap
        self.is_lost = False
        self._notify = notify
        self._tops = tops
        self._inotify = inotify
        self._settle_ms = settle_ms
        self._max_settle_ms = max_settle_ms
        self._loop = asyncio.get_running_loop()
        self._told = asyncio.Event()
        self._paths: set[str] = set()
        self._has_ended = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rtevents-watch", daemon=True)
        self._thread.start()

    @classmethod
    async def open(
        cls, paths: Sequence[Path], *, recursive: bool, settle_ms: int, max_settle_ms: int
    ) -> Watch:
        """
        Arm a watch of as much as the system lets be watched.

        Raises:
            OSError: One of the paths is not there.
        """
        notify, gap, inotify = await asyncio.to_thread(_arm_alone, paths, recursive)
        return cls(notify, gap, paths, inotify, settle_ms, max_settle_ms)

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
        if self._has_ended:
            return None
        self._told.clear()
        paths, self._paths = self._paths, set()
        return paths

    def lacks(self, folders: Iterable[Path]) -> bool:
        """
        Tell whether the kernel was not asked to watch one of these folders.

        A folder that is made later is not watched when there are too many watches by then, and
        nobody says so.
        """
        if self._inotify is None:
            return False
        try:
            words = self._inotify.read_text()
        except OSError:
            return False
        watched = set(re.findall(r" ino:([0-9a-f]+) ", words))
        # Some file systems tell the kernel another number than everybody else.
        if any(_inode(top) not in watched for top in self._tops):
            return False
        return any(inode is not None and inode not in watched for inode in map(_inode, folders))

    async def close(self) -> None:
        """End the thread."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        if self._notify is None:
            return
        while not self._stop.is_set():
            try:
                found = self._notify.watch(
                    self._max_settle_ms, self._settle_ms, WAKE_MS, self._stop
                )
            except Exception as error:  # noqa: BLE001 - whatever it is, the watch is over
                logger.debug("a watch ended: %s", error)
                self._say(set(), has_ended=True)
                break
            if isinstance(found, set):
                tops = {(DELETED, str(top)) for top in self._tops}
                self.is_lost = self.is_lost or not tops.isdisjoint(found)
                self._say({path for _, path in found}, has_ended=False)
        self._notify.close()

    def _say(self, paths: set[str], *, has_ended: bool) -> None:
        if not self._stop.is_set():
            self._loop.call_soon_threadsafe(self._note, paths, has_ended)

    def _note(self, paths: set[str], has_ended: bool) -> None:
        self._paths |= paths
        self._has_ended = self._has_ended or has_ended
        self._told.set()


_arming = threading.Lock()


def _arm_alone(
    paths: Sequence[Path], recursive: bool
) -> tuple[RustNotify | None, str | None, Path | None]:
    """Arm a watch; return it, why something is not watched, and where the kernel tells of it."""
    with _arming:
        before = _inotify_files()
        notify, gap = _arm(paths, recursive)
        new = _inotify_files() - before
    return notify, gap, new.pop() if len(new) == 1 else None


def _inotify_files() -> set[Path]:
    """Return what tells of each inotify instance of this process (`man 5 proc_pid_fdinfo`)."""
    found = set()
    with contextlib.suppress(OSError):
        for file in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                if file.readlink().name == "anon_inode:inotify":
                    found.add(Path("/proc/self/fdinfo", file.name))
    return found


def _inode(path: Path) -> str | None:
    """Return the inode of a folder as the kernel writes it; None when it is not there."""
    try:
        return f"{path.lstat().st_ino:x}"
    except OSError:
        return None


def _arm(paths: Sequence[Path], recursive: bool) -> tuple[RustNotify | None, str | None]:
    """Arm what can be armed; return that, and why something is not watched."""
    try:
        return _notify(paths, recursive), None
    except FileNotFoundError:
        raise
    except PermissionError as error:
        gap = f"a folder cannot be read: {error}"
    except WatchfilesRustInternalError as error:
        if "Too many open files" not in str(error):
            raise
        return None, NO_WATCH_AT_ALL
    except OSError as error:
        if "limit" not in str(error):
            raise
        gap = NO_MORE_WATCHES
    # The backend ends at the first folder that it cannot watch, and then says nothing of that.
    return _notify(paths, recursive, is_partial=True), gap


def _notify(paths: Sequence[Path], recursive: bool, *, is_partial: bool = False) -> RustNotify:
    return RustNotify([str(path) for path in paths], False, False, POLL_MS, recursive, is_partial)
