"""Statistics, connections, projects, types, tokens, health."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from rtevents import __version__
from rtevents.core.connection import Connection
from rtevents.core.filter import Filter, Grant, parse_filter
from rtevents.core.health import Health
from rtevents.core.log import Log
from rtevents.core.names import is_project_id, type_name
from rtevents.core.payloads import PAYLOADS
from rtevents.core.reference import reference, schema, schema_fields, summary
from rtevents.errors import BadInput, FilterError, NotAllowed, NotFound, Unavailable
from rtevents.server.answers.reference import TypeReference
from rtevents.server.browser import TICKET_SECONDS, Session
from rtevents.server.commands import FILTER, change
from rtevents.server.keys import HOUSE, PRINCIPAL, RULE, House, answer, read_json
from rtevents.server.principal import Principal
from rtevents.server.publish import stored_fields
from rtevents.server.requests import (
    NewCommit,
    NewFilter,
    NewProject,
    NewTicket,
    NewToken,
    NewType,
    Ticket,
)
from rtevents.server.tokens import Token


async def status(request: web.Request) -> web.Response:
    """Return what this daemon is, where it listens, how it is, and what the grant holds of it."""
    house, grant = request.app[HOUSE], request[PRINCIPAL].grant
    log = house.service.log
    told = house.status()
    if "logs" in told:
        told["logs"] = _logs(house, grant, told["logs"])
    return answer(
        {
            "version": __version__,
            **told,
            "epoch": log.epoch,
            "oldest": log.first,
            "newest": log.last,
            "missing": log.missing,
            "bookmark": ",".join(str(each.service.log.bookmark()) for each in house.each),
            "health": _health(house, grant),
            "thresholds": house.service.watch.thresholds,
            "projects": _projects(house, grant),
        }
        | (
            {}
            if grant.is_limited
            else {
                "sinks": house.sinks.all(),
                "audit": house.guard.audit.state(),
                "nodes": house.nodes().total,
            }
        )
    )


def _logs(house: House, grant: Grant, told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the logs that may have what a grant holds, and how each of them is."""
    held = {each.log for each in house.within(grant.visible)}
    logs = []
    for each in told:
        room = house.logs[each["name"]]
        log = room.service.log
        place = _place(log)
        if each["name"] in held:
            health = _health(room, grant, alone=True)
            logs.append(each | place | {"health": health})
    return logs


def _place(log: Log) -> dict[str, Any]:
    return {"epoch": log.epoch, "oldest": log.first, "newest": log.last, "missing": log.missing}


async def nodes(request: web.Request) -> web.Response:
    """Return the daemons that share this one's log, and the sum of their figures."""
    return answer(await request.app[HOUSE].look())


async def reload(request: web.Request) -> web.Response:
    """Read the configuration again; return what has changed."""
    return answer(await request.app[HOUSE].reload())


async def stats(request: web.Request) -> web.Response:
    """Return the statistics of this moment; to a limited grant, of what it holds."""
    house, grant = request.app[HOUSE], request[PRINCIPAL].grant
    if (name := request.query.get("log")) is not None:
        house = house.one(Filter(logs=frozenset({name})), grant.visible)
    if not grant.is_limited:
        return answer(house.service.statistics())
    return answer(_stats_within(house, grant))


def _stats_within(house: House, grant: Grant) -> dict[str, Any]:
    """Return the statistics of what a limited grant holds; what concerns all is left out."""
    counters, log = house.service.counters, house.service.log
    by_type = counters.by_type(grant.visible)
    connections = _connections(house, grant)
    return {
        "uptime": time.monotonic() - counters.started,
        "events": {
            "published": by_type.total(),
            "delivered": sum(each.delivered for each in connections),
            "by_type": dict(by_type.most_common()),
        },
        "log": _place(log),
        "connections": {"current": len(connections)},
    }


