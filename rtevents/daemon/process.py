"""What makes this process a daemon: its environment, its limits, its threads, its signals."""

from __future__ import annotations

import asyncio
import ctypes
import faulthandler
import os
import resource
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from rtevents.errors import EXIT_INTERRUPTED, ConfigError

SWITCH_SECONDS = 0.001
"""How long a thread waits for the interpreter: the writer does for each statement, and the event
loop under load does not let go by itself."""

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
"""What glibc calls these settings (`malloc.h`)."""

LARGE_BYTES = 256 * 1024
"""Size in bytes from which on a piece of memory is the system's own, and goes back at once."""

HEAPS = 2
"""Heaps for all threads: two of them work at a time, the event loop's and the store's."""

TRIM_SECONDS = 30.0
"""Seconds between two times that free memory is given back."""

GIT_VARIABLES = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
"""What `git rev-parse --local-env-vars` names: a daemon started from a hook must not keep them."""

SECRETS = ("RTEVENTS_STORE", "RTEVENTS_TOKEN", "RTEVENTS_URL")
"""What is for us or for clients, and not for the git and the hooks that we start (S26)."""


def prepare() -> None:
    """Clear the environment of what is not for our children; take what the system allows."""
    # The watchdog of a service manager ends us by SIGABRT: what we were at is told then.
    faulthandler.enable()
    for name in (*GIT_VARIABLES, *SECRETS):
        os.environ.pop(name, None)
    sys.setswitchinterval(SWITCH_SECONDS)
    _keep_heap_whole()
    # A stream is an open file, and the usual 1024 of them are few.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _keep_heap_whole() -> None:
    """
    Have glibc keep large pieces out of the heap, and few heaps (`man 3 mallopt`).

    It would else learn from the first page of history that is given back that such pieces belong
    into the heap as well, where small ones then keep their room from being given back.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(M_ARENA_MAX, HEAPS)


def loop_factory(wanted: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """
    Return what makes the event loop; None for Python's own.

    Args:
        wanted: ``asyncio``, ``uvloop``, or ``auto`` for the latter where it is installed.
    Raises:
        ConfigError: ``uvloop`` is wanted, and is not installed.
    """
    if wanted == "asyncio":
        return None
    try:
        import uvloop
    except ImportError as error:
        if wanted == "auto":
            return None
        text = "event_loop: uvloop is not installed: pip install 'rtevents[fast]', or write auto"
        raise ConfigError(text, field="event_loop") from error
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def give_back_memory(every: float = TRIM_SECONDS) -> None:
    """
    Give the system what is free, every so many seconds, until cancelled.

    glibc keeps what lies between pieces that are in use: pages of history of a megabyte and frames
    of a hundred bytes share its heap, which would grow for hours.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:
        await asyncio.sleep(every)
        # In a thread: it takes some milliseconds, and leaves the interpreter to others.
        await asyncio.to_thread(trim, 0)


class Threads(ThreadPoolExecutor):
    """Threads whose end nobody waits for: one may hang on a disk that has gone."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Begin nothing more."""
        super().shutdown(wait=False, cancel_futures=True)


class Signals:
    """The signals that this process is sent, to be made in its event loop."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        """Set by the first signal to end; the second ends the process at once."""
        self.reload = asyncio.Event()
        """Set when the configuration is to be read again."""
        self._had_terminal = os.isatty(0)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    def _end(self) -> None:
        if self.stop.is_set():
            # The log is consistent at any moment: nothing acknowledged is lost by this.
            os._exit(EXIT_INTERRUPTED)
        self.stop.set()

    def _hang_up(self) -> None:
        # Its own terminal was closed, or somebody asks for the configuration to be read.
        if self._had_terminal and not os.isatty(0):
            self._end()
        else:
            self.reload.set()
