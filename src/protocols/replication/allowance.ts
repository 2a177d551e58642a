/** A token bucket: `perSecond` on average, `burst` at once after a pause. */
import type { Clock } from '../../clock.ts';

export class Allowance {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #burst: number;
  #left: number;
  #at: number;

  constructor(clock: Clock, perSecond: number, burst: number) {
    this.#clock = clock;
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#left = burst;
    this.#at = clock.now();
  }

  /** What may be taken now; negative after more was taken than there was. */
  get left(): number {
    const now = this.#clock.now();
    this.#left = Math.min(this.#burst, this.#left + ((now - this.#at) / 1000) * this.#perSecond);
    this.#at = now;
    return this.#left;
  }

  take(amount: number): void {
    this.#left = this.left - amount;
  }
}
