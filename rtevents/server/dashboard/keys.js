// What keys do. Single letters can be switched off (WCAG 2.1.4), in the help.

import { $ } from "./text.js";

const KEPT = "rtevents keys";

// `acts` has an action for each key of KEYS below.
export function listen(acts) {
  const box = $("keys");
  box.checked = read();
  box.onchange = () => write(box.checked);
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const { target, key } = event;
    if (target.closest("input:not([type=checkbox]), select, textarea")) {
      if (key === "Escape") target.blur();
      return;
    }
    const isLetter = key.length === 1 && key !== " ";
    if (isLetter && !box.checked) return;
    if ([" ", "Enter"].includes(key) && target.closest("button, summary, a, input")) return;
    // The arrows scroll whatever has them, unless that is the feed.
    const isFeed = target.id === "feed" || target === document.body;
    const act = acts[KEYS[key]];
    if (!act || (!isLetter && !isFeed && !acts.isDetail())) return;
    if (act() !== false) event.preventDefault();
  });
}

const KEYS = {
  j: "older", ArrowDown: "older",
  k: "newer", ArrowUp: "newer",
  Enter: "open",
  Home: "newest", g: "newest",
  "/": "search",
  " ": "pause", p: "pause",
  l: "live",
  t: "theme",
  "?": "help",
};

function read() {
  try {
    return localStorage.getItem(KEPT) !== "off";
  } catch {
    return true;
  }
}

function write(isOn) {
  try {
    localStorage.setItem(KEPT, isOn ? "on" : "off");
  } catch {
    // It holds until the page is left.
  }
}
