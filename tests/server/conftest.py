"""What the tests of the server share: a real house, served inside the test's own event loop."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiohttp import web

from rtevents.config.paths import Paths
from rtevents.config.settings import Config
from rtevents.core.event import Event, Stored
from rtevents.core.filter import OWNER, Filter
from rtevents.core.forecast import Forecast
from rtevents.core.health import Thresholds
from rtevents.core.names import type_name
from rtevents.core.node import Nodes, together
from rtevents.core.service import EventService
from rtevents.core.store import Page, Store
from rtevents.daemon.sinks import Sinks
from rtevents.errors import EventConflict, NotFound, StoreError, Taken
from rtevents.server.app import create_runner
from rtevents.server.audit import Audit
from rtevents.server.browser import Browsers
from rtevents.server.door import Limits
from rtevents.server.entrance import Entrance
from rtevents.server.express import Express
from rtevents.server.fanout import Fanout
from rtevents.server.guard import Guard
from rtevents.server.keys import House
from rtevents.server.tokens import Tokens
from rtevents.stores import open_store
from rtevents.stores.memory import MemoryStore

from .readers import PATIENCE, Address, Socket, Stream, Wire, until

ROOMY = Thresholds(memory_bytes=1 << 40)
"""Thresholds that the memory of the tests' own process, whatever ran in it before, stays below."""


def task(number: int = 0, **fields: Any) -> Event:
    """Return a TASK_UPDATE; `fields` are those of the event."""
    data = {"task_id": f"T-{number}", "status": "open"}
    return Event(**{"type": "TASK_UPDATE", "data": data, **fields})


def risk(message: str = "disk nearly full", **fields: Any) -> Event:
    """Return a RISK_ALERT; `fields` are those of the event."""
    data = {"severity": "high", "message": message}
    return Event(**{"type": "RISK_ALERT", "data": data, **fields})


class StagedStore(MemoryStore):
    """A store in memory whose failures, and whose slowness to answer, can be staged."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: str | None = None
        """What appends and reads fail with; None for none."""
        self.answers = asyncio.Event()
        """Unset, an append is stored and not answered: the store is ahead of the log."""
        self.answers.set()
        self.transactions = 0
        """How many appends there were."""
        self.finds = asyncio.Event()
        """Unset, a search for an id waits."""
        self.finds.set()

    async def append(
        self, batches: Sequence[Sequence[Event]]
    ) -> list[list[Stored] | EventConflict]:
        """Append, unless a failure is staged; answer when that is allowed."""
        self._fail()
        self.transactions += 1
        answers = await super().append(batches)
        await self.answers.wait()
        return answers

    async def read(
        self,
        after: int,
        limit: int,
        wanted: Filter | None = None,
        *,
        until: int | None = None,
        wait: float = 0,
        newest_first: bool = False,
    ) -> Page:
        """Read, unless a failure is staged."""
        self._fail()
        return await super().read(
            after, limit, wanted, until=until, wait=wait, newest_first=newest_first
        )

    async def find(self, event_id: str) -> int | None:
        """Find, and answer when that is allowed."""
        found = await super().find(event_id)
        await self.finds.wait()
        return found

    def _fail(self) -> None:
        if self.failure:
            raise StoreError(self.failure)


class ListedProjects:
    """Projects that are listed, and not watched."""

    def __init__(self) -> None:
        self._projects: dict[str, dict[str, Any]] = {}

    def all(self) -> Sequence[dict[str, Any]]:
        """Return every project."""
        return list(self._projects.values())

    def tells_commits(self, project_id: str | None) -> bool:
        """Tell whether a project is listed: its repository counts as watched."""
        return project_id in self._projects

    async def add(self, path: Path, **settings: Any) -> tuple[dict[str, Any], bool]:
        """List a folder."""
        name = settings["id"] or path.name
        if known := self._projects.get(name):
            if known["path"] != str(path):
                raise Taken(f"project id {name!r} is taken by {known['path']}")
            return known, False
        self._projects[name] = {**settings, "id": name, "path": str(path)}
        return self._projects[name], True

    async def remove(self, project_id: str) -> None:
        """List a folder no more."""
        if self._projects.pop(project_id, None) is None:
            raise NotFound(f"no project {project_id!r}")

    def producers(self) -> dict[tuple[str, str], int]:
        """Return none: nothing is watched."""
        return {}

    async def commit(self, path: Path, revision: str) -> Stored:
        """Say that a commit is in the log already."""
        return Stored(f"git:{path.name}:{revision}", 1, duplicate=True)


class Answer(NamedTuple):
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        """The body's lines, decoded."""
        return [json.loads(line) for line in self.body.splitlines()]


