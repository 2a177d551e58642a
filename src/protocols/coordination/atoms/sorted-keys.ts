/** Keys in order (by UTF-16 code units, which is the same everywhere). Insertion moves memory, which is fast enough for a million. */
export class SortedKeys {
  readonly #keys: string[];

  /** Takes them in any order. */
  constructor(keys: readonly string[]) {
    this.#keys = [...keys].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  }

  add(key: string): void {
    const at = this.#lowerBound(key);
    if (at === this.#keys.length) this.#keys.push(key);
    else if (this.#keys[at] !== key) this.#keys.splice(at, 0, key);
  }

  delete(key: string): void {
    const at = this.#lowerBound(key);
    if (this.#keys[at] === key) this.#keys.splice(at, 1);
  }

  all(): readonly string[] {
    return this.#keys;
  }

  /** From the first that is not below `start` and above `after`. */
  *from(start: string, after: string | undefined): Generator<string> {
    const beyond = after !== undefined && after >= start;
    let at = this.#lowerBound(beyond ? after : start);
    if (beyond && this.#keys[at] === after) at += 1;
    for (; at < this.#keys.length; at++) yield this.#keys[at] as string;
  }

  #lowerBound(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#keys[middle] as string) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
