"""What makes a process a daemon."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import threading

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
    for name in (*GIT_VARIABLES, "RTEVENTS_TOKEN", "RTEVENTS_URL"):
        monkeypatch.setenv(name, "x")
    try:
        prepare()

        assert not {*GIT_VARIABLES, "RTEVENTS_TOKEN", "RTEVENTS_URL"} & os.environ.keys()
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
