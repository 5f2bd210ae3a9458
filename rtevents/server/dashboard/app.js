// The dashboard, put together: the stream feeds it, the controls move it.

import { Activity } from "./activity.js";
import { ask, entered } from "./api.js";
import { Commits } from "./commits.js";
import { Connections } from "./connections.js";
import { Detail } from "./detail.js";
import { Feed } from "./feed.js";
import { Form } from "./form.js";
import { HealthPanel } from "./health.js";
import { listen } from "./keys.js";
import { List } from "./list.js";
import { choose } from "./logs.js";
import { Rates } from "./rates.js";
import { Risks } from "./risks.js";
import { fillRow, makeRow, widen } from "./rows.js";
import { Stream } from "./stream.js";
import { Tasks } from "./tasks.js";
import { $, clock, count, local, plural, say, visible } from "./text.js";

const DRAW_MS = 500; // between two looks at whether a panel has changed
const AGE_MS = 5000; // after which "3 min ago" is told anew
const POLL_MS = 3000;
const SILENT_MS = 10000; // without a DASHBOARD_UPDATE, after one
const AGAIN_MS = 2000; // after which a page that could not begin tries again

const form = new Form((filter) => attempt(() => show(filter)));
const feed = new Feed(form.filter, changed);
const list = new List($("feed"), $("rows"), {
  make: makeRow,
  fill: fillRow,
  nearEnd: () => attempt(() => feed.loadOlder()),
  nearStart: () => attempt(() => feed.loadNewer()),
});
const detail = new Detail({ step: (by) => list.move(by), jump });
const open = (event) => detail.open(event);
const rates = new Rates({ choose: (type) => form.choose(type), jump });
const commits = new Commits({ open });
const risks = new Risks({ open });
const tasks = new Tasks({ open });
const connections = new Connections();
new Activity({ attempt });
const health = new HealthPanel();
const panels = [commits, risks, tasks]; // what begins with a page of its own types
const stream = new Stream({ events, gap, state, update: poll, lost: () => (mustBegin = true) });
let connection = null;
let mustBegin = false;
let log = "";

function events(batch) {
  for (const event of batch) {
    form.learn(event);
    rates.take(event);
    for (const panel of panels) if (panel.types.has(event.type)) panel.take(event);
  }
  feed.add(batch);
}

function gap(found) {
  feed.add([{ gap: found }]);
  attempt(loadPanels);
}

function state(text, id) {
  connection = id;
  say($("state"), text);
  $("state").dataset.state = text;
  if (text === "not logged in") notice("Not logged in. Run: rtevents dashboard");
  if (text === "ended") notice("Somebody ended this stream. Reload the page to begin anew.");
  if (text === "live") {
    notice("");
    if (mustBegin) attempt(begin);
    poll();
  } else {
    health.forget();
  }
  entitle();
}

// Another tab may be in front: the title has what is amiss here.
function entitle() {
  const words = [$("state").textContent, health.status, log].filter((word) => !["live", "ok", ""].includes(word));
  document.title = [...words, "rtevents"].join(" · ");
}

// Everything from the newest back, and the stream from there on.
async function begin() {
  mustBegin = false;
  log = await choose();
  const bookmark = await feed.load(form.filter).catch((error) => {
    if (![400, 403].includes(error.status)) throw error;
    notice(error.message); // the filter of the address is refused
    form.clear();
    return feed.load(form.filter);
  });
  feed.items.forEach((item) => item.seq && form.learn(item));
  if (stream.port) {
    stream.bookmark = bookmark;
    stream.rejoin();
  } else {
    stream.start(bookmark);
  }
  await Promise.allSettled([rates.load(bookmark), loadPanels(), learn()]);
}

async function loadPanels() {
  // A grant that does not hold a panel's type leaves the panel empty.
  await Promise.allSettled(panels.map((panel) => panel.load()));
}

async function learn() {
  const { types } = await ask("types");
  for (const { name } of types) if (name !== "HEALTH_CHECK") form.learnType(name);
}

async function show(filter) {
  notice("");
  feed.isPaused = false;
  rates.draw(form.types);
  list.toTop();
  await feed.load(filter);
}

async function jump(moment) {
  $("when").value = local(moment);
  notice("");
  await attempt(async () => {
    await feed.jump(Math.max(moment, 0)); // the log's times begin in 1970
    list.centre(feed.items.find((item) => item.moment !== undefined));
    controls();
  });
}

function live() {
  list.toTop();
  if (feed.isLive && !feed.isPaused) return;
  notice("");
  if (feed.isLive) feed.resume();
  else attempt(() => feed.load());
  controls();
}

function pause() {
  if (!feed.isLive) return live();
  if (feed.isPaused) feed.resume();
  else feed.pause();
  controls();
}

function changed(added, { older = 0 } = {}) {
  const follows = feed.isLive && !older;
  list.show(feed.items, added, follows);
  if (list.isAtTop && feed.isLive) feed.trim();
  due ??= requestAnimationFrame(controls);
}

let due = null;

