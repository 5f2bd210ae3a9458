"""Statistics, connections, projects, types, tokens, health."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
from aiohttp import web

from rtevents import __version__
from rtevents.core.event import is_project_id, type_name
from rtevents.core.filter import parse_filter
from rtevents.core.payloads import PAYLOADS, reference, schema, schema_fields, summary
from rtevents.errors import BadInput, FilterError, NotFound
from rtevents.server.commands import FILTER, change
from rtevents.server.guard import SESSION_SECONDS, TICKET_SECONDS, Token
from rtevents.server.keys import HOUSE, PRINCIPAL, House, answer, read_json


async def status(request: web.Request) -> web.Response:
    """Return what this daemon is, where it listens, and how it is."""
    house = request.app[HOUSE]
    log = house.service.log
    return answer(
        {
            "version": __version__,
            **house.status(),
            "epoch": log.epoch,
            "oldest": log.first,
            "newest": log.last,
            "bookmark": str(log.bookmark()),
            "health": house.service.health(),
            "projects": list(house.projects.all()),
        }
    )


async def stats(request: web.Request) -> web.Response:
    """Return the statistics of this moment."""
    return answer(request.app[HOUSE].service.statistics())


async def live(request: web.Request) -> web.Response:
    """Answer as long as the daemon runs."""
    return answer({"status": "ok"})


async def ready(request: web.Request) -> web.Response:
    """Answer whether events can be accepted; 503 with the reasons when not."""
    health = request.app[HOUSE].service.health()
    return answer(health, status=503 if health.status == "failed" else 200)


async def types(request: web.Request) -> web.Response:
    """Return the event reference."""
    house = request.app[HOUSE]
    return answer({"types": [_describe(house, name) for name in house.service.types.names()]})


async def one_type(request: web.Request) -> web.Response:
    """Return the reference of one event type."""
    house = request.app[HOUSE]
    name = type_name(request.match_info["name"])
    if name not in house.service.types:
        raise NotFound(house.service.types.unknown(name))
    return answer(_describe(house, name))


class _NewType(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    schema: dict[str, Any] | None = None


async def add_type(request: web.Request) -> web.Response:
    """Add an event type of the user's own."""
    house = request.app[HOUSE]
    wanted = await read_json(request, _NewType)
    await house.add_type(wanted.name, wanted.schema)
    return answer(_describe(house, type_name(wanted.name)), status=201)


def _describe(house: House, name: str) -> dict[str, Any]:
    if name not in PAYLOADS:
        own = house.own_types.get(name)
        words = str((own or {}).get("description", "A type of your own."))
        fields = schema_fields(own or {})
        return {"name": name, "summary": words, "own": True, "fields": fields, "schema": own}
    return {
        "name": name,
        "summary": summary(name),
        "own": False,
        "fields": reference(name),
        "schema": schema(name),
    }


async def connections(request: web.Request) -> web.Response:
    """Return every open connection, with its lag."""
    service = request.app[HOUSE].service
    last = service.log.last
    listed = [connection.as_dict(last) for connection in service.connections.values()]
    return answer({"connections": listed})


class _NewFilter(msgspec.Struct, forbid_unknown_fields=True):
    type: list[str] = []
    not_type: list[str] = []
    project: list[str] = []
    source: list[str] = []
    path: list[str] = []
    since: str | float | None = None


async def change_connection(request: web.Request) -> web.Response:
    """Change a stream's subscription, at the place where it is."""
    house, principal = request.app[HOUSE], request[PRINCIPAL]
    connection = house.service.connection(request.match_info["id"])
    given = await read_json(request, _NewFilter)
    query = {name: getattr(given, name) for name in FILTER}
    wanted = principal.grant.narrow(parse_filter(query, house.service.types))
    if (member := house.members.get(connection.connection_id)) is None:
        raise NotFound(f"connection {connection.connection_id} is not a stream of this server")
    return answer(await change(house, member, wanted, given.since))


async def close_connection(request: web.Request) -> web.Response:
    """End a connection."""
    service = request.app[HOUSE].service
    service.connection(request.match_info["id"]).close("ended")
    return web.Response(status=204)


async def projects(request: web.Request) -> web.Response:
    """Return what is watched."""
    return answer({"projects": list(request.app[HOUSE].projects.all())})


