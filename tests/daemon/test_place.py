"""A daemon's place: folders, lock, socket."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import pytest

from rtevents.config.paths import Paths
from rtevents.daemon.place import bind, inherited, lock, make_folders
from rtevents.errors import ConfigError, Taken


@pytest.fixture
def paths(home: Path) -> Paths:
    """Return paths in an empty folder, whose own folders are made."""
    paths = Paths(home / "run", home / "state", home / "config.yaml")
    make_folders(paths)
    return paths


def test_the_folders_are_for_the_user_alone(paths: Paths) -> None:
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (paths.run, paths.state)] == [
        0o700,
        0o700,
    ]


def test_a_folder_that_others_can_enter_is_refused(paths: Paths) -> None:
    paths.run.chmod(0o755)
    with pytest.raises(ConfigError, match="others can enter it; chmod 700 it"):
        make_folders(paths)


def test_a_folder_that_is_a_symlink_is_refused(paths: Paths) -> None:
    paths.run.rmdir()
    paths.run.symlink_to(paths.state)
    with pytest.raises(ConfigError, match="a symlink"):
        make_folders(paths)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(paths: Paths) -> None:
    os.chown(paths.run, 65534, 65534)
    with pytest.raises(ConfigError, match="belongs to user 65534"):
        make_folders(paths)


def test_a_file_where_a_folder_should_be_is_refused(paths: Paths) -> None:
    paths.run.rmdir()
    paths.run.write_text("")
    with pytest.raises(ConfigError, match="File exists"):
        make_folders(paths)


def test_the_lock_has_one_holder_and_names_it(paths: Paths) -> None:
    with lock(paths):
        code = (
            "import sys; from pathlib import Path\n"
            "from rtevents.config.paths import Paths\n"
            "from rtevents.daemon.place import lock\n"
            "p = Path(sys.argv[1])\n"
            "with lock(Paths(p / 'run', p / 'state', p)): pass"
        )
        other = subprocess.run(
            [sys.executable, "-c", code, str(paths.run.parent)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert f"a daemon is running already, pid {os.getpid()}" in other.stderr
    with lock(paths):
        assert paths.lock.read_text() == f"{os.getpid()}\n"


def test_taken_is_raised_when_the_lock_is_held(paths: Paths) -> None:
    with lock(paths), pytest.raises(Taken), lock(paths):
        pass


def test_the_socket_is_for_the_user_alone_and_replaces_a_stale_one(paths: Paths) -> None:
    with bind(paths.socket):
        pass
    with bind(paths.socket) as listening:
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(paths.socket))
        client.close()

        assert stat.S_IMODE(paths.socket.stat().st_mode) == 0o600
        assert listening.getsockname() == str(paths.socket)


def test_a_path_too_long_for_a_socket_is_told(paths: Paths) -> None:
    with pytest.raises(ConfigError, match="107 at most: set XDG_RUNTIME_DIR"):
        bind(paths.run / ("x" * 100))


def test_a_socket_that_cannot_be_bound_is_an_error(paths: Paths) -> None:
    with pytest.raises(OSError, match="No such file"):
        bind(paths.run / "missing" / "s")


def test_a_socket_is_taken_over_from_the_system_when_it_is_meant_for_us() -> None:
    assert inherited({}) is None
    stranger = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x", "HOME": "/"}
    assert inherited(stranger) is None
    assert stranger == {"HOME": "/"}


def test_the_daemon_answers_on_a_socket_that_the_system_opened(paths: Paths) -> None:
    code = (
        "import os, sys\n"
        "os.dup2(int(sys.argv[1]), 3, inheritable=True)\n"
        "os.environ |= {'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1'}\n"
        "from rtevents.daemon.place import inherited\n"
        "s = inherited(os.environ)\n"
        "s.setblocking(True)\n"
        "c, _ = s.accept(); c.sendall(b'hello'); c.close()"
    )
    with bind(paths.socket) as listening, socket.socket(socket.AF_UNIX) as client:
        fd = listening.fileno()
        server = subprocess.Popen([sys.executable, "-c", code, str(fd)], pass_fds=[fd])
        client.settimeout(30)
        client.connect(str(paths.socket))

        assert client.recv(5) == b"hello"
        assert server.wait(30) == 0


@pytest.mark.parametrize("kind", ["tcp", "datagram", "file"])
def test_what_is_no_unix_stream_socket_is_not_taken_over(paths: Paths, kind: str) -> None:
    code = (
        "import os, sys\n"
        "os.dup2(int(sys.argv[1]), 3, inheritable=True)\n"
        "os.environ |= {'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1'}\n"
        "from rtevents.daemon.place import inherited\n"
        "inherited(os.environ)\n"
    )
    with ExitStack() as stack:
        opened: socket.socket | TextIO
        if kind == "file":
            opened = stack.enter_context((paths.run / "file").open("w"))
        elif kind == "tcp":
            opened = stack.enter_context(socket.socket(socket.AF_INET))
        else:
            opened = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        done = subprocess.run(
            [sys.executable, "-c", code, str(opened.fileno())],
            pass_fds=[opened.fileno()], capture_output=True, text=True, check=False,
        )  # fmt: skip

    said = done.stderr.splitlines()[-1]
    assert "ConfigError: LISTEN_FDS: not a " in said
    assert done.returncode == 1
