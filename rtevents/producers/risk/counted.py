"""Counted: so many events of a kind within a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from rtevents.config.risks import RiskRuleSettings
from rtevents.core.event import Entry
from rtevents.core.filter import condition
from rtevents.core.hints import hints_of
from rtevents.core.names import type_name
from rtevents.core.where import MISSING, Where, files_of, value_of
from rtevents.errors import FilterError
from rtevents.producers.risk.book import Book, Finding
from rtevents.producers.risk.template import Message, field_of, plain

MOST_KEYS = 500
"""Things that are counted apart, at most: the one that was seen longest ago is forgotten."""

MOST_IDS = 10
"""Ids of the newest events that are remembered of each."""


PATH = ("path",)
"""The field that is a file of an event; of a commit there may be many."""


class _Tally(msgspec.Struct):
    """When the newest events were, and their ids."""

    times: list[float] = []
    ids: list[str] = []


class Counted:
    """
    Finds a risk in so many events of a kind within a time: a rule of the user's own, most often.

    Args:
        settings: What is counted.
        project_id: The project whose own rule it is; None for a rule of every project.
    Raises:
        FilterError: A condition or the message cannot be read; ``field`` names the setting.
    """

    def __init__(self, settings: RiskRuleSettings, project_id: str | None = None) -> None:
        self.name = settings.name
        self.types = frozenset({type_name(settings.type)} if settings.type else ())
        self.project_id = project_id
        self.settings = settings
        self._where = _condition("where", settings.where)
        self._until = _condition("until", settings.until)
        try:
            self._message = Message(settings.message, ("count", "within"))
        except FilterError as error:
            raise FilterError(str(error), field="message") from error
        try:
            self._per = field_of(settings.per) if settings.per else None
        except FilterError as error:
            raise FilterError(str(error), field="per") from error
        self._tallies: dict[str, _Tally] = {}

    def see(self, entry: Entry, when: float, book: Book) -> None:
        """Count an event, if it is of the kind."""
        if self.project_id is not None and entry.project_id != self.project_id:
            return
        if self._until is not None and self._until.matches(entry):
            for subject in self._subjects(entry, self._until):
                self._end(entry, subject, book)
        if self._where is None or self._where.matches(entry):
            for subject in self._subjects(entry, self._where):
                self._count(entry, subject, when, book)

    def _count(self, entry: Entry, subject: str, when: float, book: Book) -> None:
        settings = self.settings
        if settings.count > 1:
            tally = self._tally(entry, subject)
            tally.times.append(when)
            tally.ids.append(entry.event_id)
            del tally.times[: -settings.count], tally.ids[:-MOST_IDS]
            is_many = len(tally.times) == settings.count
            if not is_many or min(tally.times) < when - settings.within:
                return
            evidence = tally.ids[:-1]
        else:
            evidence = []
        files = [subject] if self._per == PATH and subject else _files(entry, self._where)
        counted = {"count": settings.count, "within": in_words(settings.within)}
        if files:
            more = f" and {len(files) - 1} more" if len(files) > 1 else ""
            counted["path"] = f"{plain(files[0])}{more}"
        book.found(
            Finding(
                rule=self.name,
                project_id=entry.project_id,
                subject=subject,
                severity=settings.severity,
                message=self._message.fill(entry, counted),
                when=when,
                cause=entry,
                evidence=list(evidence),
                file_path=files[0] if self._per and files else None,
                close_after=settings.close_after,
            )
        )

    def _end(self, entry: Entry, subject: str, book: Book) -> None:
        self._tallies.pop(_key(entry, subject), None)
        book.over((self.name, entry.project_id, subject), "it is over", entry)

    def _subjects(self, entry: Entry, condition: _Condition | None) -> list[str]:
        """Return what is counted apart of an event: of a commit, each file that it is about."""
        if self._per is None:
            return [""]
        if self._per == PATH:
            return [plain(path) for path in _files(entry, condition)] or [""]
        value = value_of(entry, self._per)
        return ["" if value is MISSING else plain(value)]

    def _tally(self, entry: Entry, subject: str) -> _Tally:
        key = _key(entry, subject)
        tally = self._tallies.pop(key, None) or _Tally()
        self._tallies[key] = tally
        if len(self._tallies) > MOST_KEYS:
            del self._tallies[next(iter(self._tallies))]
        return tally

    def pass_time(self, now: float, book: Book) -> None:
        """Do nothing: an end by time is the book's."""

    def remembered(self) -> Any:
        """Return what was counted."""
        return self._tallies

    def remember(self, kept: Any) -> None:
        """Take up what was counted."""
        self._tallies = msgspec.convert(kept, dict[str, _Tally])


def _files(entry: Entry, condition: _Condition | None) -> Sequence[str]:
    """Return the file of an event; of one that lists several, those that a condition is about."""
    return (entry.path,) if entry.path else files_of(entry, condition.node if condition else None)


def _key(entry: Entry, subject: str) -> str:
    return f"{entry.project_id or ''}\0{subject}"


class _Condition:
    """A condition that decodes no event of which its bytes say that it does not fulfil it."""

    def __init__(self, where: Where) -> None:
        self._where = where
        self.node = where.node
        self._hints = hints_of(where.node)

    def matches(self, entry: Entry) -> bool:
        """Tell whether an event fulfils it."""
        if self._hints is not None:
            wire = entry.wire
            for hint in self._hints:
                if hint in wire:
                    break
            else:
                return False
        return self._where.matches(entry)


def _condition(name: str, text: str) -> _Condition | None:
    if not text:
        return None
    try:
        return _Condition(condition(text))
    except FilterError as error:
        raise FilterError(str(error).removeprefix("where: "), field=name) from error


def in_words(seconds: float) -> str:
    """Return a time as people say it: in hours, minutes or seconds."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
