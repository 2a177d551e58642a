/**
 * Hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", OPODIS 2014), packed into one number.
 *
 * Intuition: a stamp is wall-clock milliseconds with a counter below them. Reading it never goes back and
 * never repeats, and after hearing a stamp every later reading is greater, so "happened before" implies
 * "has the smaller stamp", while stamps still look like wall time to people.
 *
 * Invariants: readings strictly rise; no reading exceeds the greatest of the wall clock and what was
 * observed by more than the count of readings; a stamp from a clock too far ahead is refused, since
 * taking it over would carry one broken clock to the whole mesh.
 */

/** Stamps per millisecond. With 11 bits the stamps stay safe integers until the year 2109. */
const perMillisecond = 2048;

/** Furthest a remote stamp may be ahead of the local wall clock. Guess: NTP-kept clocks are within 1 s. */
export const defaultMaxAheadMs = 60_000;

export class HybridClock {
  readonly #wallNow: () => number;
  readonly #maxAheadMs: number;
  #last = 0;

  /** `wallNow` gives milliseconds since 1970 and may jump either way. */
  constructor(wallNow: () => number, maxAheadMs: number = defaultMaxAheadMs) {
    this.#wallNow = wallNow;
    this.#maxAheadMs = maxAheadMs;
  }

  /** A stamp greater than every one read or observed before. Compare stamps as numbers. */
  now(): number {
    // A counter that overflows carries into the milliseconds, which keeps the order.
    this.#last = Math.max(Math.floor(this.#wallNow()) * perMillisecond, this.#last + 1);
    return this.#last;
  }

  /** Takes a remote stamp into account. False, and nothing taken over, when it is no stamp or too far ahead. */
  observe(remote: number): boolean {
    if (!Number.isSafeInteger(remote) || remote < 0) return false;
    if (remote > (this.#wallNow() + this.#maxAheadMs) * perMillisecond) return false;
    if (remote > this.#last) this.#last = remote;
    return true;
  }
}

/** The wall-clock part of a stamp, milliseconds since 1970. */
export function stampToMs(stamp: number): number {
  return Math.floor(stamp / perMillisecond);
}
