"""A place in the log of a daemon elsewhere."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rtevents.client.asyncio import Client
from rtevents.client.reader import HistoryReader
from rtevents.core.filter import Filter


async def test_while_nobody_answers_nothing_comes_in_time(tmp_path: Path) -> None:
    """Who has a batch in hand goes on with it, rather than wait until the daemon is back."""
    told: list[str] = []
    async with Client(tmp_path / "none.sock") as client, asyncio.timeout(20):
        reader = HistoryReader(client, Filter(), tell=told.append)
        found = [await reader.next(0, limit=5), await reader.next(0.3, limit=5)]

    assert found == [[], []]
    assert len(told) == 1
    assert told[0].endswith("; reconnecting")
