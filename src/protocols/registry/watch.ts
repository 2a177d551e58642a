/**
 * One reader's view of the changes of a matching set.
 *
 * Criteria are functions of the record alone, so whether an agent comes into the set, changes in it or
 * leaves it is known from a change by itself. What the reader has not taken yet waits in a bounded queue;
 * beyond the bound only the newest state of each agent is kept and told relative to what the reader
 * knows, so a slow reader costs memory by agents, never by changes, and still ends up right.
 */
import type { Test } from '../../crdt/registry-criteria.ts';
import type { AgentRecord } from '../../crdt/registry-record.ts';
import type { ViewChange } from '../../crdt/registry-view.ts';
import type { AgentId } from '../../value.ts';
import type { RegistryEvent } from './registry.ts';

/** Events that wait for a reader, besides those of the beginning. Guess: seconds of a busy mesh, a few MB. */
const maxWaiting = 10_000;

function matches(record: AgentRecord, tests: readonly Test[]): boolean {
  for (const test of tests) if (!test.holds(record)) return false;
  return true;
}

/** What a change means to somebody who watches only records that pass the tests. */
function eventOf(change: ViewChange, tests: readonly Test[]): RegistryEvent | undefined {
  const { record } = change;
  const is = matches(record, tests);
  if (change.type !== 'update') return is ? change : undefined;
  const was = matches(change.previous, tests);
  if (is) return was ? change : { type: 'up', record };
  return was ? { type: 'down', record, reason: 'no-match' } : undefined;
}

export class WatchCursor implements AsyncIterableIterator<RegistryEvent> {
  readonly #tests: readonly Test[];
  readonly #onEnd: () => void;
  readonly #limit: number;
  #queue: RegistryEvent[];
  #taken = 0;
  /** The newest event of each agent, once the queue was full; undefined before. */
  #newest: Map<AgentId, RegistryEvent> | undefined;
  /** What the reader was told is there. */
  readonly #known = new Map<AgentId, AgentRecord>();
  readonly #readers: ((result: IteratorResult<RegistryEvent>) => void)[] = [];
  #ended = false;

  /** Begins with an `up` for each of `present`, which must pass the tests. `onEnd` is called once. */
  constructor(present: readonly AgentRecord[], tests: readonly Test[], onEnd: () => void) {
    this.#tests = tests;
    this.#onEnd = onEnd;
    this.#queue = present.map((record) => ({ type: 'up', record }));
    this.#limit = maxWaiting + present.length;
  }

  /** Events that wait to be read; bounded. */
  get waiting(): number {
    return this.#queue.length - this.#taken + (this.#newest?.size ?? 0);
  }

  onChanges(changes: readonly ViewChange[]): void {
    for (const change of changes) {
      const event = eventOf(change, this.#tests);
      if (event !== undefined) this.#push(event);
    }
  }

  #push(event: RegistryEvent): void {
    const reader = this.#readers.shift();
    if (reader !== undefined) reader({ done: false, value: this.#tell(event) });
    else if (this.#newest !== undefined) this.#newest.set(event.record.id, event);
    else {
      this.#queue.push(event);
      if (this.waiting > this.#limit) this.#coalesce();
    }
  }

  #coalesce(): void {
    this.#newest = new Map();
    for (const event of this.#queue.slice(this.#taken)) this.#newest.set(event.record.id, event);
    this.#queue = [];
    this.#taken = 0;
  }

  #tell(event: RegistryEvent): RegistryEvent {
    if (event.type === 'down') this.#known.delete(event.record.id);
    else this.#known.set(event.record.id, event.record);
    return event;
  }

  #take(): RegistryEvent | undefined {
    const event = this.#queue[this.#taken];
    if (event !== undefined) {
      this.#taken += 1;
      if (this.#taken === this.#queue.length || this.#taken === 4096) {
        this.#queue = this.#queue.slice(this.#taken);
        this.#taken = 0;
      }
      return this.#tell(event);
    }
    for (const [id, newest] of this.#newest ?? []) {
      this.#newest?.delete(id);
      const relative = this.#relativeToKnown(newest);
      if (relative !== undefined) return this.#tell(relative);
    }
    this.#newest = undefined;
    return undefined;
  }

  /** The step from what the reader knows to the newest state; undefined where there is none. */
  #relativeToKnown(newest: RegistryEvent): RegistryEvent | undefined {
    const { record } = newest;
    const known = this.#known.get(record.id);
    if (newest.type === 'down') return known === undefined ? undefined : newest;
    if (known === undefined) return { type: 'up', record };
    return known === record ? undefined : { type: 'update', record, previous: known };
  }

  next(): Promise<IteratorResult<RegistryEvent>> {
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    const event = this.#take();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    return new Promise((resolve) => this.#readers.push(resolve));
  }

  return(): Promise<IteratorResult<RegistryEvent>> {
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Ends at once: what waits is not told any more. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#queue = [];
    this.#newest = undefined;
    this.#known.clear();
    for (const reader of this.#readers.splice(0)) reader({ done: true, value: undefined });
    this.#onEnd();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
