// The filter's form: what it holds as a Filter, in the address, and as choices.

import { Filter } from "./filter.js";
import { $, el, visible } from "./text.js";

const FIELDS = ["text", "type", "project", "source", "path"];
const TYPING_MS = 250;
const CHOICES = 200; // names offered of each kind

export class Form {
  // `changed(filter)` is called when it holds another one.
  constructor(changed) {
    this.changed = changed;
    this.known = { project: new Set(), source: new Set(), type: new Set() };
    const given = new URLSearchParams(location.hash.slice(1));
    for (const field of FIELDS) if (given.has(field)) this.#set(field, given.get(field));
    $("filter").onsubmit = (event) => {
      event.preventDefault();
      this.#apply();
    };
    $("filter").oninput = () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.#apply(), TYPING_MS);
    };
    $("type").onchange = () => this.#apply(); // chosen, not typed
    $("clear").onclick = () => {
      this.clear();
      this.changed(this.filter);
    };
    this.last = this.#said();
    this.#note();
  }

  get filter() {
    const keys = {};
    const type = $("type").value;
    if (type) keys[type.startsWith("!") ? "not_type" : "type"] = [type.replace("!", "")];
    const projects = $("project").value.split(",").map((name) => name.trim()).filter(Boolean);
    if (projects.length) keys.project = projects;
    for (const key of ["source", "path"]) if ($(key).value.trim()) keys[key] = [$(key).value.trim()];
    return new Filter(keys, $("text").value);
  }

  // The types that it shows, for those who mark them.
  get types() {
    return new Set(this.filter.keys.type ?? []);
  }

  // Show one type alone; the same again shows all.
  choose(type) {
    $("type").value = $("type").value === type ? "" : type;
    this.#apply();
  }

  clear() {
    clearTimeout(this.timer);
    for (const field of FIELDS) $(field).value = "";
    this.last = this.#said();
    this.#note();
  }

  #said() {
    return JSON.stringify(FIELDS.map((field) => $(field).value.trim()));
  }

  #apply() {
    clearTimeout(this.timer);
    if (this.#said() === this.last) return;
    this.last = this.#said();
    this.#note();
    this.changed(this.filter);
  }

  // Keep it in the address, so that it is there after a reload and can be sent to somebody.
  #note() {
    const kept = new URLSearchParams();
    for (const field of FIELDS) if ($(field).value.trim()) kept.set(field, $(field).value.trim());
    const hash = kept.size ? `#${kept}` : "";
    if (location.hash !== hash) history.replaceState(null, "", location.pathname + location.search + hash);
    $("clear").hidden = kept.size === 0;
  }

  #set(field, value) {
    if (field === "type" && value) this.learnType(value.replace("!", ""));
    $(field).value = value;
  }

  learnType(name) {
    if (this.known.type.has(name) || this.known.type.size > CHOICES) return;
    this.known.type.add(name);
    const chosen = $("type").value;
    $("only").append(el("option", { value: name, textContent: name }));
    $("all-but").append(el("option", { value: `!${name}`, textContent: `not ${name}` }));
    $("type").value = chosen;
  }

  learn(event) {
    this.learnType(event.type);
    this.learnName("project", event.project_id);
    this.learnName("source", event.source);
  }

  // A name is offered only if it shows what it is: one with hidden characters does not.
  learnName(kind, name) {
    const known = this.known[kind];
    if (!name || known.has(name) || known.size > CHOICES || visible(name) !== name) return;
    known.add(name);
    $(`${kind}s`).append(el("option", { value: name }));
  }
}
