"""Sink: a cursor that acts."""

from __future__ import annotations

import asyncio

import pytest

from rtevents.core.event import Entry, Gap
from rtevents.core.filter import Filter
from rtevents.errors import BookmarkError, StoreError
from rtevents.sinks import pending
from rtevents.sinks.place import DeadLetters, Letter, Place
from rtevents.sinks.reader import Reader

from .conftest import Sinks, Staged, failed, risk, until


async def test_every_entry_is_done_in_order_and_then_its_place_is_kept(sinks: Sinks) -> None:
    reaction = Staged()
    await sinks.started(reaction)
    await sinks.publish(1, 2, 3)
    await until(lambda: reaction.done == [1, 2, 3], "all are done")
    await until(lambda: sinks.bookmark.endswith("-3"), "the place is kept")


async def test_it_begins_at_the_end_and_goes_on_where_it_was(sinks: Sinks) -> None:
    await sinks.publish(1)
    first = Staged()
    await sinks.started(first)
    await sinks.publish(2)
    await until(lambda: first.done == [2], "what comes is done")
    await until(lambda: sinks.bookmark.endswith("-2"), "the place is kept")
    await sinks.stop()
    await sinks.publish(3)

    second = Staged()
    await sinks.started(second)

    await until(lambda: second.done == [3], "what was missed is done, and nothing else")


async def test_the_place_stays_while_the_reaction_is_not_done(sinks: Sinks) -> None:
    reaction = Staged()
    reaction.gate.clear()
    await sinks.started(reaction)
    await sinks.publish(1)
    await until(lambda: reaction.tried, "it is tried")
    assert sinks.bookmark.endswith("-0")
    await sinks.stop()

    again = Staged()
    await sinks.started(again)

    await until(lambda: again.done == [1], "it is done again")


async def test_what_the_filter_hides_is_not_done(sinks: Sinks) -> None:
    reaction = Staged()
    await sinks.started(reaction, wanted=Filter(wheres=frozenset({'data.message == "risk 2"'})))
    await sinks.publish(1, 2, 3)

    await until(lambda: reaction.done == [2], "the one is done")


async def test_a_failure_is_tried_again_and_the_next_ones_wait(sinks: Sinks) -> None:
    reaction = Staged(failed(), failed(), None)
    await sinks.started(reaction, retries=3)
    await sinks.publish(1, 2)

    await until(lambda: reaction.done == [1, 2], "both are done")
    assert [batch.attempt for batch in reaction.tried] == [1, 2, 3, 1]
    assert [batch.entries[0].seq for batch in reaction.tried] == [1, 1, 1, 2]


async def test_what_fails_to_the_end_is_a_dead_letter_and_the_next_is_done(sinks: Sinks) -> None:
    reaction = Staged(failed("no room"), failed("no room"), None)
    sink = await sinks.started(reaction, retries=1)
    await sinks.publish(1, 2)

    await until(lambda: reaction.done == [2], "the next one is done")
    dead = DeadLetters(sinks.folder)
    (letter,) = dead.read(dead.ids)
    assert (letter.entry.seq, letter.reason, letter.attempts) == (1, "no room", 2)
    assert sink.as_dict()["dead"] == 1
    assert "s: gave up 1 after 2 attempts: no room" in sinks.told


async def test_what_is_refused_for_good_is_not_tried_again(sinks: Sinks) -> None:
    reaction = Staged(failed("422", is_final=True))
    sink = await sinks.started(reaction)
    await sinks.publish(1, 2)

    await until(lambda: reaction.done == [2], "the next one is done")
    assert len(reaction.tried) == 2
    assert sink.dead is not None
    assert len(sink.dead) == 1


async def test_dead_letters_are_replayed_and_those_that_fail_again_stay(sinks: Sinks) -> None:
    reaction = Staged(*[failed("down")] * 3)
    sink = await sinks.started(reaction, retries=0)
    await sinks.publish(1, 2, 3)
    dead = sink.dead
    assert dead is not None
    await until(lambda: len(dead) == 3, "all are given up")
    reaction.failures = [None, failed("still down"), None]

    assert sink.replay(dead.ids) == 3

    await until(lambda: reaction.done == [1, 3], "two are done")
    await until(lambda: len(DeadLetters(sinks.folder)) == 1, "one is left")
    (letter,) = dead.read(dead.ids)
    assert (letter.entry.seq, letter.attempts, letter.reason) == (2, 2, "still down")


