"""Watch: the kernel's word that something changed below some folders."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

from watchfiles._rust_notify import RustNotify  # its documented backend: armed when it is made

from rtevents.errors import StoreError

WAKE_MS = 1000
"""Milliseconds after which the thread looks whether it is to end."""

POLL_MS = 300
"""Milliseconds between two looks where the system has to be polled."""


class Watch:
    """
    Collects hints; whatever happens after ``open`` returned is hinted at.

    A thread of its own waits for the kernel, so that many projects do not wait for one another.

    Args:
        notify: The armed watch.
        settle_ms: Milliseconds of quiet after which a burst is told.
        max_settle_ms: Milliseconds after which it is told without waiting for quiet.
    """

    def __init__(self, notify: RustNotify, settle_ms: int, max_settle_ms: int) -> None:
        self._notify = notify
        self._settle_ms = settle_ms
        self._max_settle_ms = max_settle_ms
        self._loop = asyncio.get_running_loop()
        self._told = asyncio.Event()
        self._paths: set[str] = set()
        self._failure: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rtevents-watch", daemon=True)
        self._thread.start()

    @classmethod
    async def open(
        cls, paths: Sequence[Path], *, recursive: bool, settle_ms: int, max_settle_ms: int
    ) -> Watch:
        """
        Arm a watch.

        Raises:
            StoreError: The system allows no more watches; the text has the remedy.
            OSError: A folder cannot be watched.
        """
        notify = await asyncio.to_thread(_arm, paths, recursive)
        return cls(notify, settle_ms, max_settle_ms)

    async def next(self, wait: float) -> set[str]:
        """
        Return the paths that were hinted at since the last call; none when none came in time.

        Args:
            wait: Seconds.
        Raises:
            Exception: The watch failed: make another, and look at everything.
        """
        if not self._told.is_set():
            try:
                async with asyncio.timeout(wait):
                    await self._told.wait()
            except TimeoutError:
                return set()
        self._told.clear()
        if self._failure is not None:
            raise self._failure
        paths, self._paths = self._paths, set()
        return paths

    async def close(self) -> None:
        """End the thread."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                found = self._notify.watch(
                    self._max_settle_ms, self._settle_ms, WAKE_MS, self._stop
                )
            except Exception as error:  # noqa: BLE001 - handed over to who asks next
                self._say(set(), error)
                break
            if isinstance(found, set):
                self._say({path for _, path in found}, None)
        self._notify.close()

    def _say(self, paths: set[str], failure: Exception | None) -> None:
        if not self._stop.is_set():
            self._loop.call_soon_threadsafe(self._note, paths, failure)

    def _note(self, paths: set[str], failure: Exception | None) -> None:
        self._paths |= paths
        self._failure = failure or self._failure
        self._told.set()


def _arm(paths: Sequence[Path], recursive: bool) -> RustNotify:
    try:
        return RustNotify([str(path) for path in paths], False, False, POLL_MS, recursive, True)
    except OSError as error:
        if "limit" in str(error):
            raise StoreError(
                "the system allows no more watches: raise fs.inotify.max_user_watches "
                "(sudo sysctl fs.inotify.max_user_watches=524288)"
            ) from error
        raise
