"""What the tests of the producers share: a git of their own, and a reader of what is yielded."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from rtevents.config.settings import TASKS, Config, ProjectSettings
from rtevents.core.event import Event
from rtevents.producers import Producer, Watched, open_producer
from rtevents.producers import git as producer_module

PATIENCE = 20.0
"""Seconds after which a condition that has not come true is a failure."""


@pytest.fixture(autouse=True)
def _own_git(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this machine's configuration of git away."""
    home = tmp_path_factory.mktemp("home")
    for name in os.environ:
        if name.startswith(("GIT_", "XDG_", "RTEVENTS")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path_factory.getbasetemp()))
    (home / "gitconfig").write_text(
        "[user]\nname = Ada\nemail = ada@example.org\n[init]\ndefaultBranch = main\n"
        '[protocol "file"]\nallow = always\n[gc]\nauto = 0\n[maintenance]\nauto = false\n'
    )


def git(
    cwd: Path,
    *arguments: str | bytes,
    given: str | bytes = b"",
    env: Mapping[str, str] | None = None,
) -> str:
    """Run git and return what it printed; fail when it fails."""
    done = subprocess.run(
        ["git", *arguments],
        cwd=cwd,
        input=given.encode() if isinstance(given, str) else given,
        env={**os.environ, **(env or {})},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, f"git {arguments}: {os.fsdecode(done.stderr)}"
    return os.fsdecode(done.stdout).strip()


def commit(
    cwd: Path, message: str = "Change", file: str = "file.txt", *, written: int | None = None
) -> str:
    """Change a file, commit it as written at a time in unix seconds, and return the commit."""
    with (cwd / file).open("a") as opened:
        opened.write(f"{message}\n")
    git(cwd, "add", "--", file)
    git(cwd, "commit", "-qm", message, *([f"--date=@{written}"] if written else []))
    return tip(cwd)


def tip(root: Path, ref: str = "HEAD") -> str:
    """Return what a ref names."""
    return git(root, "rev-parse", ref)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository with one commit."""
    root = tmp_path.resolve() / "web"
    root.mkdir()
    git(root, "init", "-q")
    commit(root, "Begin")
    return root


class World:
    """
    What a producer is given, and what became of its events: a log as simple as can be.

    Args:
        places: The folder for places.
    """

    def __init__(self, places: Path) -> None:
        self.places = places
        self.seqs: dict[str, int] = {}

    async def find(self, event_id: str) -> int | None:
        """Return the seq of a stored event."""
        return self.seqs.get(event_id)

    def producer(
        self,
        kind: str,
        root: Path,
        *,
        ignore: list[str] | None = None,
        tasks: list[str] | None = None,
        config: Config | None = None,
    ) -> Producer:
        """Return a producer for a project named ``web``."""
        project = ProjectSettings(
            path=str(root), id="web", ignore=ignore or [], tasks=tasks or [*TASKS]
        )
        return open_producer(
            kind,
            Watched(
                root=root,
                project=project,
                config=config or Config(),
                places=self.places,
                find=self.find,
            ),
        )

    def watch(
        self,
        kind: str,
        root: Path,
        *,
        ignore: list[str] | None = None,
        tasks: list[str] | None = None,
        config: Config | None = None,
    ) -> Watching:
        """Return what reads a producer; ``async with`` starts and ends it."""
        return Watching(self, self.producer(kind, root, ignore=ignore, tasks=tasks, config=config))


class Watching:
    """
    Reads a producer and stores what it yields, as the daemon does.

    Attributes:
        producer: Who is read.
        batches: What it yielded, in its order.
    """

    def __init__(self, world: World, producer: Producer) -> None:
        self.producer = producer
        self.batches: list[list[Event]] = []
        self._world = world
        self._grown = asyncio.Event()

    async def __aenter__(self) -> Watching:
        self._task = asyncio.create_task(self._read())
        async with asyncio.timeout(PATIENCE):
            ready = asyncio.create_task(self.producer.ready.wait())
            await asyncio.wait([ready, self._task], return_when=asyncio.FIRST_COMPLETED)
            ready.cancel()
        if self._task.done():
            self._task.result()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @property
    def events(self) -> list[Event]:
        """Everything that was yielded."""
        return [event for batch in self.batches for event in batch]

    async def until(self, condition: Callable[[], object]) -> None:
        """Return when `condition` is true; fail when it does not become so, or the producer did."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    if self._task.done():
                        self._task.result()
                    self._grown.clear()
                    await self._grown.wait()
        except TimeoutError:
            pytest.fail(f"did not happen; yielded: {[event.data for event in self.events]}")

    async def _read(self) -> None:
        try:
            async with aclosing(self.producer.events()) as batches:
                async for batch in batches:
                    for event in batch:
                        assert event.body
                        self._world.seqs[event.event_id] = len(self._world.seqs) + 1
                    self.batches.append(batch)
                    self._grown.set()
        finally:
            self._grown.set()


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a world in which nothing happened yet."""
    places = tmp_path / "places"
    places.mkdir()
    return World(places)


@pytest.fixture(autouse=True)
def _short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often for a repository where there is none yet."""
    monkeypatch.setattr(producer_module, "PAUSE", 0.05)


class Commits:
    """A watched repository, and what was told of it."""

    def __init__(self, root: Path, watching: Watching) -> None:
        self.root = root
        self.watching = watching

    @property
    def told(self) -> list[str]:
        """The commits in the order in which they were told."""
        return [event.data["commit_hash"] for event in self.events]

    @property
    def events(self) -> list[Event]:
        """The COMMIT events."""
        return [event for event in self.watching.events if event.type == "COMMIT"]

    @property
    def moves(self) -> list[tuple[str, str | None, str | None]]:
        """The moves of refs that were told: the name, where it was, where it is."""
        updates = [event.data for event in self.watching.events if event.type == "REF_UPDATE"]
        return [(data["ref"], data["old"], data["new"]) for data in updates]

    def update(self, ref: str) -> dict[str, Any]:
        """Return the data of the last move of a ref."""
        updates = [event.data for event in self.watching.events if event.type == "REF_UPDATE"]
        return [data for data in updates if data["ref"] == ref][-1]

    async def has(self, *shas: str) -> None:
        """Return when these were told; fail when anything else was, or one twice."""
        await self.watching.until(lambda: set(shas) <= set(self.told))
        assert sorted(self.told) == sorted(shas)

    def data(self, sha: str) -> dict[str, Any]:
        """Return the data of a commit."""
        found = [event for event in self.events if event.data["commit_hash"] == sha]
        assert len(found) == 1
        return found[0].data


@asynccontextmanager
async def watched(world: World, root: Path) -> AsyncIterator[Commits]:
    """Watch a repository."""
    async with world.watch("git", root) as watching:
        yield Commits(root, watching)


@pytest.fixture
async def commits(world: World, repository: Path) -> AsyncIterator[Commits]:
    """Return a watched repository with one commit that is not new."""
    async with watched(world, repository) as commits:
        yield commits
