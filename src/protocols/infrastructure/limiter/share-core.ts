/**
 * What one node may admit of a limit that many share: a pure state machine over what the others say.
 *
 * Intuition: `divide` tells everybody's target from everybody's demand. Who has more than its target gives it up at once; who has less takes only what the others have let go of, as far
 * as it has heard. So between two nodes with different knowledge a part of the rate is rather unused for a moment than used twice.
 *
 * Invariants, for nodes that follow this:
 * - a node's share is never above what it has said;
 * - it raises its share at most to `rate − Σ max(claim, target)` over the others, a claim being what was last heard;
 * - the claim of a node that has gone silent is left alone until the node is known to be gone, because behind a partition it still uses it;
 * - so the sum is at most the rate, but for nodes whose targets differ because a change of demand, of the live nodes or of a share is still under way between them.
 *
 * A claim above what its node was entitled to within the last five seconds is not believed, so a liar keeps nothing from the others for longer.
 */
import type { NodeId } from '../../../node-id.ts';
import type { Standing } from '../../sharing/shared-entries.ts';
import type { LimitEntry } from './limit-entries.ts';
import { type Claim, type Distribution, divide } from './shares.ts';

/** How long a new node listens before it takes what nobody claims, and believes every claim. */
export const settleMs = 250;
/** A claim may be as high as any target of its node within so long: longer than it takes to notice that a node does not answer, whose claim was all right when it was last heard. */
const memoryMs = 5_000;
/** Former targets remembered of one node: one whose demand falls little by little would otherwise leave hundreds. */
const maxTargets = 32;
/** A claim that is over its target by no more is held to be on its way down. */
const tolerance = 0.02;
/** Of its share a node bothers to raise by. */
const worthRaising = 0.01;

export interface ShareView {
  readonly now: number;
  /** Of live nodes in scope, this one left out. */
  readonly entries: ReadonlyMap<NodeId, LimitEntry>;
  /** Live nodes in scope, this one included, whether they take part or not. */
  readonly live: number;
  /** Of those that use a part of the rate without an entry for it. */
  readonly reserved: number;
  /** This node's demand, as the others were told. */
  readonly demand: number;
  standing(node: NodeId): Standing;
  capacityOf(node: NodeId): number | undefined;
}

export interface ShareVerdict {
  /** What this node may take once it has said so; at least its share. */
  readonly allowed: number;
  /** When something may change though nothing is heard; undefined: never. */
  readonly lookAgainMs: number | undefined;
}

interface Target {
  readonly share: number;
  /** When it was replaced; undefined for the present one. */
  endedAt: number | undefined;
}

interface Peer {
  claimed: number;
  /** Falling, the present one last: those of the last `memoryMs` that no later one exceeds. */
  targets: Target[];
  /** Its claim when it went silent. */
  frozen: number | undefined;
}

export class ShareCore {
  readonly #self: NodeId;
  readonly #rate: number;
  readonly #distribution: Distribution;
  readonly #peers = new Map<NodeId, Peer>();
  #startedAt = 0;
  #share = 0;

  constructor({ self, rate, distribution }: { self: NodeId; rate: number; distribution: Distribution }) {
    this.#self = self;
    this.#rate = rate;
    this.#distribution = distribution;
  }

  /** What this node may admit per second. */
  get share(): number {
    return this.#share;
  }

  /**
   * Alone, it has everything at once. Where others already share the limit, nothing; where none is heard of, an equal part, as each of the others may take that begins at the same time.
   */
  begin(view: ShareView): void {
    this.#startedAt = view.now;
    if (view.live <= 1) this.#share = this.#budget(view);
    else this.#share = view.entries.size > 0 ? 0 : Math.min(this.#budget(view), this.#rate / view.live);
  }

  /** Something was heard, or is this node's own demand. Lowers the share at once where it is above the target; raising waits for `raise`. */
  look(view: ShareView): ShareVerdict {
    const frozen = this.#follow(view);
    const target = this.#retarget(view, frozen);
    const settling = view.live > 1 ? settleMs - (view.now - this.#startedAt) : 0;
    if (target < this.#share) this.#share = target;
    let free = this.#budget(view) - frozen;
    for (const peer of this.#peers.values()) {
      if (peer.frozen === undefined) free -= this.#reserveFor(peer, settling > 0);
    }
    const allowed = settling > 0 ? this.#share : Math.max(this.#share, Math.min(target, free));
    const held = target - allowed > worthRaising * target;
    return { allowed, lookAgainMs: settling > 0 ? settling : held ? this.#untilForgotten(view.now) : undefined };
  }

  /** Milliseconds until the first former target is not remembered any more. */
  #untilForgotten(now: number): number | undefined {
    let first = Infinity;
    for (const { targets } of this.#peers.values()) first = Math.min(first, targets[0]?.endedAt ?? Infinity);
    return first === Infinity ? undefined : Math.max(1, first + memoryMs - now);
  }

  /** This node has said that it takes so much, at most what it is allowed. */
  raise(share: number): void {
    this.#share = share;
  }

  #budget(view: ShareView): number {
    return Math.max(0, this.#rate - view.reserved);
  }

  /** Takes over what is heard, and answers what silent nodes keep. */
  #follow({ entries, standing }: ShareView): number {
    for (const [node, { share }] of entries) {
      const peer = this.#peers.get(node);
      if (peer === undefined) this.#peers.set(node, { claimed: share, targets: [], frozen: undefined });
      else {
        peer.claimed = share;
        peer.frozen = undefined;
      }
    }
    let frozen = 0;
    for (const [node, peer] of this.#peers) {
      if (entries.has(node)) continue;
      if (standing(node) !== 'silent') this.#peers.delete(node);
      else frozen += peer.frozen ??= this.#believed(peer);
    }
    return frozen;
  }

  /** Targets of all that take part and are live; answers this node's. */
  #retarget(view: ShareView, frozen: number): number {
    const nodes = [...view.entries.keys()];
    const claims: Claim[] = nodes.map((node) => ({
      demand: view.entries.get(node)?.demand ?? 0,
      capacity: view.capacityOf(node),
    }));
    claims.push({ demand: view.demand, capacity: view.capacityOf(this.#self) });
    const targets = divide(Math.max(0, this.#budget(view) - frozen), this.#distribution, claims);
    nodes.forEach((node, at) => {
      const peer = this.#peers.get(node);
      if (peer !== undefined) remember(peer, targets[at] as number, view.now);
    });
    return targets.at(-1) as number;
  }

  #reserveFor(peer: Peer, settling: boolean): number {
    const target = peer.targets.at(-1)?.share ?? 0;
    const claim = settling ? Math.min(peer.claimed, this.#rate) : this.#believed(peer);
    return claim > target * (1 + tolerance) ? claim : target;
  }

  #believed({ claimed, targets }: Peer): number {
    return Math.min(claimed, targets[0]?.share ?? 0);
  }
}

function remember(peer: Peer, share: number, now: number): void {
  const present = peer.targets.at(-1);
  if (present !== undefined) present.endedAt = now;
  const kept = peer.targets.filter((past) => past.share > share && (past.endedAt ?? now) > now - memoryMs);
  // The higher of the two oldest stands for both, for as long as either would: more is believed rather than less.
  if (kept.length >= maxTargets) {
    const [first, second] = kept.splice(0, 2) as [Target, Target];
    kept.unshift({ share: first.share, endedAt: second.endedAt });
  }
  peer.targets = [...kept, { share, endedAt: undefined }];
}
