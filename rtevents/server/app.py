"""The application and its route table."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from importlib.resources import files

import msgspec
from aiohttp import web

from rtevents.core.health import Health
from rtevents.core.node import Nodes
from rtevents.errors import (
    BadInput,
    EventTooLarge,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    RteventsError,
)
from rtevents.server import admin, analytics, requests, sinks
from rtevents.server.answers.access import (
    Credentials,
    LoggedIn,
    MadeTicket,
    MadeToken,
    OwnCredential,
)
from rtevents.server.answers.analysis import Analytics, Predictions
from rtevents.server.answers.connections import ChangedFilter, Connections
from rtevents.server.answers.daemon import Alive, Reloaded, Statistics, Status
from rtevents.server.answers.events import HistoryPage, Published
from rtevents.server.answers.projects import WatchedProject, WatchedProjects
from rtevents.server.answers.reference import Reference, StreamReference, TypeReference, Types
from rtevents.server.answers.risks import RiskRules
from rtevents.server.answers.sinks import Count, DeadLetters, Sinks, SinkState
from rtevents.server.asyncapi import asyncapi
from rtevents.server.door import NoRoom
from rtevents.server.guard import NOTHING, PREFLIGHT, Rule
from rtevents.server.history import history
from rtevents.server.keys import HOUSE, PRINCIPAL, RULE, House, answer, problem, problem_of
from rtevents.server.metrics import REGISTRY, metrics, registry_of
from rtevents.server.principal import NOBODY
from rtevents.server.publish import publish
from rtevents.server.reference import openapi
from rtevents.server.stream import stream, websocket
from rtevents.server.visitor import claim

logger = logging.getLogger(__name__)

MAX_REQUEST = 16 * 1024 * 1024
"""Largest body of a request, in bytes (DESIGN section 6)."""

ANY = "any"
"""Stands for a role where any credential will do."""

STREAM = "/v1/events/stream"
WEBSOCKET = "/v1/events/ws"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Route(msgspec.Struct, frozen=True):
    """
    A row of the route table.

    Args:
        role: The role that it needs; ``ANY`` for any credential, the empty string for none.
        is_whole: Whether it concerns every project and type: a limited grant is not enough.
        query: What its query string holds; None for nothing.
        takes: What its body holds; None for no body.
        is_optional: Whether that body may be left out.
        gives: What its answer holds; None for nothing.
        statuses: Those of a request that was done.
    """

    method: str
    path: str
    handler: Handler
    role: str
    is_whole: bool = False
    query: type[msgspec.Struct] | None = None
    takes: type[msgspec.Struct] | None = None
    is_optional: bool = False
    gives: type[msgspec.Struct] | None = None
    statuses: tuple[int, ...] = (200,)

    @property
    def rule(self) -> Rule:
        """What the guard asks for."""
        is_data = self.path.startswith("/v1/events")
        return Rule(
            f"{self.method} {self.path}",
            "" if self.role == ANY else self.role,
            is_public=not self.role,
            is_whole=self.is_whole,
            is_change=self.method not in ("GET", "HEAD") and not is_data and bool(self.role),
            is_late=self.path == WEBSOCKET,
        )


async def _openapi(request: web.Request) -> web.Response:
    """Return this reference of the interface (OpenAPI 3.1)."""
    return answer(openapi(ROUTES, admin.payloads(request.app[HOUSE])))


async def _asyncapi(request: web.Request) -> web.Response:
    """Return the reference of the streams (AsyncAPI 3.0)."""
    house = request.app[HOUSE]
    return answer(asyncapi(admin.payloads(house), house.status()["listen"]))


CREATED = (201,)
GONE = (204,)

ROUTES = (
    Route(
        "POST", "/v1/events", publish, "publisher",
        takes=requests.NewEvent, gives=Published, statuses=CREATED,
    ),
    Route(
        "GET", "/v1/events", history, "viewer",
        query=requests.HistoryQuery, gives=HistoryPage,
    ),
    Route("GET", STREAM, stream, "viewer", query=requests.StreamQuery),
    Route("GET", WEBSOCKET, websocket, "viewer", query=requests.StreamQuery, statuses=(101,)),
    Route("GET", "/v1/types", admin.types, "viewer", gives=Types),
    Route(
        "POST", "/v1/types", admin.add_type, "owner", is_whole=True,
        takes=requests.NewType, gives=TypeReference, statuses=CREATED,
    ),
    Route("GET", "/v1/types/{name}", admin.one_type, "viewer", gives=TypeReference),
    Route("GET", "/v1/connections", admin.connections, "admin", gives=Connections),
    Route(
        "PATCH", "/v1/connections/{id}", admin.change_connection, "admin",
        takes=requests.NewFilter, gives=ChangedFilter,
    ),
    Route("DELETE", "/v1/connections/{id}", admin.close_connection, "admin", statuses=GONE),
    Route(
        "GET", "/v1/analytics", analytics.analytics, "viewer",
        query=requests.AnalyticsQuery, gives=Analytics,
    ),
    Route(
        "GET", "/v1/predictions", analytics.predictions, "viewer",
        query=requests.PredictionQuery, gives=Predictions,
    ),
    Route(
        "GET", "/v1/stats", admin.stats, "admin",
        query=requests.StatsQuery, gives=Statistics,
    ),
    Route("GET", "/v1/status", admin.status, "admin", gives=Status),
    Route("GET", "/v1/nodes", admin.nodes, "admin", is_whole=True, gives=Nodes),
    Route("POST", "/v1/reload", admin.reload, "owner", is_whole=True, gives=Reloaded),
    Route("GET", "/v1/projects", admin.projects, "admin", gives=WatchedProjects),
    Route(
        "POST", "/v1/projects", admin.add_project, "owner", is_whole=True,
        takes=requests.NewProject, gives=WatchedProject, statuses=(200, 201),
    ),
    Route(
        "DELETE", "/v1/projects/{id}", admin.remove_project, "owner", is_whole=True, statuses=GONE
    ),
    Route("GET", "/v1/risks/rules", admin.risk_rules, "admin", gives=RiskRules),
    Route("GET", "/v1/sinks", sinks.sinks, "admin", is_whole=True, gives=Sinks),
    Route(
        "GET", "/v1/sinks/{name}/dead", sinks.dead, "admin", is_whole=True,
        gives=DeadLetters,
    ),
    Route(
        "POST", "/v1/sinks/{name}/replay", sinks.replay, "owner", is_whole=True,
        takes=requests.Letters, gives=Count,
    ),
    Route(
        "POST", "/v1/sinks/{name}/discard", sinks.discard, "owner", is_whole=True,
        takes=requests.Letters, gives=Count,
    ),
    Route(
        "POST", "/v1/sinks/{name}/resume", sinks.resume, "owner", is_whole=True,
        gives=SinkState,
    ),
    Route(
        "POST", "/v1/commits", admin.commit, "owner", is_whole=True,
        takes=requests.NewCommit, gives=Published, statuses=CREATED,
    ),
    Route("GET", "/v1/tokens", admin.tokens, "owner", gives=Credentials),
    Route("GET", "/v1/tokens/self", admin.own_token, ANY, gives=OwnCredential),
    Route(
        "POST", "/v1/tokens", admin.create_token, "owner",
        takes=requests.NewToken, gives=MadeToken, statuses=CREATED,
    ),
    Route("DELETE", "/v1/tokens/{id}", admin.revoke_token, "owner", statuses=GONE),
    Route(
        "POST", "/v1/tickets", admin.ticket, "owner",
        takes=requests.NewTicket, is_optional=True, gives=MadeTicket, statuses=CREATED,
    ),
    Route("POST", "/v1/login", admin.log_in, "", takes=requests.Ticket, gives=LoggedIn),
    Route("GET", "/v1/health/live", admin.live, "", gives=Alive),
    Route("GET", "/v1/health/ready", admin.ready, "", gives=Health, statuses=(200, 503)),
    Route("GET", "/metrics", metrics, "admin", is_whole=True),
    Route("GET", "/openapi.json", _openapi, "viewer", gives=Reference),
    Route("GET", "/asyncapi.json", _asyncapi, "viewer", gives=StreamReference),
)  # fmt: skip
"""Every route of the interface, with the role that it needs, what it takes and what it gives."""

SCRIPTS = (
    "activity", "api", "app", "commits", "connections", "detail", "feed", "filter", "form",
    "health", "keys", "list", "logs", "rates", "risks", "rows", "source", "stream", "summary",
    "tasks", "text", "theme", "worker",
)  # fmt: skip
"""The dashboard's JavaScript: a file for each panel or part."""

