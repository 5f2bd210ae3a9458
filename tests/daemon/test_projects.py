"""What is watched, and the tasks that watch it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest

from rtevents.config.settings import Config, ProjectSettings
from rtevents.core.event import Event
from rtevents.core.filter import Filter
from rtevents.core.health import Thresholds
from rtevents.core.service import EventService
from rtevents.daemon.project import Project
from rtevents.daemon.projects import Projects
from rtevents.errors import BadInput, NotFound, StoreError, Taken
from rtevents.producers.git import GitProducer
from rtevents.producers.known import project_id_of
from rtevents.stores.memory import MemoryStore

ROOMY = Thresholds(memory_bytes=2**62)
"""Whatever the tests of one process have taken together is no trouble of a service in it."""


@pytest.fixture
async def service() -> AsyncIterator[EventService]:
    """Return a service that runs."""
    async with EventService(
        MemoryStore(), max_queue_size=5, queue_timeout=0.01, thresholds=ROOMY
    ) as service:
        yield service


@pytest.fixture
async def projects(service: EventService, tmp_path: Path) -> AsyncIterator[Projects]:
    """Return projects that watch nothing yet."""
    (tmp_path / "state").mkdir()
    projects = Projects(service, Config(), tmp_path / "state")
    await projects.start()
    yield projects
    await projects.stop()


def folder(tmp_path: Path, name: str) -> Path:
    """Make a folder."""
    made = tmp_path / name
    made.mkdir(parents=True)
    return made


async def test_an_added_project_is_watched_and_remembered(
    projects: Projects, service: EventService, tmp_path: Path
) -> None:
    root = folder(tmp_path, "web")
    project, is_new = await projects.add(root, ignore=["*.log"])
    again, is_new_again = await projects.add(root)

    assert (project["id"], project["state"], is_new) == ("web", "watching", True)
    assert (again["id"], is_new_again) == ("web", False)
    later = Projects(service, Config(), tmp_path / "state")
    await later.start()
    assert [each["id"] for each in later.all()] == ["web"]
    await later.stop()


async def test_an_id_is_as_long_as_it_may_be_in_any_script(
    projects: Projects, tmp_path: Path
) -> None:
    root = folder(tmp_path, "web")
    project, _ = await projects.add(root, id="監" * 48)

    assert (project["id"], project["state"]) == ("監" * 48, "watching")


async def test_an_id_that_another_folder_has_is_refused(projects: Projects, tmp_path: Path) -> None:
    await projects.add(folder(tmp_path, "a/web"))
    with pytest.raises(Taken, match=r"project id 'web' is taken by .*/a/web: give another"):
        await projects.add(folder(tmp_path, "b/web"))
    other, _ = await projects.add(tmp_path / "b" / "web", id="web2")

    assert other["id"] == "web2"


async def test_what_cannot_be_a_project_is_refused(projects: Projects, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="No such file"):
        await projects.add(tmp_path / "missing")
    with pytest.raises(BadInput, match="not a folder"):
        await projects.add(tmp_path / "file")
    with pytest.raises(BadInput, match="1 to 48 printable characters"):
        await projects.add(folder(tmp_path, "web"), id="a:b")


async def test_a_project_whose_place_cannot_be_made_is_not_watched(
    projects: Projects, service: EventService, tmp_path: Path
) -> None:
    root = folder(tmp_path, "web")
    places = tmp_path / "state" / "projects"
    places.rmdir()
    places.write_text("")
    with pytest.raises(StoreError, match=r"/projects/\w+ cannot be made: Not a directory"):
        await projects.add(root)

    assert projects.all() == []
    refused = await projects.reload(Config(projects=[ProjectSettings(path=str(root))]))
    assert len(refused) == len(service.warnings) == 1


async def test_a_removed_project_is_forgotten(projects: Projects, tmp_path: Path) -> None:
    await projects.add(folder(tmp_path, "web"))
    await projects.remove("web")
    with pytest.raises(NotFound):
        await projects.remove("web")

    assert projects.all() == []


async def test_a_project_of_the_configuration_is_watched_and_cannot_be_removed(
    service: EventService, tmp_path: Path
) -> None:
    root = folder(tmp_path, "web")
    config = Config(projects=[ProjectSettings(path=str(root), id="w", git=False)])
    projects = Projects(service, config, folder(tmp_path, "state"))
    await projects.start()

    assert [each["id"] for each in projects.all()] == ["w"]
    with pytest.raises(Taken, match="named in the configuration"):
        await projects.remove("w")
    await projects.stop()


async def test_a_known_project_whose_folder_is_not_there_is_degraded_until_it_is(
    service: EventService, tmp_path: Path
) -> None:
    root = tmp_path.resolve() / "usb"
    config = Config(projects=[ProjectSettings(path=str(root))])
    projects = Projects(service, config, folder(tmp_path, "state"))
    await projects.start()
    async with asyncio.timeout(10):
        await projects.settle()
        (usb,) = projects.all()
        assert (usb["id"], usb["state"]) == ("usb", "degraded")
        assert usb["error"] == f"root lost: {root} is not there"
        assert service.health().reasons == [f"project usb, root lost: {root} is not there"]

        root.mkdir()
        while projects.all()[0]["state"] != "watching":
            await asyncio.sleep(0)

    assert projects.all()[0]["error"] is None
    assert service.warnings == {}
    await projects.stop()


async def test_a_known_project_that_is_all_that_there_is_is_not_watched(
    service: EventService, tmp_path: Path
) -> None:
    config = Config(projects=[ProjectSettings(path="/"), ProjectSettings(path="~nobody-here/x")])
    projects = Projects(service, config, folder(tmp_path, "state"))
    await projects.start()

    assert projects.all() == []
    assert len(service.warnings) == 2
    await projects.stop()


class Stumbling:
    """A producer that fails at first: what must be staged."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.gap: str | None = None
        self.starts = 0

    async def events(self) -> AsyncGenerator[list[Event], None]:
        """Fail once, then yield two batches, the second of which repeats an id."""
        self.starts += 1
        self.ready.set()
        if self.starts == 1:
            raise OSError("the disk went away")
        yield [self.event("one", "T-1"), self.event("two", "T-2")]
        yield [self.event("one", "T-1 changed"), self.event("three", "T-3")]
        await asyncio.Event().wait()

    def event(self, event_id: str, task: str) -> Event:
        """Return a TASK_UPDATE."""
        return Event(
            type="TASK_UPDATE", data={"task_id": task, "status": "open"}, event_id=event_id
        )


