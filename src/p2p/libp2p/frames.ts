/**
 * Frames on a byte stream: an unsigned varint length, then that many bytes.
 *
 * The parser takes chunks as they come from the socket. A frame that lies whole in one chunk is handed out
 * as a view of it, without a copy; only frames cut by a chunk's end are put together.
 *
 * Invariants. Memory held is at most the bytes received of one unfinished frame, whatever length its
 * header claims. A claimed length above the cap is a violation before its first byte is kept. After a
 * violation the parser takes nothing more.
 */
export const maxHeaderBytes = 4;
/** What four varint bytes can say: 2^28 - 1. */
export const maxFrameLength = 0x0fff_ffff;

/** Writes the varint of `length` into `target` and returns the position after it. */
export function writeHeader(target: Uint8Array, at: number, length: number): number {
  let rest = length;
  let position = at;
  while (rest >= 0x80) {
    target[position] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
    position += 1;
  }
  target[position] = rest;
  return position + 1;
}

export type FrameViolation = 'too long' | 'malformed length';

export class FrameParser {
  readonly #maxFrameBytes: number;
  readonly #onFrame: (frame: Uint8Array) => void;
  /** The length read so far, and how many bits of it. */
  #length = 0;
  #shift = 0;
  /** Bytes the current frame still lacks; -1 while its length is being read. */
  #missing = -1;
  #pieces: Uint8Array[] = [];
  #violation: FrameViolation | undefined;

  constructor(maxFrameBytes: number, onFrame: (frame: Uint8Array) => void) {
    this.#maxFrameBytes = Math.min(maxFrameBytes, maxFrameLength);
    this.#onFrame = onFrame;
  }

  /** True in the middle of a frame: the stream must not end here. */
  get unfinished(): boolean {
    return this.#missing !== -1 || this.#shift !== 0;
  }

  /** Takes the next bytes of the stream; returns what is wrong with them, if anything is. */
  push(bytes: Uint8Array): FrameViolation | undefined {
    const chunk = plainBytes(bytes);
    let at = 0;
    while (this.#violation === undefined && at < chunk.length) {
      at = this.#missing === -1 ? this.#readLength(chunk, at) : this.#readBody(chunk, at);
    }
    return this.#violation;
  }

  #readLength(chunk: Uint8Array, start: number): number {
    for (let at = start; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      this.#length |= (byte & 0x7f) << this.#shift;
      this.#shift += 7;
      if (byte >= 0x80) {
        if (this.#shift === 7 * maxHeaderBytes) return this.#violate('malformed length', chunk);
        continue;
      }
      // A longer form than needed would let one frame have several encodings.
      if (byte === 0 && this.#shift > 7) return this.#violate('malformed length', chunk);
      if (this.#length > this.#maxFrameBytes) return this.#violate('too long', chunk);
      this.#missing = this.#length;
      this.#length = 0;
      this.#shift = 0;
      if (this.#missing > 0) return at + 1;
      this.#missing = -1;
      this.#onFrame(chunk.subarray(at, at));
      return at + 1;
    }
    return chunk.length;
  }

  #readBody(chunk: Uint8Array, start: number): number {
    const end = start + this.#missing;
    if (end > chunk.length) {
      this.#pieces.push(chunk.subarray(start));
      this.#missing -= chunk.length - start;
      return chunk.length;
    }
    this.#missing = -1;
    const last = chunk.subarray(start, end);
    if (this.#pieces.length === 0) this.#onFrame(last);
    else {
      const pieces = this.#pieces;
      this.#pieces = [];
      pieces.push(last);
      this.#onFrame(concat(pieces));
    }
    return end;
  }

  #violate(violation: FrameViolation, chunk: Uint8Array): number {
    this.#violation = violation;
    this.#pieces = [];
    return chunk.length;
  }
}

/** The same bytes as a plain Uint8Array: on a Buffer, as sockets give them, `slice` does not copy. */
export function plainBytes(bytes: Uint8Array): Uint8Array {
  if (bytes.constructor === Uint8Array) return bytes;
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

function concat(pieces: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