def _connections(house: House, grant: Grant) -> list[Connection]:
    """Return the connections that want nothing beyond a grant."""
    connections = house.service.connections.values()
    return [each for each in connections if grant.holds(each.wanted)]


def _projects(house: House, grant: Grant) -> list[dict[str, Any]]:
    """Return the projects that a grant holds, whatever types it is limited to."""
    held = grant.visible.projects
    return [each for each in house.projects.all() if not held or each["id"] in held]


def _health(house: House, grant: Grant, *, alone: bool = False) -> Health:
    """
    Return how this daemon is; the reasons may name what a limited grant does not hold.

    Args:
        alone: Tell of this log alone, where there are several.
    """
    health = house.service.health(alone=alone)
    return Health(health.status, []) if grant.is_limited else health


async def live(request: web.Request) -> web.Response:
    """Answer as long as the daemon runs."""
    return answer({"status": "ok"})


async def ready(request: web.Request) -> web.Response:
    """Answer whether events can be accepted; 503 with the reasons when not."""
    health = request.app[HOUSE].service.health()
    is_failed = health.status == "failed"
    if not request[PRINCIPAL].grant.allows("admin"):
        # Why no event is accepted comes first, and is for all to know. What else is amiss, as with
        # a project, is for those who may see it: they ask /v1/status.
        health = Health(health.status, health.reasons[:1] if is_failed else [])
    return answer(health, status=503 if is_failed else 200)


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


async def add_type(request: web.Request) -> web.Response:
    """Add an event type of the user's own."""
    house = request.app[HOUSE]
    wanted = await read_json(request, NewType)
    _note(request, wanted.name)
    await house.add_type(wanted.name, wanted.schema)
    return answer(_describe(house, type_name(wanted.name)), status=201)


def payloads(house: House) -> dict[str, dict[str, Any] | None]:
    """Return the JSON Schema of each type's data, by the type's name; None for any object."""
    return {name: payload(house, name) for name in house.service.types.names()}


def payload(house: House, name: str) -> dict[str, Any] | None:
    """Return the JSON Schema of a type's data; None for any object."""
    return schema(name) if name in PAYLOADS else house.own_types.get(name)


def _describe(house: House, name: str) -> TypeReference:
    given = payload(house, name)
    if name in PAYLOADS:
        return TypeReference(name, summary(name), False, reference(name), given)
    own = given or {}
    words = str(own.get("description", "A type of your own."))
    return TypeReference(name, words, True, schema_fields(own), given)


async def connections(request: web.Request) -> web.Response:
    """Return every open connection that the grant holds, with its lag."""
    house = request.app[HOUSE]
    held = [
        each.as_dict(room.service.log.last)
        for room in house.each
        for each in _connections(room, request[PRINCIPAL].grant)
    ]
    return answer({"connections": held})


def _connection(request: web.Request) -> Connection:
    """
    Return the connection that a request is to change.

    Raises:
        NotFound: There is none of that id, or none that the grant holds.
        NotAllowed: A browser looks: it ends and changes its own alone.
    """
    connection_id, principal = request.match_info["id"], request[PRINCIPAL]
    house = request.app[HOUSE].home(connection_id)
    connection = house.service.connections.get(connection_id)
    if connection is None or not principal.grant.holds(connection.wanted):
        raise NotFound(f"no connection {connection_id[:40]!r}")
    if principal.grant.role == "browser" and connection.principal != principal.name:
        raise NotAllowed(
            "a browser changes no connection but its own: rtevents connections close",
            about=connection_id[:48],
        )
    return connection


async def change_connection(request: web.Request) -> web.Response:
    """Change a stream's subscription, at the place where it is."""
    house, principal = request.app[HOUSE], request[PRINCIPAL]
    connection = _connection(request)
    given = await read_json(request, NewFilter)
    query = {name: getattr(given, name) for name in FILTER}
    wanted = principal.grant.narrow(parse_filter(query, house.service.types))
    if (member := house.members.get(connection.connection_id)) is None:
        raise NotFound(f"connection {connection.connection_id} is not a stream of this server")
    home = house.home(connection.connection_id)
    return answer(await change(home, member, wanted, given.since))