PAGES = {
    "/": ("index.html", "text/html"),
    **{f"/{name}.js": (f"{name}.js", "text/javascript") for name in SCRIPTS},
    **{f"/{name}.css": (f"{name}.css", "text/css") for name in ("style", "panels")},
}
"""The dashboard's files: by name, never by a path that a request could choose (S13)."""

MODULES = ", ".join(
    f"<{name}.js>; rel=modulepreload" for name in SCRIPTS if name not in ("theme", "worker")
)
"""The page's modules, for its head: all are asked for at once, and not as each is named by another
(HTML standard, link type `modulepreload`)."""

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "worker-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types rtevents"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
"""What keeps a page of the dashboard to itself (S22)."""


PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Last-Event-ID",
    # A page from elsewhere that asks for something on this machine (Private Network Access).
    "Access-Control-Allow-Private-Network": "true",
    "Access-Control-Max-Age": "600",
}
"""What a page of one of `origins` may send: a token of its own, never our cookie."""

SHUTDOWN_SECONDS = 3.0
"""Seconds that open requests have to end when the server does; streams have ended by then."""


def create_runner(house: House) -> web.AppRunner:
    """Return what runs the application; the same one serves the Unix socket and TCP."""
    return web.AppRunner(
        _create_app(house), handler_cancellation=True, shutdown_timeout=SHUTDOWN_SECONDS
    )


