"""run(config): start in order, serve until told to end, stop in reverse."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from rtevents.config.paths import Paths
from rtevents.config.settings import LOOPBACK, Config, parse_listen
from rtevents.core.forecast import Forecast
from rtevents.core.logs import MAIN
from rtevents.core.service import EventService
from rtevents.daemon.access import open_guard
from rtevents.daemon.check import open_certificate
from rtevents.daemon.delivery import deliver
from rtevents.daemon.forecast import learn, learn_history
from rtevents.daemon.nodes import NodeBook
from rtevents.daemon.notify import Notifier
from rtevents.daemon.own import of_log, open_own, watch_own, watch_part
from rtevents.daemon.parts import Parts, open_parts
from rtevents.daemon.place import bind, inherited, let_wait, lock, make_folders
from rtevents.daemon.process import Signals, Threads, give_back_memory, loop_factory, prepare
from rtevents.daemon.projects import Projects
from rtevents.daemon.reload import Reload
from rtevents.daemon.sinks import Sinks
from rtevents.daemon.types import OwnTypes
from rtevents.errors import RteventsError
from rtevents.server.app import create_runner
from rtevents.server.door import ACCEPT_AT_ONCE, Limits
from rtevents.server.entrance import Entrance
from rtevents.server.express import Express
from rtevents.server.fanout import Fanout
from rtevents.server.guard import Guard
from rtevents.server.keys import House
from rtevents.server.tls import Certificate
from rtevents.server.visitor import check_parser
from rtevents.stores import store_name

logger = logging.getLogger(__name__)

COLLECT_AFTER = 20_000
"""New objects after which the garbage collector looks at them: what an event leaves is no cycle."""


class Running(msgspec.Struct):
    """
    A daemon that is up.

    Args:
        socket: The Unix socket on which it listens.
        listen: ``host:port`` on which it listens; None for none.
        listen_error: Why it does not, though it was to; one of the warnings.
        url: Where browsers and clients find that.
        warnings: What could not be done, in words.
        projects: The ids of what it watches.
        bookmark: The end of the log when it came up.
    """

    socket: Path
    listen: str | None = None
    listen_error: str | None = None
    url: str | None = None
    warnings: list[str] = []
    projects: list[str] = []
    bookmark: str = ""


def run(
    config: Config,
    paths: Paths,
    *,
    projects: Sequence[Path] = (),
    strict: bool = False,
    on_ready: Callable[[Running], None] | None = None,
) -> int:
    """
    Run the daemon until SIGTERM or SIGINT; SIGHUP reads the configuration again.

    Args:
        projects: Folders to watch besides those that are known.
        strict: Refuse a log that is damaged, rather than put it aside and begin a new one.
        on_ready: Called once, when events are accepted and projects are watched.
    Returns:
        The exit code.
    Raises:
        RteventsError: aiohttp's parser in C is missing.
        Taken: Another daemon runs.
        ConfigError: A folder or a setting cannot be used.
        StoreError: The store cannot be opened.
    """
    check_parser()
    environ = dict(os.environ)
    prepare()
    make_folders(paths)
    factory = loop_factory(config.event_loop)
    with lock(paths), asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(config, paths, projects, on_ready, environ, strict=strict))
    return 0


async def _serve(
    config: Config,
    paths: Paths,
    folders: Sequence[Path],
    on_ready: Callable[[Running], None] | None,
    environ: Mapping[str, str],
    *,
    strict: bool,
) -> None:
    asyncio.get_running_loop().set_default_executor(Threads())
    signals, notifier = Signals(), Notifier(os.environ)
    opening = _open(config, paths, folders, notifier, environ, strict=strict)
    async with opening as (running, reload):
        if on_ready:
            on_ready(running)
        notifier.tell("READY")
        # What is there now stays: the collector need not go through it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER)
        reloading = asyncio.create_task(reload.follow(signals.reload), name="rtevents reload")
        trimming = asyncio.create_task(give_back_memory(), name="rtevents memory")
        await signals.stop.wait()
        logger.info("stopping")
        notifier.tell("STOPPING")
        await _cancel(reloading)
        await _cancel(trimming)


@asynccontextmanager
async def _open(
    config: Config,
    paths: Paths,
    folders: Sequence[Path],
    notifier: Notifier,
    environ: Mapping[str, str],
    *,
    strict: bool,
) -> AsyncIterator[tuple[Running, Reload]]:
    """Put the house together; leaving it stops everything in reverse."""
    running = Running(paths.socket)
    own_types = OwnTypes(config, paths.types)
    parts = await open_parts(config, paths, own_types.types, strict=strict)
    service, logs = parts.main, parts.services
    fanouts = {name: _fanout(config, each) for name, each in logs.items()}
    fanout = fanouts[MAIN]
    guard = open_guard(config, paths, service)
    forecast = Forecast()
    spools, store = parts.spools, parts.stores[MAIN]
    projects = Projects(service, config, paths.state, paths.own, forecast, spools, parts.logs)
    further = [(each, spools.each[name]) for name, each in parts.others.items()]
    nodes = NodeBook(
        service, store, spools.of(None), config=config, state=paths.state, further=further
    )
    sinks = Sinks(service, config, paths, projects.all, parts.logs)
    certificate = open_certificate(config)
    reload = Reload(
        config,
        paths,
        parts=parts,
        guard=guard,
        projects=projects,
        sinks=sinks,
        types=own_types,
        certificate=certificate,
        notifier=notifier,
        environ=environ,
    )
    house = House(
        service=service,
        fanout=fanout,
        guard=guard,
        projects=projects,
        sinks=sinks,
        forecast=forecast,
        status=_status(config, running, parts),
        add_type=own_types.add,
        own_types=own_types.schemas,
        reload=reload,
        risk_rules=projects.risk_rules,
        nodes=nodes.all,
        look=nodes.look,
        spools=spools.each,
    )
    _furnish(house, parts, fanouts)

    def own(name: str, log: EventService) -> Coroutine[Any, Any, None]:
        node = nodes.name if name == MAIN and store.is_shared else ""
        known = open_own(
            config, log, fanouts[name], projects=projects, places=paths.state, node=node
        )
        known = of_log(known, name, parts.routes) if parts.others else known
        watch = watch_own if name == MAIN else watch_part
        return watch(known, spools.each[name])

    async with AsyncExitStack() as stack:
        stack.callback(guard.audit.close)
        for room in fanouts.values():
            stack.push_async_callback(room.close)
        server = create_runner(house)
        stack.push_async_callback(server.cleanup)
        for each in logs.values():
            await stack.enter_async_context(each)
        running.bookmark = str(service.log.bookmark())
        await server.setup()
        listening = inherited(os.environ)
        if listening is None:
            listening = bind(paths.socket)
            stack.callback(paths.socket.unlink, missing_ok=True)
        if server.server is None:
            raise RuntimeError("the server was not set up")
        entrance = Entrance(house, server.server, _limits(config))
        stack.push_async_callback(entrance.close)
        express = partial(Express, entrance)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(entrance.door.hear)
        local = await loop.create_server(express, sock=listening, backlog=ACCEPT_AT_ONCE)
        let_wait(local)
        stack.callback(local.close)
        if tcp := await _listen(config, certificate, express, guard, running):
            stack.callback(tcp.close)
        await stack.enter_async_context(spools)
        # Drained while it still listens: who comes meanwhile is answered, by 503.
        for each in logs.values():
            stack.push_async_callback(each.drain)
        _start(stack, {"spool": deliver(parts.logs, paths.spool), "logs": parts.watch()})
        _start(stack, {f"spool {n}": each.run() for n, each in spools.each.items()})
        stack.push_async_callback(nodes.leave)
        _start(stack, {"node": nodes.run()})
        _start(stack, {f"forecast {n}": learn(each, forecast) for n, each in logs.items()})
        stack.push_async_callback(sinks.stop)
        sinks.start()
        stack.push_async_callback(projects.stop)
        await projects.start()
        # After them: a project that is not known yet is no project that is watched no more.
        _start(stack, {f"own {name}": own(name, each) for name, each in logs.items()})
        for folder in folders:
            await _add(projects, folder, running)
        await projects.settle()
        running.projects = [project["id"] for project in projects.all()]
        # Last: nobody waits for it.
        studying = asyncio.create_task(
            learn_history(forecast, projects.known, config.git.timeout), name="rtevents history"
        )
        stack.push_async_callback(_cancel, studying)
        telling = asyncio.create_task(notifier.run(_one_line(service)), name="rtevents notify")
        stack.push_async_callback(_cancel, telling)
        yield running, reload


def _start(stack: AsyncExitStack, works: Mapping[str, Coroutine[Any, Any, None]]) -> None:
    """Begin tasks, by their names; they end with the stack."""
    for name, work in works.items():
        stack.push_async_callback(_cancel, asyncio.create_task(work, name=f"rtevents {name}"))


def _fanout(config: Config, service: EventService) -> Fanout:
    return Fanout(
        service,
        send_timeout=config.send_timeout,
        pong_timeout=config.pong_timeout,
        dashboard_interval=config.health.dashboard_interval,
    )


def _furnish(house: House, parts: Parts, fanouts: Mapping[str, Fanout]) -> None:
    """Let a house know the rooms of each log, where there are several."""
    if parts.others:
        rooms = {name: (each, fanouts[name]) for name, each in parts.others.items()}
        house.furnish(parts.routes, rooms)


def _one_line(service: EventService) -> Callable[[], str]:
    """Return what tells the service manager how the daemon is."""

    def status() -> str:
        health = service.health()
        # A reason may name a file, whose name may have a line's end: what follows would be a word
        # of its own to the service manager.
        reasons = " ".join("; ".join(health.reasons).split())
        return (
            f"{health.status}{reasons and ': '}{reasons} · {service.log.last} events, "
            f"{len(service.connections)} connections"
        )

    return status


async def _listen(
    config: Config,
    certificate: Certificate | None,
    express: Callable[[], Express],
    guard: Guard,
    running: Running,
) -> asyncio.Server | None:
    """Listen on TCP; what keeps us from it is a warning, the socket goes on (DESIGN section 7)."""
    address = parse_listen(config.listen)
    if address is None:
        return None
    host, port = address
    if host not in LOOPBACK and not guard.has_credentials:
        running.listen_error = (
            f"not listening on {config.listen}: no token lets anybody in; first: rtevents token "
            "create, then rtevents stop and serve"
        )
        running.warnings.append(running.listen_error)
        return None
    try:
        server = await asyncio.get_running_loop().create_server(
            express,
            host,
            port,
            backlog=ACCEPT_AT_ONCE,
            ssl=certificate.context if certificate else None,
            ssl_handshake_timeout=config.head_timeout if certificate else None,
        )
    except OSError as error:
        running.listen_error = f"not listening on {config.listen}: {error.strerror or error}"
        running.warnings.append(running.listen_error)
        return None
    let_wait(server)
    bound = server.sockets[-1].getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    guard.sites.scheme = "https" if certificate else "http"
    guard.sites.listen(bound, *([] if host in LOOPBACK or host in ANY else [shown]))
    running.listen = f"{shown}:{bound}"
    # A certificate is a name's, and no address of "any interface" is one to go to.
    named = next(iter(config.hosts), None) if certificate else None
    running.url = f"{guard.sites.scheme}://" + (
        named or (f"localhost:{bound}" if host in ANY else running.listen)
    )
    return server


ANY = ("0.0.0.0", "::")  # noqa: S104 - to know them
"""Addresses that stand for every interface."""


def _limits(config: Config) -> Limits:
    return Limits(
        connections=config.max_connections,
        each=config.max_connections_each,
        head_timeout=config.head_timeout,
        body_timeout=config.body_timeout,
        keep_alive=config.keep_alive,
        send_timeout=config.send_timeout,
    )


async def _add(projects: Projects, folder: Path, running: Running) -> None:
    try:
        await projects.add(folder)
    except RteventsError as error:
        running.warnings.append(str(error))


def _status(config: Config, running: Running, parts: Parts) -> Callable[[], dict[str, Any]]:
    started_at = time.time()

    def status() -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "started_at": started_at,
            "socket": str(running.socket),
            "listen": running.listen,
            "url": running.url,
            "listen_error": running.listen_error,
            "store": store_name(config.store),
            "durability": parts.durability(MAIN),
            "spooled": sum(each.waiting for each in parts.spools.each.values()),
            **({"logs": parts.told()} if parts.others else {}),
        }

    return status


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
