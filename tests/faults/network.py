"""A network of one's own, in which links can be cut."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def namespace() -> Iterator[str]:
    """Make a network in which loopback is all there is; skip the test where that is not allowed."""
    if shutil.which("ip") is None:
        pytest.skip("ip is not installed")
    name = f"rtevents-{os.getpid()}"
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