async def close_connection(request: web.Request) -> web.Response:
    """End a connection."""
    _connection(request).close("ended")
    return web.Response(status=204)


async def projects(request: web.Request) -> web.Response:
    """Return what is watched."""
    return answer({"projects": _projects(request.app[HOUSE], request[PRINCIPAL].grant)})


async def risk_rules(request: web.Request) -> web.Response:
    """Return the rules for risks that are in force: for every project, and of those held."""
    held = request[PRINCIPAL].grant.visible.projects
    rules = await request.app[HOUSE].risk_rules()
    wanted = [each for each in rules if not held or each["project_id"] in (None, *held)]
    return answer({"rules": wanted})


async def add_project(request: web.Request) -> web.Response:
    """Watch a folder from now on."""
    given = await read_json(request, NewProject)
    _note(request, f"{given.path} as {given.id}" if given.id else given.path)
    project, is_new = await request.app[HOUSE].projects.add(
        _absolute(given.path),
        id=given.id,
        files=given.files,
        git=given.git,
        tasks=given.tasks,
        auto_commit=given.auto_commit,
        ignore=given.ignore,
    )
    return answer(project, status=201 if is_new else 200)


async def remove_project(request: web.Request) -> web.Response:
    """Watch a project no more."""
    await request.app[HOUSE].projects.remove(request.match_info["id"])
    return web.Response(status=204)


async def commit(request: web.Request) -> web.Response:
    """Publish a commit; the daemon reads it from the repository itself."""
    house = request.app[HOUSE]
    given = await read_json(request, NewCommit)
    _note(request, f"{given.revision[:48]} of {given.path}")
    stored = await house.projects.commit(_absolute(given.path), given.revision)
    for room in house.each if house.routes else ():
        # The daemon alone knows of which project it is.
        if await room.service.log.find(stored.event_id) == stored.seq:
            house = room
    return answer(stored_fields(house, [stored]), status=201)


def _note(request: web.Request, about: str) -> None:
    """
    Write down what an act of administration is about, once its body is read.

    Raises:
        Unavailable: It cannot be written: it must not be done then.
    """
    audit = request.app[HOUSE].guard.audit
    audit.allow(request[PRINCIPAL], request[RULE].action, about=about, always=True)


