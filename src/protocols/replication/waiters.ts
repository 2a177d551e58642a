/** Callers that wait for a feed to reach a place. */
import type { StoreName } from '../../crdt/feeds.ts';
import type { NodeId } from '../../node-id.ts';

/** A place in a feed. */
export interface FeedPosition {
  readonly epoch: number;
  readonly seq: number;
}

interface Waiter {
  readonly position: FeedPosition;
  resolve(): void;
  reject(reason: unknown): void;
}

export class Waiters {
  readonly #waiting = new Map<string, Set<Waiter>>();

  get count(): number {
    let count = 0;
    for (const waiters of this.#waiting.values()) count += waiters.size;
    return count;
  }

  /** Resolves when `reached` is told of that place or a later one; rejects with the signal's reason. */
  wait(author: NodeId, store: StoreName, position: FeedPosition, signal: AbortSignal): Promise<void> {
    const name = `${author}/${store}`;
    const waiters = this.#waiting.get(name) ?? new Set<Waiter>();
    this.#waiting.set(name, waiters);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { position, resolve, reject };
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    waiters.add(waiter);
    return promise.finally(() => {
      signal.removeEventListener('abort', onAbort);
      waiters.delete(waiter);
      if (waiters.size === 0 && this.#waiting.get(name) === waiters) this.#waiting.delete(name);
    });
  }

  reached(author: NodeId, store: StoreName, position: FeedPosition): void {
    if (this.#waiting.size === 0) return;
    for (const waiter of this.#waiting.get(`${author}/${store}`) ?? []) {
      if (hasReached(position, waiter.position)) waiter.resolve();
    }
  }

  rejectAll(reason: Error): void {
    for (const waiters of this.#waiting.values()) for (const waiter of waiters) waiter.reject(reason);
  }
}

/** A later epoch is past every place of an earlier one. */
export function hasReached(at: FeedPosition, wanted: FeedPosition): boolean {
  return at.epoch > wanted.epoch || (at.epoch === wanted.epoch && at.seq >= wanted.seq);
}
