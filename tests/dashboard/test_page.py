"""The page itself: weight, speed, safety, access, and how it looks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

from rtevents.core.event import Event
from rtevents.server.app import PAGES
from tests.conftest import Daemon
from tests.fetched import npm

from .conftest import SHOWN, Screen, publish, risk

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

FOLDER = Path(__file__).parent.parent.parent / "rtevents" / "server" / "dashboard"
KIB = 1024
SIZES = [(400, 850), (1280, 800), (2560, 1300)]


def variety(daemon: Daemon) -> None:
    """Fill the log with a project's day: files, commits, tasks, risks, names that are too long."""
    root = daemon.repository("web")
    assert daemon.run("project", "add", str(root), "--id", "web").returncode == 0
    for number in range(4):
        (root / f"page{number}.py").write_text("line\n" * (7 * number + 1))
        daemon.git("add", ".", cwd=root)
        daemon.git("commit", "-qm", f"Add page {number}, and tell what it is good for", cwd=root)
    long = "a_name_that_breaks_nowhere_and_fills_48_columns_"
    events = []
    for number in range(60):
        project = ("web", "api-server", long)[number % 3]
        path = f"src/{'deeper/' * (number % 9)}file{number}.py"
        status = ("open", "done", "running", "failed")[number % 4]
        events += [
            Event(type="FILE_CHANGE", project_id=project,
                  data={"file_path": path, "change_type": "modified"}),
            Event(type="TASK_UPDATE", project_id=project,
                  data={"task_id": f"T-{number % 16}", "status": status, "title": "Fix it"}),
            Event(type="PROGRESS_UPDATE", project_id=project,
                  data={"done": number, "total": 60, "label": "Tests", "unit": "files", "eta": 90}),
        ]  # fmt: skip
    severities = ("low", "medium", "high", "critical")
    events += [risk(f"{each} disk nearly full, {'x' * 90}", each) for each in severities]
    events += [risk("<b>bold</b> \u202ereversed\u200b", "high", project_id="web")]
    events += [
        Event(type="SYSTEM_STATUS", data={"status": "degraded", "reasons": ["queue fill: 84%"]}),
        Event(type="AUTO_COMMIT_ERROR", data={"error": "nothing to commit"}, project_id="web"),
    ]
    publish(daemon, *events)


def test_the_page_weighs_less_than_a_hundred_kib() -> None:
    files = {name for name, _ in PAGES.values()}

    assert files == {file.name for file in FOLDER.iterdir()}
    assert sum((FOLDER / name).stat().st_size for name in files) < 100 * KIB


def test_every_module_is_asked_for_as_soon_as_the_page_is_there(daemon: Daemon) -> None:
    with daemon.client() as client:
        url = client.status()["url"]
    with urlopen(url) as answer:  # noqa: S310 - always http
        links = re.findall(r"<([^>]+)>; rel=modulepreload", answer.headers["Link"])
    imported = {
        name
        for file in FOLDER.glob("*.js")
        for name in re.findall(r'^import .* from "\./(.+)";$', file.read_text(), re.MULTILINE)
    }

    assert imported <= set(links) <= {file.name for file in FOLDER.iterdir()}
    with urlopen(f"{url}/app.js") as answer:  # noqa: S310 - always http
        assert "Link" not in answer.headers


def test_no_file_is_long_and_none_makes_markup_of_text() -> None:
    for file in FOLDER.iterdir():
        text = file.read_text()
        assert text.count("\n") <= 300, file.name
        for way in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "http:"):
            assert way not in text.replace("http://www.w3.org/2000/svg", ""), (file.name, way)


