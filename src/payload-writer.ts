/**
 * Writes frames: fixed-width header fields and CBOR payloads, into one buffer that is used again and again.
 *
 * Messages are neither signed nor stored, so equal values need not give equal bytes: keys stay in the order
 * of the object, which spares the sort and the token tree of the canonical encoder (decision record 0011 has
 * the figures). The bytes are CBOR all the same, with the tags of `src/codec.ts`, and any decoder reads them.
 */
import { maxDepth } from './codec.ts';
import { QuorateError } from './errors.ts';

/** A buffer that grew beyond this for one large message is let go afterwards. */
const keptBytes = 256 * 1024;
/** Up to here a loop over the characters is faster than a call into the runtime. */
const shortString = 40;

const objectPrototype = Object.prototype;

export class PayloadWriter {
  #bytes: Buffer = Buffer.allocUnsafeSlow(16 * 1024);
  #at = 0;
  #limit = 0;

  /** Starts a new frame, which may have `limit` bytes; forgets an unfinished one. */
  begin(limit: number): void {
    this.#at = 0;
    this.#limit = limit;
  }

  get length(): number {
    return this.#at;
  }

  /** A copy of the frame. */
  finish(): Uint8Array {
    const frame = Buffer.allocUnsafe(this.#at);
    frame.set(this.#bytes.subarray(0, this.#at));
    if (this.#bytes.length > keptBytes) this.#bytes = Buffer.allocUnsafeSlow(16 * 1024);
    return frame;
  }

  #room(bytes: number): void {
    const needed = this.#at + bytes;
    if (needed <= this.#bytes.length) return;
    // A string reserves three bytes a character, hence the factor: the exact length is checked at the end.
    if (needed > this.#limit * 3 + 1024) this.#tooLarge(needed);
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = grown;
  }

  #tooLarge(bytes: number): never {
    throw new QuorateError(
      'PAYLOAD_TOO_LARGE',
      `The message takes more than the ${this.#limit} bytes allowed; stream it in pieces, or raise calls.maxMessageBytes on every node.`,
      { bytes, limit: this.#limit },
    );
  }

  u8(value: number): void {
    this.#room(1);
    this.#bytes[this.#at++] = value;
  }

  u16(value: number): void {
    this.#room(2);
    const bytes = this.#bytes;
    bytes[this.#at++] = value >>> 8;
    bytes[this.#at++] = value;
  }

  u32(value: number): void {
    this.#room(4);
    const bytes = this.#bytes;
    bytes[this.#at++] = value >>> 24;
    bytes[this.#at++] = value >>> 16;
    bytes[this.#at++] = value >>> 8;
    bytes[this.#at++] = value;
  }

  /** A whole number up to 2^53 in 8 bytes. */
  u64(value: number): void {
    this.u32(Math.floor(value / 0x1_0000_0000));
    this.u32(value >>> 0);
  }

  /** UTF-8 with a two-byte length before it. */
  text(value: string): void {
    const start = this.#at;
    this.#room(2 + value.length * 3);
    this.#at = start + 2;
    const length = this.#utf8(value);
    if (length > 0xffff) this.#tooLarge(length);
    this.#bytes[start] = length >>> 8;
    this.#bytes[start + 1] = length;
  }

  /** One CBOR item. Throws `UNSUPPORTED_VALUE` or `PAYLOAD_TOO_LARGE`; the frame is then to be dropped. */
  value(value: unknown): void {
    this.#item(value, 0);
    if (this.#at > this.#limit) this.#tooLarge(this.#at);
  }

  /** Writes the characters at the cursor, where room is already made; answers the number of bytes. */
  #utf8(value: string): number {
    const bytes = this.#bytes;
    const start = this.#at;
    const length = value.length;
    if (length <= shortString) {
      let index = 0;
      for (; index < length; index++) {
        const code = value.charCodeAt(index);
        if (code > 0x7f) break;
        bytes[start + index] = code;
      }
      if (index === length) {
        this.#at = start + length;
        return length;
      }
    }
    const written = bytes.write(value, start, 'utf8');
    this.#at = start + written;
    return written;
  }

  #head(major: number, argument: number): void {
    const bytes = this.#bytes;
    if (argument < 24) bytes[this.#at++] = major | argument;
    else if (argument < 0x100) {
      bytes[this.#at++] = major | 24;
      bytes[this.#at++] = argument;
    } else if (argument < 0x1_0000) {
      bytes[this.#at++] = major | 25;
      bytes[this.#at++] = argument >>> 8;
      bytes[this.#at++] = argument;
    } else if (argument < 0x1_0000_0000) {
      bytes[this.#at++] = major | 26;
      this.#at = bytes.writeUInt32BE(argument, this.#at);
    } else {
      bytes[this.#at++] = major | 27;
      this.#at = bytes.writeUInt32BE(Math.floor(argument / 0x1_0000_0000), this.#at);
      this.#at = bytes.writeUInt32BE(argument >>> 0, this.#at);
    }
  }

  #string(value: string): void {
    const length = value.length;
    this.#room(9 + length * 3);
    if (length <= 7) {
      // At most 21 bytes, so the length fits into the first byte whatever the characters are.
      const start = this.#at;
      this.#at = start + 1;
      this.#bytes[start] = 0x60 | this.#utf8(value);
      return;
    }
    if (length <= shortString) {
      const start = this.#at;
      const width = length < 24 ? 1 : 2;
      this.#at = start + width;
      const written = this.#utf8(value);
      if (written === length) {
        if (width === 1) this.#bytes[start] = 0x60 | length;
        else {
          this.#bytes[start] = 0x78;
          this.#bytes[start + 1] = length;
        }
        return;
      }
      this.#at = start;
    }
    this.#head(0x60, Buffer.byteLength(value));
    this.#at += this.#bytes.write(value, this.#at, 'utf8');
  }

  #number(value: number): void {
    this.#room(9);
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
      if (value >= 0) this.#head(0x00, value);
      else this.#head(0x20, -1 - value);
      return;
    }
    this.#bytes[this.#at++] = 0xfb;
    this.#at = this.#bytes.writeDoubleBE(value, this.#at);
  }

  #item(value: unknown, depth: number): void {
    switch (typeof value) {
      case 'string':
        this.#string(value);
        return;
      case 'number':
        this.#number(value);
        return;
      case 'boolean':
        this.u8(value ? 0xf5 : 0xf4);
        return;
      case 'undefined':
        this.u8(0xf7);
        return;
      case 'bigint':
        this.#bigint(value);
        return;
      case 'object':
        if (value === null) this.u8(0xf6);
        else this.#object(value, depth + 1);
        return;
      default:
        throw unsupported(`a ${typeof value}`);
    }
  }

  #object(value: object, depth: number): void {
    if (depth > maxDepth) {
      throw new QuorateError(
        'UNSUPPORTED_VALUE',
        `This value nests deeper than ${maxDepth} levels, or contains itself; flatten it.`,
        { maxDepth },
      );
    }
    if (Array.isArray(value)) {
      this.#room(9);
      this.#head(0x80, value.length);
      for (let index = 0; index < value.length; index++) this.#item(value[index], depth);
      return;
    }
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === objectPrototype || prototype === null) this.#record(value as Record<string, unknown>, depth);
    else this.#instance(value, depth);
  }

  #record(value: Record<string, unknown>, depth: number): void {
    const keys = Object.keys(value);
    this.#room(9);
    this.#head(0xa0, keys.length);
    for (let index = 0; index < keys.length; index++) {
      const key = keys[index] as string;
      if (key === '__proto__') throw unsupported('a field named __proto__');
      this.#string(key);
      this.#item(value[key], depth);
    }
  }

  #instance(value: object, depth: number): void {
    if (value instanceof Uint8Array) {
      this.#room(9 + value.length);
      this.#head(0x40, value.length);
      this.#bytes.set(value, this.#at);
      this.#at += value.length;
    } else if (value instanceof Date) {
      this.u8(0xc1);
      this.#item(value.getTime() / 1000, depth);
    } else if (value instanceof Map) {
      this.#room(12);
      this.#head(0xc0, 259);
      this.#head(0xa0, value.size);
      for (const [key, entry] of value) {
        this.#item(key, depth);
        this.#item(entry, depth);
      }
    } else if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
      throw unsupported(`a ${value.constructor.name}; wrap its memory in a Uint8Array`);
    } else if (value instanceof Set) throw unsupported('a Set; send an array');
    else if (value instanceof Promise) throw unsupported('a Promise; await it first');
    else if (value instanceof Error) throw unsupported('an Error; send its message, or throw it');
    else this.#record(value as Record<string, unknown>, depth);
  }

  #bigint(value: bigint): void {
    const negative = value < 0n;
    const magnitude = negative ? -1n - value : value;
    let hex = magnitude.toString(16);
    if (magnitude === 0n) hex = '';
    else if (hex.length % 2 === 1) hex = `0${hex}`;
    const length = hex.length / 2;
    this.#room(10 + length);
    this.#bytes[this.#at++] = negative ? 0xc3 : 0xc2;
    this.#head(0x40, length);
    this.#at += this.#bytes.write(hex, this.#at, 'hex');
  }
}

function unsupported(what: string): QuorateError {
  return new QuorateError(
    'UNSUPPORTED_VALUE',
    `This value cannot be sent: it contains ${what}. Use plain objects, arrays, strings, numbers, booleans, null, undefined, bigint, Date, Map and Uint8Array.`,
  );
}
