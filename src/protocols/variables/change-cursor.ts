/** One reader's changes of a variable, in order. What it has not taken waits, bounded: a reader that is too slow misses the oldest. */
const maxWaiting = 1_000;

export class ChangeCursor<C> implements AsyncIterableIterator<C> {
  readonly #onEnd: () => void;
  #waiting: C[] = [];
  readonly #readers: ((result: IteratorResult<C>) => void)[] = [];
  #hasEnded = false;

  /** `onEnd` is called once. */
  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  push(change: C): void {
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      reader({ done: false, value: change });
      return;
    }
    this.#waiting.push(change);
    // Twice the bound before the oldest are cut, so that cutting costs nothing by the change.
    if (this.#waiting.length >= 2 * maxWaiting) this.#waiting = this.#waiting.slice(-maxWaiting);
  }

  next(): Promise<IteratorResult<C>> {
    if (this.#hasEnded) return Promise.resolve({ done: true, value: undefined });
    if (this.#waiting.length > maxWaiting) this.#waiting = this.#waiting.slice(-maxWaiting);
    const change = this.#waiting.shift();
    if (change !== undefined) return Promise.resolve({ done: false, value: change });
    return new Promise((resolve) => this.#readers.push(resolve));
  }

  return(): Promise<IteratorResult<C>> {
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Ends at once: what waits is not told any more. */
  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#waiting = [];
    for (const reader of this.#readers.splice(0)) reader({ done: true, value: undefined });
    this.#onEnd();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
