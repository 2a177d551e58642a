/** A binary heap of events by time, and by order of scheduling where times are equal. */
import type { Timer } from '../../clock.ts';

export interface ScheduledEvent extends Timer {
  readonly at: number;
  readonly fire: () => void;
}

interface Entry extends ScheduledEvent {
  readonly order: number;
  cancelled: boolean;
}

export class EventQueue {
  readonly #heap: Entry[] = [];
  #order = 0;

  push(at: number, fire: () => void): ScheduledEvent {
    const entry: Entry = {
      at,
      fire,
      order: this.#order,
      cancelled: false,
      cancel: () => {
        entry.cancelled = true;
      },
    };
    this.#order += 1;
    this.#heap.push(entry);
    this.#rise(this.#heap.length - 1);
    return entry;
  }

  /** The next event that was not cancelled. */
  peek(): ScheduledEvent | undefined {
    while (this.#heap[0]?.cancelled === true) this.#removeFirst();
    return this.#heap[0];
  }

  pop(): ScheduledEvent | undefined {
    const first = this.peek();
    if (first !== undefined) this.#removeFirst();
    return first;
  }

  #removeFirst(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#sink(0);
  }

  #rise(start: number): void {
    for (let at = start; at > 0; ) {
      const parent = (at - 1) >> 1;
      if (!this.#before(at, parent)) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  #sink(start: number): void {
    for (let at = start; ; ) {
      const left = 2 * at + 1;
      const right = left + 1;
      let least = at;
      if (left < this.#heap.length && this.#before(left, least)) least = left;
      if (right < this.#heap.length && this.#before(right, least)) least = right;
      if (least === at) return;
      this.#swap(at, least);
      at = least;
    }
  }

  #before(a: number, b: number): boolean {
    const left = this.#heap[a] as Entry;
    const right = this.#heap[b] as Entry;
    return left.at < right.at || (left.at === right.at && left.order < right.order);
  }

  #swap(a: number, b: number): void {
    const left = this.#heap[a] as Entry;
    this.#heap[a] = this.#heap[b] as Entry;
    this.#heap[b] = left;
  }
}
