"""The page of a daemon that is one of several, and of one that has several logs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rtevents.core.event import Event
from tests.conftest import Daemon, folder_with_a_short_path, lodging
from tests.redis import RedisServer

from .conftest import Screen, publish, risk

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A log in Redis."""
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server.url()
    server.stop()


@pytest.fixture
def screen(context: BrowserContext, stopped_daemon: Daemon) -> Screen:
    """A tab for a daemon that is not started yet."""
    return Screen(context.new_page(), stopped_daemon)


@pytest.fixture
def another(url: str) -> Iterator[Daemon]:
    """Another daemon on that log."""
    with folder_with_a_short_path() as folder, lodging(folder) as daemon:
        daemon.start(env={"RTEVENTS_STORE": url, "RTEVENTS_NODE_INTERVAL": "0.2"})
        yield daemon


def test_daemons_that_share_a_log_are_counted_together(
    screen: Screen, stopped_daemon: Daemon, another: Daemon, url: str
) -> None:
    stopped_daemon.start(env={"RTEVENTS_STORE": url, "RTEVENTS_NODE_INTERVAL": "0.2"})
    screen.open()
    publish(another, risk("from the other one"))

    screen.until_text("#feed", "from the other one")
    screen.until_text("#health .facts", "All 2 daemons")
    another.stop(9)
    screen.until_text("#health .facts", "All 2 daemons (1 lost)")
    assert screen.complaints == []


def test_several_logs_are_seen_as_one_stream_and_resumed(
    screen: Screen, stopped_daemon: Daemon, url: str
) -> None:
    daemon = stopped_daemon
    folder = daemon.home / "config" / "rtevents"
    folder.mkdir()
    (folder / "config.yaml").write_text(
        f"logs:\n- {{name: team, projects: [team], store: '{url}'}}\n"
    )

    def told(message: str) -> list[Event]:
        return [risk(f"{message} here"), risk(f"{message} there", project_id="team")]

    daemon.start()
    publish(daemon, told("before")[0])
    publish(daemon, told("before")[1])
    screen.open()
    for one in told("live"):
        publish(daemon, one)
    for wanted in ("before here", "before there", "live here", "live there"):
        screen.until_text("#feed", wanted)

    daemon.stop()
    screen.until_state("reconnecting")
    daemon.start()
    screen.until_state("live")
    for one in told("again"):
        publish(daemon, one)
    for wanted in ("again here", "again there"):
        screen.until_text("#feed", wanted)
    screen.until_text("#rates", "RISK_ALERT")
    screen.until_text("#health .facts", "Log")
    assert screen.text("#feed").count("live there") == 1
    assert screen.page.locator("#feed .gap").count() == 0
