"""A Starlette handler on uvicorn that reads an event and stores nothing."""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def publish(request: Request) -> JSONResponse:
    """Decode the event and answer."""
    event = await request.json()
    return JSONResponse({"event_id": event["event_id"], "seq": 1}, status_code=201)


app = Starlette(routes=[Route("/publish", publish, methods=["POST"])])

uvicorn.run(app, port=int(sys.argv[1]), log_level="error", backlog=4096)
