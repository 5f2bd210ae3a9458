"""sse-starlette on uvicorn, the way its documentation broadcasts: a queue for each client."""

import asyncio
import sys
from collections.abc import AsyncIterator

import uvicorn
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

queues: set[asyncio.Queue[str]] = set()


async def publish(request: Request) -> Response:
    """Give each line to each client."""
    for line in (await request.body()).decode().splitlines():
        for queue in queues:
            queue.put_nowait(line)
    return Response(status_code=202)


async def events(request: Request) -> EventSourceResponse:
    """Stream what comes."""
    queue: asyncio.Queue[str] = asyncio.Queue()

    async def stream() -> AsyncIterator[ServerSentEvent]:
        queues.add(queue)
        try:
            number = 0
            while True:
                number += 1
                yield ServerSentEvent(data=await queue.get(), id=str(number))
        finally:
            queues.discard(queue)

    return EventSourceResponse(stream())


app = Starlette(
    routes=[Route("/publish", publish, methods=["POST"]), Route("/events", events)],
)

uvicorn.run(app, port=int(sys.argv[1]), log_level="error", backlog=4096)
