// Open risks, the worst first. The newest word on a fingerprint counts, in whatever order.

import { history } from "./api.js";
import { ago, clock, el, find, plural, say, sync, visible } from "./text.js";

const SEVERITIES = ["critical", "high", "medium", "low"];
const SHOWN = 60;
const PAGE = 1000; // alerts that are looked at to begin with
const KEPT = 5000;

export class Risks {
  types = new Set(["RISK_ALERT"]);

  constructor({ open }) {
    this.list = find("#risks ol");
    this.empty = find("#risks .none");
    this.note = find("#risks .note");
    this.open = open;
    this.risks = new Map(); // by key: {event, times, item}, the one heard of last at the end
    this.since = null; // what was before is not known, in unix seconds
  }

  async load() {
    const query = { type: "RISK_ALERT", order: "desc", limit: PAGE };
    // The grave ones for themselves: thousands of newer words must not hide them.
    const pages = [history(query), history({ ...query, where: 'data.severity >= "high"' })];
    const [newest, grave] = await Promise.all(pages);
    if (newest.events.length === PAGE) this.#hide(newest.events.at(-1));
    for (const event of [...newest.events, ...grave.events]) this.take(event);
    const sorted = [...this.risks].sort(([, one], [, other]) => one.event.seq - other.event.seq);
    this.risks = new Map(sorted);
    this.isDirty = this.isKnown = true;
  }

  take(event) {
    if (event.extensions?.imported) return; // long over, and perhaps of another machine
    const key = keyOf(event);
    const known = this.risks.get(key);
    if (!known) {
      this.risks.set(key, { event, times: 1, first: event.seq });
      if (this.risks.size > KEPT) this.#forget();
    } else if (event.seq > known.event.seq) {
      known.times += 1;
      known.event = event;
      this.risks.delete(key);
      this.risks.set(key, known);
    } else if (event.seq < known.first) {
      known.times += 1;
      known.first = event.seq;
    }
    this.isDirty = true;
  }

  #forget() {
    const [key, { event }] = this.risks.entries().next().value;
    this.risks.delete(key);
    if (event.data.state !== "closed") this.#hide(event);
  }

  // From here back, not everything is known.
  #hide({ timestamp }) {
    this.since = Math.max(this.since ?? 0, timestamp);
  }

  draw() {
    const open = [...this.risks.values()].filter(({ event }) => event.data.state !== "closed");
    open.sort((one, other) => rank(one) - rank(other) || other.event.seq - one.event.seq);
    const shown = open.slice(0, SHOWN);
    for (const risk of shown) this.#update(risk);
    sync(this.list, shown.map((risk) => risk.item));
    this.empty.hidden = !this.isKnown || open.length > 0;
    const words = SEVERITIES.flatMap((severity) => {
      const number = open.filter(({ event }) => event.data.severity === severity).length;
      return number ? `${number} ${severity}` : [];
    });
    if (open.length > SHOWN) words.push(`the first ${SHOWN} are shown`);
    if (this.since !== null) words.push(`known since ${clock(this.since)}`);
    say(this.note, words.join(" · "));
    this.isDirty = false;
  }

  #update(risk) {
    if (!risk.item) {
      risk.severity = el("span");
      risk.words = el("button.plain", { onclick: () => this.open(risk.event) });
      risk.meta = el("span.meta");
      risk.item = el("li", {}, risk.severity, risk.words, risk.meta);
    }
    const { severity, message, rule } = risk.event.data;
    risk.severity.className = `severity ${SEVERITIES.includes(severity) ? severity : "low"}`;
    say(risk.severity, visible(severity, 12));
    say(risk.words, visible(message));
    const times = risk.times > 1 ? plural(risk.times, "time") : "";
    const meta = [risk.event.project_id, rule, ago(risk.event.timestamp), times].filter(Boolean);
    say(risk.meta, meta.map((part) => visible(part, 60)).join(" · "));
  }
}

const rank = ({ event }) => SEVERITIES.indexOf(event.data.severity);

// Without a fingerprint, the same words about the same project are the same risk.
function keyOf({ project_id, data }) {
  const { fingerprint, severity, message } = data;
  return JSON.stringify(fingerprint ? [project_id, fingerprint] : [project_id, severity, message]);
}
