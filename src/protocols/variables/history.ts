/** The last changes of a variable, in a ring. */
export class History<C> {
  readonly #size: number;
  readonly #ring: C[] = [];
  /** Place of the oldest once the ring is full. */
  #oldest = 0;

  constructor(size: number) {
    this.#size = size;
  }

  add(change: C): void {
    if (this.#size === 0) return;
    if (this.#ring.length < this.#size) this.#ring.push(change);
    else {
      this.#ring[this.#oldest] = change;
      this.#oldest = (this.#oldest + 1) % this.#size;
    }
  }

  /** The last `count`, oldest first. */
  last(count: number): readonly C[] {
    const all = [...this.#ring.slice(this.#oldest), ...this.#ring.slice(0, this.#oldest)];
    return all.slice(Math.max(0, all.length - count));
  }
}
