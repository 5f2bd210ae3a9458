// What stands in a row of the feed.

import { summary, tone } from "./summary.js";
import { clock, count, el, local, visible } from "./text.js";

const CELLS = ["seq", "time", "project", "kind", "what"];
const REASONS = {
  trimmed: "older ones are not kept",
  "unknown-id": "the place is not known any more",
  "other-epoch": "the log is another one now",
  ahead: "the log has lost its end",
};

export function makeRow() {
  const cells = CELLS.map((name) => el(`span.${name}`));
  return el("div.row", { role: "option" }, ...cells);
}

export function fillRow(row, item) {
  const [seq, time, project, kind, what] = row.children;
  const text = item.seq === undefined ? markOf(item) : null;
  row.classList.toggle("mark", text !== null);
  row.classList.toggle("gap", item.gap !== undefined);
  row.title = "";
  if (text !== null) {
    for (const cell of [seq, time, project, kind]) cell.textContent = "";
    what.textContent = text;
    return;
  }
  seq.textContent = item.seq;
  time.textContent = clock(item.timestamp);
  project.textContent = visible(item.project_id ?? "", 60);
  kind.textContent = item.type;
  what.textContent = visible(summary(item));
  row.title = `${local(item.timestamp)} · ${visible(item.source, 100)}`;
  const found = tone(item);
  if (found) row.classList.add(found);
}

// The columns of numbers are as wide as the widest there is.
export function widen(box, items) {
  const ends = [items[0], items[1], items.at(-1)].filter((item) => item?.seq);
  const widest = (texts, least) => `${Math.max(least, ...texts.map((text) => text.length))}ch`;
  const found = {
    "--seq": widest(ends.map(({ seq }) => String(seq)), 3),
    "--time": widest(ends.map(({ timestamp }) => clock(timestamp)), 8),
  };
  const { style } = box;
  for (const [name, width] of Object.entries(found)) {
    if (style.getPropertyValue(name) !== width) style.setProperty(name, width);
  }
}

function markOf({ gap, moment }) {
  if (moment !== undefined) return `↑ after · ${local(moment).replace("T", " ")} · before ↓`;
  const [from, to] = [gap.after + 1, gap.before - 1];
  const why = REASONS[gap.reason] ?? visible(gap.reason);
  if (to < from || (gap.reason !== "trimmed" && !gap.after)) return `Gap: ${why}`;
  if (gap.reason === "other-epoch") return `Gap: what came after event ${count(gap.after)} was lost (${why})`;
  const which = from === to ? `event ${count(from)}` : `events ${count(from)} to ${count(to)}`;
  return `Gap: ${which} can no longer be read (${why})`;
}