def _absolute(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute() or "\0" in text:
        raise BadInput(f"path: expected an absolute path, got {text[:80]!r}", field="path")
    return path


def _held(house: House, principal: Principal, given: NewToken | NewTicket) -> Filter:
    """Return the projects and types that are to be granted, within what who asks holds."""
    for name in given.types:
        if type_name(name) not in house.service.types:
            raise FilterError(house.service.types.unknown(name), field="types")
    for project in given.projects:
        if not is_project_id(project):
            raise BadInput(f"projects: not a project's id: {project[:60]!r}", field="projects")
    asked = Filter(projects=frozenset(given.projects), types=frozenset(map(type_name, given.types)))
    return principal.grant.narrow(asked)


async def create_token(request: web.Request) -> web.Response:
    """Make a token within the grant of who asks; its secret is told this once."""
    house, principal = request.app[HOUSE], request[PRINCIPAL]
    given = await read_json(request, NewToken)
    held = _held(house, principal, given)
    expires_in = given.expires_in
    if (end := principal.grant.expires) is not None:
        left = max(0.0, end - time.time())
        expires_in = left if expires_in is None else min(left, expires_in)
    token, secret = house.guard.tokens.create(
        given.role,
        projects=held.projects,
        types=held.types,
        name=given.name,
        expires_in=expires_in,
    )
    try:
        house.guard.audit.allow(principal, "token made", about=_about(token), always=True)
    except Unavailable:
        house.guard.tokens.revoke(token.id)
        raise
    return answer(_public(token) | {"token": secret}, status=201)


def _about(token: Token) -> str:
    """Return what a token lets in for, in a line of the audit log."""
    words = [token.id, token.role]
    for name, values in (("projects", token.projects), ("types", token.types)):
        words += [f"{name}={','.join(values)}"] if values else []
    return " ".join(words)


async def tokens(request: web.Request) -> web.Response:
    """Return every token and every browser's session that the grant covers, without its secret."""
    guard, grant = request.app[HOUSE].guard, request[PRINCIPAL].grant
    return answer(
        {
            "tokens": [_public(each) for each in guard.tokens.all() if grant.covers(each.grant)],
            "sessions": [
                _public(each) | {"name": each.origin}
                for each in guard.browsers.all()
                if grant.holds(each.grant.visible)
            ],
        }
    )


async def revoke_token(request: web.Request) -> web.Response:
    """Forget a token, or end a browser's session, and end the streams that it opened."""
    house, grant = request.app[HOUSE], request[PRINCIPAL].grant
    token_id = request.match_info["id"]
    guard = house.guard
    ended = {f"token:{token_id}", f"browser:{token_id}"}
    sets: list[Token | Session] = [*guard.tokens.all(), *guard.browsers.all()]
    if not any(each.id == token_id and grant.holds(each.grant.visible) for each in sets):
        raise NotFound(f"no token and no session {token_id[:40]!r}")
    if any(each.id == token_id for each in guard.tokens.all()):
        # The token last: what cannot be kept can be asked for again as long as it is there.
        ended |= {f"browser:{each}" for each in guard.browsers.revoke_of(f"token:{token_id}")}
        guard.tokens.revoke(token_id)
    else:
        guard.browsers.revoke(token_id)
    guard.look_again()
    for room in house.each:
        for connection in list(room.service.connections.values()):
            if connection.principal in ended:
                connection.close("ended")
    return web.Response(status=204)


async def own_token(request: web.Request) -> web.Response:
    """Return what the credential of this request may do, until when, and in which logs."""
    house, principal = request.app[HOUSE], request[PRINCIPAL]
    grant = principal.grant
    return answer(
        {
            "principal": principal.name,
            "role": grant.role,
            "projects": sorted(grant.projects),
            "types": sorted(grant.types),
            "expires": grant.expires,
            "logs": [each.log for each in house.within(grant.visible)],
        }
    )


def _public(kept: Token | Session) -> dict[str, Any]:
    return {name: v for name, v in msgspec.structs.asdict(kept).items() if name != "digest"}


async def ticket(request: web.Request) -> web.Response:
    """Return an address that logs a browser in, once."""
    house, principal = request.app[HOUSE], request[PRINCIPAL]
    given = await read_json(request, NewTicket) if request.can_read_body else NewTicket()
    held = _held(house, principal, given)
    origin = house.status()["url"]
    if origin is None:
        raise NotFound("the daemon listens on no TCP port: see `listen` in the configuration")
    grant = Grant(
        role=given.role, projects=held.projects, types=held.types, expires=principal.grant.expires
    )
    secret = house.guard.browsers.ticket(origin, principal.name, grant)
    return answer({"url": f"{origin}/#t={secret}", "expires_in": TICKET_SECONDS}, status=201)


async def log_in(request: web.Request) -> web.Response:
    """Exchange a browser's ticket for its cookie."""
    guard = request.app[HOUSE].guard
    given = await read_json(request, Ticket)
    session, secret = guard.log_in(request, request[RULE], given.ticket)
    await guard.audit.sync()
    response = answer({"until": session.expires})
    response.set_cookie(
        guard.sites.cookie,
        secret,
        httponly=True,
        samesite="Strict",
        secure=guard.sites.scheme == "https",
        path="/",
        max_age=int(session.expires - time.time()),
    )
    return response
