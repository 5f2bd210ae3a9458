"""What makes a process a daemon."""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rtevents.core.filter import Filter
from rtevents.daemon.process import GIT_VARIABLES, Threads, prepare
from tests.conftest import Daemon


def test_a_thread_that_hangs_does_not_hold_the_end() -> None:
    release, hangs = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        release.wait()

    async def scene() -> None:
        asyncio.get_running_loop().set_default_executor(Threads())
        hanging = asyncio.create_task(asyncio.to_thread(hang))
        await asyncio.to_thread(hangs.wait)
        hanging.cancel()

    with asyncio.Runner() as runner:
        runner.run(scene())

    assert hangs.is_set()
    assert not release.is_set()
    release.set()


def test_what_is_for_others_is_taken_out_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    interval = sys.getswitchinterval()
    withheld = {*GIT_VARIABLES, "RTEVENTS_STORE", "RTEVENTS_TOKEN", "RTEVENTS_URL"}
    for name in withheld:
        monkeypatch.setenv(name, "x")
    try:
        prepare()

        assert not withheld & os.environ.keys()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))
        sys.setswitchinterval(interval)


def test_a_hook_of_the_repository_sees_no_secret_of_the_daemon(stopped_daemon: Daemon) -> None:
    """S26: what the daemon starts has neither its token nor its open files."""
    daemon = stopped_daemon
    root = daemon.repository()
    hook = root / ".git" / "hooks" / "pre-commit"
    hook.write_text("#!/bin/sh\n{ env; ls -l /proc/self/fd; } > .git/seen\n")
    hook.chmod(0o755)
    config = daemon.home / "config" / "rtevents" / "config.yaml"
    config.parent.mkdir(mode=0o700)
    config.write_text(
        f"auto_commit: {{quiet: 0.1}}\nprojects: [{{path: {root}, auto_commit: true}}]\n"
    )
    secrets = {"RTEVENTS_TOKEN": "rte_abcdefgh_secret", "NOTIFY_SOCKET": str(daemon.home / "n")}
    daemon.start("--no-project", "--quiet", env=secrets)
    with daemon.client() as client:
        stream = client.stream(Filter(types=frozenset({"COMMIT"})), since="all", reconnect=False)
        (root / "new.txt").write_text("x\n")
        next(stream)

    seen = (root / ".git" / "seen").read_text()
    assert "PATH=" in seen
    assert "rte_" not in seen
    assert "NOTIFY_SOCKET" not in seen
    assert "events.db" not in seen
    assert "socket:" not in seen


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to look at")
def test_what_is_free_between_pieces_in_use_is_given_back() -> None:
    """In a process of its own: what it takes is what the system counts for it."""
    code = """
import asyncio, contextlib
from rtevents.core.stats import resident_bytes
from rtevents.daemon.process import give_back_memory

pieces = [b"x" * 100_000 for _ in range(1000)]
kept = pieces[::2]
del pieces
before = resident_bytes()

async def main():
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(20):
            task = asyncio.create_task(give_back_memory(0.01))
            while resident_bytes() > before - 30_000_000:
                await asyncio.sleep(0.01)
    task.cancel()

asyncio.run(main())
print(len(kept), before - resident_bytes())
"""
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("not glibc: its malloc keeps nothing that could be given back")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert int(done.stdout.split()[1]) > 30_000_000
