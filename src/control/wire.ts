/**
 * How a local program and a running node talk over the control socket: frames of a 4-byte big-endian
 * length and that many bytes of CBOR. The client sends requests and cancellations, the server a greeting,
 * then for each request any number of items and exactly one end. Everything is checked before it is used;
 * a frame that is no message ends the connection, never the node.
 */
import { decodeValue, encodeValue } from '../codec.ts';
import { QuorateError } from '../errors.ts';
import type { Value } from '../value.ts';

export const controlVersion = 1;
/** Room for the largest message the mesh carries by default (4 MiB) and what stands around it. */
export const maxRequestBytes = 8 * 1024 * 1024;
/** Room for every record of a mesh at its limits asked for at once. */
export const maxReplyBytes = 64 * 1024 * 1024;

const headerBytes = 4;

/** The first frame on each connection, from the server: who answers here. */
export interface Greeting {
  readonly quorate: number;
  readonly node: string;
  readonly mesh: string;
  readonly version: string;
  readonly pid: number;
}

export type ClientFrame =
  | {
      readonly type: 'request';
      readonly id: number;
      readonly op: string;
      readonly args: { readonly [key: string]: Value };
    }
  | { readonly type: 'cancel'; readonly id: number };

export type ServerFrame =
  | { readonly type: 'item'; readonly id: number; readonly value: Value }
  | { readonly type: 'end'; readonly id: number; readonly value: Value }
  | { readonly type: 'error'; readonly id: number; readonly error: WireError };

export interface WireError {
  readonly code: string;
  readonly message: string;
  readonly data: Value;
}

/** Throws `UNSUPPORTED_VALUE` or `PAYLOAD_TOO_LARGE`; nothing was sent then. */
export function encodeFrame(frame: Greeting | ClientFrame | ServerFrame, maxBytes: number): Buffer {
  const body = encodeValue(frame);
  if (body.length > maxBytes) {
    throw new QuorateError(
      'PAYLOAD_TOO_LARGE',
      `This takes ${body.length} bytes on the control socket, which carries at most ${maxBytes} at once. Ask for less (limit, criteria), or use the library.`,
      { bytes: body.length, maxBytes },
    );
  }
  const bytes = Buffer.allocUnsafe(headerBytes + body.length);
  bytes.writeUInt32BE(body.length);
  bytes.set(body, headerBytes);
  return bytes;
}

/** Puts frames together from what a socket delivers, in one buffer that grows to the largest frame allowed. */
export class FrameReader {
  readonly #maxBytes: number;
  #buffer = Buffer.alloc(4096);
  #start = 0;
  #end = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** True while a frame has begun and not ended. */
  get unfinished(): boolean {
    return this.#end > this.#start;
  }

  /** The values of the frames that are whole now, or why these bytes are none; after that the reader is of no use. */
  push(chunk: Uint8Array): { readonly values: readonly Value[]; readonly refused?: string } {
    this.#append(chunk);
    const values: Value[] = [];
    for (;;) {
      const held = this.#end - this.#start;
      if (held < headerBytes) return { values };
      const length = this.#buffer.readUInt32BE(this.#start);
      if (length > this.#maxBytes) {
        return { values, refused: `a frame of ${length} bytes, where ${this.#maxBytes} is the limit` };
      }
      if (held < headerBytes + length) return { values };
      const from = this.#start + headerBytes;
      // A copy: decoded byte strings may be views, and this buffer is written again.
      const decoded = decodeValue(Uint8Array.prototype.slice.call(this.#buffer, from, from + length));
      if (!decoded.ok) return { values, refused: `no CBOR: ${decoded.reason}` };
      values.push(decoded.value);
      this.#start = from + length;
    }
  }

  #append(chunk: Uint8Array): void {
    const held = this.#end - this.#start;
    if (this.#end + chunk.length > this.#buffer.length) {
      const needed = held + chunk.length;
      const target =
        needed > this.#buffer.length ? Buffer.alloc(Math.max(needed, this.#buffer.length * 2)) : this.#buffer;
      this.#buffer.copy(target, 0, this.#start, this.#end);
      this.#buffer = target;
      this.#start = 0;
      this.#end = held;
    }
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }
}

type Fields = { readonly [key: string]: Value };

function isFields(value: Value): value is Fields {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Uint8Array || value instanceof Date || value instanceof Map)
  );
}

const isId = (value: Value): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

/** What a client sent, or undefined when it is nothing a client sends. */
export function asClientFrame(value: Value): ClientFrame | undefined {
  if (!isFields(value)) return undefined;
  const { type, id, op, args } = value;
  if (!isId(id)) return undefined;
  if (type === 'cancel') return { type, id };
  if (type !== 'request' || typeof op !== 'string' || !isFields(args)) return undefined;
  return { type, id, op, args };
}

/** What a server sent, or undefined when it is nothing a server sends. */
export function asServerFrame(value: Value): ServerFrame | undefined {
  if (!isFields(value)) return undefined;
  const { type, id, error } = value;
  if (!isId(id)) return undefined;
  if (type === 'item' || type === 'end') return { type, id, value: value['value'] };
  if (type !== 'error' || !isFields(error)) return undefined;
  const { code, message, data } = error;
  if (typeof code !== 'string' || typeof message !== 'string') return undefined;
  return { type, id, error: { code, message, data } };
}

/** The greeting of a node, or undefined when something else listens on that socket. */
export function asGreeting(value: Value): Greeting | undefined {
  if (!isFields(value)) return undefined;
  const { quorate, node, mesh, version, pid } = value;
  if (typeof quorate !== 'number' || typeof pid !== 'number') return undefined;
  if (typeof node !== 'string' || typeof mesh !== 'string' || typeof version !== 'string') return undefined;
  return { quorate, node, mesh, version, pid };
}
