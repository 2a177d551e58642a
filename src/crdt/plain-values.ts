/**
 * A short way for the values that entries mostly are: small trees of plain objects, arrays, ASCII text, numbers, booleans
 * and null. It writes the bytes that `encodeValue` writes and reads the values that `decodeValue` reads, in a fraction of
 * the time, or says that a value is not of that kind; then the codec itself decides, also about errors.
 *
 * Invariant: whatever is answered here, the codec would have answered alike (property tests compare them). So nothing
 * is accepted or refused that is not by `src/codec.ts`.
 */
import type { Value } from '../value.ts';

const maxBytes = 2_048;
const maxDepth = 8;
/** Largest argument of 8 bytes read or written here: beyond, numbers are not safe. */
const twoTo32 = 0x1_0000_0000;
const twoTo21 = 0x20_0000;

export interface PlainValue {
  readonly bytes: Uint8Array;
  /** A copy, as others will read it. */
  readonly value: Value;
}

/** Not of that kind; never leaves this file. */
const other = Symbol('other');
const scratch = Buffer.alloc(maxBytes);
const numbers = new DataView(new ArrayBuffer(8));
let at = 0;
let writing = false;

/** The value's encoding and copy, or undefined when it is not of that kind. Never throws. */
export function encodePlain(value: unknown): PlainValue | undefined {
  if (writing) return undefined; // Asked by a getter of a value that is being written.
  writing = true;
  at = 0;
  try {
    const copy = write(value, 0);
    return copy === other ? undefined : { bytes: new Uint8Array(scratch.subarray(0, at)), value: copy };
  } catch {
    return undefined; // A getter or a proxy threw: the codec says what is wrong with it.
  } finally {
    writing = false;
  }
}

/** Writes the value and returns its copy. Room for a head is checked here, for text where its length is known. */
function write(value: unknown, depth: number): Value | typeof other {
  if (at + 16 > maxBytes) return other;
  switch (typeof value) {
    case 'number':
      return writeNumber(value) ? value : other;
    case 'string':
      return writeText(value) ? value : other;
    case 'boolean':
      scratch[at++] = value ? 0xf5 : 0xf4;
      return value;
    case 'object':
      if (value === null) {
        scratch[at++] = 0xf6;
        return value;
      }
      if (depth === maxDepth) return other;
      return Array.isArray(value) ? writeArray(value, depth) : writeObject(value, depth);
    default:
      return other;
  }
}

function writeHead(major: number, argument: number): void {
  if (argument < 24) scratch[at++] = (major << 5) | argument;
  else if (argument < 0x100) {
    scratch[at++] = (major << 5) | 24;
    scratch[at++] = argument;
  } else if (argument < 0x1_0000) {
    scratch[at++] = (major << 5) | 25;
    at = scratch.writeUInt16BE(argument, at);
  } else if (argument < twoTo32) {
    scratch[at++] = (major << 5) | 26;
    at = scratch.writeUInt32BE(argument, at);
  } else {
    scratch[at++] = (major << 5) | 27;
    at = scratch.writeUInt32BE(Math.floor(argument / twoTo32), at);
    at = scratch.writeUInt32BE(argument % twoTo32, at);
  }
}

function writeNumber(number: number): boolean {
  if (Number.isSafeInteger(number)) {
    if (Object.is(number, -0)) return false;
    if (number >= 0) writeHead(0, number);
    else writeHead(1, -1 - number);
    return true;
  }
  if (!Number.isFinite(number)) return false;
  // The shortest float that holds it. What fits in a half is left to the codec where it is not an ordinary half.
  if (Math.fround(number) !== number) {
    scratch[at++] = 0xfb;
    at = scratch.writeDoubleBE(number, at);
    return true;
  }
  numbers.setFloat32(0, number);
  const bits = numbers.getUint32(0);
  const exponent = ((bits >>> 23) & 0xff) - 127;
  if (exponent < -14) return false;
  if (exponent <= 15 && (bits & 0x1fff) === 0) {
    scratch[at++] = 0xf9;
    at = scratch.writeUInt16BE(((bits >>> 16) & 0x8000) | ((exponent + 15) << 10) | ((bits >>> 13) & 0x3ff), at);
  } else {
    scratch[at++] = 0xfa;
    at = scratch.writeUInt32BE(bits, at);
  }
  return true;
}

function writeText(text: string): boolean {
  const { length } = text;
  if (at + length + 9 > maxBytes) return false;
  writeHead(3, length);
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x80) return false;
    scratch[at++] = code;
  }
  return true;
}

function writeArray(array: readonly unknown[], depth: number): Value | typeof other {
  const { length } = array;
  if (length > maxBytes) return other;
  writeHead(4, length);
  const copy: Value[] = [];
  for (let i = 0; i < length; i++) {
    const item = write(array[i], depth + 1);
    if (item === other) return other;
    copy.push(item);
  }
  return copy;
}

