"""What the hook does at a commit: it notes it, and is never in the way."""

from __future__ import annotations

import logging
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from rtevents.producers import hook
from rtevents.producers.hook.block import MOST
from rtevents.producers.spool import Spool
from tests.conftest import wait_for
from tests.producers.conftest import commit, git
from tests.producers.hooks import _no_daemon, file_of, install, put, repository, spool

__all__ = ["_no_daemon", "repository"]

logger = logging.getLogger(__name__)


def test_rtevents_0_switches_it_off(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(repository)
    monkeypatch.setenv("RTEVENTS", "0")

    commit(repository)

    assert spool(repository) == []


@pytest.mark.parametrize("way", ["detached", "packed", "worktree-config", "sub-folder"])
def test_the_commit_is_noted_wherever_head_is(repository: Path, way: str) -> None:
    install(repository)
    cwd = repository
    match way:
        case "detached":
            git(repository, "switch", "-q", "--detach")
        case "packed":
            git(repository, "switch", "-qc", "feature/x y".replace(" ", "-"))
            git(repository, "pack-refs", "--all")
        case "worktree-config":
            git(repository, "config", "extensions.worktreeConfig", "true")
        case "sub-folder":
            cwd = repository / "sub"
            cwd.mkdir()

    sha = commit(cwd)

    assert spool(repository) == [sha]


def test_a_rebase_notes_every_commit(repository: Path) -> None:
    git(repository, "switch", "-qc", "topic")
    for number in range(3):
        commit(repository, str(number), "topic.txt")
    git(repository, "switch", "-q", "main")
    commit(repository)
    install(repository)

    git(repository, "rebase", "-q", "main", "topic")

    assert set(git(repository, "rev-list", "main..topic").split()) <= set(spool(repository))


def try_commit(
    repository: Path, *, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Make a commit; return how git ended and what it said."""
    return subprocess.run(
        ["git", "commit", "--allow-empty", "-qm", "Change"],
        cwd=repository,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_commit_succeeds_without_a_daemon(repository: Path) -> None:
    install(repository)

    done = try_commit(repository)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert spool(repository) == [git(repository, "rev-parse", "HEAD")]


def test_a_commit_succeeds_without_rtevents(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: str(tmp_path / "gone" / "rtevents"))
    install(repository)

    done = try_commit(repository, env={"PATH": "/usr/bin:/bin"})

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert spool(repository) == [git(repository, "rev-parse", "HEAD")]


def test_a_commit_succeeds_when_nothing_can_be_noted(repository: Path) -> None:
    install(repository)
    shutil.rmtree(repository / ".git" / "rtevents")
    (repository / ".git" / "rtevents").write_text("in the way")

    done = try_commit(repository)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_daemon_is_told_in_the_background_without_gits_environment(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "it's here" / "rtevents"
    told = tmp_path / "told"
    put(program, f'#!/bin/sh\nsleep 0.3\nenv | grep -c ^GIT_DIR > {told}.tmp\n'
                 f'echo "$*" >> {told}.tmp\nmv {told}.tmp {told}\nexit 5\n')  # fmt: skip
    monkeypatch.setattr(shutil, "which", lambda *_, **__: str(program))
    install(repository)
    Spool(repository / ".git").unmark()

    done = try_commit(repository, env={"GIT_DIR": str(repository / ".git")})

    assert done.returncode == 0
    assert not told.exists()
    wait_for(told.exists, "the daemon is told")
    assert told.read_text() == f"0\nhook tell -C {repository / '.git'}\n"
    assert spool(repository) == [git(repository, "rev-parse", "HEAD")]


def test_who_reads_what_git_says_does_not_wait_for_what_is_told_in_the_background(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, told = tmp_path / "rtevents", tmp_path / "told"
    put(program, f"#!/bin/sh\ntouch {told}\n")
    # It goes on when it is told to; or else after so long that waiting for it is seen.
    put(
        tmp_path / "bin" / "sleep",
        f"#!/bin/sh\nPATH=/usr/bin:/bin\nleft=600\nwhile [ ! -e {tmp_path}/go ] && "
        "[ $left -gt 0 ]; do sleep 0.1; left=$((left - 1)); done\n",
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(shutil, "which", lambda *_, **__: str(program))
    install(repository)
    Spool(repository / ".git").unmark()

    begun = time.monotonic()
    done = try_commit(repository)

    assert done.returncode == 0
    assert time.monotonic() - begun < 30
    (tmp_path / "go").touch()
    wait_for(told.exists, "the daemon is told")


@pytest.mark.parametrize("code", [0, 1, 7])
def test_the_code_of_the_hook_is_that_of_the_other(repository: Path, code: int) -> None:
    for text in (f"#!/bin/sh\nexit {code}\n", f"#!{sys.executable}\nraise SystemExit({code})\n"):
        put(file_of(repository), text)
        install(repository)

        done = subprocess.run([file_of(repository)], cwd=repository, check=False)

        assert done.returncode == code
        assert try_commit(repository).returncode == 0
        hook.uninstall(repository)


def test_what_a_commit_costs_with_the_hook(repository: Path) -> None:
    """Tell the median; ``--log-cli-level=info`` shows it."""
    install(repository)
    seconds: dict[str, list[float]] = {"0": [], "1": []}
    for _ in range(15):
        for switch, times in seconds.items():
            begun = time.perf_counter()
            assert try_commit(repository, env={"RTEVENTS": switch}).returncode == 0
            times.append(time.perf_counter() - begun)
    cost = statistics.median(
        with_hook - without for without, with_hook in zip(*seconds.values(), strict=True)
    )

    logger.info("the hook adds %.1f ms to a commit", cost * 1000)
    assert len(spool(repository)) == 15


def test_the_hook_of_a_linked_work_tree_notes_without_asking_git(
    repository: Path, tmp_path: Path
) -> None:
    linked = tmp_path / "linked"
    git(repository, "worktree", "add", "-q", str(linked))
    install(repository)
    sha = commit(linked)
    (repository / ".git" / "rtevents" / "spool").unlink()
    # As git runs it there; and there is no git to be asked.
    done = subprocess.run(
        ["/bin/sh", file_of(repository)],
        cwd=linked,
        env={"PATH": "/nowhere", "GIT_DIR": str(repository / ".git" / "worktrees" / "linked")},
        check=False,
    )

    assert done.returncode == 0
    assert spool(repository) == [sha]


def run_alone(repository: Path, sha: str) -> None:
    """Run the hook as after a commit of this hash, on a detached HEAD."""
    (repository / ".git" / "HEAD").write_text(f"{sha}\n")
    done = subprocess.run([file_of(repository)], cwd=repository, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("last", "0123456789abcdef")
def test_one_note_in_sixteen_is_told_as_well(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    program, told = tmp_path / "rtevents", tmp_path / "told"
    put(program, f'#!/bin/sh\necho "$3" > {told}.tmp && mv {told}.tmp {told}\n')
    # Without the pause, and the shell waits: what has not come by then does not come.
    put(tmp_path / "bin" / "sleep", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(shutil, "which", lambda *_, **__: str(program))
    install(repository)
    with file_of(repository).open("a") as opened:
        opened.write("wait\n")
    sha = 39 * "1" + last

    run_alone(repository, sha)

    assert spool(repository) == [sha]
    assert told.exists() == (last == "0")


def test_the_spool_of_a_daemon_that_never_comes_back_does_not_grow_for_ever(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: str(tmp_path / "gone" / "rtevents"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    install(repository)
    notes = Spool(repository / ".git")
    long = "".join(f"{number:040x}\n" for number in range(MOST // 41 + 1))
    (repository / ".git" / "rtevents" / "spool").write_text(long)

    run_alone(repository, 39 * "1" + "0")

    wait_for(lambda: spool(repository) == [], "the long spool is put aside")
    assert len(notes.noted()) == len(long) // 41 + 1
    (repository / ".git" / "rtevents" / "spool").write_text(long)
    run_alone(repository, 39 * "2" + "0")
    wait_for(lambda: spool(repository) == [], "the next one takes its place")
    assert 39 * "2" + "0" in notes.take()
    assert len(notes.noted()) == len(long) // 41 + 1
