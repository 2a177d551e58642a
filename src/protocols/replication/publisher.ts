/**
 * Turns local writes into broadcasts: a change after silence goes out at the end of the present turn of the
 * event loop, those of the next few milliseconds are gathered into one envelope.
 */
import type { Clock, Timer } from '../../clock.ts';
import type { FeedStore } from '../../crdt/feed-store.ts';

export interface PublisherParts {
  readonly store: FeedStore;
  readonly clock: Clock;
  /** Changes within this time after a flush go out together. */
  readonly coalesceMs: number;
  /** Sends one envelope; its failure is the callee's to report. */
  send(envelope: Uint8Array): Promise<void>;
}

export class Publisher {
  readonly #parts: PublisherParts;
  readonly #sending = new Set<Promise<void>>();
  readonly #stopListening: () => void;
  #started = false;
  #scheduled = false;
  #timer: Timer | undefined;
  #lastFlush = Number.NEGATIVE_INFINITY;

  constructor(parts: PublisherParts) {
    this.#parts = parts;
    this.#stopListening = parts.store.on('dirty', () => this.#schedule());
  }

  /** Envelopes handed to the network and not yet taken by it. */
  get sending(): number {
    return this.#sending.size;
  }

  /** Until now writes were only kept. */
  start(): void {
    this.#started = true;
    if (this.#parts.store.dirty) this.#schedule();
  }

  /** Sends out what was written, and resolves when the network has taken all that was sent until now. */
  async flush(): Promise<void> {
    this.flushNow();
    await Promise.all(this.#sending);
  }

  stop(): void {
    this.#stopListening();
    this.#started = false;
    this.#timer?.cancel();
  }

  #schedule(): void {
    if (!this.#started || this.#scheduled) return;
    this.#scheduled = true;
    const wait = this.#lastFlush + this.#parts.coalesceMs - this.#parts.clock.now();
    if (wait > 0) {
      this.#timer = this.#parts.clock.after(wait, () => this.flushNow());
      return;
    }
    // Not within the caller's turn: what it writes in one go belongs together.
    queueMicrotask(() => {
      if (this.#scheduled && this.#started) this.flushNow();
    });
  }

  /** Sends out what was written, within this call as far as the network takes it. */
  flushNow(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#scheduled = false;
    if (!this.#started || !this.#parts.store.dirty) return;
    this.#lastFlush = this.#parts.clock.now();
    for (const envelope of this.#parts.store.flush()) {
      const sent: Promise<void> = this.#parts.send(envelope).finally(() => this.#sending.delete(sent));
      this.#sending.add(sent);
    }
  }
}
