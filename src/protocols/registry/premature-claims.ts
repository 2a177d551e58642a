/**
 * Claims stamped too far in the future to be taken over now. They are not dropped for good: a node that
 * hears of them later would accept them, and all must come to the same view. Bounded by the feeds, which
 * hold the entries themselves.
 */
import type { Clock, Timer } from '../../clock.ts';
import { defaultMaxAheadMs, stampToMs } from '../../hlc.ts';
import type { NodeId } from '../../node-id.ts';
import type { AgentId } from '../../value.ts';

interface PrematureClaim {
  readonly author: NodeId;
  readonly id: AgentId;
  /** Wall clock here, milliseconds since 1970. */
  readonly dueAt: number;
}

/** Each look passes over all that waits, so not too often; and the wall clock may jump, so not too rarely. */
const shortestSleepMs = 1_000;
const longestSleepMs = 60_000;

export class PrematureClaims {
  readonly #clock: Clock;
  readonly #offer: (author: NodeId, id: AgentId) => void;
  readonly #claims = new Map<string, PrematureClaim>();
  #timer: Timer | undefined;

  /** `offer` is called for each claim once it is due, after it was taken out here. */
  constructor(clock: Clock, offer: (author: NodeId, id: AgentId) => void) {
    this.#clock = clock;
    this.#offer = offer;
  }

  get size(): number {
    return this.#claims.size;
  }

  add(author: NodeId, id: AgentId, claimedAt: number): void {
    const dueAt = stampToMs(claimedAt) + 1 - defaultMaxAheadMs;
    this.#claims.set(keyOf(author, id), { author, id, dueAt });
    if (this.#timer === undefined) this.#sleep();
  }

  delete(author: NodeId, id: AgentId): void {
    if (this.#claims.size > 0) this.#claims.delete(keyOf(author, id));
  }

  clear(): void {
    this.#claims.clear();
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #sleep(): void {
    if (this.#claims.size === 0) return;
    let next = Number.POSITIVE_INFINITY;
    for (const { dueAt } of this.#claims.values()) next = Math.min(next, dueAt);
    const delayMs = Math.min(Math.max(next - this.#clock.wallNow(), shortestSleepMs), longestSleepMs);
    this.#timer = this.#clock.after(delayMs, () => this.#wake());
  }

  #wake(): void {
    this.#timer = undefined;
    const now = this.#clock.wallNow();
    const due = [...this.#claims.values()].filter(({ dueAt }) => dueAt <= now);
    for (const { author, id } of due) this.#claims.delete(keyOf(author, id));
    for (const { author, id } of due) this.#offer(author, id);
    if (this.#timer === undefined) this.#sleep();
  }
}

/** Node ids are base58, so the first space ends the author. */
const keyOf = (author: NodeId, id: AgentId): string => `${author} ${id}`;
