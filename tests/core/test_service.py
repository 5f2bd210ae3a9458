"""The core's face: publish, connect, handlers, heartbeat, cleanup, statistics, health."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from rtevents.core.connection import Place
from rtevents.core.event import Entry, Event, Gap, Stored
from rtevents.core.filter import Filter
from rtevents.core.health import Thresholds
from rtevents.core.service import EventService
from rtevents.core.store import Retention
from rtevents.errors import (
    BookmarkError,
    EventConflict,
    EventRefused,
    LogClosed,
    QueueFull,
    StoreError,
    Unavailable,
)
from tests.conftest import PATIENCE

from .conftest import TroubledStore, task

ROOMY = 2**62
"""A threshold for the memory of a process that runs thousands of other tests as well."""


@pytest.fixture
async def service(store: TroubledStore) -> AsyncIterator[EventService]:
    """Return a service that runs, with room for four events and little patience."""
    thresholds = Thresholds(memory_bytes=ROOMY)
    async with EventService(
        store, max_queue_size=4, queue_timeout=0.05, thresholds=thresholds
    ) as service:
        yield service
        store.gate.set()


async def waiting(service: EventService, count: int) -> None:
    """Return when `count` events wait to be stored."""
    while service.statistics().queue["size"] != count:
        await asyncio.sleep(0)


async def test_the_defaults_are_the_specifications(store: TroubledStore) -> None:
    service = EventService(store)

    assert service.heartbeat_interval == 30
    assert service.statistics().queue["max_size"] == 1000


async def test_what_is_published_is_stored_in_order(service: EventService) -> None:
    first = await service.publish(task(1))
    more = await service.publish_many([task(2), task(3)])

    assert [first.seq, *(stored.seq for stored in more)] == [1, 2, 3]
    assert service.log.last == 3


async def test_nothing_is_published_by_an_empty_batch(service: EventService) -> None:
    assert await service.publish_many([]) == []
    offered = service.offer([])
    assert offered is not None
    assert await offered == []

    async with asyncio.timeout(10):
        assert (await service.publish(task(1))).seq == 1


async def test_a_repeated_event_is_answered_with_its_first_seq(service: EventService) -> None:
    event = task(1)
    await service.publish(event)

    assert await service.publish(event) == Stored(event.event_id, 1, duplicate=True)
    assert service.statistics().events["duplicates"] == 1


async def test_another_body_under_the_same_id_is_a_conflict(service: EventService) -> None:
    await service.publish(task(1, event_id="one"))
    with pytest.raises(EventConflict) as caught:
        await service.publish(task(2, event_id="one"))

    assert (caught.value.event_id, caught.value.seq) == ("one", 1)
    assert service.statistics().events["refused"] == 1


async def test_a_refused_event_names_its_place_in_the_batch(service: EventService) -> None:
    with pytest.raises(EventRefused) as caught:
        await service.publish_many([task(1), task(2, data={"task_id": "T", "status": 7})])

    assert (caught.value.index, caught.value.field) == (1, "data.status")
    assert service.log.last == 0


async def test_a_single_refused_event_has_no_index(service: EventService) -> None:
    with pytest.raises(EventRefused) as caught:
        await service.publish(Event(type="NO_SUCH", data={}))

    assert (caught.value.index, caught.value.field) == (None, "type")


async def test_a_heartbeat_is_not_accepted_from_outside(service: EventService) -> None:
    with pytest.raises(EventRefused, match="the daemon's own heartbeat"):
        await service.publish(service.heartbeat())


async def test_events_of_many_publishers_are_stored_together(
    service: EventService, store: TroubledStore
) -> None:
    store.gate.clear()
    publishers = [asyncio.create_task(service.publish(task(number))) for number in range(4)]
    await waiting(service, 4)
    store.gate.set()

    assert [stored.seq for stored in await asyncio.gather(*publishers)] == [1, 2, 3, 4]


async def test_a_full_queue_refuses_after_the_timeout(
    service: EventService, store: TroubledStore
) -> None:
    store.gate.clear()
    publishers = [asyncio.create_task(service.publish(task(number))) for number in range(4)]
    await waiting(service, 4)

    with pytest.raises(QueueFull, match="4 events waited to be stored") as caught:
        await service.publish(task(5))

    assert 1 <= caught.value.retry_after <= 30
    store.gate.set()
    await asyncio.gather(*publishers)
    assert (await service.publish(task(6))).seq == 5


async def test_a_publisher_that_waits_gets_room_when_the_queue_drains(
    store: TroubledStore,
) -> None:
    async with EventService(store, max_queue_size=2, queue_timeout=30) as service:
        store.gate.clear()
        first = asyncio.create_task(service.publish_many([task(1), task(2)]))
        await waiting(service, 2)
        others = [asyncio.create_task(service.publish(task(number))) for number in (3, 4, 5)]
        await asyncio.sleep(0)
        store.gate.set()

        assert [stored.seq for stored in await first] == [1, 2]
        assert [(await other).seq for other in others] == [3, 4, 5]


async def test_who_comes_later_does_not_overtake_who_waits_for_room(store: TroubledStore) -> None:
    async with EventService(store, max_queue_size=2, queue_timeout=30) as service:
        store.gate.clear()
        first = asyncio.create_task(service.publish_many([task(1), task(2)]))
        await waiting(service, 2)
        others = [asyncio.create_task(service.publish(task(number))) for number in (3, 4)]
        await asyncio.sleep(0)
        store.gate.set()
        await first
        late = service.offer([task(5)])

        assert late is None
        assert [(await each).seq for each in others] == [3, 4]


async def test_the_queue_is_bounded_in_bytes(store: TroubledStore) -> None:
    async with EventService(store, max_queue_bytes=500, queue_timeout=0.01) as service:
        store.gate.clear()
        first = asyncio.create_task(service.publish(task(1)))
        await waiting(service, 1)
        with pytest.raises(QueueFull):
            await service.publish_many([task(2), task(3), task(4)])
        store.gate.set()
        await first


async def test_a_batch_larger_than_the_queue_is_taken_when_the_queue_is_empty(
    service: EventService,
) -> None:
    assert len(await service.publish_many([task(number) for number in range(50)])) == 50


async def test_more_than_one_transaction_holds_is_stored_in_several(store: TroubledStore) -> None:
    async with EventService(store, max_queue_size=10_000) as service:
        store.gate.clear()
        first = asyncio.create_task(service.publish(task(0)))
        await waiting(service, 1)
        batches = [
            asyncio.create_task(service.publish_many([task(number) for number in range(1500)]))
            for _ in range(3)
        ]
        await waiting(service, 4501)
        store.gate.set()
        await asyncio.gather(first, *batches)

        assert service.log.last == 4501


async def test_a_broken_store_is_told_and_forgotten_when_it_works_again(
    service: EventService, store: TroubledStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.failure = "disk full"
    for _ in range(3):
        with pytest.raises(StoreError, match="disk full"):
            await service.publish(task(1))

    assert service.health().status == "failed"
    assert "events cannot be stored: disk full" in service.health().reasons
    assert service.statistics().errors_1m == 1
    assert service.statistics().events["refused"] == 3
    assert len(caplog.records) == 1
    store.failure = None
    await service.publish(task(1))
    assert service.health().status == "ok"


async def test_one_outage_is_one_error_and_the_next_another(
    service: EventService, store: TroubledStore
) -> None:
    """However many came meanwhile and were refused: that is over when the outage is."""
    for outage in (1, 2):
        for attempt in range(2 * service.watch.thresholds.errors_per_minute):
            # In other words each time, as what cannot be reached fails in many ways.
            store.failure = f"no answer, {attempt}"
            with pytest.raises(StoreError):
                await service.publish(task(1))
        store.failure = None
        await service.publish(task(1))

        assert service.statistics().errors_1m == outage
        assert service.health().status == "ok"


async def test_a_bug_in_the_store_refuses_what_waits_and_nothing_else(
    service: EventService, store: TroubledStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = store.append

    async def broken(batches: object) -> list[list[Stored] | EventConflict]:
        store.append = append  # type: ignore[method-assign]
        raise RecursionError("too deep")

    monkeypatch.setattr(store, "append", broken)
    async with asyncio.timeout(10):
        with pytest.raises(StoreError, match="a bug: RecursionError: too deep"):
            await service.publish(task(1))

        assert (await service.publish(task(2))).seq == 1


async def test_every_event_that_the_store_refuses_is_counted(
    service: EventService, store: TroubledStore
) -> None:
    """P6: so that who looks at the statistics sees how many did not get in."""
    store.failure = "disk full"

    with pytest.raises(StoreError, match="disk full"):
        await service.publish_many([task(number) for number in range(5)])

    assert service.statistics().events["refused"] == 5
    assert service.statistics().events["published"] == 0


async def test_a_publisher_that_goes_away_does_not_disturb_the_others(
    service: EventService, store: TroubledStore
) -> None:
    store.gate.clear()
    gone = asyncio.create_task(service.publish(task(1)))
    stays = asyncio.create_task(service.publish(task(2)))
    await waiting(service, 2)
    gone.cancel()
    await asyncio.sleep(0)
    store.gate.set()

    assert (await stays).seq == 2


async def test_stopping_stores_what_waits_and_refuses_what_comes(store: TroubledStore) -> None:
    service = EventService(store, max_queue_size=1, queue_timeout=30)
    await service.start()
    store.gate.clear()
    last = asyncio.create_task(service.publish(task(1)))
    await waiting(service, 1)
    late = asyncio.create_task(service.publish(task(2)))
    await asyncio.sleep(0)
    stopping = asyncio.create_task(service.stop())
    await asyncio.sleep(0)
    assert service.health().reasons[0] == "the daemon is stopping"
    store.gate.set()
    await stopping

    assert (await last).seq == 1
    with pytest.raises(LogClosed):
        await late
    with pytest.raises(Unavailable):
        await service.publish(task(3))
    with pytest.raises(LogClosed):
        await service.connect()


async def test_a_connection_has_the_specifications_fields(service: EventService) -> None:
    wanted = Filter(types=frozenset({"COMMIT"}), projects=frozenset({"web"}))
    connection, start = await service.connect(wanted, kind="sse", principal="local:0", pid=7)

    shown = connection.as_dict(service.log.last + 3)
    assert start.verdict == "new"
    assert shown["subscriptions"] == ["COMMIT"]
    assert shown["project_filter"] == ["web"]
    assert shown["last_event_id"] == f"{service.log.epoch}-0"
    assert shown["lag"] == 3
    assert shown["connected_at"] <= shown["last_activity"]
    assert service.connections[shown["connection_id"]] is connection
    service.disconnect(connection)
    assert service.connections == {}


async def test_a_closed_connection_tells_its_first_reason(service: EventService) -> None:
    connection, _ = await service.connect()
    heard: list[str | None] = []
    connection.on_close(lambda: heard.append(connection.close_reason))
    connection.close("slow")
    connection.close("shutdown")
    connection.on_close(lambda: heard.append("late"))

    assert heard == ["slow", "late"]


async def test_following_gives_what_was_and_what_comes(service: EventService) -> None:
    await service.publish_many([task(1), task(2)])
    found = []
    async with aclosing(service.follow(since="all")) as events:
        async for item in events:
            assert isinstance(item, Entry)
            found.append(item.seq)
            if item.seq == 2:
                await service.publish(task(3))
            if item.seq == 3:
                break

    assert found == [1, 2, 3]
    assert service.statistics().connections == {"current": 0, "total": 1, "cleaned_up": 0}


async def test_following_an_unknown_place_begins_with_a_gap(service: EventService) -> None:
    await service.publish(task(1))
    async with aclosing(service.follow(since="00000000-9")) as events:
        assert await anext(events) == Gap(0, 1, "other-epoch")
        assert isinstance(await anext(events), Entry)


async def test_following_begins_with_the_newest_of_each_type_when_asked(
    service: EventService,
) -> None:
    await service.publish_many([task(1), task(2)])
    async with aclosing(service.follow(since="last-per-type")) as events:
        item = await anext(events)

    assert isinstance(item, Entry)
    assert item.seq == 2


async def test_following_hears_a_heartbeat_when_nothing_happens(store: TroubledStore) -> None:
    thresholds = Thresholds(memory_bytes=ROOMY)
    service = EventService(store, heartbeat_interval=0.01, thresholds=thresholds)
    async with service, aclosing(service.follow()) as events:
        beat = await anext(events)

    assert isinstance(beat, Event)
    assert (beat.type, beat.data["status"]) == ("HEALTH_CHECK", "ok")


async def test_following_ends_with_the_service(store: TroubledStore) -> None:
    async with EventService(store) as service:
        ended = asyncio.create_task(_collect(service))
        await asyncio.sleep(0)
        while not service.connections:
            await asyncio.sleep(0)

    assert await ended == []


async def test_following_ends_when_its_connection_is_closed(store: TroubledStore) -> None:
    async with EventService(store, heartbeat_interval=0.01) as service:
        ended = asyncio.create_task(_collect(service))
        while not service.connections:
            await asyncio.sleep(0)
        next(iter(service.connections.values())).close("ended")

        assert await ended == []


async def _collect(service: EventService) -> list[Entry]:
    return [item async for item in service.follow() if isinstance(item, Entry)]


async def test_a_place_that_cannot_be_read_is_refused(service: EventService) -> None:
    with pytest.raises(BookmarkError):
        await service.connect(since="soon enough")


async def test_an_inactive_connection_is_cleaned_up(store: TroubledStore) -> None:
    async with EventService(store, cleanup_timeout=0.04) as service:
        idle, _ = await service.connect()
        busy, _ = await service.connect()
        while not idle.is_closed:
            busy.touch()
            await asyncio.sleep(0.001)

        assert idle.close_reason == "inactive"
        assert list(service.connections.values()) == [busy]
        assert service.statistics().connections["cleaned_up"] == 1


async def test_a_handler_gets_each_matching_entry_in_order(service: EventService) -> None:
    seen: list[int] = []
    done = asyncio.Event()

    def note(entry: Entry) -> None:
        seen.append(entry.seq)
        if entry.seq == 4:
            done.set()

    end = service.on(note, Filter(types=frozenset({"TASK_UPDATE"})))
    await service.publish_many([task(1), task(2)])
    await service.publish_many([task(3, type="PROGRESS_UPDATE", data={"done": 1, "total": 2})])
    await service.publish(task(4))
    await asyncio.wait_for(done.wait(), PATIENCE)
    assert service.statistics().handlers["registered"] == 1
    end()
    while service.statistics().handlers["registered"]:
        await asyncio.sleep(0)

    assert seen == [1, 2, 4]


async def test_a_handler_that_raises_is_counted_and_goes_on(
    service: EventService, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []
    done = asyncio.Event()

    async def fail(entry: Entry) -> None:
        seen.append(entry.seq)
        if entry.seq == 3:
            done.set()
        raise RuntimeError("a user's mistake")

    service.on(fail)
    await service.publish_many([task(1), task(2), task(3)])
    await asyncio.wait_for(done.wait(), PATIENCE)
    while service.statistics().handlers["failures"] < 3:
        await asyncio.sleep(0)

    assert seen == [1, 2, 3]
    assert len(caplog.records) == 1


async def test_a_handler_goes_on_when_the_store_could_not_be_read(
    store: TroubledStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    read = store.read

    async def broken(*given: object, **named: object) -> object:
        monkeypatch.setattr(store, "read", read)
        raise StoreError("the disk failed", retry_after=0.001)

    async with EventService(store, event_retention=1) as service:
        service.on(lambda entry: seen.append(entry.seq))
        monkeypatch.setattr(store, "read", broken)
        await service.publish_many([task(1), task(2), task(3)])
        async with asyncio.timeout(10):
            while len(seen) < 3:
                await asyncio.sleep(0.001)
            service.log.close()
            while service.statistics().handlers["registered"]:
                await asyncio.sleep(0)

    assert seen == [1, 2, 3]


async def test_a_handler_is_told_of_entries_and_not_of_gaps(store: TroubledStore) -> None:
    async with EventService(store, event_retention=1) as service:
        seen: list[int] = []
        service.on(lambda entry: seen.append(entry.seq))
        await service.publish_many([task(number) for number in range(20)])
        await service.log.retain(2, 0, 0)
        while 20 not in seen:
            await asyncio.sleep(0)

        assert seen == sorted(seen)


async def test_the_store_is_trimmed_to_its_retention(store: TroubledStore) -> None:
    retention = Retention(max_events=5, interval=0.001)
    async with EventService(store, retention=retention) as service:
        await service.publish_many([task(number) for number in range(20)])
        while service.log.first != 16:
            await asyncio.sleep(0.001)

        assert (await service.publish(task(21))).seq == 21


async def test_a_trim_that_fails_is_told(store: TroubledStore) -> None:
    store.failure = "read-only"
    async with EventService(store, retention=Retention(interval=0.001)) as service:
        while service.health().status != "failed":
            await asyncio.sleep(0.001)


async def test_statistics_are_a_value(service: EventService) -> None:
    await service.publish_many([task(1), task(2), task(3, type="RISK_ALERT", data={
        "severity": "low", "message": "m"})])  # fmt: skip

    snapshot = service.statistics()
    assert snapshot.events["by_type"] == {"TASK_UPDATE": 2, "RISK_ALERT": 1}
    assert snapshot.events["published"] == 3
    assert snapshot.events["rate_1m"] > 0
    assert snapshot.log["newest"] == 3
    assert snapshot.latency["p99"] >= snapshot.latency["p50"] > 0
    assert snapshot.memory_bytes is None or snapshot.memory_bytes > 10**6


async def test_a_crossed_threshold_or_a_warning_is_degraded(store: TroubledStore) -> None:
    thresholds = Thresholds(connections=0, memory_bytes=ROOMY)
    async with EventService(store, thresholds=thresholds) as service:
        assert service.health().status == "ok"
        await service.connect()
        service.warnings["files of web"] = "no such folder"

        assert service.health().status == "degraded"
        assert service.health().reasons == [
            "files of web: no such folder",
            "connections: 1, above 0",
        ]


async def test_a_dashboard_gets_the_statistics_and_the_verdict(service: EventService) -> None:
    await service.publish(task(1))
    update = service.dashboard_update()

    assert (update.type, update.source) == ("DASHBOARD_UPDATE", "rtevents/system")
    assert update.data["metrics"]["events"]["published"] == 1
    assert update.data["metrics"]["health"] == {"status": "ok", "reasons": []}
    service.types.check_all([update])


async def test_events_are_offered_where_there_is_room_at_once(
    service: EventService, store: TroubledStore
) -> None:
    store.gate.clear()
    offers = [service.offer([task(number)]) for number in range(4)]
    assert service.offer([task(5)]) is None
    store.gate.set()

    stored = [await offer for offer in offers if offer is not None]
    assert [one.seq for [one] in stored] == [1, 2, 3, 4]
    with pytest.raises(EventRefused):
        service.offer([Event(type="NO_SUCH", data={})])
    assert service.counters.refused == 1


async def test_connections_that_are_served_together_share_a_place(service: EventService) -> None:
    first, second = [(await service.connect())[0] for _ in range(2)]
    place = Place(3)
    first.share(place)
    second.share(place)
    place.seq = 5
    first.position = 9

    assert (first.position, second.position, place.seq) == (9, 5, 5)
