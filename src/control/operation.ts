/** What an operation of the control socket is, and what all of them need. */
import * as v from 'valibot';
import { QuorateError } from '../errors.ts';
import type { Mesh } from '../mesh.ts';
import type { NodeId } from '../node-id.ts';
import type { Value } from '../value.ts';
import type { DiagnosisFacts } from './diagnosis.ts';

export type Fields = { readonly [key: string]: Value };

export interface OperationContext {
  readonly facts: DiagnosisFacts;
  /** Aborts when the client cancels or goes away, and at the deadline. */
  readonly signal: AbortSignal;
  /** Sends one item of a stream; resolves when the client has room for more. */
  item(value: unknown): Promise<void>;
}

export interface Operation {
  /** Milliseconds; undefined for what ends with its client or by a deadline among its arguments. */
  readonly deadlineMs: number | undefined;
  run(mesh: Mesh, args: Fields, context: OperationContext): Promise<Value>;
}

export const text = v.pipe(v.string(), v.maxLength(4_096));
export const nothing = v.strictObject({});

type Criteria = NonNullable<Parameters<Mesh['registry']['query']>[0]>;
/** Any object: the registry itself says what is wrong with criteria. */
export const criteria = v.custom<Criteria>((input) => typeof input === 'object' && input !== null, 'must be criteria');

const maxTimeoutMs = 24 * 3_600_000;
export const timeoutSchema = v.optional(v.pipe(v.number(), v.minValue(1), v.maxValue(maxTimeoutMs)));

export function checked<T>(schema: v.GenericSchema<unknown, T>, args: Fields): T {
  const parsed = v.safeParse(schema, args);
  if (parsed.success) return parsed.output;
  const problems = parsed.issues.map((issue) => `${v.getDotPath(issue) ?? 'arguments'}: ${issue.message}`);
  throw new QuorateError('INVALID_ARGUMENT', `The request cannot be used: ${problems.join('; ')}`, { problems });
}

/** Members of the object that are undefined, left out: optional properties are absent or have a value. */
export function given<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}

/** The one of `ids` that is `wanted`, or ends or begins with it, as people shorten ids. */
export function findId(ids: readonly NodeId[], wanted: string): NodeId {
  const matches = ids.filter((id) => id === wanted || id.endsWith(wanted) || id.startsWith(wanted));
  const exact = matches.find((id) => id === wanted) ?? (matches.length === 1 ? matches[0] : undefined);
  if (exact !== undefined) return exact;
  throw matches.length === 0
    ? new QuorateError('NO_MATCH', `No member's id is, begins or ends with '${wanted}'.`, { wanted })
    : new QuorateError('INVALID_ARGUMENT', `'${wanted}' could be any of ${matches.join(', ')}; give more of it.`, {
        wanted,
        matches,
      });
}
