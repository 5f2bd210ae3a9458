"""Automatic commits: as their user would make them, or not at all; and how that ended is told."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rtevents.config.settings import AutoCommitSettings, Config
from rtevents.core.event import Event, is_same_body
from rtevents.core.keep import load, save
from rtevents.producers import autocommit, saver
from rtevents.producers.autocommit import AutoCommitProducer
from rtevents.producers.commit import build_commit
from rtevents.producers.git import GitProducer
from rtevents.producers.saver import SaveError, Saver
from tests.conftest import PATIENCE
from tests.producers.conftest import Watching, World, commit, git

START, RESULT, ERROR = "AUTO_COMMIT_START", "AUTO_COMMIT_RESULT", "AUTO_COMMIT_ERROR"


def settings(**changed: Any) -> Config:
    """Return settings with which nobody has to wait for long."""
    return Config(auto_commit=AutoCommitSettings(**{"quiet": 0.1, "timeout": 20.0, **changed}))


class Auto:
    """A project that is committed automatically, and what was told of it."""

    def __init__(self, root: Path, watching: Watching) -> None:
        self.root = root
        self.watching = watching

    def write(self, name: str = "file.txt", text: str = "changed\n") -> None:
        """Change a file, as the daemon would know it."""
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)
        self.hint()

    def hint(self) -> None:
        """Tell that something changed."""
        assert isinstance(self.watching.producer, AutoCommitProducer)
        self.watching.producer.hint()

    @property
    def told(self) -> list[str]:
        """The types of what was told."""
        return [event.type for event in self.watching.events]

    async def end(self, count: int = 1) -> Event:
        """Return the event that told the end of the last of so many tries."""
        await self.watching.until(lambda: len(self.told) >= 2 * count)
        assert len(self.told) == 2 * count
        for start, end in zip(*[iter(self.watching.events)] * 2, strict=True):
            assert (start.type, end.type in (RESULT, ERROR)) == (START, True)
            assert start.extensions == {"correlation_id": start.event_id}
            assert end.extensions == start.extensions | {"causation_id": start.event_id}
        return self.watching.events[-1]

    async def error(self, count: int = 1) -> str:
        """Return why the last of so many tries failed."""
        event = await self.end(count)
        assert event.type == ERROR, event.data
        return str(event.data["error"])

    async def settle(self) -> None:
        """Return when the producer has looked, and waits."""
        self.hint()
        await self.watching.until(lambda: True)
        await asyncio.sleep(0.5)


@asynccontextmanager
async def automatic(world: World, root: Path, **changed: Any) -> AsyncIterator[Auto]:
    """Commit a project automatically."""
    async with world.watch("auto_commit", root, config=settings(**changed)) as watching:
        yield Auto(root, watching)


@pytest.fixture(autouse=True)
def nobody_tells_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nobody: here is no producer of files."""
    monkeypatch.setattr(autocommit, "CAUSE_SECONDS", 0)


@pytest.fixture
async def auto(world: World, repository: Path) -> AsyncIterator[Auto]:
    """Return a project with one commit that is committed automatically."""
    async with automatic(world, repository) as auto:
        yield auto


def is_clean(root: Path) -> bool:
    """Tell whether git has nothing to say."""
    return git(root, "status", "--porcelain") == ""


def staged(root: Path) -> str:
    """Return what is staged."""
    return git(root, "diff", "--cached", "--name-only")


async def test_what_changed_is_committed_after_a_quiet_time(auto: Auto) -> None:
    before = git(auto.root, "rev-parse", "HEAD")
    auto.write()
    auto.write("sub/new file.txt")
    end = await auto.end()

    sha = git(auto.root, "rev-parse", "HEAD")
    assert end.data == {
        "success": True,
        "changes_count": 2,
        "message": "Save file.txt and 1 more",
        "commit_hash": sha,
    }
    assert auto.watching.events[0].data == {"changes_count": 2}
    assert git(auto.root, "rev-parse", "HEAD~1") == before
    assert git(auto.root, "log", "-1", "--format=%an %s") == "Ada Save file.txt and 1 more"
    assert is_clean(auto.root)
    await auto.settle()
    assert [*(auto.root / ".git" / "rtevents").iterdir()] == []


