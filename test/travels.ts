import { encodePayload } from '../src/payload.ts';

/** Whether a generated value can be sent at all: generators make functions, symbols and fields named __proto__ as well, now and then. */
export function travels(value: unknown): boolean {
  try {
    encodePayload(value, 1 << 20);
    return true;
  } catch {
    return false;
  }
}
