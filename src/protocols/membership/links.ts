/**
 * Which connections to keep: the ring neighbours (about ten, the same seen from both ends), those in use
 * for calls, and never fewer than a minimum. Surplus ones are closed gently, so that a mesh that is just
 * forming, where everybody's neighbours change all the time, does not open and close in circles.
 */
import type { NodeId } from '../../node-id.ts';

export interface LinkTimings {
  /** A connection must have been surplus for this long before it is closed, and the rings unchanged. */
  readonly surplusMs: number;
  /** A connection that carried calls is kept this long after the last one. */
  readonly idleMs: number;
  /** Never fewer connections than this. The small mesh stays fully connected. */
  readonly minLinks: number;
  /** Connections closed in one round at most. */
  readonly prunePerRound: number;
}

export const defaultLinkTimings: LinkTimings = { surplusMs: 10_000, idleMs: 60_000, minLinks: 8, prunePerRound: 4 };

interface Link {
  usedAt: number;
  surplusSince: number | undefined;
}

export class Links {
  readonly #timings: LinkTimings;
  readonly #links = new Map<NodeId, Link>();
  #ringsChangedAt: number;

  constructor(timings: LinkTimings, now: number) {
    this.#timings = timings;
    this.#ringsChangedAt = now;
  }

  get size(): number {
    return this.#links.size;
  }

  has(peer: NodeId): boolean {
    return this.#links.has(peer);
  }

  connected(peer: NodeId): void {
    this.#links.set(peer, { usedAt: Number.NEGATIVE_INFINITY, surplusSince: undefined });
  }

  disconnected(peer: NodeId): void {
    this.#links.delete(peer);
  }

  /** The connection carried something for a call. */
  used(peer: NodeId, now: number): void {
    const link = this.#links.get(peer);
    if (link !== undefined) link.usedAt = now;
  }

  ringsChanged(now: number): void {
    this.#ringsChangedAt = now;
  }

  /** The connections to close now, longest surplus first. */
  takeSurplus(needed: ReadonlySet<NodeId>, now: number): NodeId[] {
    const { surplusMs, idleMs, minLinks, prunePerRound } = this.#timings;
    const surplus: { peer: NodeId; since: number }[] = [];
    for (const [peer, link] of this.#links) {
      if (needed.has(peer)) {
        link.surplusSince = undefined;
        continue;
      }
      link.surplusSince ??= now;
      if (now - link.surplusSince < surplusMs || now - link.usedAt < idleMs) continue;
      surplus.push({ peer, since: link.surplusSince });
    }
    if (now - this.#ringsChangedAt < surplusMs) return [];
    const most = Math.min(prunePerRound, this.#links.size - minLinks);
    surplus.sort((a, b) => a.since - b.since || (a.peer < b.peer ? -1 : 1));
    return surplus.slice(0, Math.max(0, most)).map(({ peer }) => peer);
  }
}
