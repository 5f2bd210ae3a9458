"""Networks of one's own, in which links can be cut; and links that can be cut without one."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

_numbers = itertools.count(1)


@contextmanager
def namespace() -> Iterator[str]:
    """Make a network in which loopback is all there is; skip the test where that is not allowed."""
    if shutil.which("ip") is None:
        pytest.skip("ip is not installed")
    name = f"rtevents-{os.getpid()}-{next(_numbers)}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no network namespace may be made here: {made.stderr.strip()}")
    try:
        ip(name, "link set lo up")
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def ip(name: str, command: str) -> None:
    """Run ip in a namespace."""
    subprocess.run(["ip", "-n", name, *command.split()], check=True, capture_output=True)


class Way:
    """
    Two networks, and a router between them that may lose what it is given; there is nothing else.

    Whoever sends something is told nothing of its loss, nor does any device of theirs go down.

    Args:
        near, far, between: The networks' names, and that of the router's.
    """

    NEAR, FAR, MOVED = "192.0.2.1", "198.51.100.1", "198.51.100.2"
    """The addresses of the two ends, and one that the far end may move to (RFC 5737)."""

    def __init__(self, near: str, far: str, between: str) -> None:
        self.far = far
        self.between = between
        ends = ((near, "near", self.NEAR), (far, "far", self.FAR))
        for name, end, address in ends:
            router = _router(address)
            ip(between, f"link add {end} type veth peer name way netns {name}")
            ip(between, f"addr add {router}/24 dev {end}")
            ip(between, f"link set {end} up")
            ip(name, f"addr add {address}/24 dev way")
            ip(name, "link set way up")
            ip(name, f"route add default via {router}")
        forward = "echo 1 > /proc/sys/net/ipv4/ip_forward"
        done = subprocess.run(
            ["ip", "netns", "exec", between, "sh", "-c", forward], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip("no network namespace may forward here")

    def cut(self) -> None:
        """Let nothing through from now on."""
        ip(self.between, "rule add pref 5 blackhole")

    def mend(self) -> None:
        """Let all through again."""
        ip(self.between, "rule flush pref 5")

    def mute(self) -> None:
        """Let nothing through any more that the near end says."""
        ip(self.between, "rule add pref 5 iif near blackhole")

    def move(self) -> None:
        """Give the far end another address: who was connected from there is so no more, untold."""
        ip(self.far, f"addr del {self.FAR}/24 dev way")
        ip(self.far, f"addr add {self.MOVED}/24 dev way")
        # It is gone with the address.
        ip(self.far, f"route add default via {_router(self.MOVED)}")


def _router(address: str) -> str:
    """Return where the router is, to who has this address."""
    return f"{address.rpartition('.')[0]}.254"


class Link:
    """
    A way to a server of this machine that can be cut, slowed down, or led to another server.

    What is under way when it is cut arrives when it is mended, as TCP has it.

    Args:
        target: The server's port.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.delay = 0.0
        """Seconds that each piece takes."""
        self.instead: tuple[bytes, bytes] = (b"", b"")
        """What is put in place of what, in each piece that comes back: of the same length."""
        self._whole = threading.Event()
        self._whole.set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Let no byte through from now on."""
        self._whole.clear()

    def mend(self) -> None:
        """Let all through again."""
        self._whole.set()

    def lead_to(self, target: int) -> None:
        """Have who asks from now on get to another server; who is connected is not any more."""
        self.target = target
        ends, self._ends = self._ends, []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Be gone."""
        self._listening.close()
        self.lead_to(0)
        self.mend()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                threading.Thread(target=self._connect, args=[near], daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        self._whole.wait()
        try:
            far = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            near.close()
            return
        self._ends += [near, far]
        back = threading.Thread(target=self._pass, args=[far, near, self.instead], daemon=True)
        back.start()
        self._pass(near, far)
        back.join()
        near.close()
        far.close()

    def _pass(
        self,
        one: socket.socket,
        other: socket.socket,
        instead: tuple[bytes, bytes] = (b"", b""),
    ) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                self._whole.wait()
                time.sleep(self.delay)
                other.sendall(data.replace(*instead) if instead[0] else data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
