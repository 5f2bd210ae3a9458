"""Sinks: what is done when something happens, by the configuration and by trusted projects."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from rtevents.config.paths import Paths
from rtevents.config.project_file import ProjectFile, read_project_file
from rtevents.config.settings import Config
from rtevents.config.sinks import SinkSettings
from rtevents.core.filter import Filter, parse_filter
from rtevents.core.logs import MAIN, Logs, Routes
from rtevents.core.service import EventService
from rtevents.daemon.check_sinks import check_sink
from rtevents.daemon.projects import folder_name
from rtevents.errors import ConfigError, FilterError, NotFound, RteventsError
from rtevents.sinks import Reaction, open_reaction
from rtevents.sinks.engine import Sink, Terms
from rtevents.sinks.place import DeadLetters, Letter, Place
from rtevents.sinks.reader import LogReader
from rtevents.sinks.trust import Trust

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""Seconds between two looks at projects' own files, and at which of them are trusted."""

STOP_SECONDS = 2.0
"""Longest time, in seconds, that what runs has to come to its end when its sink is stopped: with
what a command has after that, before it is ended by force, a daemon ends in less than five."""

PAUSE = 10.0
"""Seconds before a sink that could not go on is started again."""

ANSWER_BYTES = 8 * 1024**2
"""Bytes of dead letters after which an answer has enough of them."""


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


