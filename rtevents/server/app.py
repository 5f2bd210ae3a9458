"""The application and its route table."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable
from importlib.resources import files

import msgspec
from aiohttp import web

from rtevents.errors import BadInput, EventTooLarge, NotFound
from rtevents.server import admin
from rtevents.server.guard import require
from rtevents.server.history import history
from rtevents.server.keys import HOUSE, PRINCIPAL, House, problem, problem_of
from rtevents.server.publish import publish
from rtevents.server.stream import stream, websocket

logger = logging.getLogger(__name__)

MAX_REQUEST = 16 * 1024 * 1024
"""Largest body of a request, in bytes (DESIGN section 6)."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Route(msgspec.Struct, frozen=True):
    """
    A row of the route table.

    Args:
        role: The role that it needs; the empty string for none.
    """

    method: str
    path: str
    handler: Handler
    role: str


ROUTES = (
    Route("POST", "/v1/events", publish, "publisher"),
    Route("GET", "/v1/events", history, "viewer"),
    Route("GET", "/v1/events/stream", stream, "viewer"),
    Route("GET", "/v1/events/ws", websocket, "viewer"),
    Route("GET", "/v1/types", admin.types, "viewer"),
    Route("POST", "/v1/types", admin.add_type, "owner"),
    Route("GET", "/v1/types/{name}", admin.one_type, "viewer"),
    Route("GET", "/v1/connections", admin.connections, "admin"),
    Route("PATCH", "/v1/connections/{id}", admin.change_connection, "admin"),
    Route("DELETE", "/v1/connections/{id}", admin.close_connection, "admin"),
    Route("GET", "/v1/stats", admin.stats, "admin"),
    Route("GET", "/v1/status", admin.status, "admin"),
    Route("GET", "/v1/projects", admin.projects, "admin"),
    Route("POST", "/v1/projects", admin.add_project, "owner"),
    Route("DELETE", "/v1/projects/{id}", admin.remove_project, "owner"),
    Route("POST", "/v1/commits", admin.commit, "owner"),
    Route("GET", "/v1/tokens", admin.tokens, "owner"),
    Route("POST", "/v1/tokens", admin.create_token, "owner"),
    Route("DELETE", "/v1/tokens/{id}", admin.revoke_token, "owner"),
    Route("POST", "/v1/tickets", admin.ticket, "owner"),
    Route("POST", "/v1/login", admin.log_in, ""),
    Route("GET", "/v1/health/live", admin.live, ""),
    Route("GET", "/v1/health/ready", admin.ready, ""),
)
"""Every route of the interface, with the role that it needs."""

PAGES = {
    "/": ("index.html", "text/html"),
    "/app.js": ("app.js", "text/javascript"),
    "/style.css": ("style.css", "text/css"),
}
"""The dashboard's files: by name, never by a path that a request could choose (S13)."""

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
"""What keeps a page of the dashboard to itself (S22)."""


SHUTDOWN_SECONDS = 3.0
"""Seconds that open requests have to end when the server does; streams have ended by then."""


def create_runner(house: House) -> web.AppRunner:
    """Return what runs the application; the same one serves the Unix socket and TCP."""
    return web.AppRunner(
        _create_app(house),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=SHUTDOWN_SECONDS,
        # A compressed body is refused, and need not be understood for that.
        auto_decompress=False,
    )


def _create_app(house: House) -> web.Application:
    app = web.Application(middlewares=[_answer_errors], client_max_size=MAX_REQUEST)
    app[HOUSE] = house
    for route in ROUTES:
        app.router.add_route(route.method, route.path, _guarded(route))
    for path, (name, kind) in PAGES.items():
        app.router.add_get(path, _page(name, kind))
    app.on_response_prepare.append(_drop_server)
    app.on_shutdown.append(_see_off)
    return app


def _guarded(route: Route) -> Handler:
    """Return the route's handler behind the guard."""

    async def handle(request: web.Request) -> web.StreamResponse:
        guard = request.app[HOUSE].guard
        principal = guard.identify(request, is_public=not route.role)
        if route.role:
            require(principal, route.role)
        request[PRINCIPAL] = principal
        return await route.handler(request)

    return handle


def _page(name: str, kind: str) -> Handler:
    body = files("rtevents.server").joinpath("dashboard", name).read_bytes()
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'

    async def page(request: web.Request) -> web.StreamResponse:
        request.app[HOUSE].guard.identify(request, is_public=True)
        headers = {**PAGE_HEADERS, "ETag": tag}
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
        return problem_of(error)


async def _see_off(app: web.Application) -> None:
    """Wait until the streams have taken what was written to them; they cut off who does not."""
    house = app[HOUSE]
    if house.followers:
        house.all_gone.clear()
        await house.all_gone.wait()


async def _drop_server(request: web.Request, response: web.StreamResponse) -> None:
    """Do not tell strangers what is installed here."""
    response.headers.pop("Server", None)
