/**
 * Reads what `PayloadWriter` writes, from peers that may be hostile. Total: any bytes give a value or throw
 * `MalformedFrame`, which the boundary catches. Time and memory are linear in the length of the frame and
 * bounded besides: declared lengths are checked against what is there before anything is allocated, nesting
 * is capped, and so is the number of items, since one byte can ask for an object of fifty.
 */
import { dateOfSeconds, maxDepth } from './codec.ts';
import type { Value } from './value.ts';

/** The bytes are not what the protocol allows; the channel they came on is to be aborted. */
export class MalformedFrame extends Error {
  override readonly name = 'MalformedFrame';
}

/** Arrays, maps, strings and so on in one message; a 4 MiB message of ordinary records has fewer. */
export const maxItems = 500_000;

const shortKey = 32;
const keyCacheSize = 1024;

/**
 * Field names, agent ids and methods repeat in message after message. A small direct-mapped cache spares
 * making and interning the string anew; it holds at most 1,024 strings of 32 bytes.
 */
class KeyCache {
  readonly #keys = new Array<string>(keyCacheSize).fill('');

  read(bytes: Buffer, at: number, length: number): string {
    let hash = length;
    for (let index = 0; index < length; index++) {
      const byte = bytes[at + index] as number;
      if (byte > 0x7f) return bytes.toString('utf8', at, at + length);
      hash = (Math.imul(hash, 31) + byte) | 0;
    }
    const slot = (hash ^ (hash >>> 10)) & (keyCacheSize - 1);
    const known = this.#keys[slot] as string;
    if (known.length === length) {
      let index = 0;
      while (index < length && known.charCodeAt(index) === bytes[at + index]) index++;
      if (index === length) return known;
    }
    const key = bytes.toString('latin1', at, at + length);
    this.#keys[slot] = key;
    return key;
  }
}

const keys = new KeyCache();

export class PayloadReader {
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;
  #items = 0;

  /** Begins with a frame; the reader is used for one frame at a time. */
  begin(frame: Uint8Array): void {
    this.#bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
    this.#at = 0;
    this.#end = frame.byteLength;
    this.#items = 0;
  }

  get remaining(): number {
    return this.#end - this.#at;
  }

  get offset(): number {
    return this.#at;
  }

  #need(length: number): void {
    if (length > this.#end - this.#at) throw new MalformedFrame('The frame ends before its content does.');
  }

  u8(): number {
    this.#need(1);
    return this.#bytes[this.#at++] as number;
  }

