"""The page as one more subscriber: resume, gaps, tabs that share a stream."""

from __future__ import annotations

import pytest

from tests.conftest import Daemon, wait_for

from .conftest import SHOWN, Screen, in_both, publish, risk

GAP = "Gap: "


def restart(daemon: Daemon, listen: str, **env: str) -> None:
    """Start a daemon again where a page looks for it."""
    daemon.start(env={"RTEVENTS_LISTEN": listen, **env})


def kill(daemon: Daemon) -> str:
    """Kill a daemon; return where it listened."""
    with daemon.client() as client:
        listen = client.status()["listen"]
    assert daemon.process is not None
    daemon.process.kill()
    daemon.process.wait()
    return str(listen)


def streams(daemon: Daemon) -> int:
    """Return how many browsers' streams there are."""
    with daemon.client() as client:
        return sum(each["kind"] == "sse" for each in client.connections())


@in_both
def test_what_was_before_is_there_and_what_comes_is_put_on_top(
    screen: Screen, daemon: Daemon
) -> None:
    publish(daemon, risk("one"), risk("two"))
    screen.open()
    publish(daemon, risk("three"))

    screen.until_shown("low: three", "low: two", "low: one")
    assert screen.complaints == []


@pytest.mark.parametrize("screen", ["chromium", "firefox"], indirect=True)
def test_a_killed_daemon_is_told_and_nothing_is_missed(screen: Screen, daemon: Daemon) -> None:
    screen.open()
    publish(daemon, risk("before"))
    screen.until_shown("low: before")
    listen = kill(daemon)
    screen.until_state("reconnecting")
    # While nobody can reach it over TCP, more happens.
    restart(daemon, "none")
    publish(daemon, *[risk(f"away {number}") for number in range(5)])
    kill(daemon)
    restart(daemon, listen)
    publish(daemon, risk("after"))

    away = [f"low: away {number}" for number in reversed(range(5))]
    screen.until_shown("low: after", *away, "low: before")
    screen.until_state("live")


def test_each_of_many_restarts_loses_nothing_and_doubles_nothing(
    screen: Screen, daemon: Daemon
) -> None:
    screen.open()
    wanted: list[str] = []
    for number in range(3):
        publish(daemon, risk(f"event {number}"))
        listen = kill(daemon)
        restart(daemon, listen)
        wanted.insert(0, f"low: event {number}")

    screen.until_shown(*wanted)
    screen.until_text("#risks .note", "3 low")


def test_a_gap_is_shown_where_it_is(screen: Screen, daemon: Daemon) -> None:
    screen.open()
    publish(daemon, risk("before"))
    screen.until_shown("low: before")
    listen = kill(daemon)
    trim = {"RTEVENTS_RETENTION__MAX_EVENTS": "10", "RTEVENTS_RETENTION__INTERVAL": "0.1"}
    restart(daemon, "none", **trim)
    publish(daemon, *[risk(f"away {number}") for number in range(50)])
    with daemon.client() as client:
        wait_for(lambda: client.status()["oldest"] > 30, "trimmed")
        oldest = client.status()["oldest"]
    kill(daemon)
    restart(daemon, listen, **trim)

    screen.until(f"{SHOWN}.length > 2")
    shown = screen.ask(SHOWN)
    gap = f"{GAP}events 2 to {oldest - 1} can no longer be read (older ones are not kept)"
    kept = [f"low: away {number}" for number in reversed(range(oldest - 2, 50))]
    assert shown == [*kept, gap, "low: before"]


@in_both
def test_another_log_is_told_and_shown_from_its_beginning(screen: Screen, daemon: Daemon) -> None:
    publish(daemon, risk("one"), risk("two"), risk("three"))
    screen.open()
    screen.until(f"{SHOWN}.length === 3")
    listen = kill(daemon)
    for file in (daemon.home / "state" / "rtevents").glob("events.db*"):
        file.unlink()
    restart(daemon, listen)
    publish(daemon, risk("new"))

    screen.until(f"{SHOWN}.includes('low: new')")
    shown = screen.ask(SHOWN)
    assert shown[0] == "low: new"
    assert shown[1].startswith(GAP)
    assert "another one now" in shown[1]
    assert shown[2:] == ["low: three", "low: two", "low: one"]


@in_both
def test_tabs_share_one_stream_and_each_shows_everything(screen: Screen, daemon: Daemon) -> None:
    publish(daemon, risk("one"))
    screen.open()
    publish(daemon, risk("two"))
    others = [screen.sibling().open() for _ in range(7)]
    publish(daemon, risk("three"))

    for tab in (screen, *others):
        tab.until_shown("low: three", "low: two", "low: one")
        assert tab.complaints == []
    assert streams(daemon) == 1


@in_both
def test_the_stream_goes_on_when_the_tab_that_began_it_is_closed(
    screen: Screen, daemon: Daemon
) -> None:
    screen.open()
    other = screen.sibling().open()
    screen.page.close()
    publish(daemon, risk("one"))

    other.until_shown("low: one")
    assert streams(daemon) == 1
    other.page.close()
    wait_for(lambda: streams(daemon) == 0, "the last tab ends the stream")


def test_without_a_shared_worker_a_tab_has_a_stream_of_its_own(
    screen: Screen, daemon: Daemon
) -> None:
    other = screen.sibling()
    for tab in (screen, other):
        tab.page.add_init_script("delete window.SharedWorker")
        tab.open()
    publish(daemon, risk("one"))

    for tab in (screen, other):
        tab.until_shown("low: one")
        assert tab.complaints == []
    assert streams(daemon) == 2
    listen = kill(daemon)
    restart(daemon, listen)
    publish(daemon, risk("two"))
    screen.until_shown("low: two", "low: one")


def test_who_is_shown_out_is_told(screen: Screen, daemon: Daemon) -> None:
    screen.open()
    session = daemon.run("token", "list").stdout.split()[0]
    assert daemon.run("token", "revoke", session).returncode == 0

    screen.until("['ended', 'not logged in'].includes(document.getElementById('state').innerText)")
    assert screen.page.locator("#notice").is_visible()


@pytest.mark.parametrize("path", ["/", "/#type=COMMIT"])
def test_who_is_not_logged_in_is_told_how(screen: Screen, daemon: Daemon, path: str) -> None:
    with daemon.client() as client:
        screen.page.goto(f"{client.status()['url']}{path}")

    screen.until_state("not logged in")
    assert "rtevents dashboard" in screen.text("#notice")
    screen.page.wait_for_timeout(600)  # for a panel to be drawn, if it were
    assert "No open risk" not in screen.text("#risks"), "nobody knows"
