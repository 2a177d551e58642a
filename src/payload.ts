/**
 * Values as bytes where speed matters and nobody signs or compares what is encoded anew: messages, commands
 * and their results. For bytes that must be equal whenever the values are, see `codec.ts`.
 */
import { MalformedFrame, PayloadReader } from './payload-reader.ts';
import { PayloadWriter } from './payload-writer.ts';
import type { Value } from './value.ts';

const writer = new PayloadWriter();
const reader = new PayloadReader();

/** Throws `UNSUPPORTED_VALUE`, and `PAYLOAD_TOO_LARGE` beyond `limit` bytes. Equal values built alike give equal bytes. */
export function encodePayload(value: unknown, limit: number): Uint8Array {
  writer.begin(limit);
  writer.value(value);
  return writer.finish();
}

/** The one value that `bytes` hold, or undefined wrapped as a failure: bytes from outside never throw. */
export function decodePayload(
  bytes: Uint8Array,
): { readonly ok: true; readonly value: Value } | { readonly ok: false } {
  reader.begin(bytes);
  try {
    return { ok: true, value: reader.value() };
  } catch (error) {
    if (error instanceof MalformedFrame) return { ok: false };
    throw error;
  }
}