async def test_dead_letters_are_bounded_and_what_is_dropped_is_told(sinks: Sinks) -> None:
    reaction = Staged()
    reaction.always = failed("down")
    sink = await sinks.started(reaction, retries=0, max_dead=3)
    await sinks.publish(*range(5))

    await until(lambda: sink.as_dict()["dropped"] == 2, "two are dropped")
    dead = DeadLetters(sinks.folder)
    assert [letter.entry.seq for letter in dead.read(dead.ids)] == [3, 4, 5]
    assert any("1 of the oldest dead letters are dropped" in text for text in sinks.told)
    full = (
        "its list of dead letters is full, 3: each new one drops the oldest; "
        "rtevents sinks dead s, then replay or discard"
    )
    assert sinks.warned == full
    await sinks.stop()
    sinks.warned = None
    sink = await sinks.started(again := Staged(), max_dead=3)
    await until(lambda: sinks.warned == full, "it still is")
    sink.replay(sink.dead.ids[:1] if sink.dead else [])
    await until(lambda: sinks.warned is None, "there is room again")
    assert again.done == [3]


async def test_a_full_list_of_dead_letters_is_told_besides_what_else_is_amiss(
    sinks: Sinks,
) -> None:
    reaction = Staged()
    reaction.always = failed("no", is_final=True)
    sink = await sinks.started(reaction, breaker=2, breaker_pause=60, max_dead=1)
    await sinks.publish(1, 2, 3)
    await until(lambda: sink.attempts.breaker.state == "open", "it rests")
    await until(lambda: sink.as_dict()["dropped"] == 1, "one is dropped")

    assert (sinks.warned or "").startswith("rests after 2 failures, the last: no; lag ")
    assert "; its list of dead letters is full, 1: " in (sinks.warned or "")
    reaction.always = None
    sink.resume()
    await until(lambda: reaction.done == [3], "it works again")
    assert (sinks.warned or "").startswith("its list of dead letters is full")


async def test_the_breaker_opens_after_failures_and_tries_once(sinks: Sinks) -> None:
    reaction = Staged()
    reaction.always = failed("down")
    sink = await sinks.started(reaction, retries=100, breaker=3, breaker_pause=30)
    await sinks.publish(1)
    await until(lambda: sink.attempts.breaker.state == "open", "it opens")

    assert len(reaction.tried) == 3
    assert sink.as_dict()["state"] == "resting"
    assert sinks.warned == "rests after 3 failures, the last: down; lag 1"
    reaction.always = None
    sink.resume()
    await until(lambda: reaction.done == [1], "it works again")
    assert sink.attempts.breaker.state == "closed"
    assert sinks.warned is None


async def test_a_half_open_breaker_opens_again_for_longer(sinks: Sinks) -> None:
    reaction = Staged()
    reaction.always = failed("down")
    sink = await sinks.started(reaction, retries=100, breaker=2, breaker_pause=0.01)
    await sinks.publish(1)

    await until(lambda: sink.attempts.breaker.left > 0.1, "its rests grow")
    assert sink.attempts.breaker.state == "open"
    assert sinks.told == ["s: down", "s: rests after 2 failures"]


async def test_what_nobody_answers_waits_however_often_it_is_tried(sinks: Sinks) -> None:
    reaction = Staged()
    reaction.always = failed("nobody", is_down=True)
    sink = await sinks.started(reaction, retries=1, breaker=2, breaker_pause=0.001)
    await sinks.publish(1, 2, 3)
    await until(lambda: len(reaction.tried) > 8, "it was tried far more often than that")

    assert {batch.entries[0].seq for batch in reaction.tried} == {1, 2}
    assert (sink.as_dict()["dead"], sink.as_dict()["lag"]) == (0, 3)
    assert sinks.warned == f"rests after {sink.attempts.failures} failures, the last: nobody; " + (
        "lag 3"
    )
    reaction.always = None
    sink.resume()
    await until(lambda: sinks.bookmark.endswith("-3"), "nothing was lost")
    assert reaction.done[-3:] == [1, 2, 3]
    assert sinks.warned is None