  u16(): number {
    this.#need(2);
    const bytes = this.#bytes;
    return ((bytes[this.#at++] as number) << 8) | (bytes[this.#at++] as number);
  }

  u32(): number {
    this.#need(4);
    const bytes = this.#bytes;
    return (
      (((bytes[this.#at++] as number) << 24) |
        ((bytes[this.#at++] as number) << 16) |
        ((bytes[this.#at++] as number) << 8) |
        (bytes[this.#at++] as number)) >>>
      0
    );
  }

  u64(): number {
    const high = this.u32();
    const low = this.u32();
    if (high > 0x1f_ffff) throw new MalformedFrame('A number is above 2^53.');
    return high * 0x1_0000_0000 + low;
  }

  /** UTF-8 with a two-byte length, at most `limit` bytes. */
  text(limit: number): string {
    const length = this.u16();
    if (length > limit) throw new MalformedFrame(`A name has ${length} bytes; ${limit} are allowed.`);
    return this.#text(length);
  }

  #text(length: number): string {
    this.#need(length);
    const at = this.#at;
    this.#at = at + length;
    if (length <= shortKey) return keys.read(this.#bytes, at, length);
    return this.#bytes.toString('utf8', at, at + length);
  }

  /** The one CBOR item that fills the rest of the frame. */
  value(): Value {
    const value = this.#item(0);
    if (this.#at !== this.#end) throw new MalformedFrame('There are bytes after the payload.');
    return value;
  }

  #argument(minor: number): number {
    if (minor < 24) return minor;
    if (minor === 24) return this.u8();
    if (minor === 25) return this.u16();
    if (minor === 26) return this.u32();
    if (minor === 27) return this.u64();
    throw new MalformedFrame('Indefinite lengths and reserved values are not used.');
  }

  #item(depth: number): Value {
    if (++this.#items > maxItems) throw new MalformedFrame(`A message has more than ${maxItems} items.`);
    const initial = this.u8();
    const minor = initial & 31;
    switch (initial >> 5) {
      case 0:
        return minor === 27 ? this.#wide(false) : this.#argument(minor);
      case 1:
        return minor === 27 ? this.#wide(true) : -1 - this.#argument(minor);
      case 2:
        return this.#byteString(minor);
      case 3:
        return this.#string(minor);
      case 4:
        return this.#array(minor, depth + 1);
      case 5:
        return this.#record(minor, depth + 1);
      case 6:
        return this.#tagged(minor, depth + 1);
      default:
        return this.#simple(minor);
    }
  }

  /** Whole numbers of 64 bits become bigints where a double would round them. */
  #wide(negative: boolean): number | bigint {
    const high = this.u32();
    const low = this.u32();
    if (high <= 0x1f_ffff) {
      const value = high * 0x1_0000_0000 + low;
      if (!negative) return value;
      if (value < Number.MAX_SAFE_INTEGER) return -1 - value;
    }
    const wide = (BigInt(high) << 32n) | BigInt(low);
    return negative ? -1n - wide : wide;
  }

  #byteString(minor: number): Uint8Array {
    const length = this.#argument(minor);
    this.#need(length);
    const at = this.#at;
    this.#at = at + length;
    // A copy, so that a kept field does not keep the whole frame, and a writer does not change it.
    return new Uint8Array(this.#bytes.subarray(at, at + length));
  }

  #string(minor: number): string {
    const length = this.#argument(minor);
    this.#need(length);
    const at = this.#at;
    this.#at = at + length;
    if (length > 24) return this.#bytes.toString('utf8', at, at + length);
    const bytes = this.#bytes;
    let text = '';
    for (let index = at; index < at + length; index++) {
      const byte = bytes[index] as number;
      if (byte > 0x7f) return bytes.toString('utf8', at, at + length);
      text += String.fromCharCode(byte);
    }
    return text;
  }

  #array(minor: number, depth: number): Value[] {
    const length = this.#argument(minor);
    this.#need(length);
    this.#checkDepth(depth);
    const list: Value[] = [];
    for (let index = 0; index < length; index++) list.push(this.#item(depth));
    return list;
  }

  #record(minor: number, depth: number): Value {
    const length = this.#argument(minor);
    this.#need(length * 2);
    this.#checkDepth(depth);
    const record: Record<string, Value> = {};
    for (let index = 0; index < length; index++) {
      const initial = this.u8();
      if (initial >> 5 !== 3) throw new MalformedFrame('A field name is not a string.');
      const keyLength = this.#argument(initial & 31);
      const key = this.#text(keyLength);
      if (key === '__proto__') throw new MalformedFrame('A field is named __proto__.');
      record[key] = this.#item(depth);
    }
    return record;
  }

  #tagged(minor: number, depth: number): Value {
    const tag = this.#argument(minor);
    this.#checkDepth(depth);
    if (tag === 259) return this.#map(depth);
    if (tag === 1) {
      const seconds = this.#item(depth);
      if (typeof seconds !== 'number') throw new MalformedFrame('A date is not a number.');
      return dateOfSeconds(seconds);
    }
    if (tag !== 2 && tag !== 3) throw new MalformedFrame(`Tag ${tag} is not used.`);
    const initial = this.u8();
    if (initial >> 5 !== 2) throw new MalformedFrame('A big number is not a byte string.');
    const hex = Buffer.from(this.#byteString(initial & 31)).toString('hex');
    const magnitude = hex === '' ? 0n : BigInt(`0x${hex}`);
    return tag === 2 ? magnitude : -1n - magnitude;
  }

  #map(depth: number): Map<Value, Value> {
    const initial = this.u8();
    if (initial >> 5 !== 5) throw new MalformedFrame('Tag 259 is not on a map.');
    const length = this.#argument(initial & 31);
    this.#need(length * 2);
    const map = new Map<Value, Value>();
    for (let index = 0; index < length; index++) {
      const key = this.#item(depth);
      map.set(key, this.#item(depth));
    }
    return map;
  }

  #simple(minor: number): Value {
    switch (minor) {
      case 20:
        return false;
      case 21:
        return true;
      case 22:
        return null;
      case 23:
        return undefined;
      case 25:
        return halfFloat(this.u16());
      case 26:
        this.#need(4);
        this.#at += 4;
        return this.#bytes.readFloatBE(this.#at - 4);
      case 27:
        this.#need(8);
        this.#at += 8;
        return this.#bytes.readDoubleBE(this.#at - 8);
      default:
        throw new MalformedFrame('An unknown simple value.');
    }
  }

  #checkDepth(depth: number): void {
    if (depth > maxDepth) throw new MalformedFrame(`A message nests deeper than ${maxDepth} levels.`);
  }
}

/** IEEE 754 binary16, which other encoders choose for small fractions. */
function halfFloat(bits: number): number {
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
