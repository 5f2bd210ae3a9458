"""aiohttp with a `send_str` for each client and event."""

import asyncio
import sys

from aiohttp import web

sockets: set[web.WebSocketResponse] = set()


async def publish(request: web.Request) -> web.Response:
    """Send each line to each client."""
    for line in (await request.text()).splitlines():
        await asyncio.gather(*(socket.send_str(line) for socket in sockets))
    return web.Response(status=202)


async def events(request: web.Request) -> web.WebSocketResponse:
    """Stream what comes."""
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    sockets.add(socket)
    try:
        async for _ in socket:
            pass
    finally:
        sockets.discard(socket)
    return socket


app = web.Application(client_max_size=64 * 1024**2)
app.router.add_post("/publish", publish)
app.router.add_get("/events", events)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), backlog=4096, print=None)
