"""TasksProducer: every task once, by the same id wherever it goes, and how far all have come."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rtevents.core.event import Event
from rtevents.producers import taskbook, tasks
from rtevents.producers.taskfiles import Mark, wrong_name
from rtevents.producers.tasks import is_racy
from tests.producers.conftest import PATIENCE, Watching, World


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know soon that a task is gone, and look often for a root."""
    monkeypatch.setattr(taskbook, "GRACE", 0.1)
    monkeypatch.setattr(tasks, "PAUSE", 0.05)
    monkeypatch.setattr(tasks, "LOOK_SECONDS", 0.3)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return an empty project."""
    root = tmp_path.resolve() / "web"
    root.mkdir()
    return root


def updates(watching: Watching) -> list[dict[str, Any]]:
    """Return what was told of tasks."""
    return [event.data for event in watching.events if event.type == "TASK_UPDATE"]


def progress(watching: Watching, label: str = "all tasks") -> list[tuple[float, float]]:
    """Return what was told of a progress."""
    return [
        (event.data["done"], event.data["total"])
        for event in watching.events
        if event.type == "PROGRESS_UPDATE" and event.data["label"] == label
    ]


def state(events: Sequence[Event]) -> dict[str, tuple[str, str, str]]:
    """Return what a reader of the stream knows of each task by now."""
    known: dict[str, tuple[str, str, str]] = {}
    for event in events:
        if event.type != "TASK_UPDATE":
            continue
        data = event.data
        if data["status"] == "removed":
            del known[data["task_id"]]
        else:
            known[data["task_id"]] = (data["path"], data["title"], data["status"])
    return known


def write(file: Path, *lines: str) -> None:
    """Write a file as editors do: another one, in its place."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.new")
    aside.write_text("".join(f"{line}\n" for line in lines))
    aside.replace(file)


async def test_what_is_there_is_told_once_and_its_progress(world: World, root: Path) -> None:
    write(root / "TODO.md", "# Now", "- [ ] Write", "  - [x] Plan", "- [-] Paint")
    async with world.watch("tasks", root) as watching:
        pass
    async with world.watch("tasks", root) as again:
        pass

    assert [(t["title"], t["status"], t["change"], t["line"]) for t in updates(watching)] == [
        ("Write", "open", "found", 2),
        ("Plan", "done", "found", 3),
        ("Paint", "cancelled", "found", 4),
    ]
    write_, plan, _ = updates(watching)
    assert plan["parent"] == write_["task_id"]
    assert plan["section"] == "Now"
    assert "reconciled" not in plan
    assert progress(watching) == progress(watching, "TODO.md") == [(1, 2)]
    assert again.events == []


async def test_a_task_keeps_its_id_through_edits_moves_and_other_lines(
    world: World, root: Path
) -> None:
    write(root / "TODO.md", "# Now", "- [ ] Write the guide", "- [ ] Ship it")
    async with world.watch("tasks", root) as watching:
        first = updates(watching)[0]["task_id"]
        write(root / "TODO.md", "# Now", "- [ ] Eat", "- [/] Write the guide", "- [ ] Ship it")
        await watching.until(lambda: len(updates(watching)) == 4)
        write(root / "TODO.md", "# Now", "- [ ] Eat", "- [/] Write the guides", "- [ ] Ship it")
        await watching.until(lambda: len(updates(watching)) == 5)
        write(root / "TODO.md", "# Now", "- [ ] Eat", "- [ ] Ship it", "# Later",
              "- [x] Write the guides")  # fmt: skip
        await watching.until(lambda: len(updates(watching)) == 6)

    told = [(t["change"], t["status"]) for t in updates(watching) if t["task_id"] == first]
    assert told == [("found", "open"), ("status", "running"), ("edited", "running"),
                    ("status", "done")]  # fmt: skip
    assert updates(watching)[-1]["old_status"] == "running"
    assert updates(watching)[-1]["section"] == "Later"


