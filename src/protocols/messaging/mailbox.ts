/**
 * The bounded queue before one agent, and how many of its invocations run. Pure. Invariants:
 * `running <= maxConcurrent`, `queued <= capacity`, nothing waits while a place to run is free, and what
 * waits runs in order of arrival.
 */

/** Set by the mailbox on what it holds; an item waits in one mailbox at a time. */
export interface MailboxItem {
  /** Given up while it waited (deadline, cancellation): skipped when its turn comes. */
  withdrawn: boolean;
}

export class Mailbox<Item extends MailboxItem> {
  readonly maxConcurrent: number;
  readonly capacity: number;
  #waiting: Item[] = [];
  #first = 0;
  #queued = 0;
  #running = 0;

  constructor(maxConcurrent: number, capacity: number) {
    this.maxConcurrent = maxConcurrent;
    this.capacity = capacity;
  }

  get running(): number {
    return this.#running;
  }

  /** Without the withdrawn ones. */
  get queued(): number {
    return this.#queued;
  }

  get idle(): boolean {
    return this.#running === 0 && this.#queued === 0;
  }

  /** Where an arriving item goes: it runs now, waits, or is refused. */
  offer(item: Item): 'run' | 'wait' | 'full' {
    if (this.#running < this.maxConcurrent) {
      this.#running += 1;
      return 'run';
    }
    if (this.#queued >= this.capacity) return 'full';
    item.withdrawn = false;
    this.#waiting.push(item);
    this.#queued += 1;
    return 'wait';
  }

  /** One invocation is over; the next to run in its place, if any waits. */
  finish(): Item | undefined {
    if (this.#waiting.length === 0) {
      this.#running -= 1;
      return undefined;
    }
    while (this.#first < this.#waiting.length) {
      const item = this.#waiting[this.#first] as Item;
      this.#first += 1;
      if (item.withdrawn) continue;
      this.#queued -= 1;
      this.#compact();
      return item;
    }
    this.#compact();
    this.#running -= 1;
    return undefined;
  }

  /** An item that waits here is given up. */
  withdraw(item: Item): void {
    if (item.withdrawn) return;
    item.withdrawn = true;
    this.#queued -= 1;
    // Withdrawn items keep their place until their turn comes; more of them than live ones are swept out.
    if (this.#waiting.length - this.#first > 2 * this.#queued + 32) {
      this.#waiting = this.#waiting.slice(this.#first).filter((waiting) => !waiting.withdrawn);
      this.#first = 0;
    }
  }

  /** Empties the queue; answers what waited, in order. */
  clear(): Item[] {
    const waiting = this.#waiting.slice(this.#first).filter((item) => !item.withdrawn);
    this.#waiting = [];
    this.#first = 0;
    this.#queued = 0;
    for (const item of waiting) item.withdrawn = true;
    return waiting;
  }

  /** Taking from the front of an array is linear, so the front moves and is cut off now and then. */
  #compact(): void {
    if (this.#first === this.#waiting.length) {
      this.#waiting.length = 0;
      this.#first = 0;
    } else if (this.#first > 64 && this.#first * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#first);
      this.#first = 0;
    }
  }
}