async def test_an_event_alone_that_nobody_answers_is_given_up(sinks: Sinks) -> None:
    """Those behind it are answered: it is the event."""
    down = failed("nobody", is_down=True)
    reaction = Staged(down, down, None, down, None)
    sink = await sinks.started(reaction, retries=1)
    await sinks.publish(1, 2, 3)

    await until(lambda: sinks.bookmark.endswith("-3"), "the others are done")
    assert [batch.entries[0].seq for batch in reaction.tried] == [1, 1, 2, 1, 3]
    assert reaction.done == [2, 3]
    assert sink.dead is not None
    (letter,) = sink.dead.read(sink.dead.ids)
    assert (letter.entry.seq, letter.reason) == (1, "nobody")
    await until(lambda: sink.as_dict()["lag"] == 0, "nothing is left")


async def test_whoever_comes_back_in_between_gets_all_in_order(sinks: Sinks) -> None:
    down = failed("nobody", is_down=True)
    reaction = Staged(down, None, None, None, None)
    sink = await sinks.started(reaction, retries=0)
    await sinks.publish(1, 2, 3)

    await until(lambda: sinks.bookmark.endswith("-3"), "all are done")
    assert reaction.done == [2, 1, 2, 3]
    assert sink.as_dict()["dead"] == 0


async def test_an_event_behind_that_is_refused_shows_that_somebody_is_there(sinks: Sinks) -> None:
    down = failed("nobody", is_down=True)
    reaction = Staged(down, failed("422", is_final=True), down, failed("422", is_final=True))
    sink = await sinks.started(reaction, retries=0)
    await sinks.publish(1, 2, 3)

    await until(lambda: reaction.done == [3], "the third is done")
    assert sink.dead is not None
    assert [letter.entry.seq for letter in sink.dead.read(sink.dead.ids)] == [1, 2]


async def test_without_a_breaker_the_health_tells_of_what_waits_as_well(sinks: Sinks) -> None:
    reaction = Staged()
    reaction.always = failed("nobody", is_down=True)
    sink = await sinks.started(reaction, retries=1, breaker=0)
    await sinks.publish(1)
    await until(lambda: sink.attempts.failures > 5, "it was tried far more often")

    assert (sinks.warned or "").startswith("waits after ")
    assert (sinks.warned or "").endswith(" failures, the last: nobody; lag 1")
    reaction.always = None
    await until(lambda: reaction.done == [1], "it is done")
    assert sinks.warned is None


async def test_what_waits_is_there_after_a_restart(sinks: Sinks) -> None:
    reaction = Staged()
    reaction.always = failed("nobody", is_down=True)
    await sinks.started(reaction, retries=0, breaker=1, breaker_pause=60)
    await sinks.publish(1, 2)
    await until(lambda: len(reaction.tried) == 2, "both were tried")
    await sinks.stop()

    await sinks.started(again := Staged())
    await until(lambda: again.done == [1, 2], "both are done")


async def test_end_ends_what_waits(sinks: Sinks) -> None:
    reaction = Staged()
    reaction.always = failed("nobody", is_down=True)
    sink = await sinks.started(reaction, retries=0, breaker=1, breaker_pause=60)
    await sinks.publish(1, 2)
    await until(lambda: sink.attempts.breaker.state == "open", "it rests")
    sink.end()

    done, _ = await asyncio.wait(sinks.tasks, timeout=20)
    assert done
    assert sinks.bookmark.endswith("-0")


async def test_the_other_side_may_ask_for_a_pause(sinks: Sinks) -> None:
    reaction = Staged(failed("busy", retry_after=60))
    sink = await sinks.started(reaction)
    await sinks.publish(1)

    await until(lambda: sink.attempts.breaker.left > 50, "it waits as asked")
    assert len(reaction.tried) == 1


