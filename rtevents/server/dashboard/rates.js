// How many events of each type there were in ten minutes, as a line each.

import { history } from "./api.js";
import { brief, clock, el, find, plural, say, sync } from "./text.js";

const STEP = 5; // seconds of a column
const COLUMNS = 120; // ten minutes
const MINUTE = 60 / STEP;
const PAGES = 5; // of a thousand events, to begin with
const HEIGHT = 20;
const SVG = "http://www.w3.org/2000/svg";

export class Rates {
  // `choose(type)` shows that type alone; `jump(moment)` goes to a moment in unix seconds.
  constructor({ choose, jump }) {
    this.list = find("#rates ul");
    this.note = find("#rates .note");
    this.choose = choose;
    this.jump = jump;
    this.counts = new Map(); // by type: how many by the number of the column
    this.rows = new Map();
    this.from = Infinity; // the first column that is known
  }

  take(event) {
    const column = Math.floor(Math.min(event.timestamp, Date.now() / 1000) / STEP);
    let counts = this.counts.get(event.type);
    if (!counts) this.counts.set(event.type, (counts = new Map()));
    counts.set(column, (counts.get(column) ?? 0) + 1);
    this.isDirty = true;
  }

  // What was before `bookmark`: as much of the ten minutes as a few pages hold.
  async load(bookmark) {
    this.counts.clear();
    const since = Date.now() / 1000 - STEP * COLUMNS;
    let until = bookmark;
    for (let pages = 0; pages < PAGES; pages++) {
      const page = await history({ order: "desc", limit: 1000, until });
      page.events.forEach((event) => this.take(event));
      const oldest = page.events.at(-1)?.timestamp ?? 0;
      const isWhole = page.events.length < 1000 || oldest < since;
      this.from = isWhole ? -Infinity : Math.ceil(oldest / STEP);
      if (isWhole) return;
      until = page.next;
    }
  }

  draw(chosen) {
    const end = Math.floor(Date.now() / 1000 / STEP);
    const start = end - COLUMNS + 1;
    for (const [type, counts] of this.counts) {
      for (const column of counts.keys()) if (column < start) counts.delete(column);
      if (!this.rows.has(type)) this.rows.set(type, this.#make(type));
      this.#update(this.rows.get(type), type, counts, { start, end, isChosen: chosen.has(type) });
    }
    const types = [...this.counts.keys()].sort();
    sync(this.list, types.map((type) => this.rows.get(type).item));
    say(this.note, this.from > start ? `known since ${clock(this.from * STEP)}` : "the last 10 minutes");
    this.isDirty = false;
  }

  #make(type) {
    const line = document.createElementNS(SVG, "path");
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${COLUMNS} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.append(line);
    svg.onclick = (event) => {
      const box = svg.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      this.jump(Date.now() / 1000 - (1 - share) * STEP * COLUMNS);
    };
    const onclick = () => this.choose(type);
    const button = el("button", { className: "plain kind", textContent: type, onclick });
    const figure = el("span.figure");
    return { item: el("li", {}, button, svg, figure), button, svg, line, figure };
  }

  #update({ button, svg, line, figure }, type, counts, { start, end, isChosen }) {
    let [total, minute, most] = [0, 0, 1];
    for (const [column, number] of counts) {
      total += number;
      if (column > end - MINUTE) minute += number;
      most = Math.max(most, number);
    }
    let path = `M0 ${HEIGHT}`;
    for (let column = start; column <= end; column++) {
      const number = counts.get(column) ?? 0;
      const top = HEIGHT - (number ? Math.max(2, (number / most) * (HEIGHT - 1)) : 0);
      path += `V${top.toFixed(1)}h1`;
    }
    path = `${path}V${HEIGHT}Z`;
    if (line.getAttribute("d") !== path) line.setAttribute("d", path);
    svg.setAttribute("aria-label", `${type}: ${plural(total, "event")} in ten minutes`);
    button.setAttribute("aria-pressed", String(isChosen));
    say(figure, `${brief(minute)}/min`);
  }
}
