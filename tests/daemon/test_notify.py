"""What the service manager is told, heard by a socket as systemd has it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtevents.core.service import EventService
from rtevents.daemon.notify import Notifier
from rtevents.daemon.run import _one_line
from rtevents.stores.memory import MemoryStore
from tests.conftest import PATIENCE, Daemon


@pytest.fixture
def manager(home: Path) -> Iterator[socket.socket]:
    """Return the socket of a service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(home / "notify"))
        listening.settimeout(PATIENCE)
        yield listening


def test_a_daemon_tells_that_it_is_ready_how_it_is_and_that_it_ends(
    stopped_daemon: Daemon, home: Path, manager: socket.socket
) -> None:
    watched = {"NOTIFY_SOCKET": str(home / "notify"), "WATCHDOG_USEC": "200000"}
    stopped_daemon.start("--no-project", "--quiet", env=watched)
    heard: list[str] = []

    def hear(wanted: str) -> None:
        while not any(text.startswith(wanted) for text in heard):
            heard.append(manager.recv(4096).decode())

    hear("READY=1")
    heard.clear()
    hear("WATCHDOG=1\nSTATUS=ok · 0 events, 0 connections")
    assert stopped_daemon.process is not None
    stopped_daemon.process.send_signal(signal.SIGHUP)
    hear("RELOADING=1\nMONOTONIC_USEC=")
    hear("READY=1")
    stopped_daemon.process.send_signal(signal.SIGTERM)
    hear("STOPPING=1")
    assert stopped_daemon.process.wait(PATIENCE) == 0


async def test_without_a_service_manager_nothing_is_said() -> None:
    notifier = Notifier({})

    notifier.tell("READY")
    await notifier.run(lambda: "ok")


async def test_a_manager_that_has_gone_is_no_error(home: Path) -> None:
    environ = {"NOTIFY_SOCKET": str(home / "gone"), "WATCHDOG_PID": str(os.getpid())}
    notifier = Notifier(environ)

    notifier.tell("READY")
    assert environ == {}


def test_an_abstract_socket_is_heard() -> None:
    name = f"rtevents-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        manager.settimeout(PATIENCE)
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).tell("READY", status="well")
        assert manager.recv(100) == b"READY=1\nSTATUS=well"


async def test_the_name_of_a_file_is_no_word_to_the_service_manager() -> None:
    async with EventService(MemoryStore()) as service:
        service.warnings["files of web"] = "cannot be read: a\nWATCHDOG=trigger"

        assert "files of web: cannot be read: a WATCHDOG=trigger" in _one_line(service)()
