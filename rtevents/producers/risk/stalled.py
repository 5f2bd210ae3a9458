"""Stalled: progress that stopped on the way."""

from __future__ import annotations

from statistics import median
from typing import Any

import msgspec

from rtevents.config.risks import RiskSettings
from rtevents.core.event import Entry
from rtevents.producers.risk.book import Book, Finding
from rtevents.producers.risk.commits import data_of
from rtevents.producers.risk.template import plain

MOST = 500
"""What progresses at once, at most: what moved longest ago is forgotten."""

STEPS = 3
"""Pauses between steps that have to be known: who never moved is not expected to."""

KEPT = 9
"""Pauses of which the median is taken: the newest ones."""

ASLEEP = 120.0
"""Seconds without a look after which this machine was asleep, or the daemon down."""

ENDED = frozenset(
    {"done", "passed", "ok", "succeeded", "completed", "closed", "failed", "error", "cancelled"}
)
"""What a task's status is when no progress of it is expected any more."""

LISTS = "rtevents/tasks"
"""The source of how far lists of tasks have come: people stop and go on as they like."""


class _Run(msgspec.Struct):
    """
    Something that progresses.

    Args:
        done: How far it was.
        moved_at: When it came so far, in unix seconds.
        label: What it is.
        pauses: Seconds between its newest steps.
        task_id: The task whose progress it is; None for none.
        is_told: Whether it was told that it stopped here: once is enough.
    """

    done: float
    moved_at: float
    label: str
    project_id: str | None
    event_id: str
    pauses: list[float] = []
    task_id: str | None = None
    is_told: bool = False


class Stalled:
    """Progress stopped on the way: far longer than it ever paused; over when it moves or ends."""

    name = "stalled"
    types = frozenset({"PROGRESS_UPDATE", "TASK_UPDATE"})
    project_id: str | None = None

    def __init__(self, settings: RiskSettings) -> None:
        self._settings = settings
        self._runs: dict[str, _Run] = {}
        self._newest: dict[str, Entry] = {}
        # Nothing could be told before that.
        self._awake_since: float | None = None
        self._looked_at = 0.0

    def see(self, entry: Entry, when: float, book: Book) -> None:
        """Know how far something has come."""
        if entry.source == LISTS:
            return
        if entry.type == "TASK_UPDATE":
            # While nothing progresses, none of them need be decoded.
            if self._runs and (data := data_of(entry)).get("status") in ENDED:
                self._end(entry, data["task_id"], book)
            return
        data = data_of(entry)
        done, total = data["done"], data["total"]
        label = data.get("label") or ""
        key = f"{entry.project_id or ''}\0{entry.source}\0{label}"
        run = self._runs.pop(key, None)
        if run is not None and done == run.done and done < total:
            self._runs[key] = run
            return
        # What went back has begun anew.
        if run is None or done < run.done:
            run = _Run(done, when, plain(label or entry.source), entry.project_id, entry.event_id)
        else:
            run.pauses = [*run.pauses, max(0.0, when - run.moved_at)][-KEPT:]
            run.done, run.moved_at, run.event_id = done, when, entry.event_id
        run.is_told, run.task_id = False, data.get("task_id") or run.task_id
        book.over((self.name, entry.project_id, key), "it goes on", entry)
        self._newest.pop(key, None)
        if done >= total:
            return
        self._runs[key], self._newest[key] = run, entry
        if len(self._runs) > MOST:
            oldest = next(iter(self._runs))
            del self._runs[oldest]
            self._newest.pop(oldest, None)

    def _end(self, entry: Entry, task_id: str, book: Book) -> None:
        """Forget the progress of a task that has ended: a command need not count to its total."""
        about = (entry.project_id, task_id)
        for key in [each for each, run in self._runs.items() if _about(run) == about]:
            del self._runs[key]
            self._newest.pop(key, None)
            book.over((self.name, entry.project_id, key), "its task has ended", entry)

    def pass_time(self, now: float, book: Book) -> None:
        """Look for what should have moved."""
        if self._awake_since is None or now - self._looked_at > ASLEEP:
            self._awake_since = now
        self._looked_at = now
        for key, run in self._runs.items():
            is_known = run.is_told or book.is_open(self.name, run.project_id, key)
            if len(run.pauses) < STEPS or is_known:
                continue
            usual = median(run.pauses)
            most = max(self._settings.stalled_least, self._settings.stalled_times * usual)
            if now - max(run.moved_at, self._awake_since) < most:
                continue
            run.is_told = True
            pause = now - run.moved_at
            still = f"{pause / 60:.0f} min" if pause >= 90 else f"{pause:.0f} s"
            book.found(
                Finding(
                    rule=self.name,
                    project_id=run.project_id,
                    subject=key,
                    severity=self._settings.stalled,
                    message=f"{run.label} stopped at {run.done:g}: no step for {still}, "
                    f"where {usual:.0f} s were usual",
                    when=now,
                    cause=self._newest.get(key),
                    evidence=[run.event_id],
                    close_after=self._settings.close_after,
                )
            )

    def remembered(self) -> Any:
        """Return how far everything is."""
        return self._runs

    def remember(self, kept: Any) -> None:
        """Take up how far everything was."""
        self._runs = msgspec.convert(kept, dict[str, _Run])


def _about(run: _Run) -> tuple[str | None, str | None]:
    return run.project_id, run.task_id