async def test_a_producer_that_fails_is_told_and_started_again(
    projects: Projects, service: EventService, tmp_path: Path
) -> None:
    project = Project(ProjectSettings(path=str(tmp_path), id="web"), tmp_path)
    producer = Stumbling()
    running = asyncio.create_task(projects._producing._run(project, "tasks", producer))
    async with asyncio.timeout(10):
        while producer.starts == 0:
            await asyncio.sleep(0)
        while not service.warnings:
            await asyncio.sleep(0)
        assert project.state == "failed"
        assert project.as_dict()["error"] == "the disk went away"
        while service.warnings or service.log.last < 5:
            await asyncio.sleep(0)
    running.cancel()

    page = await service.log.read(0, Filter())
    events = [entry.event for entry in page.entries]  # type: ignore[union-attr]
    assert [event.event_id for event in events if event.type == "TASK_UPDATE"] == [
        "one",
        "two",
        "three",
    ]
    states = [event.data["event"] for event in events if event.type == "SYSTEM_STATUS"]
    assert states == ["producer_failed", "producer_recovered"]
    assert service.warnings == {}


class Late:
    """A producer that has always seen something late."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.gap: str | None = "not all can be watched"

    async def events(self) -> AsyncGenerator[list[Event], None]:
        """Yield batch after batch, of nothing."""
        self.ready.set()
        while True:
            await asyncio.sleep(0)
            yield []


async def test_a_project_that_is_ended_leaves_no_warning(
    projects: Projects, service: EventService, tmp_path: Path
) -> None:
    project = Project(ProjectSettings(path=str(tmp_path), id="web"), tmp_path)
    projects._projects["web"] = project
    projects._producing.start(project, "tasks", Late())
    async with asyncio.timeout(10), project.storing:
        dropping = asyncio.create_task(projects._drop("web"))
        await asyncio.sleep(0)
        projects._producing._note_gap(project, "tasks", "not all can be watched")
    await dropping

    assert service.warnings == {}


class Endless:
    """A producer that always has more to tell, and notes what was stored."""

    def __init__(self, noted: list[str]) -> None:
        self.ready = asyncio.Event()
        self.gap: str | None = None
        self.noted = noted

    async def events(self) -> AsyncGenerator[list[Event], None]:
        """Yield batch after batch."""
        self.ready.set()
        while True:
            event_id = f"e{len(self.noted)}"
            data = {"task_id": "T-1", "status": "open"}
            yield [Event(type="TASK_UPDATE", data=data, event_id=event_id)]
            self.noted.append(event_id)


async def test_a_producer_that_is_ended_has_noted_what_was_stored(
    projects: Projects, service: EventService, tmp_path: Path
) -> None:
    noted: list[str] = []
    for turns in range(40):
        project = Project(ProjectSettings(path=str(tmp_path), id="web"), tmp_path)
        projects._projects["web"] = project
        projects._producing.start(project, "tasks", Endless(noted))
        for _ in range(turns):
            await asyncio.sleep(0)
        await projects.stop()
        # What still waits in the queue is stored before this is.
        await service.publish(Event(type="TASK_UPDATE", data={"task_id": "T-2", "status": "open"}))

        page = await service.log.read(0, Filter(), limit=1000)
        ids = [entry.event.event_id for entry in page.entries]  # type: ignore[union-attr]
        assert [name for name in ids if name.startswith("e")] == noted


async def test_a_commit_is_told_while_projects_come_and_go(
    projects: Projects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await projects.add(folder(tmp_path, "web"))

    async def owns(producer: GitProducer, path: Path) -> bool:
        projects._projects["new"] = Project(ProjectSettings(path=str(path), id="new"), path)
        return False

    monkeypatch.setattr(GitProducer, "owns", owns)
    with pytest.raises(BadInput, match="not in a git repository"):
        await projects.commit(tmp_path, "HEAD")


def test_a_folders_name_makes_an_id() -> None:
    assert project_id_of(Path("/src/web")) == "web"
    assert project_id_of(Path("/src/a:b")) == "a_b"
    assert project_id_of(Path("/")) == "root"
    assert len(project_id_of(Path("/" + "x" * 99))) == 48
