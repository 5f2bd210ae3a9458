"""The hook beside the programs that manage hooks, themselves: whoever comes first, both run."""

from __future__ import annotations

import os
import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest

from rtevents.producers import hook
from rtevents.producers.spool import Spool
from tests.fetched import fetch, npm
from tests.producers.conftest import commit, git

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PRE_COMMIT = """\
repos:
- repo: local
  hooks:
  - id: ran
    name: ran
    language: system
    entry: sh -c "echo manager >> ran"
    always_run: true
    stages: [post-commit]
"""

LEFTHOOK = "post-commit:\n  commands:\n    ran:\n      run: echo manager >> ran\n"


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which `pre-commit` and `lefthook` are."""
    folder = tmp_path_factory.mktemp("managers")
    venv.create(folder, with_pip=True)
    fetch([folder / "bin" / "pip", "install", "-q", "pre-commit", "lefthook"], folder)
    return folder / "bin"


@pytest.fixture(scope="session")
def husky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return husky's program."""
    folder = tmp_path_factory.mktemp("husky")
    return npm("husky@9", folder) / "husky" / "bin.js"


class Managed:
    """A watched repository, and a program that manages its hooks."""

    def __init__(self, root: Path, install: Sequence[str]) -> None:
        self.root = root
        self._install = install
        self.file = root / ".git" / "hooks" / "post-commit"

    def manage(self) -> None:
        """Let the program install its hooks."""
        subprocess.run(self._install, cwd=self.root, check=True, capture_output=True)

    def run(self) -> tuple[bool, bool]:
        """Commit; return whether it was noted, and whether the program ran its own hook."""
        (self.root / "ran").unlink(missing_ok=True)
        sha = commit(self.root)
        is_noted = sha in Spool(self.root / ".git").noted()
        return is_noted, (self.root / "ran").exists()


@pytest.fixture(params=["pre-commit", "lefthook", "husky"])
def managed(
    request: pytest.FixtureRequest, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> Managed:
    """Return a repository in which a program is to run a hook, and which it does not manage yet."""
    Spool(repository / ".git").mark()
    match request.param:
        case "husky":
            put(repository / ".husky" / "post-commit", "echo manager >> ran\n")
            return Managed(repository, ["node", str(request.getfixturevalue("husky"))])
        case "lefthook":
            put(repository / "lefthook.yml", LEFTHOOK)
            arguments = ["install"]
        case _:
            put(repository / ".pre-commit-config.yaml", PRE_COMMIT)
            arguments = ["install", "-t", "post-commit"]
    programs: Path = request.getfixturevalue("programs")
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return Managed(repository, [request.param, *arguments])


def put(file: Path, text: str) -> None:
    """Write a file and commit it."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    git(file.parent, "add", file.name)
    git(file.parent, "commit", "-qm", "Manage hooks")


def test_both_run_when_it_was_there_before(managed: Managed) -> None:
    managed.manage()

    assert hook.install(managed.root, way="file").problems == []

    assert managed.run() == (True, True)
    assert not hook.uninstall(managed.root).is_installed
    assert managed.run() == (False, True)


def test_when_it_comes_after_the_hook_runs_or_status_tells(managed: Managed) -> None:
    hook.install(managed.root, way="file")
    managed.manage()

    found = hook.status(managed.root)

    assert managed.run() == (found.is_installed and not found.problems, True)
    hook.install(managed.root, way="file")
    assert managed.run() == (True, True)
    assert hook.status(managed.root).problems == []


def test_what_it_does_again_is_harmless_and_told(managed: Managed) -> None:
    managed.manage()
    before = managed.file.read_bytes() if managed.file.exists() else b""
    hook.install(managed.root, way="file")
    managed.manage()

    found = hook.status(managed.root)

    assert managed.run() == (found.is_installed and not found.problems, True)
    hook.install(managed.root, way="file")
    assert managed.run() == (True, True)
    hook.uninstall(managed.root)
    assert (managed.file.read_bytes() if managed.file.exists() else b"") == before


def test_husky_keeps_the_hook_when_packages_are_installed_again(
    repository: Path, husky: Path
) -> None:
    Spool(repository / ".git").mark()
    put(repository / ".husky" / "post-commit", "echo manager >> ran\n")
    before = (repository / ".husky" / "post-commit").read_bytes()
    managed = Managed(repository, ["node", str(husky)])
    managed.manage()
    hook.install(repository, way="file")

    managed.manage()

    assert hook.status(repository).problems == []
    assert managed.run() == (True, True)
    hook.uninstall(repository)
    assert managed.run() == (False, True)
    assert (repository / ".husky" / "post-commit").read_bytes() == before
