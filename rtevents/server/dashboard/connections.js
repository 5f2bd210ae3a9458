// Who listens, and how far behind each is.

import { count, duration, el, find, plural, rate, say, sync, visible } from "./text.js";

const SHOWN = 30;

export class Connections {
  constructor() {
    this.body = find("#connections tbody");
    this.table = find("#connections table");
    this.note = find("#connections .note");
    this.empty = find("#connections .none");
    this.rows = new Map();
  }

  // `own` is the stream that this page looks through.
  draw(connections, own) {
    const now = performance.now();
    const sorted = connections.toSorted(
      (one, other) => other.lag - one.lag || one.connected_at - other.connected_at,
    );
    const old = this.rows;
    this.rows = new Map();
    for (const connection of sorted.slice(0, SHOWN)) {
      const row = old.get(connection.connection_id) ?? { item: make(), at: now, delivered: connection.delivered };
      this.rows.set(connection.connection_id, row);
      update(row, connection, { own, now });
    }
    sync(this.body, [...this.rows.values()].map((row) => row.item));
    const behind = connections.filter(({ lag }) => lag > 0).length;
    const more = connections.length > SHOWN ? ` · the ${SHOWN} furthest behind are shown` : "";
    say(this.note, `${plural(connections.length, "connection")}, ${count(behind)} behind${more}`);
    this.table.hidden = connections.length === 0;
    this.empty.hidden = connections.length > 0;
  }
}

function make() {
  return el("tr", {}, ...[0, 1, 2, 3, 4].map((at) => el(at > 1 ? "td.figure" : "td")));
}

function update(row, connection, { own, now }) {
  const { connection_id, kind, principal, pid, filter, lag, delivered, connected_at } = connection;
  const [who, wants, late, speed, since] = row.item.children;
  const name = pid ? `${principal} pid ${pid}` : principal;
  say(who, `${connection_id === own ? "this browser" : visible(name, 60)} · ${kind}`);
  who.title = visible(`${name} · ${connection_id}`);
  const keys = Object.entries(filter).map(([key, values]) => `${key} ${values.join(", ")}`);
  say(wants, keys.length ? visible(keys.join(" · "), 120) : "all");
  wants.title = wants.textContent;
  say(late, count(lag));
  late.classList.toggle("warn", lag > 0);
  const seconds = (now - row.at) / 1000;
  if (seconds > 1) {
    say(speed, `${rate((delivered - row.delivered) / seconds)}/s`);
    Object.assign(row, { at: now, delivered });
  } else if (!speed.textContent) {
    say(speed, "–");
  }
  speed.title = `${count(delivered)} delivered`;
  say(since, duration(Date.now() / 1000 - connected_at).replace(/ (min|h|d) .*/, " $1"));
}
