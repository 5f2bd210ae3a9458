// Which events the feed shows: the keys that the daemon knows, and free text that is ours.

import { summary } from "./summary.js";

const KEYS = ["type", "not_type", "project", "source", "path"];

export class Filter {
  // `keys` holds lists by key; `text` is looked for in all that an event says.
  constructor(keys = {}, text = "") {
    this.keys = keys;
    this.text = text.trim().toLowerCase();
    this.globs = (keys.path ?? []).map(glob);
  }

  get isEmpty() {
    return !this.text && KEYS.every((key) => !this.keys[key]?.length);
  }

  // What the daemon is asked.
  get query() {
    return Object.fromEntries(KEYS.filter((key) => this.keys[key]?.length).map((key) => [key, this.keys[key]]));
  }

  matches(event) {
    const { type, not_type, project, source } = this.keys;
    if (type?.length && !type.includes(event.type)) return false;
    if (not_type?.includes(event.type)) return false;
    if (project?.length && !project.includes(event.project_id)) return false;
    if (source?.length && !source.includes(event.source)) return false;
    if (this.globs.length && !this.globs.some((fits) => pathsOf(event).some(fits))) return false;
    return this.says(event);
  }

  // Whether it has the text: the daemon does not look for that.
  says(event) {
    if (!this.text) return true;
    const { type, project_id, source, event_id, data } = event;
    const words = [type, project_id, source, event_id, summary(event), JSON.stringify(data)];
    return words.join("\n").toLowerCase().includes(this.text);
  }
}

function pathsOf({ data: d }) {
  const all = [{ ...d, path: d?.file_path || d?.path }].concat(Array.isArray(d?.files) ? d.files : []);
  return all.flatMap((f) => [f?.path ?? f, f?.old_path]).filter((f) => f && typeof f === "string");
}

// As core/glob.py: `*` stays in a folder, `**` does not.
function glob(text) {
  const parts = (text.endsWith("/") ? `${text}**` : text).split("/");
  if (parts.at(-1) === "**") parts.push("*");
  const wanted = parts.map((part) => (part === "**" ? null : pattern(part)));
  return (path) => {
    const given = path.split("/");
    let [at, place, star, taken] = [0, 0, -1, 0];
    while (place < given.length) {
      if (at < wanted.length && wanted[at] === null) [star, taken] = [at++, place];
      else if (at < wanted.length && wanted[at].test(given[place])) [at, place] = [at + 1, place + 1];
      else if (star >= 0) [at, place] = [star + 1, ++taken];
      else return false;
    }
    return wanted.slice(at).every((part) => part === null);
  };
}

function pattern(part) {
  const text = part.replace(/\[(!?)([^\]]+)\]|[*?]|[\\^$.|+(){}[\]]/g, (found, not, set) => {
    if (set) return `[${not ? "^" : ""}${set.replace(/[\\^[\]]/g, "\\$&")}]`;
    return { "*": ".*", "?": "." }[found] ?? `\\${found}`;
  });
  try {
    return new RegExp(`^${text}$`, "s");
  } catch {
    return /^(?!)/; // such as [z-a]: nothing is of it
  }
}
