"""Passage: what a command prints, on its way to where it would have gone."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import stat
import struct
import termios
import threading
import time
from collections.abc import Callable

from rtevents.cli.runner.said import Tail

CHUNK = 65_536
"""Bytes that are read at once."""

LOOK_MS = 200
"""Milliseconds between two looks at what was printed."""

PIPE_BYTES = 1024**2
"""Bytes that wait in a pipe: the more, the less often a command waits for us."""


class Passage(threading.Thread):
    """
    Carries bytes unchanged from a command to one of our own outputs.

    A terminal is a terminal for the command too: one of its own, of the same size, that leaves
    every byte as it is. Whatever reads ours may be slow, or end: the command feels it as it would.

    Args:
        target: Our descriptor.
        look: Called now and then with the end of what was printed.
    """

    def __init__(self, target: int, look: Callable[[Tail], None]) -> None:
        super().__init__(name="rtevents-passage", daemon=True)
        self.tail = Tail()
        self._target = target
        self._look = look
        self.is_terminal = os.isatty(target)
        self._source, self.end = _open(target, is_terminal=self.is_terminal)
        self._woken, self._wake = os.pipe()

    def hand_over(self) -> None:
        """Leave the command's end to the command."""
        os.close(self.end)

    def resize(self) -> None:
        """Give the command's terminal the size of ours."""
        if self.is_terminal:
            _copy_size(self._target, self._source)

    def finish(self) -> None:
        """Carry what is there, and end: the command has."""
        os.write(self._wake, b"x")
        self.join()
        self._look(self.tail)
        for each in (self._woken, self._wake):
            os.close(each)

    def run(self) -> None:
        """Carry bytes until there are no more."""
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        # When to look at what is new; None for nothing new. Who prints all the time has no pause.
        due: float | None = None
        while True:
            ready = dict(poll.poll(None if due is None else LOOK_MS))
            if due is not None and time.monotonic() >= due:
                self._look(self.tail)
                due = None
            if self._woken in ready:
                # Whatever goes on in the background may hold the other end, and write, for ever.
                os.set_blocking(self._source, False)
                left = 2 * PIPE_BYTES // CHUNK
                while left and self._carry():
                    left -= 1
                break
            if self._source in ready and not self._carry():
                break
            if ready and due is None:
                due = time.monotonic() + LOOK_MS / 1000
        os.close(self._source)

    def _carry(self) -> bool:
        """Carry what there is; tell whether there may be more."""
        try:
            data = os.read(self._source, CHUNK)
        except OSError:  # EAGAIN: nothing for now; EIO: nobody has the terminal any more
            return False
        if not data:
            return False
        self.tail.take(data)
        try:
            _write(self._target, data)
        except OSError:  # whoever read it has ended: let the command know as it would
            return False
        return True


def same_place(one: int, other: int) -> bool:
    """Tell whether what goes to two descriptors goes to the same place, where its order counts."""
    try:
        first, second = os.fstat(one), os.fstat(other)
    except OSError:
        return False
    if (first.st_dev, first.st_ino, first.st_rdev) != (
        second.st_dev,
        second.st_ino,
        second.st_rdev,
    ):
        return False
    return not stat.S_ISCHR(first.st_mode) or os.isatty(one)


def _open(target: int, *, is_terminal: bool) -> tuple[int, int]:
    """Return our end and the command's."""
    if not is_terminal:
        ours, theirs = os.pipe()
        with contextlib.suppress(OSError, AttributeError):  # Linux alone has it, up to a limit
            fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        return ours, theirs
    ours, theirs = os.openpty()
    with contextlib.suppress(termios.error):
        attributes = termios.tcgetattr(target)
        attributes[1] &= ~termios.OPOST  # the real terminal does that
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(theirs, termios.TCSANOW, attributes)
    _copy_size(target, ours)
    return ours, theirs


def _copy_size(source: int, target: int) -> None:
    with contextlib.suppress(OSError):
        size = fcntl.ioctl(source, termios.TIOCGWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
        fcntl.ioctl(target, termios.TIOCSWINSZ, size)


def _write(target: int, data: bytes) -> None:
    """Write all of it, also where the descriptor does not wait: it is others' too."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(target, view) :]
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EINTR):
                raise
            select.select([], [target], [])
