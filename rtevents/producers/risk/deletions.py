"""Deletions: many files that git has are deleted at once, and no commit lets them go."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import msgspec

from rtevents.config.risks import RiskSettings
from rtevents.core.event import Entry
from rtevents.producers.repository import Repository
from rtevents.producers.risk.book import Book, Finding
from rtevents.producers.risk.commits import data_of
from rtevents.producers.risk.counted import in_words
from rtevents.producers.risk.template import plain

MOST_GONE = 2000
"""Deleted files of a project that are remembered, at most: the newest ones."""

MOST_PROJECTS = 50
"""Projects that are counted apart, at most: the one that was seen longest ago is forgotten."""

MOST_IDS = 10
"""Ids of events that show the first finding, at most."""

CLOSE_AFTER = 3600.0
"""Seconds without a further one after which it is over."""


class Gone(msgspec.Struct, array_like=True):
    """A file that was deleted: when, which, and the event that told it."""

    when: float
    path: str
    event_id: str


class _Burst(msgspec.Struct):
    """
    What was deleted in a project.

    Args:
        files: Those of the newest time, not counted yet or counted as much as there are.
        counted: How many of them were found to be too many already.
        told: The files that an open risk is about.
    """

    files: list[Gone] = []
    counted: int = 0
    told: list[str] = []


class Deletions:
    """
    Many files are deleted at once, and not by git.

    In a repository only those count that git has, in the commit that is checked out or in the
    index: it is over when that commit has none of them any more, or when they are back.
    """

    name = "deletions"
    types = frozenset({"FILE_CHANGE", "COMMIT", "REF_UPDATE"})
    project_id: str | None = None

    def __init__(self, settings: RiskSettings) -> None:
        self._settings = settings
        self._bursts: dict[str, _Burst] = {}
        self._newest: dict[str, Entry] = {}
        self.due: set[str] = set()
        """The projects to be looked at: too many files went, or what went may be settled."""

    def see(self, entry: Entry, when: float, book: Book) -> None:
        """Note a deletion, or that there may be an end to some."""
        name = entry.project_id or ""
        if entry.type != "FILE_CHANGE" or b'"deleted"' not in entry.wire:
            if book.is_open(self.name, entry.project_id, ""):
                self.due.add(name)
            return
        data = data_of(entry)
        if data.get("change_type") != "deleted":
            return
        if data.get("cause") is not None or data.get("reconciled") is not None:
            return
        burst = self._bursts.pop(name, None) or _Burst()
        self._bursts[name] = burst
        if len(self._bursts) > MOST_PROJECTS:
            self._forget(next(iter(self._bursts)))
        if name not in self.due:  # else they were not looked at yet
            within = self._settings.deletions_within
            kept = [gone for gone in burst.files if abs(when - gone.when) <= within]
            burst.counted = max(0, burst.counted - (len(burst.files) - len(kept)))
            burst.files = kept
        burst.files.append(Gone(when, entry.path, entry.event_id))
        self._newest[name] = entry
        if len(burst.files) > MOST_GONE:
            del burst.files[:-MOST_GONE]
            burst.counted = max(0, burst.counted - 1)
        if len(burst.files) >= self._settings.deletions_count:
            self.due.add(name)

    def asked(self, project_id: str) -> list[str]:
        """Return the files of which it is to be known whether git has them."""
        burst = self._bursts.get(project_id)
        return [*{*(gone.path for gone in burst.files), *burst.told}] if burst else []

    def judge(self, project_id: str, lost: Collection[str] | None, book: Book) -> None:
        """
        Look at what went.

        Args:
            lost: Those of the files asked for that git has, and the work tree has not; None where
                there is no git to be asked: every one counts.
        """
        self.due.discard(project_id)
        burst = self._bursts.get(project_id)
        if burst is None:
            return
        about = self.name, project_id or None, ""
        if lost is not None:
            if burst.told and not any(path in lost for path in burst.told):
                book.over(about, "it is committed, or the files are back")
                burst.told, burst.counted = [], 0
            before = [gone.path in lost for gone in burst.files]
            burst.counted = sum(before[: burst.counted])
            burst.files = [gone for gone in burst.files if gone.path in lost]
        for at in range(max(burst.counted, self._settings.deletions_count - 1), len(burst.files)):
            self._count(project_id, burst, at, book)
        burst.counted = len(burst.files)
        if not book.is_open(*about):
            burst.told = []

    def _count(self, project_id: str, burst: _Burst, at: int, book: Book) -> None:
        """Find a risk in the file at a place, if enough went shortly before it."""
        settings, gone = self._settings, burst.files[at]
        some = burst.files[at + 1 - settings.deletions_count : at + 1]
        if any(abs(gone.when - each.when) > settings.deletions_within for each in some):
            return
        burst.told = [*{*burst.told, *(each.path for each in some)}][:MOST_GONE]
        cause = self._newest.get(project_id)
        book.found(
            Finding(
                rule=self.name,
                project_id=project_id or None,
                subject="",
                severity=settings.deletions,
                message=f"{settings.deletions_count} files or more deleted within "
                f"{in_words(settings.deletions_within)}, the last: {plain(gone.path)}",
                when=gone.when,
                cause=cause if cause is not None and cause.event_id == gone.event_id else None,
                evidence=[each.event_id for each in some[-MOST_IDS:]],
                close_after=CLOSE_AFTER,
            )
        )

    def _forget(self, name: str) -> None:
        del self._bursts[name]
        self._newest.pop(name, None)
        self.due.discard(name)

    def pass_time(self, now: float, book: Book) -> None:
        """Do nothing: an end by time is the book's."""

    def remembered(self) -> Any:
        """Return what went."""
        return self._bursts

    def remember(self, kept: Any) -> None:
        """Take up what went."""
        self._bursts = msgspec.convert(kept, dict[str, _Burst])
        self.due = {*self._bursts}


def lost(repository: Repository, root: Path, paths: Sequence[str]) -> set[str]:
    """
    Return those of some files that git has, and the work tree has not; waits for git.

    Args:
        root: The project's folder, to which the files are relative.
        paths: A file whose name has a line break is left out: git cannot be asked for it.
    Raises:
        RteventsError: git fails.
    """
    gone = [path for path in paths if "\n" not in path and not _is_there(root, path)]
    if not gone:
        return set()
    names = [f"{place}:./{path}" for path in gone for place in ("HEAD", "")]
    told = repository.ask("cat-file", "--batch-check=%(objecttype)", given="\n".join(names))
    rows = [line == b"blob" for line in told.splitlines()]
    return {
        path
        for path, in_head, in_index in zip(gone, rows[::2], rows[1::2], strict=False)
        if in_head or in_index
    }


def _is_there(root: Path, path: str) -> bool:
    try:
        return os.path.lexists(root / path)
    except (OSError, ValueError):
        return False
