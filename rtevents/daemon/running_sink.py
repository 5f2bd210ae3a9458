"""One sink of the daemon, from its settings to its end."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from rtevents.config.sinks import SinkSettings
from rtevents.core.filter import Filter, parse_filter
from rtevents.core.logs import Logs
from rtevents.core.payloads import EventTypes
from rtevents.errors import RteventsError
from rtevents.sinks import Reaction, Terms, open_reaction
from rtevents.sinks.engine import Sink
from rtevents.sinks.place import DeadLetters, Place
from rtevents.sinks.reader import LogReader

logger = logging.getLogger(__name__)

STOP_SECONDS = 2.0
"""Longest time, in seconds, that what runs has to come to its end when its sink is stopped: with
what a command has after that, before it is ended by force, a daemon ends in less than five."""

PAUSE = 10.0
"""Seconds before a sink that could not go on is started again."""

Warn = Callable[[str | None], None]
"""Told what is amiss, in words; None when that is over."""


class Wanted(msgspec.Struct, frozen=True):
    """
    A sink as it is asked for.

    Args:
        name: Its name; of a project's own file: the project, a colon and the name there.
        project: The project whose own file asks for it; None for the configuration.
        folder: Where it keeps its place and its dead letters.
    """

    name: str
    settings: SinkSettings
    folder: Path
    project: str | None = None


class Running(msgspec.Struct):
    """A sink that was started."""

    wanted: Wanted
    filter: Filter
    sink: Sink
    reaction: Reaction
    task: asyncio.Task[None]


def start(wanted: Wanted, types: EventTypes, logs: Logs, warn: Warn) -> Running:
    """
    Start a sink.

    Raises:
        ConfigError, FilterError: A setting cannot be used.
        OSError: Its folder cannot be.
    """
    name, settings = wanted.name, wanted.settings
    asked = parse_filter(settings.query, types)
    if wanted.project is not None:
        asked = msgspec.structs.replace(asked, projects=frozenset({wanted.project}))
    log = logs.one(asked).log
    reaction = open_reaction(settings)
    sink = Sink(
        name,
        LogReader(log, asked, settings.since),
        reaction,
        place=Place(wanted.folder),
        dead=DeadLetters(wanted.folder, settings.max_dead),
        terms=_terms(settings, reaction),
        target=_target(settings),
        warn=warn,
        tell=lambda text: logger.warning("sink %s", text),
    )
    task = asyncio.create_task(_run(sink, warn), name=f"rtevents sink {name}")
    return Running(wanted, asked, sink, reaction, task)


async def _run(sink: Sink, warn: Warn) -> None:
    """Run a sink; start it again where it is when it cannot go on."""
    while True:
        try:
            await sink.run()
            return
        except Exception as error:
            # The daemon outlives its sinks; the health tells what is wrong with them.
            if not isinstance(error, RteventsError):
                logger.exception("sink %s failed", sink.name)
            warn(f"{error}; tried again in {PAUSE:g} s")
        await asyncio.sleep(PAUSE)


async def end(running: Running) -> None:
    """End a sink: what runs is let come to its end, for a while."""
    running.sink.end()
    await asyncio.wait([running.task], timeout=STOP_SECONDS)
    running.task.cancel()
    await asyncio.gather(running.task, return_exceptions=True)
    await running.reaction.close()


def _terms(settings: SinkSettings, reaction: Reaction) -> Terms:
    names = Terms.__struct_fields__
    given = {name: getattr(settings, name) for name in names}
    given["batch"] = settings.batch or reaction.at_once
    given["every"] = reaction.every if settings.every is None else settings.every
    return Terms(**given)


def _target(settings: SinkSettings) -> str:
    """Return what a sink acts on, so that another is known for another."""
    encoded = msgspec.json.encode(getattr(settings, settings.kinds[0]))
    return hashlib.blake2b(encoded, digest_size=8).hexdigest()
