"""What kill -9 takes: between the event and its reaction, and between that and the bookmark."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from rtevents.core.event import Bookmark
from rtevents.sinks.place import DeadLetters, Place

from .receiver import Receiver, status

ROOT = Path(__file__).parent.parent.parent

KINDS = ("command", "webhook", "file", "notify")


async def run(folder: Path, kind: str, settings: dict[str, Any], point: str) -> int:
    """Run the process; return its exit code."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-m", "tests.sinks.crash",
        str(folder), kind, json.dumps(settings), point, cwd=ROOT,
    )  # fmt: skip
    async with asyncio.timeout(60):
        return await process.wait()


@pytest.mark.parametrize("point", ["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_not_noted_is_done_again_and_nothing_is_lost(
    tmp_path: Path, kind: str, point: str
) -> None:
    """At least once: killed before the reaction it is done once, killed after it twice."""
    out = tmp_path / "out"
    async with Receiver(*[status(200)] * 3) as receiver:
        settings: dict[str, dict[str, Any]] = {
            "command": {"run": ["sh", "-c", f"cat >> {out}"]},
            "webhook": {"url": receiver.url},
            "file": {"path": str(out)},
            "notify": {"urls": [receiver.url.replace("http", "json")]},
        }

        def done() -> int:
            if kind in ("webhook", "notify"):
                return len(receiver.requests)
            return len(out.read_text().splitlines()) if out.exists() else 0

        assert await run(tmp_path, kind, settings[kind], point) == -signal.SIGKILL
        assert done() == (point == "after")
        kept = Place(tmp_path / "sink").bookmark
        assert kept is not None
        assert kept.seq == 0

        assert await run(tmp_path, kind, settings[kind], "never") == 0
        assert done() == 1 + (point == "after")
        assert Place(tmp_path / "sink").bookmark == Bookmark(kept.epoch, 1)
        assert len(DeadLetters(tmp_path / "sink")) == 0

        assert await run(tmp_path, kind, settings[kind], "never") == 0
        assert done() == 1 + (point == "after")

    if kind == "webhook" and point == "after":
        # The receiver can tell that it has it already.
        assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
