// A tab's end of the shared stream: every event once and in order, from the tab's own place.

import { epochOf, history, seqOf } from "./api.js";
import { Source } from "./source.js";

const PAGE = 1000;

export class Stream {
  // `on` has `events(list)`, `gap(gap)`, `state(state, connection)`, `update(metrics)`, `lost()`.
  constructor(on) {
    this.on = on;
    this.waiting = null; // what came while the tab catches up with the others
  }

  // Begin behind `bookmark`.
  start(bookmark) {
    this.bookmark = bookmark;
    this.#connect();
    this.rejoin();
    addEventListener("pagehide", () => this.port.postMessage({ kind: "leave" }));
    addEventListener("pageshow", ({ persisted }) => persisted && this.rejoin());
  }

  #connect() {
    const hear = (message) => this.#hear(message);
    try {
      const worker = new SharedWorker(address(), { type: "module", name: "rtevents 1" });
      worker.port.onmessage = ({ data }) => hear(data);
      worker.onerror = () => {
        this.port = alone(hear); // it could not be begun, as where no module can be a worker
        this.rejoin();
      };
      this.port = worker.port;
    } catch {
      this.port = alone(hear); // no SharedWorker here: the tab has a stream of its own
    }
  }

  rejoin() {
    this.port.postMessage({ kind: "join", bookmark: this.bookmark });
  }

  #hear(message) {
    if (message.kind === "joined") this.#catchUp(message);
    else if (message.kind === "update") this.on.update(message.metrics);
    else if (this.waiting) this.waiting.push(message);
    else this.#take(message);
  }

  // The stream may be further than this tab: what is between comes from the history.
  async #catchUp(joined) {
    this.waiting = [];
    try {
      while (joined.bookmark && seqOf(joined.bookmark) > seqOf(this.bookmark)) {
        if (epochOf(joined.bookmark) !== epochOf(this.bookmark)) return this.on.lost();
        const page = await history({ after: this.bookmark, limit: PAGE });
        if (page.gap) this.on.gap(page.gap);
        this.bookmark = page.next;
        this.on.events(page.events);
      }
    } catch {
      return this.on.lost(); // the page is begun anew when the stream is there again
    } finally {
      const waiting = this.waiting;
      this.waiting = null;
      this.#take({ ...joined, kind: "state" });
      waiting.forEach((message) => this.#take(message));
    }
  }

  #take(message) {
    if (message.kind === "state") {
      this.on.state(message.state, message.connection);
    } else if (message.kind === "gap") {
      this.bookmark = message.bookmark;
      this.on.gap(message.gap);
    } else if (message.kind === "events") {
      const from = seqOf(this.bookmark);
      const events = message.texts.map((text) => JSON.parse(text)).filter(({ seq }) => seq > from);
      if (seqOf(message.bookmark) > from) this.bookmark = message.bookmark;
      if (events.length) this.on.events(events);
    }
  }
}

// Trusted Types guard where code comes from: this one file is the worker.
function address() {
  const url = `worker.js${location.search}`; // each log has a stream of its own
  if (!globalThis.trustedTypes) return url;
  const policy = trustedTypes.createPolicy("rtevents", { createScriptURL: () => url });
  return policy.createScriptURL(url);
}

function alone(hear) {
  const source = new Source(hear);
  return {
    postMessage({ kind, bookmark }) {
      if (kind === "join") {
        source.open(bookmark);
        hear({ ...source.now(), kind: "joined" });
      } else {
        source.stream?.close();
      }
    },
  };
}
