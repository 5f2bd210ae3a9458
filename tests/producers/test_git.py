"""GitProducer on real repositories: each new commit once, whatever brought it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest

from rtevents.config.settings import Config, GitSettings
from rtevents.core.payloads import Commit
from rtevents.errors import BadInput, RteventsError
from rtevents.producers.branches import Branches
from rtevents.producers.commit import build_commit, event_id
from rtevents.producers.commitdata import MAX_MESSAGE
from rtevents.producers.git import GitProducer, common_dir
from rtevents.producers.repository import Repository
from tests.producers.conftest import Commits, World, commit, git, tip, watched


async def test_a_commit_is_told_with_all_that_is_known_of_it(commits: Commits) -> None:
    parent = git(commits.root, "rev-parse", "HEAD")
    (commits.root / "file.txt").write_text("one\ntwo\n")
    (commits.root / "new.txt").write_text("x\n")
    git(commits.root, "add", ".")
    git(commits.root, "commit", "-qm", "Subject\n\nBody", "--author", "Bé <b@example.org>")
    sha = git(commits.root, "rev-parse", "HEAD")

    await commits.has(sha)

    event = commits.watching.events[0]
    committed_at = event.data.pop("committed_at")
    assert event.data == {
        "commit_hash": sha,
        "message": "Subject\n\nBody",
        "author": "Bé",
        "author_email": "b@example.org",
        "branch": "main",
        "parents": [parent],
        "files_changed": 2,
        "insertions": 3,
        "deletions": 1,
        "files": [
            {"path": "file.txt", "insertions": 2, "deletions": 1},
            {"path": "new.txt", "insertions": 1, "deletions": 0},
        ],
    }
    assert committed_at == float(git(commits.root, "log", "-1", "--format=%ct"))
    assert (event.type, event.source, event.project_id) == ("COMMIT", "rtevents/git", "web")
    assert event.event_id == f"git:web:{sha}"
    msgspec.convert(event.data, Commit)


async def test_a_merge_is_told_after_its_commits(commits: Commits) -> None:
    git(commits.root, "switch", "-qc", "topic")
    first = commit(commits.root, "Topic", "topic.txt")
    git(commits.root, "switch", "-q", "main")
    git(commits.root, "merge", "-q", "--no-ff", "-m", "Merge", "topic")
    merge = git(commits.root, "rev-parse", "HEAD")

    await commits.has(first, merge)

    assert commits.told == [first, merge]
    assert len(commits.data(merge)["parents"]) == 2
    assert commits.data(merge)["files_changed"] == 1


async def test_a_rebase_is_one_event_for_each_rewritten_commit(commits: Commits) -> None:
    git(commits.root, "switch", "-qc", "topic")
    old = [commit(commits.root, f"Topic {n}", "topic.txt") for n in range(2)]
    git(commits.root, "switch", "-q", "main")
    base = commit(commits.root, "Main")
    await commits.has(*old, base)
    git(commits.root, "rebase", "-q", "main", "topic")
    new = git(commits.root, "rev-list", "--reverse", "main..topic").split()

    await commits.has(*old, base, *new)

    assert commits.told[-2:] == new
    assert commits.data(new[1])["branch"] == "topic"


async def test_an_amended_commit_is_another_commit(commits: Commits) -> None:
    old = commit(commits.root)
    await commits.has(old)
    git(commits.root, "commit", "-q", "--amend", "-m", "Better")
    new = git(commits.root, "rev-parse", "HEAD")

    await commits.has(old, new)


async def test_a_picked_commit_is_told(commits: Commits) -> None:
    git(commits.root, "switch", "-qc", "topic")
    old = commit(commits.root, "Topic", "topic.txt")
    git(commits.root, "switch", "-q", "main")
    base = commit(commits.root, "Main")
    git(commits.root, "cherry-pick", old)
    new = git(commits.root, "rev-parse", "HEAD")

    await commits.has(old, base, new)


async def test_an_applied_mail_is_told(commits: Commits, tmp_path: Path) -> None:
    git(commits.root, "switch", "-qc", "topic")
    old = commit(commits.root, "Mail", "topic.txt")
    git(commits.root, "format-patch", "-q", "-1", "-o", str(tmp_path / "mail"))
    git(commits.root, "switch", "-q", "main")
    base = commit(commits.root, "Main")
    git(commits.root, "am", "-q", *map(str, (tmp_path / "mail").iterdir()))
    new = git(commits.root, "rev-parse", "HEAD")

    await commits.has(old, base, new)


async def test_a_reset_back_and_forward_tells_nothing_again(commits: Commits) -> None:
    first = commit(commits.root)
    await commits.has(first)
    git(commits.root, "reset", "-q", "--hard", "HEAD~1")
    git(commits.root, "reset", "-q", "--hard", first)
    second = commit(commits.root)

    await commits.has(first, second)


async def test_a_branch_that_is_moved_back_is_no_news(commits: Commits) -> None:
    shas = [commit(commits.root, str(n)) for n in range(3)]
    await commits.has(*shas)
    git(commits.root, "branch", "-f", "old", shas[0])
    git(commits.root, "update-ref", "refs/heads/main", shas[1])
    git(commits.root, "reset", "-q", "--hard")
    last = commit(commits.root, "Last")

    await commits.has(*shas, last)


async def test_a_branch_that_is_forced_brings_its_commits(commits: Commits) -> None:
    tree = git(commits.root, "rev-parse", "HEAD^{tree}")
    sha = git(commits.root, "commit-tree", tree, "-p", "HEAD", "-m", "Loose")
    git(commits.root, "branch", "-f", "topic", sha)

    await commits.has(sha)

    assert commits.data(sha)["branch"] == "topic"


async def test_what_is_fetched_is_told(commits: Commits, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(commits.root), "clone")
    shas = [commit(tmp_path / "clone", str(n)) for n in range(2)]
    git(commits.root, "remote", "add", "origin", str(tmp_path / "clone"))
    git(commits.root, "fetch", "-q", "origin")

    await commits.has(*shas)

    assert commits.data(shas[0])["branch"] == "origin/main"
    git(commits.root, "merge", "-q", "--ff-only", "origin/main")
    last = commit(commits.root)
    await commits.has(*shas, last)


async def test_what_is_fetched_into_a_clone_is_of_a_branch_and_not_of_the_remotes_head(
    world: World, repository: Path, tmp_path: Path
) -> None:
    root = tmp_path.resolve() / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(root))
    assert git(root, "symbolic-ref", "refs/remotes/origin/HEAD") == "refs/remotes/origin/main"
    async with watched(world, root) as commits:
        sha = commit(repository)
        git(root, "fetch", "-q")

        await commits.has(sha)

        assert commits.data(sha)["branch"] == "origin/main"


async def test_a_submodule_is_one_of_a_commits_files(commits: Commits, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(commits.root), "other")
    git(commits.root, "submodule", "--quiet", "add", str(tmp_path / "other"), "sub")
    git(commits.root, "config", "diff.ignoreSubmodules", "all")
    git(commits.root, "config", "submodule.sub.ignore", "all")
    git(commits.root, "config", "diff.submodule", "log")
    shown = ("-c", "diff.ignoreSubmodules=none", "-c", "submodule.sub.ignore=none")
    git(commits.root, *shown, "commit", "-qm", "Add it")
    added = tip(commits.root)
    moved = commit(commits.root / "sub")
    git(commits.root, "update-index", "--cacheinfo", f"160000,{moved},sub")
    git(commits.root, *shown, "commit", "-qm", "Move it")
    bumped = tip(commits.root)

    await commits.has(added, bumped)

    assert [file["path"] for file in commits.data(added)["files"]] == [".gitmodules", "sub"]
    assert commits.data(added)["files_changed"] == 2
    assert commits.data(bumped)["files"] == [{"path": "sub", "insertions": 1, "deletions": 1}]
    assert commits.data(bumped)["files_changed"] == 1


async def test_a_linked_work_tree_is_the_same_repository(commits: Commits, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(commits.root, "worktree", "add", "-q", str(linked))
    first = commit(linked)
    git(linked, "switch", "-q", "--detach")
    second = commit(linked)

    await commits.has(first, second)

    assert commits.data(first)["branch"] == "linked"
    assert isinstance(commits.watching.producer, GitProducer)
    assert await commits.watching.producer.owns(linked)
    assert not await commits.watching.producer.owns(tmp_path)


async def test_a_linked_work_tree_can_be_the_project(
    world: World, repository: Path, tmp_path: Path
) -> None:
    linked = tmp_path.resolve() / "linked"
    git(repository, "worktree", "add", "-q", str(linked))
    async with watched(world, linked) as commits:
        sha = commit(linked)

        await commits.has(sha)
        assert commits.data(sha)["branch"] == "linked"


async def test_a_commit_on_a_detached_head_has_no_branch(commits: Commits) -> None:
    git(commits.root, "switch", "-q", "--detach")
    sha = commit(commits.root)

    await commits.has(sha)

    assert "branch" not in commits.data(sha)


async def test_tags_tell_what_they_bring(commits: Commits) -> None:
    tree = git(commits.root, "rev-parse", "HEAD^{tree}")
    sha = git(commits.root, "commit-tree", tree, "-p", "HEAD", "-m", "Loose")
    git(commits.root, "tag", "-a", "-m", "Tag", "v1", sha)
    git(commits.root, "tag", "tree", tree)
    git(commits.root, "tag", "blob", git(commits.root, "rev-parse", "HEAD:file.txt"))
    git(commits.root, "tag", "-a", "-m", "Tag of a tag", "v2", "v1")
    await commits.has(sha)
    last = commit(commits.root)

    await commits.has(sha, last)

    assert "branch" not in commits.data(sha)


async def test_what_happened_while_nobody_watched_is_reconciled(
    world: World, repository: Path
) -> None:
    async with watched(world, repository) as commits:
        before = commit(repository)
        await commits.has(before)
        assert "reconciled" not in commits.data(before)
    missed = [commit(repository, str(n)) for n in range(3)]
    async with watched(world, repository) as commits:
        await commits.has(*missed)
        assert commits.told == missed
        assert all(commits.data(sha)["reconciled"] is True for sha in missed)
        live = commit(repository)
        await commits.has(*missed, live)
        assert "reconciled" not in commits.data(live)


async def test_a_crash_between_storing_and_saving_repeats_nothing(
    world: World, repository: Path
) -> None:
    async with watched(world, repository):
        pass
    shas = [commit(repository, str(n)) for n in range(3)]
    async with aclosing(world.producer("git", repository).events()) as events:
        stored = [event.event_id for event in await anext(events)]
    world.seqs |= dict.fromkeys(stored, 1)
    async with watched(world, repository) as commits:
        last = commit(repository)

        await commits.has(last)

    assert stored == [event_id("web", sha) for sha in shas]


async def test_a_crash_before_storing_loses_nothing(world: World, repository: Path) -> None:
    async with watched(world, repository):
        pass
    sha = commit(repository)
    async with aclosing(world.producer("git", repository).events()) as events:
        await anext(events)
    async with watched(world, repository) as commits:
        await commits.has(sha)


async def test_the_first_start_tells_nothing_old(world: World, repository: Path) -> None:
    old = [commit(repository, str(n)) for n in range(3)]
    note(repository, *old)
    async with watched(world, repository) as commits:
        sha = commit(repository)

        await commits.has(sha)


async def test_what_was_amended_a_moment_before_the_first_start_is_not_told(
    world: World, repository: Path
) -> None:
    commit(repository, "Amended")
    git(repository, "commit", "-q", "--amend", "-m", "Otherwise")
    async with watched(world, repository) as commits:
        sha = commit(repository)

        await commits.has(sha)


async def test_a_repository_that_is_made_after_the_start_is_new(
    world: World, tmp_path: Path
) -> None:
    root = tmp_path.resolve() / "web"
    root.mkdir()
    async with watched(world, root) as commits:
        git(root, "init", "-q")
        sha = commit(root)

        await commits.has(sha)

        assert "reconciled" not in commits.data(sha)


async def test_a_repository_that_is_made_anew_is_watched(commits: Commits) -> None:
    first = commit(commits.root)
    await commits.has(first)
    shutil.rmtree(commits.root / ".git")
    git(commits.root, "init", "-q")
    second = commit(commits.root, "Second")
    await commits.has(first, second)
    third = commit(commits.root, "Third")

    await commits.has(first, second, third)


async def test_a_folder_that_is_gone_is_not_the_one_the_daemon_runs_in(
    world: World, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)

    assert common_dir(tmp_path / "gone" / "deep") is None
    assert Repository(tmp_path / "gone", 10).common_dir() is None
    with pytest.raises(RteventsError, match="cannot change to"):
        Branches(Repository(tmp_path / "gone", 10)).refs()


async def test_in_a_folder_of_a_repository_a_commit_tells_which(
    world: World, repository: Path
) -> None:
    root = repository / "apps" / "wéb"
    root.mkdir(parents=True)
    async with watched(world, root) as commits:
        (root / "a").write_text("x")
        git(repository, "add", ".")
        git(repository, "commit", "-qm", "In the folder")
        sha = git(repository, "rev-parse", "HEAD")

        await commits.has(sha)

    assert commits.data(sha)["folder"] == "apps/wéb"
    assert commits.data(sha)["files"][0]["path"] == "apps/wéb/a"
    asked = await build_commit(root, "HEAD", "repository", timeout=10)
    assert "folder" not in asked.data


async def test_an_unborn_branch_is_no_failure(world: World, tmp_path: Path) -> None:
    root = tmp_path.resolve() / "web"
    root.mkdir()
    git(root, "init", "-q")
    async with watched(world, root) as commits:
        sha = commit(root)
        await commits.has(sha)
        git(root, "switch", "-q", "--orphan", "other")
        other = commit(root, "Other")

        await commits.has(sha, other)

        assert commits.data(sha)["parents"] == []


async def test_a_shallow_clone_tells_what_comes_after(
    world: World, repository: Path, tmp_path: Path
) -> None:
    for number in range(5):
        commit(repository, str(number))
    root = tmp_path.resolve() / "shallow"
    git(tmp_path, "clone", "-q", "--depth", "2", f"file://{repository}", str(root))
    async with watched(world, root) as commits:
        sha = commit(root)
        await commits.has(sha)
        git(root, "fetch", "-q", "--unshallow")
        last = commit(root)

        await commits.has(sha, last)


async def test_a_partial_clone_tells_what_it_knows(
    world: World, repository: Path, tmp_path: Path
) -> None:
    root = tmp_path.resolve() / "partial"
    git(repository, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--filter=blob:none", f"file://{repository}", str(root))
    async with watched(world, root) as commits:
        sha = commit(repository)
        git(root, "fetch", "-q")

        await commits.has(sha)

        assert "files_changed" not in commits.data(sha)


async def test_packing_and_collecting_is_no_news(commits: Commits) -> None:
    first = commit(commits.root)
    await commits.has(first)
    git(commits.root, "pack-refs", "--all")
    git(commits.root, "reflog", "expire", "--expire=now", "--all")
    git(commits.root, "gc", "-q", "--prune=now")
    second = commit(commits.root)

    await commits.has(first, second)


async def test_former_tips_may_be_pruned(world: World, repository: Path) -> None:
    async with watched(world, repository) as commits:
        first = commit(repository)
        await commits.has(first)
    git(repository, "reset", "-q", "--hard", "HEAD~1")
    git(repository, "reflog", "expire", "--expire=now", "--all")
    git(repository, "gc", "-q", "--prune=now")
    second = commit(repository, "Second")
    async with watched(world, repository) as commits:
        await commits.has(second)


async def test_a_stash_is_no_commit(commits: Commits) -> None:
    (commits.root / "file.txt").write_text("stashed")
    git(commits.root, "stash", "-q")
    git(commits.root, "stash", "pop", "-q")
    git(commits.root, "checkout", "-q", ".")
    sha = commit(commits.root)

    await commits.has(sha)


def note(root: Path, *lines: str) -> None:
    """Note lines as the hook does."""
    folder = root / ".git" / "rtevents"
    folder.mkdir(exist_ok=True)
    with (folder / "spool").open("a") as spool:
        spool.write("".join(f"{line}\n" for line in lines))


async def test_a_noted_commit_that_was_reset_away_is_told(world: World, repository: Path) -> None:
    async with watched(world, repository):
        pass
    lost = [commit(repository, str(n)) for n in range(2)]
    git(repository, "reset", "-q", "--hard", "HEAD~2")
    kept = commit(repository, "Kept")
    note(repository, *lost, kept, "no commit", "0" * 40, "f" * 40, "\x00\udc80".strip("\udc80"))
    async with watched(world, repository) as commits:
        await commits.has(*lost, kept)

        assert commits.told.index(lost[0]) < commits.told.index(lost[1])
        assert all(commits.data(sha)["reconciled"] for sha in lost)
        await commits.watching.until(commits.watching.producer.ready.is_set)
        left = [file.name for file in (repository / ".git" / "rtevents").iterdir()]
        assert left == ["watched"]


async def test_a_note_of_something_else_than_a_commit_is_nothing(commits: Commits) -> None:
    note(commits.root, git(commits.root, "rev-parse", "HEAD^{tree}"))
    note(commits.root, git(commits.root, "rev-parse", "HEAD:file.txt"))
    sha = commit(commits.root)
    note(commits.root, sha, sha)

    await commits.has(sha)


async def test_notes_that_were_taken_before_a_crash_are_read(
    world: World, repository: Path
) -> None:
    async with watched(world, repository):
        pass
    lost = [commit(repository, str(n)) for n in range(2)]
    git(repository, "reset", "-q", "--hard", "HEAD~2")
    note(repository, lost[0])
    (repository / ".git/rtevents/spool").rename(repository / ".git/rtevents/spool.taken")
    note(repository, lost[1])
    async with watched(world, repository) as commits:
        await commits.has(*lost)


async def test_nothing_of_a_hostile_configuration_runs(
    world: World, repository: Path, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    script = tmp_path / "script"
    script.write_text(f'#!/bin/sh\necho "$0 $*" >> {canary}\ncat 2>/dev/null\n')
    script.chmod(0o755)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    names = ["post-commit", "reference-transaction", "post-index-change", "fsmonitor-watchman"]
    clone = tmp_path.resolve() / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(clone))
    (clone / ".gitattributes").write_text("* diff=evil filter=evil\n")
    missed = commit(clone, "Attributes", ".gitattributes")
    for name in names:
        (hooks / name).symlink_to(script)
    for key, value in (
        ("core.fsmonitor", str(script)),
        ("core.hooksPath", str(hooks)),
        ("core.pager", str(script)),
        ("core.sshCommand", str(script)),
        ("core.gitProxy", str(script)),
        ("core.editor", str(script)),
        ("credential.helper", str(script)),
        ("diff.external", str(script)),
        ("diff.evil.command", str(script)),
        ("diff.evil.textconv", str(script)),
        ("diff.relative", "true"),
        ("filter.evil.clean", str(script)),
        ("filter.evil.smudge", str(script)),
        ("filter.evil.process", str(script)),
        ("gpg.program", str(script)),
        ("log.showSignature", "true"),
        ("pager.log", str(script)),
        ("alias.log", f"!{script}"),
        ("alias.rev-list", f"!{script}"),
        ("alias.for-each-ref", f"!{script}"),
        ("color.ui", "always"),
        ("format.pretty", "oneline"),
        ("log.diffMerges", "combined"),
        ("remote.origin.promisor", "true"),
        ("remote.origin.partialclonefilter", "blob:none"),
        ("remote.origin.url", f"ext::{script}"),
        ("protocol.ext.allow", "always"),
    ):
        git(clone, "config", key, value)
    # A file that is not there: git would fetch it.
    tree = git(clone, "mktree", "--missing", given=f"100644 blob {'e' * 40}\tgone.txt\n")
    signed = git(
        clone, "hash-object", "-t", "commit", "-w", "--stdin",
        given=f"tree {tree}\nparent {missed}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n"
        "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n\nSigned\n",
    )  # fmt: skip
    async with watched(world, clone) as commits:
        canary.unlink(missing_ok=True)
        # Not by `git update-ref`: that would run the hooks itself.
        (clone / ".git" / "refs" / "heads" / "main").write_text(f"{signed}\n")
        await commits.has(signed)
        assert isinstance(commits.watching.producer, GitProducer)
        event = await commits.watching.producer.commit(missed)

    assert event.data["files_changed"] == 1
    assert not canary.exists(), canary.read_text()


async def test_refs_of_any_name_are_told(commits: Commits) -> None:
    names = ["-f", "--exec=x", "a b".replace(" ", "\u3000"), "\N{ROCKET}", "$(id)", "x;y", "HEAD"]
    tree = git(commits.root, "rev-parse", "HEAD^{tree}")
    made = {}
    for name in names:
        sha = git(commits.root, "commit-tree", tree, "-p", "HEAD", "-m", f"On {name}")
        git(commits.root, "update-ref", f"refs/heads/{name}", sha)
        made[sha] = name
    raw = git(commits.root, "commit-tree", tree, "-p", "HEAD", "-m", "Raw")
    git(commits.root, "update-ref", b"refs/heads/raw\xff", raw)
    made[raw] = "raw%FF"

    await commits.has(*made)

    assert {sha: commits.data(sha)["branch"] for sha in made} == made


async def test_messages_and_authors_of_any_bytes_are_told(commits: Commits) -> None:
    tree = git(commits.root, "rev-parse", "HEAD^{tree}").encode()
    parent = git(commits.root, "rev-parse", "HEAD").encode()
    head = b"tree " + tree + b"\nparent " + parent + b"\n"
    person = b"J\xfcrgen \x1b[31m <a\x01@x> 1700000000 +0000"
    plain = head + b"author " + person + b"\ncommitter " + person + b"\n"
    made = [
        git(commits.root, "hash-object", "-t", "commit", "-w", "--stdin", "--literally", given=raw)
        for raw in (
            plain + b"\nbad \xff bytes\n",
            plain + b"encoding ISO-8859-1\n\nf\xfcnf\n",
            plain + b"\n",
            plain + b"\n" + b"long " * 200_000,
            plain + b"\n3 files changed, 5 insertions(+)\n\n\x01\x02\n",
            head + b"author nobody\ncommitter nobody\n\nNo time\n",
            head + b"\nNobody\n",
        )
    ]
    for number, sha in enumerate(made):
        (commits.root / ".git" / "refs" / "heads" / f"b{number}").write_text(f"{sha}\n")

    await commits.has(*made)

    messages = [commits.data(sha)["message"] for sha in made]
    assert messages[:3] == ["bad \N{REPLACEMENT CHARACTER} bytes", "fünf", ""]
    assert len(messages[3]) == MAX_MESSAGE
    assert messages[4] == "3 files changed, 5 insertions(+)\n\n\x01\x02"
    assert messages[5:] == ["No time", "Nobody"]
    assert {commits.data(sha)["files_changed"] for sha in made} == {0}


def stream(count: int) -> Iterator[str]:
    """Yield what `git fast-import` makes so many commits of."""
    for number in range(count):
        side = "refs/heads/side" if number % 3 == 2 else "refs/heads/import"
        yield f"commit {side}\nmark :{number + 1}\ncommitter A <a@x> {1000 - number % 7} +0000\n"
        yield f"data 1\nx\nfrom :{number}\n" if number else "data 1\nx\n"
        if number > 10 and number % 5 == 0:
            yield f"merge :{number - 5}\n"
        yield "\n"


async def test_many_commits_come_in_batches_parents_first(commits: Commits) -> None:
    git(commits.root, "fast-import", "--quiet", given="".join(stream(1200)))
    await commits.watching.until(lambda: len(commits.told) >= 1200)

    assert sorted(commits.told) == sorted(
        git(commits.root, "rev-list", "--all", "^main").splitlines()
    )
    seen: set[str] = set()
    for event in commits.events:
        assert set(event.data["parents"]) <= seen
        seen.add(event.data["commit_hash"])
    assert max(map(len, commits.watching.batches)) <= 500


async def test_a_repository_of_another_user_is_told_and_is_not_taken_for_none(
    world: World, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # git's own switch for its tests: it takes every repository for another user's.
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")

    with pytest.raises(RteventsError, match=r"dubious ownership.*safe\.directory"):
        async with watched(world, repository):
            pass

    assert not (world.places / "git.json").exists()


async def test_a_repository_that_git_cannot_read_is_told(world: World, repository: Path) -> None:
    (repository / ".git" / "config").write_text("[core\n")

    with pytest.raises(RteventsError, match="bad config line"):
        async with watched(world, repository):
            pass


async def test_git_that_is_missing_is_told(
    world: World, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(repository))

    with pytest.raises(RteventsError, match="git cannot be run"):
        async with watched(world, repository):
            pass


async def test_git_that_takes_too_long_is_told(
    world: World, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    config = Config(git=GitSettings(timeout=0.2))

    with pytest.raises(RteventsError, match="did not complete"):
        async with world.watch("git", repository, config=config):
            pass


async def test_a_missing_object_is_told_and_made_good_later(world: World, repository: Path) -> None:
    async with watched(world, repository):
        pass
    sha = commit(repository)
    tree = repository / ".git" / "objects" / sha[:2] / sha[2:]
    tree.rename(repository / "aside")
    with pytest.raises(RteventsError, match=f"not there: {sha}"):
        async with watched(world, repository):
            pass
    (repository / "aside").rename(tree)
    async with watched(world, repository) as commits:
        await commits.has(sha)


def test_a_commit_that_was_pruned_a_moment_ago_is_left_out(repository: Path) -> None:
    sha = git(repository, "rev-parse", "HEAD")
    asked = Repository(repository, 10)

    assert [commit.commit_hash for commit in asked.describe(["f" * 40, sha])] == [sha]
    assert [commit.sha for commit in asked.written([sha, "f" * 40])] == [sha]
    assert asked.describe(["f" * 40]) == []


def test_a_path_that_is_too_long_is_in_no_repository(tmp_path: Path) -> None:
    assert common_dir(tmp_path / ("a" * 300)) is None
    assert common_dir(tmp_path / ("a" * 300) / "b") is None


async def test_a_revision_becomes_the_same_event_as_when_it_was_told(commits: Commits) -> None:
    sha = commit(commits.root)
    await commits.has(sha)
    assert isinstance(commits.watching.producer, GitProducer)

    again = await commits.watching.producer.commit("HEAD")

    assert again.event_id == commits.watching.events[0].event_id
    assert again.data == commits.watching.events[0].data


@pytest.mark.parametrize(
    "revision", ["nothing", "--all", "HEAD:file.txt", "", "a\nb", "a\0b", "HEAD~99"]
)
async def test_a_revision_that_is_no_commit_is_refused(repository: Path, revision: str) -> None:
    with pytest.raises(BadInput, match=r"^revision: no commit"):
        await build_commit(repository, revision, "web", timeout=10)


async def test_the_event_id_of_a_commit_is_valid_whatever_the_project_is_called() -> None:
    sha = "a" * 40

    assert event_id("web", sha) == f"git:web:{sha}"
    assert event_id("my pröject", sha) == f"git:my_20_pr_f6_ject:{sha}"
    assert len(event_id("\N{ROCKET}" * 48, "a" * 64)) <= 128
    assert event_id("\N{ROCKET}" * 48, sha).endswith(sha)


async def test_closing_ends_the_watches(world: World, repository: Path) -> None:
    def watchers() -> int:
        return sum(thread.name == "rtevents-watch" for thread in threading.enumerate())

    before = watchers()
    async with watched(world, repository):
        assert watchers() == before + 2

    assert watchers() == before