async def test_a_task_that_is_cut_and_pasted_into_another_file_has_moved(
    world: World, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taskbook, "GRACE", 5.0)
    write(root / "TODO.md", "- [ ] Write", "- [ ] Ship")
    async with world.watch("tasks", root, tasks=["*.md"]) as watching:
        task_id = updates(watching)[0]["task_id"]
        write(root / "TODO.md", "- [ ] Ship", "- [ ] Eat")
        await watching.until(lambda: len(updates(watching)) == 3)
        write(root / "DONE.md", "- [ ] Write")
        await watching.until(lambda: len(updates(watching)) == 4)

    moved = updates(watching)[-1]
    assert (moved["task_id"], moved["change"]) == (task_id, "moved")
    assert (moved["path"], moved["old_path"]) == ("DONE.md", "TODO.md")
    assert progress(watching, "TODO.md")[-1] == (0, 2)
    assert progress(watching, "DONE.md") == [(0, 1)]


async def test_a_task_that_goes_is_told_and_has_its_id_when_it_comes_back(
    world: World, root: Path
) -> None:
    write(root / "TODO.md", "- [ ] Write", "- [ ] Ship")
    async with world.watch("tasks", root) as watching:
        write(root / "TODO.md", "- [ ] Ship")
        await watching.until(lambda: len(updates(watching)) == 3)
        write(root / "TODO.md", "- [ ] Ship", "- [ ] Write")
        await watching.until(lambda: len(updates(watching)) == 4)

    first, _, gone, back = updates(watching)
    assert (gone["status"], gone["change"], gone["old_status"]) == ("removed", "removed", "open")
    assert first["task_id"] == gone["task_id"] == back["task_id"]
    assert back["change"] == "added"


async def test_another_line_alone_is_no_event(world: World, root: Path) -> None:
    write(root / "TODO.md", "- [ ] Write")
    async with world.watch("tasks", root) as watching:
        write(root / "TODO.md", "", "Words.", "", "- [ ] Write")
        write(root / "TODO.md", "", "Words.", "", "- [ ] Write", "- [ ] Ship")
        await watching.until(lambda: len(updates(watching)) == 2)

    assert [task["title"] for task in updates(watching)] == ["Write", "Ship"]


async def test_a_heading_with_other_words_moves_no_task(world: World, root: Path) -> None:
    write(root / "TODO.md", "# Monday", "- [ ] Write")
    async with world.watch("tasks", root) as watching:
        write(root / "TODO.md", "# Tuesday", "- [ ] Write", "- [ ] Ship")
        await watching.until(lambda: len(updates(watching)) == 2)
        write(root / "TODO.md", "# Tuesday", "- [ ] Write", "# Later", "- [ ] Ship")
        await watching.until(lambda: len(updates(watching)) == 3)

    assert [(task["title"], task["change"]) for task in updates(watching)] == [
        ("Write", "found"), ("Ship", "added"), ("Ship", "moved"),
    ]  # fmt: skip


async def test_an_id_that_is_written_wins(world: World, root: Path) -> None:
    write(root / "TODO.md", "- [ ] T-12: Write", "- [ ] #7 Ship", "- [ ] Eat ^lunch",
          "- [ ] T-12 again")  # fmt: skip
    async with world.watch("tasks", root) as watching:
        write(root / "TODO.md", "- [x] Rest ^lunch", "- [ ] T-12: Something else altogether",
              "- [ ] #7 Ship", "- [ ] T-12 again")  # fmt: skip
        await watching.until(lambda: len(updates(watching)) == 6)

    assert [task["task_id"] for task in updates(watching)[:3]] == ["T-12", "#7", "^lunch"]
    assert updates(watching)[3]["task_id"].startswith("md-")
    assert [(t["task_id"], t["status"], t["change"]) for t in updates(watching)[4:]] == [
        ("^lunch", "done", "status"), ("T-12", "open", "edited"),
    ]  # fmt: skip


async def test_what_happened_while_nobody_looked_is_told_as_reconciled(
    world: World, root: Path
) -> None:
    write(root / "TODO.md", "- [ ] Write", "- [ ] Ship", "- [ ] Eat")
    async with world.watch("tasks", root):
        pass
    write(root / "TODO.md", "- [x] Write", "- [ ] Eat", "- [ ] Rest")
    async with world.watch("tasks", root) as watching:
        await watching.until(lambda: len(updates(watching)) == 3)

    told = [(task["title"], task["change"], task["reconciled"]) for task in updates(watching)]
    assert told == [("Write", "status", True), ("Rest", "added", True), ("Ship", "removed", True)]


