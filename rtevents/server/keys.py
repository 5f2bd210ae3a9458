"""What handlers find in the application and in a request; and how JSON is answered."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
from aiohttp import web

from rtevents.core.connection import Connection
from rtevents.core.draft import not_json, refusal
from rtevents.core.event import NOT_JSON, Event, Stored
from rtevents.core.filter import EVERYTHING, Filter
from rtevents.core.forecast import Forecast
from rtevents.core.logs import MAIN, Routes, named
from rtevents.core.node import Nodes
from rtevents.core.service import EventService
from rtevents.errors import BadInput, EventTooLarge, RteventsError, outcome
from rtevents.server.fanout import Fanout
from rtevents.server.guard import Guard, Misdirected, Rule, UnsupportedMedia
from rtevents.server.joint import Joint
from rtevents.server.member import Member
from rtevents.server.principal import NOBODY, Principal

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Projects(Protocol):
    """What is watched; the daemon has it."""

    def all(self) -> Sequence[dict[str, Any]]:
        """Return every project with its state."""

    def tells_commits(self, project_id: str | None) -> bool:
        """Tell whether this project's repository is watched."""

    async def add(self, path: Path, **settings: Any) -> tuple[dict[str, Any], bool]:
        """Watch a folder from now on; return the project, and whether it is new."""

    async def remove(self, project_id: str) -> None:
        """Watch a project no more."""

    def producers(self) -> Mapping[tuple[str, str], int]:
        """Return how many producers there are of each kind in each state."""

    async def commit(self, path: Path, revision: str) -> Stored:
        """Publish a commit, or say where it is in the log already."""


class Sinks(Protocol):
    """What is done when something happens; the daemon has it."""

    def all(self) -> list[dict[str, Any]]:
        """Return every sink with its state."""

    def one(self, name: str) -> dict[str, Any]:
        """Return one of them."""

    async def catch_up(self) -> None:
        """Return when what was trusted, or refused, before is known."""

    async def dead(self, name: str) -> tuple[list[Any], int]:
        """Return the dead letters of a sink, as many as an answer takes, and how many there are."""

    async def replay(self, name: str, letter_id: str) -> int:
        """Have one letter, or all, done again; return how many."""

    async def discard(self, name: str, letter_id: str) -> int:
        """Forget one letter, or all; return how many."""

    def resume(self, name: str) -> None:
        """Have a sink that rests try now."""


class Spool(Protocol):
    """What waits on disk until a log answers; the daemon has it."""

    waiting: int
    """Events that wait."""

    size_bytes: int
    """Bytes that wait."""

    max_bytes: int
    """Bytes that may wait; 0 where nothing is kept so."""