class Caller:
    """Asks one address, always as the same principal."""

    def __init__(self, session: aiohttp.ClientSession, headers: Mapping[str, str]) -> None:
        self._session = session
        self._headers = headers

    async def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """
        Ask, and read the answer.

        Args:
            body: Bytes as they are, anything else as JSON; None for none.
        """
        sent = {**self._headers, **(headers or {})}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        data = io.BytesIO(body) if body and len(body) > 1_000_000 else body
        async with self._session.request(method, path, data=data, headers=sent) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def get(self, path: str, **headers: str) -> Answer:
        """Ask for something."""
        return await self.ask("GET", path, headers=headers)

    async def post(
        self, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send something."""
        return await self.ask("POST", path, body, headers)


class Server:
    """A house that is served on a Unix socket and on TCP."""

    def __init__(
        self, house: House, runner: web.AppRunner, folder: Path, limits: Limits | None = None
    ) -> None:
        self.house = house
        self.service = house.service
        self.fanout = house.fanout
        self.guard = house.guard
        self.socket = str(folder / "socket")
        self.tcp: tuple[str, int] = ("127.0.0.1", 0)
        self._runner = runner
        self._limits = limits
        self._sessions: list[aiohttp.ClientSession] = []
        self._wires: list[Wire] = []
        self._is_stopped = False
        self._listening: list[asyncio.Server] = []

    async def start(self) -> None:
        """Begin to accept."""
        await self.service.start()
        await self._runner.setup()
        assert self._runner.server is not None
        self._entrance = Entrance(self.house, self._runner.server, self._limits)
        await self.listen(Path(self.socket))
        tcp = await asyncio.get_running_loop().create_server(
            partial(Express, self._entrance), *self.tcp, backlog=1024
        )
        self._listening.append(tcp)
        self.tcp = ("127.0.0.1", tcp.sockets[0].getsockname()[1])
        self.guard.sites.listen(self.tcp[1])
        self.owner = self._caller(aiohttp.UnixConnector(self.socket), "http://localhost", {})

    async def listen(self, file: Path) -> None:
        """Accept on another Unix socket as well."""
        server = await asyncio.get_running_loop().create_unix_server(
            partial(Express, self._entrance), file, backlog=1024
        )
        self._listening.append(server)

    def hang_up(self) -> None:
        """Close the connections of the test's own that are left."""
        for wire in self._wires:
            wire.socket.close()

    async def stop(self) -> None:
        """Stop in the order of the daemon; whoever was here is forgotten then."""
        if self._is_stopped:
            return
        self._is_stopped = True
        async with asyncio.timeout(PATIENCE):
            await self.service.stop()
            for session in self._sessions:
                await session.close()
            for server in self._listening:
                server.close()
            await self._entrance.close()
            await self._runner.cleanup()
            await self.fanout.close()
            self.guard.audit.close()
        assert self.service.connections == {}
        assert self.house.members == {}
        assert not self.fanout._climbing
        assert not self.fanout._groups

    def bearer(self, role: str, **grant: Any) -> Caller:
        """Return a caller on TCP with a token of its own."""
        return self.caller(Authorization=f"Bearer {self.token(role, **grant)}")

    def caller(self, **headers: str) -> Caller:
        """Return a caller on TCP that sends these headers."""
        connector = aiohttp.TCPConnector()
        return self._caller(connector, f"http://127.0.0.1:{self.tcp[1]}", headers)

    def _caller(
        self, connector: aiohttp.BaseConnector, url: str, headers: Mapping[str, str]
    ) -> Caller:
        session = aiohttp.ClientSession(
            url,
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=PATIENCE),
            auto_decompress=False,
        )
        self._sessions.append(session)
        return Caller(session, headers)

    def token(self, role: str, **grant: Any) -> str:
        """Return the secret of a new token."""
        return self.guard.tokens.create(role, **grant)[1]

    def ticket(self) -> str:
        """Return a ticket that the owner made for the page at 127.0.0.1."""
        return self.guard.browsers.ticket(f"http://127.0.0.1:{self.tcp[1]}", "local:0", OWNER)

    async def publish(self, *events: Event) -> list[int]:
        """Store events; return their seqs."""
        return [stored.seq for stored in await self.service.publish_many(events)]

    async def fill(self, count: int, *, size: int = 1000) -> None:
        """Store many TASK_UPDATEs, `size` at a time."""
        for at in range(0, count, size):
            await self.publish(*(task(number) for number in range(at, min(at + size, count))))

    async def wire(self, address: Address | None = None) -> Wire:
        """Connect to the Unix socket, or to `address`."""
        wire = await Wire.open(address or self.socket)
        self._wires.append(wire)
        return wire

    async def stream(self, query: str = "", **headers: str) -> Stream:
        """Open a stream on the Unix socket."""
        return await Stream.open(await self.wire(), query, headers)

    async def ws(self, query: str = "", **headers: str) -> Socket:
        """Open a WebSocket on the Unix socket."""
        return await Socket.open(await self.wire(), query, headers)

    async def tcp_stream(self, query: str = "", **headers: str) -> Stream:
        """Open a stream by TCP; `headers` hold the credential."""
        return await Stream.open(await self.wire(self.tcp), query, {**self.host, **headers})

    async def narrow_stream(self, query: str = "") -> Stream:
        """Open a stream by TCP, with the smallest receive buffer."""
        wire = await Wire.open(self.tcp, receive_buffer=4096)
        self._wires.append(wire)
        headers = {"Authorization": f"Bearer {self.token('viewer')}", **self.host}
        return await Stream.open(wire, query, headers)

    async def alone(self) -> None:
        """Return when nobody is connected any more."""
        await until(lambda: not self.service.connections, "every connection is forgotten")

    @property
    def riding(self) -> list[int]:
        """How many ride with the same filter and the same encoding, for each such."""
        groups = self.fanout._groups.values()
        return sorted(len(part.members) for group in groups for part in group._parts.values())

    @property
    def host(self) -> Mapping[str, str]:
        """The Host header of a request that comes by TCP."""
        return {"Host": f"127.0.0.1:{self.tcp[1]}"}

    @property
    def bookmark(self) -> str:
        """The bookmark of the log's end."""
        return str(self.service.log.bookmark())


