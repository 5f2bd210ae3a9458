"""FilesProducer on real files: the net effect of every burst, once."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
import pytest

from rtevents.core.payloads import FileChange
from rtevents.producers.change import Change
from rtevents.producers.tree import Tree
from tests.producers.conftest import Watching, World, git

MARKS = itertools.count()
"""Files that are made to see that everything before was told."""


class Files:
    """A watched folder, and what was told of it."""

    def __init__(self, root: Path, watching: Watching) -> None:
        self.root = root
        self.watching = watching
        self._seen = 0

    async def told(self) -> list[tuple[Any, ...]]:
        """Return what was told since the last call: everything that was done is told by then."""
        mark = f"mark-{next(MARKS)}"
        await asyncio.sleep(0)
        (self.root / mark).write_text("")
        await self.watching.until(lambda: self._has(mark))
        return [
            (data["change_type"], data["file_path"])
            + ((data["old_path"],) if "old_path" in data else ())
            for data in self.new()
        ]

    def new(self) -> list[dict[str, Any]]:
        """Return what was told of files since the last call, whether or not all is told."""
        new = self.watching.events[self._seen :]
        self._seen += len(new)
        return [
            event.data
            for event in new
            if event.type == "FILE_CHANGE" and not event.data["file_path"].startswith("mark-")
        ]

    def said(self) -> list[str]:
        """Return what was told of the watch itself."""
        events = self.watching.events
        return [event.data["event"] for event in events if event.type == "SYSTEM_STATUS"]

    def _has(self, path: str) -> bool:
        return any(event.data.get("file_path") == path for event in self.watching.events)

    async def until_told(self, kind: str, path: str) -> None:
        """Return when a change is told."""
        await self.watching.until(
            lambda: (
                (kind, path)
                in [
                    (event.data.get("change_type"), event.data.get("file_path"))
                    for event in self.watching.events[self._seen :]
                ]
            )
        )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with one file in it."""
    root = tmp_path.resolve() / "root"
    root.mkdir()
    (root / "old.txt").write_text("old")
    return root


@pytest.fixture
async def files(root: Path, world: World) -> AsyncIterator[Files]:
    """Return a watched folder with the file `old.txt`."""
    async with world.watch("files", root) as watching:
        yield Files(root, watching)


async def test_a_new_file_is_created(files: Files) -> None:
    (files.root / "a.txt").write_text("four")

    assert await files.told() == [("created", "a.txt")]
    event = files.watching.events[0]
    assert event.data["size"] == 4
    assert (event.type, event.source, event.project_id) == ("FILE_CHANGE", "rtevents/files", "web")


async def test_a_changed_file_is_modified(files: Files) -> None:
    (files.root / "old.txt").write_text("longer")

    assert await files.told() == [("modified", "old.txt")]


async def test_a_removed_file_is_deleted_and_has_no_size(files: Files) -> None:
    (files.root / "old.txt").unlink()

    assert await files.told() == [("deleted", "old.txt")]
    assert "size" not in files.watching.events[0].data


async def test_a_moved_file_is_renamed(files: Files) -> None:
    (files.root / "old.txt").rename(files.root / "new.txt")

    assert await files.told() == [("renamed", "new.txt", "old.txt")]


async def test_a_file_that_is_moved_and_edited_is_renamed_with_its_new_size(files: Files) -> None:
    (files.root / "old.txt").rename(files.root / "new.txt")
    with (files.root / "new.txt").open("a") as opened:
        opened.write("more")

    assert await files.told() == [("renamed", "new.txt", "old.txt")]
    assert files.watching.events[0].data["size"] == 7


async def test_logs_that_are_rotated_are_renamed_and_the_new_one_is_created(files: Files) -> None:
    for name in ("log", "log.1"):
        (files.root / name).write_text(name)
    await files.told()
    (files.root / "log.1").rename(files.root / "log.2")
    (files.root / "log").rename(files.root / "log.1")
    (files.root / "log").write_text("new")

    assert await files.told() == [
        ("renamed", "log.2", "log.1"),
        ("renamed", "log.1", "log"),
        ("created", "log"),
    ]


