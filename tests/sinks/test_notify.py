"""Messages to people, by way of Apprise, which is asked to post them to a receiver of ours."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import pytest

from rtevents.config.sinks import NotifySettings
from rtevents.core.event import Entry, Event, Gap
from rtevents.errors import ConfigError, ReactionFailed
from rtevents.sinks import Batch
from rtevents.sinks.notify import digest, line_of, lines, open_notify

from .conftest import Sinks, risk, until
from .receiver import Receiver, status

OLD = pytest.mark.filterwarnings("ignore::DeprecationWarning")
"""Apprise loads modules of Python's that are to go, where they are still there."""


def batch(*seqs: int, gap: Gap | None = None) -> Batch:
    """Return a batch of entries of these numbers."""
    return Batch(sink="s", entries=[Entry.of(risk(n), n) for n in seqs], epoch="0badcafe", gap=gap)


def test_one_event_is_told_in_a_line() -> None:
    sent = batch(7)

    assert digest(sent) == "RISK_ALERT"
    assert lines(sent) == ["RISK_ALERT -: high: risk 7"]


def test_many_are_told_in_one_message() -> None:
    sent = batch(*range(30), gap=Gap(2, 6, "trimmed"))

    assert digest(sent) == "30 events, 30 RISK_ALERT"
    assert lines(sent)[:2] == ["events before were lost (trimmed)", "… and 20 before"]
    assert len(lines(sent)) == 12


def test_foreign_text_begins_no_line_and_steers_nothing() -> None:
    data = {"severity": "low", "message": "a\nb\x1b[31m\u202e" + "x" * 500}
    told = line_of(Entry.of(Event(type="RISK_ALERT", data=data), 1))

    assert told.startswith("RISK_ALERT -: low: a b [31m x")
    assert len(told) == 200


@OLD
def test_what_apprise_does_not_know_is_refused_without_its_secrets() -> None:
    with pytest.raises(ConfigError) as caught:
        open_notify(NotifySettings(urls=["nonesuch://geheim"]))

    assert str(caught.value) == "notify: Apprise does not know address 1"


def test_without_an_address_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="notify: expected urls"):
        open_notify(NotifySettings())
    with pytest.raises(ConfigError, match=r"notify.urls_file: no such file"):
        open_notify(NotifySettings(urls_file="/nonesuch"))


@OLD
async def test_a_burst_is_one_message_after_the_first(sinks: Sinks, tmp_path: Path) -> None:
    async with Receiver(status(200), status(500), status(200)) as receiver:
        file = tmp_path / "urls"
        file.write_text(f"# mine\n{receiver.url.replace('http', 'json')}\n")
        reaction = open_notify(NotifySettings(urls_file=str(file), title="web"))
        receiver.answers.insert(0, status(500))
        with pytest.raises(ReactionFailed, match="not taken by all of its addresses"):
            await reaction.act(batch(1))
        receiver.requests.clear()
        await sinks.started(reaction, batch=reaction.at_once, every=0.5)
        await sinks.publish(1)
        await until(lambda: len(receiver.requests) == 1, "the first is told at once")
        await sinks.publish(*range(2, 40))
        await until(lambda: sinks.bookmark.endswith("-39"), "all are told")

    told = [json.loads(request.body) for request in receiver.requests]
    assert told[0]["title"] == "web: RISK_ALERT"
    assert told[-1]["title"] == "web: 38 events, 38 RISK_ALERT"
    assert len(told) == 3  # the second one failed and was tried again


@OLD
async def test_one_that_hangs_takes_one_thread_and_none_of_the_others() -> None:
    go_on = asyncio.Event()

    async def hang(writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        writer.write(status(200))

    async with Receiver(hang) as receiver:
        url = receiver.url.replace("http", "json") + "?rto=60"
        reaction = open_notify(NotifySettings(urls=[url], timeout=0.5))
        for _ in range(3):
            with pytest.raises(ReactionFailed, match=r"not taken within 0\.5 s"):
                await reaction.act(batch(1))
        names = [each.name for each in threading.enumerate()]
        go_on.set()
        await until(lambda: not hanging(), "the first has come to its end")
        await reaction.act(batch(2))

    assert len(receiver.requests) == 2
    assert names.count("rtevents notify") == 1
    assert not any(name.startswith("asyncio") for name in names)


def hanging() -> list[threading.Thread]:
    """Return the threads that send a message."""
    return [each for each in threading.enumerate() if each.name == "rtevents notify"]
