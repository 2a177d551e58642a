/**
 * One alarm that is set anew with nearly every step, mostly to a later time. So a timer that would come too early is left alone and set again when it comes: a
 * busy replica would otherwise make and cancel thousands of timers each second. For the same reason it never rings early, as timers of Node do by up to
 * a millisecond and more (they count from the start of the turn): a core that is woken too early sees nothing to do and asks for nothing.
 */
import type { Clock, Timer } from '../../../clock.ts';

export class Alarm {
  readonly #clock: Clock;
  readonly #ring: () => void;
  #at = Number.POSITIVE_INFINITY;
  #timer: Timer | undefined;
  #timerAt = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock;
    this.#ring = ring;
  }

  /** Rings once at this time of the monotonic clock or later, in place of what was set before. */
  set(atMs: number): void {
    this.#at = atMs;
    if (atMs < this.#timerAt) this.#arm();
  }

  cancel(): void {
    this.#at = Number.POSITIVE_INFINITY;
    this.#disarm();
  }

  #arm(): void {
    this.#disarm();
    if (this.#at === Number.POSITIVE_INFINITY) return;
    this.#timerAt = this.#at;
    this.#timer = this.#clock.after(Math.max(0, this.#at - this.#clock.now()), () => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.#timer = undefined;
      if (this.#clock.now() < this.#at) {
        this.#arm();
        return;
      }
      this.#at = Number.POSITIVE_INFINITY;
      this.#ring();
    });
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
  }
}