async def test_its_commit_is_told_with_where_it_came_from_whoever_tells_it(
    world: World, repository: Path
) -> None:
    async with (
        world.watch("git", repository) as commits,
        world.watch("auto_commit", repository, config=settings()) as watching,
    ):
        producer = watching.producer
        assert isinstance(producer, AutoCommitProducer)
        (repository / "file.txt").write_text("changed\n")
        producer.hint("change-1")
        await watching.until(lambda: len(watching.events) == 2)
        start, end = watching.events
        assert start.extensions == {"correlation_id": "change-1", "causation_id": "change-1"}
        assert end.extensions == {"correlation_id": "change-1", "causation_id": start.event_id}

        git_producer = commits.producer
        assert isinstance(git_producer, GitProducer)
        git_producer.hint()
        await commits.until(lambda: [each for each in commits.events if each.type == "COMMIT"])
        (told,) = [each for each in commits.events if each.type == "COMMIT"]
        by_hook = await git_producer.commit("HEAD")
        plain = await build_commit(repository, "HEAD", "web", timeout=20)

        assert told.extensions == by_hook.extensions == end.extensions
        # And it is the same event as without: where it came from is no part of it (promise P3).
        assert plain.extensions is msgspec.UNSET
        assert told.event_id == by_hook.event_id == plain.event_id
        assert not told.is_dated
        told_again = msgspec.json.decode(by_hook.body, type=Event)
        assert is_same_body(told, told_again)
        # A commit of the user's own has no such origin.
        commit(repository, "Mine")
        git_producer.hint()
        await commits.until(lambda: "Mine" in [each.data.get("message") for each in commits.events])
        (mine,) = [each for each in commits.events if each.data.get("message") == "Mine"]
        assert mine.extensions is msgspec.UNSET


async def test_its_own_commit_is_no_reason_for_another(auto: Auto) -> None:
    auto.write()
    await auto.end()
    await auto.settle()

    assert auto.told == [START, RESULT]
    assert git(auto.root, "rev-list", "--count", "HEAD") == "2"


async def test_nothing_is_told_where_nothing_changed(auto: Auto) -> None:
    (auto.root / ".gitignore").write_text("*.log\n")
    commit(auto.root, "Ignore", ".gitignore")
    auto.write("debug.log")
    await auto.settle()

    assert auto.told == []


async def test_what_changed_before_the_start_is_committed(world: World, repository: Path) -> None:
    (repository / "file.txt").write_text("before\n")
    (repository / "gone.txt").write_text("x")
    async with automatic(world, repository) as auto:
        await auto.end()

    assert is_clean(repository)


async def test_a_change_in_the_second_of_the_last_commit_is_committed(
    world: World, repository: Path
) -> None:
    git(repository, "config", "core.trustctime", "false")
    file, when = repository / "file.txt", (1_700_000_000, 1_700_000_000)
    file.write_text("aaaa\n")
    os.utime(file, when)
    git(repository, "commit", "-qam", "Same size")
    os.utime(repository / ".git" / "index", when)
    file.write_text("bbbb\n")
    os.utime(file, when)
    async with automatic(world, repository) as auto:
        await auto.end()

    assert git(repository, "show", "HEAD:file.txt") == "bbbb"


async def test_a_deletion_is_committed(auto: Auto) -> None:
    (auto.root / "file.txt").unlink()
    auto.hint()
    await auto.end()

    assert git(auto.root, "ls-files") == ""


async def test_an_endless_series_of_edits_is_committed_now_and_then(
    world: World, repository: Path
) -> None:
    async with automatic(world, repository, quiet=600.0, max_wait=0.3) as auto:
        begun = time.monotonic()
        while not auto.told:
            assert time.monotonic() - begun < PATIENCE
            auto.write(text=f"{time.monotonic()}\n")
            await asyncio.sleep(0.02)
        await auto.end()


