/**
 * Whether a dial that was answered with our own identity reached ourselves or another process with our key.
 *
 * libp2p fails both alike. But when it was ourselves, our own listener lost a connection in the handshake too,
 * at the same moment. An address alone would not tell: names and address translation give a node addresses it
 * does not know. A coincidence makes us believe in a self-dial for once; the next dial tells.
 */
import type { Clock } from '../../clock.ts';

/** How long the listener's side may trail the dialler's. Guess: both end with the same handshake. */
const waitMs = 300;

export class SelfMeetings {
  readonly #clock: Clock;
  readonly #waiting = new Set<() => void>();
  #lastFailureAt = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves true when our listener lost a connection since then, or does so soon. */
  explain(since: number): Promise<boolean> {
    if (this.#lastFailureAt >= since) return Promise.resolve(true);
    return new Promise((resolve) => {
      const settle = (met: boolean): void => {
        timer.cancel();
        this.#waiting.delete(onFailure);
        resolve(met);
      };
      const onFailure = (): void => settle(true);
      const timer = this.#clock.after(waitMs, () => settle(false));
      this.#waiting.add(onFailure);
    });
  }

  /** Our listener lost a connection within its handshake; true when a dial of ours waits for this explanation. */
  inboundFailed(): boolean {
    this.#lastFailureAt = this.#clock.now();
    const waiting = [...this.#waiting];
    for (const onFailure of waiting) onFailure();
    return waiting.length > 0;
  }
}
