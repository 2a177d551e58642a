/** Waits for the next thing worth waking up for: something heard, some time gone, or the end of all waiting. */
import type { Clock } from '../../../clock.ts';

export class Bell<T> {
  readonly #clock: Clock;
  #heard: { readonly value: T } | undefined;
  #wake: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Only the latest is kept until somebody listens. */
  ring(value: T): void {
    this.#heard = { value };
    this.#wake?.();
  }

  /** What was rung, or undefined after `ms`. Rejects with the reason of `signal`. One listener at a time. */
  next(ms: number, signal: AbortSignal): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      const end = (settle: () => void): void => {
        this.#wake = undefined;
        timer.cancel();
        signal.removeEventListener('abort', onAbort);
        settle();
      };
      const take = (): void => {
        const heard = this.#heard;
        this.#heard = undefined;
        end(() => resolve(heard?.value));
      };
      const onAbort = (): void => end(() => reject(signal.reason));
      const timer = this.#clock.after(ms, take);
      signal.addEventListener('abort', onAbort, { once: true });
      this.#wake = take;
      if (signal.aborted) onAbort();
      else if (this.#heard !== undefined) take();
    });
  }
}