async def test_a_branch_that_is_not_born_gets_its_first_commit(
    world: World, tmp_path: Path
) -> None:
    root = tmp_path.resolve() / "new"
    git(tmp_path, "init", "-q", str(root))
    async with automatic(world, root) as auto:
        auto.write()
        await auto.end()

    assert git(root, "rev-list", "--count", "HEAD") == "1"
    assert is_clean(root)


async def test_only_the_project_is_committed_where_it_is_a_part(
    world: World, repository: Path
) -> None:
    (repository / "part").mkdir()
    commit(repository, "Part", "part/a.txt")
    (repository / "file.txt").write_text("elsewhere\n")
    async with automatic(world, repository / "part") as auto:
        auto.write("a.txt")
        await auto.end()

    assert git(repository, "show", "--name-only", "--format=") == "part/a.txt"
    assert git(repository, "status", "--porcelain") == "M file.txt"


def diverge(root: Path) -> None:
    """Make a branch that is in conflict with this one."""
    git(root, "branch", "other")
    (root / "file.txt").write_text("ours\n")
    git(root, "commit", "-qam", "Ours")
    git(root, "checkout", "-q", "other")
    (root / "file.txt").write_text("theirs\n")
    git(root, "commit", "-qam", "Theirs")
    git(root, "checkout", "-q", "main")


def fails(root: Path, *arguments: str) -> None:
    """Run git, which stops in the middle of something."""
    assert subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, check=False
    ).returncode


@pytest.mark.parametrize(
    ("begin", "what", "end"),
    [
        (("merge", "other"), "a merge", ("merge", "--abort")),
        (("rebase", "other"), "a rebase", ("rebase", "--abort")),
        (("cherry-pick", "other"), "a cherry-pick", ("cherry-pick", "--abort")),
        (("revert", "HEAD~1"), "a revert", ("revert", "--abort")),
    ],
)
async def test_in_the_middle_of_something_it_is_left_to_the_user(
    world: World, repository: Path, begin: list[str], what: str, end: list[str]
) -> None:
    diverge(repository)
    if what == "a revert":
        (repository / "file.txt").write_text("more\n")
        git(repository, "commit", "-qam", "More")
    before = git(repository, "rev-parse", "HEAD")
    fails(repository, *begin)
    head = git(repository, "rev-parse", "HEAD")
    async with automatic(world, repository) as auto:
        auto.write("new.txt")
        assert await auto.error() == f"in the middle of {what}: finish or abort it"
        auto.write("new.txt", "again")
        await auto.settle()
        assert auto.told == [START, ERROR]
        assert git(repository, "rev-parse", "HEAD") == head

        git(repository, *end)
        auto.hint()
        assert (await auto.end(2)).type == RESULT
    assert git(repository, "rev-parse", "HEAD~1") == before
    assert is_clean(repository)


async def test_in_a_bisect_it_is_left_to_the_user(world: World, repository: Path) -> None:
    for number in range(4):
        commit(repository, f"{number}")
    git(repository, "bisect", "start", "HEAD", "HEAD~4")
    async with automatic(world, repository) as auto:
        auto.write("new.txt")
        assert await auto.error() == "in the middle of a bisect: finish or abort it"


async def test_on_a_detached_head_it_is_left_to_the_user(world: World, repository: Path) -> None:
    git(repository, "checkout", "-q", "--detach")
    async with automatic(world, repository) as auto:
        auto.write()
        assert await auto.error() == "HEAD is detached: check out a branch"


async def test_on_another_branch_it_is_left_to_the_user(world: World, repository: Path) -> None:
    async with automatic(world, repository, branches=["wip/*"]) as auto:
        auto.write()
        assert await auto.error() == "the branch main is not one of auto_commit.branches"
        git(repository, "checkout", "-qb", "wip/x")
        auto.hint()
        assert (await auto.end(2)).type == RESULT


