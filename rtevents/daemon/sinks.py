"""Sinks: what is done when something happens, by the configuration and by trusted projects."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from rtevents.config.paths import Paths
from rtevents.config.settings import Config
from rtevents.core.logs import MAIN, Logs, Routes
from rtevents.core.service import EventService
from rtevents.daemon.project_sinks import ProjectSinks
from rtevents.daemon.running_sink import Running, Wanted, end, start
from rtevents.daemon.secrets import fingerprint, secret_file
from rtevents.errors import ConfigError, FilterError, NotFound
from rtevents.sinks.place import DeadLetters, Letter
from rtevents.sinks.trust import Trust

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""Seconds between two looks at projects' own files, and at which of them are trusted."""

ANSWER_BYTES = 8 * 1024**2
"""Bytes of dead letters after which an answer has enough of them."""


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
        self._asking = ProjectSinks(paths.state, Trust(paths.trust))
        self._projects = projects
        self._running: dict[str, Running] = {}
        self._refused: dict[str, Wanted] = {}
        # What the files with their secrets held when they were started.
        self._secrets: dict[str, bytes] = {}
        # What projects' own files ask for and are trusted to.
        self._own: dict[str, Wanted] = {}
        self._untrusted: dict[str, str] = {}
        self._turn = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._is_stopped = False

    def start(self) -> None:
        """Begin to act on what the configuration names; what cannot be is told by the health."""
        for wanted in self._wanted().values():
            self._start(wanted)
        self._watching = asyncio.create_task(self._watch(), name="rtevents trust")

    async def reload(self, config: Config) -> tuple[list[str], list[str]]:
        """
        Act on what another configuration names; a sink of which it says the same goes on.

        One whose secrets are in a file reads that again.

        Returns:
            The sinks whose file holds other secrets than before, and why something is not acted on.
        """
        self._config = config
        before = self._secrets.copy()
        await self._take_on(reads_again=True)
        other = [name for name, of in self._secrets.items() if before.get(name, of) != of]
        refused = [name for name in self._refused if name in self._wanted()]
        return other, [f"sink {name}: {self._service.warnings[f'sink {name}']}" for name in refused]

    async def stop(self) -> None:
        """End every sink: what runs has some seconds to come to its end."""
        if self._watching:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        # A reload that somebody asks for now starts nothing that nobody would end.
        self._is_stopped = True
        async with self._turn:
            await asyncio.gather(*map(end, self._running.values()))
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
        return await asyncio.to_thread(dead.read, ids, ANSWER_BYTES), len(ids)

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
                or (reads_again and secret_file(running.wanted.settings))
            }
            await asyncio.gather(*map(end, ending.values()))
            for name in ending:
                del self._running[name]
                del self._secrets[name]
                self._service.warn(f"sink {name}", None)
            for name in self._refused:
                self._service.warn(f"sink {name}", None)
            self._refused.clear()
            for name, each in wanted.items():
                if name not in self._running:
                    self._start(each)

    def _start(self, wanted: Wanted) -> None:
        name = wanted.name
        self._secrets[name] = fingerprint(wanted.settings)
        try:
            warn = partial(self._service.warn, f"sink {name}")
            self._running[name] = start(wanted, self._service.types, self._logs, warn)
        except (ConfigError, FilterError, OSError) as error:
            logger.warning("sink %s does not run: %s", name, error)
            self._service.warn(f"sink {name}", f"it does not run: {error}")
            self._refused[name] = wanted

    async def catch_up(self) -> None:
        """
        Return when what was trusted, or refused, before is known.

        A folder that does not answer keeps nobody waiting for longer than ``LOOK_SECONDS``.
        """
        if self._watching is None or self._watching.done():
            return
        known = asyncio.get_running_loop().create_future()
        self._waiting.append(known)
        self._asked.set()
        await asyncio.wait([known], timeout=LOOK_SECONDS)

    async def _watch(self) -> None:
        told = ""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._asked.wait()
            self._asked.clear()
            waiting, self._waiting = self._waiting, []
            try:
                await self.look()
            except Exception as error:
                # Who looks no more would not see that trust is taken back.
                if str(error) != told:
                    logger.exception("projects' own files cannot be looked at")
                told = str(error)
            else:
                told = ""
            for known in waiting:
                if not known.done():
                    known.set_result(None)

    async def look(self) -> None:
        """Look what projects' own files ask for, and whether they are trusted to."""
        projects = [(str(each["id"]), Path(each["path"])) for each in self._projects()]
        own, untrusted = await asyncio.to_thread(self._asking.look, projects)
        for project in self._untrusted.keys() - untrusted.keys():
            self._service.warn(f"reactions of {project}", None)
        for project, text in untrusted.items():
            if self._untrusted.get(project) != text:
                logger.warning("reactions of %s: %s", project, text)
            self._service.warn(f"reactions of {project}", text)
        self._untrusted = untrusted
        if own != self._own:
            self._own = own
            await self._take_on()


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


def _chosen(dead: DeadLetters, letter_id: str) -> list[str]:
    ids = dead.ids
    if not letter_id:
        return ids
    if letter_id not in ids:
        raise NotFound(f"no dead letter {letter_id[:80]!r}; see: rtevents sinks dead")
    return [letter_id]
