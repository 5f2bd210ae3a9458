"""Where the hook is put in real repositories: beside any other, and gone without a trace."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rtevents.errors import BadInput, NotAllowed
from rtevents.producers import hook
from rtevents.producers.hook.block import BEGIN, END
from rtevents.producers.hook.file import CHAINED
from rtevents.producers.spool import Spool
from tests.producers.conftest import commit, git
from tests.producers.hooks import (
    PYTHON,
    SHELL,
    STRICT,
    _no_daemon,
    file_of,
    install,
    listing,
    put,
    repository,
    spool,
)

__all__ = ["_no_daemon", "repository"]


def test_a_repository_without_a_hook_gets_one(repository: Path) -> None:
    assert not hook.status(repository).is_installed

    done = install(repository)

    assert done == hook.HookStatus(
        file_of(repository), is_installed=True, has_other=False, ways=["file"], is_watched=True
    )
    assert done.describe() == f"installed: {file_of(repository)}"
    assert file_of(repository).stat().st_mode & 0o777 == 0o755
    sha = commit(repository)
    assert spool(repository) == [sha]


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        (SHELL, 0o755),
        (SHELL, 0o700),
        (SHELL, 0o644),
        (STRICT, 0o755),
        (PYTHON, 0o755),
        ("#!/bin/sh\n", 0o755),
        ("#!/bin/sh", 0o755),
        ("#! /bin/sh -e\nexit 3\n", 0o755),
        ("#!/usr/bin/env -S bash -e\ntrue", 0o755),
        ("#!/usr/bin/perl -e\nexit 0;\n", 0o755),
        ("echo no first line\n", 0o755),
        ("", 0o755),
        ("#!/bin/sh\r\necho \udcff\r\n", 0o755),
        ("\x7fELF\0\0", 0o755),
    ],
)
def test_uninstalling_restores_to_the_byte(repository: Path, text: str, mode: int) -> None:
    put(file_of(repository), text, mode)
    before = listing(file_of(repository).parent)

    for _ in range(2):
        done = install(repository)
        assert (done.is_installed, done.has_other, done.problems) == (True, True, [])
    for _ in range(2):
        assert not hook.uninstall(repository).is_installed

    assert listing(file_of(repository).parent) == before


def test_uninstalling_leaves_nothing_where_nothing_was(repository: Path) -> None:
    before = listing(file_of(repository).parent)
    install(repository)

    assert not hook.uninstall(repository).is_installed
    assert listing(file_of(repository).parent) == before


def test_uninstalling_leaves_no_notes_where_nobody_watches(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: "/no/such/rtevents")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    install(repository)
    Spool(repository / ".git").clear()
    commit(repository)
    assert len(spool(repository)) == 1

    hook.uninstall(repository)

    assert not (repository / ".git" / "rtevents").exists()


def test_installing_twice_changes_nothing_more(repository: Path) -> None:
    put(file_of(repository), SHELL)
    install(repository)
    once = listing(file_of(repository).parent)

    install(repository)

    assert listing(file_of(repository).parent) == once


def test_an_older_block_is_replaced(repository: Path) -> None:
    put(file_of(repository), f"#!/bin/sh\n{BEGIN}\nexit 9\n{END}\necho after >> ran\n")

    install(repository)

    assert "exit 9" not in file_of(repository).read_text()
    sha = commit(repository)
    assert (repository / "ran").read_text() == "after\n"
    assert spool(repository) == [sha]


@pytest.mark.parametrize(("text", "said"), [(SHELL, "sh\n"), (STRICT, "bash\n")])
def test_a_shell_hook_runs_beside_it(repository: Path, text: str, said: str) -> None:
    put(file_of(repository), text)
    done = install(repository)
    assert done.describe().startswith("installed, beside another hook: ")

    sha = commit(repository)

    assert (repository / "ran").read_text() == said
    assert spool(repository) == [sha]


def test_a_hook_of_another_language_keeps_its_arguments_and_exit_code(repository: Path) -> None:
    put(file_of(repository), PYTHON)
    install(repository)

    done = subprocess.run([file_of(repository), "one", "two three"], cwd=repository, check=False)

    assert done.returncode == 7
    said = (repository / "ran").read_text()
    assert said == f"{file_of(repository).with_name(CHAINED)} ['one', 'two three']"
    assert spool(repository) == [git(repository, "rev-parse", "HEAD")]


def test_a_hook_that_was_switched_off_stays_off(repository: Path) -> None:
    put(file_of(repository), SHELL, 0o644)
    install(repository)

    sha = commit(repository)

    assert not (repository / "ran").exists()
    assert spool(repository) == [sha]


@pytest.mark.parametrize("target", ["../../scripts/hook", "../../gone"])
def test_a_linked_hook_is_not_written_through(repository: Path, target: str) -> None:
    put(repository / "scripts" / "hook", SHELL)
    file_of(repository).symlink_to(target)
    before = listing(file_of(repository).parent)
    install(repository)

    sha = commit(repository)
    hook.uninstall(repository)

    assert spool(repository) == [sha]
    assert (repository / "ran").exists() == (target != "../../gone")
    assert (repository / "scripts" / "hook").read_text() == SHELL
    assert listing(file_of(repository).parent) == before


def test_a_hook_that_was_put_aside_is_never_overwritten(repository: Path) -> None:
    put(file_of(repository), PYTHON)
    install(repository)
    put(file_of(repository), PYTHON.replace("7", "8"))
    before = listing(file_of(repository).parent)

    with pytest.raises(NotAllowed, match="is in the way"):
        install(repository)

    assert listing(file_of(repository).parent) == before


def test_a_hook_that_git_will_not_run_is_told(repository: Path) -> None:
    install(repository)
    file_of(repository).chmod(0o644)

    assert hook.status(repository).problems == [
        hook.Problem(
            "it is not executable, so git does not run it", f"chmod +x {file_of(repository)}"
        )
    ]


def test_a_missing_folder_of_hooks_is_made(repository: Path) -> None:
    shutil.rmtree(file_of(repository).parent)

    install(repository)

    sha = commit(repository)
    assert spool(repository) == [sha]


@contextmanager
def nobody() -> Iterator[None]:
    """Be a user whom permissions hold back, as root is not."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_folder_of_hooks_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = home / "web"
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    git(home, "init", "-q", str(root))
    put(file_of(root), PYTHON)
    file_of(root).parent.chmod(0o555)
    if os.geteuid() == 0:
        for path in (home, *home.rglob("*")):
            os.chown(path, 65534, 65534)

    with nobody():
        before = listing(file_of(root).parent)
        with pytest.raises(NotAllowed, match="cannot be written: Permission denied"):
            install(root)
        assert listing(file_of(root).parent) == before

        file_of(root).parent.chmod(0o755)
        install(root)
        file_of(root).parent.chmod(0o555)
        before = listing(file_of(root).parent)
        with pytest.raises(NotAllowed, match="cannot be written: Permission denied"):
            hook.uninstall(root)
        assert listing(file_of(root).parent) == before


