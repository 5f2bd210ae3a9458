"""A daemon's place: its folders, the lock that makes it the only one, its Unix socket."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
import stat
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rtevents.config.paths import Paths
from rtevents.errors import ConfigError, Taken

logger = logging.getLogger(__name__)

BACKLOG = 1024
"""Connections that may wait to be accepted: 128, the usual number, fails in a burst of 300."""

SAY_SECONDS = 1.0
"""How long who has a lock may take to write down who it is, in seconds."""

FIRST_FD = 3
"""The first descriptor that systemd hands over."""

MAX_SOCKET_PATH = 107
"""Longest path of a Unix socket, in bytes: 108 with its end (`man 7 unix`)."""


def make_folders(paths: Paths) -> None:
    """
    Make the folders of the state and of the socket, for the user alone.

    Raises:
        ConfigError: One of them is another user's, a symlink, or open to others (S6).
    """
    for folder in (paths.state, paths.run, paths.spool):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = folder.lstat()
        except OSError as error:
            raise ConfigError(f"{folder}: {error.strerror}") from error
        if not stat.S_ISDIR(status.st_mode):
            raise ConfigError(f"{folder}: not a folder of its own but a symlink")
        if status.st_uid != os.getuid():
            raise ConfigError(f"{folder}: belongs to user {status.st_uid}, not to {os.getuid()}")
        if status.st_mode & 0o077:
            raise ConfigError(f"{folder}: others can enter it; chmod 700 it")


@contextmanager
def lock(paths: Paths) -> Iterator[None]:
    """
    Be the only daemon on the socket and on the database; the lock files hold the pid.

    The folders are two: a shell without ``XDG_RUNTIME_DIR`` (cron, su) has another one for the
    socket, and would not see the daemon that writes to its database.

    Raises:
        Taken: Another daemon runs; the text has its pid, and its socket if that is elsewhere.
    """
    elsewhere = f"{os.getpid()} on {paths.socket}: set XDG_RUNTIME_DIR as it has it\n"
    with _held(paths.lock, f"{os.getpid()}\n"), _held(paths.state_lock, elsewhere):
        yield


@contextmanager
def _held(file: Path, owner: str) -> Iterator[None]:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(file, flags, 0o600), "r+") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Taken(f"a daemon is running already, pid {_owner(opened)}") from None
        opened.truncate(0)
        opened.write(owner)
        opened.flush()
        try:
            yield
        finally:
            opened.truncate(0)


def _owner(opened: TextIO) -> str:
    """Return who holds a lock: it says so a moment after it has it."""
    deadline = time.monotonic() + SAY_SECONDS
    while not (owner := opened.read().strip()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return owner or "unknown"


def inherited(environ: MutableMapping[str, str]) -> socket.socket | None:
    """
    Return the Unix socket that systemd opened for us (`man 3 sd_listen_fds`); None for none.

    Its variables are taken out of `environ`: they are not for our children.

    Raises:
        ConfigError: It is another kind of socket, or none: whoever comes by a Unix socket is known
            by the kernel's word, and by TCP nobody would look at what else is to be looked at.
    """
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or count != "1":
        return None
    try:
        listening = socket.socket(fileno=FIRST_FD)
    except OSError as error:
        raise ConfigError(f"LISTEN_FDS: not a socket: {error.strerror}") from error
    if listening.family != socket.AF_UNIX or listening.type != socket.SOCK_STREAM:
        listening.close()
        raise ConfigError(
            "LISTEN_FDS: not a Unix stream socket: in the unit write ListenStream=%t/rtevents/"
            "rtevents.sock; for TCP set `listen` in the configuration"
        )
    listening.set_inheritable(False)
    listening.setblocking(False)
    return listening


def bind(file: Path) -> socket.socket:
    """
    Return the listening Unix socket; a stale one is replaced, since the lock is held.

    Raises:
        ConfigError: Its path is too long.
    """
    if (size := len(os.fsencode(file))) > MAX_SOCKET_PATH:
        raise ConfigError(
            f"{file}: a socket's path of {size} bytes, {MAX_SOCKET_PATH} at most: "
            "set XDG_RUNTIME_DIR to a folder with a shorter one"
        )
    if file.is_socket():
        logger.warning("the daemon before this one did not end by itself: its socket is replaced")
    file.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listening.bind(str(file))
    except OSError:
        listening.close()
        raise
    finally:
        os.umask(before)
    listening.listen(BACKLOG)
    listening.setblocking(False)
    return listening


def let_wait(server: asyncio.Server) -> None:
    """
    Let ``BACKLOG`` connections wait to be accepted, however few the server accepts at once.

    asyncio takes one number for both, and each connection that it accepts takes an open file.
    """
    for opened in server.sockets:
        with socket.socket(fileno=os.dup(opened.fileno())) as same:
            same.listen(BACKLOG)
