/**
 * This node's entry under one key, written at once as long as it changes seldom, and at a bounded rate when it changes often: then the newest
 * state is written, and those between are not.
 */
import type { Clock, Timer } from '../../clock.ts';
import type { Value } from '../../value.ts';
import type { SharedEntries } from '../sharing/shared-entries.ts';

/** A loop that sets without end costs the mesh ten entries a second; people and tuners who change something now and then are never held back. */
const perSecond = 10;
const burst = 200;

export interface OwnEntryOptions {
  readonly key: string;
  readonly entries: SharedEntries;
  readonly clock: Clock;
  readonly onError: (error: unknown, where: string) => void;
}

export class OwnEntry {
  readonly #options: OwnEntryOptions;
  #tokens = burst;
  #filledAt: number;
  #timer: Timer | undefined;
  #waiting: { readonly value: Value } | undefined;

  constructor(options: OwnEntryOptions) {
    this.#options = options;
    this.#filledAt = options.clock.now();
  }

  /** Throws what `SharedEntries.set` throws, when it is written at once; later failures are reported. */
  write(value: Value): void {
    this.#waiting = { value };
    if (this.#timer !== undefined) return;
    const waitMs = this.#waitMs();
    if (waitMs <= 0) {
      this.#flush();
      return;
    }
    this.#timer = this.#options.clock.after(waitMs, () => {
      this.#timer = undefined;
      try {
        this.#flush();
      } catch (error) {
        this.#options.onError(error, `entry '${this.#options.key}'`);
      }
    });
  }

  /** Deletes the entry, and forgets what waits to be written. */
  clear(): void {
    this.stop();
    this.#options.entries.delete(this.#options.key);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#waiting = undefined;
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) return;
    this.#tokens -= 1;
    this.#options.entries.set(this.#options.key, waiting.value);
  }

  #waitMs(): number {
    const now = this.#options.clock.now();
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#filledAt) * perSecond) / 1000);
    this.#filledAt = now;
    return ((1 - this.#tokens) * 1000) / perSecond;
  }
}
