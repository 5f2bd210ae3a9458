// Of several logs the page shows one, for each has seqs of its own: the one that its address names.

import { ask } from "./api.js";
import { $, el, visible } from "./text.js";

// Let the address name one; returns its name, or nothing where there is one log.
export async function choose() {
  const { logs } = await ask("tokens/self");
  const given = new URLSearchParams(location.search).get("log");
  const log = logs.includes(given) ? given : logs[0];
  const isOne = logs.length === 1;
  history.replaceState(null, "", (isOne ? location.pathname : `?log=${log}`) + location.hash);
  const link = (name) => el("a", { href: `?log=${name}`, textContent: name, "aria-current": name === log && "page" });
  const unknown = given && given !== log && el("span.warn", { textContent: `no log ${visible(given, 48)}` });
  $("logs").replaceChildren(...logs.map(link), unknown || "");
  $("logs").hidden = isOne && !unknown;
  return isOne ? "" : log;
}
