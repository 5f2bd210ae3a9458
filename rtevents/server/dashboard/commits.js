// The newest commits: who, what, and which files.

import { history } from "./api.js";
import { ago, count, el, find, plural, say, sync, visible } from "./text.js";

const KEPT = 30;

export class Commits {
  types = new Set(["COMMIT"]);

  // `open(event)` shows an event whole.
  constructor({ open }) {
    this.list = find("#commits ol");
    this.empty = find("#commits .none");
    this.open = open;
    this.commits = []; // {event, item, when}, the newest first
  }

  async load() {
    const page = await history({ type: "COMMIT", order: "desc", limit: KEPT });
    page.events.forEach((event) => this.take(event));
    this.isDirty = this.isKnown = true;
  }

  take(event) {
    if (this.commits.some((commit) => commit.event.seq === event.seq)) return;
    const when = el("span");
    this.commits.push({ event, when, item: null });
    this.commits.sort((one, other) => other.event.seq - one.event.seq);
    this.commits.length = Math.min(this.commits.length, KEPT);
    this.isDirty = true;
  }

  draw() {
    for (const commit of this.commits) {
      commit.item ??= this.#make(commit);
      say(commit.when, ago(commit.event.timestamp));
    }
    sync(this.list, this.commits.map((commit) => commit.item));
    this.empty.hidden = !this.isKnown || this.commits.length > 0;
    this.isDirty = false;
  }

  #make({ event, when }) {
    const data = event.data;
    const message = String(data.message ?? "");
    const subject = message.trim().split("\n", 1)[0] || "(no message)";
    const meta = el("span.meta");
    for (const part of [event.project_id, data.branch, data.author]) {
      if (part) meta.append(el("bdi", { textContent: visible(part, 60) }));
    }
    meta.append(when);
    if (data.files_changed !== undefined) {
      meta.append(el("span", { textContent: plural(data.files_changed, "file") }), changes(data));
    }
    const onclick = () => this.open(event);
    const whole = el("button.small", { textContent: "Whole event", onclick });
    const files = (Array.isArray(data.files) ? data.files : []).slice(0, 200).map(file);
    const head = el("summary", {}, el("bdi", { textContent: visible(subject) }), meta);
    const body = el("ul.files", {}, ...files);
    const id = el("code", { textContent: visible(String(data.commit_hash ?? "").slice(0, 12)) });
    return el("li", {}, el("details", {}, head, body, el("p.foot", {}, id, whole)));
  }
}

function file({ path, insertions, deletions }) {
  const name = el("bdi", { textContent: visible(path), title: visible(path) });
  const figures = insertions === null ? el("span", { textContent: "binary" }) : changes({ insertions, deletions });
  return el("li", {}, name, figures);
}

function changes({ insertions, deletions }) {
  return el("span", {},
    el("ins", { textContent: `+${count(insertions ?? 0)}` }), " ",
    el("del", { textContent: `−${count(deletions ?? 0)}` }));
}