async def test_what_the_user_staged_is_not_touched(auto: Auto) -> None:
    (auto.root / "mine.txt").write_text("mine\n")
    git(auto.root, "add", "mine.txt")
    auto.write()
    assert await auto.error() == "you staged something (mine.txt): commit or unstage it"
    assert staged(auto.root) == "mine.txt"
    git(auto.root, "commit", "-qm", "Mine")
    auto.hint()

    assert (await auto.end(2)).type == RESULT
    assert git(auto.root, "show", "--name-only", "--format=") == "file.txt"


async def test_a_locked_index_is_waited_for_and_never_unlocked(
    auto: Auto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autocommit, "RETRY_SECONDS", 0.05)
    lock = auto.root / ".git" / "index.lock"
    lock.write_text("another git's")
    auto.write()
    await auto.settle()
    assert auto.told == []
    assert lock.read_text() == "another git's"
    lock.unlink()

    assert (await auto.end()).type == RESULT


async def test_a_lock_that_stays_is_told_once(auto: Auto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autocommit, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(autocommit, "PATIENCE", 0.2)
    (auto.root / ".git" / "index.lock").touch()
    auto.write()

    assert await auto.error() == "the index is locked by another git (index.lock)"
    await auto.settle()
    assert auto.told == [START, ERROR]


async def test_limits_leave_it_to_the_user(world: World, repository: Path) -> None:
    async with automatic(world, repository, max_files=2, max_file_bytes=1000) as auto:
        auto.write("big.bin", "x" * 1001)
        assert await auto.error() == "big.bin has 1001 bytes, more than auto_commit.max_file_bytes"
        (repository / "big.bin").unlink()
        for name in "abc":
            auto.write(name)
        assert await auto.error(2) == "3 files changed, more than auto_commit.max_files: 2"
        (repository / "c").unlink()
        auto.hint()
        assert (await auto.end(3)).type == RESULT


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".env", "A=1"),
        ("deploy/.env.production", "A=1"),
        ("id_ed25519", "x"),
        ("Server.PEM", "x"),
        ("notes.txt", "see AKIA" + "ABCDEFGHIJKLMNOP here"),
        ("a.txt", "-----BEGIN OPENSSH PRIVATE" + " KEY-----\nabc\n"),
        ("b.py", 'TOKEN = "ghp_' + "a1B2" * 9 + '"'),
        ("c.sh", "export S=xoxb-" + "2847563910-abc"),
    ],
)
async def test_what_looks_like_a_secret_is_left_to_the_user(
    auto: Auto, name: str, text: str
) -> None:
    auto.write(name, text)

    assert (await auto.error()).startswith(f"{name} looks like a secret (")
    assert staged(auto.root) == ""


async def test_what_only_looks_a_little_like_a_secret_is_committed(auto: Auto) -> None:
    auto.write(".env.example", "A=")
    auto.write("keys.py", "def key(): return 'AKIA'")
    auto.write("id_ed25519.pub", "ssh-ed25519 AAAA")

    assert (await auto.end()).type == RESULT


async def test_secrets_may_be_allowed(world: World, repository: Path) -> None:
    async with automatic(world, repository, secrets="allow") as auto:
        auto.write(".env", "A=1")
        assert (await auto.end()).type == RESULT


async def test_other_repositories_are_not_committed(auto: Auto, tmp_path: Path) -> None:
    other = tmp_path / "other"
    git(tmp_path, "init", "-q", str(other))
    commit(other, "Theirs")
    git(auto.root, "submodule", "--quiet", "add", str(other), "sub")
    git(auto.root, "commit", "-qm", "Submodule")
    git(tmp_path, "clone", "-q", str(other), str(auto.root / "nested"))
    commit(auto.root / "sub", "Further")
    auto.write()

    assert (await auto.end()).type == RESULT
    assert git(auto.root, "show", "--name-only", "--format=") == "file.txt"
    auto.hint()
    await auto.settle()
    assert auto.told == [START, RESULT]