class _NewProject(msgspec.Struct, forbid_unknown_fields=True):
    path: str
    id: str = ""
    files: bool = True
    git: bool = True
    auto_commit: bool = False
    ignore: list[str] = []


async def add_project(request: web.Request) -> web.Response:
    """Watch a folder from now on."""
    given = await read_json(request, _NewProject)
    project, is_new = await request.app[HOUSE].projects.add(
        _absolute(given.path),
        id=given.id,
        files=given.files,
        git=given.git,
        auto_commit=given.auto_commit,
        ignore=given.ignore,
    )
    return answer(project, status=201 if is_new else 200)


async def remove_project(request: web.Request) -> web.Response:
    """Watch a project no more."""
    await request.app[HOUSE].projects.remove(request.match_info["id"])
    return web.Response(status=204)


class _NewCommit(msgspec.Struct, forbid_unknown_fields=True):
    path: str
    revision: str = "HEAD"


async def commit(request: web.Request) -> web.Response:
    """Publish a commit; the daemon reads it from the repository itself."""
    house = request.app[HOUSE]
    given = await read_json(request, _NewCommit)
    stored = await house.projects.commit(_absolute(given.path), given.revision)
    bookmark = str(house.service.log.bookmark(stored.seq))
    return answer({"events": [stored], "bookmark": bookmark}, status=201)


def _absolute(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute() or "\0" in text:
        raise BadInput(f"path: expected an absolute path, got {text[:80]!r}", field="path")
    return path


class _NewToken(msgspec.Struct, forbid_unknown_fields=True):
    role: str
    projects: list[str] = []
    types: list[str] = []
    name: str = ""
    expires_in: Annotated[float, msgspec.Meta(gt=0)] | None = None


async def create_token(request: web.Request) -> web.Response:
    """Make a token; its secret is told this once."""
    house = request.app[HOUSE]
    given = await read_json(request, _NewToken)
    for name in given.types:
        if type_name(name) not in house.service.types:
            raise FilterError(house.service.types.unknown(name), field="types")
    for project in given.projects:
        if not is_project_id(project):
            raise BadInput(f"projects: not a project's id: {project[:60]!r}", field="projects")
    token, secret = house.guard.tokens.create(
        given.role,
        projects=given.projects,
        types=[type_name(name) for name in given.types],
        name=given.name,
        expires_in=given.expires_in,
    )
    return answer(_public(token) | {"token": secret}, status=201)


async def tokens(request: web.Request) -> web.Response:
    """Return every token, without its secret."""
    return answer({"tokens": [_public(token) for token in request.app[HOUSE].guard.tokens.all()]})


async def revoke_token(request: web.Request) -> web.Response:
    """Forget a token, and end the streams that it opened."""
    house = request.app[HOUSE]
    token_id = request.match_info["id"]
    house.guard.tokens.revoke(token_id)
    for connection in list(house.service.connections.values()):
        if connection.principal == f"token:{token_id}":
            connection.close("ended")
    return web.Response(status=204)


def _public(token: Token) -> dict[str, Any]:
    return {
        name: value for name, value in msgspec.structs.asdict(token).items() if name != "digest"
    }


async def ticket(request: web.Request) -> web.Response:
    """Return an address that logs a browser in, once."""
    house = request.app[HOUSE]
    listen = house.status()["listen"]
    if listen is None:
        raise NotFound("the daemon listens on no TCP port: see `listen` in the configuration")
    url = f"http://{listen}/#t={house.guard.ticket()}"
    return answer({"url": url, "expires_in": TICKET_SECONDS}, status=201)


class _Ticket(msgspec.Struct, forbid_unknown_fields=True):
    ticket: str


async def log_in(request: web.Request) -> web.Response:
    """Exchange a browser's ticket for its cookie."""
    guard = request.app[HOUSE].guard
    given = await read_json(request, _Ticket)
    response = answer({"until": time.time() + SESSION_SECONDS})
    response.set_cookie(
        guard.cookie,
        guard.log_in(given.ticket),
        httponly=True,
        samesite="Strict",
        path="/",
        max_age=int(SESSION_SECONDS),
    )
    return response
