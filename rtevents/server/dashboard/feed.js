// The feed: a stretch of the log under a filter; it tells of its holes.
// `items` are the oldest first: events, and marks ({gap}, {moment}, {note}) in their places.

import { epochOf, history, seqOf } from "./api.js";

const PAGE = 300;
const SCAN = 1000; // events of a page that is looked through for text
const SCANS = 20; // pages looked through before somebody is asked whether to go on
const ENOUGH = 60; // matches that fill a screen
const KEPT = 20000; // events kept in memory: older ones are asked for again
const MOST = 60000; // events that going back may gather

export class Feed {
  // `changed(added, {older})`: `added` items at the end, or all is new when that is null.
  constructor(filter, changed) {
    this.filter = filter;
    this.changed = changed;
    this.isPaused = false;
    this.isLive = true;
    this.high = 0;
    this.generation = 0;
    this.#reset({ events: [] });
  }

  // The newest events under the filter; returns the bookmark up to which they tell of everything.
  async load(filter = this.filter) {
    const generation = ++this.generation;
    this.filter = filter;
    const early = (this.early = []); // what the stream brings before the history answers
    const page = await history({ ...filter.query, order: "desc", limit: PAGE }).catch((error) => {
      this.early = null;
      early.forEach((batch) => this.#add(batch));
      throw error;
    });
    if (generation !== this.generation) return page.until;
    this.#reset(page);
    this.isLive = true;
    this.high = seqOf(page.until);
    this.early = null;
    early.forEach((batch) => this.#add(batch));
    this.changed(null);
    if (filter.text) await this.#scan();
    return page.until;
  }

  // The events about a moment, in unix seconds.
  async jump(moment) {
    const generation = ++this.generation;
    this.early = null;
    const query = this.filter.query;
    const [before, after] = await Promise.all([
      history({ ...query, until: moment, order: "desc", limit: PAGE }),
      history({ ...query, since: moment, limit: PAGE }),
    ]);
    if (generation !== this.generation) return;
    this.#reset(before);
    this.isLive = false;
    this.isPaused = false;
    this.items.push({ moment }, ...after.events.filter((event) => this.filter.says(event)));
    this.newer = after.next;
    this.isAtEnd = after.events.length < PAGE;
    this.changed(null);
  }

  #reset(page) {
    this.items = [];
    this.isTired = false;
    this.isCut = false;
    this.pending = []; // what came while paused, or the newest of it
    this.waited = 0; // how many came while paused
    this.missed = 0; // events that came while looking at the past
    this.newer = null;
    this.epoch = page.epoch;
    this.#older(page, PAGE);
  }

  // What the stream brings, in order.
  add(batch) {
    if (this.early) this.early.push(batch);
    else this.#add(batch);
  }

  #add(batch) {
    const fresh = [];
    for (const item of batch) {
      if (item.gap) this.high = seqOf(item.gap.bookmark);
      else if (item.seq <= this.high) continue;
      else this.high = item.seq;
      if (item.gap) this.epoch = epochOf(item.gap.bookmark);
      if (item.gap || this.filter.matches(item)) fresh.push(item);
    }
    if (!fresh.length) return;
    if (!this.isLive) {
      this.missed += fresh.length;
      this.changed(0);
    } else if (this.isPaused) {
      this.#wait(fresh);
    } else {
      for (const item of fresh) this.items.push(item);
      this.changed(fresh.length);
    }
  }

  #wait(fresh) {
    for (const item of fresh) this.pending.push(item);
    this.waited += fresh.length;
    if (this.pending.length > KEPT) {
      // Nothing is lost: what is dropped here is asked for again on the way back.
      this.pending.splice(0, this.pending.length - KEPT + SCAN);
      this.isCut = true;
    }
    this.changed(0);
  }

  pause() {
    this.isPaused = true;
  }

  resume() {
    this.isPaused = false;
    const pending = this.pending;
    this.pending = [];
    this.waited = 0;
    if (this.isCut) {
      this.items = pending;
      this.older = this.#placeBefore(pending);
      this.isCut = false;
      this.changed(null);
    } else {
      for (const item of pending) this.items.push(item);
      this.changed(pending.length);
    }
  }

  // Forget the oldest of too many; whoever scrolls there has them again.
  trim() {
    if (this.items.length < KEPT + SCAN) return;
    const kept = this.items.slice(-KEPT);
    const place = this.#placeBefore(kept);
    if (!place) return;
    this.items = kept;
    this.older = place;
    this.changed(null);
  }

  #placeBefore(items) {
    const first = items.find((item) => item.seq);
    return first ? `${this.epoch}-${first.seq - 1}` : null;
  }

  #older(page, limit) {
    const isEnd = page.events.length < limit;
    const found = page.events.filter((event) => this.filter.says(event)).reverse();
    if (isEnd && page.oldest > 1) {
      found.unshift({ gap: { after: 0, before: page.oldest, reason: "trimmed" } });
    }
    this.items = found.concat(this.items);
    this.older = isEnd ? null : page.next;
    return found.length;
  }

  get isFull() {
    return this.items.length > MOST;
  }

  // Go further back; returns whether there was more.
  async loadOlder({ isAsked = false } = {}) {
    if (!this.older || this.isBusy || this.isFull) return false;
    if (!this.filter.text) return this.#back(PAGE);
    return this.isTired && !isAsked ? false : this.#scan();
  }

  async #back(limit) {
    const generation = this.generation;
    this.isBusy = true;
    try {
      const page = await history({ ...this.filter.query, order: "desc", until: this.older, limit });
      if (generation !== this.generation) return false;
      this.lookedBack = page.events.at(-1)?.timestamp ?? this.lookedBack;
      this.changed(0, { older: this.#older(page, limit) });
      return true;
    } catch (error) {
      if (error.status !== 400) throw error;
      this.older = null; // the log is another one now: its past is not this one's
      return false;
    } finally {
      this.isBusy = false;
    }
  }

  async #scan() {
    const goal = this.items.length + ENOUGH;
    const generation = this.generation;
    this.isTired = false;
    for (let scans = 0; scans < SCANS && this.older && this.items.length < goal; scans++) {
      if (this.isBusy || generation !== this.generation) return false;
      if (!(await this.#back(SCAN))) return false;
    }
    // A rare word in a long log: whoever looks for it says whether to go on.
    this.isTired = this.older !== null && this.items.length < goal;
    this.changed(0);
    return true;
  }

  // In the past: go further towards the present.
  async loadNewer() {
    if (this.isLive || this.isBusy || this.isAtEnd) return;
    const generation = this.generation;
    this.isBusy = true;
    try {
      const page = await history({ ...this.filter.query, after: this.newer, limit: PAGE });
      if (generation !== this.generation) return;
      this.newer = page.next;
      this.isAtEnd = page.events.length < PAGE;
      const found = page.events.filter((event) => this.filter.says(event));
      if (page.gap) found.unshift({ gap: page.gap });
      this.items.push(...found);
      if (found.length) this.changed(found.length);
    } finally {
      this.isBusy = false;
    }
  }
}