def hook(root: Path, name: str, text: str) -> None:
    """Write one of the repository's own hooks."""
    file = root / ".git" / "hooks" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


async def test_a_hook_that_refuses_is_told_once_and_nothing_is_left(auto: Auto) -> None:
    hook(auto.root, "pre-commit", "echo line 7 is too long >&2; exit 1")
    auto.write()
    assert await auto.error() == "the pre-commit hook refuses it"
    assert auto.watching.events[-1].data["details"] == "line 7 is too long"
    assert staged(auto.root) == ""
    assert git(auto.root, "status", "--porcelain") == "M file.txt"
    await auto.settle()
    assert auto.told == [START, ERROR]

    hook(auto.root, "pre-commit", "exit 0")
    auto.write(text="shorter\n")
    assert (await auto.end(2)).type == RESULT


async def test_hooks_see_what_is_committed_and_may_change_it(auto: Auto) -> None:
    hook(auto.root, "pre-commit", "git diff --cached --name-only > .git/seen; "
                                  "echo formatted > file.txt; git add file.txt")  # fmt: skip
    hook(auto.root, "commit-msg", 'echo "Signed-off-by: Ada" >> "$1"')
    hook(auto.root, "post-commit", "git rev-parse HEAD > .git/after")
    auto.write()
    end = await auto.end()

    assert (auto.root / ".git" / "seen").read_text() == "file.txt\n"
    assert git(auto.root, "show", "HEAD:file.txt") == "formatted"
    assert end.data["message"] == "Save file.txt\nSigned-off-by: Ada"
    await auto.watching.until((auto.root / ".git" / "after").exists)
    assert is_clean(auto.root)


async def test_a_hook_that_hangs_is_given_up(world: World, repository: Path) -> None:
    hook(repository, "pre-commit", "sleep 60")
    async with automatic(world, repository, timeout=5) as auto:
        auto.write()
        assert await auto.error() == "the pre-commit hook refuses it"


async def test_whom_a_hook_leaves_behind_is_not_waited_for(world: World, repository: Path) -> None:
    hook(repository, "pre-commit", "setsid sleep 20 & echo $! > .git/left")
    begun = time.monotonic()
    async with automatic(world, repository, timeout=3) as auto:
        auto.write()
        assert await auto.error() == "the pre-commit hook refuses it"
    os.kill(int((repository / ".git" / "left").read_text()), signal.SIGKILL)

    assert time.monotonic() - begun < 15


async def test_a_signature_that_cannot_be_made_is_told(auto: Auto) -> None:
    git(auto.root, "config", "commit.gpgsign", "true")
    git(auto.root, "config", "gpg.program", "false")
    auto.write()

    assert await auto.error() == "git commit-tree failed: error: gpg failed to sign the data"
    assert "details" not in auto.watching.events[-1].data
    assert staged(auto.root) == ""


