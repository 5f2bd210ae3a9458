"""A risk opens once, is told again when it grows, and ends once; whatever happens between."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import msgspec
import pytest

from rtevents.config.risks import RiskRuleSettings
from rtevents.core.causes import story_of
from rtevents.core.event import Entry, Event, Stored
from rtevents.producers.risk import book as module
from rtevents.producers.risk.book import AT_ONCE, MOST_EVIDENCE, MOST_OPEN, Book, Finding
from rtevents.producers.risk.counted import Counted

from .conftest import Watch, Watcher

FAILS = RiskRuleSettings(
    name="ci-fails",
    type="TASK_UPDATE",
    where='data.status == "red"',
    until='data.status == "green"',
    count=2,
    within=60,
    per="data.task_id",
    message="{data.task_id} failed {count} times within {within}",
    close_after=3600,
)


def red(watcher: Watcher, task: str = "T-1") -> Event:
    """Return a failure, a second later."""
    return watcher.event("TASK_UPDATE", 1, task_id=task, status="red")


def green(watcher: Watcher, task: str = "T-1") -> Event:
    """Return a success, a second later."""
    return watcher.event("TASK_UPDATE", 1, task_id=task, status="green")


async def test_a_risk_opens_once_grows_rarely_and_ends_once(watched: Watch) -> None:
    async with watched(FAILS) as watcher:
        first, second = red(watcher), red(watcher)
        await watcher.tell(first, second)
        opened = await watcher.alert()
        assert await watcher.told() == [("ci-fails", "open")]
        assert opened.data["message"] == "T-1 failed 2 times within 1 min"
        assert opened.data["severity"] == "medium"
        assert opened.data["evidence"] == [first.event_id, second.event_id]
        assert opened.extensions == {
            "causation_id": second.event_id, "correlation_id": second.event_id,
        }  # fmt: skip

        await watcher.tell(*(red(watcher) for _ in range(20)))
        assert len(await watcher.told()) == 1
        await watcher.later(299)
        await watcher.tell(red(watcher), red(watcher))
        updated = await watcher.alert()
        assert (updated.data["state"], updated.data["count"]) == ("updated", 22)
        over = green(watcher)
        await watcher.tell(over, green(watcher))
        closed = await watcher.alert()

        assert [state for _, state in await watcher.told()] == ["open", "updated", "closed"]
        assert {each.data["fingerprint"] for each in (opened, updated, closed)} == {
            opened.data["fingerprint"]
        }
        assert len(updated.data["evidence"]) == MOST_EVIDENCE
        assert updated.data["evidence"][:2] == [first.event_id, second.event_id]
        assert closed.extensions == {
            "causation_id": over.event_id, "correlation_id": second.event_id,
        }  # fmt: skip


async def test_it_is_over_when_it_is_not_seen_again(watched: Watch) -> None:
    async with watched(FAILS) as watcher:
        await watcher.tell(red(watcher), red(watcher))
        opened = await watcher.alert()
        await watcher.later(3599)
        assert await watcher.told() == [("ci-fails", "open")]
        await watcher.later(1)

        closed = await watcher.alert()
        assert (closed.data["state"], closed.data["reason"]) == ("closed", "not seen again")
        assert closed.extensions == {
            "causation_id": opened.event_id,
            "correlation_id": story_of(opened),
        }


async def test_what_is_counted_is_counted_apart_and_within_the_time(watched: Watch) -> None:
    async with watched(FAILS) as watcher:
        await watcher.tell(red(watcher, "a"), red(watcher, "b"), red(watcher, "c"))
        await watcher.later(60)
        await watcher.tell(red(watcher, "a"), green(watcher, "a"), red(watcher, "a"))

        assert await watcher.told() == []


async def test_an_old_event_opens_nothing_that_would_be_over(watched: Watch) -> None:
    async with watched(FAILS) as watcher:
        old = [red(watcher), red(watcher)]
        watcher.now += 7200
        await watcher.tell(*old)

        assert await watcher.told() == []


@pytest.mark.parametrize("kept", [True, False])
async def test_a_crash_loses_no_end_and_opens_nothing_twice(watched: Watch, kept: bool) -> None:
    async with watched(FAILS) as watcher:
        await watcher.tell(red(watcher))
        await watcher.kill()
        await watcher.service.publish(red(watcher))
        await watcher.watch()
        await watcher.settled()
        assert await watcher.told() == [("ci-fails", "open")]

        await watcher.kill()
        if kept:  # killed again before what was told was noted: the same is told, and stored once
            await watcher.watch()
            await watcher.kill()
        await watcher.service.publish(green(watcher))
        await watcher.watch()
        await watcher.settled()

        assert await watcher.told() == [("ci-fails", "open"), ("ci-fails", "closed")]


async def test_what_is_told_is_kept_before_it_is_told(
    watched: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(FAILS) as watcher:
        publish = watcher.service.publish_many
        said: list[Event] = []

        async def crash(events: Sequence[Event]) -> list[Stored]:
            said.extend(events)
            raise ConnectionAbortedError  # killed between what is kept and what is stored

        await watcher.service.publish_many([red(watcher), red(watcher)])
        monkeypatch.setattr(watcher.service, "publish_many", crash)
        with pytest.raises(ConnectionAbortedError):
            await watcher.settled()
        monkeypatch.setattr(watcher.service, "publish_many", publish)
        await watcher.watch()
        await watcher.settled()

        assert [entry.event_id for entry in await watcher.entries()] == [said[0].event_id]


async def test_it_never_answers_itself(watched: Watch) -> None:
    echo = RiskRuleSettings(name="echo", type="RISK_ALERT", message="again: {data.message}")
    async with watched(echo) as watcher:
        await watcher.tell(watcher.event("RISK_ALERT", severity="low", message="disk full"))
        await watcher.later(10)

        assert await watcher.told_of("echo") == ["open"]


async def test_a_flood_becomes_one_risk(watched: Watch) -> None:
    each = RiskRuleSettings(name="each", type="TASK_UPDATE", per="data.task_id", message="{path}")
    async with watched(each) as watcher:
        tasks = [watcher.event("TASK_UPDATE", task_id=f"T-{at}", status="x") for at in range(1000)]
        await watcher.tell(*tasks)

        assert len(await watcher.told()) <= AT_ONCE + 2
        assert "more than 20 within a minute" in (await watcher.alert()).data["message"]


async def test_a_rule_that_is_switched_off_closes_what_it_opened(watched: Watch) -> None:
    async with watched(FAILS) as watcher:
        await watcher.tell(red(watcher), red(watcher))
        watcher.settings = msgspec.structs.replace(watcher.settings, rules=[])
        await watcher.settled()

        assert [state for _, state in await watcher.told()] == ["open", "closed"]


def test_what_is_open_is_bounded_and_what_makes_room_is_told() -> None:
    now = 0.0
    book = Book(clock=lambda: now)
    for number in range(MOST_OPEN + 10):
        now += 60.0
        book.found(
            Finding(
                rule="r",
                project_id=None,
                subject=str(number),
                severity="low",
                message="m",
                when=now,
            )
        )

    assert len(book.risks) == MOST_OPEN
    assert [event.data["state"] for event in book.events].count("closed") == 10


@pytest.mark.parametrize("seed", range(3))
async def test_whenever_it_is_killed_each_risk_opens_and_ends_in_turn(
    watched: Watch, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 10_000)  # who starts anew begins to count floods anew
    chance = random.Random(seed)
    tasks = [f"T-{number}" for number in range(5)]
    async with watched(FAILS) as watcher:
        events = [
            chance.choice((red, red, green))(watcher, chance.choice(tasks)) for _ in range(200)
        ]
        for event in events:
            await watcher.service.publish(event)
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0.0005)
            if chance.random() < 0.15:
                await watcher.kill()
                await watcher.watch()
        await watcher.settled()
        told: dict[str, list[str]] = {}
        for entry in await watcher.entries():
            data = entry.event.data
            told.setdefault(data["fingerprint"], []).append(data["state"])

        # As one who was never killed counts.
        book = Book(clock=lambda: watcher.now)
        rule = Counted(FAILS)
        for seq, event in enumerate(events, 1):
            rule.see(Entry.of(event, seq), event.timestamp, book)
        expected: dict[str, list[str]] = {}
        for event in book.events:
            expected.setdefault(event.data["fingerprint"], []).append(event.data["state"])
        without_words_between = {
            mark: [state for state in states if state != "updated"] for mark, states in told.items()
        }
        assert without_words_between == expected
        assert sum(states.count("open") for states in expected.values()) > 10