async def test_a_receiver_that_is_gone_is_asked_no_more_until_it_is_resumed(sinks: Sinks) -> None:
    reaction = Staged(failed("the answer is 410", is_gone=True, is_final=True))
    sink = await sinks.started(reaction)
    await sinks.publish(1, 2)
    words = "rests: the answer is 410; rtevents sinks resume s"
    await until(lambda: sinks.warned == words, "it is gone")
    assert sink.as_dict()["state"] == "gone"
    await sinks.stop()
    sinks.warned = None

    sink = await sinks.started(again := Staged())
    await until(lambda: sinks.warned == words, "it still is")
    assert again.tried == []
    sink.resume()

    await until(lambda: again.done == [1, 2], "nothing was lost")


async def test_a_gap_is_told_to_the_health_and_to_the_reaction(sinks: Sinks) -> None:
    await sinks.started(Staged())
    await sinks.stop()
    await sinks.publish(*range(20))
    await sinks.service.log.retain(5, 0, 0)
    reaction = Staged(failed(), None)
    reaction.gate.clear()
    await sinks.started(reaction)
    await until(lambda: reaction.tried, "it is tried")

    gap = reaction.tried[0].gap
    assert gap is not None
    assert (gap.after, gap.before, gap.reason) == (0, 16, "trimmed")
    words = "entries 1 to 15 can no longer be read (trimmed)"
    assert (sinks.warned, sinks.told) == (words, [f"s: {words}"])
    reaction.gate.set()
    await until(lambda: reaction.done == [16, 17, 18, 19, 20], "what is left is done")
    assert [batch.gap for batch in reaction.tried[1:3]] == [gap, None]
    assert sinks.warned is None


async def test_another_log_gives_a_gap_and_begins_with_what_is_kept(sinks: Sinks) -> None:
    await sinks.publish(1)
    sinks.folder.mkdir()
    await Place(sinks.folder).note(bookmark="00000000-7")
    reaction = Staged()
    sinks.start(reaction)

    await until(lambda: reaction.done == [1], "what is kept is done")
    assert reaction.tried[0].gap is not None
    assert reaction.tried[0].gap.reason == "other-epoch"


async def test_a_batch_is_gathered_and_bounded(sinks: Sinks) -> None:
    reaction = Staged()
    await sinks.started(reaction, batch=4, batch_seconds=0.2)
    await sinks.publish(1)
    await sinks.publish(2, 3, 4, 5, 6)

    await until(lambda: len(reaction.done) == 6, "all are done")
    assert [[e.seq for e in batch.entries] for batch in reaction.tried] == [[1, 2, 3, 4], [5, 6]]


async def test_drop_does_the_newest_only(sinks: Sinks) -> None:
    reaction = Staged()
    reaction.gate.clear()
    await sinks.started(reaction, on_busy="drop")
    await sinks.publish(1)
    await until(lambda: reaction.tried, "the first runs")
    for number in range(2, 30):
        await sinks.publish(number)
    reaction.gate.set()

    await until(lambda: reaction.done == [1, 29], "the newest is done, and none between")
    await until(lambda: sinks.bookmark.endswith("-29"), "its place is kept")


async def test_restart_ends_what_runs_for_what_is_newer(sinks: Sinks) -> None:
    reaction = Staged()
    reaction.gate.clear()
    await sinks.started(reaction, on_busy="restart")
    await sinks.publish(1)
    await until(lambda: len(reaction.tried) == 1, "the first runs")
    await sinks.publish(2)
    await until(lambda: len(reaction.tried) == 2, "the second runs")
    assert reaction.ended == 1
    assert sinks.bookmark.endswith("-0")
    reaction.gate.set()

    await until(lambda: reaction.done == [2], "the newer one is done")
    await until(lambda: sinks.bookmark.endswith("-2"), "its place is kept")
    await sinks.publish(3)
    await until(lambda: reaction.done == [2, 3], "and it goes on")


async def test_a_sink_that_lags_holds_one_batch_whatever_the_rate(sinks: Sinks) -> None:
    reaction = Staged()
    reaction.gate.clear()
    sink = await sinks.started(reaction)
    for number in range(0, 600, 100):
        await sinks.publish(*range(number, number + 100))
    await until(lambda: reaction.tried, "the first runs")

    assert len(sink._pending.entries) == 0
    assert len(reaction.tried[0].entries) == 1
    assert sink.as_dict()["lag"] == 600
    reaction.gate.set()
    await until(lambda: len(reaction.done) == 600, "all are done")
    assert reaction.done == list(range(1, 601))


