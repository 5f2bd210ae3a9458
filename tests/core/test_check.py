"""Checks: who does not answer in time is told of, and forgotten when it answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from rtevents.core.check import Check, keep_asking
from rtevents.core.service import EventService
from rtevents.errors import RteventsError, StoreError

from .conftest import TroubledStore, task


@asynccontextmanager
async def asked(
    ask: Callable[[], Awaitable[None]], *, timeout: float = 0.01
) -> AsyncIterator[dict[str, str]]:
    """Ask again and again; return the warnings."""
    warnings: dict[str, str] = {}
    check = Check(name="queue", interval=0.001, timeout=timeout, ask=ask)
    asking = asyncio.create_task(keep_asking(check, warnings))
    yield warnings
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    """Return when a condition is true."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


async def test_who_does_not_answer_in_time_is_not_asked_again_before_it_does() -> None:
    gate = asyncio.Event()
    questions = 0

    async def ask() -> None:
        nonlocal questions
        questions += 1
        await gate.wait()

    async with asked(ask) as warnings:
        await until(lambda: warnings)
        assert warnings == {"queue check": "no answer within 0.01 s"}
        await asyncio.sleep(0.03)
        assert questions == 1
        gate.set()
        await until(lambda: questions > 1 and not warnings)


async def test_what_is_said_to_be_wrong_is_told_until_it_is_well_again() -> None:
    wrong: list[str] = ["disk full"]

    async def ask() -> None:
        if wrong:
            raise StoreError(wrong[0])

    async with asked(ask, timeout=30) as warnings:
        await until(lambda: warnings == {"queue check": "disk full"})
        wrong.clear()
        await until(lambda: not warnings)


async def test_a_store_that_hangs_does_not_answer_for_the_queue_nor_for_the_service(
    store: TroubledStore,
) -> None:
    async with EventService(store) as service:
        await service.queue_answers()
        await service.memory_answers()
        await service.answers()
        store.gate.clear()
        waiting = asyncio.create_task(service.publish(task()))
        await until(lambda: service.statistics().queue["size"])
        asking = asyncio.create_task(service.queue_answers())
        done, _ = await asyncio.wait([asking], timeout=0.02)
        assert not done
        store.gate.set()
        await asking
        assert (await waiting).seq == 1


async def test_a_task_of_the_service_that_has_ended_is_told(store: TroubledStore) -> None:
    async with EventService(store) as service:
        service._tasks[0].cancel()
        await until(service._tasks[0].done)

        with pytest.raises(RteventsError, match="rtevents writer has ended"):
            await service.answers()
        service._tasks[0] = asyncio.create_task(service._intake.run())


async def test_a_question_that_fails_by_a_bug_is_told_and_asked_again() -> None:
    questions = 0

    async def ask() -> None:
        nonlocal questions
        questions += 1
        raise RuntimeError("can't start new thread")

    async with asked(ask) as warnings:
        await until(lambda: questions > 1)

        said = """a bug: RuntimeError("can't start new thread")"""
        assert warnings == {"queue check": said}
