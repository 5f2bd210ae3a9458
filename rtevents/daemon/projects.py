"""Projects: what is watched, and the tasks that watch it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os.path
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec

from rtevents.config.paths import expand, real
from rtevents.config.settings import Config, ProjectSettings
from rtevents.core.event import Event, EventType, Stored, is_project_id
from rtevents.core.forecast import Forecast
from rtevents.core.keep import load, save
from rtevents.core.logs import MAIN, Logs, Routes
from rtevents.core.service import EventService
from rtevents.daemon.forecast import marked
from rtevents.daemon.project import Project
from rtevents.daemon.spool import LocalSpool, Spools
from rtevents.errors import (
    BadInput,
    EventConflict,
    LogClosed,
    NotFound,
    RteventsError,
    StoreError,
    Taken,
)
from rtevents.producers import PRODUCERS, Known, Producer, Watched, open_producer
from rtevents.producers.commit import build_commit
from rtevents.producers.git import common_dir
from rtevents.producers.known import PROJECTS_FILE, project_id_of
from rtevents.producers.risk.rules import in_force
from rtevents.producers.spool import Spool
from rtevents.producers.taskfiles import wrong_name

logger = logging.getLogger(__name__)

SETTLE_SECONDS = 5.0
"""Longest time, in seconds, that the start waits for projects to be watched."""

BACKOFF_MAX = 60.0
"""Longest pause, in seconds, before a producer that failed is started again."""

STORE_SECONDS = 2.0
"""Longest time, in seconds, that a producer's end waits for the batch that is being stored."""


MAX_FOLDER_NAME = 255
"""Longest name of a folder, in bytes, on the file systems that there are."""


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
        self._forecast = forecast or Forecast()
        self._spools = spools or Spools(Routes({}), {MAIN: LocalSpool(service, state / "spool.db")})
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
                self._watch(settings, _place_of(expand(settings.path)))
            except (BadInput, StoreError, Taken) as error:
                logger.warning("a project is not watched: %s", error)
                self._service.warnings[_warning(settings)] = str(error)
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
            self._service.warnings.pop(_warning(settings), None)
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
        await asyncio.gather(*map(_end, self._projects.values()))

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
        root = _folder(path)
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
        self._service.warnings.pop(f"project {project.settings.id}", None)
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
        # First, for its producers may still warn of something meanwhile.
        await _end(project)
        for kind in project.producers:
            self._service.warnings.pop(f"{kind} of {project_id}", None)
            self._note_gap(project, kind, None)
        self._note_loss(project_id, None)

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
                self._start(project, kind, open_producer(kind, watched))
        return project

    def _place(self, project_id: str) -> Path:
        return self._places / folder_name(project_id)

    def _start(self, project: Project, kind: str, producer: Producer) -> None:
        name = f"{kind} of {project.settings.id}"
        project.producers[kind] = producer
        project.tasks.append(
            asyncio.create_task(self._run(project, kind, producer), name=f"rtevents {name}")
        )

    async def _run(self, project: Project, kind: str, producer: Producer) -> None:
        """Publish what a producer yields; start it again when it fails."""
        pause = 1.0
        while True:
            producer.ready.clear()
            recovering = asyncio.create_task(self._note_recovery(project, kind, producer))
            try:
                # The iterator is told to end when this task is: it may hold a watch.
                async with aclosing(producer.events()) as events:
                    async for batch in events:
                        self._note_gap(project, kind, producer.gap)
                        self._note_loss(project.settings.id, project.lost)
                        project.note()
                        await self._publish(project, batch)
                        if kind == "files" and project.saver is not None:
                            project.saver.hint(_last_change(batch))
                        pause = 1.0
                return
            except LogClosed:
                return
            except Exception as error:
                # The daemon outlives its producers; it tells what is wrong and tries again.
                logger.exception("producer %s of %s failed", kind, project.settings.id)
                recovering.cancel()
                self._note_loss(project.settings.id, project.lost)
                await self._note(project, kind, _words(error))
            finally:
                recovering.cancel()
            await asyncio.sleep(pause)
            pause = min(BACKOFF_MAX, pause * 2)

    def _note_gap(self, project: Project, kind: str, gap: str | None) -> None:
        """Keep among the warnings of the health why some of what happens is seen late."""
        name = f"{kind} of {project.settings.id}, seen late"
        if gap is None:
            self._service.warnings.pop(name, None)
        else:
            self._service.warnings[name] = gap

    def _note_loss(self, project_id: str, lost: str | None) -> None:
        """Keep among the warnings of the health why a project's folder cannot be watched."""
        name = f"project {project_id}, root lost"
        if lost is None:
            self._service.warnings.pop(name, None)
        else:
            self._service.warnings[name] = lost

    async def _note_recovery(self, project: Project, kind: str, producer: Producer) -> None:
        await producer.ready.wait()
        project.note()
        await self._note(project, kind, None)

    async def _note(self, project: Project, kind: str, error: str | None) -> None:
        """Keep how a producer is, and tell it in the stream when that changes."""
        before = project.errors.get(kind)
        if before == error:
            return
        name = f"{kind} of {project.settings.id}"
        if error is None:
            del project.errors[kind]
            self._service.warnings.pop(name, None)
        else:
            project.errors[kind] = error
            self._service.warnings[name] = error
            project.note()
        status = Event(
            type=EventType.SYSTEM_STATUS,
            data={
                "status": "ok" if error is None else "degraded",
                "event": "producer_recovered" if error is None else "producer_failed",
                "reasons": [] if error is None else [f"{name}: {error}"],
            },
            source="rtevents/system",
            project_id=project.settings.id,
        )
        await self._publish(project, [status])

    async def _publish(self, project: Project, batch: list[Event]) -> None:
        """Store a batch, however long that takes: a producer has nowhere else to go with it."""
        async with project.storing:
            spool = self._spools.of(project.settings.id)
            await spool.publish(marked(self._forecast, batch))


