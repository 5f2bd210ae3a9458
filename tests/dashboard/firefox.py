"""Firefox, as far as a test of the stream wants it: pages that speak like Playwright's."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DRIVER = Path(__file__).with_suffix(".mjs")

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")


class FirefoxError(Exception):
    """The browser, or what drives it, refuses; the text has its words."""


class Firefox:
    """
    The browser.

    Args:
        driver: The process that takes commands.
    """

    def __init__(self, driver: subprocess.Popen[str]) -> None:
        self._driver = driver
        self._pages: dict[int, FirefoxPage] = {}

    def do(self, op: str, number: int = 0, text: str = "") -> Any:
        """
        Have a command done and return its value.

        Raises:
            FirefoxError: It could not be done.
        """
        assert self._driver.stdin is not None
        assert self._driver.stdout is not None
        command = {"op": op, "id": number, "text": text}
        print(json.dumps(command), file=self._driver.stdin, flush=True)
        if not (line := self._driver.stdout.readline()):
            raise FirefoxError("the driver has ended")
        answer = json.loads(line)
        for page, words in answer["complaints"]:
            self._pages[page].hear(words)
        if "error" in answer:
            raise FirefoxError(answer["error"])
        return answer["value"]

    @contextmanager
    def new_context(self) -> Iterator[FirefoxContext]:
        """Make a profile of one's own."""
        number = self.do("context")
        yield FirefoxContext(self, number)
        self.do("close", number)

    def new_page(self, context: FirefoxContext) -> FirefoxPage:
        """Open a tab."""
        page = FirefoxPage(self, context, self.do("page", context.number))
        self._pages[page.number] = page
        return page


class FirefoxContext:
    """A profile: its pages share cookies and workers."""

    def __init__(self, browser: Firefox, number: int) -> None:
        self.number = number
        self._browser = browser

    def new_page(self) -> FirefoxPage:
        """Open a tab."""
        return self._browser.new_page(self)


class FirefoxPage:
    """A tab."""

    def __init__(self, browser: Firefox, context: FirefoxContext, number: int) -> None:
        self.number = number
        self.context = context
        self._browser = browser
        self._listener: Callable[[str], None] = lambda words: None

    def on(self, event: str, listener: Callable[[Any], None]) -> None:
        """Be told of what is thrown or written into the console as an error."""
        if event == "pageerror":
            self._listener = listener

    def hear(self, words: str) -> None:
        """Take a complaint."""
        self._listener(words)

    def add_init_script(self, script: str) -> None:
        """Run a script before those of each page."""
        self._browser.do("init", self.number, f"() => {{{script}}}")

    def goto(self, url: str) -> None:
        """Go to an address."""
        self._browser.do("goto", self.number, url)

    def evaluate(self, script: str) -> Any:
        """Return what an expression is, or comes to."""
        return self._browser.do("evaluate", self.number, script)

    def close(self) -> None:
        """Close the tab."""
        self._browser.do("close", self.number)


@contextmanager
def firefox(modules: Path) -> Iterator[Firefox]:
    """
    Start the browser, and end it.

    Args:
        modules: The folder of npm's packages, with `puppeteer-core`.
    """
    assert FIREFOX is not None
    # A module finds its packages beside it, or above.
    driver = modules.parent / DRIVER.name
    shutil.copyfile(DRIVER, driver)
    with subprocess.Popen(
        ["node", driver, FIREFOX], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Firefox(process)
        assert process.stdin is not None
        process.stdin.close()
