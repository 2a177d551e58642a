/** An agreement as it lies in the ordered map: written by any member, so it is read as hostile input. Pure. */
import * as v from 'valibot';
import type { Value } from '../../../value.ts';
import type { Agreed, Proposal } from './agreements.ts';

const maxDigestLength = 64;

const entrySchema = v.strictObject({
  /** Version and digest of the definition. */
  d: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  k: v.pipe(v.string(), v.minLength(1), v.maxLength(maxDigestLength)),
  at: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  v: v.unknown(),
});

export function toEntry({ value, definition, at }: Proposal): Value {
  return { d: definition.version, k: definition.digest, at, v: value };
}

/** Undefined when it is none. `version` is the map's. */
export function fromEntry(entry: Value, version: number): Agreed | undefined {
  const parsed = v.safeParse(entrySchema, entry);
  if (!parsed.success) return undefined;
  const { d, k, at, v: value } = parsed.output;
  // The map holds nothing but values.
  return { value: value as Value, definition: { version: d, digest: k }, at, version };
}