def _last_change(batch: Sequence[Event]) -> str | None:
    """Return the id of the event of the last file that changed; None where none did."""
    changes = (event for event in reversed(batch) if event.type == EventType.FILE_CHANGE)
    return next((event.event_id for event in changes), None)


def folder_name(project_id: str) -> str:
    """Return the name of a project's folder in the state directory."""
    # An id may hold any printable character, a folder's name may not, nor be as long.
    name = project_id.encode().hex()
    if len(name) > MAX_FOLDER_NAME:
        name = hashlib.blake2b(project_id.encode(), digest_size=32).hexdigest()
    return name


async def _settle(projects: Iterable[Project]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_SECONDS):
            await asyncio.gather(*[project.settle() for project in projects])


def _words(error: Exception) -> str:
    """Return what went wrong for a user: our own words, the system's, or what a bug raised."""
    if isinstance(error, RteventsError):
        return str(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    return f"a bug: {type(error).__name__}: {error}"


def _warning(settings: ProjectSettings) -> str:
    """Return the name under which the health tells that a project is not watched."""
    return f"project {settings.id or settings.path}"


def _folder(path: Path) -> Path:
    try:
        root = path.resolve(strict=True)
    except OSError as error:
        raise BadInput(f"path: {path}: {error.strerror}", field="path") from error
    except RuntimeError as error:  # what Python before 3.13 raises
        raise BadInput(f"path: {path}: a loop of links", field="path") from error
    if not root.is_dir():
        raise BadInput(f"path: {path}: not a folder", field="path")
    if root == root.parent:
        raise BadInput(f"path: {root} is all that there is: name a folder in it", field="path")
    return root


def _place_of(path: Path) -> Path:
    """Return the folder of a project that is known: it need not be there, a disk may come back."""
    try:
        return _folder(path)
    except BadInput:
        root = Path(os.path.realpath(path))
        if not path.is_absolute() or root == root.parent:
            raise
        return root


async def _end(project: Project) -> None:
    """End a project's producers: none between what is stored and what it notes as told."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STORE_SECONDS):
            await project.storing.acquire()
    for task in project.tasks:
        task.cancel()
    await asyncio.gather(*project.tasks, return_exceptions=True)
