"""What the daemon tells the service manager that started it: the protocol of `man 3 sd_notify`."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, MutableMapping

STATUS_SECONDS = 10.0
"""Seconds between two status lines, where no watchdog wants to hear of us more often."""


class Notifier:
    """
    Tells the service manager how the daemon is; nothing happens where there is none.

    Its variables are taken out of `environ`: they are not for our children.
    """

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        path = environ.pop("NOTIFY_SOCKET", "")
        pid, limit = environ.pop("WATCHDOG_PID", ""), environ.pop("WATCHDOG_USEC", "")
        # A leading @ stands for the zero byte of an abstract socket.
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self._has_watchdog = limit.isdigit() and pid in ("", str(os.getpid()))
        self._pause = STATUS_SECONDS
        if self._has_watchdog:
            self._pause = min(self._pause, int(limit) / 2e6)

    def tell(self, state: str, **more: str) -> None:
        """Send one state, as ``READY``, with further fields."""
        if not self._address:
            return
        lines = [f"{state}=1"] if state else []
        lines += [f"{name.upper()}={value}" for name, value in more.items()]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
            try:
                sender.sendto("\n".join(lines).encode(), self._address)
            except OSError:
                return  # it has gone, or is busy: that is no reason to fail

    def tell_reloading(self) -> None:
        """Say that the configuration is being read; ``READY`` says that it was."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.tell("RELOADING", monotonic_usec=str(now))

    async def run(self, status: Callable[[], str]) -> None:
        """
        Say how it is, again and again; the watchdog hears that the event loop is alive.

        Args:
            status: Returns one line.
        """
        while self._address:
            self.tell("WATCHDOG" if self._has_watchdog else "", status=status())
            await asyncio.sleep(self._pause)
