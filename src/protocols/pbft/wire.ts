/**
 * Bytes of the protocol: unsigned varints, length-prefixed bytes and ASCII text, nothing else. One value
 * has exactly one encoding (varints must be shortest, nothing may follow the end), so signed bytes and
 * digests are canonical by construction, and reading costs no more than the fields it reads.
 *
 * A `Reader` never throws. The first thing that does not fit sets `failed`, and everything read from then
 * on is empty; whoever reads asks `complete` at the end and discards the lot when it is false.
 */

export class Writer {
  #buffer: Buffer = Buffer.allocUnsafe(256);
  #length = 0;

  #reserve(extra: number): void {
    if (this.#length + extra <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + extra));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }

  /** A whole number from 0 to 2^53 − 1. */
  uint(value: number): this {
    this.#reserve(8);
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[this.#length++] = rest;
    return this;
  }

  /** Bytes of a length the reader knows. */
  fixed(bytes: Uint8Array): this {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  bytes(bytes: Uint8Array): this {
    return this.uint(bytes.length).fixed(bytes);
  }

  /** ASCII only, as node ids are. */
  text(text: string): this {
    this.uint(text.length);
    this.#reserve(text.length);
    this.#length += this.#buffer.write(text, this.#length, text.length, 'latin1');
    return this;
  }

  /** A SHA-256 digest, in hexadecimal here and as 32 bytes on the wire. */
  digest(hex: string): this {
    this.#reserve(32);
    this.#length += this.#buffer.write(hex, this.#length, 32, 'hex');
    return this;
  }

  list<T>(items: readonly T[], write: (writer: Writer, item: T) => void): this {
    this.uint(items.length);
    for (const item of items) write(this, item);
    return this;
  }

  finish(): Uint8Array {
    return new Uint8Array(this.#buffer.buffer, this.#buffer.byteOffset, this.#length);
  }
}

const empty = new Uint8Array(0);

export class Reader {
  readonly #buffer: Buffer;
  #at = 0;
  failed = false;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Everything was read, and all of it fitted. */
  get complete(): boolean {
    return !this.failed && this.#at === this.#buffer.length;
  }

  /** Where the next read begins; with `since`, the raw bytes of what was read. */
  get at(): number {
    return this.#at;
  }

  since(start: number): Uint8Array {
    return this.#view(start, this.#at);
  }

  #view(start: number, end: number): Uint8Array {
    return new Uint8Array(this.#buffer.buffer, this.#buffer.byteOffset + start, end - start);
  }

  #take(length: number): number {
    const start = this.#at;
    if (this.failed || length > this.#buffer.length - start) {
      this.failed = true;
      return -1;
    }
    this.#at = start + length;
    return start;
  }

  uint(): number {
    let value = 0;
    let scale = 1;
    for (let index = 0; index < 8; index++) {
      const at = this.#take(1);
      if (at < 0) return 0;
      const byte = this.#buffer[at] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        // A last byte of zero would be a second encoding of the same number.
        if (!Number.isSafeInteger(value) || (byte === 0 && index > 0)) break;
        return value;
      }
      scale *= 0x80;
    }
    this.failed = true;
    return 0;
  }

  bool(): boolean {
    const value = this.uint();
    if (value > 1) this.failed = true;
    return value === 1;
  }

  fixed(length: number): Uint8Array {
    const start = this.#take(length);
    return start < 0 ? empty : this.#view(start, start + length);
  }

  bytes(maxLength: number): Uint8Array {
    const length = this.uint();
    if (length > maxLength) this.failed = true;
    return this.failed ? empty : this.fixed(length);
  }

  text(maxLength: number): string {
    const length = this.uint();
    if (length > maxLength) this.failed = true;
    const start = this.failed ? -1 : this.#take(length);
    if (start < 0) return '';
    for (let at = start; at < start + length; at++) {
      if ((this.#buffer[at] as number) >= 0x80) {
        this.failed = true;
        return '';
      }
    }
    return this.#buffer.toString('latin1', start, start + length);
  }

  digest(): string {
    const start = this.#take(32);
    return start < 0 ? '' : this.#buffer.toString('hex', start, start + 32);
  }

  /** Reads at most `maxItems`; stops at the first thing that does not fit. */
  list<T>(maxItems: number, read: (reader: Reader) => T): T[] {
    const count = this.uint();
    const items: T[] = [];
    if (count > maxItems) this.failed = true;
    while (!this.failed && items.length < count) items.push(read(this));
    return this.failed ? [] : items;
  }
}