// What the controls say about the feed.
function controls() {
  due = null;
  const { isLive, isPaused, items, waited, missed } = feed;
  say($("pause"), isPaused ? `Resume (${count(waited)})` : "Pause");
  $("pause").disabled = !isLive;
  $("live").disabled = isLive && !isPaused && list.isAtTop;
  $("mode").dataset.mode = $("feed").dataset.mode = isLive ? (isPaused ? "paused" : "live") : "past";
  $("feed").dataset.count = items.length;
  widen($("feed"), items);
  $("empty").hidden = items.length > 0 || feed.early;
  $("empty-filter").hidden = form.filter.isEmpty;
  $("empty-log").hidden = !form.filter.isEmpty;
  const words = isLive
    ? [isPaused ? `Paused, ${count(waited)} new` : `${plural(items.length, "event")} here`]
    : ["Looking at the past", missed ? `${count(missed)} new since` : ""];
  if (feed.older) words.push(feed.isFull ? "jump to a time to see older ones" : "older ones below");
  say($("mode"), words.filter(Boolean).join(" · "));
  $("further").hidden = !feed.isTired;
  if (feed.isTired) say($("further"), `Looked back to ${clock(feed.lookedBack ?? 0)}: look further`);
}

async function attempt(act) {
  try {
    await act();
  } catch (error) {
    if (error.status === 401) return state("not logged in", null);
    if (error.status) notice(error.message);
    else if (!(error instanceof TypeError)) throw error;
    // Not reachable, or busy: what the stream says of itself is shown, once there is one.
    if (act === begin) setTimeout(() => attempt(begin), AGAIN_MS);
  }
}

function notice(text) {
  say($("notice"), visible(text));
  $("notice").hidden = text === "";
}

let nextPoll = null;
let restsUntil = 0;

// What no event tells, while somebody looks; a DASHBOARD_UPDATE has the statistics, and comes to
// who may see them all.
async function poll(metrics) {
  if (metrics) health.judge(metrics.health);
  entitle();
  const begun = performance.now();
  if (metrics && begun < restsUntil) return;
  clearTimeout(nextPoll);
  if (document.hidden || $("state").dataset.state !== "live") return;
  try {
    const [stats, status, { connections: all }] = await Promise.all([
      metrics ?? ask("stats"), ask("status"), ask("connections"),
    ]);
    for (const { id } of status.projects) form.learnName("project", id);
    health.draw(status, stats);
    // Not waited for: it takes its time while the log is away.
    const asked = status.nodes?.nodes > 1 ? ask("nodes") : Promise.resolve({ nodes: [] });
    asked.then((all) => health.tell(all), () => {});
    entitle();
    connections.draw(all, connection);
  } catch (error) {
    if (error.status === 403) {
      for (const id of ["connections", "health"]) $(id).hidden = true;
      return;
    }
  }
  // Thousands of connections take a while to tell: that is asked for less often.
  const now = performance.now();
  restsUntil = now + 20 * (now - begun);
  clearTimeout(nextPoll);
  nextPoll = setTimeout(poll, Math.max(metrics ? SILENT_MS : POLL_MS, restsUntil - now));
}

let drawnAt = 0;

function draw() {
  if (document.hidden) return;
  const isOld = performance.now() - drawnAt > AGE_MS;
  if (isOld) drawnAt = performance.now();
  for (const panel of panels) if (panel.isDirty || isOld) panel.draw();
  if (rates.isDirty || isOld) rates.draw(form.types);
}

function search() {
  $("text").focus();
  $("text").select();
}

function move(step) {
  if (detail.isOpen) return detail.move(step);
  $("feed").focus({ preventScroll: true });
  return list.move(step);
}

listen({
  isDetail: () => detail.isOpen,
  older: () => move(1),
  newer: () => move(-1),
  newest: () => !detail.isOpen && list.select(feed.items.at(-1)),
  open: () => (detail.isOpen || !list.selected?.seq ? false : open(list.selected)),
  search: () => (detail.isOpen ? false : search()),
  pause: () => (detail.isOpen ? false : pause()),
  live,
  theme: () => $("theme").click(),
  help: () => !$("help").open && $("help-open").click(),
});

$("feed").onclick = (event) => {
  const item = list.itemOf(event.target.closest(".row"));
  if (!item) return;
  list.select(item);
  if (item.seq) open(item);
};
$("feed").addEventListener("scroll", () => (due ??= requestAnimationFrame(controls)), { passive: true });
$("pause").onclick = pause;
$("live").onclick = live;
$("further").onclick = () => attempt(() => feed.loadOlder({ isAsked: true }));
$("theme").onclick = () => dispatchEvent(new Event("rtevents-theme"));
$("help-open").onclick = () => $("help").showModal();
$("help-close").onclick = () => $("help").close();
$("travel").onsubmit = (event) => {
  event.preventDefault();
  const moment = new Date($("when").value).getTime() / 1000;
  if (Number.isFinite(moment)) jump(moment);
};
for (const button of document.querySelectorAll(".more")) {
  button.onclick = () => {
    const isAll = button.parentElement.toggleAttribute("data-all");
    say(button, isAll ? "Show fewer" : "Show all");
  };
}
document.addEventListener("visibilitychange", () => {
  draw();
  poll();
});

setInterval(draw, DRAW_MS);
await attempt(() => entered);
await attempt(begin);
draw();
