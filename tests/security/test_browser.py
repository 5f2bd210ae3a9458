"""Attacks from a real browser that is logged in: pages of elsewhere, and text that would run."""

from __future__ import annotations

import html
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from rtevents.core.event import Event
from rtevents.core.names import is_project_id
from tests.chromium import CHROMIUM, Browser, browsing
from tests.conftest import Daemon

from .attacker import port_of
from .test_audit import told

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

ATTACK = """
const target = 'http://127.0.0.1:PORT';
const event = JSON.stringify({type: 'RISK_ALERT', data: {severity: 'high', message: 'evil'}});
const results = {};
async function attempt(name, act) {
  try { results[name] = await act(); } catch (error) { results[name] = 'refused'; }
}
const element = (kind, path) => new Promise(done => {
  const made = document.createElement(kind);
  made.onload = () => done('loaded'); made.onerror = () => done('refused');
  made.src = target + path;
  document.body.append(made);
});
const asked = options => async () => {
  const answer = await fetch(target + '/v1/events', {credentials: 'include', ...options});
  return answer.type === 'opaque' ? 'opaque' : 'read ' + await answer.text();
};
const simple = {method: 'POST', mode: 'no-cors', body: event};
async function attack() {
  await attempt('fetch', asked({}));
  await attempt('fetch no-cors', asked({mode: 'no-cors'}));
  await attempt('post json', asked({
    method: 'POST', body: event, headers: {'Content-Type': 'application/json'}}));
  await attempt('post text', asked({...simple, headers: {'Content-Type': 'text/plain'}}));
  await attempt('post as json', asked({
    ...simple, body: new Blob([event], {type: 'application/json'})}));
  await attempt('keepalive', asked({...simple, keepalive: true}));
  await attempt('delete', asked({method: 'DELETE'}));
  await attempt('beacon', async () => {
    navigator.sendBeacon(target + '/v1/events', new Blob([event], {type: 'text/plain'}));
    return 'opaque';
  });
  await attempt('form', () => new Promise(done => {
    const frame = document.createElement('iframe');
    frame.name = 'hole';
    document.body.append(frame);
    const form = document.createElement('form');
    Object.assign(form, {
      method: 'POST', action: target + '/v1/events', target: 'hole', enctype: 'text/plain'});
    const input = document.createElement('input');
    input.name = event.slice(0, -1) + ',"extensions":{"a":"';
    input.value = '"}}';
    form.append(input);
    document.body.append(form);
    frame.onload = () => done('opaque');
    form.submit();
  }));
  await attempt('image', () => element('img', '/v1/events'));
  await attempt('script', () => element('script', '/v1/events'));
  await attempt('stream', () => new Promise(done => {
    const source = new EventSource(
      target + '/v1/events/stream?since=all', {withCredentials: true});
    source.onopen = source.onmessage = () => { done('open'); source.close(); };
    source.onerror = () => { done('refused'); source.close(); };
  }));
  await attempt('websocket', () => new Promise(done => {
    const socket = new WebSocket(target.replace('http', 'ws') + '/v1/events/ws');
    socket.onopen = () => done('open');
    socket.onerror = () => done('refused');
  }));
  return results;
}
attack().then(found => {
  window.results = found;
  parent.postMessage(JSON.stringify(found), '*');
});
"""
"""What a page of elsewhere can try, and what it has of it: `read`, `open`, `loaded` is too much."""

OUTER = """<!doctype html><title>outer</title><body><script>
onmessage = message => { window.results = JSON.parse(message.data); };
</script><iframe sandbox="allow-scripts allow-forms" src="/attack"></iframe>"""