function writeObject(object: object, depth: number): Value | typeof other {
  const prototype: unknown = Object.getPrototypeOf(object);
  if (prototype !== Object.prototype && prototype !== null) return other;
  const keys = Object.keys(object);
  if (keys.length > maxBytes) return other;
  keys.sort(byKey);
  writeHead(5, keys.length);
  const copy: Record<string, Value> = {};
  for (const key of keys) {
    if (key === '__proto__' || !writeText(key)) return other;
    const item = write((object as Record<string, unknown>)[key], depth + 1);
    if (item === other) return other;
    copy[key] = item;
  }
  return copy;
}

/** As the codec sorts keys of ASCII: shorter ones first. */
function byKey(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : 1;
}

/** The value in the bytes, or undefined when they are not of that kind, which says nothing about them. */
export function decodePlain(bytes: Uint8Array): { readonly value: Value } | undefined {
  const value = new PlainReader(bytes).whole();
  return value === other ? undefined : { value };
}

class PlainReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  whole(): Value | typeof other {
    const value = this.#value(0);
    return this.#at === this.#bytes.length ? value : other;
  }

  /** Reads past the end give undefined, which is 0 in a sum of bits; the position shows it afterwards. */
  #value(depth: number): Value | typeof other {
    const initial = this.#bytes[this.#at++];
    if (initial === undefined || depth > maxDepth) return other;
    if (initial >= 0xe0) return this.#simple(initial);
    const argument = this.#argument(initial & 0x1f);
    if (argument < 0) return other;
    switch (initial >> 5) {
      case 0:
        return argument;
      case 1:
        return argument === Number.MAX_SAFE_INTEGER ? other : -1 - argument;
      case 3:
        return this.#text(argument);
      case 4:
        return this.#array(argument, depth);
      case 5:
        return this.#object(argument, depth);
      default:
        return other;
    }
  }

  /** In shortest form and safe, or -1. */
  #argument(minor: number): number {
    if (minor < 24) return minor;
    const bytes = this.#bytes;
    const start = this.#at;
    const width = 1 << (minor - 24);
    if (minor > 27 || start + width > bytes.length) return -1;
    this.#at += width;
    let high = 0;
    let low = 0;
    for (let i = 0; i < width; i++) {
      if (i < width - 4) high = high * 256 + (bytes[start + i] as number);
      else low = low * 256 + (bytes[start + i] as number);
    }
    if (width === 1) return low < 24 ? -1 : low;
    if (width === 2) return low < 0x100 ? -1 : low;
    if (width === 4) return low < 0x1_0000 ? -1 : low;
    return high === 0 || high >= twoTo21 ? -1 : high * twoTo32 + low;
  }

  #simple(initial: number): Value | typeof other {
    if (initial === 0xf4) return false;
    if (initial === 0xf5) return true;
    if (initial === 0xf6) return null;
    const width = initial === 0xf9 ? 2 : initial === 0xfa ? 4 : initial === 0xfb ? 8 : 0;
    if (width === 0 || this.#at + width > this.#bytes.length) return other;
    for (let i = 0; i < width; i++) numbers.setUint8(i, this.#bytes[this.#at + i] as number);
    this.#at += width;
    if (width === 2) return half(numbers.getUint16(0));
    const number = width === 4 ? numbers.getFloat32(0) : numbers.getFloat64(0);
    return Number.isFinite(number) ? number : other;
  }

  #text(length: number): string | typeof other {
    const start = this.#at;
    const end = start + length;
    if (end > this.#bytes.length) return other;
    for (let i = start; i < end; i++) if ((this.#bytes[i] as number) >= 0x80) return other;
    this.#at = end;
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + start, length).toString('latin1');
  }

  #array(length: number, depth: number): Value | typeof other {
    if (length > this.#bytes.length - this.#at) return other;
    const items: Value[] = [];
    for (let i = 0; i < length; i++) {
      const item = this.#value(depth + 1);
      if (item === other) return other;
      items.push(item);
    }
    return items;
  }

  /** Keys in order, so that none comes twice. */
  #object(length: number, depth: number): Value | typeof other {
    if (length > this.#bytes.length - this.#at) return other;
    const object: Record<string, Value> = {};
    let former = '';
    for (let i = 0; i < length; i++) {
      const initial = this.#bytes[this.#at++] ?? 0;
      if (initial >> 5 !== 3) return other;
      const size = this.#argument(initial & 0x1f);
      const key = size < 0 ? other : this.#text(size);
      if (key === other || key === '__proto__' || (i > 0 && (key === former || byKey(former, key) > 0))) return other;
      former = key;
      const item = this.#value(depth + 1);
      if (item === other) return other;
      object[key] = item;
    }
    return object;
  }
}

/** An ordinary half: no zero, no subnormal, finite. */
function half(bits: number): number | typeof other {
  const exponent = (bits >> 10) & 0x1f;
  if (exponent === 0 || exponent === 31) return other;
  const magnitude = (1 + (bits & 0x3ff) / 1024) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -magnitude : magnitude;
}
