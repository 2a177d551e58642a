/**
 * One token bucket whose rate changes while it runs: the local decision of a rate limit.
 *
 * Intuition: tokens drop in at `rate` per second up to `capacity`, and whoever passes takes some out. A share of a limit can be so small that its bucket holds less than one token;
 * so whoever wants more than the bucket can hold passes when it is full, and leaves a debt that later tokens pay.
 *
 * Invariants: between any two moments at most `rate × time + max(capacity, the largest single take)` passes; where rate and capacity change meanwhile, what came in at the rates in
 * force, and the largest capacity and the largest take together. A bucket without rate admits nobody; time that goes back adds nothing. (Turner 1986, as the leaky bucket; with debts it
 * is the virtual scheduling of ITU-T I.371, annex A.)
 */
export class TokenBucket {
  #tokens: number;
  #at: number;
  #ratePerMs: number;
  #capacity: number;

  /** `rate` in tokens per second; `now` in milliseconds. */
  constructor(state: {
    readonly rate: number;
    readonly capacity: number;
    readonly tokens: number;
    readonly now: number;
  }) {
    this.#ratePerMs = state.rate / 1_000;
    this.#capacity = state.capacity;
    this.#tokens = Math.min(state.tokens, state.capacity);
    this.#at = state.now;
  }

  /** True, and the tokens are taken; or false, and nothing has changed. */
  take(tokens: number, now: number): boolean {
    this.#fill(now);
    if (this.#ratePerMs <= 0 || this.#tokens < Math.min(tokens, this.#capacity) - tolerance) return false;
    this.#tokens -= tokens;
    return true;
  }

  /** Puts back what was taken and not used. */
  refund(tokens: number, now: number): void {
    this.#fill(now);
    this.#tokens = Math.min(this.#capacity, this.#tokens + tokens);
  }

  /** Milliseconds until `tokens` could be taken after all that waits before (`ahead`) was; Infinity without a rate. */
  waitMs(tokens: number, ahead: number, now: number): number {
    this.#fill(now);
    const missing = Math.min(tokens, this.#capacity) + ahead - this.#tokens;
    if (missing <= tolerance && this.#ratePerMs > 0) return 0;
    return this.#ratePerMs > 0 ? missing / this.#ratePerMs : Infinity;
  }

  /** From `now` on; what is over the new capacity is lost. */
  reshape(rate: number, capacity: number, now: number): void {
    this.#fill(now);
    this.#ratePerMs = rate / 1_000;
    this.#capacity = capacity;
    this.#tokens = Math.min(this.#tokens, capacity);
  }

  /** Tokens now; below 0 while a debt is paid. */
  level(now: number): number {
    this.#fill(now);
    return this.#tokens;
  }

  isFull(now: number): boolean {
    return this.level(now) >= this.#capacity - tolerance;
  }

  #fill(now: number): void {
    if (now <= this.#at) return;
    const tokens = this.#tokens + (now - this.#at) * this.#ratePerMs;
    this.#tokens = Math.min(tokens, this.#capacity);
    this.#at = now;
  }
}

/** Tokens that rounding may make up: a bucket filled in many small steps is as full as one filled in a single one. */
const tolerance = 1e-6;