@asynccontextmanager
async def evil_site(daemon_port: int) -> AsyncIterator[int]:
    """Serve the attack; return the port."""
    page = f"<!doctype html><title>evil</title><body><script>{ATTACK}</script>"

    async def serve(request: web.Request) -> web.Response:
        text = OUTER if request.path == "/outer" else page.replace("PORT", str(daemon_port))
        return web.Response(text=text, content_type="text/html")

    app = web.Application()
    app.router.add_get("/{tail:.*}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def log_in(daemon: Daemon, browser: Browser) -> None:
    """Log the victim in: its cookie is there from now on."""
    url = daemon.run("dashboard", "--print").stdout.strip()
    await browser.call("Page.navigate", url=url)
    await browser.until("document.getElementById('state')?.textContent === 'live'")


def stored(daemon: Daemon) -> list[str]:
    """Return the types of what is in the log."""
    with daemon.client() as client:
        return [entry.type for entry in client.history().events]


@pytest.mark.parametrize(
    "where",
    ["http://evil.test:SITE/attack", "http://127.0.0.1:SITE/attack", "http://127.0.0.1:SITE/outer"],
    ids=["another site", "another port of this machine", "a sandboxed frame"],
)
async def test_a_page_of_elsewhere_reads_nothing_and_publishes_nothing(
    daemon: Daemon, where: str
) -> None:
    """S2 S4: 13 ways to ask from a page, each in a browser that is logged in here."""
    async with (
        browsing("--host-resolver-rules=MAP evil.test 127.0.0.1") as browser,
        evil_site(port_of(daemon)) as site,
    ):
        await log_in(daemon, browser)
        await browser.call("Page.navigate", url=where.replace("SITE", str(site)))
        results = json.loads(await browser.until("window.results && JSON.stringify(results)"))

    assert len(results) == 13
    assert set(results.values()) <= {"refused", "opaque"}, results
    assert results["stream"] == results["websocket"] == results["script"] == "refused"
    assert stored(daemon) == []
    refused = {line["action"] for line in told(daemon, decision="refused", rule="site")}
    assert {"POST /v1/events", "GET /v1/events", "GET /v1/events/stream"} <= refused
    assert not [line for line in told(daemon, action="POST /v1/events") if "allowed" in str(line)]


async def test_a_name_that_is_rebound_to_this_machine_gets_nothing(daemon: Daemon) -> None:
    """S1: the page, the interface and the WebSocket, by a name whose address became ours."""
    port = port_of(daemon)
    async with browsing("--host-resolver-rules=MAP evil.test 127.0.0.1") as browser:
        await log_in(daemon, browser)
        await browser.call("Page.navigate", url=f"http://evil.test:{port}/")
        text = await browser.until("document.body?.innerText")
        asked = await browser.run(
            """Promise.all([
              fetch('/v1/events').then(answer => answer.status),
              fetch('/v1/events', {method: 'POST', body: '{}', headers: {
                'Content-Type': 'application/json'}}).then(answer => answer.status),
              fetch('/v1/health/live').then(answer => answer.status),
              new Promise(done => {
                const socket = new WebSocket(`ws://${location.host}/v1/events/ws`);
                socket.onopen = () => done('open');
                socket.onerror = () => done('refused');
              }),
            ])"""
        )

    assert "not a host of this daemon" in text
    assert asked == [421, 421, 421, "refused"]
    assert stored(daemon) == []
    assert told(daemon, decision="refused", rule="host")


async def test_the_dashboard_is_shown_in_no_frame_and_tells_no_opener(daemon: Daemon) -> None:
    """S22: a page that frames or opens it learns and steals nothing."""
    port = port_of(daemon)
    async with browsing() as browser, evil_site(port) as site:
        await log_in(daemon, browser)
        await browser.call("Page.navigate", url=f"http://127.0.0.1:{site}/attack")
        await browser.until("window.results")
        await browser.run(
            f"""new Promise(done => {{
              const frame = document.createElement('iframe');
              frame.id = 'framed';
              frame.onload = done;
              frame.src = 'http://127.0.0.1:{port}/';
              document.body.append(frame);
            }})"""
        )
        opener = await browser.run(
            f"(() => {{ const w = window.open('http://127.0.0.1:{port}/'); "
            "return w === null || w.closed || w.length === 0; })()"
        )

    shown = [line for line in browser.complaints if "X-Frame-Options" in line or "frame" in line]
    assert shown
    assert opener


PAYLOADS = [
    "<script>hit()</script>",
    "<img src=x onerror=hit()>",
    "<svg onload=hit()>",
    "<svg><script>hit()</script></svg>",
    "<iframe srcdoc='<script>parent.hit()</script>'></iframe>",
    "<iframe src=javascript:hit()></iframe>",
    "<a href=javascript:hit() autofocus onfocus=hit()>x</a>",
    "<body onload=hit()>",
    "<input autofocus onfocus=hit()>",
    "<details open ontoggle=hit()>",
    "<video><source onerror=hit()></video>",
    "<math><mtext><script>hit()</script></mtext></math>",
    "<style>@import 'http://evil.test/x.css'</style>",
    "<link rel=stylesheet href=http://evil.test/x.css>",
    "<meta http-equiv=refresh content='0;url=http://evil.test/'>",
    "<base href=http://evil.test/>",
    "<form action=http://evil.test/><button id=feed>x",
    "<object data=javascript:hit()></object>",
    "<embed src=javascript:hit()>",
    "<template><script>hit()</script></template>",
    "</td></tr></table><script>hit()</script>",
    "</title><script>hit()</script>",
    "--><script>hit()</script>",
    "]]><script>hit()</script>",
    "'\"><script>hit()</script>",
    '" onmouseover=hit() x="',
    "' onfocus=hit() autofocus x='",
    "javascript:hit()",
    "{{constructor.constructor('hit()')()}}${hit()}",
    "&lt;script&gt;hit()&lt;/script&gt;",
    "\u202e<script>hit()</script>\u2028\u0085\u200b",
    "__proto__",
]


def hostile(payload: str) -> list[Event]:
    """Return events that hold a payload in every field that takes text."""
    common: dict[str, Any] = {
        "source": payload[:100],
        "project_id": payload if is_project_id(payload) else None,
        "extensions": {"note": payload},
    }
    datas: list[tuple[str, dict[str, Any]]] = [
        ("RISK_ALERT", {"severity": "high", "message": payload, "rule": payload}),
        ("TASK_UPDATE", {"task_id": payload, "status": "open", "title": payload, "path": payload}),
        ("PROGRESS_UPDATE", {"done": 1, "total": 2, "label": payload, "unit": payload}),
        ("FILE_CHANGE", {"file_path": payload, "change_type": "renamed", "old_path": payload}),
        ("COMMIT", {"commit_hash": "a" * 40, "message": payload, "author": payload,
                    "branch": payload}),
        ("SYSTEM_STATUS", {"status": "ok", "event": payload, "reasons": [payload]}),
        ("DASHBOARD_UPDATE", {"metrics": {payload: payload}}),
        ("AUTO_COMMIT_RESULT", {"success": True, "changes_count": 1, "message": payload}),
        ("AUTO_COMMIT_ERROR", {"error": payload, "details": payload}),
        ("DEPLOY", {payload: payload, "deep": [[{payload: [payload]}]]}),
    ]  # fmt: skip
    return [Event(type=kind, data=data, **common) for kind, data in datas]


async def test_text_of_strangers_is_shown_and_never_run(daemon: Daemon) -> None:
    """S22: 32 payloads in every field of events of ten types; the browser has no complaint."""
    with daemon.client() as client:
        client.add_type("DEPLOY")
    events = [event for payload in PAYLOADS for event in hostile(payload)]
    watch = """
      window.hit = () => { window.wasHit = true; };
      window.violations = [];
      document.addEventListener('securitypolicyviolation', event =>
        violations.push(event.violatedDirective + ' ' + event.blockedURI));
    """
    count = "Number(document.getElementById('feed').dataset.count)"
    async with browsing() as browser:
        await browser.call("Page.enable")
        await browser.call("Page.addScriptToEvaluateOnNewDocument", source=watch)
        await log_in(daemon, browser)
        with daemon.client() as client:
            for event in events:
                client.publish(event)
        await browser.until(f"{count} === {len(events)}")
        # Each screen of the windowed list, and one event of each type whole.
        text = await browser.run(
            """(async () => {
              const feed = document.getElementById('feed');
              const turn = () => new Promise(done => setTimeout(done, 60));
              let text = '';
              for (let top = 0; top < feed.scrollHeight; top += feed.clientHeight / 2) {
                feed.scrollTop = top;
                await turn();
                text += feed.innerText;
              }
              for (let row = 0; row < 10; row++) {
                document.querySelectorAll('#feed .row:not([hidden])')[row].click();
                text += document.getElementById('detail').innerText;
              }
              document.getElementById('detail').close();
              return text + document.getElementById('panels').innerText;
            })()"""
        )
        found = await browser.run(
            """({
              wasHit: window.wasHit ?? false,
              violations,
              title: document.title,
              place: location.href,
              markup: document.querySelectorAll('#feed .row > * > *, #detail-json *').length,
              scripts: document.scripts.length,
              frames: frames.length,
              polluted: ({}).polluted ?? null,
            })"""
        )

    assert (found["wasHit"], found["violations"], found["title"]) == (False, [], "rtevents")
    assert (found["markup"], found["scripts"], found["frames"]) == (0, 3, 0)
    assert found["place"] == f"http://127.0.0.1:{port_of(daemon)}/"
    assert "<script>hit()</script>" in text
    assert html.escape("<script>") not in text.replace("&lt;script&gt;hit()", "")
    assert "\u202e" not in text
    assert browser.complaints == []
