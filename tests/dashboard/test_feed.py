"""The feed: filters, pause, one event whole, keys, ten thousand events."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from rtevents.core.event import Event
from tests.conftest import PATIENCE, Daemon

from .conftest import SHOWN, Screen, publish, risk

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def changed(path: str, **fields: Any) -> Event:
    """Return a FILE_CHANGE."""
    data = {"file_path": path, "change_type": "modified"}
    return Event(type="FILE_CHANGE", data=data, **fields)


def mixed() -> list[Event]:
    """Return events of several types, projects, sources and paths."""
    return [
        changed("src/app.py", project_id="web", source="editor"),
        changed("src/deep/er/a.css", project_id="web"),
        changed("docs/guide.md", project_id="api"),
        risk("disk nearly full", "high", project_id="api"),
    ]


APP, CSS, GUIDE = "modified src/app.py", "modified src/deep/er/a.css", "modified docs/guide.md"
DISK = "high: disk nearly full"


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        ("type", "RISK_ALERT", [DISK]),
        ("type", "!FILE_CHANGE", [DISK]),
        ("project", "web", [CSS, APP]),
        ("project", "web, api", [DISK, GUIDE, CSS, APP]),
        ("source", "editor", [APP]),
        ("path", "src/*.py", [APP]),
        ("path", "src/**", [CSS, APP]),
        ("path", "**/*.[mc]*", [GUIDE, CSS]),
        ("text", "NEARLY", [DISK]),
        ("text", "guide", [GUIDE]),
    ],
)
def test_a_filter_holds_for_what_was_and_for_what_comes(
    screen: Screen, daemon: Daemon, field: str, value: str, wanted: list[str]
) -> None:
    publish(daemon, *mixed())
    screen.open()
    screen.until_shown(DISK, GUIDE, CSS, APP)
    control = screen.page.locator(f"#{field}")
    if field == "type":
        control.select_option(value)
    else:
        control.fill(value)
    screen.until_shown(*wanted)
    publish(daemon, *mixed())

    screen.until_shown(*wanted, *wanted)
    assert screen.complaints == []


def test_filters_are_anded_kept_in_the_address_and_cleared(screen: Screen, daemon: Daemon) -> None:
    publish(daemon, *mixed())
    screen.open()
    screen.page.locator("#project").fill("web")
    screen.page.locator("#text").fill("app")
    screen.until_shown(APP)
    assert screen.ask("location.hash") == "#text=app&project=web"
    screen.page.reload()
    screen.until_shown(APP)
    screen.page.locator("#clear").click()

    screen.until_shown(DISK, GUIDE, CSS, APP)
    assert screen.ask("location.hash") == ""


def test_a_filter_that_is_refused_is_told(screen: Screen, daemon: Daemon) -> None:
    publish(daemon, risk("one"))
    screen.open()
    screen.page.locator("#path").fill("x" * 1025)

    screen.until_text("#notice", "1025 characters")


def test_text_is_looked_for_beyond_the_first_page(screen: Screen, daemon: Daemon) -> None:
    publish(daemon, risk("the needle"), *[risk(f"straw {number}") for number in range(2500)])
    screen.open()
    screen.page.locator("#text").fill("needle")

    screen.until_shown("low: the needle")


def test_paused_the_feed_stands_still_and_then_catches_up(screen: Screen, daemon: Daemon) -> None:
    publish(daemon, risk("one"))
    screen.open()
    screen.until_shown("low: one")
    screen.page.locator("#pause").click()
    publish(daemon, risk("two"), risk("three"))
    screen.until_text("#pause", "Resume (2)")

    assert screen.ask(SHOWN) == ["low: one"]
    assert screen.mode == "paused"
    screen.until_text("#risks .note", "3 low")  # the panels go on
    screen.page.locator("#pause").click()
    screen.until_shown("low: three", "low: two", "low: one")


def test_a_long_pause_loses_nothing(screen: Screen, daemon: Daemon) -> None:
    """More come than are kept in memory: the rest is there on the way back."""
    publish(daemon, risk("before"))
    screen.open()
    screen.until_shown("low: before")
    screen.page.keyboard.press("p")
    publish(daemon, *[risk(f"event {number}") for number in range(22_000)])
    screen.until_text("#pause", "Resume (22,000)")
    assert screen.ask(SHOWN) == ["low: before"]
    screen.page.keyboard.press("p")
    screen.until("document.getElementById('feed').dataset.mode", "live")
    deadline, count = time.monotonic() + PATIENCE, 0
    while screen.ask(SHOWN)[-1] != "low: before" and time.monotonic() < deadline:
        screen.ask("document.getElementById('feed').scrollTop = 1e9")
        screen.page.wait_for_timeout(30)
        if screen.count > count:  # it is on its way
            deadline, count = time.monotonic() + PATIENCE, screen.count

    assert screen.count == 22_001
    assert screen.ask(SHOWN)[-2:] == ["low: event 0", "low: before"]


def test_what_is_read_stays_where_it_is_when_more_comes(screen: Screen, daemon: Daemon) -> None:
    publish(daemon, *[risk(f"event {number}") for number in range(200)])
    screen.open()
    screen.until(f"{SHOWN}.length > 20")
    screen.ask("document.getElementById('feed').scrollTop = 26 * 50")
    screen.until(f"{SHOWN}.includes('low: event 140')")
    top = "Math.round(document.elementFromPoint(300, 400).closest('.row').ariaPosInSet)"
    here = "document.elementFromPoint(300, 400).closest('.row').querySelector('.what').innerText"
    read, place = screen.ask(here), screen.ask(top)
    publish(daemon, *[risk(f"later {number}") for number in range(30)])
    screen.until("document.getElementById('feed').dataset.count", "230")

    screen.until(top, place + 30)
    assert screen.ask(here) == read
    screen.page.keyboard.press("l")
    screen.until(f"{SHOWN}[0]", "low: later 29")


def test_a_click_shows_the_whole_event(screen: Screen, daemon: Daemon) -> None:
    publish(daemon, risk("disk\u202e nearly full", "high", rule="disk", evidence=["a", "b"]))
    screen.open()
    screen.page.locator("#feed .row").first.click()

    whole = screen.text("#detail-json")
    assert "disk\\u202e nearly full" in whole
    assert json.loads(whole.replace("\\u202e", ""))["data"]["evidence"] == ["a", "b"]
    screen.page.keyboard.press("Escape")
    assert not screen.page.locator("#detail").is_visible()


def test_everything_can_be_done_by_keys(screen: Screen, daemon: Daemon) -> None:
    publish(daemon, risk("one"), risk("two"), risk("three"))
    screen.open()
    screen.until(f"{SHOWN}.length === 3")
    press = screen.page.keyboard.press
    press("j")
    press("j")
    press("ArrowDown")
    press("k")
    press("Enter")
    assert "two" in screen.text("#detail-json")
    press("j")
    assert "one" in screen.text("#detail-json")
    press("Escape")
    selected = "document.querySelector('#feed [aria-selected=true] .what').innerText"
    assert screen.ask(selected) == "low: one"
    press("g")
    screen.until(selected, "low: three")
    press("Space")
    assert screen.mode == "paused"
    press("l")
    assert screen.mode == "live"
    press("/")
    screen.page.keyboard.type("two j")
    assert screen.ask("document.getElementById('text').value") == "two j"
    press("Escape")
    press("?")
    assert screen.page.locator("#help").is_visible()


def test_single_letters_can_be_switched_off(screen: Screen, daemon: Daemon) -> None:
    screen.open()
    screen.page.locator("#help-open").click()
    screen.page.locator("#keys").uncheck()
    screen.page.keyboard.press("Escape")
    screen.page.keyboard.press("p")

    assert screen.mode == "live"


def test_dark_and_light_follow_the_system_until_they_are_chosen(
    screen: Screen, daemon: Daemon
) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    screen.page.emulate_media(color_scheme="dark")
    screen.open()
    dark = screen.ask(ground)
    screen.page.emulate_media(color_scheme="light")
    light = screen.ask(ground)
    screen.page.locator("#theme").click()
    chosen = screen.ask(ground)
    screen.page.reload()
    screen.until_state("live")
    kept = screen.ask(ground)
    screen.page.keyboard.press("t")

    assert dark != light
    assert (chosen, kept) == (dark, dark)
    assert screen.ask(ground) == light


def test_the_chosen_event_is_seen_where_the_system_sets_the_colours(
    screen: Screen, daemon: Daemon
) -> None:
    publish(daemon, risk("one"), risk("two"))
    screen.page.emulate_media(forced_colors="active")
    screen.open()
    screen.until_shown("low: two", "low: one")
    screen.page.keyboard.press("j")

    chosen = "document.querySelector('.row[aria-selected=true]')"
    screen.until(f"{chosen} && getComputedStyle({chosen}).outlineStyle", "solid")


def test_ten_thousand_events_hold_the_page_up_for_no_moment(
    screen: Screen, daemon: Daemon, chromium: Browser
) -> None:
    """No task takes more than 50 ms of the processor: on a busy machine, a clock tells more."""
    publish(daemon, *[changed(f"src/file {number}.py") for number in range(10_000)])
    screen.open()
    screen.until(f"{SHOWN}.length > 20")
    screen.page.wait_for_timeout(500)
    chromium.start_tracing(page=screen.page, categories=["toplevel", "__metadata"])
    try:
        scroll_through(screen, daemon)
    finally:
        events = json.loads(chromium.stop_tracing())["traceEvents"]
    threads = {
        (event["pid"], event["tid"]): event["args"]["name"]
        for event in events
        if event["name"] == "thread_name"
    }
    tasks = [
        event["tdur"] / 1000
        for event in events
        if event["name"].endswith("RunTask")
        and "tdur" in event
        and threads.get((event["pid"], event["tid"])) == "CrRendererMain"
    ]

    assert len(tasks) > 1000
    assert max(tasks) < 50


def scroll_through(tab: Screen, daemon: Daemon) -> None:
    """Go to the oldest event and back, let more come, and use a filter."""
    while tab.count < 10_000:
        tab.ask("document.getElementById('feed').scrollTop = 1e9")
        tab.page.wait_for_timeout(20)
    for place in range(0, 260_000, 13_000):
        tab.ask(f"document.getElementById('feed').scrollTop = {place}")
        tab.page.wait_for_timeout(16)
    publish(daemon, *[risk(f"later {number}") for number in range(1000)])
    tab.page.keyboard.press("l")
    tab.until(f"{SHOWN}[0]", "low: later 999")
    tab.page.locator("#project").fill("nobody")
    tab.until(f"{SHOWN}.length", 0)
    tab.page.locator("#project").fill("")
    tab.until(f"{SHOWN}[0]", "low: later 999")
    assert tab.ask("document.querySelectorAll('#feed .row').length") < 100