class House(msgspec.Struct):
    """
    The rooms that a handler may enter.

    Args:
        service: The event service.
        fanout: Every stream of its log.
        guard: Who may come in.
        projects: What is watched.
        sinks: What is done when something happens.
        forecast: What is usual in them.
        status: Returns what ``GET /v1/status`` tells.
        add_type: Adds an event type of the user's own: its name and its JSON Schema.
        own_types: The JSON Schema of each event type of the user's own; None for any object.
        reload: Reads the configuration again; returns what ``POST /v1/reload`` tells.
        risk_rules: Returns what ``GET /v1/risks/rules`` tells.
        nodes: Returns the daemons that share the log, as they were heard last.
        look: Returns them as they are just now.
    """

    service: EventService
    fanout: Fanout
    guard: Guard
    projects: Projects
    sinks: Sinks
    forecast: Forecast
    status: Callable[[], dict[str, Any]]
    add_type: Callable[[str, dict[str, Any] | None], Awaitable[None]]
    own_types: dict[str, dict[str, Any] | None]
    reload: Callable[[], Awaitable[dict[str, Any]]]
    risk_rules: Callable[[], Awaitable[list[dict[str, Any]]]]
    nodes: Callable[[], Nodes]
    look: Callable[[], Awaitable[Nodes]]
    spools: Mapping[str, Spool] = {}
    """What waits for each log, by its name."""
    log: str = MAIN
    """The name of the log that `service` has."""
    routes: Routes | None = None
    """Which log has which project; None where there is one log."""
    logs: dict[str, House] = {}
    """The same rooms for each log, by its name, where there are several."""
    joint: Joint | None = None
    """What has the stream of these rooms, if that is over several logs."""
    members: dict[str, Member] = {}
    """The stream of each open connection, by connection id."""
    followers: set[Connection] = set()
    """The streams whose connections are not aiohttp's any more."""
    all_gone: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    """Set when the last of those has gone."""

    @property
    def streams(self) -> Fanout | Joint:
        """What has the streams of these rooms."""
        return self.joint or self.fanout

    def of(self, events: Sequence[Event]) -> House:
        """
        Return the rooms of the log to which events go.

        Raises:
            EventRefused: They go to several.
        """
        return self if self.routes is None else self.logs[self.routes.log_of_all(events)]

    def within(self, wanted: Filter, held: Filter = EVERYTHING) -> list[House]:
        """
        Return the rooms of each log in which to look for what a filter wants; see ``Routes``.

        Args:
            held: All that who asks may have.
        Raises:
            FilterError: It names another log.
        """
        if self.routes is None:
            return [self for _ in named(wanted, [self.log])]
        return [self.logs[name] for name in self.routes.within(wanted, held)]

    def one(self, wanted: Filter, held: Filter = EVERYTHING) -> House:
        """
        Return the rooms of the one log in which to look for what a filter wants; as ``within``.

        Raises:
            BadInput: There are several.
            FilterError: It names another log.
        """
        first, *others = self.within(wanted, held)
        if others:
            names = ", ".join(house.log for house in [first, *others])
            raise BadInput(
                f"this is in several logs ({names}), and is asked of one: name it "
                f"(--log {first.log}, or log={first.log} in a request), or its projects",
                field="log",
            )
        return first

    def furnish(self, routes: Routes, rooms: Mapping[str, tuple[EventService, Fanout]]) -> None:
        """
        Make rooms for logs besides this one.

        Args:
            routes: Which log has which project.
            rooms: The service and the streams of each further log, by its name.
        """
        self.routes = routes
        self.logs[self.log] = self
        for name, (service, fanout) in rooms.items():
            self.logs[name] = msgspec.structs.replace(
                self, log=name, service=service, fanout=fanout
            )

    def join(self, houses: Sequence[House]) -> Joint:
        """Return what has the streams over several logs."""
        return Joint(self.fanout, {house.log: house.service for house in houses})

    @property
    def each(self) -> list[House]:
        """The rooms of each log."""
        return list(self.logs.values()) or [self]

    def home(self, connection_id: str) -> House:
        """Return the rooms where a connection is; of the main log where there is none."""
        found = (each for each in self.each if connection_id in each.service.connections)
        return next(found, self)


class TooSlow(RteventsError):  # noqa: N818 - named for the reader's situation
    """A request did not come in time (RFC 9110, section 15.5.9)."""


HOUSE = web.AppKey("house", House)
PRINCIPAL = web.RequestKey("principal", Principal)
RULE = web.RequestKey("rule", Rule)
SECRET = web.RequestKey("secret", str)
"""The token that came as the first message of a WebSocket."""