async def test_without_an_identity_it_is_told(
    auto: Auto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "none").write_text("[user]\nuseConfigOnly = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    auto.write()

    assert (await auto.error()).startswith("git commit-tree failed: fatal: ")
    assert "Please tell me who you are" in auto.watching.events[-1].data["details"]


def begun(root: Path, **changed: Any) -> tuple[Saver, saver.Made]:
    """Return a commit that is made and that HEAD does not name yet."""
    (root / "file.txt").write_text("ours\n")
    made_by = Saver(root, AutoCommitSettings(**changed))
    draft = made_by.draft()
    assert draft is not None
    made = made_by.make(draft)
    assert made is not None
    return made_by, made


def test_what_the_user_commits_meanwhile_is_not_undone(repository: Path) -> None:
    mine = Saver(repository, AutoCommitSettings())
    (repository / "file.txt").write_text("ours\n")
    draft = mine.draft()
    assert draft is not None
    theirs = commit(repository, "Theirs", "other.txt")
    made = mine.make(draft)
    assert made is not None
    with pytest.raises(SaveError):
        mine.finish(made)

    assert git(repository, "rev-parse", "HEAD") == theirs
    assert git(repository, "status", "--porcelain") == "M file.txt"
    assert not (repository / ".git" / "index.lock").exists()


def test_what_the_user_stages_meanwhile_stays_staged(repository: Path) -> None:
    mine = Saver(repository, AutoCommitSettings())
    (repository / "file.txt").write_text("ours\n")
    draft = mine.draft()
    assert draft is not None
    (repository / "new.txt").write_text("x")
    git(repository, "add", "new.txt")
    made = mine.make(draft)
    assert made is not None
    with pytest.raises(SaveError, match=r"you staged something \(new.txt\)"):
        mine.finish(made)

    assert staged(repository) == "new.txt"


def test_what_is_edited_meanwhile_stays_changed(repository: Path) -> None:
    mine, made = begun(repository)
    (repository / "file.txt").write_text("later\n")
    mine.finish(made)

    assert git(repository, "show", "HEAD:file.txt") == "ours"
    assert git(repository, "status", "--porcelain") == "M file.txt"


def test_the_index_is_locked_by_no_more_than_the_move_of_head(repository: Path) -> None:
    mine, made = begun(repository)
    lock = repository / ".git" / "index.lock"
    assert not lock.exists()
    hook(repository, "reference-transaction", f'[ -e "{lock}" ] && echo "$1" >> {lock}ed')
    mine.finish(made)

    assert "committed" in Path(f"{lock}ed").read_text()
    assert not lock.exists()


@pytest.mark.parametrize("moment", ["start", "made", "locked", "moved", "done"])
@pytest.mark.parametrize("is_stored", [True, False])
async def test_the_end_is_told_whenever_the_daemon_was_killed(
    world: World, repository: Path, moment: str, is_stored: bool
) -> None:
    (repository / "file.txt").write_text("ours\n")
    first = world.producer("auto_commit", repository, config=settings())
    async with aclosing(first.events()) as batches:
        batch = await anext(batches)
        if is_stored:
            world.seqs |= {event.event_id: 1 for event in batch}
    place = load(world.places / "auto_commit.json", autocommit._Place, autocommit._Place())
    assert place.attempt is not None
    if moment != "start":
        mine, made = begun(repository)
        attempt = msgspec.structs.replace(place.attempt, made=made)
        save(world.places / "auto_commit.json", autocommit._Place(attempt=attempt))
        if moment in ("locked", "moved"):
            mine._lock(repository / ".git")
        if moment == "moved":
            git(repository, "update-ref", "HEAD", made.commit)
        elif moment == "done":
            mine.finish(made)

    async with world.watch("auto_commit", repository, config=settings(quiet=60)) as watching:
        if is_stored:
            await watching.until(lambda: watching.events)
        told = [(event.type, event.event_id) for event in watching.events]

    is_there = moment in ("moved", "done")
    end = (RESULT if is_there else ERROR, place.attempt.end)
    assert told == ([end] if is_stored else [])
    assert not (repository / ".git" / "index.lock").exists()
    assert staged(repository) == ""
    assert is_clean(repository) == is_there


async def test_other_repositories_are_untouched_whatever_the_environment_says(
    world: World, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    git(tmp_path, "init", "-q", str(other))
    commit(other, "Theirs")
    index = (other / ".git" / "index").read_bytes()
    head = git(other, "rev-parse", "HEAD")
    async with automatic(world, repository) as auto:
        monkeypatch.setenv("GIT_DIR", str(other / ".git"))
        monkeypatch.setenv("GIT_WORK_TREE", str(other))
        monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
        auto.write()
        end = await auto.end()
        for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
            monkeypatch.delenv(name)

    assert end.type == RESULT
    assert (other / ".git" / "index").read_bytes() == index
    assert git(other, "rev-parse", "HEAD") == head
    assert git(repository, "rev-parse", "HEAD") == end.data["commit_hash"]