async def test_a_file_with_the_number_of_one_that_went_is_another(files: Files) -> None:
    def replace() -> bool:
        """Tell whether the file system gave the number of the old file to the new one."""
        inode = (files.root / "old.txt").stat().st_ino
        (files.root / "old.txt").unlink()
        (files.root / "new.txt").write_text("another")
        return (files.root / "new.txt").stat().st_ino == inode

    if not replace():
        pytest.skip("this file system gives no number anew at once")

    assert await files.told() == [("deleted", "old.txt"), ("created", "new.txt")]


async def test_a_file_that_becomes_executable_is_modified(files: Files) -> None:
    (files.root / "old.txt").chmod(0o755)
    assert await files.told() == [("modified", "old.txt")]
    (files.root / "old.txt").chmod(0o750)
    assert await files.told() == []
    (files.root / "old.txt").chmod(0o644)

    assert await files.told() == [("modified", "old.txt")]


async def test_what_was_there_before_is_not_told(files: Files) -> None:
    assert await files.told() == []


async def test_a_save_by_rename_is_one_modification(files: Files) -> None:
    (files.root / ".old.txt.swp").write_text("edited")
    (files.root / ".old.txt.swp").rename(files.root / "old.txt")

    assert await files.told() == [("modified", "old.txt")]


async def test_a_save_with_a_backup_is_one_modification(files: Files) -> None:
    (files.root / "old.txt").rename(files.root / "old.txt~")
    (files.root / "old.txt").write_text("edited")
    (files.root / "old.txt~").unlink()

    assert await files.told() == [("modified", "old.txt")]


async def test_a_file_that_came_and_went_in_a_burst_is_nothing(files: Files) -> None:
    (files.root / "brief").write_text("x")
    (files.root / "brief").unlink()

    assert await files.told() == []


async def test_every_file_of_nested_new_folders_is_told(files: Files) -> None:
    wanted = set()
    for number in range(50):
        folder = files.root / f"d{number}" / "b" / "c"
        folder.mkdir(parents=True)
        for inside in (folder, *folder.parents[:2]):
            (inside / "f").write_text("x")
            wanted.add(("created", str((inside / "f").relative_to(files.root))))

    told = await files.told()

    assert len(told) == len(wanted)
    assert set(told) == wanted


async def test_a_moved_folder_is_a_rename_of_each_file(files: Files) -> None:
    (files.root / "a" / "b").mkdir(parents=True)
    (files.root / "a" / "x").write_text("x")
    (files.root / "a" / "b" / "y").write_text("y")
    await files.told()

    (files.root / "a").rename(files.root / "z")

    assert await files.told() == [("renamed", "z/b/y", "a/b/y"), ("renamed", "z/x", "a/x")]


async def test_a_removed_folder_is_a_deletion_of_each_file(files: Files) -> None:
    (files.root / "a" / "b").mkdir(parents=True)
    (files.root / "a" / "b" / "y").write_text("y")
    await files.told()

    shutil.rmtree(files.root / "a")

    assert await files.told() == [("deleted", "a/b/y")]


async def test_a_folder_that_comes_in_is_told_with_all_that_is_in_it(
    files: Files, tmp_path: Path
) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "f").write_text("x")

    (tmp_path / "in").rename(files.root / "in")

    assert await files.told() == [("created", "in/deep/f")]


async def test_a_folder_that_takes_the_place_of_a_file_is_told(files: Files) -> None:
    (files.root / "old.txt").unlink()
    (files.root / "old.txt").mkdir()
    (files.root / "old.txt" / "f").write_text("x")

    assert await files.told() == [("deleted", "old.txt"), ("created", "old.txt/f")]


@pytest.mark.parametrize(
    "name",
    [
        b"bad\xffname",
        b"line\nfeed",
        b" leading",
        "\N{ROCKET}".encode(),
        b"--flag",
        b"n" * 255,
        "e\N{COMBINING ACUTE ACCENT}".encode(),
        b"tab\tand\x1b[31m",
    ],
)
async def test_a_name_comes_back_to_the_byte(files: Files, name: bytes) -> None:
    path = os.fsencode(files.root) + b"/" + name
    Path(os.fsdecode(path)).write_text("x")

    told = await files.told()

    assert [kind for kind, _ in told] == ["created"]
    assert unquote_to_bytes(told[0][1]) == name