def answer(
    value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return a JSON response."""
    return web.Response(
        body=_json.encode(value), status=status, headers=headers, content_type="application/json"
    )


def problem(error: RteventsError, status: int | None = None) -> web.Response:
    """Return an error as ``application/problem+json`` (RFC 9457)."""
    fields = problem_fields(error, status)
    headers = {}
    if (retry_after := getattr(error, "retry_after", None)) is not None:
        headers["Retry-After"] = retry_seconds(retry_after)
    if fields["status"] == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return web.Response(
        body=_json.encode(fields),
        status=fields["status"],
        headers=headers,
        content_type="application/problem+json",
    )


def retry_seconds(seconds: float) -> str:
    """Return what a Retry-After header says: whole seconds, at least one (RFC 9110, 10.2.3)."""
    return str(max(1, math.ceil(seconds)))


STATUSES: dict[type[RteventsError], int] = {Misdirected: 421, UnsupportedMedia: 415, TooSlow: 408}
"""Statuses of errors that only HTTP knows."""


def problem_of(error: BaseException) -> web.Response:
    """Return what a request is answered that failed."""
    told = told_of(error)
    return problem(told, STATUSES.get(type(told)))


def told_of(error: BaseException) -> RteventsError:
    """Return what a client is told of an error; a bug of ours is told in the log alone."""
    if isinstance(error, RteventsError):
        return error
    logger.error("a request failed", exc_info=error)
    return RteventsError("the daemon failed to answer; its log tells why")


def problem_fields(error: RteventsError, status: int | None = None) -> dict[str, Any]:
    """Return what is told of an error: ``type title status detail``, and where it is."""
    status = status or outcome(error)[0]
    fields: dict[str, Any] = {
        "type": "about:blank",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": str(error),
    }
    for name in ("index", "field", "event_id", "seq"):
        if (value := getattr(error, name, None)) is not None:
            fields[name] = value
    return fields


TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    421: "Misdirected Request",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
"""The phrase of each status that is answered (RFC 9110, section 15)."""


async def read_json(request: web.Request, kind: type[T]) -> T:
    """
    Return the request's body as `kind`.

    Raises:
        UnsupportedMedia: It is not said to be JSON: a page of another site could send it (S4).
        BadInput: It is not that; or as ``read_body``.
    """
    if request.content_type != "application/json":
        raise UnsupportedMedia(
            f"content type {request.content_type!r} is not taken: send application/json"
        )
    return decode(await read_body(request), kind)


MAX_STRANGERS = 16 * 1024
"""Longest body of who has shown no credential, in bytes: it lies in memory until it is whole."""


async def read_body(request: web.Request) -> bytes:
    """
    Return the request's body.

    Raises:
        UnsupportedMedia: It is compressed: a little would become much (S18).
        EventTooLarge: It says that it is too long, or is a stranger's and does not say; none of it
            was waited for.
        NotAllowed: The credential counts no more: a body may take its time, and what it asks for
            is done only now.
    """
    if "Content-Encoding" in request.headers:
        raise UnsupportedMedia("a compressed body is not taken: send it as it is")
    most, length = request.client_max_size, request.content_length
    if request[PRINCIPAL].grant is NOBODY:
        # What does not say how long it is may be too long.
        most, length = MAX_STRANGERS, most if length is None else length
    if (length or 0) > most:
        raise EventTooLarge(f"a request of more than {most} bytes")
    body = await request.read()
    request.app[HOUSE].guard.confirm(request, request[PRINCIPAL])
    return body


def decode(raw: bytes, kind: type[T]) -> T:
    """
    Read JSON as `kind`, with a clear word for what is wrong with it.

    Raises:
        BadInput: It is not that.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        refused = refusal(error)
        raise BadInput(str(refused), field=refused.field) from error
    except NOT_JSON as error:
        raise BadInput(not_json(error)) from error


def query_of(request: web.Request, known: frozenset[str]) -> dict[str, list[str]]:
    """
    Return the values of each key of the query string.

    Raises:
        BadInput: There is a key that is not known.
    """
    query = {key: request.query.getall(key) for key in request.query}
    if unknown := sorted(set(query) - known):
        names = ", ".join(sorted(known))
        raise BadInput(f"unknown parameter {unknown[0][:40]!r}, expected one of {names}")
    return query


_json = msgspec.json.Encoder()
