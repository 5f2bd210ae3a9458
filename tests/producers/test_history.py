"""What a repository's commits changed before anybody watched it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rtevents.producers import history as module
from rtevents.producers.history import Past, history, parse
from rtevents.producers.repository import Repository

from .conftest import commit, git


def of(root: Path) -> list[list[str]]:
    """Return the files of each commit."""
    return [each.files for each in history(Repository(root, 60.0))]


def test_the_files_of_each_commit_the_oldest_first(repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD")
    git(repository, "checkout", "-qb", "side")
    commit(repository, file="side.py")
    git(repository, "checkout", "-q", "main")
    (repository / "sub").mkdir()
    (repository / "sub" / "a b\x01\n:c.py").write_text("x\n")
    (repository / "file.txt").unlink()
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "Odd")
    git(repository, "merge", "-qm", "Merge", "side")
    found = history(Repository(repository, 60.0))

    assert found[0] == Past(first, ["file.txt"])
    assert sorted(each.files for each in found[1:]) == [
        ["file.txt", "sub/a b\x01\n:c.py"], ["side.py"],
    ]  # fmt: skip


def test_there_is_none_where_there_is_no_commit_or_no_repository(tmp_path: Path) -> None:
    assert of(tmp_path) == []
    git(tmp_path, "init", "-q", str(tmp_path / "empty"))
    assert of(tmp_path / "empty") == []


def test_it_is_bounded_by_commits_and_bytes_and_keeps_the_newest(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        commit(repository, file=f"{number}.py")
    monkeypatch.setattr(module, "MOST_COMMITS", 10)
    assert of(repository) == [[f"{number}.py"] for number in range(20, 30)]
    monkeypatch.setattr(module, "MOST_BYTES", 700)
    some = of(repository)

    assert 2 <= len(some) < 6
    assert some == [[f"{number}.py"] for number in range(30 - len(some), 30)]


def test_git_is_ended_when_it_takes_too_long_or_says_too_much(repository: Path) -> None:
    asked = Repository(repository, 60.0)
    sha = git(repository, "rev-parse", "HEAD")
    once = asked.ask("cat-file", "--batch", given=f"{sha}\n")
    # It would say far more than that, and waits for whoever reads it.
    assert asked.ask_for(100, 60.0, "cat-file", "--batch", given=f"{sha}\n" * 50_000) == once[:100]
    fifo = repository / "pipe"
    subprocess.run(["mkfifo", str(fifo)], check=True)
    # Nobody ever writes what it reads: only the time ends it.
    assert asked.ask_for(100, 0.2, "hash-object", "--no-filters", "pipe", given="") == b""


def test_what_is_cut_off_is_left_out() -> None:
    sha, other = b"a" * 40, b"b" * 40
    row = b":100644 100644 1 2 M"
    fields = [sha, row, b"x", other, row, b"y", b""]

    assert [each.files for each in parse(fields)] == [["x"], ["y"]]
    assert [each.files for each in parse(fields[:5])] == [["x"]]
    assert [each.files for each in parse([*fields[:3], b""])] == [["x"]]
    assert parse([b""]) == []


def test_nothing_of_the_repository_is_run(repository: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for name in ("core.fsmonitor", "core.pager", "diff.external"):
        git(repository, "config", name, f"touch {ran}; :")
    git(repository, "config", "diff.evil.textconv", f"touch {ran}; cat")
    (repository / ".gitattributes").write_text("* diff=evil\n")
    git(repository, "add", "-A")
    git(repository, "-c", "core.fsmonitor=false", "commit", "-qm", "Evil")
    ran.unlink(missing_ok=True)

    assert of(repository)[-1] == [".gitattributes"]
    assert not ran.exists()
