"""What a report counts."""

from __future__ import annotations

import time
from typing import Any

import pytest

from rtevents.core import analysis
from rtevents.core.analysis import DAY, HOUR, Analysis, Pair, Report
from rtevents.core.event import Entry, Event, corrupt_entry

BEGIN = time.mktime((2026, 3, 2, 9, 0, 0, 0, 0, -1))  # a Monday


def event(kind: str, at: float = 0, project: str | None = "web", **data: Any) -> Event:
    return Event(type=kind, project_id=project, timestamp=BEGIN + at, data=data)


def counted(*events: Event) -> Report:
    found = Analysis()
    for seq, each in enumerate(events, 1):
        found.add(Entry.of(each, seq))
    return found.report()


def commit(*paths: str, at: float = 0, author: str = "Ada") -> Event:
    files = [{"path": path} for path in paths]
    return event("COMMIT", at, author=author, insertions=3, deletions=1, files=files)


def test_nothing_is_counted_as_nothing() -> None:
    report = counted()

    assert (report.events, report.since, report.until, report.spans) == (0, None, None, [])
    assert (report.commits.count, report.tasks.seconds, report.risks.open) == (0, None, 0)


def test_commits_tell_their_rhythm_their_authors_and_what_changes_together() -> None:
    report = counted(
        commit("src/a", "src/b"),
        commit("src/a", "src/b", at=HOUR, author="Bob"),
        commit("src/a", "README", at=HOUR),
        commit(*[f"x{number}" for number in range(51)], at=25 * HOUR),
        event("COMMIT", author="Ada", files="none", insertions="many"),
        event("COMMIT", author="Ada", files=[1, {"no": "path"}]),
    )

    assert report.commits.count == 6
    assert (report.commits.insertions, report.commits.deletions) == (12, 4)
    assert [(each.name, each.count) for each in report.commits.authors] == [("Ada", 5), ("Bob", 1)]
    assert report.commits.rhythm[0][9:11] == [3, 2]
    assert report.commits.rhythm[1][10] == 1
    assert sum(map(sum, report.commits.rhythm)) == 6
    assert report.together == [Pair(("src/a", "src/b"), 2, 1.0, "web")]
    assert (report.files[0].name, report.files[0].count) == ("src/a", 3)
    assert (report.folders[0].name, report.folders[0].count) == (".", 52)


def test_a_save_and_its_commit_are_one_change() -> None:
    def save(path: str, project: str = "web", **data: Any) -> Event:
        return event("FILE_CHANGE", project=project, file_path=path, change_type="modified", **data)

    report = counted(
        save("a"), save("a"), commit("a", "b"),  # two saves, and one that nobody saw
        save("a"), commit("a"), commit("a"),  # the second of these was not seen saved
        save("a", "other"), commit("a"),  # another project's file
        save("a", cause="checkout"), save("c", cause="checkout"), commit("c"),
    )  # fmt: skip

    assert [(each.name, each.count) for each in report.files] == [
        ("a", 5), ("a", 1), ("b", 1), ("c", 1),
    ]  # fmt: skip
    assert report.files[1].project_id == "other"
    assert [(each.name, each.count) for each in report.folders] == [(".", 7), (".", 1)]


def test_in_a_project_that_is_a_folder_of_its_repository_a_save_and_its_commit_are_one_change() -> (
    None
):
    def save(path: str) -> Event:
        return event("FILE_CHANGE", file_path=path, change_type="modified")

    def told(*paths: str, folder: object = "apps/web") -> Event:
        files = [{"path": path} for path in paths]
        return event("COMMIT", author="Ada", folder=folder, files=files)

    report = counted(
        save("src/a"), told("apps/web/src/a", "apps/web/b", "apps/webby/a", "src/a"),
        save("src/a"), told("apps/web/src/a", "apps/web/b", "apps/webby/a"),
        told("src/a", folder=7),
    )  # fmt: skip

    assert [(each.name, each.count) for each in report.files] == [
        ("src/a", 3), (":/apps/webby/a", 2), ("b", 2), (":/src/a", 1),
    ]  # fmt: skip
    assert report.together[0].files == (":/apps/webby/a", "b")


def test_events_are_told_by_the_hour_or_by_the_day() -> None:
    some = [event("FILE_CHANGE", at * HOUR, file_path="a/b") for at in (0, 0.5, 3)]
    report = counted(*some, event("DEPLOY", 3 * HOUR), event("FILE_CHANGE", 3 * HOUR))
    assert (report.span_seconds, report.events) == (HOUR, 5)
    assert [(each.start - report.spans[0].start, each.by_type) for each in report.spans] == [
        (0, {"FILE_CHANGE": 2}), (3 * HOUR, {"FILE_CHANGE": 2, "DEPLOY": 1}),
    ]  # fmt: skip
    assert report.by_type == {"FILE_CHANGE": 4, "DEPLOY": 1}
    assert (report.since, report.until) == (BEGIN, BEGIN + 3 * HOUR)

    report = counted(event("DEPLOY"), event("DEPLOY", 40 * DAY))
    assert report.span_seconds == DAY
    assert len(report.spans) == 2


def test_tasks_and_risks_tell_how_long_they_were_open() -> None:
    report = counted(
        event("TASK_UPDATE", 0, task_id="A", status="open"),
        event("TASK_UPDATE", 10, task_id="A", status="running"),
        event("TASK_UPDATE", 5, task_id="B", status="open"),
        event("TASK_UPDATE", 30, task_id="A", status="done"),
        event("TASK_UPDATE", 30, task_id="C", status="done"),
        event("RISK_ALERT", 0, severity="high", message="m", fingerprint="f"),
        event("RISK_ALERT", 1, severity="high", message="m", fingerprint="f", state="updated"),
        event("RISK_ALERT", 60, severity="high", message="m", fingerprint="f", state="closed"),
        event("RISK_ALERT", 60, severity="low", message="m"),
    )

    assert report.tasks.by_status == {"done": 2, "open": 1}
    assert (report.tasks.done, report.tasks.seconds) == (2, 30)  # C began before
    assert report.risks.by_severity == {"high": 1, "low": 1}
    assert (report.risks.open, report.risks.closed, report.risks.seconds) == (1, 1, 60)


def test_what_began_before_and_ended_in_the_stretch_is_counted_once() -> None:
    def task(name: str, change: str, at: float = 0) -> Event:
        return event("TASK_UPDATE", at, task_id=name, status="done", change=change)

    def closed(project: str) -> Event:
        return event("RISK_ALERT", 1, project, severity="low", state="closed", fingerprint="f")

    report = counted(
        task("T-1", "status"), task("T-1", "edited", 1), task("T-2", "found"), task("T-3", "moved"),
        closed("web"), closed("api"), closed("api"),
    )  # fmt: skip

    assert (report.tasks.done, report.tasks.seconds) == (1, None)
    assert (report.risks.closed, report.risks.seconds) == (2, None)


def test_what_is_damaged_is_counted_by_its_type() -> None:
    found = Analysis()
    found.add(corrupt_entry(1, "x", type="COMMIT", timestamp=BEGIN))

    assert found.report().by_type == {"COMMIT": 1}


def test_memory_is_bounded_and_what_is_common_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "MOST_KEYS", 10)
    found = Analysis()
    for number in range(200):
        found.add(Entry.of(commit("common", f"d{number}/f"), number + 1))
        task = event("TASK_UPDATE", number, task_id=f"T-{number}", status="open")
        found.add(Entry.of(task, number + 1))

    report = found.report()

    assert report.files[0].name == "common"
    assert len(report.files) <= 10
    assert sum(report.tasks.by_status.values()) == 10
