"""What is ordinary in a repository is no risk, and what is settled there is over."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rtevents.config.risks import RiskSettings
from rtevents.core.event import Event
from rtevents.producers.risk.deletions import Deletions
from rtevents.producers.risk.work import Uncommitted
from tests.producers.conftest import commit, git

from .conftest import Watch, Watcher, real_now
from .test_rules import TOKEN, committed, write


def made(root: Path, count: int, folder: str = "src") -> list[str]:
    """Write so many files, and return their names."""
    (root / folder).mkdir(exist_ok=True)
    names = [f"{folder}/{at}.py" for at in range(count)]
    for name in names:
        (root / name).write_text(f"{name}\n")
    return names


def all_in(root: Path) -> None:
    """Commit all there is."""
    git(root, "add", "-A")
    git(root, "commit", "-qm", "All")


def gone(watcher: Watcher, names: list[str]) -> list[Event]:
    """Return what is told of files that were deleted."""
    return [watcher.event("FILE_CHANGE", file_path=name, change_type="deleted") for name in names]


def ref_moved(watcher: Watcher, change: str = "moved") -> Event:
    """Return what is told of a branch: the rules ask git what is in it."""
    data: dict[str, Any] = {"ref": "refs/heads/main", "change": change, "old": None, "new": None}
    return watcher.event("REF_UPDATE", **data)


async def test_what_git_never_had_may_go(watched: Watch, repository: Path) -> None:
    names = made(repository, 70, "build")
    async with watched(root=repository) as watcher:
        shutil.rmtree(repository / "build")
        await watcher.tell(*gone(watcher, names))
        assert await watcher.told() == []
        # Nor is it counted when a few files go that git has.
        kept = made(repository, 49)
        all_in(repository)
        shutil.rmtree(repository / "src")
        await watcher.tell(*gone(watcher, [*kept, "build/0.py", "build/70.py"]))

        assert await watcher.told() == []


@pytest.mark.parametrize("is_committed", [True, False])
async def test_files_that_git_has_are_missed_until_a_commit_lets_them_go(
    watched: Watch, repository: Path, is_committed: bool
) -> None:
    names = made(repository, 60)
    git(repository, "add", "-A")
    if is_committed:  # else they are in the index alone: nothing else has them
        git(repository, "commit", "-qm", "Add")
    async with watched(root=repository) as watcher:
        shutil.rmtree(repository / "src")
        await watcher.tell(*gone(watcher, names))
        assert await watcher.told() == [("deletions", "open")]
        assert (await watcher.alert()).data["message"] == (
            "50 files or more deleted within 1 min, the last: src/49.py"
        )
        git(repository, "add", "-A")
        if is_committed:
            await watcher.tell(watcher.event("FILE_CHANGE", file_path="x", change_type="modified"))
            assert await watcher.told() == [("deletions", "open")]
            git(repository, "commit", "-qm", "Remove")
        await watcher.kill()
        await watcher.watch()
        sha = git(repository, "rev-parse", "HEAD")
        await committed(watcher, repository, sha)

        assert await watcher.told() == [("deletions", "open"), ("deletions", "closed")]
        assert (await watcher.alert()).data["reason"] == "it is committed, or the files are back"


async def test_files_that_are_back_are_missed_no_more_and_again_when_they_go(
    watched: Watch, repository: Path
) -> None:
    names = made(repository, 60)
    all_in(repository)
    async with watched(root=repository) as watcher:
        for _ in range(2):
            shutil.rmtree(repository / "src")
            await watcher.tell(*gone(watcher, names))
            git(repository, "checkout", "--", "src")
            await watcher.tell(
                watcher.event("FILE_CHANGE", file_path=names[0], change_type="created")
            )

        assert await watcher.told_of("deletions") == ["open", "closed"] * 2


async def test_deletions_are_counted_across_a_crash(watched: Watch, repository: Path) -> None:
    names = made(repository, 50)
    all_in(repository)
    async with watched(root=repository, large_file_bytes=100) as watcher:
        shutil.rmtree(repository / "src")
        await watcher.tell(*gone(watcher, names[:49]))
        # What is told is kept, and what was counted with it.
        big = repository / "big.bin"
        big.write_bytes(b"x" * 200)
        new: dict[str, Any] = {"file_path": "big.bin", "change_type": "created", "size": 200}
        await watcher.tell(watcher.event("FILE_CHANGE", **new))
        await watcher.kill()
        await watcher.watch()
        await watcher.tell(*gone(watcher, names[49:]))

        assert await watcher.told_of("deletions") == ["open"]


async def test_a_folder_that_is_no_repository_counts_every_file(
    watched: Watch, tmp_path: Path
) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    async with watched(root=folder) as watcher:
        await watcher.tell(*gone(watcher, [f"{at}.txt" for at in range(50)]))

        assert await watcher.told() == [("deletions", "open")]


def stash(root: Path) -> None:
    git(root, "stash", "-qu")


def away(root: Path) -> None:
    git(root, "checkout", "-qf", "--", ".")
    git(root, "clean", "-qfd")


@pytest.mark.parametrize("settle", [all_in, stash, away])
async def test_much_work_is_over_as_soon_as_git_has_it(
    watched: Watch, repository: Path, settle: Callable[[Path], None], monkeypatch: Any
) -> None:
    """It does not take until the next look, which is minutes away."""
    async with watched(root=repository) as watcher:
        made(repository, 41)
        await watcher.tell(
            watcher.event("FILE_CHANGE", file_path="src/1.py", change_type="created")
        )
        await watcher.later(4 * 3600 + 1)
        assert await watcher.told() == [("uncommitted", "open")]
        monkeypatch.setattr("rtevents.producers.risk.WORK_SECONDS", 1e9)
        await watcher.settled()
        settle(repository)
        sha = git(repository, "rev-parse", "HEAD")
        if settle is all_in:
            await watcher.tell(*watcher.commits(repository, [sha]))
        else:
            data: dict[str, Any] = {"file_path": "src/1.py", "change_type": "deleted"}
            await watcher.tell(watcher.event("FILE_CHANGE", **data, cause="reset"))

        assert await watcher.told() == [("uncommitted", "open"), ("uncommitted", "closed")]


async def test_work_that_was_committed_between_two_looks_begins_anew(
    watched: Watch, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(root=repository) as watcher:
        made(repository, 41)
        await watcher.tell(
            watcher.event("FILE_CHANGE", file_path="src/1.py", change_type="created")
        )
        await watcher.later(3 * 3600)
        monkeypatch.setattr("rtevents.producers.risk.WORK_SECONDS", 1e9)
        await watcher.settled()
        all_in(repository)
        await watcher.tell(*watcher.commits(repository, [git(repository, "rev-parse", "HEAD")]))
        made(repository, 41, "other")
        await watcher.kill()  # a new one looks at once
        await watcher.watch()
        await watcher.later(2 * 3600)

        assert await watcher.told() == []


async def test_much_work_that_somebody_closed_stays_closed_until_it_is_worse(
    watched: Watch, repository: Path
) -> None:
    """It is found at each look: without that, it would be open again in five minutes."""
    async with watched(root=repository) as watcher:
        made(repository, 41)
        await watcher.tell(
            watcher.event("FILE_CHANGE", file_path="src/1.py", change_type="created")
        )
        await watcher.later(4 * 3600 + 1)
        opened = (await watcher.alert()).data
        closed = watcher.event("RISK_ALERT", **opened | {"state": "closed"})
        await watcher.tell(closed)
        await watcher.later(3600)
        await watcher.kill()
        await watcher.watch()
        await watcher.later(3600)
        assert await watcher.told_of("uncommitted") == ["open", "closed"]
        await watcher.later(12 * 3600)

        assert await watcher.told_of("uncommitted") == ["open", "closed", "open"]
        assert (await watcher.alert()).data["severity"] == "high"


def test_what_was_remembered_before_is_taken_up() -> None:
    """Of much work the time alone was kept; of deletions, what is counted of any event."""
    work = Uncommitted(RiskSettings())
    work.remember({"web": 5.0})
    again = Uncommitted(RiskSettings())
    again.remember(msgspec.to_builtins(work.remembered()))
    deletions = Deletions(RiskSettings())
    deletions.remember({"web\0": {"times": [1.0], "ids": ["a"]}})

    assert again.is_due("web")
    assert deletions.asked("web") == []


def large(watcher: Watcher, name: str, root: Path) -> Event:
    """Write a very large file, as these tests have it, and return what is told of it."""
    (root / name).write_bytes(b"\0" * 100_000)
    data: dict[str, Any] = {"file_path": name, "change_type": "created", "size": 100_000}
    return watcher.event("FILE_CHANGE", **data)


async def test_a_very_large_file_is_over_once_it_is_ignored(
    watched: Watch, repository: Path
) -> None:
    async with watched(root=repository, large_file_bytes=100_000) as watcher:
        await watcher.tell(large(watcher, "dump.sql", repository))
        assert await watcher.told() == [("large_file", "open")]
        (repository / ".gitignore").write_text("*.sql\n")
        await watcher.tell(
            watcher.event("FILE_CHANGE", file_path=".gitignore", change_type="created", size=6)
        )

        assert await watcher.told() == [("large_file", "open"), ("large_file", "closed")]


async def test_a_very_large_file_that_git_lfs_keeps_is_no_risk(
    watched: Watch, repository: Path
) -> None:
    (repository / ".gitattributes").write_text("*.psd filter=lfs -text\n")
    async with watched(root=repository, large_file_bytes=100_000) as watcher:
        await watcher.tell(large(watcher, "a.psd", repository))
        assert await watcher.told() == []
        await watcher.tell(large(watcher, "a.bin", repository))

        assert await watcher.told() == [("large_file", "open")]


async def test_a_very_large_file_that_went_unseen_is_over(watched: Watch, repository: Path) -> None:
    async with watched(root=repository, large_file_bytes=100_000) as watcher:
        await watcher.tell(large(watcher, "dump.sql", repository))
        (repository / "dump.sql").unlink()
        await watcher.later(10)

        assert await watcher.told() == [("large_file", "open"), ("large_file", "closed")]


def reset(root: Path) -> None:
    git(root, "reset", "-q", "--hard", "HEAD~1")


def rebased(root: Path) -> None:
    git(root, "rebase", "-q", "--onto", "HEAD~1", "HEAD")


def left(root: Path) -> None:
    """Leave the branch, and delete it."""
    git(root, "checkout", "-q", "--detach", "HEAD~1")
    git(root, "branch", "-qD", "main")


@pytest.mark.parametrize("drop", [reset, rebased, left])
async def test_what_a_dropped_commit_brought_is_over(
    watched: Watch, repository: Path, drop: Callable[[Path], None]
) -> None:
    async with watched(root=repository, large_file_bytes=100_000) as watcher:
        commit(repository)
        (repository / "conf.py").write_text(f"key = '{TOKEN}'\n")
        (repository / "LICENSE").write_text("Mine.\n")
        sha = write(repository, "data.bin", b"\0" * 100_000)
        git(repository, "add", "-A")
        git(repository, "commit", "-q", "--amend", "--no-edit")
        await committed(watcher, repository, sha := git(repository, "rev-parse", "HEAD"))
        rules = {"secret", "large_file", "protected"}
        assert {*await watcher.told()} == {(rule, "open") for rule in rules}
        git(repository, "tag", "keep")
        drop(repository)
        await watcher.tell(ref_moved(watcher))
        assert len(await watcher.told()) == 3  # a tag has it still
        git(repository, "tag", "-d", "keep")
        await watcher.tell(ref_moved(watcher, "deleted"))

        assert {*await watcher.told()} - {(rule, "open") for rule in rules} == {
            (rule, "closed") for rule in rules
        }
        # It opens again with the commit: somebody else has it, and it was fetched.
        git(repository, "checkout", "-q", "--detach", sha)
        watcher.now = real_now() + 9
        [again] = watcher.commits(repository, [sha])
        await watcher.tell(watcher.event("FILE_CHANGE", file_path="x", change_type="modified"))
        await watcher.tell(msgspec.structs.replace(again, event_id=f"{again.event_id}-2"))
        assert await watcher.told_of("secret") == ["open", "closed", "open"]


async def test_a_secret_that_a_squash_carries_on_stays(watched: Watch, repository: Path) -> None:
    """The commit that is there instead has it: told or not, the file has."""
    async with watched(root=repository) as watcher:
        await committed(watcher, repository, write(repository, "conf.py", f"k = '{TOKEN}'\n"))
        commit(repository)
        git(repository, "reset", "-q", "--soft", "HEAD~2")
        git(repository, "commit", "-qm", "Both")
        await watcher.tell(ref_moved(watcher))

        assert await watcher.told() == [("secret", "open")]
