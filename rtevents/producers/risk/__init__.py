"""RiskProducer: follows the stream, looks into repositories, and tells what somebody should see."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import Any

import msgspec

from rtevents.config.project_file import NAME
from rtevents.config.risks import RiskSettings
from rtevents.core.cursor import Cursor
from rtevents.core.event import Bookmark, Entry, Event
from rtevents.core.filter import Filter
from rtevents.core.imported import is_imported
from rtevents.core.keep import load, save_aside
from rtevents.core.since import Since
from rtevents.errors import EventRefused, Unavailable
from rtevents.producers import Known, Own
from rtevents.producers.commit import SOURCE as COMMIT_SOURCE
from rtevents.producers.refs import REF_UPDATE
from rtevents.producers.risk.book import SOURCE, Book, Risk
from rtevents.producers.risk.commits import Secret
from rtevents.producers.risk.looks import Looks
from rtevents.producers.risk.rule import Rule
from rtevents.producers.risk.rules import build, build_own
from rtevents.producers.risk.work import Uncommitted

logger = logging.getLogger(__name__)

TICK = 5.0
"""Seconds between two looks at what has not happened."""

TIME_SECONDS = 1.0
"""Seconds between two looks at it, at least, while events come."""

GATHER_SECONDS = 0.05
"""Seconds for which events gather: they are looked at together."""

TURN = 50
"""Events after which others have their turn."""

FIRST_LOOK = 60.0
"""Seconds before the first look at what is not committed: the daemon has other things to do."""

WORK_SECONDS = 300.0
"""Seconds between two looks at what is not committed."""

SAVE_SECONDS = 30.0
"""Seconds after which the place is kept, though there is nothing to tell."""

NEVER_SEEN = frozenset({"HEALTH_CHECK", "DASHBOARD_UPDATE"})


class _Kept(msgspec.Struct):
    """
    What is kept between runs, written as one: so no event is counted twice, and no risk told twice.

    Args:
        bookmark: How far the stream was looked at; empty before the first look.
        risks: Those that are open.
        rules: What each rule remembers.
        untold: What is in the log, or will be told again by the same ids.
    """

    bookmark: str = ""
    risks: list[Risk] = []
    rules: dict[str, Any] = {}
    untold: list[dict[str, Any]] = []


class RiskProducer:
    """
    Watches the stream of this daemon for what its rules call a risk.

    Args:
        own: The daemon.
        clock: Returns the time, in unix seconds.

    Attributes:
        ready: Set while the stream is followed.
        seen: The seq up to which the stream was looked at, and what was found there told.
        gap: None: what it reads late it reads all the same.
    """

    gap: str | None = None

    def __init__(self, own: Own, clock: Callable[[], float] = time.time) -> None:
        self.ready = asyncio.Event()
        self.seen = 0
        self._clock = clock
        self._own = own
        self._file = own.places / "risk.json"
        self._book = Book(clock=clock)
        self._looks = Looks(own, self._book)
        self._rules: list[Rule] = []
        self._by_type: dict[str, list[Rule]] = {}
        self._memory: dict[str, Any] = {}
        # For what the rules were built.
        self._settings: RiskSettings | None = None
        self._watched: tuple[Known, ...] = ()
        self._own_files: set[str] = set()
        self._saved_at = 0.0
        # Whether anything was looked at since.
        self._is_changed = True
        self._time_due = 0.0
        self._work_due = time.monotonic() + FIRST_LOOK

    async def events(self) -> AsyncGenerator[list[Event], None]:
        """Yield RISK_ALERT for ever: a risk that opens, that has grown, that is over."""
        kept = await asyncio.to_thread(load, self._file, _Kept, _Kept())
        self._book, self._memory = Book(kept.risks, self._clock), kept.rules
        self._looks = Looks(self._own, self._book)
        if untold := [Event(**fields) for fields in kept.untold]:
            yield untold
        cursor = await self._cursor(kept.bookmark)
        await self._take_on()
        if not kept.bookmark:
            # From here on nothing is the past, also if we are killed before the first save.
            await self._save(cursor, [])
        self.ready.set()
        try:
            while True:
                items = await self._next(cursor)
                await self._take_on()
                await self._see([item for item in items if isinstance(item, Entry)])
                await self._pass_time()
                if events := self._told():
                    await self._save(cursor, events)
                    yield events
                elif self._is_changed and time.monotonic() - self._saved_at > SAVE_SECONDS:
                    await self._save(cursor, [])
                self.seen = cursor.position
        finally:
            self.ready.clear()

    async def _cursor(self, bookmark: str) -> Cursor:
        """Return the place after what was looked at before; a log that is new to us is the past."""
        log = self._own.service.log
        if not bookmark:
            return Cursor(log, Filter(), log.last)
        start = await log.start(Since(bookmark=Bookmark.parse(bookmark)), Filter())
        return Cursor(log, Filter(), start.after)

    async def _next(self, cursor: Cursor) -> Sequence[object]:
        # What comes meanwhile is looked at together.
        await asyncio.sleep(GATHER_SECONDS)
        try:
            return await cursor.next(TICK)
        except Unavailable as error:
            if self._own.service.log.is_closed:
                raise
            # The store cannot be read for now: it goes on from its place.
            await asyncio.sleep(error.retry_after)
            return []

    async def _see(self, entries: Iterable[Entry]) -> None:
        """Show events to the rules, and commits to those that look into them."""
        now, book = self._clock(), self._book
        commits: list[Entry] = []
        for number, entry in enumerate(entries, 1):
            self._is_changed = True
            if not number % TURN:
                await asyncio.sleep(0)
            if not _is_shown(entry):
                continue
            when = entry.timestamp if entry.timestamp < now else now
            for rule in self._rules_of(entry.type):
                self._show(rule, entry, when)
            if entry.type == "COMMIT" and entry.source == COMMIT_SOURCE:
                commits.append(entry)
            elif entry.type == "RISK_ALERT" and b'"closed"' in entry.wire:
                data = entry.event.data
                if data.get("state") == "closed":
                    book.dismissed(str(data.get("fingerprint")))
            elif entry.type == "FILE_CHANGE" and NAME.encode() in entry.wire:
                self._own_files.add(entry.project_id or "")
            elif entry.type == REF_UPDATE and entry.project_id is not None:
                self._looks.moved.add(entry.project_id)
        await self._looks.look(self._rules, commits, now)

    def _show(self, rule: Rule, entry: Entry, when: float) -> None:
        try:
            rule.see(entry, when, self._book)
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            # Of a log whose types were others, or with a number beyond all numbers: one odd event
            # must not end all rules, and be shown to them at each start anew.
            logger.debug("rule %s cannot read entry %d: %s", rule.name, entry.seq, error)

    def _rules_of(self, kind: str) -> list[Rule]:
        found = self._by_type.get(kind)
        if found is None:
            found = [rule for rule in self._rules if not rule.types or kind in rule.types]
            self._by_type[kind] = found
        return found

    async def _pass_time(self) -> None:
        if time.monotonic() < self._time_due:
            return
        self._time_due = time.monotonic() + TIME_SECONDS
        now = self._clock()
        for rule in self._rules:
            rule.pass_time(now, self._book)
        self._book.pass_time(now)
        is_due = time.monotonic() >= self._work_due
        if await self._looks.look_again(self._rules, now, is_due=is_due):
            self._is_changed = True
        if is_due:
            self._work_due = time.monotonic() + WORK_SECONDS

    def _projects(self) -> Sequence[Known]:
        return self._own.projects()

    async def _take_on(self) -> None:
        """Build the rules anew when the settings, the projects or a project's own file changed."""
        settings = self._own.risks()
        projects = tuple(self._projects())
        is_first = self._settings is None
        if settings is self._settings and projects == self._watched and not self._own_files:
            return
        memory = {**self._memory, **self._remembered()}
        rules = build(settings)
        for gone in {each.id for each in self._watched} - {each.id for each in projects}:
            self._warn(gone, None)
        for project in projects:
            own, wrong = await asyncio.to_thread(build_own, project)
            rules += own
            self._warn(project.id, wrong)
        self._own_files.clear()
        for rule in rules:
            _remember(rule, memory.get(_key(rule)))
        self._memory = {}
        self._rules, self._by_type = rules, {}
        self._settings, self._watched = settings, projects
        for rule in rules:
            if is_first and isinstance(rule, Uncommitted):  # what was there before the daemon was
                rule.changed |= {project.id for project in projects}
        self._book.keep_only(_looked_at(rules, projects))

    def _warn(self, project_id: str, wrong: str | None) -> None:
        """Tell in the health why the rules of a project's own file are not in force."""
        self._own.service.warn(f"risks of {project_id}", wrong)

    def _remembered(self) -> dict[str, Any]:
        kept = {_key(rule): rule.remembered() for rule in self._rules}
        return {name: value for name, value in kept.items() if value}

    def _told(self) -> list[Event]:
        """Take what is to be told out of the book."""
        events, self._book.events = self._book.events, []
        good = []
        for event in events:
            try:
                self._own.service.types.check(event)
            except EventRefused as error:
                logger.error("a risk cannot be told: %s", error)
            else:
                good.append(event)
        return good

    async def _save(self, cursor: Cursor, events: Sequence[Event]) -> None:
        """Keep the place and all that is remembered, before anything of it is told."""
        kept = _Kept(
            bookmark=str(self._own.service.log.bookmark(cursor.position)),
            risks=self._book.risks,
            rules=msgspec.to_builtins(self._remembered()),
            untold=[msgspec.to_builtins(event) for event in events],
        )
        await save_aside(self._file, kept)
        self._saved_at = time.monotonic()
        # What was just told is to be forgotten, when there is time.
        self._is_changed = bool(events)


