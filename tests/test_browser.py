"""The dashboard and the README's JavaScript in a real browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rtevents.core.event import Event

from .chromium import CHROMIUM, Browser, browsing
from .conftest import Daemon

README = (Path(__file__).parent.parent / "README.md").read_text()

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Return an empty page."""
    async with browsing() as page:
        yield page


def publish(daemon: Daemon, text: str, **fields: Any) -> None:
    """Publish a RISK_ALERT."""
    with daemon.client() as client:
        data = {"severity": "high", "message": text}
        client.publish(Event(type="RISK_ALERT", data=data, **fields))


async def open_dashboard(daemon: Daemon, browser: Browser) -> None:
    """Open the dashboard, logged in."""
    url = daemon.run("dashboard", "--print").stdout.strip()
    await browser.call("Page.navigate", url=url)
    await browser.until("document.getElementById('state')?.textContent === 'live'")


async def test_the_dashboard_logs_in_and_shows_events_as_they_come(
    daemon: Daemon, browser: Browser
) -> None:
    publish(daemon, "before")
    await open_dashboard(daemon, browser)
    publish(daemon, "<img src=x onerror=document.title='hit'>\u202e")
    rows = """[...document.querySelectorAll('#feed .row')].filter(row => !row.hidden)
      .sort((one, other) => one.ariaPosInSet - other.ariaPosInSet)
      .map(row => row.querySelector('.what').textContent)"""
    await browser.until(f"{rows}.length === 2")

    assert await browser.run(rows) == [
        "high: <img src=x onerror=document.title='hit'>\\u202e",
        "high: before",
    ]
    assert await browser.run("document.title") == "rtevents"
    assert await browser.run("location.hash") == ""
    assert "HttpOnly" not in await browser.run("document.cookie + ' '")
    assert browser.complaints == []


async def test_a_browser_comes_back_by_itself_and_misses_nothing(
    stopped_daemon: Daemon, browser: Browser
) -> None:
    daemon = stopped_daemon
    daemon.start()
    with daemon.client() as client:
        listen = client.status()["listen"]
    await open_dashboard(daemon, browser)
    script = re.search(r"^```js\n(const source.*?)^```", README, re.DOTALL | re.MULTILINE)[1]  # type: ignore[index]
    script = script.replace("COMMIT", "RISK_ALERT").replace(
        "console.log(JSON.parse(message.data))", "seen.push(JSON.parse(message.data).data.message)"
    )
    await browser.run(
        f"globalThis.seen = []; {script.replace('const source', 'globalThis.source')}"
    )
    publish(daemon, "one")
    await browser.until("seen.length === 1")
    daemon.process.kill()  # type: ignore[union-attr]
    daemon.process.wait()  # type: ignore[union-attr]
    daemon.start(env={"RTEVENTS_LISTEN": listen})
    publish(daemon, "two")
    await browser.until("seen.length === 2")

    assert await browser.run("seen") == ["one", "two"]


async def test_the_websocket_of_the_readme_works_in_a_page(
    daemon: Daemon, browser: Browser
) -> None:
    await open_dashboard(daemon, browser)
    script = re.search(r"^```js\n(const socket.*?)^```", README, re.DOTALL | re.MULTILINE)[1]  # type: ignore[index]
    script = (
        script.replace("127.0.0.1:8473", "${location.host}")
        .replace('"ws:', "`ws:")
        .replace('since=10m"', "since=10m`")
        .replace("COMMIT", "RISK_ALERT")
        .replace("console.log(JSON.parse(message.data))", "seen.push(JSON.parse(message.data))")
    )
    await browser.run(f"globalThis.seen = []; {script}")
    await browser.until("seen.some(frame => frame.control === 'ok' && frame.ref === 1)")
    publish(daemon, "hello")
    await browser.until("seen.some(frame => frame.data?.message === 'hello')")

    assert await browser.run("seen[0].control") == "hello"


async def test_a_page_of_another_origin_gets_nothing(daemon: Daemon, browser: Browser) -> None:
    with daemon.client() as client:
        listen = client.status()["listen"]
    await open_dashboard(daemon, browser)
    await browser.call("Page.navigate", url="data:text/html,<title>evil</title>")
    await browser.until("document.title === 'evil'")
    code = f"""
      Promise.allSettled([
        fetch('http://{listen}/v1/events').then(a => a.text()),
        fetch('http://{listen}/v1/events', {{method: 'POST', mode: 'no-cors', body: '{{}}'}})
          .then(a => a.type),
        new Promise((done, fail) => {{
          const socket = new WebSocket('ws://{listen}/v1/events/ws');
          socket.onmessage = done; socket.onerror = () => fail('refused');
        }}),
      ]).then(all => all.map(each => each.status))
    """
    outcome = await browser.run(code)
    with daemon.client() as client:
        kept = client.history().events

    assert (outcome[0], outcome[2]) == ("rejected", "rejected")
    assert kept == []
