// The last days, counted when somebody opens it: it is work.

import { ask } from "./api.js";
import { $, count, el, plural, say, sync, visible } from "./text.js";

const SHOWN = 6;
const HEIGHT = 40;

export class Activity {
  constructor({ attempt }) {
    this.box = $("activity");
    this.box.ontoggle = () => this.box.open && attempt(() => this.#load());
  }

  async #load() {
    const found = await ask("analytics", { since: "7d" });
    const counts = [[found.events, "event"], [found.commits.count, "commit"], [found.tasks.done, "task"]];
    const words = counts.map(([number, noun]) => plural(number, noun)).join(" · ");
    say(this.box.querySelector(".note"), found.is_cut ? `the newest ${words}` : words);
    this.#draw(found);
    const [files, together] = this.box.querySelectorAll("ol");
    const several = new Set([...found.files, ...found.together].map((each) => each.project_id)).size > 1;
    const named = (each, text) => (several && each.project_id ? `${each.project_id}: ${text}` : text);
    list(files, found.files, (each) => named(each, each.name));
    list(together, found.together, (pair) => named(pair, pair.files.join(" + ")));
  }

  // A bar for each span: all events behind, commits in front.
  #draw({ spans, span_seconds }) {
    const place = ({ start }) => Math.round((start - spans[0].start) / span_seconds);
    const all = ({ by_type }) => Object.values(by_type).reduce((a, b) => a + b, 0);
    const commits = ({ by_type }) => by_type.COMMIT ?? 0;
    const width = spans.length && place(spans.at(-1)) + 1;
    this.box.querySelector("svg").setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.box.querySelectorAll("path").forEach((path, at) => {
      const number = at ? commits : all;
      const unit = HEIGHT / Math.max(1, ...spans.map(number));
      const bars = spans.map((span) => `M${place(span)} ${HEIGHT}v${-number(span) * unit}h.8V${HEIGHT}z`);
      path.setAttribute("d", bars.join(""));
    });
  }
}

function list(parent, rows, words) {
  const items = rows.slice(0, SHOWN).map((row) => `${count(row.count)} × ${visible(words(row), 160)}`);
  sync(parent, items.map((textContent) => el("li", { textContent })));
}
