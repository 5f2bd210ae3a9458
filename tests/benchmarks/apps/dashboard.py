"""
The dashboard, open in a real browser.

``dashboard.py HOST:PORT …``: the header lines of its request for a ticket are in RTLOAD_HEADER. It
opens the page some times and says ``ready`` with the last of them open, begins with a line on its
input, ends with that input, and prints milliseconds by what they are of.
"""

import json
import os
import sys
import time
import urllib.request

from playwright.sync_api import Page, sync_playwright

from tests.chromium import CHROMIUM
from tests.conftest import PATIENCE
from tests.dashboard.conftest import QUIET, WATCH

TIMES = 5

URL = f"http://{sys.argv[1]}"
HEADERS = dict(line.split(": ") for line in os.environ["RTLOAD_HEADER"].split("\r\n") if line)

LONG = """
  window.longest = 0;
  new PerformanceObserver(list => {
    for (const task of list.getEntries()) longest = Math.max(longest, task.duration);
  }).observe({type: 'longtask'});
"""
"""Notes the longest task that blocked the page (Long Tasks API: those of over 50 ms)."""


def ticket() -> str:
    """Return the address that logs in."""
    asked = urllib.request.Request(f"{URL}/v1/tickets", method="POST", headers=HEADERS)  # noqa: S310
    with urllib.request.urlopen(asked) as answer:  # noqa: S310
        address: str = json.load(answer)["url"]
    return address


def until(page: Page, script: str) -> None:
    """Return when a script evaluates to something true (the page's policy allows no `eval`)."""
    deadline = time.monotonic() + PATIENCE
    while not page.evaluate(script):
        assert time.monotonic() < deadline, script
        time.sleep(0.02)


def main() -> None:
    """Open it, say ready, let it run, print."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        first = []
        for _ in range(TIMES):
            page = browser.new_context().new_page()
            page.add_init_script(WATCH + LONG)
            page.goto(ticket())
            until(page, "window.firstAt > 0")
            first.append(page.evaluate("firstAt"))
            if len(first) < TIMES:
                page.context.close()
        print("ready", flush=True)
        sys.stdin.readline()
        page.evaluate("longest = 0")
        sys.stdin.read()
        until(page, "document.getElementById('state').textContent == 'live'")
        longest = page.evaluate("longest")
        browser.close()
    print(json.dumps({"first event": first, "longest task": [longest, longest]}))


main()
