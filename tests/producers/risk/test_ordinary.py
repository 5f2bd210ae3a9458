"""Ordinary work is no risk: real histories, and days as people spend them, fire next to nothing."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from rtevents.core.event import Event
from tests.producers.conftest import git

from .conftest import BEGIN, Watch, Watcher

ROOT = Path(__file__).parent.parent.parent.parent

TOGETHER = 25
"""Commits that are told together."""


async def replay(watcher: Watcher, root: Path, shas: list[str]) -> Counter[tuple[str, str]]:
    """
    Tell real commits as if each happened when it was made.

    Returns:
        How often each rule fired, and how bad it was.
    """
    events = sorted(watcher.commits(root, shas), key=lambda each: each.data["committed_at"])
    for at in range(0, len(events), TOGETHER):
        some = events[at : at + TOGETHER]
        watcher.now = some[-1].data["committed_at"] + 1
        await watcher.tell(
            *(msgspec.structs.replace(each, timestamp=each.data["committed_at"]) for each in some)
        )
    return await fired(watcher)


async def fired(watcher: Watcher) -> Counter[tuple[str, str]]:
    """Return how often each rule fired, and how bad it was."""
    data = [entry.event.data for entry in await watcher.entries()]
    return Counter((each["rule"], each["severity"]) for each in data if each["state"] == "open")


async def test_the_history_of_this_project_fires_next_to_nothing(
    watched: Watch, tmp_path: Path
) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no history is here: this is a copy of the files alone")
    root = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--no-hardlinks", str(ROOT), str(root))
    shas = git(root, "rev-list", "--reverse", "HEAD").split()
    if len(shas) < 100:
        pytest.skip("the history is cut off: a shallow clone")
    async with watched(root=root) as watcher:
        found = await replay(watcher, root, shas)

    assert found.keys() <= {("secret", "low"), ("hot_file", "low")}
    # The secrets are those that this project's tests make up: they are to be found.
    del found["secret", "low"]
    assert sum(found.values()) <= max(4, len(shas) / 100)


def made_up(root: Path, count: int, seed: int) -> list[str]:
    """
    Make a history of so many commits over months, as a team makes it, and return the commits.

    A few files are changed often and most of them seldom; now and then a folder goes, a file of
    settings changes, a merge comes in.
    """
    chance = random.Random(seed)
    when = int(BEGIN) - 200 * 86400
    git(root.parent, "init", "-q", str(root))
    words = [f"word{number}" for number in range(200)]
    lines: list[str] = []
    files: dict[str, list[str]] = {}
    for number in range(1, count + 1):
        when += int(chance.expovariate(1 / (200 * 86400 / count)))
        changes: dict[str, str] = {}
        for _ in range(min(8, int(chance.paretovariate(1.2)))):
            at = min(int(chance.paretovariate(0.6)), 800)
            path = f"src/part{at % 17}/file{at}.py"
            text = files.setdefault(path, [])
            begin = chance.randrange(len(text) + 1)
            text[begin : begin + chance.randrange(8)] = [
                f"{chance.choice(words)} = {chance.choice(words)}()"
                for _ in range(chance.randrange(1, 12))
            ]
            del text[400:]
            changes[path] = "\n".join(text) + "\n"
        lines += [
            "commit refs/heads/main",
            f"author Ada <ada@example.org> {when} +0000",
            f"committer Ada <ada@example.org> {when} +0000",
            f"data {len(f'Change {number}')}",
            f"Change {number}",
        ]
        for path, content in changes.items():
            lines += [f"M 100644 inline {path}", f"data {len(content)}", content]
        lines.append("")
    git(root, "fast-import", "--quiet", given="\n".join(lines))
    git(root, "reset", "-q", "--hard")
    return git(root, "rev-list", "--reverse", "main").split()


@pytest.mark.parametrize(
    "count", [300, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
async def test_a_made_up_history_fires_next_to_nothing(
    watched: Watch, tmp_path: Path, count: int
) -> None:
    root = tmp_path / "made-up"
    shas = made_up(root, count, seed=count)
    assert len(shas) == count
    async with watched(root=root, uncommitted="none") as watcher:
        found = await replay(watcher, root, shas)

    assert found.keys() <= {("hot_file", "low")}
    assert sum(found.values()) <= count / 500


async def test_a_day_of_work_fires_nothing(watched: Watch, repository: Path) -> None:
    """Eight hours: saves, tests that fail and pass, a branch that is changed, a long build."""
    chance = random.Random(7)
    async with watched(root=repository) as watcher:
        for hour in range(8):
            for _ in range(60):
                path = f"src/{chance.choice('abcdefgh')}.py"
                await watcher.service.publish_many(
                    [
                        watcher.event(
                            "FILE_CHANGE", 20, file_path=path, change_type="modified", size=4000
                        ),
                        *_test_run(watcher, chance),
                    ]
                )
            await watcher.settled()
            (repository / "file.txt").write_text(f"{hour}\n" * 300)
            switched = [
                watcher.event(
                    "FILE_CHANGE", file_path=f"old/{at}.py", change_type="deleted", cause="checkout"
                )
                for at in range(200)
            ]
            tidied = [
                watcher.event("FILE_CHANGE", file_path=f"tmp/{at}.py", change_type="deleted")
                for at in range(20)
            ]
            built = [
                watcher.event(
                    "PROGRESS_UPDATE", chance.uniform(1, 30), done=done, total=20, label="build"
                )
                for done in range(21)
            ]
            listed = watcher.event(
                "PROGRESS_UPDATE", done=3, total=10, label="TODO.md", percent=30.0
            )
            await watcher.tell(*switched, *tidied, *built, listed)
            watcher.now += 1200
            await watcher.settled()

        assert await fired(watcher) == Counter()


def _test_run(watcher: Watcher, chance: random.Random) -> list[Event]:
    """Return a run of the tests, now and then: two in three pass, and who fails is put right."""
    if chance.random() > 0.2:
        return []
    codes = [1, 0] if chance.random() < 0.33 else [0]
    return [
        watcher.event(
            "TASK_UPDATE", 5, task_id="tests", status="failed" if code else "done", exit_code=code
        )
        for code in codes
    ]
