"""Which projects there are, and what is of them elsewhere: what a command tells besides."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rtevents.cli.output import notice
from rtevents.errors import NotAllowed, RteventsError

if TYPE_CHECKING:
    from rtevents.client.sync import Client
    from rtevents.core.filter import Filter

MAIN = "main"
"""The log in which every project was before it got one of its own."""


def tell_projects(client: Client, wanted: Filter, since: str | None) -> None:
    """
    Tell of each project that is named and is none, and of what others had before.

    Args:
        since: From where on is read; None for everything.
    """
    tell_unknown(client, sorted(wanted.projects))
    if words := past(client, wanted, since):
        notice(words)


def past(client: Client, wanted: Filter, since: str | None) -> str | None:
    """
    Return what is to be told of events that projects had before they got a log of their own.

    It costs the daemon a page at most, for what is of the past is what comes first.
    """
    import msgspec

    from rtevents.core.since import parse_since

    place = parse_since(since or "all")
    if not wanted.projects or wanted.logs or not (place.word == "all" or place.timestamp):
        return None
    here = msgspec.structs.replace(wanted, logs=frozenset({MAIN}))
    try:
        if client.check_token().get("logs") == [MAIN]:
            return None
        page = client.history(here, since=since, limit=1)
        if not page.events or page.next.epoch in client.history(wanted, since="new").next.epoch:
            return None
    except RteventsError:
        # What was asked for meets the same, and tells it.
        return None
    names = ", ".join(sorted(wanted.projects))
    return f"older events of {names} are in the log main: --log main has them"


def tell_unknown(client: Client, projects: Iterable[str]) -> None:
    """
    Tell of each project that is named and is none: nothing may ever come of it.

    It is told and no error: a project needs no folder, and its first event may be about to come.
    """
    for words in unknown(client, [part for each in projects for part in each.split(",")]):
        notice(words)


def unknown(client: Client, projects: Iterable[str]) -> list[str]:
    """Return what is to be told of projects; nothing where the daemon does not say."""

    named = dict.fromkeys(project for project in projects if project)
    if not named:
        return []
    told = []
    try:
        watched = _watched(client)
        for project in named:
            if watched is not None and project in watched:
                continue
            if not _has_events(client, project):
                told.append(_words(project, watched))
    except RteventsError:
        # What was asked for meets the same, and tells it.
        return []
    return told


def _has_events(client: Client, project: str) -> bool:
    """Tell whether events of a project are kept, in its log or in that where it was before."""
    from rtevents.core.filter import Filter

    here = Filter(projects=frozenset({project}))
    before = Filter(projects=here.projects, logs=frozenset({MAIN}))
    return bool(
        client.history(here, limit=1, order="desc").events or client.history(before, limit=1).events
    )


def _watched(client: Client) -> list[str] | None:
    """Return the projects that are watched; None for a viewer, who is not told."""
    try:
        return [str(each["id"]) for each in client.projects()]
    except NotAllowed:
        return None


def _words(project: str, watched: list[str] | None) -> str:
    if watched is None:
        return f"no event of a project {project!r} is kept"
    import difflib

    near = difflib.get_close_matches(project, watched, n=1)
    hint = f": did you mean {near[0]}?" if near else ""
    return f"no project {project!r} is watched, and no event of it is kept{hint}"
