"""The page of a daemon that is one of several, and of one that has several logs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import Daemon, folder_with_a_short_path, lodging
from tests.redis import RedisServer, running

from .conftest import SHOWN, Screen, publish, risk
from .test_stream import kill, restart

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis."""
    with running(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def url(redis: RedisServer) -> str:
    """A log in Redis."""
    return redis.url()


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


@pytest.fixture
def several(stopped_daemon: Daemon, url: str) -> Daemon:
    """A daemon with a log in a file and one in Redis, whose projects both have events."""
    folder = stopped_daemon.home / "config" / "rtevents"
    folder.mkdir()
    (folder / "config.yaml").write_text(
        f"logs:\n- {{name: team, projects: [team], store: '{url}'}}\n"
        "health: {dashboard_interval: 0.2}\n"
    )
    stopped_daemon.start()
    tell(stopped_daemon, "before")
    return stopped_daemon


def tell(daemon: Daemon, message: str) -> None:
    """Publish an event into each of the logs."""
    publish(daemon, risk(f"{message} in main"))
    publish(daemon, risk(f"{message} in team", project_id="team"))


def test_several_logs_are_seen_one_at_a_time(screen: Screen, several: Daemon) -> None:
    screen.open()
    tell(several, "live")

    screen.until_shown("low: live in main", "low: before in main")
    assert "in team" not in screen.text("body")
    assert screen.text("#logs").split() == ["main", "team"]
    assert screen.ask("location.search + location.hash") == "?log=main"
    screen.until_text("#health .facts", "Log main")
    screen.page.locator("#text").fill("live")
    screen.until_shown("low: live in main")
    screen.page.get_by_role("link", name="team").click()
    screen.until_shown("low: live in team", "low: before in team")
    screen.until_state("live")
    tell(several, "more")
    screen.until_shown("low: more in team", "low: live in team", "low: before in team")
    assert screen.page.locator("#logs [aria-current=page]").inner_text() == "team"
    screen.until_text("#risks", "more in team")
    screen.until_text("#connections", "log team")
    screen.until_text("#health .facts", "Log team\n1 to 3\nStore\nredis://")
    screen.until("document.title", "team · rtevents")
    screen.page.locator("#activity summary").click()
    screen.until_text("#activity", "3 events")
    assert screen.complaints == []


def test_each_log_is_resumed_without_loss_or_repeat(screen: Screen, several: Daemon) -> None:
    main, team = screen.open(), screen.sibling()
    team.page.goto(main.page.url.replace("log=main", "log=team"))
    team.until_state("live")
    tell(several, "live")
    main.until_shown("low: live in main", "low: before in main")
    team.until_shown("low: live in team", "low: before in team")
    team.until_text("#connections", "log main")  # who listens anywhere

    listen = kill(several)
    for tab in (main, team):
        tab.until_state("reconnecting")
    restart(several, listen)
    for tab in (main, team):
        tab.until_state("live")
    tell(several, "again")
    for tab, place in ((main, "in main"), (team, "in team")):
        tab.until_text("#feed", f"again {place}")
        shown = [what for what in tab.ask(SHOWN) if what.startswith("low")]
        assert shown == [f"low: {each} {place}" for each in ("again", "live", "before")]
        assert tab.page.locator("#feed .gap").count() == 0
        tab.until_text("#rates", "RISK_ALERT")
        assert tab.text("#risks").count("live") == 1


def test_the_figures_on_a_page_are_those_of_its_log(screen: Screen, several: Daemon) -> None:
    screen.open()
    screen.page.get_by_role("link", name="team").click()
    screen.until_text("#health .facts", "Log team\n1 to 1")
    screen.ask("""void new MutationObserver(() => (window.told ??= new Set()).add(
      document.querySelector('#health .facts').innerText.match(/Log.*\\n.*/)[0]))
      .observe(document.querySelector('#health .facts'),
        {subtree: true, childList: true, characterData: true})""")
    publish(several, *(risk(f"{number}") for number in range(50)))
    for last in range(2, 6):
        publish(several, risk("one more", project_id="team"))
        screen.until_text("#health .facts", f"Log team\n1 to {last}")

    assert {each.split(" to ")[1] for each in screen.ask("[...told]")} <= set("12345")


def test_who_may_see_one_log_sees_that(screen: Screen, several: Daemon) -> None:
    url = several.run("dashboard", "--viewer", "--project", "team", "--print").stdout.strip()
    screen.page.goto(url.replace("/#", "/?log=main#"))
    screen.until_state("live")
    screen.until_shown("low: before in team")
    tell(several, "live")

    screen.until_shown("low: live in team", "low: before in team")
    assert "in main" not in screen.text("body")
    # Whether there is such a log is not said: to this grant there is none.
    assert screen.text("#logs").split() == ["team", "no", "log", "main"]
    assert screen.ask("location.search") == ""


def test_each_node_is_listed_and_named_in_what_it_tells(
    screen: Screen, stopped_daemon: Daemon, another: Daemon, url: str
) -> None:
    stopped_daemon.start(
        env={"RTEVENTS_STORE": url, "RTEVENTS_NODE": "ada", "RTEVENTS_NODE_INTERVAL": "0.2"}
    )
    with another.client() as client:
        [other] = {each["name"] for each in client.nodes()["nodes"]} - {"ada"}
    screen.open()

    screen.until_text("#feed", "ok  node.started  ada")
    screen.until_text("#health", "ada · ok · ")
    screen.until_text("#health", f"{other} · ok · ")
    another.stop(9)
    screen.until_text("#health", f"{other} · lost, last heard ")
    assert screen.complaints == []


def test_why_no_event_is_taken_stands_on_top(
    screen: Screen, stopped_daemon: Daemon, another: Daemon, url: str, redis: RedisServer
) -> None:
    """In words, and not only where somebody would have to scroll to."""
    stopped_daemon.start(env={"RTEVENTS_STORE": url, "RTEVENTS_HEALTH__DASHBOARD_INTERVAL": "0.2"})
    screen.open()
    screen.until_text("#health .watched + h3 + .watched", " · ok · ")
    redis.kill()

    screen.until_text("#verdict", "failed: events cannot be stored: redis at 127.0.0.1:")
    box = screen.page.locator("#verdict").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < 120
    assert "events cannot be stored" in str(screen.page.locator("#verdict").get_attribute("title"))
    screen.until_text("#health", " · not known while the log is away, last heard ")
    assert "(1 lost)" not in screen.text("#health")
    redis.start()
    screen.until("document.getElementById('verdict').hidden")


def test_a_log_that_is_not_there_is_told(screen: Screen, several: Daemon) -> None:
    screen.open()
    screen.page.goto(screen.page.url.replace("log=main", "log=no<b>pe"))

    screen.until_text("#logs", "no log no<b>pe")
    screen.until_state("live")
    assert screen.ask("location.search") == "?log=main"
    screen.page.get_by_role("link", name="team").click()
    screen.until_state("live")
    assert screen.text("#logs").split() == ["main", "team"]
