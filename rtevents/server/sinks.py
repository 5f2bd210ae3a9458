"""Sinks: how they are, and what they gave up."""

from __future__ import annotations

from aiohttp import web

from rtevents.server.keys import HOUSE, PRINCIPAL, RULE, answer, read_json
from rtevents.server.requests import Letters


async def sinks(request: web.Request) -> web.Response:
    """Return every sink, with its lag and what is amiss: as what is trusted by now has it."""
    house = request.app[HOUSE]
    await house.sinks.catch_up()
    return answer({"sinks": house.sinks.all()})


async def dead(request: web.Request) -> web.Response:
    """Return the dead letters of a sink."""
    letters, total = await request.app[HOUSE].sinks.dead(request.match_info["name"])
    return answer({"letters": letters, "total": total})


async def replay(request: web.Request) -> web.Response:
    """Have dead letters done again, each once; what fails again stays."""
    given = await _letters(request)
    count = await request.app[HOUSE].sinks.replay(request.match_info["name"], given.id)
    return answer({"count": count})


async def discard(request: web.Request) -> web.Response:
    """Forget dead letters."""
    given = await _letters(request)
    count = await request.app[HOUSE].sinks.discard(request.match_info["name"], given.id)
    return answer({"count": count})


async def resume(request: web.Request) -> web.Response:
    """Have a sink that rests try now."""
    house, name = request.app[HOUSE], request.match_info["name"]
    house.sinks.resume(name)
    return answer(house.sinks.one(name))


async def _letters(request: web.Request) -> Letters:
    given = await read_json(request, Letters)
    about = " ".join(filter(None, [request.match_info["name"], given.id[:80]]))
    audit = request.app[HOUSE].guard.audit
    audit.allow(request[PRINCIPAL], request[RULE].action, about=about, always=True)
    return given
