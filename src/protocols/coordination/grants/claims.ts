/** What the reducer of grants remembers: claims, what they are on, and for a while how they ended. */
import type { NodeId } from '../../../node-id.ts';
import type { Ending } from './commands.ts';
import type { GrantSort } from './grants.ts';

/** One acquisition, waiting or holding. */
export interface Claim {
  /** Node and id: the id is the node's word, so it means something only together with the node. */
  readonly key: string;
  readonly node: NodeId;
  readonly id: string;
  readonly name: string;
  readonly count: number;
  readonly leaseMs: number;
  readonly value: Uint8Array | undefined;
  /** 0 while it waits. */
  token: number;
  /** Agreed time at which the wait or the lease is over. */
  until: number;
}

/** Something of which there are `permits`. It is there while somebody holds it or waits for it. */
export interface Resource {
  readonly name: string;
  readonly sort: GrantSort;
  readonly permits: number;
  used: number;
  /** By key, in the order of their tokens. */
  readonly holders: Map<string, Claim>;
  /** By key, in the order in which they will be granted. */
  readonly waiters: Map<string, Claim>;
}

export const claimKey = (node: string, id: string): string => `${node}/${id}`;

/** Longer than a command may be under way. */
const rememberMs = 120_000;
const maxPerNode = 128;
const maxInAll = 20_000;

interface Ended {
  readonly node: NodeId;
  readonly how: Ending;
  readonly at: number;
}

/**
 * How claims ended, so that an acquire that comes after its own withdrawal does not begin to wait for nobody. Bounded per node, so
 * that none can make another's be forgotten; beyond the bound a lease has to do.
 */
export class EndedClaims {
  readonly #ended = new Map<string, Ended>();
  readonly #byNode = new Map<NodeId, Set<string>>();

  get(key: string): Ending | undefined {
    return this.#ended.get(key)?.how;
  }

  get size(): number {
    return this.#ended.size;
  }

  /** `at` never falls from call to call. */
  add(key: string, node: NodeId, how: Ending, at: number): void {
    this.#delete(key);
    const keys = this.#byNode.get(node) ?? new Set();
    this.#byNode.set(node, keys);
    this.#ended.set(key, { node, how, at });
    keys.add(key);
    if (keys.size > maxPerNode) this.#deleteFirst(keys);
    if (this.#ended.size > maxInAll) this.#deleteFirst(this.#ended.keys());
  }

  forgetOld(time: number): void {
    for (const [key, { at }] of this.#ended) {
      if (at + rememberMs > time) return;
      this.#delete(key);
    }
  }

  /** Oldest first. */
  all(): [key: string, node: string, how: Ending, at: number][] {
    return [...this.#ended].map(([key, { node, how, at }]) => [key, node, how, at]);
  }

  clear(): void {
    this.#ended.clear();
    this.#byNode.clear();
  }

  #deleteFirst(keys: Iterable<string>): void {
    for (const key of keys) {
      this.#delete(key);
      return;
    }
  }

  #delete(key: string): void {
    const ended = this.#ended.get(key);
    if (ended === undefined) return;
    this.#ended.delete(key);
    const keys = this.#byNode.get(ended.node);
    keys?.delete(key);
    if (keys?.size === 0) this.#byNode.delete(ended.node);
  }
}