async def test_every_keeps_reactions_apart(sinks: Sinks) -> None:
    reaction = Staged()
    await sinks.started(reaction, every=60, batch=100)
    await sinks.publish(1)
    await until(lambda: reaction.done == [1], "the first is done at once")
    await sinks.publish(2)
    await asyncio.sleep(0.1)

    assert reaction.done == [1]


async def test_end_lets_what_runs_come_to_its_end(sinks: Sinks) -> None:
    reaction = Staged()
    reaction.gate.clear()
    sink = await sinks.started(reaction)
    await sinks.publish(1, 2)
    await until(lambda: reaction.tried, "the first runs")
    sink.end()
    assert not sinks.tasks[0].done()
    reaction.gate.set()
    await asyncio.wait(sinks.tasks, timeout=20)

    assert (reaction.done, reaction.ended) == ([1], 0)
    assert sinks.bookmark.endswith("-1")


async def test_end_does_not_wait_while_nothing_runs(sinks: Sinks) -> None:
    sink = await sinks.started(Staged())
    sink.end()
    done, _ = await asyncio.wait(sinks.tasks, timeout=20)

    assert done


async def test_a_bug_in_a_reaction_ends_no_sink(sinks: Sinks) -> None:
    reaction = Staged(KeyError("x"), None)
    await sinks.started(reaction, retries=0)
    await sinks.publish(1, 2)

    await until(lambda: reaction.done == [2], "the next is done")
    assert "s: gave up 1: a bug: KeyError: 'x'" in sinks.told


async def test_a_place_that_cannot_be_written_is_told_and_the_sink_goes_on(sinks: Sinks) -> None:
    reaction = Staged()
    await sinks.started(reaction)
    (sinks.folder / "place.json").unlink()
    (sinks.folder / "place.json").mkdir()
    (sinks.folder / "place.json" / "x").touch()
    await sinks.publish(1, 2)

    await until(lambda: reaction.done == [1, 2], "both are done")
    assert any("place.json cannot be written" in text for text in sinks.told)


async def test_a_place_that_is_damaged_is_set_aside(sinks: Sinks) -> None:
    sinks.folder.mkdir()
    (sinks.folder / "place.json").write_bytes(b"{")
    reaction = Staged()
    await sinks.started(reaction)
    await sinks.publish(1)

    await until(lambda: reaction.done == [1], "it goes on from now")
    assert (sinks.folder / "place.json.bad").exists()


async def test_a_dead_letter_that_is_damaged_is_left_out(sinks: Sinks) -> None:
    reaction = Staged(failed(), failed())
    sink = await sinks.started(reaction, retries=0)
    await sinks.publish(1, 2)
    dead = sink.dead
    assert dead is not None
    await until(lambda: len(dead) == 2, "both are given up")
    (sinks.folder / "dead" / f"{dead.ids[0]}.json").write_bytes(b"[")

    assert [letter.entry.seq for letter in dead.read(dead.ids)] == [2]


async def test_what_is_no_place_is_refused(sinks: Sinks) -> None:
    sinks.start(Staged(), since="?")
    with pytest.raises(BookmarkError):
        await sinks.tasks.pop()


async def test_restart_keeps_no_place_past_what_still_runs(
    sinks: Sinks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "LOOK_SECONDS", 0.01)
    reaction, looks = Staged(), 0
    reaction.gate.clear()
    sink = await sinks.started(reaction, on_busy="restart")
    await sinks.publish(1)
    await until(lambda: reaction.tried, "it runs")
    look = sink._reader.next

    async def counted(wait: float, *, limit: int) -> list[Entry | Gap]:
        nonlocal looks
        looks += 1
        return await look(wait, limit=limit)

    monkeypatch.setattr(sink._reader, "next", counted)
    await until(lambda: looks > 2, "it has looked for newer ones, and found none")

    assert sinks.bookmark.endswith("-0")


