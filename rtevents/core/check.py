"""Checks: questions that the parts of a service must answer in time, asked again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping

import msgspec

from rtevents.errors import RteventsError


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """
    A question.

    Args:
        name: What it is about.
        interval: Seconds between an answer and the next question.
        timeout: Seconds in which the answer must come.
        ask: Returns when all is well; an ``RteventsError`` says what is not.
    """

    name: str
    interval: float
    timeout: float
    ask: Callable[[], Awaitable[None]]


async def keep_asking(check: Check, warnings: MutableMapping[str, str]) -> None:
    """
    Ask again and again, until cancelled; what is amiss is among the warnings as long as it is.

    A question that is not answered in time is not asked again before it is: whatever hangs is not
    given more to do.
    """
    name = f"{check.name} check"
    while True:
        await asyncio.sleep(check.interval)
        asking = asyncio.ensure_future(check.ask())
        try:
            # Not by a timeout, which would wait until what it cancels has ended.
            if not (await asyncio.wait([asking], timeout=check.timeout))[0]:
                warnings[name] = f"no answer within {check.timeout:g} s"
            await asking
        except Exception as error:  # noqa: BLE001 - what fails by a bug is told and asked again, too
            is_bug = not isinstance(error, RteventsError)
            warnings[name] = f"a bug: {error!r}" if is_bug else str(error)
        else:
            warnings.pop(name, None)
        finally:
            asking.cancel()
