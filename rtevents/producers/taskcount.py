"""How many tasks are done, of each file and of the project, and when all will be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from rtevents.core.pace import Pace, percent
from rtevents.producers.taskmatch import Task

EVERY = "all tasks"
"""The label of the project's own progress; a file's is its path."""

UNIT = "tasks"

APART, WITHIN = 60.0, 14 * 86_400.0
"""Seconds between two samples of the progress, and after which one is too old."""


class Count(msgspec.Struct):
    """
    A progress that was told.

    Args:
        done: Tasks that are done.
        total: Tasks that there are, those that were cancelled left out.
        pace: What was done when.
    """

    done: int = 0
    total: int = 0
    pace: Pace = msgspec.field(default_factory=Pace)


def counts(tasks: Iterable[Task]) -> dict[str, tuple[int, int]]:
    """Return how many are done, and how many there are, by the label."""
    found: dict[str, tuple[int, int]] = {}
    for task in tasks:
        if task.status != "cancelled":
            for label in (task.path, EVERY):
                done, total = found.get(label, (0, 0))
                found[label] = (done + (task.status == "done"), total + 1)
    return found


def after(before: Count | None, done: int, total: int, wall: float) -> Count:
    """Return the progress that follows another at some unix seconds."""
    pace = Pace([*before.pace.samples] if before else [])
    pace.note(wall, done, apart=APART, within=WITHIN)
    return Count(done, total, pace)


def as_data(label: str, before: Count | None, count: Count) -> dict[str, Any]:
    """Return what a PROGRESS_UPDATE tells."""
    data: dict[str, Any] = {
        "done": count.done,
        "total": count.total,
        "label": label,
        "unit": UNIT,
    }
    if (share := percent(count.done, count.total)) is not None:
        data["percent"] = share
    if label != EVERY:
        data["path"] = label
    if before is not None:
        data["change"] = count.done - before.done
    rate = count.pace.rate()
    if rate is not None:
        data["rate"] = rate
        data["eta"] = round((count.total - count.done) / rate, 1)
    elif count.done == count.total:
        data["eta"] = 0.0
    return data