class Sinks:
    """
    Every sink of the daemon.

    Args:
        service: Where what is amiss is told.
        config: Names those that are always there.
        paths: Where they keep what they remember, and what is trusted.
        projects: Returns what is watched.
        logs: What they read; None for that service's log alone.
    """

    def __init__(
        self,
        service: EventService,
        config: Config,
        paths: Paths,
        projects: Callable[[], Sequence[Mapping[str, Any]]],
        logs: Logs | None = None,
    ) -> None:
        self._service = service
        self._logs = logs or Logs(Routes({}), {MAIN: service})
        self._config = config
        self._state = paths.state
        self._trust = Trust(paths.trust)
        self._projects = projects
        self._running: dict[str, Running] = {}
        self._refused: dict[str, Wanted] = {}
        # What projects' own files ask for and are trusted to.
        self._own: dict[str, Wanted] = {}
        self._read: dict[str, tuple[str, list[SinkSettings] | ConfigError]] = {}
        self._untrusted: dict[str, str] = {}
        self._turn = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Begin to act on what the configuration names; what cannot be is told by the health."""
        for wanted in self._wanted().values():
            self._start(wanted)
        self._watching = asyncio.create_task(self._watch(), name="rtevents trust")

    async def reload(self, config: Config) -> list[str]:
        """
        Act on what another configuration names; a sink of which it says the same goes on.

        One whose secrets are in a file reads that again.

        Returns:
            Why something is not acted on.
        """
        self._config = config
        await self._take_on(reads_again=True)
        refused = [name for name in self._refused if name in self._wanted()]
        return [f"sink {name}: {self._service.warnings[f'sink {name}']}" for name in refused]

    async def stop(self) -> None:
        """End every sink: what runs has some seconds to come to its end."""
        if self._watching:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        # A reload that somebody asks for now starts nothing that nobody would end.
        self._is_stopped = True
        async with self._turn:
            await asyncio.gather(*map(_end, self._running.values()))
            self._running.clear()

    def all(self) -> list[dict[str, Any]]:
        """Return every sink with its state."""
        return [self.one(name) for name in [*self._running, *self._refused]]

    def one(self, name: str) -> dict[str, Any]:
        """
        Return a sink with its state.

        Raises:
            NotFound: There is none of that name.
        """
        if (wanted := self._refused.get(name)) is not None:
            return {
                **_NEVER,
                "name": name,
                "kind": wanted.settings.kinds[0],
                "project": wanted.project,
                "filter": {key: values for key, values in wanted.settings.query.items() if values},
                "last_error": self._service.warnings.get(f"sink {name}"),
                "dead": len(self._dead(name)),
            }
        running = self._get(name)
        found = running.sink.as_dict() | {
            "kind": running.wanted.settings.kinds[0],
            "project": running.wanted.project,
            "filter": running.filter.as_dict(),
        }
        return found | ({"state": "failed"} if running.task.done() else {})

    async def dead(self, name: str) -> tuple[list[Letter], int]:
        """
        Return the dead letters of a sink, the oldest first, as many as an answer takes.

        Returns:
            The letters, and how many there are.
        Raises:
            NotFound: There is no such sink.
        """
        dead = self._dead(name)
        ids = dead.ids

        def read() -> list[Letter]:
            found: list[Letter] = []
            size = 0
            for letter in map(dead.get, ids):
                if letter is not None and size < ANSWER_BYTES:
                    size += len(bytes(letter.event))
                    found.append(letter)
            return found

        return await asyncio.to_thread(read), len(ids)

    async def replay(self, name: str, letter_id: str) -> int:
        """
        Have one letter, or all, done again; return how many.

        Raises:
            NotFound: There is no such sink, or letter.
        """
        return self._get(name).sink.replay(_chosen(self._dead(name), letter_id))

    async def discard(self, name: str, letter_id: str) -> int:
        """
        Forget one letter, or all; return how many.

        Raises:
            NotFound: There is no such sink, or letter.
        """
        dead = self._dead(name)
        chosen = _chosen(dead, letter_id)
        for each in chosen:
            await asyncio.to_thread(dead.remove, each)
        if name in self._running:
            self._running[name].sink.notice.look()
        return len(chosen)

    def resume(self, name: str) -> None:
        """
        Have a sink that rests try now.

        Raises:
            NotFound: There is none of that name.
        """
        self._get(name).sink.resume()

    def _get(self, name: str) -> Running:
        try:
            return self._running[name]
        except KeyError:
            words = "no sink {!r}" if name not in self._refused else "sink {!r} does not run"
            raise NotFound(f"{words.format(name[:80])}; see: rtevents sinks") from None

    def _dead(self, name: str) -> DeadLetters:
        if (wanted := self._refused.get(name)) is not None:
            # What it gave up while it ran is there still.
            return DeadLetters(wanted.folder, wanted.settings.max_dead)
        dead = self._get(name).sink.dead
        assert dead is not None  # noqa: S101 - every sink of a daemon has them
        return dead

    def _wanted(self) -> dict[str, Wanted]:
        """Return what is to run: of the configuration, and of the projects that are trusted."""
        named = {
            each.name: Wanted(each.name, each, self._state / "sinks" / each.name)
            for each in self._config.sinks
        }
        return named | self._own

    async def _take_on(self, *, reads_again: bool = False) -> None:
        """Stop what is not wanted as it runs, and start what is."""
        async with self._turn:
            if self._is_stopped:
                return
            wanted = self._wanted()
            ending = {
                name: running
                for name, running in self._running.items()
                if wanted.get(name) != running.wanted
                or running.task.done()
                or (reads_again and _has_secrets(running.wanted.settings))
            }
            await asyncio.gather(*map(_end, ending.values()))
            for name in ending:
                del self._running[name]
                self._service.warnings.pop(f"sink {name}", None)
            for name in self._refused:
                self._service.warnings.pop(f"sink {name}", None)
            self._refused.clear()
            for name, each in wanted.items():
                if name not in self._running:
                    self._start(each)

    def _start(self, wanted: Wanted) -> None:
        name, settings = wanted.name, wanted.settings
        try:
            asked = parse_filter(settings.query, self._service.types)
            if wanted.project is not None:
                asked = msgspec.structs.replace(asked, projects=frozenset({wanted.project}))
            log = self._logs.one(asked).log
            reaction = open_reaction(settings)
            place, dead = Place(wanted.folder), DeadLetters(wanted.folder, settings.max_dead)
        except (ConfigError, FilterError, OSError) as error:
            logger.warning("sink %s does not run: %s", name, error)
            self._service.warnings[f"sink {name}"] = f"it does not run: {error}"
            self._refused[name] = wanted
            return
        sink = Sink(
            name,
            LogReader(log, asked, settings.since),
            reaction,
            place=place,
            dead=dead,
            terms=_terms(settings, reaction),
            target=_target(settings),
            warn=lambda text: self._warn(name, text),
            tell=lambda text: logger.warning("sink %s", text),
        )
        task = asyncio.create_task(self._run(name, sink), name=f"rtevents sink {name}")
        self._running[name] = Running(wanted, asked, sink, reaction, task)

    def _warn(self, name: str, text: str | None) -> None:
        if text is None:
            self._service.warnings.pop(f"sink {name}", None)
        else:
            self._service.warnings[f"sink {name}"] = text

    async def _run(self, name: str, sink: Sink) -> None:
        """Run a sink; start it again where it is when it cannot go on."""
        while True:
            try:
                await sink.run()
                return
            except Exception as error:
                # The daemon outlives its sinks; the health tells what is wrong with them.
                if not isinstance(error, RteventsError):
                    logger.exception("sink %s failed", name)
                self._warn(name, f"{error}; tried again in {PAUSE:g} s")
            await asyncio.sleep(PAUSE)

    async def _watch(self) -> None:
        told = ""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except Exception as error:
                # Who looks no more would not see that trust is taken back.
                if str(error) != told:
                    logger.exception("projects' own files cannot be looked at")
                told = str(error)
            else:
                told = ""

    async def look(self) -> None:
        """Look what projects' own files ask for, and whether they are trusted to."""
        projects = [(str(each["id"]), Path(each["path"])) for each in self._projects()]
        own, untrusted = await asyncio.to_thread(self._look, projects)
        for project in self._untrusted.keys() - untrusted.keys():
            self._service.warnings.pop(f"reactions of {project}", None)
        for project, text in untrusted.items():
            if self._untrusted.get(project) != text:
                logger.warning("reactions of %s: %s", project, text)
            self._service.warnings[f"reactions of {project}"] = text
        self._untrusted = untrusted
        if own != self._own:
            self._own = own
            await self._take_on()

    def _look(self, projects: list[tuple[str, Path]]) -> tuple[dict[str, Wanted], dict[str, str]]:
        own: dict[str, Wanted] = {}
        untrusted: dict[str, str] = {}
        for project, root in projects:
            try:
                found = read_project_file(root)
                asked = self._reactions(project, found)
            except ConfigError as error:
                untrusted[project] = f"none of them runs: {error}"
                continue
            if found is None or not asked:
                continue
            if not self._trust.holds(found):
                known = self._trust.get(found.file)
                if known is None or not known.is_refused:
                    untrusted[project] = (
                        f"{len(asked)} do not run: {found.file} "
                        f"{'has changed since it was trusted' if known else 'is not trusted'}; "
                        f"read it, then: rtevents trust {root}, "
                        f"or never: rtevents trust --refuse {root}"
                    )
                continue
            for settings in asked:
                wanted = self._own_wanted(project, root, settings)
                own[wanted.name] = wanted
        return own, untrusted

    def _reactions(self, project: str, found: ProjectFile | None) -> list[SinkSettings]:
        """Return what a project's file asks for; what was read lately is not read again."""
        if found is None:
            self._read.pop(project, None)
            return []
        digest, read = self._read.get(project, ("", []))
        if digest != found.digest:
            try:
                read = _checked(found)
            except ConfigError as error:
                read = error
            self._read[project] = found.digest, read
        if isinstance(read, ConfigError):
            raise read
        return read

    def _own_wanted(self, project: str, root: Path, settings: SinkSettings) -> Wanted:
        command = settings.command
        assert command is not None  # noqa: S101 - a project's file has no other kind
        cwd = root if command.cwd == "~" else root / command.cwd
        placed = msgspec.structs.replace(command, cwd=str(cwd))
        folder = self._state / "projects" / folder_name(project) / "sinks" / settings.name
        return Wanted(
            f"{project}:{settings.name}",
            msgspec.structs.replace(settings, command=placed),
            folder,
            project,
        )


