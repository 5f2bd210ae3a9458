// Text of strangers made safe, figures made readable, elements made without markup.

// Control, bidirectional, invisible and unpaired characters, as cli/output.py has them (S11).
const HIDDEN =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\u{e0000}-\u{e01ef}]/gu;
const SHORT = { "\t": "\\t", "\n": "\\n", "\r": "\\r" };

// Characters of one field that are shown in a line: an event may hold a megabyte.
const LINE = 400;

export const $ = (id) => document.getElementById(id);
export const find = (selector) => document.querySelector(selector);

export function visible(text, most = LINE) {
  const given = String(text ?? "");
  const cut = given.length > most ? `${given.slice(0, most)}…` : given;
  return cut.replace(HIDDEN, escaped);
}

// Lines are ours here: JSON.stringify has escaped those of strangers.
export const visibleLines = (text) =>
  text.replace(HIDDEN, (character) => (character === "\n" ? "\n" : escaped(character)));

function escaped(character) {
  const code = character.codePointAt(0);
  if (SHORT[character]) return SHORT[character];
  if (code < 256) return `\\x${code.toString(16).padStart(2, "0")}`;
  return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, "0")}`;
}

// An element such as "li.bar" with properties and children; a child that is text stays text.
export function el(kind, properties = {}, ...children) {
  const [tag, className = ""] = kind.split(".");
  const made = Object.assign(document.createElement(tag), { className });
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

// Let a parent have these children, and touch only what differs: focus and open details stay.
export function sync(parent, children) {
  children.forEach((child, at) => {
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
  });
  while (parent.children.length > children.length) parent.lastElementChild.remove();
}

// Replace text only where it differs: the page is laid out again for each change.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const integer = new Intl.NumberFormat("en");
export const count = (number) => integer.format(number);

// In few characters: 1,234 and 12K.
const compact = new Intl.NumberFormat("en", { notation: "compact" });
export const brief = (number) => (number < 10000 ? count(number) : compact.format(number));

export const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

export function rate(number) {
  if (number === 0) return "0";
  return number < 10 ? number.toFixed(1) : count(Math.round(number));
}

export function size(bytes) {
  let left = bytes;
  for (const unit of ["B", "KiB", "MiB"]) {
    if (left < 1024) return `${left < 10 && unit !== "B" ? left.toFixed(1) : Math.round(left)} ${unit}`;
    left /= 1024;
  }
  return `${left.toFixed(1)} GiB`;
}

export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

export function ago(timestamp) {
  const seconds = Date.now() / 1000 - timestamp;
  return seconds < 5 ? "now" : `${duration(seconds).replace(/ 0 (min|h)$/, "")} ago`;
}

const pad = (number, width = 2) => String(number).padStart(width, "0");
const day = (time) => `${pad(time.getMonth() + 1)}-${pad(time.getDate())}`;
const hours = (time) => time.toTimeString().slice(0, 8);

// A number that no calendar holds stays as it is.
function written(timestamp, write) {
  const time = new Date(timestamp * 1000);
  return isNaN(time) ? String(timestamp) : write(time);
}

// The time of today, with its date any other day.
export const clock = (timestamp) => written(timestamp, (time) =>
  time.toDateString() === new Date().toDateString() ? hours(time) : `${day(time)} ${hours(time)}`);

export const local = (timestamp) =>
  written(timestamp, (time) => `${pad(time.getFullYear(), 4)}-${day(time)}T${hours(time)}`);
