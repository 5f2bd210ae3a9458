"""run(config): start in order, serve until told to end, stop in reverse."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from rtevents.config.paths import Paths
from rtevents.config.settings import Config, parse_listen
from rtevents.core.service import EventService, Retention
from rtevents.daemon.place import BACKLOG, bind, inherited, lock, make_folders
from rtevents.daemon.projects import Projects
from rtevents.daemon.spool import deliver
from rtevents.daemon.types import OwnTypes
from rtevents.errors import EXIT_INTERRUPTED, RteventsError
from rtevents.server.app import create_runner
from rtevents.server.express import Entrance
from rtevents.server.fanout import Fanout
from rtevents.server.guard import Guard, Tokens
from rtevents.server.keys import House
from rtevents.stores import open_store

logger = logging.getLogger(__name__)

SWITCH_SECONDS = 0.001
"""How long a thread waits for the interpreter: the writer does for each statement, and the event
loop under load does not let go by itself."""

COLLECT_AFTER = 20_000
"""New objects after which the garbage collector looks at them: what an event leaves is no cycle."""

GIT_VARIABLES = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
"""What `git rev-parse --local-env-vars` names: a daemon started from a hook must not keep them."""


class Running(msgspec.Struct):
    """
    A daemon that is up.

    Args:
        socket: The Unix socket on which it listens.
        listen: ``host:port`` on which it listens; None for none.
        warnings: What could not be done, in words.
        projects: The ids of what it watches.
        bookmark: The end of the log when it came up.
    """

    socket: Path
    listen: str | None = None
    warnings: list[str] = []
    projects: list[str] = []
    bookmark: str = ""


def run(
    config: Config,
    paths: Paths,
    *,
    projects: Sequence[Path] = (),
    on_ready: Callable[[Running], None] | None = None,
) -> int:
    """
    Run the daemon until SIGTERM or SIGINT.

    Args:
        projects: Folders to watch besides those that are known.
        on_ready: Called once, when events are accepted and projects are watched.
    Returns:
        The exit code.
    Raises:
        Taken: Another daemon runs.
        ConfigError: A folder or a setting cannot be used.
        StoreError: The store cannot be opened.
    """
    for name in GIT_VARIABLES:
        os.environ.pop(name, None)
    make_folders(paths)
    sys.setswitchinterval(SWITCH_SECONDS)
    with lock(paths), asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(config, paths, projects, on_ready))
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _serve(
    config: Config,
    paths: Paths,
    folders: Sequence[Path],
    on_ready: Callable[[Running], None] | None,
) -> None:
    stopping = _watch_signals()
    async with _open(config, paths, folders) as running:
        if on_ready:
            on_ready(running)
        # What is there now stays: the collector need not go through it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER)
        await stopping.wait()
        logger.info("stopping")


@asynccontextmanager
async def _open(config: Config, paths: Paths, folders: Sequence[Path]) -> AsyncIterator[Running]:
    """Put the house together; leaving it stops everything in reverse."""
    running = Running(paths.socket)
    own_types = OwnTypes(config, paths.state / "types.json")
    store = await open_store(config.store, path=paths.database, durability=config.durability)
    service = EventService(
        store,
        max_queue_size=config.max_queue_size,
        max_queue_bytes=config.max_queue_bytes,
        event_retention=config.event_retention,
        window_bytes=config.window_bytes,
        cleanup_timeout=config.cleanup_timeout,
        heartbeat_interval=config.heartbeat_interval,
        queue_timeout=config.queue_timeout,
        retention=Retention(**msgspec.structs.asdict(config.retention)),
        types=own_types.types,
    )
    fanout = Fanout(service, send_timeout=config.send_timeout, pong_timeout=config.pong_timeout)
    guard = Guard(
        Tokens(paths.state / "tokens.json"),
        sessions=paths.state / "sessions.json",
        hosts=config.hosts,
    )
    projects = Projects(service, config, paths.state)
    house = House(
        service=service,
        fanout=fanout,
        guard=guard,
        projects=projects,
        status=_status(config, running),
        add_type=own_types.add,
        own_types=own_types.schemas,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(fanout.close)
        server = create_runner(house)
        stack.push_async_callback(server.cleanup)
        await stack.enter_async_context(service)
        running.bookmark = str(service.log.bookmark())
        await server.setup()
        listening = inherited(os.environ)
        if listening is None:
            listening = bind(paths.socket)
            stack.callback(paths.socket.unlink, missing_ok=True)
        if server.server is None:
            raise RuntimeError("the server was not set up")
        entrance = Entrance(house, server.server)
        stack.push_async_callback(entrance.close)
        loop = asyncio.get_running_loop()
        local = await loop.create_server(entrance, sock=listening, backlog=BACKLOG)
        stack.callback(local.close)
        if tcp := await _listen(config, entrance, guard, running):
            stack.callback(tcp.close)
        spool = asyncio.create_task(deliver(service, paths.spool), name="rtevents spool")
        stack.push_async_callback(_cancel, spool)
        stack.push_async_callback(projects.stop)
        await projects.start()
        for folder in folders:
            await _add(projects, folder, running)
        await projects.settle()
        running.projects = [project["id"] for project in projects.all()]
        yield running


async def _listen(
    config: Config, entrance: Entrance, guard: Guard, running: Running
) -> asyncio.Server | None:
    """Listen on TCP; a port that is taken is a warning, the socket goes on (DESIGN section 7)."""
    address = parse_listen(config.listen)
    if address is None:
        return None
    host, port = address
    try:
        server = await asyncio.get_running_loop().create_server(
            entrance, host, port, backlog=BACKLOG
        )
    except OSError as error:
        running.warnings.append(f"not listening on {config.listen}: {error.strerror or error}")
        return None
    bound = server.sockets[-1].getsockname()[1]
    guard.listen(bound)
    shown = f"[{host}]" if ":" in host else host
    running.listen = f"{shown}:{bound}"
    return server


async def _add(projects: Projects, folder: Path, running: Running) -> None:
    try:
        await projects.add(folder)
    except RteventsError as error:
        running.warnings.append(str(error))


def _status(config: Config, running: Running) -> Callable[[], dict[str, Any]]:
    started_at = time.time()

    def status() -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "started_at": started_at,
            "socket": str(running.socket),
            "listen": running.listen,
            "listen_error": next(iter(running.warnings), None) if not running.listen else None,
            "store": config.store,
            "durability": config.durability,
        }

    return status


def _watch_signals() -> asyncio.Event:
    """Return the event that the first signal sets; the second ends the process at once."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopping.is_set():
            # The log is consistent at any moment: nothing acknowledged is lost by this.
            os._exit(EXIT_INTERRUPTED)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    return stopping


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
