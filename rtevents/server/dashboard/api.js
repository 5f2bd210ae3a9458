// What is asked of the daemon: one page, one answer, one line of why not.

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

// Of several logs, the one that the page's address names is asked.
export async function ask(path, query = {}, options = {}) {
  const search = new URLSearchParams(location.search);
  for (const [key, value] of Object.entries(query)) {
    for (const each of [value].flat()) search.append(key, each);
  }
  const answer = await fetch(search.size ? `v1/${path}?${search}` : `v1/${path}`, options);
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, problem.detail ?? `the daemon answers ${answer.status}`);
}

export const history = (query) => ask("events", query);

// A bookmark is `<epoch>-<seq>`.
export const seqOf = (bookmark) => Number(bookmark.slice(bookmark.lastIndexOf("-") + 1));
export const epochOf = (bookmark) => bookmark.slice(0, bookmark.lastIndexOf("-"));

// The ticket of `rtevents dashboard` is good once; it leaves the address before anything else.
async function logIn() {
  const ticket = new URLSearchParams(location.hash.slice(1)).get("t");
  if (!ticket) return;
  window.history.replaceState(null, "", location.pathname + location.search);
  await ask("login", {}, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ticket }),
  });
}

// Begun while the rest of the page is still on its way.
export const entered = logIn();
entered.catch(() => {}); // whoever waits for it is told