def give_up(sinks: Sinks, *seqs: int) -> DeadLetters:
    """Put letters of the log's entries into the sink's folder."""
    sinks.folder.mkdir(exist_ok=True)
    dead = DeadLetters(sinks.folder)
    for seq in seqs:
        entry = Entry.of(risk(seq), seq)
        dead.put(Letter.of(entry, sinks.service.log.epoch, "down", 1))
    return dead


async def test_what_is_asked_to_be_replayed_before_it_runs_comes_first(sinks: Sinks) -> None:
    await sinks.publish(1, 2, 3, 4)
    dead = give_up(sinks, 1, 2, 3)
    reaction = Staged()
    reaction.gate.clear()
    sink = sinks.start(reaction, since="all")
    sink.replay(dead.ids)
    await until(lambda: reaction.tried and sinks.bookmark, "the first runs, and it has its place")
    await asyncio.sleep(0.05)  # time to queue behind it, for who would
    reaction.gate.set()

    await until(lambda: len(reaction.done) == 7, "all are done")
    assert reaction.done == [1, 2, 3, 1, 2, 3, 4]


async def test_end_lets_what_is_replayed_come_to_its_end(sinks: Sinks) -> None:
    await sinks.publish(1, 2)
    dead = give_up(sinks, 1, 2)
    reaction = Staged()
    reaction.gate.clear()
    sink = await sinks.started(reaction)
    sink.replay(dead.ids)
    await until(lambda: reaction.tried, "the first is replayed")
    assert sink.attempts.is_acting
    sink.end()
    await asyncio.sleep(0)
    reaction.gate.set()
    await asyncio.wait(sinks.tasks, timeout=20)

    assert (reaction.done, reaction.ended) == ([1], 0)
    assert DeadLetters(sinks.folder).ids == dead.ids[1:]


async def test_end_before_it_knows_where_it_is_lets_what_is_replayed_come_to_its_end(
    sinks: Sinks, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sinks.publish(1, 2)
    dead = give_up(sinks, 1, 2)
    reaction = Staged()
    reaction.gate.clear()

    async def open_for_ever(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Reader, "open", open_for_ever)
    sink = sinks.start(reaction)
    sink.replay(dead.ids)
    await until(lambda: reaction.tried, "the first is replayed")
    sink.end()
    ended, _ = await asyncio.wait(sinks.tasks, timeout=0.1)
    assert not ended
    reaction.gate.set()
    await asyncio.wait(sinks.tasks, timeout=20)

    assert (reaction.done, reaction.ended) == ([1], 0)
    assert DeadLetters(sinks.folder).ids == dead.ids[1:]


async def test_a_letter_whose_event_is_done_after_all_is_none_any_more(sinks: Sinks) -> None:
    """As after a crash between the letter and the place after it."""
    await sinks.publish(1, 2)
    give_up(sinks, 1, 2)
    sink = await sinks.started(Staged(None, failed(is_final=True)), since="all")

    await until(lambda: sinks.bookmark.endswith("-2"), "both are settled")
    assert sink.dead is not None
    assert [letter.split("-")[1] for letter in sink.dead.ids] == ["2"]


async def test_a_letter_that_cannot_be_written_again_keeps_no_other_from_its_replay(
    sinks: Sinks, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sinks.publish(1, 2)
    reaction = Staged(failed("down"), None)
    give_up(sinks, 1, 2)
    sink = await sinks.started(reaction)
    assert sink.dead is not None

    def refuse(letter: Letter) -> int:
        raise StoreError("no room")

    monkeypatch.setattr(sink.dead, "put", refuse)
    sink.replay(sink.dead.ids)

    await until(lambda: reaction.done == [2], "the second is done")
    assert "s: no room" in sinks.told


async def test_a_resume_is_heeded_as_soon_as_it_is_seen_to_be_gone(sinks: Sinks) -> None:
    reaction = Staged(failed(is_gone=True), None)
    sink = await sinks.started(reaction)
    note = sink.place.note

    async def resumed(**fields: str | int) -> None:
        await note(**fields)
        if fields.get("gone"):
            sink.resume()

    sink.place.note = resumed  # type: ignore[method-assign]
    await sinks.publish(1)

    await until(lambda: reaction.done == [1], "it is tried again")
