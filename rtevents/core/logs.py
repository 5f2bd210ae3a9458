"""Routes and Logs: to which of several logs an event goes, and which have what is wanted."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

from rtevents.core.event import Event, Stored
from rtevents.core.filter import EVERYTHING, Filter
from rtevents.core.service import EventService
from rtevents.errors import EventRefused, FilterError

MAIN = "main"
"""The log that has whatever no other claims: what has no project, and what the daemon tells."""

KNOWN = 4096
"""Projects whose log is remembered."""


class Routes:
    """
    Which log has which project.

    Args:
        projects: By the log's name, in the order in which they claim: project ids, or patterns
            with ``*``, ``?`` and ``[…]``.
    """

    def __init__(self, projects: Mapping[str, Sequence[str]]) -> None:
        self.names = [MAIN, *projects]
        self._claims = [
            (name, re.compile(fnmatch.translate(pattern)).match)
            for name, patterns in projects.items()
            for pattern in patterns
        ]
        self._known = lru_cache(KNOWN)(self._find)

    def log_of(self, project_id: str | None) -> str:
        """Return the name of a project's log."""
        return MAIN if project_id is None else self._known(project_id)

    def log_of_all(self, events: Sequence[Event]) -> str:
        """
        Return the name of the log that all these events go to.

        Raises:
            EventRefused: They go to several, where all or none cannot be promised.
        """
        first = self.log_of(events[0].project_id) if events else MAIN
        for index, event in enumerate(events):
            if (name := self.log_of(event.project_id)) != first:
                raise EventRefused(
                    f"project_id: this one goes to the log {name!r}, the first to {first!r}: what "
                    "is stored all or none is of one log; send them apart, or as NDJSON",
                    index=index,
                    field="project_id",
                )
        return first

    def within(self, wanted: Filter, held: Filter = EVERYTHING) -> list[str]:
        """
        Return the names of the logs in which to look for what a filter wants.

        Those that it names, whatever its projects are: where new events go says nothing of what a
        log has, for a project may have had another before. Without a name: where its projects go.

        Args:
            held: All that who asks may have.
        Raises:
            FilterError: It names one that is not there, or not for who asks.
        """
        if wanted.logs:
            # Of who may not see all: main, out of which every project came, and its projects' own.
            return named(wanted, self._having(held.projects, MAIN))
        return self._having(wanted.projects)

    def _having(self, projects: Collection[str], *besides: str) -> list[str]:
        """Return the logs to which projects go, and others; all for no projects."""
        having = {*besides, *map(self.log_of, projects)}
        return [name for name in self.names if not projects or name in having]

    def one(self, wanted: Filter) -> str:
        """
        Return the name of the log that has all that a filter wants.

        Raises:
            FilterError: Several may have it, or none that it names.
        """
        first, *others = self.within(wanted)
        if others:
            raise FilterError(
                f"this is in several logs ({', '.join([first, *others])}), and is read from one: "
                "name one, as `log: main`, or its projects",
                field="project",
            )
        return first

    def _find(self, project_id: str) -> str:
        return next((name for name, claims in self._claims if claims(project_id)), MAIN)


class Logs:
    """
    Several logs to who publishes: each event goes to that of its project.

    Args:
        routes: Which has which.
        services: Each log's, by its name.
    """

    def __init__(self, routes: Routes, services: Mapping[str, EventService]) -> None:
        self.routes = routes
        self.services = services

    def of(self, project_id: str | None) -> EventService:
        """Return the service of a project's log."""
        return self.services[self.routes.log_of(project_id)]

    def one(self, wanted: Filter) -> EventService:
        """
        Return the service of the log that has all that a filter wants.

        Raises:
            FilterError: Several may have it, or none that it names.
        """
        return self.services[self.routes.one(wanted)]

    async def publish(self, event: Event) -> Stored:
        """Store one event; see ``EventService.publish``."""
        return await self.of(event.project_id).publish(event)

    async def publish_many(self, events: Sequence[Event]) -> list[Stored]:
        """Store events of one log, all or none; see ``EventService.publish_many``."""
        return await self.services[self.routes.log_of_all(events)].publish_many(events)


def named(wanted: Filter, names: Sequence[str]) -> list[str]:
    """
    Return those of some logs that a filter names; all of them where it names none.

    Args:
        names: The logs that may be named.
    Raises:
        FilterError: It names another. Whether there is such a log is not said: whoever asks may
            not be meant to know.
    """
    if unknown := sorted(wanted.logs.difference(names)):
        name, known = unknown[0][:48], " or ".join(names)
        raise FilterError(
            f"log: there is no {name!r} to read, expected {known}, or leave it out", field="log"
        )
    return [name for name in names if not wanted.logs or name in wanted.logs]
