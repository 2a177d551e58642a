/**
 * What a limiter is asked for, in requests per second, said anew only when it has changed for certain.
 *
 * Intuition: arrivals are counted in slots of 100 ms. A change that stands out of the noise within 300 ms is believed at once, a smaller one when two seconds show it. Noise is that of a Poisson
 * process: of n arrivals √n are chance.
 *
 * Invariants: without arrivals the demand is 0 after two seconds; steady arrivals are known to a tenth or to the noise of two seconds, whichever is more.
 */
export const slotMs = 100;
const fastSlots = 3;
const slots = 20;
/** Fewer are no ground to believe in small changes. */
const leastSlowSlots = 10;
/** Smaller changes are not worth telling. */
const materialChange = 0.1;

export class DemandMeter {
  readonly #counts = new Array<number>(slots).fill(0);
  #slot: number;
  #current = 0;
  /** Slots seen since it began, or since the last sudden change; up to `slots`. */
  #seen = 0;
  #demand = 0;

  constructor(now: number) {
    this.#slot = Math.floor(now / slotMs);
  }

  /** So many requests have come. */
  count(requests: number): void {
    this.#current += requests;
  }

  /** The demand as last believed. */
  get demand(): number {
    return this.#demand;
  }

  /** Arrivals begin after a pause, in which nothing was looked at. */
  begin(now: number): void {
    this.#counts.fill(0);
    this.#slot = Math.floor(now / slotMs);
    this.#current = 0;
    this.#seen = 0;
  }

  /** Nothing has come for two seconds. */
  get isIdle(): boolean {
    return this.#current === 0 && this.#demand === 0 && this.#counts.every((count) => count === 0);
  }

  /** To be called about every `slotMs`. `backlog`: requests that wait, to be served within a second. Answers the demand. */
  look(now: number, backlog: number): number {
    const passed = this.#advance(now);
    // After a standstill it is not known when the requests came; what they are is seen a moment later.
    if (this.#seen === 0 || passed > fastSlots) return this.#demand;
    const fast = this.#within(fastSlots);
    const slow = this.#within(slots);
    if (this.#differs(fast, backlog, 3)) {
      this.#demand = rateOf(fast) + backlog;
      // What was before the change says nothing of what is now.
      this.#seen = Math.min(this.#seen, fastSlots);
    } else if (this.#seen >= leastSlowSlots && this.#differs(slow, backlog, 1)) {
      this.#demand = rateOf(slow) + backlog;
    }
    return this.#demand;
  }

  #differs(seen: Counted, backlog: number, deviations: number): boolean {
    const demand = rateOf(seen) + backlog;
    if (Math.abs(demand - this.#demand) <= materialChange * this.#demand) return false;
    const expected = (this.#demand * seen.ms) / 1_000;
    const got = (demand * seen.ms) / 1_000;
    return Math.abs(got - expected) >= deviations * Math.sqrt(Math.max(got, expected));
  }

  #within(span: number): Counted {
    const covered = Math.min(span, this.#seen);
    let requests = 0;
    for (let back = 1; back <= covered; back++) requests += this.#counts[modulo(this.#slot - back)] as number;
    return { requests, ms: covered * slotMs };
  }

  /** Answers how many slots have passed. */
  #advance(now: number): number {
    const slot = Math.floor(now / slotMs);
    const passed = slot - this.#slot;
    if (passed <= 0) return 0;
    for (let step = 0; step < Math.min(passed, slots); step++) this.#counts[modulo(slot - 1 - step)] = 0;
    // What came since the last look is spread evenly over the slots that have passed: a process that stood still has not seen a peak.
    const over = Math.min(passed, slots);
    for (let step = 0; step < over; step++) this.#counts[modulo(slot - 1 - step)] = this.#current / over;
    this.#current = 0;
    this.#slot = slot;
    this.#seen = Math.min(slots, this.#seen + passed);
    return passed;
  }
}

interface Counted {
  readonly requests: number;
  readonly ms: number;
}

const modulo = (slot: number): number => ((slot % slots) + slots) % slots;
const rateOf = ({ requests, ms }: Counted): number => (requests * 1_000) / ms;
