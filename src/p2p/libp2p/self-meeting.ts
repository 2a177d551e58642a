/**
 * Whether a dial that was answered with our own identity reached ourselves or another process with our key.
 *
 * libp2p fails both alike. But when it was ourselves, our own listener met our own identity too, at the same
 * moment. An address alone would not tell: names and address translation give a node addresses it does not know.
 */
import type { Clock } from '../../clock.ts';

/** How long the listener's side may trail the dialler's. Guess: both end with the same handshake. */
const waitMs = 300;

export class SelfMeetings {
  readonly #clock: Clock;
  readonly #waiting = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves true when our listener meets ourselves now. */
  expect(): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (met: boolean): void => {
        timer.cancel();
        this.#waiting.delete(onMet);
        resolve(met);
      };
      const onMet = (): void => settle(true);
      const timer = this.#clock.after(waitMs, () => settle(false));
      this.#waiting.add(onMet);
    });
  }

  /** Our listener met our own identity; true when a dial of ours explains it. */
  met(): boolean {
    const waiting = [...this.#waiting];
    for (const met of waiting) met();
    return waiting.length > 0;
  }
}
