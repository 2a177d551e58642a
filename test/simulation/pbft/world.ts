/**
 * Virtual time and a bad network. Everything that happens is an event in one queue, ordered by time and then
 * by creation; with one seeded generator, equal seeds give equal runs.
 */
import { type Rng, seededRng } from '../../../src/clock.ts';
import type { NodeId } from '../../../src/node-id.ts';

interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

export interface Conditions {
  /** Milliseconds. */
  minDelay: number;
  maxDelay: number;
  /** Probabilities. */
  loss: number;
  duplication: number;
  /** Now and then a message takes this much longer. */
  straggle: number;
  stragglerMs: number;
}

export const calm: Conditions = { minDelay: 0.5, maxDelay: 3, loss: 0, duplication: 0, straggle: 0, stragglerMs: 0 };

export class World {
  readonly rng: Rng;
  now = 0;
  conditions: Conditions;
  events = 0;
  readonly #heap: Event[] = [];
  #order = 0;
  readonly #receivers = new Map<NodeId, (from: NodeId, bytes: Uint8Array) => void>();
  /** Directed links that deliver nothing. */
  readonly #cut = new Set<string>();
  /** The last lines of what happened, for a failure's report. */
  readonly trace: string[] = [];
  tracing = false;

  constructor(seed: number, conditions: Conditions) {
    this.rng = seededRng(seed);
    this.conditions = conditions;
  }

  note(line: () => string): void {
    if (this.tracing) this.trace.push(`${this.now.toFixed(1).padStart(9)}  ${line()}`);
  }

  at(time: number, run: () => void): void {
    this.#push({ at: Math.max(time, this.now), order: this.#order++, run });
  }

  after(delay: number, run: () => void): void {
    this.at(this.now + delay, run);
  }

  attach(id: NodeId, receive: (from: NodeId, bytes: Uint8Array) => void): void {
    this.#receivers.set(id, receive);
  }

  cut(from: NodeId, to: NodeId): void {
    this.#cut.add(`${from}>${to}`);
  }

  heal(): void {
    this.#cut.clear();
  }

  send(from: NodeId, to: NodeId, bytes: Uint8Array): void {
    const { conditions, rng } = this;
    if (this.#cut.has(`${from}>${to}`) || (conditions.loss > 0 && rng.float() < conditions.loss)) return;
    const copies = conditions.duplication > 0 && rng.float() < conditions.duplication ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      let delay = conditions.minDelay + rng.float() * (conditions.maxDelay - conditions.minDelay);
      if (conditions.straggle > 0 && rng.float() < conditions.straggle) delay += rng.float() * conditions.stragglerMs;
      this.after(delay, () => this.#receivers.get(to)?.(from, bytes));
    }
  }

  /** Runs until `done` says so, nothing is left, or virtual time is up. */
  run(until: number, done: () => boolean): void {
    let check = 0;
    for (;;) {
      const event = this.#heap[0];
      if (event === undefined || event.at > until) return;
      this.#pop();
      this.now = event.at;
      this.events++;
      event.run();
      if (++check % 32 === 0 && done()) return;
    }
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(event, heap[parent] as Event)) break;
      heap[index] = heap[parent] as Event;
      index = parent;
    }
    heap[index] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Event;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Event, heap[child] as Event)) child++;
      if (!before(heap[child] as Event, last)) break;
      heap[index] = heap[child] as Event;
      index = child;
    }
    heap[index] = last;
  }
}

function before(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
