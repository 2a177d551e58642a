/**
 * How long a neighbour that passes on rejected messages is put up with.
 *
 * Intuition: a leaky bucket per neighbour. Each rejected message adds one, time drains it, and a bucket
 * that overflows cuts the neighbour off. An honest neighbour never fills it, because it validates before it
 * passes on; a single rejection after an upgrade or a race is forgiven. Gossipsub keeps a score of its own,
 * which stops listening to such a peer but keeps its connection; this one closes it.
 *
 * Invariant: at most one bucket per peer that misbehaved within the drain time, and at most `maxPeers`.
 */
import type { Clock } from '../clock.ts';
import type { NodeId } from '../node-id.ts';

/** Rejections within about `drainMs` that cut a neighbour off. Guess: far above any honest race, and reached by a flood in milliseconds. */
export const rejectionsTolerated = 20;
/** An emptied bucket after this long without rejections. Guess. */
const drainMs = 60_000;
/** How long a neighbour that overflowed its bucket stays out. Guess. */
export const misbehaviourBanMs = 60_000;
const maxPeers = 4_096;

export class Reputation {
  readonly #clock: Clock;
  readonly #buckets = new Map<NodeId, { level: number; at: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts one rejected message; true when the neighbour should be cut off now. */
  rejected(peer: NodeId): boolean {
    const now = this.#clock.now();
    const bucket = this.#buckets.get(peer);
    const drained = bucket === undefined ? 0 : ((now - bucket.at) / drainMs) * rejectionsTolerated;
    const level = Math.max(0, (bucket?.level ?? 0) - drained) + 1;
    this.#buckets.delete(peer);
    if (level > rejectionsTolerated) return true;
    if (this.#buckets.size >= maxPeers) {
      // The oldest entry is the first: each rejection moves its peer to the end.
      const oldest = this.#buckets.keys().next().value;
      if (oldest !== undefined) this.#buckets.delete(oldest);
    }
    this.#buckets.set(peer, { level, at: now });
    return false;
  }
}
