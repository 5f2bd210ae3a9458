"""Back in time, and live again."""

from __future__ import annotations

import time

from tests.conftest import Daemon

from .conftest import SHOWN, Screen, publish, risk

LOCAL = "new Date({} * 1000 - new Date().getTimezoneOffset() * 60000).toISOString().slice(0, 19)"


def two_times(daemon: Daemon) -> float:
    """Publish before and after a moment; return it, in unix seconds, whole."""
    publish(daemon, *[risk(f"old {number}") for number in range(40)])
    moment = int(time.time()) + 2
    time.sleep(max(0.0, moment - time.time()) + 0.3)
    publish(daemon, *[risk(f"new {number}") for number in range(40)])
    return moment


def test_a_time_can_be_gone_to_and_left_again(screen: Screen, daemon: Daemon) -> None:
    moment = two_times(daemon)
    screen.open()
    screen.page.locator("#when").fill(screen.ask(LOCAL.format(moment)))
    screen.page.locator("#travel button").click()
    screen.until("document.getElementById('feed').dataset.mode", "past")
    screen.until(f"{SHOWN}.some(text => text.startsWith('↑ after'))")
    shown = screen.ask(SHOWN)
    mark = next(at for at, text in enumerate(shown) if text.startswith("↑ after"))

    assert shown[mark - 1 : mark + 2] == ["low: new 0", shown[mark], "low: old 39"]
    publish(daemon, risk("now"))
    screen.until_text("#mode", "1 new since")
    assert "low: now" not in screen.ask(SHOWN)
    screen.page.keyboard.press("l")
    screen.until(f"{SHOWN}[0]", "low: now")
    assert screen.mode == "live"


def test_a_time_before_all_times_is_gone_to(screen: Screen, daemon: Daemon) -> None:
    publish(daemon, risk("one"))
    screen.open()
    screen.page.locator("#when").fill("0150-01-01T00:00")
    screen.page.locator("#travel button").click()
    screen.until("document.getElementById('feed').dataset.mode", "past")

    assert screen.ask(SHOWN)[0] == "low: one"
    assert not screen.page.locator("#notice").is_visible()


def test_why_a_time_could_not_be_gone_to_is_said_until_it_is_left(
    screen: Screen, daemon: Daemon
) -> None:
    publish(daemon, risk("one"))
    screen.open()
    screen.page.route(
        "**/v1/events?*until=1000&*",
        lambda route: route.fulfill(status=503, json={"detail": "busy"}),
    )
    for moment, said in ((1000, True), (2000, False)):
        screen.page.locator("#when").fill(screen.ask(LOCAL.format(moment)))
        screen.page.locator("#travel button").click()
        screen.until("!document.getElementById('notice').hidden", said)


def test_the_past_leads_up_to_the_present_page_by_page(screen: Screen, daemon: Daemon) -> None:
    publish(daemon, *[risk(f"event {number}") for number in range(1500)])
    screen.open()
    screen.page.locator("#when").fill(screen.ask(LOCAL.format(int(time.time()) - 60)))
    screen.page.locator("#travel button").click()
    screen.until(f"{SHOWN}.includes('low: event 0')")
    for _ in range(100):
        screen.ask("document.getElementById('feed').scrollTop = 0")
        if screen.ask(SHOWN)[0] == "low: event 1499":
            break
        screen.page.wait_for_timeout(30)

    assert screen.count == 1501  # the moment has a mark
    assert screen.mode == "past"


def test_a_click_into_a_rate_goes_to_that_time(screen: Screen, daemon: Daemon) -> None:
    publish(daemon, risk("one"))
    screen.open()
    screen.until("document.querySelectorAll('#rates svg').length === 1")
    screen.page.locator("#rates svg").click(position={"x": 5, "y": 5})

    screen.until("document.getElementById('feed').dataset.mode", "past")
    screen.until(f"{SHOWN}.length === 2")
    asked = screen.ask("new Date(document.getElementById('when').value).getTime() / 1000")
    assert 500 < time.time() - asked < 610


def test_an_event_shows_what_was_around_it(screen: Screen, daemon: Daemon) -> None:
    publish(daemon, *[risk(f"event {number}") for number in range(5)])
    screen.open()
    screen.page.locator("#type").select_option("RISK_ALERT")
    screen.page.locator("#feed .row", has_text="event 2").click()
    screen.page.locator("#detail-jump").click()

    screen.until("document.getElementById('feed').dataset.mode", "past")
    assert "low: event 2" in screen.ask(SHOWN)


def test_going_down_brings_everything_that_is_kept(screen: Screen, daemon: Daemon) -> None:
    publish(daemon, *[risk(f"event {number}") for number in range(1000)])
    screen.open()
    for _ in range(100):
        screen.ask("document.getElementById('feed').scrollTop = 1e9")
        if screen.ask(SHOWN)[-1] == "low: event 0":
            break
        screen.page.wait_for_timeout(30)

    assert screen.count == 1000
    assert screen.ask("document.getElementById('mode').innerText") == "1,000 events here"
