/**
 * Structured values, checked by a Standard Schema and by conditions across fields.
 *
 * A schema may transform what it is given, but must leave what it returned as it is: what one node takes, every other checks again.
 * Schemas and conditions are code, so nodes compare no more than the names of the conditions; where the code differs, a value may count on one node only.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { decodeValue, encodeValue } from '../../../codec.ts';
import { QuorateError } from '../../../errors.ts';
import type { Value } from '../../../value.ts';
import type { CompositeOptions } from '../variables.ts';
import type { Checked, Facts, Kind, Problems } from './kind.ts';

/** Half of what an entry may take, so that the rest of a contribution fits as well. */
const maxCompositeBytes = 16 * 1024;
const maxIssues = 10;
const maxConstraints = 100;

type Constraints<T> = readonly (readonly [name: string, holds: (value: T) => boolean])[];

export class CompositeKind<S extends StandardSchemaV1> implements Kind<StandardSchemaV1.InferOutput<S>> {
  readonly name = 'composite';
  readonly facts: Facts;
  readonly #variable: string;
  readonly #schema: S;
  readonly #constraints: Constraints<StandardSchemaV1.InferOutput<S>>;

  /** The options must be without problems (`compositeProblems`). */
  constructor(variable: string, { schema, constraints = {} }: CompositeOptions<S>) {
    this.#variable = variable;
    this.#schema = schema;
    this.#constraints = Object.entries(constraints);
    this.facts = { constraints: Object.keys(constraints).sort() };
  }

  accept(value: unknown): StandardSchemaV1.InferOutput<S> {
    const validated = this.#validate(value);
    if (!validated.ok) throw this.#refused([validated.reason]);
    // A copy, as others will read it: what the caller does to its object later changes nothing here.
    const bytes = encodeValue(validated.value);
    if (bytes.length > maxCompositeBytes) {
      throw new QuorateError(
        'PAYLOAD_TOO_LARGE',
        `The value of "${this.#variable}" takes ${bytes.length} bytes, and ${maxCompositeBytes} is the limit; set a smaller one, or a reference to it.`,
        { key: this.#variable, limit: maxCompositeBytes, actual: bytes.length },
      );
    }
    const copy = decodeValue(bytes);
    if (!copy.ok) throw this.#refused([copy.reason]);
    const checked = this.check(copy.value);
    if (!checked.ok) throw this.#refused([checked.reason]);
    return checked.value;
  }

  check(value: unknown): Checked<StandardSchemaV1.InferOutput<S>> {
    const validated = this.#validate(value);
    if (!validated.ok) return validated;
    if (validated.value === undefined) return { ok: false, reason: 'undefined is no value that could be contributed' };
    try {
      if (Buffer.compare(encodeValue(validated.value), encodeValue(value)) !== 0) {
        return { ok: false, reason: 'the schema changes what it has returned itself' };
      }
      for (const [name, holds] of this.#constraints) {
        if (holds(validated.value) !== true) return { ok: false, reason: `constraint "${name}" does not hold` };
      }
    } catch (error) {
      return { ok: false, reason: `could not be checked: ${textOf(error)}` };
    }
    return { ok: true, value: freeze(validated.value) };
  }

  fit(value: StandardSchemaV1.InferOutput<S>): StandardSchemaV1.InferOutput<S> {
    return value;
  }

  keyOf(value: StandardSchemaV1.InferOutput<S>): string {
    return Buffer.from(encodeValue(value)).toString('base64');
  }

  #validate(value: unknown): Checked<StandardSchemaV1.InferOutput<S>> {
    let result: StandardSchemaV1.Result<unknown> | Promise<unknown>;
    try {
      result = this.#schema['~standard'].validate(value);
    } catch (error) {
      return { ok: false, reason: `the schema threw: ${textOf(error)}` };
    }
    if (result instanceof Promise) {
      // Whatever it comes to, nobody waits for it.
      result.catch(() => undefined);
      return { ok: false, reason: 'the schema is not synchronous' };
    }
    if (result.issues === undefined) return { ok: true, value: result.value };
    return { ok: false, reason: result.issues.slice(0, maxIssues).map(issueText).join('; ') };
  }

  #refused(issues: readonly string[]): QuorateError {
    return new QuorateError(
      'OUT_OF_RANGE',
      `Variable "${this.#variable}" does not allow this value: ${issues.join('; ')}; set one that its schema and constraints take.`,
      { variable: this.#variable, issues },
    );
  }
}

/** Notes what is wrong with the schema and the constraints. */
export function compositeProblems<S extends StandardSchemaV1>(options: CompositeOptions<S>, problems: Problems): void {
  const { schema, constraints = {} } = options;
  if (typeof schema?.['~standard']?.validate !== 'function') problems['schema'] = 'must be a Standard Schema';
  const conditions = Object.entries(constraints);
  if (conditions.length > maxConstraints || conditions.some(([, holds]) => typeof holds !== 'function')) {
    problems['constraints'] = `must be at most ${maxConstraints} functions by name`;
  }
}

/** Plain objects and lists through and through; there is no freezing of bytes, dates and maps. */
function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || Object.isFrozen(value)) return value;
  if (value instanceof Map || value instanceof Date) return value;
  for (const inner of Object.values(value) as Value[]) freeze(inner);
  return Object.freeze(value);
}

function issueText({ message, path = [] }: StandardSchemaV1.Issue): string {
  const at = path.map((part) => String(typeof part === 'object' ? part.key : part)).join('.');
  return at === '' ? message : `${at}: ${message}`;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