def _create_app(house: House) -> web.Application:
    app = web.Application(middlewares=[_answer_errors, _admit], client_max_size=MAX_REQUEST)
    app[HOUSE] = house
    app[REGISTRY] = registry_of(house)
    app[_RULES] = {
        app.router.add_route(route.method, route.path, route.handler): route.rule
        for route in (*ROUTES, *_pages())
    }
    app.on_response_prepare.append(_finish_head)
    app.on_shutdown.append(_see_off)
    return app


_RULES = web.AppKey("rules", dict[web.AbstractRoute, Rule])


@web.middleware
async def _admit(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Ask the guard before anything else, what is not there included."""
    guard = request.app[HOUSE].guard
    rule = request[RULE] = request.app[_RULES].get(request.match_info.route, NOTHING)
    if request.method == "OPTIONS" and guard.sites.foreign_origin(request) is not None:
        guard.admit(request, PREFLIGHT)
        return web.Response(status=204, headers=PREFLIGHT_HEADERS)
    about = next(iter(request.match_info.values()), "")
    request[PRINCIPAL] = guard.admit(request, rule, about=about)
    claim(request)
    if rule.is_public:
        return await handler(request)
    try:
        if rule.is_change:
            await guard.audit.sync()
            guard.confirm(request, request[PRINCIPAL])
            response = await _to_the_end(handler(request))
        else:
            response = await handler(request)
    except NotAllowed as error:
        check = "credential" if isinstance(error, NotAuthenticated) else "grant"
        guard.audit.refuse(request[PRINCIPAL], rule.action, check, about=error.about or about)
        raise
    except RteventsError:
        _note_allowed(request, about)
        raise
    if response.status != HTTPStatus.FORBIDDEN:  # else each line was looked at by itself
        _note_allowed(request, about)
    return response


async def _to_the_end(change: Awaitable[web.StreamResponse]) -> web.StreamResponse:
    """Make a change whole though who asked for it hangs up: half of it would be nobody's wish."""
    making = asyncio.ensure_future(change)
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        await asyncio.gather(making, return_exceptions=True)
        raise


def _note_allowed(request: web.Request, about: str) -> None:
    """Write down that a request was let in, unless that was done before it was served."""
    principal, rule = request[PRINCIPAL], request[RULE]
    if not rule.is_change and principal.grant is not NOBODY:
        request.app[HOUSE].guard.audit.allow(principal, rule.action, about=about)


def _pages() -> Iterator[Route]:
    for path, (name, kind) in PAGES.items():
        page = _page(name, kind)
        yield Route("GET", path, page, "")
        yield Route("HEAD", path, page, "")


def _page(name: str, kind: str) -> Handler:
    body = files("rtevents.server").joinpath("dashboard", name).read_bytes()
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'

    links = {"Link": MODULES} if kind == "text/html" else {}

    async def page(request: web.Request) -> web.StreamResponse:
        headers = {**PAGE_HEADERS, **links, "ETag": tag}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)

    return page


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into ``application/problem+json``: one line, no traceback."""
    try:
        return await handler(request)
    except web.HTTPRequestEntityTooLarge:
        return problem(EventTooLarge(f"a request of more than {MAX_REQUEST} bytes"))
    except web.HTTPNotFound:
        return problem(NotFound(f"nothing is at {request.path[:80]!r}"))
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        response = problem(BadInput(f"{request.path[:80]} takes {allowed}"), 405)
        response.headers["Allow"] = allowed
        return response
    except web.HTTPException:
        raise
    except ConnectionError:
        # The peer has gone: nobody reads the answer, and aiohttp would log what we raise.
        return web.Response()
    except Exception as error:  # noqa: BLE001 - told in the log
        response = problem_of(error)
        if isinstance(error, NoRoom):
            response.force_close()
        return response


async def _see_off(app: web.Application) -> None:
    """Wait until the streams have taken what was written to them; they cut off who does not."""
    house = app[HOUSE]
    if house.followers:
        house.all_gone.clear()
        await house.all_gone.wait()


async def _finish_head(request: web.Request, response: web.StreamResponse) -> None:
    """Do not tell strangers what is installed here; let a front end of the user's own read."""
    response.headers.pop("Server", None)
    origin = request.app[HOUSE].guard.sites.foreign_origin(request)
    if origin is not None and response.status != 101:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "Retry-After"
        response.headers["Vary"] = "Origin"
