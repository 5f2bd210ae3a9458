"""What tests of the dashboard share: a real Chromium on a real daemon's page."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import pytest

from rtevents.core.event import Event
from tests.chromium import CHROMIUM
from tests.conftest import PATIENCE, Daemon
from tests.fetched import npm

from .firefox import FIREFOX, Firefox, firefox

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip

SHOWN = """[...document.querySelectorAll('#feed .row')].filter(row => !row.hidden)
  .sort((one, other) => one.ariaPosInSet - other.ariaPosInSet)
  .map(row => row.querySelector('.what').textContent)"""
"""What stands in the rows of the feed that are on the screen, from the top down."""

WATCH = """
  window.violations = [];
  document.addEventListener('securitypolicyviolation', event =>
    violations.push(event.violatedDirective + ' ' + event.blockedURI));
  new MutationObserver((_, observer) => {
    if (!document.querySelector('#feed .what:not(:empty)')) return;
    window.firstAt = performance.now();
    observer.disconnect();
  }).observe(document, {subtree: true, childList: true, characterData: true});
"""
"""Notes what a test asks for later: refused code, and when the first event was there."""


class Screen:
    """
    A tab with the dashboard, as somebody sees it.

    Attributes:
        complaints: What the browser wrote into its console as an error, and what was thrown.
    """

    def __init__(self, page: Page, daemon: Daemon) -> None:
        self.page = page
        self.daemon = daemon
        self.complaints: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.add_init_script(WATCH)

    def _hear(self, told: ConsoleMessage) -> None:
        if told.type == "error":
            self.complaints.append(told.text)

    def open(self) -> Screen:
        """Log in, and return when the stream is live."""
        self.page.goto(self.daemon.run("dashboard", "--print").stdout.strip())
        self.until_state("live")
        return self

    def ask(self, script: str) -> Any:
        """Return what a script evaluates to."""
        return self.page.evaluate(script)

    def sibling(self) -> Screen:
        """Return another tab of the same profile, not open yet."""
        return Screen(self.page.context.new_page(), self.daemon)

    def until(self, script: str, wanted: object = True) -> None:
        """Return when a script evaluates to what is wanted; to anything true by default."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.ask(script)) != wanted and not (wanted is True and found):
            assert time.monotonic() < deadline, f"{found!r} of {script}; {self.complaints}"
            time.sleep(0.05)

    def until_state(self, name: str) -> None:
        """Return when the page says that the stream is so."""
        self.until("document.getElementById('state')?.textContent", name)

    def until_shown(self, *whats: str) -> None:
        """Return when these rows, from the top down, are what the feed shows."""
        self.until(SHOWN, list(whats))

    def text(self, selector: str) -> str:
        """Return the text of an element."""
        return self.page.locator(selector).inner_text()

    def until_text(self, selector: str, part: str) -> None:
        """Return when an element's text holds `part`."""
        element = f"document.querySelector({json.dumps(selector)})"
        self.until(f"({element}?.innerText ?? '').includes({json.dumps(part)})")

    @property
    def mode(self) -> str:
        """How the feed is: ``live``, ``paused`` or ``past``."""
        return str(self.ask("document.getElementById('feed').dataset.mode"))

    @property
    def count(self) -> int:
        """How many items the feed holds."""
        return int(self.ask("document.getElementById('feed').dataset.count"))


def risk(message: str, severity: str = "low", **fields: Any) -> Event:
    """Return a RISK_ALERT; what does not belong to the event itself goes into its data."""
    own = {name: fields.pop(name) for name in ("project_id", "source") if name in fields}
    data = {"severity": severity, "message": message, **fields}
    return Event(type="RISK_ALERT", data=data, **own)


def publish(daemon: Daemon, *events: Event) -> None:
    """Store events, in order."""
    with daemon.client() as client:
        for at in range(0, len(events), 500):
            client.publish_many(events[at : at + 500])


# Not for the session: Playwright's loop runs while it is open, and others' tests have their own.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Return the system's browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs chromium")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """Return a browser's profile of one's own."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE * 1000)
    yield context
    context.close()


@pytest.fixture(scope="package")
def mozilla(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    """Return Firefox."""
    if FIREFOX is None:
        pytest.skip("needs firefox-esr")
    with firefox(npm("puppeteer-core@24", tmp_path_factory.mktemp("firefox"))) as browser:
        yield browser


@pytest.fixture
def screen(request: pytest.FixtureRequest, daemon: Daemon) -> Iterator[Screen]:
    """Return a tab that is not open yet: of Chromium, or of what the parameter names."""
    if getattr(request, "param", "chromium") == "chromium":
        yield Screen(request.getfixturevalue("context").new_page(), daemon)
        return
    with request.getfixturevalue("mozilla").new_context() as context:
        yield Screen(cast("Page", context.new_page()), daemon)


in_both = pytest.mark.parametrize(
    "screen", ["chromium", pytest.param("firefox", marks=pytest.mark.slow)], indirect=True
)
"""Runs a test in either browser."""