def test_hooks_that_are_switched_off_altogether_are_told(repository: Path) -> None:
    git(repository, "config", "core.hooksPath", "/dev/null")

    with pytest.raises(NotAllowed, match=r"outside this repository \(/dev/null"):
        install(repository)
    with pytest.raises(NotAllowed, match="/dev/null/post-commit cannot be written"):
        install(repository, force=True)
    assert not hook.status(repository).is_installed


def test_a_hooks_path_inside_the_repository_is_used(repository: Path) -> None:
    git(repository, "config", "core.hooksPath", ".githooks")
    (repository / "sub").mkdir()

    done = install(repository / "sub")

    assert done.file == repository / ".githooks" / "post-commit"
    sha = commit(repository)
    assert spool(repository) == [sha]


def test_a_hooks_path_outside_the_repository_needs_force(repository: Path, tmp_path: Path) -> None:
    outside = tmp_path / "hooks"
    git(repository, "config", "core.hooksPath", str(outside))

    with pytest.raises(NotAllowed, match=r"outside this repository .*--force installs"):
        install(repository)
    assert not outside.exists()
    assert hook.status(repository).problems
    done = install(repository, force=True)

    assert done.file == outside / "post-commit"
    sha = commit(repository)
    assert spool(repository) == [sha]
    assert not hook.uninstall(repository).is_installed
    assert list(outside.iterdir()) == []


def test_a_linked_work_tree_has_the_hook_of_its_repository(
    repository: Path, tmp_path: Path
) -> None:
    linked = tmp_path / "linked"
    git(repository, "worktree", "add", "-q", str(linked))

    done = install(linked)

    assert done.file == file_of(repository)
    sha = commit(linked)
    assert spool(repository) == [sha]


def test_a_bare_repository_can_have_the_hook(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "bare.git")

    done = install(tmp_path / "bare.git")

    assert done.file == tmp_path / "bare.git" / "hooks" / "post-commit"
    assert not hook.uninstall(tmp_path / "bare.git").is_installed


def test_a_git_that_fails_is_not_taken_for_no_repository(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = repository.parent / "gitconfig"
    config.write_text("[core\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))

    with pytest.raises(BadInput, match="bad config line 1"):
        hook.status(repository)


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    for ask in (hook.status, install, hook.uninstall):
        with pytest.raises(BadInput, match="not in a git repository"):
            ask(tmp_path)