_NEVER: dict[str, Any] = {
    "state": "failed",
    "bookmark": "",
    "lag": 0,
    "delivered": 0,
    "failures": 0,
    "last_success": None,
    "breaker": "closed",
    "dropped": 0,
    "gap": None,
}
"""What is told of a sink that could not be started."""


def _checked(found: ProjectFile) -> list[SinkSettings]:
    reactions = found.reactions()
    for index, each in enumerate(reactions):
        try:
            check_sink(each)
        except ConfigError as error:
            raise ConfigError(f"{found.file}: on[{index}].{error}") from error
    return reactions


def _terms(settings: SinkSettings, reaction: Reaction) -> Terms:
    names = Terms.__struct_fields__
    given = {name: getattr(settings, name) for name in names}
    given["batch"] = settings.batch or reaction.at_once
    given["every"] = reaction.every if settings.every is None else settings.every
    return Terms(**given)


def _has_secrets(settings: SinkSettings) -> bool:
    """Tell whether a file of its own, which may be another by now, holds what it needs."""
    webhook, notify = settings.webhook, settings.notify
    return bool((webhook and webhook.secret_file) or (notify and notify.urls_file))


def _target(settings: SinkSettings) -> str:
    """Return what a sink acts on, so that another is known for another."""
    encoded = msgspec.json.encode(getattr(settings, settings.kinds[0]))
    return hashlib.blake2b(encoded, digest_size=8).hexdigest()


def _chosen(dead: DeadLetters, letter_id: str) -> list[str]:
    ids = dead.ids
    if not letter_id:
        return ids
    if letter_id not in ids:
        raise NotFound(f"no dead letter {letter_id[:80]!r}; see: rtevents sinks dead")
    return [letter_id]


async def _end(running: Running) -> None:
    """End a sink: what runs is let come to its end, for a while."""
    running.sink.end()
    await asyncio.wait([running.task], timeout=STOP_SECONDS)
    running.task.cancel()
    await asyncio.gather(running.task, return_exceptions=True)
    await running.reaction.close()
