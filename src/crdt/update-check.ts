/**
 * Reads a Yjs update (V1 encoding) without Yjs, so that nothing is applied that an honest author would not
 * have written. `Y.applyUpdate` itself accepts about a third of all updates with flipped bits, keeps what
 * it cannot place, and allocates by declared counts; see the header of document.ts for the rules.
 *
 * Nothing here allocates by a declared count: each list grows by what was really read.
 */
import { decodeValue } from '../codec.ts';
import type { Value } from '../value.ts';
import { decodePlain } from './plain-values.ts';

/** The one client id in every feed. A feed's document has one writer, so one id is enough. */
export const clientId = 1;
/** The one root type in every feed. */
export const rootName = 'e';

/** One entry written. `origin` is the clock of the entry's former item, absent for a new key. */
export interface WrittenItem {
  readonly origin: number | undefined;
  /** Present exactly when `origin` is absent. */
  readonly key: string | undefined;
  readonly keyBytes: number;
  readonly value: Value;
  readonly valueBytes: Uint8Array;
}

/** An update with the right shape; whether it continues a given document is for the document to say. */
export interface CheckedUpdate {
  /** Clock of the first item; each item takes one tick. */
  readonly clock: number;
  readonly items: readonly WrittenItem[];
  /** Clocks that are deleted, as rising, disjoint [from, to) ranges. */
  readonly deletions: readonly (readonly [number, number])[];
}

/** How an item of a new key starts: its parent and key follow, and binary content. */
export const newKeyItem = 0x23;
/** How an item of a known key starts: its left origin follows, and binary content. */
export const overwriteItem = 0xa3;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A failure inside the reader; never leaves this file. */
class Malformed extends Error {}

export function checkUpdate(update: Uint8Array): CheckedUpdate | string {
  try {
    const reader = new Reader(update);
    const { clock, items } = readItems(reader);
    const deletions = readDeletions(reader);
    if (!reader.done) throw new Malformed('bytes after the end');
    return { clock, items, deletions };
  } catch (error) {
    if (error instanceof Malformed) return error.message;
    throw error;
  }
}

function readItems(reader: Reader): { clock: number; items: WrittenItem[] } {
  const clients = reader.uint();
  if (clients === 0) return { clock: 0, items: [] };
  if (clients !== 1) throw new Malformed('more than one client');
  const count = reader.uint();
  if (reader.uint() !== clientId) throw new Malformed('foreign client');
  const clock = reader.uint();
  const items: WrittenItem[] = [];
  for (let i = 0; i < count; i++) items.push(readItem(reader, clock + i));
  if (items.length === 0) throw new Malformed('no items');
  return { clock, items };
}

function readItem(reader: Reader, clock: number): WrittenItem {
  const info = reader.byte();
  let origin: number | undefined;
  let key: string | undefined;
  let keyBytes = 0;
  if (info === overwriteItem) {
    if (reader.uint() !== clientId) throw new Malformed('foreign origin');
    origin = reader.uint();
    if (origin >= clock) throw new Malformed('origin in the future');
  } else if (info === newKeyItem) {
    if (reader.uint() !== 1) throw new Malformed('nested type');
    if (reader.text().text !== rootName) throw new Malformed('foreign root');
    ({ text: key, bytes: keyBytes } = reader.text());
  } else throw new Malformed('item kind');
  const valueBytes = reader.take(reader.uint());
  return { origin, key, keyBytes, value: readValue(valueBytes), valueBytes };
}

function readValue(bytes: Uint8Array): Value {
  const plain = decodePlain(bytes);
  if (plain !== undefined) return plain.value;
  const decoded = decodeValue(bytes);
  if (!decoded.ok) throw new Malformed(`value: ${decoded.reason}`);
  return decoded.value;
}

function readDeletions(reader: Reader): [number, number][] {
  const clients = reader.uint();
  if (clients === 0) return [];
  if (clients !== 1) throw new Malformed('deletions of more than one client');
  if (reader.uint() !== clientId) throw new Malformed('deletions of a foreign client');
  const count = reader.uint();
  const ranges: [number, number][] = [];
  let end = 0;
  for (let i = 0; i < count; i++) {
    const from = reader.uint();
    const to = from + reader.uint();
    if (to <= from || from < end || !Number.isSafeInteger(to)) throw new Malformed('deletion ranges');
    ranges.push([from, to]);
    end = to;
  }
  return ranges;
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new Malformed('cut short');
    this.#at += 1;
    return byte;
  }

  /** LEB128, as lib0 writes it: shortest form, safe integers only. */
  uint(): number {
    let number = 0;
    let factor = 1;
    for (;;) {
      const byte = this.byte();
      number += (byte & 0x7f) * factor;
      if (!Number.isSafeInteger(number)) throw new Malformed('number');
      if (byte < 0x80) {
        if (byte === 0 && factor > 1) throw new Malformed('number');
        return number;
      }
      factor *= 128;
    }
  }

  take(length: number): Uint8Array {
    if (length > this.#bytes.length - this.#at) throw new Malformed('cut short');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  text(): { text: string; bytes: number } {
    const bytes = this.take(this.uint());
    try {
      return { text: utf8.decode(bytes), bytes: bytes.length };
    } catch {
      throw new Malformed('text'); // The decoder's own error says no more than that.
    }
  }
}
