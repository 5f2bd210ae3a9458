"""What watches something: one file per thing watched, and the table of them all."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from rtevents.config.risks import RiskSettings
from rtevents.config.settings import Config, ProjectSettings
from rtevents.core.event import Event
from rtevents.producers.refs import REF_UPDATE, SCHEMA

if TYPE_CHECKING:  # the hook is put into a repository without a daemon
    from rtevents.core.check import Check
    from rtevents.core.service import EventService

T = TypeVar("T")

BATCH = 500
"""Most events of one batch."""

PRODUCERS = {
    "git": "rtevents.producers.git:GitProducer",
    "files": "rtevents.producers.files:FilesProducer",
    "tasks": "rtevents.producers.tasks:TasksProducer",
    "auto_commit": "rtevents.producers.autocommit:AutoCommitProducer",
}
"""Each producer by the project's setting that switches it on; loaded when it is used."""

OWN = {
    "system": "rtevents.producers.system:SystemProducer",
    "risk": "rtevents.producers.risk:RiskProducer",
}
"""Each producer that watches the daemon itself, and no project."""

DECLARED: dict[str, dict[str, Any]] = {REF_UPDATE: SCHEMA}
"""The event types that producers declare, with their JSON Schemas, as users declare their own."""


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """
    A project, as a producer gets to know it.

    Args:
        root: Its folder, resolved.
        project: Its settings; the id is filled in.
        config: Every setting of the daemon.
        places: An existing folder in which producers keep this project's places.
        find: Returns the seq of an event id that the log holds, None for one that it does not.
        own: The daemon's own folders, resolved: what it writes there is no news.
    """

    root: Path
    project: ProjectSettings
    config: Config
    places: Path
    find: Callable[[str], Awaitable[int | None]]
    own: Sequence[Path] = ()


class Known(msgspec.Struct, frozen=True):
    """
    A project, as a producer of the daemon's own gets to know it.

    Args:
        root: Its folder.
        is_repository: Whether its commits are published.
    """

    id: str
    root: Path
    is_repository: bool


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """
    The daemon, as a producer of its own gets to know it.

    Args:
        service: The event service.
        config: Every setting.
        checks: What is to be asked again and again.
        places: An existing folder in which they keep their places.
        risks: Returns the settings of the rules for risks that are in force.
        projects: Returns what is watched now.
        node: What it is called among those that share its log; empty where none does.
    """

    service: EventService
    config: Config
    checks: list[Check]
    places: Path
    risks: Callable[[], RiskSettings]
    projects: Callable[[], Sequence[Known]]
    node: str = ""


class Producer(Protocol):
    """Watches something and yields what happens there."""

    ready: asyncio.Event
    """Set while whatever happens is seen."""

    gap: str | None
    """Why some of it is seen late, and what to do about that; None when nothing is."""

    def events(self) -> AsyncGenerator[list[Event], None]:
        """
        Yield batches of events, oldest first, for as long as there is something to watch.

        A batch is stored when the iterator is resumed: that is the time to save one's place.
        """


def open_producer(kind: str, watched: Watched) -> Producer:
    """Return the producer of this kind for a project."""
    return _open(PRODUCERS[kind], watched)


def open_own_producer(kind: str, own: Own) -> Producer:
    """Return the producer of this kind for the daemon itself."""
    return _open(OWN[kind], own)


def _open(place: str, watched: Watched | Own) -> Producer:
    module, _, name = place.partition(":")
    producer: Producer = getattr(importlib.import_module(module), name)(watched)
    return producer


def batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield `BATCH` items after the other."""
    for at in range(0, len(items), BATCH):
        yield items[at : at + BATCH]
