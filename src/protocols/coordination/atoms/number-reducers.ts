/**
 * Sequences and counters: a number by name, changed by one rule each.
 *
 * Invariants: ranges of one sequence never overlap and rise with the order of commands; a counter is the exact sum of what was
 * added; neither leaves the safe integers.
 */
import * as v from 'valibot';
import type { Value } from '../../../value.ts';
import { maxNameLength, maxThings } from '../machine/limits.ts';
import { type Answer, done, type Reducer, refused } from '../machine/reducer.ts';
import { maxNumberBytes, maxReserved } from './limits.ts';

const name = v.pipe(v.string(), v.minLength(1), v.maxLength(maxNameLength));
const safe = v.pipe(v.number(), v.safeInteger());

const next = v.strictObject({
  kind: v.literal('sequence.next'),
  name,
  count: v.pipe(safe, v.minValue(1), v.maxValue(maxReserved)),
});
/** The last number given. */
const last = v.strictObject({ kind: v.literal('sequence.last'), name });
const add = v.strictObject({ kind: v.literal('counter.add'), name, amount: safe });
const value = v.strictObject({ kind: v.literal('counter.value'), name });

export type SequenceCommand = v.InferOutput<typeof next>;
export type SequenceQuery = v.InferOutput<typeof last>;
export type CounterCommand = v.InferOutput<typeof add>;
export type CounterQuery = v.InferOutput<typeof value>;

const tableSchema = v.array(v.strictTuple([name, safe]));

const bytesOf = (key: string): number => Buffer.byteLength(key) + 16;

class NumberTable {
  readonly #numbers = new Map<string, number>();
  #bytes = 0;

  get(key: string): number {
    return this.#numbers.get(key) ?? 0;
  }

  /** Undefined, and nothing changed, where the sum is no safe integer; false where there are too many names. */
  add(key: string, amount: number): number | undefined | false {
    const more = this.#numbers.has(key) ? 0 : bytesOf(key);
    if (more > 0 && (this.#numbers.size >= maxThings || this.#bytes + more > maxNumberBytes)) return false;
    const sum = this.get(key) + amount;
    if (!Number.isSafeInteger(sum)) return undefined;
    this.#numbers.set(key, sum);
    this.#bytes += more;
    return sum;
  }

  snapshot(): Value {
    return [...this.#numbers].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  restore(snapshot: Value): void {
    const entries = v.parse(tableSchema, snapshot);
    this.#numbers.clear();
    this.#bytes = 0;
    for (const [key, number] of entries) {
      this.#numbers.set(key, number);
      this.#bytes += bytesOf(key);
    }
  }
}

function answer(sum: number | undefined | false, key: string, of: (sum: number) => number): Answer {
  if (sum === false) return refused('LIMIT_EXCEEDED', { limit: maxThings, what: 'names' });
  if (sum === undefined) return refused('LIMIT_EXCEEDED', { name: key, what: 'safe integers' });
  return done(of(sum));
}

export class SequenceReducer implements Reducer<SequenceCommand, SequenceQuery> {
  readonly name = 'sequence';
  readonly commands = next;
  readonly queries = last;
  readonly #last = new NumberTable();

  apply(command: SequenceCommand): Answer {
    return answer(this.#last.add(command.name, command.count), command.name, (sum) => sum - command.count + 1);
  }

  query(query: SequenceQuery): Answer {
    return done(this.#last.get(query.name));
  }

  expire(): void {}

  settled(): undefined {
    return undefined;
  }

  snapshot(): Value {
    return this.#last.snapshot();
  }

  restore(snapshot: Value): void {
    this.#last.restore(snapshot);
  }
}

export class CounterReducer implements Reducer<CounterCommand, CounterQuery> {
  readonly name = 'counter';
  readonly commands = add;
  readonly queries = value;
  readonly #sums = new NumberTable();

  apply(command: CounterCommand): Answer {
    return answer(this.#sums.add(command.name, command.amount), command.name, (sum) => sum);
  }

  query(query: CounterQuery): Answer {
    return done(this.#sums.get(query.name));
  }

  expire(): void {}

  settled(): undefined {
    return undefined;
  }

  snapshot(): Value {
    return this.#sums.snapshot();
  }

  restore(snapshot: Value): void {
    this.#sums.restore(snapshot);
  }
}
