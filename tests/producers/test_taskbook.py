"""TaskBook: the stream says what the files say, whatever is done to them and whenever it ends."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtevents.core.pace import Pace
from rtevents.producers.taskbook import GRACE, TaskBook, Told
from rtevents.producers.tasklist import STATES, TaskList, parse

FILES = ("TODO.md", "docs/plan.md", "notes.md")
MARKS = " xX/->!"


class World:
    """
    Files of tasks, a book that reads them, and a reader of its stream.

    Args:
        folder: Where the book keeps its place.
        chance: Decides what is done.
    """

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder = folder
        self.chance = chance
        # File -> lines: the key of a task, or a line that is none.
        self.files: dict[str, list[int | str]] = {"TODO.md": []}
        self.titles: dict[int, str] = {}
        self.marks: dict[int, str] = {}
        self.log: set[str] = set()
        self.stream: dict[str, tuple[str, str, str]] = {}
        self.progress: dict[str, tuple[float, float]] = {}
        self.ids: dict[int, str] = {}
        self.now = 0.0
        self.book = TaskBook(folder, "web")
        asyncio.run(self.book.recover(self.find))

    async def find(self, event_id: str) -> int | None:
        """Return a seq for what is in the log."""
        return 1 if event_id in self.log else None

    def change(self) -> None:
        """Do one thing to the files."""
        keys = [*self.titles]
        what = self.chance.choice(("add", "add", "words", "drop", "tick", "title", "move", "mix"))
        if what == "add" or not keys:
            key = len(self.ids) + len(self.titles) + 1000 * len(self.log) + self.chance.randrange(9)
            while key in self.titles or key in self.ids:
                key += 1
            letters = "abcdefghijklmnopqrstuvwxyz"
            self.titles[key] = " ".join("".join(self.chance.sample(letters, 9)) for _ in range(3))
            self.marks[key] = " "
            self._put(key)
        elif what == "words":
            path = self.chance.choice([*self.files])
            text = self.chance.choice(("", "Words.", "* * *", "- no task", "```\n- [ ] code\n```"))
            self.files[path].insert(0, text)
        elif what == "drop":
            self._take(key := self.chance.choice(keys))
            del self.titles[key]
        elif what == "tick":
            self.marks[self.chance.choice(keys)] = self.chance.choice(MARKS)
        elif what == "title":
            key = self.chance.choice(keys)
            self.titles[key] = self.titles[key][:29] + self.chance.choice(("", " now", "!", " b"))
        elif what == "move":
            self._take(key := self.chance.choice(keys))
            self._put(key)
        else:
            self.chance.shuffle(self.files[self.chance.choice([*self.files])])

    def _put(self, key: int) -> None:
        lines = self.files.setdefault(self.chance.choice(FILES), [])
        lines.insert(self.chance.randint(0, len(lines)), key)

    def _take(self, key: int) -> None:
        for path, lines in list(self.files.items()):
            if key in lines:
                lines.remove(key)
                if not lines:
                    del self.files[path]

    def read(self) -> dict[str, TaskList | None]:
        """Return what is in the files now."""
        read: dict[str, TaskList | None] = dict.fromkeys(self.book.kept.pages)
        for path, lines in self.files.items():
            text = "\n\n".join(
                f"- [{self.marks[each]}] {self.titles[each]}" if isinstance(each, int) else each
                for each in lines
            )
            read[path] = parse(text)
        return read

    def look(self, *, crash: bool = False) -> None:
        """Tell what has changed; with a crash, some of it, and start anew."""
        self.now += GRACE / 3
        told, pages = self.book.compare(self.read(), self.now, 1e9 + self.now, reconciled=False)
        if told:
            self.book.intend(told)
        self.tell(told[: self.chance.randint(0, len(told))] if crash else told)
        if not crash:
            self.book.settle(told, pages)
            self.book.begin(was_mount=False)
            return
        self.book = TaskBook(self.folder, "web")
        asyncio.run(self.book.recover(self.find))

    def tell(self, told: list[Told]) -> None:
        """Store events; none may say what is known."""
        for each in told:
            event = self.book.event(each)
            assert event.event_id not in self.log
            self.log.add(event.event_id)
            data = event.data
            if event.type == "PROGRESS_UPDATE":
                count = (data["done"], data["total"])
                assert self.progress.get(data["label"]) != count
                self.progress[data["label"]] = count
            elif data["status"] == "removed":
                del self.stream[data["task_id"]]
            else:
                task = (data["path"], data["title"], data["status"])
                if data["change"] != "moved":
                    assert self.stream.get(data["task_id"]) != task
                self.stream[data["task_id"]] = task

    def check(self) -> None:
        """Fail where the stream does not say what the files say, or a task has another id."""
        written = {
            key: (path, self.titles[key].strip(), STATES[self.marks[key]])
            for path, lines in self.files.items()
            for key in lines
            if isinstance(key, int)
        }
        by_task = {task: task_id for task_id, task in self.stream.items()}
        assert sorted(self.stream.values()) == sorted(written.values())
        for key, task in written.items():
            assert self.ids.setdefault(key, by_task[task]) == by_task[task]
        counted = [status for _, _, status in written.values() if status != "cancelled"]
        assert self.progress.get("all tasks", (0, 0)) == (counted.count("done"), len(counted))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_the_stream_says_what_the_files_say_and_ids_stay(seed: int) -> None:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), chance)
        for _ in range(12):
            for _ in range(chance.randint(1, 3)):
                world.change()
            if chance.random() < 0.2:
                world.look(crash=True)
            if chance.random() < 0.2:  # a start at which nothing has changed
                world.book = TaskBook(Path(folder), "web")
                asyncio.run(world.book.recover(world.find))
            for _ in range(5):
                world.look()
            world.check()
            world.look()
            world.check()


def test_ten_thousand_tasks_are_cheap(tmp_path: Path) -> None:
    lines = [f"- [ ] Task number {number} of very many" for number in range(10_000)]
    book = TaskBook(tmp_path, "web")
    asyncio.run(book.recover(_nothing))
    told, pages = book.compare({"TODO.md": parse("\n".join(lines))}, 0, 1e9, reconciled=False)
    book.intend(told)
    book.settle(told, pages)
    book.begin(was_mount=False)
    lines[4321] = lines[4321].replace("[ ]", "[x]")
    lines.insert(0, "- [ ] Another")
    lines[9000] += " indeed"
    begun = time.process_time()
    told, pages = book.compare({"TODO.md": parse("\n".join(lines))}, 1, 1e9, reconciled=False)
    book.intend(told)
    book.settle(told, pages)
    took = time.process_time() - begun

    assert [each.data.get("change") for each in told[:3]] == ["added", "status", "edited"]
    assert took < 10, took  # far above what it takes on a busy machine: that is 0.4 s


def test_a_file_that_is_written_anew_is_compared_in_bounded_time(tmp_path: Path) -> None:
    book = TaskBook(tmp_path, "web")
    asyncio.run(book.recover(_nothing))
    book.begin(was_mount=False)
    for round_ in range(2):
        lines = [f"- [ ] {random.Random(f'{round_}{at}').random()}" for at in range(10_000)]
        begun = time.process_time()
        read: dict[str, TaskList | None] = {"TODO.md": parse("\n".join(lines))}
        told, pages = book.compare(read, round_, 1e9, reconciled=False)
        book.settle(told, pages)
        assert time.process_time() - begun < 20

    assert len([each for each in told if each.data.get("change") == "added"]) > 9_000


async def _nothing(event_id: str) -> int | None:
    return None


def test_the_pace_is_not_moved_by_one_day_of_cleaning_up() -> None:
    pace = Pace()
    for day in range(10):
        pace.note(day * 86_400.0, 2 * day + (50 if day == 9 else 0), apart=60, within=1e9)

    assert pace.rate() == pytest.approx(2 / 86_400)


def test_the_pace_says_nothing_of_too_little() -> None:
    pace = Pace()
    for when, done in ((0.0, 0), (1.0, 5), (100.0, 6)):
        pace.note(when, done, apart=60, within=1e9)

    assert pace.samples == [(0.0, 5), (100.0, 6)]
    assert pace.rate() is None
    assert pace.rate(least=2) == pytest.approx(0.01)


def test_the_same_written_id_in_two_files_stays_where_it_was(tmp_path: Path) -> None:
    """Read at once, as at a start, the order of the files decides nothing of what was told."""
    book = TaskBook(tmp_path, "web")
    asyncio.run(book.recover(_nothing))
    first = parse("- [ ] T-1: Write the guide")
    second = parse("- [ ] T-1: Bake a cake")
    for read in ({"b.md": first}, {"a.md": second}):
        told, pages = book.compare(read, 0, 1e9, reconciled=False)
        book.intend(told)
        book.settle(told, pages)
    again = TaskBook(tmp_path, "web")
    asyncio.run(again.recover(_nothing))
    told, _ = again.compare({"a.md": second, "b.md": first}, 0, 1e9, reconciled=True)

    assert [task.task_id for task in again.kept.pages["b.md"].tasks] == ["T-1"]
    assert told == []


def test_titles_that_take_long_to_compare_are_compared_in_bounded_time(tmp_path: Path) -> None:
    """Fifty places with fifty titles each, of which every pair has the same letters."""
    chance = random.Random(7)
    book = TaskBook(tmp_path, "web")
    asyncio.run(book.recover(_nothing))
    begun = time.process_time()
    for _ in range(2):
        lines = []
        for place in range(10):
            lines.append(f"- [ ] place {place}")
            lines += [f"- [ ] {''.join(chance.choices('ab', k=500))}" for _ in range(50)]
        told, pages = book.compare({"TODO.md": parse("\n".join(lines))}, 0, 1e9, reconciled=False)
        book.settle(told, pages)

    assert time.process_time() - begun < 20  # without a bound it is some minutes
