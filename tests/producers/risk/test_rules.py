"""Each rule finds the real thing: real files, real commits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rtevents.config.risks import RiskRuleSettings, RiskSettings
from rtevents.core.causes import extensions_of
from rtevents.core.event import Event
from rtevents.errors import RteventsError
from rtevents.producers.repository import Repository
from rtevents.producers.risk.rate import limit
from rtevents.producers.risk.work import uncommitted
from tests.producers.conftest import commit, git

from .conftest import Watch, Watcher, of_now, real_now

TOKEN = "ghp_" + "a1B2" * 9
"""What a token of GitHub looks like."""


async def committed(watcher: Watcher, root: Path, *shas: str) -> None:
    """Tell real commits at the time of this machine."""
    watcher.now = real_now() + 1
    await watcher.tell(*watcher.commits(root, shas))


def write(root: Path, name: str, text: str | bytes) -> str:
    """Write a file, commit it, and return the commit."""
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    git(root, "add", "-A", "-f")
    git(root, "commit", "-qm", f"Write {name}")
    return git(root, "rev-parse", "HEAD")


async def test_a_commit_that_changes_a_protected_path(watched: Watch, repository: Path) -> None:
    async with watched(root=repository) as watcher:
        sha = write(repository, ".github/workflows/ci.yml", "on: push\n")
        await committed(watcher, repository, sha, commit(repository))

        assert await watcher.told() == [("protected", "open")]
        alert = await watcher.alert()
        assert alert.data["message"] == (
            f"commit {sha[:10]} changes .github/workflows/ci.yml, which is protected"
        )
        assert alert.data["file_path"] == ".github/workflows/ci.yml"
        assert alert.data["evidence"] == [f"git:web:{sha}"]
        assert extensions_of(alert)["causation_id"] == f"git:web:{sha}"
        await watcher.later(86_400)
        assert await watcher.told() == [("protected", "open"), ("protected", "closed")]


async def test_a_risk_that_somebody_closed_opens_again_when_it_is_found_again(
    watched: Watch, repository: Path
) -> None:
    async with watched(root=repository) as watcher:
        sha = write(repository, ".github/workflows/ci.yml", "on: push\n")
        await committed(watcher, repository, sha)
        seen = {"fingerprint": (await watcher.alert()).data["fingerprint"], "state": "closed"}
        await watcher.tell(
            watcher.event("RISK_ALERT", severity="medium", message="seen", rule="protected", **seen)
        )
        sha = write(repository, ".github/workflows/ci.yml", "on: pull_request\n")
        await committed(watcher, repository, sha)

        assert await watcher.told_of("protected") == ["open", "closed", "open"]


async def test_a_commit_that_adds_a_secret_until_the_file_has_it_no_more(
    watched: Watch, repository: Path
) -> None:
    async with watched(root=repository) as watcher:
        await committed(watcher, repository, write(repository, "conf.py", "a = 1\n"))
        assert await watcher.told() == []
        bad = write(repository, "conf.py", f"a = 1\nkey = '{TOKEN}'\n")
        # What was there before is no news, and no end.
        again = write(repository, "conf.py", f"a = 2\nkey = '{TOKEN}'\n")
        await committed(watcher, repository, bad, again)
        assert await watcher.told() == [("secret", "open")]
        alert = await watcher.alert()
        assert alert.data["severity"] == "critical"
        assert alert.data["message"] == (
            f"commit {bad[:10]} adds what looks like a secret to conf.py (a token of GitHub)"
        )
        assert TOKEN not in str(msgspec.to_builtins(alert))
        await committed(watcher, repository, write(repository, "conf.py", "a = 2\n"))

        assert await watcher.told() == [("secret", "open"), ("secret", "closed")]
        assert "the secret has to be changed" in (await watcher.alert()).data["reason"]


async def test_a_secret_that_comes_and_goes_at_once(watched: Watch, repository: Path) -> None:
    async with watched(root=repository) as watcher:
        bad = write(repository, "conf.py", f"key = '{TOKEN}'\n")
        good = write(repository, "conf.py", "key = load()\n")
        await committed(watcher, repository, bad, good)

        assert await watcher.told() == [("secret", "open"), ("secret", "closed")]


async def test_a_commit_that_is_there_no_more_is_no_matter(
    watched: Watch, repository: Path
) -> None:
    async with watched(root=repository) as watcher:
        [event] = watcher.commits(repository, [write(repository, "conf.py", f"k = '{TOKEN}'\n")])
        odd = {**event.data, "parents": ["0" * 40]}
        lost = [
            msgspec.structs.replace(event, event_id=f"x{at}", data=odd | {"commit_hash": sha})
            for at, sha in enumerate(
                ["e" * 40, git(repository, "rev-parse", "HEAD^{tree}"), "abcdef1"]
            )
        ]
        watcher.now = real_now() + 1
        await watcher.tell(*lost)

        assert await watcher.told() == []


async def test_a_secret_in_a_test_is_most_often_made_up(watched: Watch, repository: Path) -> None:
    async with watched(root=repository) as watcher:
        sha = write(repository, "tests/test_login.py", f"key = '{TOKEN}'\n")
        await committed(watcher, repository, sha)

        assert (await watcher.alert()).data["severity"] == "low"


async def test_a_very_large_file_until_it_is_gone(watched: Watch, repository: Path) -> None:
    async with watched(root=repository, large_file_bytes=100_000) as watcher:
        sha = write(repository, "data.bin", b"\0" * 100_000)
        await committed(watcher, repository, sha, commit(repository))
        assert await watcher.told() == [("large_file", "open")]
        changed = watcher.event(
            "FILE_CHANGE", file_path="data.bin", change_type="modified", size=100_001
        )
        gone = watcher.event("FILE_CHANGE", file_path="data.bin", change_type="deleted")
        await watcher.tell(changed)
        assert len(await watcher.told()) == 1
        await watcher.tell(gone)

        assert await watcher.told() == [("large_file", "open"), ("large_file", "closed")]


async def test_a_very_large_file_before_it_is_committed(watched: Watch) -> None:
    async with watched() as watcher:
        new: dict[str, Any] = {
            "file_path": "dump.sql",
            "change_type": "created",
            "size": 60 * 1024**2,
        }
        await watcher.tell(watcher.event("FILE_CHANGE", **new))
        assert (await watcher.alert()).data["message"].startswith("dump.sql is of 60 MiB")
        moved: dict[str, Any] = {
            "file_path": "/away",
            "change_type": "renamed",
            "old_path": "dump.sql",
            "size": 9,
        }
        await watcher.tell(watcher.event("FILE_CHANGE", **moved))

        assert await watcher.told() == [("large_file", "open"), ("large_file", "closed")]


def deletion(watcher: Watcher, at: int, **more: Any) -> Event:
    """Return a deleted file."""
    name = f"{at}.py"
    return watcher.event("FILE_CHANGE", file_path=name, change_type="deleted", **more)


async def test_a_burst_of_deletions_but_not_by_git(watched: Watch) -> None:
    async with watched() as watcher:
        by_git = [deletion(watcher, at, cause="checkout") for at in range(500)]
        missed = [deletion(watcher, at, reconciled=True) for at in range(500)]
        few = [deletion(watcher, at) for at in range(49)]
        await watcher.tell(*by_git, *missed, *few)
        assert await watcher.told() == []
        await watcher.tell(deletion(watcher, 50))

        assert await watcher.told() == [("deletions", "open")]
        assert (await watcher.alert()).data["message"] == (
            "50 files or more deleted within 1 min, the last: 50.py"
        )


async def test_a_task_that_fails_again_and_again_until_it_does_not(watched: Watch) -> None:
    async with watched() as watcher:

        def ran(code: int, task: str = "tests") -> Event:
            status = "failed" if code else "done"
            return watcher.event("TASK_UPDATE", 60, task_id=task, status=status, exit_code=code)

        await watcher.tell(ran(1), ran(1), ran(0), ran(1), ran(1), ran(1, "lint"))
        assert await watcher.told() == []
        await watcher.tell(ran(1))
        assert await watcher.told() == [("failing", "open")]
        await watcher.tell(ran(0, "lint"), ran(0))

        assert await watcher.told() == [("failing", "open"), ("failing", "closed")]


async def test_a_rule_names_the_file_of_a_commit_that_its_condition_is_about(
    watched: Watch, repository: Path
) -> None:
    where = 'path matches "gen/**" and not path matches "**/*.tmp"'
    whole = RiskRuleSettings(name="whole", where=where, message="{path} is generated")
    each = RiskRuleSettings(name="each", where=where, per="path", message="{path}")
    kinds = RiskRuleSettings(name="kinds", type="COMMIT", message="{path}, {data.file_path}")
    async with watched(whole, each, kinds, root=repository, protected="none") as watcher:
        for name in ("a.py", "gen/b.sql", "src/c.py"):
            (repository / name).parent.mkdir(exist_ok=True)
            (repository / name).write_text(name)
        sha = write(repository, "z.py", "z")
        change = watcher.event("FILE_CHANGE", file_path="gen/b.sql", change_type="modified")
        await committed(watcher, repository, sha)

        told = {data["rule"]: data for data in await watcher.data()}
        assert told["whole"]["message"] == "gen/b.sql is generated"
        assert (told["each"]["message"], told["each"]["file_path"]) == ("gen/b.sql", "gen/b.sql")
        assert told["kinds"]["message"] == "a.py and 3 more, -"
        # A save of that file is the same risk.
        await watcher.tell(*of_now([change], watcher.now))
        assert await watcher.told_of("each") == ["open"]
        (repository / "gen" / "d.sql").write_text("d")
        (repository / "gen" / "b.sql").write_text("again")
        sha = write(repository, "gen/e.sql", "again")
        await committed(watcher, repository, sha)
        assert [data["message"] for data in await watcher.data() if data["rule"] == "each"] == [
            "gen/b.sql", "gen/d.sql", "gen/e.sql",
        ]  # fmt: skip


async def test_a_file_that_is_rewritten_again_and_again(watched: Watch, repository: Path) -> None:
    async with watched(root=repository) as watcher:
        shas = []
        for number in range(12):
            text = "".join(f"{number} {line}\n" for line in range(50))
            shas.append(write(repository, "hot.py", text))
            write(repository, "growing.py", "line\n" * 40 * (number + 1))
        await committed(watcher, repository, *shas[:9])
        assert await watcher.told() == []
        await committed(watcher, repository, *shas[9:])

        assert await watcher.told_of("hot_file") == ["open"]
        alert = await watcher.alert()
        assert alert.data["file_path"] == "hot.py"
        assert "10 commits and 450 lines" in alert.data["message"]


async def test_much_work_that_is_not_committed_for_long(watched: Watch, repository: Path) -> None:
    async with watched(root=repository) as watcher:
        for number in range(41):
            (repository / f"new{number}.py").write_text("x = 1\n")
        change = watcher.event("FILE_CHANGE", file_path="new1.py", change_type="created")
        await watcher.tell(change)
        await watcher.later(4 * 3600 - 10)
        assert await watcher.told() == []
        await watcher.later(20)
        alert = await watcher.alert()
        assert await watcher.told() == [("uncommitted", "open")]
        assert alert.data["message"] == (
            "41 files with 41 changed lines are not committed for 4.0 h"
        )
        assert extensions_of(alert)["causation_id"] == change.event_id
        await watcher.later(13 * 3600)
        updated = await watcher.alert()
        assert (updated.data["state"], updated.data["severity"]) == ("updated", "high")
        git(repository, "add", "-A")
        git(repository, "commit", "-qm", "All")
        await watcher.later(10)

        assert [state for _, state in await watcher.told()] == ["open", "updated", "closed"]


def test_what_is_not_committed_is_counted_and_runs_nothing(
    repository: Path, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    git(repository, "config", "filter.evil.clean", f"touch {ran}; cat")
    git(repository, "config", "filter.evil.required", "true")
    git(repository, "config", "core.fsmonitor", f"touch {ran}; :")
    write(repository, ".gitattributes", "*.txt filter=evil\n")
    commit(repository)
    ran.unlink(missing_ok=True)
    (repository / "file.txt").write_text("a\nb\nc\n")
    os.utime(repository / "file.txt", (1, 1))
    (repository / "new.py").write_text("1\n2\n")
    (repository / "link").symlink_to("/etc/passwd")
    (repository / "ignored.log").write_text("x\n")
    (repository / ".git" / "info" / "exclude").write_text("*.log\n")
    work = uncommitted(Repository(repository, 60.0), repository)

    assert work is not None
    assert (work.files, work.lines) == (3, 2 + 3 + 2)
    assert not ran.exists()
    # And it would, if git were asked without further ado.
    git(repository, "diff-index", "--numstat", "HEAD")
    assert ran.exists()


async def test_progress_that_stopped_on_the_way(watched: Watch) -> None:
    async with watched() as watcher:

        def step(done: int, source: str = "import") -> Event:
            event = watcher.event("PROGRESS_UPDATE", 30, done=done, total=100, label="rows")
            return msgspec.structs.replace(event, source=source)

        for done in range(1, 6):
            await watcher.tell(step(done), step(done, "rtevents/tasks"))
        for _ in range(9):
            await watcher.later(60)
        assert await watcher.told() == []
        await watcher.tell(step(5))  # still there, and no further
        await watcher.later(60)
        assert await watcher.told() == [("stalled", "open")]
        assert "rows stopped at 5: no step for 10 min" in (await watcher.alert()).data["message"]
        await watcher.tell(step(6))

        assert await watcher.told() == [("stalled", "open"), ("stalled", "closed")]


async def test_a_machine_that_slept_stalled_nothing(watched: Watch) -> None:
    async with watched() as watcher:
        for done in range(1, 6):
            await watcher.tell(
                watcher.event("PROGRESS_UPDATE", 30, done=done, total=100, label="rows")
            )
        await watcher.later(8 * 3600)
        await watcher.later(60)

        assert await watcher.told() == []


def weeks(counts: list[int], slot: int = 10) -> dict[int, list[int]]:
    """Return what is remembered of one hour of the week."""
    return {slot: counts}


@pytest.mark.parametrize(
    ("counts", "most"),
    [([], float("inf")), ([5, 5, 5], float("inf")), ([0, 0, 0, 0], 1000.0),
     ([100, 120, 90, 110, 50_000], 1000.0), ([4000, 4400, 3600, 4000], 4000 + 6 * 2000)],
)  # fmt: skip
def test_what_is_usual_is_robust(counts: list[int], most: float) -> None:
    assert limit(weeks(counts), 10, RiskSettings()) == most


def test_the_same_hour_of_other_days_will_do() -> None:
    days = {24 * day + 10: [10_000] for day in range(5)}

    assert limit(days, 5 * 24 + 10, RiskSettings()) == 10_000 + 6 * 5000
    assert limit(days, 5 * 24 + 11, RiskSettings()) == float("inf")


async def test_an_hour_with_far_more_events_than_it_ever_had(watched: Watch) -> None:
    async with watched(rate_least=50) as watcher:

        def changes(count: int) -> Iterator[Event]:
            for _ in range(count):
                yield watcher.event("FILE_CHANGE", 1, file_path="a", change_type="modified")

        for _ in range(6):
            await watcher.tell(*changes(12))
            await watcher.later(86_400 - 12)
            await watcher.kill()
            await watcher.watch()
        await watcher.tell(*changes(50))
        assert await watcher.told() == []
        await watcher.tell(*changes(100))

        assert await watcher.told() == [("rate", "open")]
        await watcher.later(3600)
        assert await watcher.told() == [("rate", "open"), ("rate", "closed")]


async def test_a_number_beyond_all_numbers_ends_no_rule(watched: Watch) -> None:
    """It would be shown to the rules at each start anew, and end them each time."""
    async with watched(large_file_bytes=100) as watcher:
        odd: dict[str, Any] = {"file_path": "a", "change_type": "modified", "size": 10**400}
        await watcher.tell(watcher.event("FILE_CHANGE", **odd))
        await watcher.tell(watcher.event("FILE_CHANGE", **odd | {"file_path": "b", "size": 200}))

        assert await watcher.told() == [("large_file", "open")]


@pytest.mark.parametrize("is_dropped", [True, False])
async def test_a_secret_that_an_amend_takes_out(
    watched: Watch, repository: Path, is_dropped: bool
) -> None:
    """The amended commit differs from its parent by nothing of the file."""
    async with watched(root=repository) as watcher:
        write(repository, "conf.py", "a = 1\n")
        bad = write(repository, "conf.py", f"a = 1\nkey = '{TOKEN}'\n")
        await committed(watcher, repository, bad)
        if is_dropped:
            git(repository, "checkout", "HEAD~1", "--", "conf.py")
        (repository / "other.py").write_text("b = 1\n")
        git(repository, "add", "other.py")
        git(repository, "commit", "-q", "--amend", "-m", "Other")
        [told] = watcher.commits(repository, [git(repository, "rev-parse", "HEAD")])
        watcher.now = real_now() + 2
        await watcher.tell(msgspec.structs.replace(told, data=told.data | {"replaces": [bad]}))

        states = ["open", "closed"] if is_dropped else ["open"]
        assert await watcher.told_of("secret") == states


async def test_a_project_that_is_not_watched_any_more_leaves_nothing_open(
    watched: Watch, repository: Path
) -> None:
    async with watched(root=repository, large_file_bytes=100) as watcher:
        data: dict[str, Any] = {"file_path": "a", "change_type": "created", "size": 200}
        await committed(watcher, repository, write(repository, "conf.py", f"k = '{TOKEN}'\n"))
        (repository / "a").write_bytes(b"x" * 200)
        await watcher.tell(watcher.event("FILE_CHANGE", **data))
        watcher.projects = [
            msgspec.structs.replace(each, is_repository=False) for each in watcher.projects
        ]
        await watcher.later(10)
        assert await watcher.told_of("secret") == ["open", "closed"]
        watcher.projects = []
        await watcher.later(10)

        assert await watcher.told_of("large_file") == ["open", "closed"]


async def test_a_task_that_somebody_interrupts_has_not_failed(watched: Watch) -> None:
    async with watched() as watcher:
        for code, more in ((130, {"signal": "SIGINT"}), (130, {}), (130, {}), (1, {}), (1, {})):
            data = {"task_id": "T-1", "status": "failed", "exit_code": code, **more}
            await watcher.tell(watcher.event("TASK_UPDATE", 1, **data))

        assert await watcher.told() == []


async def test_the_progress_of_a_task_that_has_ended_is_not_stalled(watched: Watch) -> None:
    async with watched() as watcher:
        for task in ("T-1", "T-2"):
            for done in range(1, 6):
                data = {"done": done, "total": 100, "label": task, "task_id": task}
                await watcher.tell(watcher.event("PROGRESS_UPDATE", 30, **data))
        await watcher.tell(watcher.event("TASK_UPDATE", task_id="T-1", status="failed"))
        for _ in range(20):
            await watcher.later(60)
        assert ["T-2" in (await watcher.alert()).data["message"]] == [True]
        assert await watcher.told() == [("stalled", "open")]
        await watcher.tell(watcher.event("TASK_UPDATE", task_id="T-2", status="done"))

        assert await watcher.told() == [("stalled", "open"), ("stalled", "closed")]


async def test_what_stopped_for_good_is_told_once(watched: Watch) -> None:
    """A command that was killed never ends: it must not open a risk every day."""
    async with watched(close_after=3600.0) as watcher:
        for done in range(1, 6):
            await watcher.tell(
                watcher.event("PROGRESS_UPDATE", 30, done=done, total=100, label="rows")
            )
        for _ in range(12 + 62):
            await watcher.later(60)
        assert await watcher.told() == [("stalled", "open"), ("stalled", "closed")]
        await watcher.kill()
        await watcher.watch()
        for _ in range(20):
            await watcher.later(60)

        assert await watcher.told() == [("stalled", "open"), ("stalled", "closed")]


async def test_a_clock_that_was_ahead_leaves_nothing_behind(watched: Watch) -> None:
    """Its hours come again in years: until then nothing would be counted, and nothing be over."""
    async with watched(rate_least=50, deletions_count=2) as watcher:

        def changes(count: int, kind: str = "modified") -> Iterator[Event]:
            for at in range(count):
                yield watcher.event("FILE_CHANGE", 1, file_path=f"f{at}", change_type=kind)

        for _ in range(6):
            await watcher.tell(*changes(12))
            await watcher.later(86_400 - 12)
        begin = watcher.now
        watcher.now += 366 * 86_400
        await watcher.tell(*changes(2, "deleted"))
        assert await watcher.told() == [("deletions", "open")]
        watcher.now = begin
        await watcher.settled()
        assert await watcher.told() == [("deletions", "open"), ("deletions", "closed")]
        await watcher.tell(*changes(200))

        assert await watcher.told_of("rate") == ["open"]


def test_a_filter_that_cannot_be_switched_off_is_not_run(repository: Path, tmp_path: Path) -> None:
    """Of `-c filter.a=b.clean=` git makes the setting `filter.a`, and the filter stays."""
    ran = tmp_path / "ran"
    git(repository, "config", "filter.a=b.clean", f"touch {ran}; cat")
    write(repository, ".gitattributes", "*.txt filter=a=b\n")
    write(repository, "file.txt", "a\n")
    ran.unlink(missing_ok=True)
    (repository / "file.txt").write_text("b\n")
    with pytest.raises(RteventsError, match="cannot be switched off"):
        uncommitted(Repository(repository, 60.0), repository)

    assert not ran.exists()
