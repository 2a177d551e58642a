/** Drives the wheel of deadlines with one timer of the clock, and none at all while nothing is pending. */
import type { Clock, Timer } from '../../clock.ts';
import { type Deadline, DeadlineWheel, tickMs } from './deadlines.ts';

export class DeadlineTimer {
  readonly #clock: Clock;
  readonly #wheel: DeadlineWheel;
  #timer: Timer | undefined;
  #timerAt = Number.POSITIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#wheel = new DeadlineWheel(clock.now());
  }

  get size(): number {
    return this.#wheel.size;
  }

  /** Calls `entry.onDeadline` once `dueAt` has passed; an entry that was there moves. */
  add(entry: Deadline, dueAt: number, now: number): void {
    this.#wheel.add(entry, dueAt, now);
    if (dueAt + tickMs < this.#timerAt) this.#schedule(now);
  }

  remove(entry: Deadline): void {
    this.#wheel.remove(entry);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
  }

  #schedule(now: number): void {
    const at = this.#wheel.nextLookAt();
    this.stop();
    if (at === undefined) return;
    this.#timerAt = at;
    this.#timer = this.#clock.after(Math.max(1, Math.ceil(at - now)), () => this.#look());
  }

  #look(): void {
    this.#timer = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
    for (const entry of this.#wheel.expire(this.#clock.now())) entry.onDeadline();
    // Something due may have added an entry, and with it a timer.
    if (this.#timer === undefined) this.#schedule(this.#clock.now());
  }
}
