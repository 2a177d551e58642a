/** What the reducers of atoms answer, as their clients read it. */
import * as v from 'valibot';
import { QuorateError } from '../../../errors.ts';
import { decodePayload } from '../../../payload.ts';
import type { Value } from '../../../value.ts';

const number = v.pipe(v.number(), v.safeInteger());

export const storedSchema = v.tuple([v.instance(Uint8Array), number]);
export const conflictSchema = v.object({ actual: number, value: v.optional(v.instance(Uint8Array)) });
export const pageSchema = v.object({
  last: number,
  entries: v.array(v.tuple([v.string(), v.instance(Uint8Array), number])),
  next: v.optional(v.string()),
});
export const changeSchema = v.object({
  key: v.string(),
  version: number,
  /** The change of the map before it. */
  previous: number,
  /** None: the entry was deleted. */
  value: v.optional(v.instance(Uint8Array)),
});

/** Enough validators answered alike, so what does not fit is of another version. */
export function understood<S extends v.GenericSchema>(schema: S, answer: unknown): v.InferOutput<S> {
  const parsed = v.safeParse(schema, answer);
  if (parsed.success) return parsed.output;
  throw new QuorateError('WRONG_VERSION', 'The validators answered something this version does not understand.');
}

export const wholeNumber = (answer: Value): number => understood(number, answer);

/** Validators store nothing that cannot be decoded. The type is the word of whoever named it. */
export function decodeStored<V>(bytes: Uint8Array): V {
  const decoded = decodePayload(bytes);
  if (decoded.ok) return decoded.value as V;
  throw new QuorateError('WRONG_VERSION', 'The validators store a value that this version does not understand.');
}
