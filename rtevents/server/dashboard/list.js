// A windowed list: the rows that fit on the screen stand for any number of items.

const SPARE = 6; // rows beyond the edges, for the next turn of the wheel
const CALM_MS = 100; // between two looks at what has come: nobody reads faster

export class List {
  // `rows` is as tall as all items together in `box`, which scrolls; `make()` gives an empty row
  // and `fill(row, item)` what stands in it. Items are the oldest first, shown the newest first.
  constructor(box, rows, { make, fill, nearEnd, nearStart }) {
    Object.assign(this, { box, rows, make, fill, nearEnd, nearStart });
    this.items = [];
    this.pool = [];
    this.selected = null;
    this.renderedAt = 0;
    box.addEventListener("scroll", () => this.schedule(), { passive: true });
    new ResizeObserver(() => this.#measure()).observe(box);
    this.#measure();
  }

  get isAtTop() {
    return this.box.scrollTop < this.height / 2;
  }

  #measure() {
    const height = parseFloat(getComputedStyle(this.box).getPropertyValue("--row"));
    if (height !== this.height) {
      const first = this.height ? this.box.scrollTop / this.height : 0;
      this.height = height;
      this.#resize();
      this.box.scrollTop = first * height;
    }
    this.schedule();
  }

  // `added` items came at the end of the array; null means that all is new. What is read stays
  // where it is, unless that is the newest and `follows`.
  show(items, added, follows = true) {
    const isFollowing = follows && this.isAtTop;
    this.items = items;
    this.#resize();
    if (added === null) {
      if (!items.includes(this.selected)) this.selected = null;
    } else if (added && !isFollowing) {
      this.box.scrollTop += added * this.height;
    }
    const wait = CALM_MS - (performance.now() - this.renderedAt);
    if (added && wait > 0) this.later ??= setTimeout(() => this.schedule(), wait);
    else this.schedule();
  }

  #resize() {
    this.rows.style.height = `${this.items.length * this.height}px`;
  }

  schedule() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.render();
    });
  }

  render() {
    clearTimeout(this.later);
    this.later = null;
    this.renderedAt = performance.now();
    const { items, height, box } = this;
    const first = Math.max(0, Math.floor(box.scrollTop / height) - SPARE);
    const last = Math.min(items.length, Math.ceil((box.scrollTop + box.clientHeight) / height) + SPARE);
    const most = Math.ceil(box.clientHeight / height) + 2 * SPARE + 2;
    while (this.pool.length < most) {
      const row = this.make();
      row.id = `row-${this.pool.length}`;
      this.pool.push({ row, item: null });
      this.rows.append(row);
    }
    const used = new Set();
    for (let place = first; place < last; place++) {
      // Counted from the oldest, so that a row keeps its item when newer ones come above it.
      const at = items.length - 1 - place;
      const slot = this.pool[at % this.pool.length];
      used.add(slot);
      this.#place(slot, items[at], place);
    }
    for (const slot of this.pool) slot.row.hidden = !used.has(slot);
    this.#mark();
    if (last >= items.length - 40) this.nearEnd();
    if (first === 0) this.nearStart();
  }

  #place(slot, item, place) {
    if (slot.item !== item) {
      slot.item = item;
      slot.row.className = "row";
      this.fill(slot.row, item);
    }
    if (slot.place !== place || slot.height !== this.height) {
      slot.place = place;
      slot.height = this.height;
      slot.row.style.transform = `translateY(${place * this.height}px)`;
      slot.row.setAttribute("aria-posinset", place + 1);
    }
    slot.row.setAttribute("aria-setsize", this.items.length);
  }

  #mark() {
    let active = "";
    for (const { row, item } of this.pool) {
      const isSelected = !row.hidden && item !== null && item === this.selected;
      row.setAttribute("aria-selected", String(isSelected));
      if (isSelected) active = row.id;
    }
    if (active) this.box.setAttribute("aria-activedescendant", active);
    else this.box.removeAttribute("aria-activedescendant");
  }

  itemOf(row) {
    return this.pool.find((slot) => slot.row === row)?.item ?? null;
  }

  // Select the item that stands `step` further down; returns it.
  move(step) {
    const { items, selected } = this;
    const at = selected === null ? -1 : items.lastIndexOf(selected);
    const top = Math.floor(this.box.scrollTop / this.height);
    const place = at < 0 ? top : items.length - 1 - at + step;
    return this.select(items[items.length - 1 - Math.min(Math.max(place, 0), items.length - 1)]);
  }

  select(item) {
    this.selected = item ?? null;
    if (item) this.#reveal(this.items.length - 1 - this.items.lastIndexOf(item));
    this.schedule();
    return item;
  }

  #reveal(place) {
    const [top, bottom] = [place * this.height, (place + 1) * this.height];
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (bottom > this.box.scrollTop + this.box.clientHeight) {
      this.box.scrollTop = bottom - this.box.clientHeight;
    }
  }

  // Let an item stand in the middle of the box.
  centre(item) {
    const place = this.items.length - 1 - this.items.lastIndexOf(item);
    this.box.scrollTop = (place + 0.5) * this.height - this.box.clientHeight / 2;
    this.schedule();
  }

  toTop() {
    this.box.scrollTop = 0;
    this.schedule();
  }
}