def _is_shown(entry: Entry) -> bool:
    """Tell whether an event is one for the rules."""
    # Never its own: it would answer itself for ever.
    if entry.source == SOURCE or entry.type in NEVER_SEEN or entry.is_corrupt:
        return False
    return not is_imported(entry)  # that is long over, and perhaps of another machine


def _key(rule: Rule) -> str:
    return f"{rule.project_id or ''}\0{rule.name}"


def _remember(rule: Rule, kept: Any) -> None:
    if kept is None:
        return
    try:
        rule.remember(kept)
    except msgspec.ValidationError as error:
        logger.warning("what rule %s remembered cannot be read: %s", rule.name, error)


def _looked_at(rules: Iterable[Rule], projects: Iterable[Known]) -> Any:
    """Return what tells whether a rule still looks at a risk."""
    names = {(rule.project_id, rule.name) for rule in rules}
    watched = {project.id for project in projects}
    repositories = {project.id for project in projects if project.is_repository}

    def is_kept(risk: Risk) -> bool:
        needed = repositories if risk.rule in (Uncommitted.name, Secret.name) else watched
        has_end = risk.closes_after is not None or risk.project_id is None
        if not has_end and risk.project_id not in needed:
            return False  # nobody would ever see its end
        return (None, risk.rule) in names or (risk.project_id, risk.rule) in names

    return is_kept
