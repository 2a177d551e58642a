/**
 * Keys in order (by UTF-16 code units, which is the same everywhere), in chunks: inserting one among many moves
 * a few hundred at most. Which chunks there are is not visible from outside.
 */
const maxChunk = 512;

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

export class SortedKeys {
  /** None of them empty. */
  readonly #chunks: string[][] = [];

  /** Takes them in any order, each once. */
  constructor(keys: readonly string[]) {
    const sorted = [...keys].sort(compare);
    for (let at = 0; at < sorted.length; at += maxChunk / 2) this.#chunks.push(sorted.slice(at, at + maxChunk / 2));
  }

  add(key: string): void {
    const index = this.#chunkOf(key);
    const chunk = this.#chunks[index];
    if (chunk === undefined) {
      this.#chunks.push([key]);
      return;
    }
    const at = lowerBound(chunk, key);
    if (chunk[at] === key) return;
    chunk.splice(at, 0, key);
    if (chunk.length > maxChunk) this.#chunks.splice(index + 1, 0, chunk.splice(maxChunk / 2));
  }

  delete(key: string): void {
    const index = this.#chunkOf(key);
    const chunk = this.#chunks[index] ?? [];
    const at = lowerBound(chunk, key);
    if (chunk[at] !== key) return;
    chunk.splice(at, 1);
    if (chunk.length === 0) this.#chunks.splice(index, 1);
  }

  all(): string[] {
    return this.#chunks.flat();
  }

  /** From the first that is not below `start` and above `after`. */
  *from(start: string, after: string | undefined): Generator<string> {
    const first = after === undefined || after < start ? start : after;
    for (let index = this.#chunkOf(first); index < this.#chunks.length; index++) {
      const chunk = this.#chunks[index] as string[];
      for (let at = lowerBound(chunk, first); at < chunk.length; at++) {
        const key = chunk[at] as string;
        if (key !== after) yield key;
      }
    }
  }

  /** The last chunk that does not begin above the key, or the first. */
  #chunkOf(key: string): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (((this.#chunks[middle] as string[])[0] as string) <= key) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }
}

/** The place of the first that is not below the key. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