async def test_files_that_come_go_and_are_named_by_a_pattern_are_seen(
    world: World, root: Path
) -> None:
    async with world.watch("tasks", root, tasks=["docs/**/*.md"]) as watching:
        write(root / "other.md", "- [ ] Not this")
        write(root / "docs" / "a" / "b" / "plan.md", "- [ ] Write")
        await watching.until(lambda: len(updates(watching)) == 1)
        write(root / "docs" / "a" / "more.md", "- [ ] Ship")
        await watching.until(lambda: len(updates(watching)) == 2)
        (root / "docs" / "a").rename(root / "docs" / "c")
        await watching.until(lambda: len(updates(watching)) == 4)
        (root / "docs" / "c" / "more.md").unlink()
        await watching.until(lambda: len(updates(watching)) == 5)

    assert [task["change"] for task in updates(watching)] == [
        "added", "added", "moved", "moved", "removed",
    ]  # fmt: skip
    assert [path for path, _, _ in state(watching.events).values()] == ["docs/c/b/plan.md"]


async def test_a_projects_own_file_names_more_and_what_to_leave_out(
    world: World, root: Path
) -> None:
    write(root / "TODO.md", "- [ ] Mine")
    write(root / "plan.md", "- [ ] Plan")
    write(root / "notes" / "a.md", "- [ ] Note")
    write(root / "notes" / "old" / "b.md", "- [ ] Old")
    async with world.watch("tasks", root) as watching:
        await watching.until(lambda: len(updates(watching)) == 1)
        own = root / ".rtevents.yaml"
        write(own, "tasks: [plan.md, 'notes/**/*.md']", "ignore: [old/]")
        await watching.until(lambda: len(updates(watching)) == 3)
        write(own, "tasks: [../outside.md]")
        await watching.until(lambda: len(updates(watching)) == 5)
        assert "tasks[0]: expected a path or a pattern below" in (watching.producer.gap or "")
        own.unlink()
        await watching.until(lambda: watching.producer.gap is None)

    told = [(task["title"], task["change"]) for task in updates(watching)]
    assert told[0] == ("Mine", "found")
    assert sorted(told[1:]) == [
        ("Note", "added"), ("Note", "removed"), ("Plan", "added"), ("Plan", "removed"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["/a.md", "../a.md", "a/../../b.md", ".//etc/passwd", "~/a.md", "a\0b", "\ud800", ""]
)
def test_a_name_beyond_the_project_is_refused(name: str) -> None:
    assert wrong_name(["TODO.md", name]) is not None
    assert wrong_name(["TODO.md", "./a.md", "docs/**/*.md", "docs/"]) is None


@pytest.mark.parametrize(
    ("changed", "now", "is_so"),
    [(100.0, 100.01, True), (100.0, 101.0, False), (100.0, 99.99, True), (100.0, 50.0, False)],
)
def test_a_file_that_is_dated_to_next_year_is_not_read_all_the_time(
    changed: float, now: float, is_so: bool
) -> None:
    mark = Mark(1, 1, 1, mtime_ns=10**18, ctime_ns=int(changed * 1e9))

    assert is_racy(mark, int(now * 1e9)) is is_so


async def test_a_file_with_a_merge_to_be_ended_is_as_it_was(world: World, root: Path) -> None:
    write(root / "TODO.md", "- [ ] Write", "- [ ] Ship")
    async with world.watch("tasks", root) as watching:
        write(root / "TODO.md", "<<<<<<< ours", "- [x] Write", "=======", "- [ ] Write it",
              ">>>>>>> theirs", "- [ ] Eat")  # fmt: skip
        write(root / "TODO.md", "- [x] Write", "- [ ] Ship")
        await watching.until(lambda: len(updates(watching)) == 3)

    assert [task["status"] for task in updates(watching)] == ["open", "open", "done"]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"- [ ] a\n" * 10_001, "TODO.md has more than 10,000 tasks: split it"),
        (b"x" * (1024**2 + 1), "TODO.md is larger than 1 MiB: split it"),
        (b"- [ ] a\0\n", "TODO.md is no text"),
    ],
    ids=["many", "large", "binary"],
)
async def test_what_cannot_be_read_is_as_it_was_and_that_is_told(
    world: World, root: Path, raw: bytes, words: str
) -> None:
    write(root / "TODO.md", "- [ ] Write")
    async with world.watch("tasks", root) as watching:
        (root / "TODO.md").write_bytes(raw)
        await watching.until(lambda: watching.producer.gap == words)
        write(root / "TODO.md", "- [x] Write")
        await watching.until(lambda: len(updates(watching)) == 2 and not watching.producer.gap)

    told = [event.data for event in watching.events if event.type == "SYSTEM_STATUS"]
    assert [data["event"] for data in told] == ["tasks.unread", "tasks.read"]
    assert words in told[0]["reasons"][0]