def test_everything_comes_from_the_daemon_and_nothing_is_refused(
    screen: Screen, daemon: Daemon
) -> None:
    asked: list[str] = []
    screen.page.context.on("request", lambda request: asked.append(request.url))
    variety(daemon)
    screen.open()
    screen.until(f"{SHOWN}.length > 20")
    for key in ("j", "Enter", "Escape", "?", "Escape", "t", "p", "l"):
        screen.page.keyboard.press(key)
    screen.page.locator("#rates svg").first.click()
    screen.until("document.getElementById('feed').dataset.mode", "past")
    screen.until_text("#connections", "this browser")

    with daemon.client() as client:
        url = client.status()["url"]
    assert [each for each in asked if not each.startswith((f"{url}/", "data:,"))] == []
    assert screen.ask("violations") == []
    assert screen.complaints == []


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the source of axe-core, which npm fetches."""
    folder = npm("axe-core@4", tmp_path_factory.mktemp("axe"))
    return (folder / "axe-core" / "axe.min.js").read_text()


def violations(screen: Screen, axe: str) -> list[Any]:
    """Return what axe finds wrong with what is on the screen."""
    screen.ask(axe)
    found = screen.ask("axe.run().then(found => found.violations)")
    return [(each["id"], each["nodes"][0]["html"], each["nodes"][0]["failureSummary"])
            for each in found]  # fmt: skip


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("width", [400, 1280])
def test_axe_finds_nothing(
    screen: Screen, daemon: Daemon, axe: str, scheme: Any, width: int
) -> None:
    variety(daemon)
    screen.page.emulate_media(color_scheme=scheme)
    screen.page.set_viewport_size({"width": width, "height": 850})
    screen.open()
    screen.until_text("#connections", "this browser")
    screen.until("document.querySelectorAll('#commits li').length > 0")
    assert violations(screen, axe) == []
    screen.page.locator("#commits summary").first.click()
    screen.page.locator("#feed .row").nth(2).click()
    assert violations(screen, axe) == []
    screen.page.locator("#detail-jump").click()
    screen.until("document.getElementById('feed').dataset.mode", "past")
    screen.page.keyboard.press("j")
    assert violations(screen, axe) == []
    screen.page.locator("#help-open").click()
    assert violations(screen, axe) == []


def test_axe_finds_nothing_on_an_empty_page(screen: Screen, axe: str) -> None:
    screen.open()
    screen.until_text("#connections", "this browser")

    assert violations(screen, axe) == []


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_the_page_fits_on_every_screen(
    context: BrowserContext, screen: Screen, daemon: Daemon, tmp_path: Path, scheme: Any
) -> None:
    """Leaves a picture of each in the test's folder."""
    variety(daemon)
    screen.page.emulate_media(color_scheme=scheme)
    screen.open()
    screen.until_text("#connections", "this browser")
    for width, height in SIZES:
        screen.page.set_viewport_size({"width": width, "height": height})
        screen.page.wait_for_timeout(300)
        picture = tmp_path / f"{width}-{scheme}.png"
        screen.page.screenshot(path=picture, full_page=width == 400)

        assert picture.stat().st_size > 10 * KIB
        assert screen.ask("document.documentElement.scrollWidth") <= width
        beyond = """[...document.querySelectorAll('header *, #filter *, #panels *')].filter(each =>
          !each.closest('[hidden]') && each.getBoundingClientRect().right > innerWidth + 1)
          .map(each => each.outerHTML.slice(0, 80))"""
        assert json.dumps(screen.ask(beyond)) == "[]"


@pytest.mark.parametrize("width", [400, 1280])
def test_an_empty_log_says_what_to_do(screen: Screen, width: int) -> None:
    screen.page.set_viewport_size({"width": width, "height": 800})
    screen.open()

    top, above = (
        screen.ask(f"document.querySelector('{selector}').getBoundingClientRect().{edge}")
        for selector, edge in (("#empty-log", "top"), ("#filter", "bottom"))
    )
    assert top > above
    assert "rtevents publish" in screen.text("#empty-log")
    screen.until_text("#risks", "No open risk")


def test_a_screen_on_the_wall_shows_the_stream_alone(screen: Screen, daemon: Daemon) -> None:
    publish(daemon, risk("mine", project_id="web"), risk("other", project_id="api"))
    words = ("dashboard", "--viewer", "--project", "web", "--print")
    screen.page.goto(daemon.run(*words).stdout.strip())
    screen.until_state("live")

    screen.until_shown("low: mine")
    publish(daemon, risk("next", project_id="web"), risk("another", project_id="api"))
    screen.until_shown("low: next", "low: mine")
    screen.until("document.getElementById('connections').hidden")
    assert "other" not in screen.text("body")
