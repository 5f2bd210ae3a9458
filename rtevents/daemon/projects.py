"""Projects: what is watched, by the configuration and because it was added."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from rtevents.config.paths import expand, real
from rtevents.config.settings import Config, ProjectSettings
from rtevents.core.event import Stored
from rtevents.core.forecast import Forecast
from rtevents.core.keep import load, save
from rtevents.core.logs import MAIN, Logs, Routes
from rtevents.core.names import is_project_id
from rtevents.core.service import EventService
from rtevents.daemon.folders import folder_name, known_root_of, root_of
from rtevents.daemon.producing import Producing
from rtevents.daemon.project import Project
from rtevents.daemon.spool import LocalSpool, Spools
from rtevents.errors import (
    BadInput,
    EventConflict,
    NotFound,
    StoreError,
    Taken,
)
from rtevents.producers import PRODUCERS, Known, Watched, open_producer
from rtevents.producers.commit import build_commit
from rtevents.producers.git import common_dir
from rtevents.producers.known import PROJECTS_FILE, project_id_of
from rtevents.producers.risk.rules import in_force
from rtevents.producers.spool import Spool
from rtevents.producers.taskfiles import wrong_name

logger = logging.getLogger(__name__)

SETTLE_SECONDS = 5.0
"""Longest time, in seconds, that the start waits for projects to be watched."""


class Projects:
    """
    Every project of the daemon.

    Args:
        service: Where what is amiss is told.
        config: Names the projects that are always there, and how files and git are watched.
        state: The state directory: added projects and the producers' own places are kept there.
        own: The daemon's own folders, resolved, in which nothing is watched.
        forecast: Tells how surprising it is what the producers tell.
        spools: Where what they tell waits while a shared log does not answer; None for one log.
        logs: Where events go; None for that service's log alone.
    """

    def __init__(
        self,
        service: EventService,
        config: Config,
        state: Path,
        own: Sequence[Path] = (),
        forecast: Forecast | None = None,
        spools: Spools | None = None,
        logs: Logs | None = None,
    ) -> None:
        self._service = service
        self._logs = logs or Logs(Routes({}), {MAIN: service})
        self._config = config
        self._file = state / PROJECTS_FILE
        self._places = state / "projects"
        self._own = own
        self._spools = spools or Spools(Routes({}), {MAIN: LocalSpool(service, state / "spool.db")})
        self._producing = Producing(service, forecast or Forecast(), self._spools)
        self._projects: dict[str, Project] = {}
        self._added: dict[str, ProjectSettings] = {}

    async def start(self) -> None:
        """Watch what the configuration names and what was added before."""
        self._places.mkdir(mode=0o700, exist_ok=True)
        kept = load(self._file, list[ProjectSettings], [])
        self._added = {settings.id: settings for settings in kept}
        self._watch_all()

    def _watch_all(self) -> list[str]:
        """Watch all that is to be watched; return why something is not."""
        refused = []
        for settings in self._wanted():
            try:
                self._watch(settings, known_root_of(expand(settings.path)))
            except (BadInput, StoreError, Taken) as error:
                logger.warning("a project is not watched: %s", error)
                self._service.warn(_warning(settings), str(error))
                refused.append(str(error))
        return refused

    def _wanted(self) -> list[ProjectSettings]:
        """Return the projects to watch: of one that was added, what the configuration says."""
        named = {real(settings.path) for settings in self._config.projects}
        added = (each for each in self._added.values() if real(each.path) not in named)
        return [*self._config.projects, *added]

    async def reload(self, config: Config) -> list[str]:
        """
        Watch what another configuration names; a project of which it says the same goes on.

        Returns:
            Why something is not watched.
        """
        for settings in self._wanted():
            self._service.warn(_warning(settings), None)
        sections = ("files", "git", "auto_commit")
        is_same = all(getattr(config, name) == getattr(self._config, name) for name in sections)
        self._config = config
        wanted = {real(settings.path): settings for settings in self._wanted()}
        for name, project in list(self._projects.items()):
            if not is_same or wanted.get(project.root) != project.given:
                await self._drop(name)
        refused = self._watch_all()
        await self.settle()
        return refused

    async def stop(self) -> None:
        """End every producer."""
        await asyncio.gather(*map(self._producing.end, self._projects.values()))

    async def settle(self) -> None:
        """Return when every project sees what changes, or cannot for now, or takes too long."""
        await _settle(self._projects.values())

    @property
    def config(self) -> Config:
        """Every setting that is in force."""
        return self._config

    def known(self) -> list[Known]:
        """Return what is watched, as the daemon's own producers get to know it."""
        return [
            Known(name, project.root, project.settings.git)
            for name, project in self._projects.items()
        ]

    async def risk_rules(self) -> list[dict[str, Any]]:
        """Return the rules for risks that are in force, those of the projects' own files too."""
        return await asyncio.to_thread(in_force, self._config.risks, self.known())

    def all(self) -> Sequence[dict[str, Any]]:
        """Return every project with its state."""
        return [project.as_dict() for project in self._projects.values()]

    def tells_commits(self, project_id: str | None) -> bool:
        """Tell whether this project's repository is watched."""
        project = self._projects.get(project_id or "")
        return project is not None and project.git is not None

    def producers(self) -> Counter[tuple[str, str]]:
        """Return how many producers there are of each kind in each state."""
        return Counter(
            (kind, project.state_of(kind))
            for project in self._projects.values()
            for kind in project.producers
        )

    async def add(self, path: Path, **settings: Any) -> tuple[dict[str, Any], bool]:
        """
        Watch a folder from now on, also after a restart.

        Returns:
            The project, and whether it is new.
        Raises:
            BadInput: There is no such folder, the id cannot be one, or the folder has another.
            Taken: The id is another folder's.
            StoreError: It cannot be kept, and is not watched.
        """
        wanted = ProjectSettings(path=str(path), **settings)
        root = root_of(path)
        for project in self._projects.values():
            if project.root == root:
                if wanted.id not in ("", name := project.settings.id):
                    raise BadInput(
                        f"id: {root} is project {name!r} already; to give it another id: "
                        f"rtevents project remove {name}",
                        field="id",
                    )
                return project.as_dict(), False
        project = self._watch(wanted, root)
        await self.settle()
        added = self._added | {project.settings.id: project.settings}
        try:
            save(self._file, list(added.values()))
        except StoreError:
            await self._drop(project.settings.id)
            raise
        self._service.warn(f"project {project.settings.id}", None)
        self._added, project.given = added, project.settings
        return project.as_dict(), True

    async def remove(self, project_id: str) -> None:
        """
        Watch a project no more. Its events stay.

        Raises:
            NotFound: There is none of that id.
            Taken: The configuration names it.
            StoreError: What is left cannot be kept: it is watched on.
        """
        project = self._projects.get(project_id)
        if project is None:
            raise NotFound(f"no project {project_id[:60]!r}")
        if project_id not in self._added:
            raise Taken(
                f"project {project_id!r} is named in the configuration: "
                "remove it there, then: rtevents reload"
            )
        added = {name: each for name, each in self._added.items() if name != project_id}
        save(self._file, list(added.values()))
        self._added = added
        await self._drop(project_id)
        if project.git is not None:
            await project.git.forget()
        await asyncio.to_thread(shutil.rmtree, self._place(project_id), ignore_errors=True)

    async def _drop(self, project_id: str) -> None:
        project = self._projects.pop(project_id)
        await self._producing.drop(project)

    async def commit(self, path: Path, revision: str) -> Stored:
        """
        Publish a commit, or say where it is in the log already.

        Raises:
            BadInput: There is no such repository or revision.
        """
        project = await self._project_of(path)
        if project is not None and project.git is not None:
            # What was made while nobody watched is told first, in its order.
            await _settle([project])
            project.git.hint()
            event = await project.git.commit(revision)
        elif (theirs := await asyncio.to_thread(common_dir, path)) is None:
            raise BadInput(f"path: not in a git repository: {str(path)[:200]!r}", field="path")
        else:
            # No project of this daemon's, or not any more: its hook is to go on telling.
            await asyncio.to_thread(Spool(theirs).unmark)
            root = theirs.parent if theirs.name == ".git" else theirs
            seconds = self._config.git.timeout
            event = await build_commit(path, revision, project_id_of(root), timeout=seconds)
        service = self._logs.of(event.project_id)
        if (seq := await service.log.find(event.event_id)) is not None:
            return Stored(event.event_id, seq, duplicate=True)
        try:
            return await service.publish(event)
        except EventConflict as conflict:
            # The git producer saw it in the meantime, from another branch perhaps.
            return Stored(event.event_id, conflict.seq, duplicate=True)

    async def _project_of(self, path: Path) -> Project | None:
        for project in list(self._projects.values()):  # one may come or go meanwhile
            if project.git and await project.git.owns(path):
                return project
        return None

    def _watch(self, settings: ProjectSettings, root: Path) -> Project:
        name = settings.id or project_id_of(root)
        if not is_project_id(name):
            raise BadInput(
                f"id: expected 1 to 48 printable characters without ':', got {name[:60]!r}",
                field="id",
            )
        if wrong := wrong_name(settings.tasks):
            raise BadInput(wrong, field="tasks")
        if (other := self._projects.get(name)) and other.root != root:
            raise Taken(f"project id {name!r} is taken by {other.root}: give another with --id")
        if other:
            return other
        places = self._place(name)
        try:
            places.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{places} cannot be made: {error.strerror}") from error
        given = settings
        settings = msgspec.structs.replace(settings, id=name, path=str(root))
        project = Project(settings, root)
        project.given = given
        self._projects[name] = project
        watched = Watched(
            root=root,
            project=settings,
            config=self._config,
            places=places,
            find=self._spools.of(name).find,
            own=self._own,
        )
        for kind in PRODUCERS:
            if getattr(settings, kind):
                self._producing.start(project, kind, open_producer(kind, watched))
        return project

    def _place(self, project_id: str) -> Path:
        return self._places / folder_name(project_id)


async def _settle(projects: Iterable[Project]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_SECONDS):
            await asyncio.gather(*[project.settle() for project in projects])


def _warning(settings: ProjectSettings) -> str:
    """Return the name under which the health tells that a project is not watched."""
    return f"project {settings.id or settings.path}"
