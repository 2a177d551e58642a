/**
 * Finds the way back after a partition: as long as the node runs it dials members that are unreachable or
 * removed, two at a time, less and less often. One success is enough, for what the two sides then learn
 * from each other brings back all the rest.
 */
import type { Clock, Rng, Timer } from '../../clock.ts';
import type { NodeId } from '../../node-id.ts';
import { Backoff } from './backoff.ts';

/** Dials of one round. */
const perRound = 2;

export class Healer {
  readonly #clock: Clock;
  readonly #rng: Rng;
  readonly #backoff: Backoff;
  readonly #lost: () => readonly NodeId[];
  readonly #dial: (peer: NodeId) => void;
  #timer: Timer | undefined;
  #dueAt = Number.POSITIVE_INFINITY;
  #stopped = false;

  /** `lost` lists the members to look for. */
  constructor(
    clock: Clock,
    rng: Rng,
    timings: { readonly firstMs: number; readonly maxMs: number },
    lost: () => readonly NodeId[],
    dial: (peer: NodeId) => void,
  ) {
    this.#clock = clock;
    this.#rng = rng;
    this.#backoff = new Backoff(rng, timings.firstMs, timings.maxMs);
    this.#lost = lost;
    this.#dial = dial;
  }

  /** Somebody was lost, or somebody came back and more may follow: look soon and often again. */
  hurry(): void {
    this.#backoff.reset();
    const wait = this.#backoff.next();
    this.#backoff.reset();
    // Many calls in a row must not put off what is due.
    if (this.#dueAt <= this.#clock.now() + wait) return;
    this.#arm(wait);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #arm(waitMs: number): void {
    if (this.#stopped) return;
    this.#timer?.cancel();
    this.#dueAt = this.#clock.now() + waitMs;
    this.#timer = this.#clock.after(waitMs, () => {
      this.#dueAt = Number.POSITIVE_INFINITY;
      const lost = [...this.#lost()];
      if (lost.length === 0) return;
      for (let round = 0; round < perRound && lost.length > 0; round++) {
        const [peer] = lost.splice(this.#rng.below(lost.length), 1);
        if (peer !== undefined) this.#dial(peer);
      }
      this.#arm(this.#backoff.next());
    });
  }
}
