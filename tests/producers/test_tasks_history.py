"""The tasks producer on histories: a made one of many commits, and that of this project."""

from __future__ import annotations

import asyncio
import random
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from rtevents.producers import taskbook, tasks
from rtevents.producers.taskbook import GRACE, TaskBook
from rtevents.producers.tasklist import parse
from tests.conftest import Daemon, wait_for
from tests.producers.conftest import Watching, World, git
from tests.producers.test_tasks import state, updates

ROOT = Path(__file__).parent.parent.parent


def versions(count: int, seed: int = 7) -> Iterator[str]:
    """Yield a file of tasks as it is after each of many commits."""
    chance = random.Random(seed)
    lines: list[list[str]] = []
    for number in range(count):
        what = chance.random()
        if (what < 0.35 and len(lines) < 150) or len(lines) < 5:
            at = chance.randint(0, len(lines))
            lines.insert(at, [" ", f"{chance.getrandbits(60):x} number {number}"])
        elif what < 0.75:
            chance.choice(lines)[0] = chance.choice(" xx/-")
        elif what < 0.85:
            line = chance.choice(lines)
            line[1] = line[1].removesuffix(" again") + chance.choice((" again", ""))
        elif what < 0.95:
            lines.insert(chance.randint(0, len(lines) - 1), lines.pop(chance.randrange(len(lines))))
        else:
            lines = [line for line in lines if line[0] != "x"]
        yield "# All\n\n" + "".join(f"- [{mark}] {title}\n" for mark, title in lines) + "\nEnd.\n"


def made(root: Path, count: int) -> Path:
    """Make a repository with a commit for each version."""
    root.mkdir()
    git(root, "init", "-q")
    stream = []
    for number, text in enumerate(versions(count)):
        data = text.encode()
        stream.append(
            b"commit refs/heads/main\ncommitter Ada <ada@example.org> %d +0000\ndata 1\nx\n"
            b"M 100644 inline TODO.md\ndata %d\n%b\n" % (1_700_000_000 + number, len(data), data)
        )
    git(root, "fast-import", "--quiet", given=b"".join(stream))
    git(root, "reset", "-q", "--hard", "main")
    return root


def history(root: Path) -> Iterator[str]:
    """Yield the file of tasks of every commit, the oldest first."""
    shas = git(root, "rev-list", "--reverse", "main").split()
    asked = "".join(f"{sha}:TODO.md\n" for sha in shas).encode()
    done = subprocess.run(
        ["git", "cat-file", "--batch"], cwd=root, input=asked, capture_output=True, check=True
    ).stdout
    at = 0
    while at < len(done):
        end = done.index(b"\n", at)
        size = int(done[at:end].split()[2])
        yield done[end + 1 : end + 1 + size].decode()
        at = end + 1 + size + 1


async def _nothing(event_id: str) -> int | None:
    return None


@pytest.mark.parametrize(
    "count", [300, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
def test_every_commit_of_a_history_is_told(tmp_path: Path, count: int) -> None:
    root = made(tmp_path / "web", count)
    places = tmp_path / "places"
    places.mkdir()
    book = TaskBook(places, "web")
    asyncio.run(book.recover(_nothing))
    stream, seen = {}, 0
    for number, text in enumerate(history(root)):
        tasks_ = parse(text)
        now = 2 * number * GRACE
        while True:
            told, pages = book.compare({"TODO.md": tasks_}, now, 1e9 + now, reconciled=False)
            book.settle(told, pages)
            book.begin(was_mount=False)
            for each in told:
                if each.count is None:
                    stream[each.key] = (each.data["title"], each.data["status"])
            stream = {key: task for key, task in stream.items() if task[1] != "removed"}
            if book.due is None:
                break
            now = book.due
        seen += 1
        assert sorted(stream.values()) == sorted((i.title, i.status) for i in tasks_.items)

    assert seen == count


async def test_a_checkout_of_each_commit_is_followed(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taskbook, "GRACE", 0.05)
    root = made(tmp_path.resolve() / "web", 40)
    texts = [*history(root)]
    shas = git(root, "rev-list", "--reverse", "main").split()
    async with world.watch("tasks", root) as watching:
        for sha, text in zip(shas, texts, strict=True):
            await asyncio.to_thread(git, root, "checkout", "-q", sha)
            await watching.until(partial(_tells, watching, text))
        ids = {task["task_id"] for task in updates(watching)}
        await asyncio.to_thread(git, root, "checkout", "-q", shas[3])
        await watching.until(partial(_tells, watching, texts[3]))

    assert {task["task_id"] for task in updates(watching)} == ids


def _tells(watching: Watching, text: str) -> bool:
    told = sorted((title, status) for _, title, status in state(watching.events).values())
    return told == sorted((item.title, item.status) for item in parse(text).items)


async def test_this_projects_own_pages_are_read(world: World) -> None:
    async with world.watch("tasks", ROOT, tasks=["**/*.md"]) as watching:
        pass

    assert watching.producer.gap is None
    assert [event.type for event in watching.events if event.type == "SYSTEM_STATUS"] == []
    assert isinstance(watching.producer, tasks.TasksProducer)


def test_a_daemon_that_is_killed_repeats_nothing_and_misses_nothing(
    stopped_daemon: Daemon,
) -> None:
    daemon = stopped_daemon
    root = daemon.home / "web"
    root.mkdir()
    file = root / "TODO.md"
    file.write_text("- [ ] Write the guide\n- [ ] Ship it\n- [ ] Eat\n")

    def told() -> list[tuple[str, str, bool]]:
        with daemon.client() as client:
            events = [entry.event.data for entry in client.history(limit=500).events]
        return [
            (data["title"], data["status"], "reconciled" in data)
            for data in events
            if "task_id" in data
        ]

    daemon.start(str(root))
    wait_for(lambda: len(told()) == 3, "told")
    for round_ in range(3):
        assert daemon.process is not None
        # At any moment of the telling: what was told before the end is not told again.
        file.write_text(file.read_text().replace("[ ] Eat", "[/] Eat"))
        daemon.process.kill()
        daemon.process.wait()
        if round_ == 1:
            file.write_text("- [x] Write the guide\n- [/] Eat\n")
        daemon.start()
        wait_for(lambda: ("Eat", "running") in [each[:2] for each in told()], "Eat")
    wait_for(lambda: len(told()) == 6, "all")

    found = told()
    assert [each[:2] for each in found if each[0] == "Eat"] == [("Eat", "open"), ("Eat", "running")]
    assert [each for each in found if each[1] in ("done", "removed")] == [
        ("Write the guide", "done", True), ("Ship it", "removed", True),
    ]  # fmt: skip
