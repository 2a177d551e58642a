/**
 * Writes the Yjs updates (V1 encoding) of one feed's deltas without a Y.Doc: the reverse of update-check.ts.
 *
 * Intuition: a feed has one writer and one root map, so of a document only this matters: the clock, and which item is the
 * newest of each key. An entry written is one item, which names its key when that is new and else the key's newest item as
 * origin; the item it replaces, and that of a key deleted, go into the delete set.
 *
 * Invariant: the bytes are those that Yjs writes for the same entries in one transaction (a property test compares them).
 */
import { clientId, newKeyItem, overwriteItem, rootName } from './update-check.ts';

/** The newest item of one key. */
interface Newest {
  readonly clock: number;
  /** What it holds; undefined once deleted. */
  readonly bytes: Uint8Array | undefined;
}

export class UpdateWriter {
  readonly #newest = new Map<string, Newest>();
  #clock = 0;

  /** What was last written for a key. */
  written(key: string): Uint8Array | undefined {
    return this.#newest.get(key)?.bytes;
  }

  /** As after a snapshot of exactly those entries, in that order. */
  restart(entries: Iterable<readonly [string, Uint8Array]>): void {
    this.#newest.clear();
    this.#clock = 0;
    for (const [key, bytes] of entries) this.#newest.set(key, { clock: this.#clock++, bytes });
  }

  /** The update that writes those entries, each key once. `undefined` deletes. */
  write(entries: readonly (readonly [string, Uint8Array | undefined])[]): Uint8Array {
    let items = 0;
    let size = 64;
    for (const [key, bytes] of entries) {
      size += 48 + 3 * key.length + (bytes?.length ?? 0);
      if (bytes !== undefined) items += 1;
    }
    const output = new Output(size);
    const deleted: number[] = [];
    if (items === 0) output.uint(0);
    else {
      output.uint(1); // clients
      output.uint(items);
      output.uint(clientId);
      output.uint(this.#clock);
    }
    for (const [key, bytes] of entries) {
      const former = this.#newest.get(key);
      if (former?.bytes !== undefined) deleted.push(former.clock);
      if (bytes !== undefined) {
        writeItem(output, key, former?.clock, bytes);
        this.#newest.set(key, { clock: this.#clock++, bytes });
      } else if (former !== undefined) this.#newest.set(key, { clock: former.clock, bytes: undefined });
    }
    writeDeletions(output, deleted);
    return output.finished();
  }
}

function writeItem(output: Output, key: string, origin: number | undefined, bytes: Uint8Array): void {
  if (origin === undefined) {
    output.uint(newKeyItem);
    output.uint(1); // the parent is a root type
    output.text(rootName);
    output.text(key);
  } else {
    output.byte(overwriteItem);
    output.uint(clientId);
    output.uint(origin);
  }
  output.uint(bytes.length);
  output.bytes(bytes);
}

/** Rising ranges of clocks; neighbours are one range. */
function writeDeletions(output: Output, clocks: number[]): void {
  if (clocks.length === 0) {
    output.uint(0);
    return;
  }
  clocks.sort((a, b) => a - b);
  const ranges: [number, number][] = [];
  for (const clock of clocks) {
    const last = ranges[ranges.length - 1];
    if (last !== undefined && last[0] + last[1] === clock) last[1] += 1;
    else ranges.push([clock, 1]);
  }
  output.uint(1); // clients
  output.uint(clientId);
  output.uint(ranges.length);
  for (const [from, length] of ranges) {
    output.uint(from);
    output.uint(length);
  }
}

/** Bytes of a length known beforehand as an upper bound. */
class Output {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(size: number) {
    this.#buffer = Buffer.allocUnsafeSlow(size);
  }

  byte(byte: number): void {
    this.#buffer[this.#at++] = byte;
  }

  /** LEB128, shortest form. */
  uint(number: number): void {
    let rest = number;
    while (rest >= 0x80) {
      this.byte((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.byte(rest);
  }

  bytes(bytes: Uint8Array): void {
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  text(text: string): void {
    this.uint(Buffer.byteLength(text));
    this.#at += this.#buffer.write(text, this.#at);
  }

  finished(): Uint8Array {
    return new Uint8Array(this.#buffer.buffer, 0, this.#at);
  }
}
