// One event, whole.

import { $, ago, clock, count, local, say, visible, visibleLines } from "./text.js";

const MOST = 100000; // characters that are shown: a megabyte would hold the page up

export class Detail {
  // `step(by)` gives the next event of the feed, `jump(moment)` goes to a time.
  constructor({ step, jump }) {
    this.dialog = $("detail");
    this.step = step;
    $("detail-close").onclick = () => this.dialog.close();
    $("detail-copy").onclick = () => this.#copy();
    $("detail-jump").onclick = () => {
      this.dialog.close();
      jump(this.event.timestamp);
    };
    $("detail-newer").onclick = () => this.move(-1);
    $("detail-older").onclick = () => this.move(1);
    this.dialog.onclick = (event) => {
      if (event.target === this.dialog) this.dialog.close(); // beside it
    };
  }

  get isOpen() {
    return this.dialog.open;
  }

  open(event) {
    this.event = event;
    const text = JSON.stringify(event, null, 2);
    const cut = text.length > MOST ? `${text.slice(0, MOST)}\n… ${count(text.length)} characters in all: Copy has them` : text;
    say($("detail-title"), `${event.type} ${event.seq}`);
    const where = [event.project_id, event.source].filter(Boolean).map((part) => visible(part, 120));
    say($("detail-about"), [clock(event.timestamp), ago(event.timestamp), ...where].join(" · "));
    $("detail-about").title = local(event.timestamp);
    $("detail-json").textContent = visibleLines(cut);
    $("detail-json").scrollTop = 0;
    say($("detail-copy"), "Copy");
    if (!this.dialog.open) this.dialog.showModal();
  }

  move(by) {
    const event = this.step(by);
    if (event?.seq) this.open(event);
  }

  #copy() {
    navigator.clipboard.writeText(JSON.stringify(this.event, null, 2)).then(
      () => say($("detail-copy"), "Copied"),
      () => say($("detail-copy"), "Not allowed to copy"),
    );
  }
}