class Houses:
    """Puts houses together, and ends them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.servers: list[Server] = []

    async def open(
        self,
        store: Store | str = "memory",
        *,
        send_timeout: float = 30.0,
        pong_timeout: float = 10.0,
        dashboard_interval: float = 3.0,
        hosts: Iterable[str] = (),
        limits: Limits | None = None,
        **settings: Any,
    ) -> Server:
        """
        Return a server that accepts.

        Args:
            store: A store, or the URL of one.
            limits: What the door allows; the defaults when None.
            settings: Those of the ``EventService``.
        """
        folder = self._folder / str(len(self.servers))
        folder.mkdir()
        if isinstance(store, str):
            store = await open_store(store, path=folder / "events.db", durability="normal")
        service = EventService(
            store,
            **{
                "max_queue_size": 2000,
                "event_retention": 10_000,
                "thresholds": ROOMY,
                **settings,
            },
        )
        own_types: dict[str, dict[str, Any] | None] = {}

        async def add_type(name: str, schema: dict[str, Any] | None) -> None:
            service.types.add(name, None)
            own_types[type_name(name)] = schema

        async def reload() -> dict[str, Any]:
            return {"changed": [], "warnings": []}

        async def look() -> Nodes:
            return together([])

        async def rules() -> list[dict[str, Any]]:
            own = {"about": "x", "settings": {"count": 2}}
            return [
                {"name": "secret", "severity": "critical", "project_id": None, **own},
                {"name": "web-own", "severity": "low", "project_id": "web", **own},
                {"name": "api-own", "severity": "low", "project_id": "api", **own},
            ]

        house = House(
            service=service,
            fanout=Fanout(
                service,
                send_timeout=send_timeout,
                pong_timeout=pong_timeout,
                dashboard_interval=dashboard_interval,
            ),
            guard=Guard(
                Tokens(folder / "tokens.json"),
                Browsers(folder / "sessions.json"),
                Audit(folder / "audit.jsonl"),
                hosts=hosts,
            ),
            projects=ListedProjects(),
            sinks=Sinks(service, Config(), Paths(folder, folder, folder / "c"), list),
            forecast=Forecast(),
            status=lambda: {
                "listen": f"127.0.0.1:{opened.tcp[1]}",
                "url": f"http://127.0.0.1:{opened.tcp[1]}",
            },
            add_type=add_type,
            own_types=own_types,
            reload=reload,
            risk_rules=rules,
            nodes=lambda: together([]),
            look=look,
        )
        opened = Server(house, create_runner(house), folder, limits)
        self.servers.append(opened)
        await opened.start()
        return opened


@pytest.fixture
async def houses(tmp_path: Path) -> AsyncIterator[Houses]:
    """Return what puts houses together."""
    houses = Houses(tmp_path)
    yield houses
    for server in houses.servers:
        server.hang_up()
        await server.stop()


@pytest.fixture
async def server(houses: Houses) -> Server:
    """Return a server with the daemon's defaults, on a store in memory."""
    return await houses.open()
