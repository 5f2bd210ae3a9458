"""Which projects there are: those that are watched, and those that an event was published for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rtevents.cli.output import notice
from rtevents.errors import NotAllowed, RteventsError

if TYPE_CHECKING:
    from rtevents.client.sync import Client


def tell_unknown(client: Client, projects: Iterable[str]) -> None:
    """
    Tell of each project that is named and is none: nothing may ever come of it.

    It is told and no error: a project needs no folder, and its first event may be about to come.
    """
    for words in unknown(client, [part for each in projects for part in each.split(",")]):
        notice(words)


def unknown(client: Client, projects: Iterable[str]) -> list[str]:
    """Return what is to be told of projects; nothing where the daemon does not say."""
    from rtevents.core.filter import Filter

    named = dict.fromkeys(project for project in projects if project)
    if not named:
        return []
    told = []
    try:
        watched = _watched(client)
        for project in named:
            if watched is not None and project in watched:
                continue
            wanted = Filter(projects=frozenset({project}))
            if not client.history(wanted, limit=1, order="desc").events:
                told.append(_words(project, watched))
    except RteventsError:
        # What was asked for meets the same, and tells it.
        return []
    return told


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
