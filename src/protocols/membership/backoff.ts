/** Waits that grow from one attempt to the next, with jitter so that many nodes do not come at once. */
import type { Rng } from '../../clock.ts';

export class Backoff {
  readonly #rng: Rng;
  readonly #firstMs: number;
  readonly #maxMs: number;
  #nextMs: number;

  constructor(rng: Rng, firstMs: number, maxMs: number) {
    this.#rng = rng;
    this.#firstMs = firstMs;
    this.#maxMs = maxMs;
    this.#nextMs = firstMs;
  }

  /** The next wait, at least `atLeastMs`: doubles each time up to the maximum, ± 25 %. */
  next(atLeastMs = 0): number {
    const base = Math.max(this.#nextMs, atLeastMs);
    this.#nextMs = Math.min(this.#maxMs, base * 2);
    return Math.min(this.#maxMs, base) * (0.75 + 0.5 * this.#rng.float());
  }

  reset(): void {
    this.#nextMs = this.#firstMs;
  }
}
