// How the daemon is: its verdict and why, its figures and projects.

import { $, count, duration, el, plural, rate, say, size, sync, visible } from "./text.js";

const ms = (number) => `${number < 10 ? number.toFixed(1) : Math.round(number)} ms`;
const percent = (share) => `${Math.round(share * 100)} %`;

// Label, the threshold's name, the figure, how it is written.
const FIGURES = [
  ["Connections", "connections", ({ connections }) => connections.current, count],
  ["Queue", "queue_share", ({ queue }) => queue.size / queue.max_size, percent],
  ["Time to store (p95)", "latency_ms", ({ latency }) => latency.p95_1m ?? latency.p95, ms],
  ["Errors in a minute", "errors_per_minute", ({ errors_1m }) => errors_1m, count],
  ["Event loop late by", "loop_lag_ms", ({ loop_lag_ms }) => loop_lag_ms, ms],
  ["Memory", "memory_bytes", ({ memory_bytes }) => memory_bytes ?? NaN, size],
];

export class HealthPanel {
  constructor() {
    const find = (selector) => document.querySelector(`#health ${selector}`);
    this.verdict = find(".verdict");
    this.reasons = find(".reasons");
    this.figures = find(".figures");
    this.facts = find(".facts");
    [this.projects, this.nodes] = document.querySelectorAll("#health .watched");
    this.rows = new Map();
    this.status = "";
    $("verdict").onclick = () => $("health").scrollIntoView();
  }

  // Nobody knows how a daemon is that does not answer.
  forget() {
    this.judge({ status: "", reasons: [] });
    this.#list(this.reasons, []);
  }

  // What is amiss stands on top of the page too: the panel may be far down.
  judge({ status, reasons }) {
    this.status = status;
    for (const element of [this.verdict, $("verdict")]) element.dataset.status = status;
    say(this.verdict, status);
    say($("verdict"), [status, ...reasons.slice(0, 1)].map((text) => visible(text, 160)).join(": "));
    $("verdict").hidden = ["", "ok"].includes(status);
    $("verdict").title = reasons.map((reason) => visible(reason)).join("\n");
  }

  draw(status, stats) {
    // Of several logs, that whose figures these are.
    const log = status.logs?.find(({ epoch }) => epoch === stats.log.epoch) ?? status;
    const { health } = log.name === "main" ? status : log; // and what is amiss with others
    this.judge(health);
    this.#list(this.reasons, health.reasons.map((reason) => [reason, visible(reason), ""]));
    this.#figures(stats, status.thresholds ?? stats.thresholds ?? {});
    this.#facts(status, stats, log);
    this.#list(this.projects, status.projects.map(({ id, path, state, error }) => [
      id,
      `${visible(id, 48)} · ${visible(error ? `${state}: ${error}` : state)} · ${visible(path, 80)}`,
      error ? "bad" : "",
    ]));
  }

  // The daemons that share the log.
  tell({ nodes, is_away }) {
    this.#list(this.nodes, nodes.map((node) => {
      const { name, status, is_known } = node;
      const unheard = node.is_lost ? "lost" : is_away ? "not known while the log is away" : "not known";
      const words = is_known
        ? `${status} · ${plural(node.connections, "connection")}, ${rate(node.rate)}/s`
        : `${unheard}, last heard ${duration(node.age)} ago`;
      return [`node ${name}`, `${visible(name)} · ${words}`, is_known && status === "ok" ? "" : "warn"];
    }));
  }

  #figures(stats, thresholds) {
    if (!stats.queue) return void (this.figures.hidden = true); // a limited grant is not told
    const rows = FIGURES.map(([label, name, figure, write]) => {
      const [value, limit] = [figure(stats), thresholds[name]];
      const row = this.#row(name, () => el("li.bar", {}, el("span"), el("span.figure")));
      say(row.children[0], label);
      const isBeyond = limit !== undefined && value > limit;
      say(row.children[1], limit === undefined ? write(value) : `${write(value)} of ${write(limit)}`);
      row.children[1].classList.toggle("bad", isBeyond);
      if (limit !== undefined) bar(row, value / limit, `${label}: ${write(value)}, threshold ${write(limit)}`);
      return row;
    });
    sync(this.figures, rows);
  }

  #facts(status, { events, log, uptime }, { name, store, durability }) {
    const all = status.nodes;
    const facts = [
      ["Events a second", events.rate_1m === undefined ? "–" : rate(events.rate_1m)],
      ["Published, delivered", `${count(events.published)}, ${count(events.delivered)}`],
      [name ? `Log ${name}` : "Log", extent(log)],
      ["Store", `${visible(store, 60)}, ${durability}`],
      ["Version, up for", `${status.version}, ${duration(uptime)}`],
    ];
    if (all?.nodes > 1) {
      const lost = all.lost ? ` (${all.lost} lost)` : "";
      facts.push([`All ${all.nodes} daemons${lost}`, `${plural(all.connections, "connection")}, ${rate(all.rate)}/s`]);
    }
    const rows = facts.map(([label, value]) => {
      const row = this.#row(`fact ${label}`, () => el("div", {}, el("dt", { textContent: label }), el("dd")));
      say(row.lastChild, value);
      return row;
    });
    sync(this.facts, rows);
  }

  #list(parent, entries) {
    sync(parent, entries.map(([key, words, tone]) => {
      const row = this.#row(`${parent.className} ${key}`, () => el("li"));
      row.className = tone;
      say(row, words);
      return row;
    }));
  }

  #row(key, make) {
    if (!this.rows.has(key)) {
      if (this.rows.size > 500) this.rows.clear();
      this.rows.set(key, make());
    }
    return this.rows.get(key);
  }
}

function extent({ oldest, newest, missing }) {
  if (newest < oldest) return "empty";
  const range = `${count(oldest)} to ${count(newest)}`;
  return missing ? `${plural(newest - oldest + 1 - missing, "event")}, ${range}` : range;
}

function bar(row, share, words) {
  if (row.children.length < 3) row.append(el("progress", { max: 1 }));
  const progress = row.lastChild;
  progress.value = Math.min(share, 1);
  progress.classList.toggle("beyond", share > 1);
  progress.setAttribute("aria-label", words);
}