async def test_a_name_that_is_not_utf8_does_not_end_the_watch(files: Files) -> None:
    bad = Path(os.fsdecode(os.fsencode(files.root) + b"/bad\xff"))
    bad.write_text("x")
    assert await files.told() == [("created", "bad%FF")]
    (files.root / "old.txt").write_text("more")
    bad.unlink()

    assert await files.told() == [("deleted", "bad%FF"), ("modified", "old.txt")]


async def test_a_name_that_is_not_utf8_costs_one_look_at_every_file(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backend ends at each hint of such a name: its folder is looked at from then on."""
    looks = []
    look = Tree.compare_all

    def counted(tree: Tree, hints: Iterable[str] = ()) -> list[Change]:
        looks.append(tree)
        return look(tree, hints)

    monkeypatch.setattr(Tree, "compare_all", counted)
    (files.root / "sub" / "deep").mkdir(parents=True)
    (files.root / "sub" / ".gitignore").write_text("*.tmp\n")
    (files.root / "sub" / "old").write_text("x")
    await files.told()
    looks.clear()
    bad = Path(os.fsdecode(os.fsencode(files.root) + b"/sub/b\xff.log"))
    bad.write_text("0")
    await files.until_told("created", "sub/b%FF.log")
    for number in range(5):
        with bad.open("a") as opened:
            opened.write(str(number))
        await files.until_told("modified", "sub/b%FF.log")
        files.new()
    # One more where this machine was so busy that hints may have been missed.
    assert 1 <= len(looks) <= 2
    (files.root / "sub" / "old").unlink()
    (files.root / "sub" / "new").write_text("x")
    (files.root / "sub" / "more").mkdir()
    (files.root / "sub" / "more" / "a").write_text("x")
    (files.root / "sub" / "deep" / "a").write_text("x")
    (files.root / "sub" / ".gitignore").unlink()
    (files.root / "sub" / "a.tmp").write_text("x")
    for kind, path in (
        ("deleted", "old"), ("created", "new"), ("created", "more/a"), ("created", "deep/a"),
        ("deleted", ".gitignore"), ("created", "a.tmp"),
    ):  # fmt: skip
        await files.until_told(kind, f"sub/{path}")
    (files.root / "sub" / "more" / "b").write_text("x")
    assert ("created", "sub/more/b") in await files.told()
    reasons = [event.data.get("reasons") for event in files.watching.events]
    assert ["files of web: the watch ended"] not in reasons
    assert not files.watching.producer.gap


@pytest.mark.parametrize(
    "name", [b"\xff", b'"\xff', b"a\\\xff", b"a\n\xff", "é".encode() + b"\xff"]
)
async def test_the_folder_of_such_a_name_is_known_whatever_it_is_called(
    root: Path, world: World, name: bytes
) -> None:
    folder = root / os.fsdecode(name.removesuffix(b"\xff") + b"'\\x41 ")
    folder.mkdir()
    async with world.watch("files", root) as watching:
        files = Files(root, watching)
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_text("x")
        await watching.until(lambda: watching.events)

        assert [*watching.producer._blind] == [str(folder)]  # type: ignore[attr-defined]
        assert files.said() == []


async def test_a_folder_whose_name_is_not_utf8_is_looked_at(files: Files) -> None:
    """The kernel's word needs a name in UTF-8; the folder after it is watched all the same."""
    bad = Path(os.fsdecode(os.fsencode(files.root) + b"/bad\xff"))
    bad.mkdir()
    (bad / "in").write_text("x")
    (files.root / "good").mkdir()
    assert await files.told() == [("created", "bad%FF/in")]
    (files.root / "good" / "in").write_text("x")
    assert await files.told() == [("created", "good/in")]
    (bad / "in").write_text("more")

    await files.until_told("modified", "bad%FF/in")
    assert "watch.limited" in files.said()


async def test_a_linked_folder_is_a_file_and_is_not_followed(files: Files, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (files.root / "link").symlink_to(outside)
    assert await files.told() == [("created", "link")]
    (files.root / "link" / "f").write_text("x")

    assert await files.told() == []


async def test_what_is_behind_a_link_that_was_there_at_the_start_is_not_told(
    root: Path, world: World, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "link").symlink_to(outside)
    async with world.watch("files", root) as watching:
        files = Files(root, watching)

        (outside / "f").write_text("x")

        assert await files.told() == []


async def test_what_a_link_beside_it_leads_to_is_told_where_it_is(root: Path, world: World) -> None:
    # As package managers link the packages of one repository to each other.
    (root / "packages" / "ui").mkdir(parents=True)
    (root / "modules").mkdir()
    (root / "modules" / "ui").symlink_to("../packages/ui")
    (root / ".gitignore").write_text("modules/\n")
    async with world.watch("files", root) as watching:
        files = Files(root, watching)
        (root / "packages" / "ui" / "a.js").write_text("x")

        assert await files.told() == [("created", "packages/ui/a.js")]


async def test_loops_of_links_are_harmless(root: Path, world: World) -> None:
    (root / "loop").symlink_to(".")
    (root / "a").mkdir()
    (root / "a" / "up").symlink_to("..")
    (root / "self").symlink_to("self")
    async with world.watch("files", root) as watching:
        files = Files(root, watching)

        (root / "a" / "f").write_text("x")
        (root / "again").symlink_to(".")

        assert await files.told() == [("created", "a/f"), ("created", "again")]


async def test_a_pipe_is_no_file(files: Files) -> None:
    os.mkfifo(files.root / "pipe")

    assert await files.told() == []


async def test_an_edited_ignore_file_hides_at_once_and_tells_what(files: Files) -> None:
    (files.root / "a.log").write_text("x")
    await files.told()
    (files.root / ".gitignore").write_text("*.log\n")
    (files.root / "b.log").write_text("x")
    (files.root / "a.log").write_text("longer")

    assert await files.told() == [("deleted", "a.log"), ("created", ".gitignore")]
    assert causes(files)["a.log"] == "ignore"
    assert causes(files)[".gitignore"] is None


def causes(files: Files) -> dict[str, str | None]:
    """Return the cause of the last change of each file."""
    events = [event for event in files.watching.events if event.type == "FILE_CHANGE"]
    return {event.data["file_path"]: event.data.get("cause") for event in events}


async def test_an_edited_ignore_file_shows_at_once_and_tells_what(files: Files) -> None:
    (files.root / ".gitignore").write_text("*.log\n")
    (files.root / "a.log").write_text("x")
    await files.told()
    (files.root / ".gitignore").write_text("")
    assert await files.told() == [("modified", ".gitignore"), ("created", "a.log")]
    assert causes(files) | {".gitignore": None} == causes(files)
    assert causes(files)["a.log"] == "ignore"
    (files.root / "a.log").write_text("longer")

    assert await files.told() == [("modified", "a.log")]
    assert causes(files)["a.log"] is None


async def test_rules_that_show_and_hide_thousands_of_files_are_told_in_batches(
    files: Files,
) -> None:
    (files.root / ".gitignore").write_text("many/\n")
    (files.root / "many").mkdir()
    for number in range(2000):
        (files.root / "many" / str(number)).write_text("x")
    assert await files.told() == [("created", ".gitignore")]

    (files.root / ".gitignore").unlink()
    told = await files.told()
    assert len(told) == 2001
    assert max(map(len, files.watching.batches)) == 500
    assert {causes(files)[path] for _, path in told} == {None, "ignore"}
    (files.root / "many" / "7").write_text("watched")
    assert await files.told() == [("modified", "many/7")]

    (files.root / ".gitignore").write_text("many/\n")
    assert len(await files.told()) == 2001
    assert files.said() == []


async def test_a_folder_that_comes_anew_with_other_rules_beside_it_is_watched(
    files: Files,
) -> None:
    (files.root / "sub").mkdir()
    (files.root / "sub" / "a").write_text("x")
    await files.told()
    (files.root / "sub").rename(files.root.with_name("aside"))
    (files.root / "sub").mkdir()
    (files.root / ".gitignore").write_text("*.log\n")
    assert await files.told() == [("deleted", "sub/a"), ("created", ".gitignore")]
    (files.root / "sub" / "b").write_text("x")

    assert await files.told() == [("created", "sub/b")]


async def test_the_users_own_ignore_file_takes_effect_though_nothing_hints_at_it(
    root: Path, world: World, tmp_path: Path
) -> None:
    (root / "a.log").write_text("x")
    (excludes := tmp_path / "excludes").write_text("")
    git(root, "config", "--global", "core.excludesFile", str(excludes))
    async with world.watch("files", root) as watching:
        files = Files(root, watching)
        excludes.write_text("*.log\n")
        await files.until_told("deleted", "a.log")
        excludes.unlink()
        await files.until_told("created", "a.log")

        assert causes(files) == {"a.log": "ignore"}


async def test_a_file_that_comes_together_with_an_ignore_file_is_told(files: Files) -> None:
    (files.root / ".gitignore").write_text("*.log\n")
    (files.root / "src").mkdir()
    (files.root / "src" / "main.py").write_text("x")
    (files.root / "a.log").write_text("x")

    assert await files.told() == [("created", ".gitignore"), ("created", "src/main.py")]


async def test_a_folder_that_comes_back_with_other_rules_is_read_anew(
    files: Files, tmp_path: Path
) -> None:
    (files.root / "sub").mkdir()
    (files.root / "sub" / "a.log").write_text("x")
    await files.told()
    shutil.rmtree(files.root / "sub")
    await files.told()
    other = tmp_path / "sub"
    other.mkdir()
    (other / ".gitignore").write_text("*.log\n")
    (other / "b.log").write_text("x")

    other.rename(files.root / "sub")

    assert await files.told() == [("created", "sub/.gitignore")]


async def test_patterns_of_the_settings_hide(root: Path, world: World) -> None:
    async with world.watch("files", root, ignore=["*.tmp", "build/"]) as watching:
        files = Files(root, watching)
        (root / "build").mkdir()
        (root / "build" / "x").write_text("x")
        (root / "a.tmp").write_text("x")
        (root / "a.txt").write_text("x")

        assert await files.told() == [("created", "a.txt")]


async def test_a_projects_own_file_hides_after_the_settings(root: Path, world: World) -> None:
    async with world.watch("files", root, ignore=["!keep.tmp"]) as watching:
        files = Files(root, watching)
        (root / "a.tmp").write_text("x")
        (root / "keep.tmp").write_text("x")
        await files.told()
        own = root / ".rtevents.yaml"
        own.write_text("ignore: ['*.tmp', .rtevents.yaml]\n")
        assert await files.told() == [("deleted", "a.tmp")]
        assert causes(files)["a.tmp"] == "ignore"
        (root / "a.tmp").write_text("more")
        own.write_text("ignore: 5\n")

        assert await files.told() == [("created", ".rtevents.yaml"), ("created", "a.tmp")]


async def test_the_git_folder_is_never_told(files: Files) -> None:
    git(files.root, "init", "-q")
    git(files.root, "add", "old.txt")
    git(files.root, "commit", "-qm", "Begin")

    assert await files.told() == []


async def test_the_repositorys_own_exclude_file_takes_effect_at_once(
    repository: Path, world: World
) -> None:
    async with world.watch("files", repository) as watching:
        files = Files(repository, watching)
        (repository / ".git" / "info" / "exclude").write_text("*.log\n")
        (repository / "a.log").write_text("x")

        assert await files.told() == []


async def test_a_root_that_is_deleted_and_made_again_is_watched_again(files: Files) -> None:
    shutil.rmtree(files.root)
    await files.until_told("deleted", "old.txt")
    files.root.mkdir()
    (files.root / "new.txt").write_text("x")

    assert await files.told() == [("deleted", "old.txt"), ("created", "new.txt")]


async def test_a_root_that_another_folder_takes_the_place_of_is_watched_again(
    files: Files, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "new.txt").write_text("x")
    files.root.rename(tmp_path / "aside")
    other.rename(files.root)
    await files.until_told("created", "new.txt")
    (tmp_path / "aside" / "hidden.txt").write_text("x")

    assert await files.told() == [("deleted", "old.txt"), ("created", "new.txt")]


async def test_a_root_that_is_not_there_yet_is_waited_for(tmp_path: Path, world: World) -> None:
    root = tmp_path.resolve() / "later"
    watching = world.watch("files", root)
    opened = asyncio.create_task(watching.__aenter__())
    await asyncio.sleep(0)
    root.mkdir()
    await opened
    try:
        (root / "f").write_text("x")
        await watching.until(lambda: watching.events)

        assert watching.events[0].data["file_path"] == "f"
    finally:
        await watching.__aexit__(None, None, None)


async def test_a_burst_of_5000_files_ends_equal_to_the_disk(files: Files) -> None:
    def burst() -> None:
        for number in range(5000):
            folder = files.root / f"d{number % 50}"
            folder.mkdir(exist_ok=True)
            (folder / f"f{number}").write_text("x")
            if number % 10 == 0:
                (folder / f"f{number}").unlink()

    await asyncio.to_thread(burst)
    await files.told()
    wanted = {
        str(path.relative_to(files.root))
        for path in files.root.rglob("*")
        if path.is_file() and not path.name.startswith("mark-")
    }

    def known() -> set[str]:
        paths = {"old.txt"}
        for event in files.watching.events:
            if event.type == "SYSTEM_STATUS":
                assert event.data["event"] == "fs.rescan"
                continue
            (paths.discard if event.data["change_type"] == "deleted" else paths.add)(
                event.data["file_path"]
            )
        return {path for path in paths if not path.startswith("mark-")}

    await files.watching.until(lambda: known() == wanted)
    assert len(wanted) == 4501
    assert max(map(len, files.watching.batches)) <= 500


async def test_what_happened_while_the_watch_was_away_is_found(files: Files) -> None:
    # The backend ends at a name that is not UTF-8: all this happens until it is back.
    Path(os.fsdecode(os.fsencode(files.root) + b"/bad\xff")).write_text("x")
    for number in range(20):
        (files.root / f"f{number:02}").write_text("x")

    told = await files.told()

    assert sorted(told) == sorted(
        [("created", "bad%FF"), *(("created", f"f{number:02}") for number in range(20))]
    )


async def test_every_event_is_a_valid_payload(files: Files) -> None:
    (files.root / "old.txt").rename(files.root / "new.txt")
    await files.told()

    for event in files.watching.events:
        msgspec.convert(event.data, FileChange)


def watchers() -> set[threading.Thread]:
    """Return the threads of the watches."""
    return {thread for thread in threading.enumerate() if thread.name == "rtevents-watch"}


async def test_closing_the_generator_ends_the_thread(root: Path, world: World) -> None:
    before = watchers()
    producer = world.producer("files", root)
    async with aclosing(producer.events()) as events:
        first = asyncio.ensure_future(anext(events))
        await producer.ready.wait()
        assert len(watchers() - before) == 1
        (root / "f").write_text("x")
        await first

    assert watchers() == before


async def test_cancelling_the_reader_ends_the_thread(root: Path, world: World) -> None:
    before = watchers()
    async with world.watch("files", root):
        assert len(watchers() - before) == 1

    assert watchers() == before


# What happened while nobody looked


async def test_what_changed_between_two_runs_is_told_once_and_marked(
    root: Path, world: World
) -> None:
    (root / "gone.txt").write_text("x")
    (root / "moved.txt").write_text("yy")
    async with world.watch("files", root) as watching:
        files = Files(root, watching)
        (root / "told.txt").write_text("x")
        assert await files.told() == [("created", "told.txt")]
    (root / "new.txt").write_text("x")
    (root / "old.txt").write_text("other")
    (root / "gone.txt").unlink()
    (root / "moved.txt").rename(root / "there.txt")

    async with world.watch("files", root) as watching:
        files = Files(root, watching)
        await watching.until(lambda: len(watching.events) >= 4)
        new = files.new()
        assert sorted((data["change_type"], data["file_path"]) for data in new) == [
            ("created", "new.txt"),
            ("deleted", "gone.txt"),
            ("modified", "old.txt"),
            ("renamed", "there.txt"),
        ]
        assert all(data["reconciled"] for data in new)
        assert files.said() == []
    async with world.watch("files", root) as watching:
        assert await Files(root, watching).told() == []


async def test_what_was_not_stored_when_the_daemon_ended_is_told_by_the_next(
    root: Path, world: World
) -> None:
    producer = world.producer("files", root)
    async with aclosing(producer.events()) as batches:
        waiting = asyncio.ensure_future(anext(batches))
        await producer.ready.wait()
        (root / "new.txt").write_text("x")
        assert [event.data["file_path"] for event in await waiting] == ["new.txt"]

    async with world.watch("files", root) as watching:
        assert await Files(root, watching).told() == [("created", "new.txt")]


async def test_rules_that_were_edited_meanwhile_tell_what_they_hide(
    root: Path, world: World
) -> None:
    (root / "build.log").write_text("x")
    async with world.watch("files", root):
        pass
    (root / ".gitignore").write_text("*.log\n")

    async with world.watch("files", root) as watching:
        files = Files(root, watching)
        assert await files.told() == [("deleted", "build.log"), ("created", ".gitignore")]
        assert causes(files)["build.log"] == "ignore"
    async with world.watch("files", root) as watching:
        assert await Files(root, watching).told() == []


@pytest.mark.parametrize("damage", ["torn", "garbage", "gone"])
async def test_a_damaged_memory_of_the_files_is_no_obstacle(
    root: Path, world: World, damage: str
) -> None:
    async with world.watch("files", root) as watching:
        files = Files(root, watching)
        for name in ("a.txt", "b.txt"):
            (root / name).write_text("x")
            await files.told()
    [whole] = [file for file in world.places.iterdir() if file.name == "files"]
    [since] = [file for file in world.places.iterdir() if file.name.startswith("files.")]
    if damage == "torn":
        os.truncate(since, since.stat().st_size - 3)
    elif damage == "garbage":
        whole.write_bytes(b"\xff\x00garbage")
    else:
        whole.unlink()
    (root / "c.txt").write_text("x")

    async with world.watch("files", root) as watching:
        files = Files(root, watching)
        told = await files.told()
        (root / "d.txt").write_text("x")
        assert await files.told() == [("created", "d.txt")]

    # A torn end is found anew; without any memory, what is there is the past.
    assert ("created", "c.txt") in told if damage == "torn" else told == []


async def test_a_root_that_is_lost_is_said_and_so_is_its_return(files: Files) -> None:
    aside = files.root.with_name("aside")
    files.root.rename(aside)
    await files.watching.until(lambda: files.said() == ["root.lost"])
    (aside / "late.txt").write_text("x")
    aside.rename(files.root)

    await files.until_told("created", "late.txt")
    assert files.said() == ["root.lost", "root.back"]
    lost = next(event for event in files.watching.events if event.type == "SYSTEM_STATUS")
    assert lost.data["status"] == "degraded"
    assert "is not there" in lost.data["reasons"][0]
    assert not files.watching.producer.gap


async def test_a_root_that_becomes_a_file_is_lost(files: Files) -> None:
    files.root.rename(files.root.with_name("aside"))
    files.root.write_text("no folder")

    await files.watching.until(lambda: files.said() == ["root.lost"])
    files.root.unlink()
    files.root.mkdir()
    await files.until_told("deleted", "old.txt")


async def test_a_root_that_is_replaced_at_once_is_said_to_be_another(files: Files) -> None:
    other = files.root.with_name("other")
    other.mkdir()
    (other / "new.txt").write_text("x")
    subprocess.run(["python3", "-c", EXCHANGE, str(other), str(files.root)], check=True)

    await files.until_told("created", "new.txt")
    assert files.said()[:2] == ["root.lost", "root.back"]


EXCHANGE = """
import ctypes, os, sys
old, new = map(os.fsencode, sys.argv[1:])
if ctypes.CDLL(None).renameat2(-100, old, -100, new, 2):
    sys.exit("renameat2 failed")
"""
"""Exchanges two folders in one step (`man 2 renameat2`, RENAME_EXCHANGE)."""
