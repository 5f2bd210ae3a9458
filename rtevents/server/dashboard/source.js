// The one stream of this browser: an EventSource that resumes by itself, and is opened anew where
// it gives up. It runs in the worker that all tabs share, or in the page where there is none.

const BATCH = 500; // events of one message to a tab: each message is a task of its own there
const SOON_MS = 16; // in which others may come along
const CALM_MS = 100; // between two messages, unless there is a whole batch: nobody reads faster
const BACK_MS = [1000, 2000, 5000, 10000]; // before the stream is opened anew

export class Source {
  // `tell` is called with {kind: "state" | "events" | "gap" | "update", ...}.
  constructor(tell) {
    this.tell = tell;
    this.state = "connecting";
    this.bookmark = null;
    this.connection = null;
    this.batch = [];
    this.failures = 0;
    this.flushedAt = 0;
  }

  open(bookmark) {
    this.bookmark ??= bookmark;
    this.stream?.close();
    clearTimeout(this.timer);
    // Events may wait a little for one another: fewer wake-ups here and in the daemon.
    const query = new URLSearchParams({ since: this.bookmark, max_latency: "100ms" });
    const log = location.search.replace("?", "&"); // the worker's address names it as the page's does
    const stream = (this.stream = new EventSource(`v1/events/stream?${query}${log}`));
    stream.onmessage = (message) => this.#arrive(message);
    stream.onerror = () => this.#fail();
    for (const name of ["hello", "live", "gap", "bye", "HEALTH_CHECK"]) {
      stream.addEventListener(name, (message) => this.#control(name, message));
    }
    stream.addEventListener("DASHBOARD_UPDATE", ({ data }) =>
      this.tell({ kind: "update", metrics: JSON.parse(data).data.metrics }),
    );
  }

  #arrive(message) {
    this.bookmark = message.lastEventId;
    this.batch.push(message.data);
    if (this.batch.length >= BATCH) return this.flush();
    const wait = this.flushedAt + CALM_MS - performance.now();
    this.due ??= setTimeout(() => this.flush(), Math.max(SOON_MS, wait));
  }

  flush() {
    clearTimeout(this.due);
    this.due = null;
    if (!this.batch.length) return;
    this.flushedAt = performance.now();
    const texts = this.batch;
    this.batch = [];
    this.tell({ kind: "events", texts, bookmark: this.bookmark });
  }

  #control(name, message) {
    this.flush();
    if (message.lastEventId && name !== "hello") this.bookmark = message.lastEventId;
    const frame = JSON.parse(message.data);
    if (name === "hello") {
      this.connection = frame.connection_id;
      this.#become("catching up");
    } else if (name === "live") {
      this.failures = 0;
      this.#become("live");
    } else if (name === "gap") {
      this.tell({ kind: "gap", gap: frame, bookmark: this.bookmark });
    } else if (name === "bye" && frame.reason === "ended") {
      // Somebody ended this connection on purpose: we do not come back by ourselves.
      this.stream.close();
      this.#become("ended");
    }
  }

  #fail() {
    this.flush();
    if (this.state === "ended") return;
    this.#become("reconnecting");
    // A refused connection is tried again by the browser; an answer that is no stream is not.
    if (this.stream.readyState === EventSource.CLOSED) this.#retry();
  }

  async #retry() {
    const status = await fetch("v1/tokens/self").then((answer) => answer.status, () => 0);
    if (status === 401) return this.#become("not logged in");
    const wait = BACK_MS[Math.min(this.failures++, BACK_MS.length - 1)];
    this.timer = setTimeout(() => this.open(), wait);
  }

  #become(state) {
    this.state = state;
    this.tell(this.now());
  }

  now() {
    return { kind: "state", state: this.state, bookmark: this.bookmark, connection: this.connection };
  }
}
