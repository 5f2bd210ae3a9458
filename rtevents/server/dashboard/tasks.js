// Tasks and progress of each project, as bars. The newest word on each counts.

import { history } from "./api.js";
import { ago, clock, count, duration, el, find, say, sync, visible } from "./text.js";

const DONE = new Set(["done", "completed", "closed"]);
const GONE = new Set(["removed", "gone", "deleted", "cancelled"]);
const BUSY = ["failed", "running", "blocked"]; // what is named one by one, in this order
const NAMED = 4; // tasks of a project that are named
const BARS = 5; // bars of a project
const PROJECTS = 12;
const PAGE = 1000; // of either type, to begin with
const KEPT = 5000;

export class Tasks {
  types = new Set(["TASK_UPDATE", "PROGRESS_UPDATE"]);

  constructor({ open }) {
    this.list = find("#tasks .projects");
    this.empty = find("#tasks .none");
    this.open = open;
    this.note = find("#tasks .note");
    this.newest = new Map(); // by project, type and id: the newest event, the newest of all at the end
    this.since = null; // what was before is not known, in unix seconds
    this.items = new Map(); // elements by key, so that they stay
    this.old = this.items; // those that were drawn before
  }

  async load() {
    const pages = await Promise.all(
      [...this.types].map((type) => history({ type, order: "desc", limit: PAGE })),
    );
    for (const { events } of pages) {
      if (events.length === PAGE) this.#hide(events.at(-1));
      events.forEach((event) => this.take(event));
    }
    this.newest = new Map([...this.newest].sort(([, one], [, other]) => one.seq - other.seq));
    this.isDirty = this.isKnown = true;
  }

  take(event) {
    const id = event.type === "TASK_UPDATE" ? event.data.task_id : event.data.label ?? "";
    const key = JSON.stringify([event.project_id, event.type, id]);
    const known = this.newest.get(key);
    if (known && known.seq >= event.seq) return;
    this.newest.delete(key);
    this.newest.set(key, event);
    if (this.newest.size > KEPT) {
      const [oldest, forgotten] = this.newest.entries().next().value;
      this.newest.delete(oldest);
      this.#hide(forgotten);
    }
    this.isDirty = true;
  }

  // From here back, not everything is known.
  #hide({ timestamp }) {
    this.since = Math.max(this.since ?? 0, timestamp);
  }

  draw() {
    const projects = new Map();
    for (const [key, event] of this.newest) {
      const name = event.project_id ?? "";
      if (!projects.has(name)) projects.set(name, { tasks: [], bars: [], seq: 0 });
      const project = projects.get(name);
      project.seq = Math.max(project.seq, event.seq);
      if (event.type === "PROGRESS_UPDATE") project.bars.push([key, event]);
      else if (!GONE.has(String(event.data.status).toLowerCase())) project.tasks.push([key, event]);
    }
    const shown = [...projects].filter(([, project]) => project.tasks.length + project.bars.length);
    shown.sort(([, one], [, other]) => other.seq - one.seq);
    this.old = this.items;
    this.items = new Map();
    sync(this.list, shown.slice(0, PROJECTS).map(([name, project]) => this.#project(name, project)));
    const words = [];
    if (shown.length > PROJECTS) words.push(`the newest ${PROJECTS} of ${shown.length} projects`);
    if (this.since !== null) words.push(`known since ${clock(this.since)}`);
    say(this.note, words.join(" · "));
    this.empty.hidden = !this.isKnown || shown.length > 0;
    this.isDirty = false;
  }

  // The element of a key: the one that was there, or a new one.
  #keep(key, make) {
    const item = this.old.get(key) ?? make();
    this.items.set(key, item);
    return item;
  }

  #project(name, { tasks, bars }) {
    const item = this.#keep(`project ${name}`, () => {
      const made = el("li", {}, el("h3"), el("ul"));
      say(made.firstChild, name ? visible(name) : "no project");
      return made;
    });
    const rows = [];
    if (tasks.length) rows.push(this.#total(name, tasks));
    bars.sort(([, one], [, other]) => isOver(one) - isOver(other) || other.seq - one.seq);
    for (const [key, event] of bars.slice(0, BARS)) rows.push(this.#bar(key, event));
    const busy = tasks.filter(([, event]) => BUSY.includes(event.data.status));
    busy.sort(([, one], [, other]) => order(one) - order(other) || other.seq - one.seq);
    for (const [key, event] of busy.slice(0, NAMED)) rows.push(this.#task(key, event));
    const more = Math.max(bars.length - BARS, 0) + Math.max(busy.length - NAMED, 0);
    if (more) rows.push(this.#more(name, more));
    sync(item.lastChild, rows);
    return item;
  }

  #total(name, tasks) {
    const done = tasks.filter(([, event]) => DONE.has(String(event.data.status).toLowerCase())).length;
    const row = this.#keep(`total ${name}`, () => this.#makeBar(() => this.open(row.event)));
    row.event = tasks.reduce((one, other) => (other[1].seq > one[1].seq ? other : one))[1];
    fill(row, { label: "Tasks", value: done, most: tasks.length, words: `${count(done)} of ${count(tasks.length)} done` });
    return row;
  }

  #bar(key, event) {
    const row = this.#keep(key, () => this.#makeBar(() => this.open(row.event)));
    row.event = event;
    const { done, total, percent, label, unit, eta } = event.data;
    const share = percent ?? (total ? (100 * done) / total : 0);
    const left = eta !== undefined && done < total ? `, ${duration(eta)} left` : "";
    const amount = `${count(done)} of ${count(total)}${unit ? ` ${visible(unit, 20)}` : ""}`;
    fill(row, {
      label: visible(label || "Progress", 80),
      value: Math.min(Math.max(share, 0), 100),
      most: 100,
      words: `${Math.round(share)} % · ${amount}${left}`,
    });
    return row;
  }

  #more(name, number) {
    const row = this.#keep(`more ${name}`, () => el("li.meta"));
    say(row, `and ${count(number)} more`);
    return row;
  }

  #makeBar(act) {
    return el("li.bar", {}, el("button.plain", { onclick: act }), el("span.figure"), el("progress"));
  }

  #task(key, event) {
    const row = this.#keep(key, () => {
      const button = el("button.plain", { onclick: () => this.open(row.event) });
      return el("li.task", {}, el("span"), button, el("span.meta"));
    });
    row.event = event;
    const [status, button, when] = row.children;
    status.className = `status ${event.data.status === "failed" ? "bad" : ""}`;
    say(status, visible(event.data.status, 12));
    say(button, visible(event.data.title || event.data.task_id));
    say(when, ago(event.timestamp));
    return row;
  }
}

function fill(row, { label, value, most, words }) {
  const [button, figure, bar] = row.children;
  say(button, label);
  say(figure, words);
  bar.max = most;
  bar.value = value;
  bar.setAttribute("aria-label", `${label}: ${words}`);
}

const isOver = ({ data }) => Number(data.done >= data.total);
const order = ({ data }) => BUSY.indexOf(data.status);