async def test_no_link_is_followed_out_of_the_project(
    world: World, root: Path, tmp_path: Path
) -> None:
    write(tmp_path / "outside" / "secret.md", "- [ ] Secret")
    (root / "TODO.md").symlink_to(tmp_path / "outside" / "secret.md")
    (root / "docs").symlink_to(tmp_path / "outside")
    (root / "loop").symlink_to(root)
    names = ["TODO.md", "docs/secret.md", "docs/**/*.md", "**/*.md"]
    async with world.watch("tasks", root, tasks=names) as watching:
        write(root / "real.md", "- [ ] Real")
        await watching.until(lambda: updates(watching))

    assert [task["title"] for task in updates(watching)] == ["Real"]
    assert watching.producer.gap is not None
    assert "TODO.md is a link" in watching.producer.gap


async def test_bytes_that_are_not_utf8_are_shown_as_such(world: World, root: Path) -> None:
    (root / "TODO.md").write_bytes(b"\xef\xbb\xbf- [ ] caf\xe9 \x1b[31mred\r\n- [x] ok\r\n")
    async with world.watch("tasks", root) as watching:
        pass

    assert [task["title"] for task in updates(watching)] == ["caf\ufffd [31mred", "ok"]


async def test_a_pipe_holds_nothing_up(world: World, root: Path) -> None:
    os.mkfifo(root / "TODO.md")
    write(root / "b.md", "- [ ] Write")
    async with world.watch("tasks", root, tasks=["TODO.md", "b.md"]) as watching:
        pass

    assert [task["title"] for task in updates(watching)] == ["Write"]


async def test_a_project_whose_folder_is_gone_has_lost_no_task(world: World, root: Path) -> None:
    write(root / "TODO.md", "- [ ] Write")
    async with world.watch("tasks", root) as watching:
        root.rename(root.with_name("away"))
        async with asyncio.timeout(PATIENCE):
            while watching.producer.ready.is_set():
                await asyncio.sleep(0.01)
        write(root.with_name("away") / "TODO.md", "- [x] Write")
        root.with_name("away").rename(root)
        await watching.until(lambda: len(updates(watching)) == 2)

    assert updates(watching)[-1]["status"] == "done"
    assert updates(watching)[-1]["reconciled"] is True


async def test_what_git_ignores_is_read_when_it_is_named_and_by_no_pattern(
    world: World, root: Path
) -> None:
    write(root / ".gitignore", "TODO.md", "build/")
    write(root / "TODO.md", "- [ ] Mine")
    write(root / "build" / "out.md", "- [ ] Theirs")
    async with world.watch("tasks", root, tasks=["**/*.md", "TODO.md"]) as watching:
        pass

    assert [task["title"] for task in updates(watching)] == ["Mine"]


async def test_what_git_ignores_from_now_on_is_no_task_any_more(world: World, root: Path) -> None:
    write(root / "docs" / "plan.md", "- [ ] Plan")
    write(root / "docs" / "more.md", "- [ ] More")
    async with world.watch("tasks", root, tasks=["docs/*.md"]) as watching:
        await watching.until(lambda: len(updates(watching)) == 2)
        write(root / "docs" / ".gitignore", "plan.md")
        write(root / "docs" / "third.md", "- [ ] Third")
        await watching.until(lambda: len(updates(watching)) == 4)

    assert sorted(path for path, _, _ in state(watching.events).values()) == [
        "docs/more.md", "docs/third.md",
    ]  # fmt: skip
